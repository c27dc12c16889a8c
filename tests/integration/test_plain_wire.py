"""HTTP/1.1 as plain functions speak it: framing, limits, uploads in pieces, and clients that do not behave.

Every answer is judged by h11 (tests/plain_client.py).
"""

from collections.abc import Iterator

import pytest

from tests.harness import Server
from tests.plain_client import PlainClient, whole_request
from tests.shapes import APP


@pytest.fixture(scope="module")
def proxied() -> Iterator[Server]:
    with Server(cwd=APP, app="function_app.py", workers=1, max_body="1MiB", read_timeout=0.7) as server:
        yield server.wait_ready()


@pytest.fixture
def client(proxied: Server) -> Iterator[PlainClient]:
    with PlainClient(proxied.port) as client:
        yield client


def test_unknown_path_is_told_nothing_of_what_there_is(client: PlainClient) -> None:
    """It may be anybody who asks: no function is named, and no long path repeated."""
    reply = client.get("/api/nowhere?x=1")
    assert reply.status == 404
    assert reply.header("content-type") == "application/problem+json"
    assert reply.json()["detail"] == "no function at '/api/nowhere'"
    assert len(client.get("/api/" + "x" * 5000).body) < 300


def test_repeated_query_keys_are_kept_apart(client: PlainClient) -> None:
    """Where the client's own query arrives."""
    assert client.get("/api/repeated?a=1&b=x&a=2,3").json() == ["1", "2,3"]


@pytest.mark.parametrize(
    "path",
    [
        "text",
        "nothing",
        "binary",
        "count",
        "count-async",
        "array",
        "events",
        "source",
        "pieces",
        "moved",
        "fails",
        "no",
    ],
)
def test_head_is_answered_without_a_body(client: PlainClient, path: str) -> None:
    """The connection is not out of step: the next answer is the next request's."""
    reply = client.request("HEAD", f"/api/{path}")
    same = client.get(f"/api/{path}")
    assert (reply.status, reply.body) == (same.status, b"")
    assert reply.header("content-type") in (None, same.header("content-type"))
    assert client.quiet


def test_head_makes_no_item_of_a_stream(client: PlainClient, proxied: Server) -> None:
    """`count` says when it has begun to count; nobody has asked it to."""
    began = len(proxied.stdout)
    assert client.request("HEAD", "/api/count").status == 200
    assert client.request("HEAD", "/api/count-async").status == 200
    assert client.get("/api/text").status == 200
    assert not [line for line in proxied.stdout[began:] if "note" in line]


def test_pipelined_requests_are_answered_in_order(client: PlainClient) -> None:
    """Streams, whole answers, failures and bodies, sent in one write."""
    wanted = [("GET", "count"), ("POST", "upload"), ("GET", "fails"), ("GET", "count-async"), ("HEAD", "text")] * 3
    requests = [
        whole_request(method, f"/api/{path}", b"x" * 10 if method == "POST" else None, chunked=number % 2 == 0)
        for number, (method, path) in enumerate(wanted)
    ]
    client.send(b"".join(requests))
    replies = [client.receive(method) for method, _ in wanted]
    assert [reply.status for reply in replies] == [200, 200, 500, 200, 200] * 3
    assert [reply.json()["total"] for reply in replies[1::5]] == [10, 10, 10]
    assert client.quiet


@pytest.mark.parametrize("path", ["upload", "upload-sync", "length"])
def test_client_that_expects_100_continue_gets_it_once(client: PlainClient, path: str) -> None:
    """Before the body is asked for; whether the handler reads it in pieces or gets it whole."""
    request = whole_request("POST", f"/api/{path}", b"hello", [("Expect", "100-continue")])
    client.send(request[:-5])
    client.expect_continue()
    client.send(b"hello")
    assert 5 in client.receive("POST").json().values()
    assert client.quiet


@pytest.mark.parametrize("path", ["upload", "upload-sync", "length", "describe"])
@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"Content-Length: 5x\r\n\r\nhello",
    ],
)
def test_body_that_two_readers_could_frame_differently_is_refused(
    client: PlainClient, path: str, framing: bytes
) -> None:
    """400, and the connection ends: what follows is not to be trusted (request smuggling)."""
    evil = b"GET /api/dies HTTP/1.1\r\nHost: x\r\n\r\n"
    client.send(b"POST /api/%b HTTP/1.1\r\nHost: x\r\n%b%b" % (path.encode(), framing, evil))
    assert client.receive("POST").status == 400
    assert client.closes
    client.expect_end()


@pytest.mark.parametrize("path", ["length", "upload-whole", "upload-either", "upload-order"])
def test_body_over_the_limit_is_413_where_nobody_streams_it(client: PlainClient, path: str) -> None:
    """By its length, and by its chunks; also where the handler might have streamed it."""
    for chunked in (False, True):
        reply = client.request("POST", f"/api/{path}", bytes(2**20 + 1), chunked=chunked)
        assert reply.status == 413
        assert client.closes or path == "upload-either"  # there all of it may have been read


def test_body_at_the_limit_is_welcome(client: PlainClient) -> None:
    """In one piece and in chunks."""
    for chunked in (False, True):
        reply = client.request("POST", "/api/length", bytes(2**20), chunked=chunked)
        assert reply.json() == {"length": 2**20}


def test_http10_client_gets_its_stream_up_to_the_end_of_the_connection(client: PlainClient) -> None:
    """It knows no chunks."""
    client.send(b"GET /api/count HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    reply = client.receive()
    assert reply.body == b'{"n":0}\n{"n":1}\n{"n":2}\n'
    assert reply.header("transfer-encoding") is None
    assert reply.header("content-length") is None
    assert reply.header("connection") == "close"


def test_connection_close_is_honoured_behind_a_stream(client: PlainClient) -> None:
    """Said in the head, and done behind the last chunk."""
    reply = client.request("GET", "/api/count-async", headers=[("Connection", "close")])
    assert reply.body.count(b"\n") == 3
    assert client.closes
    client.expect_end()


@pytest.mark.parametrize("path", ["length", "upload-whole", "upload-either", "upload-order"])
def test_half_of_a_body_is_408_where_nobody_streams_it(client: PlainClient, path: str) -> None:
    """After FASTWORKER_READ_TIMEOUT."""
    client.send(whole_request("POST", f"/api/{path}", b"hello")[:-2])
    assert client.receive("POST").status == 408
    client.expect_end()


def still_serves(server: Server) -> bool:
    with PlainClient(server.port) as client:
        return client.get("/api/text").status == 200


@pytest.mark.parametrize("path", ["upload", "upload-sync", "both-ways", "upload-whole", "length"])
@pytest.mark.parametrize("hard", [False, True])
def test_client_that_goes_away_in_its_body_costs_nothing(proxied: Server, path: str, hard: bool) -> None:
    """The one worker is free for the next."""
    client = PlainClient(proxied.port)
    client.send(whole_request("POST", f"/api/{path}", b"x" * 1000, chunked=True)[:-500])
    if hard:
        client.reset()
    else:
        client.close()
    assert still_serves(proxied)


@pytest.mark.parametrize("path", ["upload-part", "upload-part-stream"])
def test_handler_that_has_had_enough_is_answered_before_the_body_ends(
    client: PlainClient, proxied: Server, path: str
) -> None:
    """Nobody reads the rest, so that the connection ends; the answer is not lost to a reset."""
    client.send(whole_request("POST", f"/api/{path}", bytes(8 * 2**20))[:-100])
    reply = client.receive("POST")
    assert (reply.status, reply.text) == (200, "had enough after True")
    if path == "upload-part":  # else the head was out before anybody knew
        assert client.closes
    client.expect_end()
    client.close()
    assert still_serves(proxied)
