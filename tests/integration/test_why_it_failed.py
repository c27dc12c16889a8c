"""Every 4xx and 5xx that the host gets has one entry that says why, for the host drops the body."""

from collections.abc import Callable

import pytest

from tests.harness import Server, envelope, request_bytes, wait_for

Serve = Callable[..., Server]

ID = "11111111-2222-3333-4444-55555555555"


def test_every_refusal_and_failure_is_told_once(serve: Serve) -> None:
    """With function and id, or the path in quotes; one line each, also a traceback; at a deadline which, and where."""
    server = serve(workers=1, log_format="line", deadline=0.3, max_body="4KiB")
    cases: list[tuple[str, int, bytes, list[str]]] = [
        ("handler's exception", 500, request_bytes("/fail", envelope("x"), invocation_id=f"{ID}0"), ["ValueError"]),
        ("input", 400, request_bytes("/compute", envelope("no number"), invocation_id=f"{ID}1"), ["ERROR compute "]),
        ("output", 500, request_bytes("/unencodable", envelope(1), invocation_id=f"{ID}2"), ["ERROR unencodable "]),
        (
            "deadline of a def",
            504,
            request_bytes("/compute", envelope(5), invocation_id=f"{ID}3"),
            ["ERROR compute ", "FASTWORKER_DEADLINE", "scenarios.py:", "in compute"],
        ),
        (
            "deadline of an async def",
            504,
            request_bytes("/nap", envelope(5), invocation_id=f"{ID}4"),
            ["ERROR nap ", "FASTWORKER_DEADLINE", "scenarios.py:", "in nap"],
        ),
        (
            "a function's own deadline",
            504,
            request_bytes("/impatient", envelope(5), invocation_id=f"{ID}5"),
            ["ERROR impatient ", "the function's own deadline"],
        ),
        ("no function", 404, request_bytes("/nothing", b"{}", invocation_id=f"{ID}6"), ["ERROR ", "'/nothing'"]),
        (
            "method",
            405,
            f"PUT /echo HTTP/1.1\r\nHost: x\r\nX-Azure-Functions-InvocationId: {ID}7\r\n\r\n".encode(),
            ["WARNING echo ", "405"],
        ),
        (
            "too large",
            413,
            f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n"
            f"X-Azure-Functions-InvocationId: {ID}8\r\n\r\n".encode(),
            ["ERROR echo ", "413", "FASTWORKER_MAX_BODY"],
        ),
        (
            "headers",
            431,
            f"POST /echo HTTP/1.1\r\nHost: x\r\nX-Azure-Functions-InvocationId: {ID}9\r\n"
            f"X: {'y' * 70000}\r\n\r\n".encode(),
            ["ERROR echo ", "431"],
        ),
    ]
    for what, status, request, told in cases:
        began = len(server.stderr)
        with server.connect() as host:
            host.send(request)
            assert host.receive().status == status, what
        invocation_id = f"{ID}{cases.index((what, status, request, told))}"
        wait_for(lambda began=began, key=invocation_id: any(key in e for e in server.stderr[began:]), what)  # type: ignore[misc]
        lines = [line for line in server.stderr if invocation_id in line and "about to fail" not in line]
        assert len(lines) == 1, (what, lines)
        assert all(part in lines[0] for part in told), (what, lines[0])


@pytest.mark.parametrize("garbage", [b"nonsense\r\n\r\n", b"GET /a\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_what_nobody_invoked_is_a_warning(serve: Serve, garbage: bytes) -> None:
    """No invocation ends by it; what came is shown without effect on a terminal."""
    server = serve(workers=1)
    with server.connect() as host:
        host.send(garbage)
        assert 400 <= host.receive().status < 600
    wait_for(lambda: any("answered" in line for line in server.stderr), "the entry")
    (line,) = [line for line in server.stderr if "answered" in line]
    assert line.startswith("WARNING ")
    assert line.isprintable()
