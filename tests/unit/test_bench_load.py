"""benchmarks/load.py without its C part: the bytes that are sent, and what records tell."""

import re
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("psutil", reason="comes with the extra `bench`")

from benchmarks import calls, load  # after the skips
from benchmarks.calls import WrongAnswerError
from benchmarks.load import RECORD, Outcome

US, SECOND = 1000, 10**9


def outcome(*records: dict[str, int], from_ns: int = 0, until_ns: int = SECOND, cpu_share: float = 0.1) -> Outcome:
    rows = np.zeros(len(records), dtype=RECORD)
    for row, record in zip(rows, records, strict=True):
        for name, value in record.items():
            row[name] = value
    whole: dict[str, Any] = {"calls": (), "opened": 1, "first_wrong": "", "cpu_share": cpu_share}
    return Outcome(records=rows, from_ns=from_ns, until_ns=until_ns, **whole)


def request(intended: int, took: int, *, late: int = 0, **more: int) -> dict[str, int]:
    return {"intended": intended, "sent": intended + late, "done": intended + took, **more}


def test_the_request_is_what_the_host_sends():
    """Head and chunks as in docs/protocol.md, 2.1."""
    whole = calls.order().request(41235)
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /order HTTP/1.1"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "Host",
        "X-Azure-Functions-HostVersion",
        "X-Azure-Functions-InvocationId",
        "User-Agent",
        "Content-Type",
        "Transfer-Encoding",
    ]
    assert re.search(rb"\r\nX-Azure-Functions-InvocationId: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\r\n", whole)
    envelope = calls.order().envelope
    assert body == b"%X\r\n%b\r\n0\r\n\r\n" % (len(envelope), envelope)


def test_a_large_body_goes_in_the_hosts_chunks():
    """.NET's writer flushes every 1024 characters."""
    call = calls.echo(3000)
    body = call.request(1).partition(b"\r\n\r\n")[2]
    assert body.startswith(b"400\r\n" + call.envelope[:1024] + b"\r\n400\r\n")
    assert body.endswith(b"\r\n0\r\n\r\n")


def test_a_forwarded_request_is_what_the_host_sends():
    """The client's request at its own path, with its length (docs/protocol.md, 3.1)."""
    head, _, body = calls.plain_echo(3, "forwarded").request(41235).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /api/echo HTTP/1.1"
    assert {"Content-Length: 3", "X-Azure-Functions-HostVersion: 4.1037.0.0"} < set(lines)
    assert body == b"xxx"


def test_latency_counts_from_the_intended_time():
    """The third was sent 40 ms late: that is latency, for its client has waited."""
    run = outcome(request(0, 100 * US), request(1000, 200 * US), request(2000, 40_000 * US, late=39_900 * US))
    assert run.latencies().tolist() == [100 * US, 200 * US, 40_000 * US]


def test_the_warm_up_counts_for_wrong_answers_only():
    """Its times are left out; its failures are not."""
    run = outcome(request(10, 5), request(60, 7, kind=1), request(70, 9), from_ns=50)
    assert run.latencies().tolist() == [7, 9]
    assert run.latencies(kind=1).tolist() == [7]
    assert run.require_right() is run
    spoilt = outcome(request(10, 5, outcome=2), request(60, 7), from_ns=50)
    with pytest.raises(WrongAnswerError, match="1 x wrong body of 2 requests"):
        spoilt.require_right()


def test_only_right_answers_in_the_measured_time_make_throughput():
    run = outcome(request(0, SECOND // 2), request(0, SECOND * 2), request(0, SECOND // 3, outcome=1))
    assert run.per_second == 1


@pytest.mark.parametrize("records", [[], [request(10, 2 * SECOND)]], ids=["nothing sent", "answered too late"])
def test_no_answer_in_the_measured_time_is_a_failure(records: list[dict[str, int]]):
    """And not a throughput of zero, nor a server without latency."""
    with pytest.raises(WrongAnswerError, match=f"no answer came in the measured time, of {len(records)} requests"):
        outcome(*records).require_right()


@pytest.mark.parametrize(("whole", "count", "wanted"), [(64, 2, [32, 32]), (5, 2, [3, 2]), (1, 4, [1])])
def test_what_is_in_flight_is_shared_out_whole(whole: int, count: int, wanted: list[int]):
    assert load.parts(whole, count) == wanted


def test_the_load_side_is_the_limit_when_it_has_no_time_left():
    assert outcome(request(0, 50 * US), cpu_share=0.97).load_side()["load_was_limit"] == 1
    assert outcome(request(0, 50 * US), cpu_share=0.5).load_side()["load_was_limit"] == 0


def test_the_load_side_is_the_limit_when_it_sends_late():
    """Half of a median of 100 us were its own; but not where a connection had to be waited for: that is the server."""
    late = [request(i, 100 * US, late=50 * US) for i in range(10)]
    assert outcome(*late).load_side()["load_was_limit"] == 1
    waited = [{**record, "waited": 1} for record in late]
    told = outcome(*waited).load_side()
    assert (told["load_was_limit"], told["load_waited"]) == (0, 10)
