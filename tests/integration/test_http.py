"""HTTP/1.1 on the wire: framing, limits, and clients that do not behave."""

import os
import socket
import time
from collections.abc import Callable

import pytest

from tests.harness import PATIENCE, HostConnection, Server, envelope, request_bytes, wait_for

Serve = Callable[..., Server]


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(workers=1, max_body="1MiB", read_timeout=0.5)


def still_serves(server: Server) -> bool:
    with server.connect() as host:
        return host.invoke("echo", {"a": 1}).value == {"a": 1}


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    """Ten requests in one write get ten answers in the same order."""
    with server.connect() as host:
        host.send(b"".join(request_bytes("/echo", envelope({"n": n})) for n in range(10)))
        assert [host.receive().value["n"] for _ in range(10)] == list(range(10))
        assert host.quiet


def test_pipelined_request_cut_in_the_middle_is_answered_when_whole(server: Server) -> None:
    """The rest of a second request may come after the first one's answer."""
    both = request_bytes("/echo", envelope({"n": 1})) + request_bytes("/echo", envelope({"n": 2}))
    with server.connect() as host:
        host.send(both[:-40])
        assert host.receive().value == {"n": 1}
        host.send(both[-40:])
        assert host.receive().value == {"n": 2}


def test_connection_close_is_honoured(server: Server) -> None:
    """A client that asks for it gets its answer and then the end."""
    with server.connect() as host:
        host.send(request_bytes("/echo", envelope({})).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        response = host.receive()
        assert response.headers["connection"] == "close"
        assert host.at_end()


def test_half_closed_client_still_gets_its_answer(server: Server) -> None:
    """A client may end its side after the request."""
    with server.connect() as host:
        host.send(request_bytes("/echo", envelope({"a": 1})))
        host.socket.shutdown(socket.SHUT_WR)
        assert host.receive().value == {"a": 1}
        assert host.at_end()


def test_head_of_the_probe_has_a_length_and_no_body(server: Server) -> None:
    """HEAD / answers like GET / without the body."""
    with server.connect() as host:
        host.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = host.receive(head=True)
        body = host.receive().body
        assert head.headers["content-length"] == str(len(body))


def test_client_that_expects_100_continue_gets_it(server: Server) -> None:
    """The body is sent only after the server has agreed to it."""
    request = request_bytes("/echo", envelope({"a": 1}), chunked=False)
    head, body = request.replace(b"\r\n", b"\r\nExpect: 100-continue\r\n", 1).split(b"\r\n\r\n", 1)
    with server.connect() as host:
        host.send(head + b"\r\n\r\n")
        assert host.receive().status == 100
        host.send(body)
        assert host.receive().value == {"a": 1}


def test_request_that_comes_byte_by_byte_blocks_nobody(server: Server) -> None:
    """One worker, one dribbling client: others are served meanwhile, and the dribbler in the end, too."""
    request = request_bytes("/echo", envelope({"slow": True}))
    with server.connect() as slow, server.connect() as quick:
        for byte in request[:-1]:
            slow.send(bytes([byte]))
            if byte % 8 == 0:
                assert quick.invoke("echo", {"q": 1}).value == {"q": 1}
        slow.send(request[-1:])
        assert slow.receive().value == {"slow": True}


def test_request_that_never_becomes_whole_is_answered_408(server: Server) -> None:
    """After FASTWORKER_READ_TIMEOUT the client is told, and the connection closed."""
    with server.connect() as host:
        host.send(request_bytes("/echo", envelope({}))[:-3])
        began = time.monotonic()
        assert host.receive().status == 408
        assert 0.4 < time.monotonic() - began < 1.5 * PATIENCE
        assert host.at_end()
    assert still_serves(server)


def test_half_sent_request_and_a_closed_connection_cost_nothing(server: Server) -> None:
    """A client that goes away in the middle is forgotten."""
    for cut in (1, 20, 200, -1):
        with server.connect() as host:
            host.send(request_bytes("/echo", envelope({"x": "y" * 300}))[:cut])
    assert still_serves(server)


def test_body_over_the_limit_is_answered_413(server: Server) -> None:
    """By its length at once, although the client goes on sending 200 MB without reading."""
    with server.connect() as host:
        host.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\n\r\n")
        piece = bytes(1 << 20)
        for _ in range(190):
            host.send(piece)
        assert host.receive().status == 413
    assert still_serves(server)


def test_chunked_body_over_the_limit_is_answered_413(server: Server) -> None:
    """Counted as it comes, for a chunked body announces nothing."""
    with server.connect() as host:
        host.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(256):  # an envelope may be thirteen times as large as what it carries
            host.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        assert host.receive().status == 413
    assert still_serves(server)


def test_header_bomb_is_answered_431(server: Server) -> None:
    """64 KiB of headers are enough for anybody."""
    with server.connect() as host:
        host.send(
            b"POST /echo HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(500))
        )
        assert host.receive().status == 431
    assert still_serves(server)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"not http at all\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_garbage_is_answered_400_and_cut(server: Server, garbage: bytes) -> None:
    """What cannot be framed is refused, and the connection is not trusted any further."""
    with server.connect() as host:
        host.send(garbage)
        response = host.receive()
        assert response.status == 400
        assert response.headers["content-type"] == "application/problem+json"
        assert host.at_end()
    assert still_serves(server)


def test_good_request_before_garbage_is_answered_first(server: Server) -> None:
    """Order holds for refusals, too."""
    with server.connect() as host:
        host.send(request_bytes("/echo", envelope({"a": 1})) + b"garbage\r\n\r\n")
        assert host.receive().value == {"a": 1}
        assert host.receive().status == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"Data": 3, "Metadata": {}}', 400),
        (b'{"Data": {"job": "\xff\xfe"}, "Metadata": {}}', 400),
        (b'{"Data": {"job": ' + b"[" * 100_000 + b"]" * 100_000 + b'}, "Metadata": {}}', 400),
    ],
)
def test_malformed_envelope_is_answered_400(server: Server, body: bytes, status: int) -> None:
    """On a connection that stays usable: the HTTP was fine."""
    with server.connect() as host:
        assert host.post("/echo", body).status == status
        assert host.invoke("echo", {"a": 1}).value == {"a": 1}


def test_wrong_type_names_where_and_what(server: Server) -> None:
    """The problem says which member, what was expected and what came."""
    with server.connect() as host:
        response = host.invoke("compute", {"soon": 1})
    assert response.status == 400
    detail = response.json()["detail"]
    assert "Data.job" in detail
    assert "float" in detail or "number" in detail


def test_unencodable_result_names_the_path(server: Server) -> None:
    """An answer that no JSON can hold is the function's 500, with the way to the culprit."""
    with server.connect() as host:
        response = host.invoke("unencodable")
        assert response.status == 500
        assert "ReturnValue[1].bad" in response.json()["detail"]
        assert host.invoke("echo", {"a": 1}).value == {"a": 1}


def test_method_other_than_post_is_refused(server: Server) -> None:
    """An invocation comes by POST; anything else is told so."""
    with server.connect() as host:
        host.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        response = host.receive()
        assert response.status == 405
        assert response.headers["allow"] == "POST"


def test_large_bodies_pass_in_both_directions(serve: Serve) -> None:
    """20 MB in and out, in many reads and writes."""
    text = "0123456789abcdef" * (20 * 2**20 // 16)
    with serve(workers=1, read_timeout=10).connect() as host:
        assert host.invoke("echo", {"text": text}).value == {"text": text}


def test_slow_reader_blocks_only_itself(serve: Serve) -> None:
    """A client that does not read its large answer leaves the only worker free for others."""
    server = serve(workers=1)
    with server.connect() as slow, server.connect() as quick:
        slow.send(request_bytes("/echo", envelope({"text": "x" * (16 * 2**20)})))
        wait_for(lambda: not slow.quiet, "the answer's first bytes")
        for _ in range(20):
            assert quick.invoke("echo", {"q": 1}).value == {"q": 1}
        assert len(slow.receive().value["text"]) == 16 * 2**20


def test_idle_connection_is_kept(server: Server) -> None:
    """Nothing closes a quiet connection: the host reuses it a minute later (protocol 8.1)."""
    with server.connect() as host:
        host.invoke("pid")
        host.socket.settimeout(1.5)
        with pytest.raises(TimeoutError):
            host.socket.recv(1)
        host.socket.settimeout(10)
        assert host.invoke("pid").status == 200


def test_reset_while_the_answer_is_on_its_way_harms_nobody(server: Server) -> None:
    """A client that resets its connection mid-answer costs its own answer only."""
    for _ in range(5):
        host = server.connect()
        host.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        host.send(request_bytes("/echo", envelope({"text": "x" * 900_000})))
        host.close()
    assert still_serves(server)


def test_numbers_are_freed_when_connections_close(serve: Serve) -> None:
    """A thousand short connections leave no descriptor behind."""
    server = serve(workers=2)

    def open_descriptors() -> int:
        return len(os.listdir(f"/proc/{server.pid}/fd"))

    before = open_descriptors()
    for _ in range(1000):
        with HostConnection(server.port) as host:
            host.invoke("echo", {"a": 1})
    wait_for(lambda: open_descriptors() <= before + 2, "closed descriptors", 5)
