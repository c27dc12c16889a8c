"""Streams that do not end well: the client sees that something is missing, and nobody else sees anything."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import PATIENCE, STOPPED, Server, wait_for
from tests.plain_client import PlainClient, TruncatedError, chunk, request_head, whole_request
from tests.shapes import APP

Serve = Callable[..., Server]
DEADLINE, GRACE = 0.5, 0.3
ID = "bbbbbbbb-0000-0000-0000-00000000000"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    options: dict[str, Any] = {"workers": 1, "deadline": DEADLINE, "grace": GRACE}
    with Server(cwd=APP, app="function_app.py", **options) as server:
        yield server.wait_ready()


def answers(server: Server) -> bool:
    with PlainClient(server.port) as client:
        return client.get("/api/text").status == 200


def line_with(server: Server, *words: str) -> str:
    """The log's line that has all these words."""
    return str(
        wait_for(
            lambda: next((line for line in server.stderr if all(word in line for word in words)), None),
            f"a line with {words}",
        )
    )


SURVIVED = ["raise", "unencodable", "spin"]


@pytest.mark.parametrize("how", ["raise", "unencodable", "spin", "die", "stubborn"])
def test_stream_that_fails_in_the_middle_is_cut(server: Server, how: str) -> None:
    """What was out stays out, no last chunk follows, and the log names function and invocation."""
    workers = server.workers()
    invocation_id = f"{ID}{len(how)}"
    with PlainClient(server.port) as client:
        began = time.monotonic()
        headers = [("X-Azure-Functions-InvocationId", invocation_id)]
        client.send(request_head("GET", f"/api/spoiled?at=2&how={how}", headers))
        assert client.begin().status == 200
        with pytest.raises(TruncatedError) as cut:
            list(client.pieces())
        elapsed = time.monotonic() - began
    assert cut.value.body == b'{"n":0}\n{"n":1}\n'
    assert elapsed < DEADLINE + GRACE + 0.5 * PATIENCE
    if how == "die":
        line_with(server, "worker.died")
    else:
        line_with(server, "spoiled", invocation_id)
    assert answers(server)
    assert (server.workers() == workers) == (how in SURVIVED)


@pytest.mark.parametrize(("how", "status"), [("raise", 500), ("unencodable", 500), ("spin", 504), ("stubborn", 504)])
def test_stream_that_fails_before_its_first_item_is_answered(server: Server, how: str, status: int) -> None:
    """Nothing is out yet: a whole problem, on a connection that stays."""
    with PlainClient(server.port) as client:
        reply = client.get(f"/api/spoiled?at=0&how={how}")
        assert reply.status == status
        assert reply.header("content-type") == "application/problem+json"
        assert reply.json()["function"] == "spoiled"
        assert not client.closes
        assert client.get("/api/text").status == 200


def test_worker_that_dies_before_the_first_item_is_answered_for(server: Server) -> None:
    """By the supervisor, who knows that no byte is out."""
    with PlainClient(server.port) as client:
        reply = client.get("/api/spoiled?at=0&how=die")
        assert (reply.status, reply.json()["function"]) == (500, "spoiled")
        assert client.get("/api/text").status == 200


def test_item_that_cannot_be_encoded_is_named_by_its_number(server: Server) -> None:
    """The third one; the client does not read of it."""
    with PlainClient(server.port) as client, pytest.raises(TruncatedError):
        client.get("/api/spoiled?at=3&how=unencodable")
    line_with(server, "the stream, item 3", "object")
    with PlainClient(server.port) as client:
        reply = client.get("/api/spoiled?at=0&how=unencodable")
    assert reply.status == 500
    assert "item" not in reply.text


@pytest.mark.parametrize("path", ["count?items=1000&pause=0.02", "count-async?items=1000&pause=0.02", "events?pause=9"])
def test_stream_is_cut_at_its_deadline(server: Server, path: str) -> None:
    """In the handler it is DeadlineExceeded, or a cancellation."""
    workers = server.workers()
    with PlainClient(server.port) as client:
        began = time.monotonic()
        client.send(request_head("GET", f"/api/{path}"))
        client.begin()
        with pytest.raises(TruncatedError):
            list(client.pieces())
        assert DEADLINE - 0.05 < time.monotonic() - began < DEADLINE + GRACE + 0.3 * PATIENCE
    assert answers(server)
    assert server.workers() == workers
    line_with(server, path.partition("?")[0].replace("-", "_"), "so its answer is cut")


def test_stream_that_computes_on_the_loop_has_until_its_deadline(serve: Serve) -> None:
    """It holds its worker's loop, and is warned of that; but it is user code that runs, and no worker that is stuck."""
    server = serve(cwd=APP, app="function_app.py", workers=1, deadline=2.7, grace=0.3)
    with PlainClient(server.port) as client:
        client.send(request_head("GET", "/api/busy-stream?seconds=30"))
        began = time.monotonic()
        client.begin()
        with pytest.raises(TruncatedError):
            list(client.pieces())
        assert 2.9 < time.monotonic() - began < 3 + 0.5 * PATIENCE
    assert answers(server)
    assert "reason=deadline" in line_with(server, "worker.killed")


def test_one_stream_is_cut_at_its_deadline_and_others_go_on(serve: Serve) -> None:
    """Async invocations of one worker, each with a deadline of its own."""
    server = serve(cwd=APP, app="function_app.py", workers=1, deadline=1, grace=1)
    with PlainClient(server.port) as first, PlainClient(server.port) as second:
        first.send(request_head("GET", "/api/count-async?items=1000&pause=0.05"))
        first.begin()
        until = time.monotonic() + 0.5
        quick = 0
        while time.monotonic() < until:
            assert second.get("/api/count-async?items=3&pause=0.01").body.count(b"\n") == 3
            quick += 1
        assert quick > 3
        second.send(request_head("GET", "/api/count-async?items=12&pause=0.05"))
        second.begin()
        with pytest.raises(TruncatedError):
            list(first.pieces())
        assert b"".join(second.pieces()).count(b"\n") == 12


def test_body_that_stops_halfway_is_ended_by_the_deadline(server: Server) -> None:
    """The client stays, and sends no more: 504, for the handler was running all the time."""
    workers = server.workers()
    for path in ("upload", "upload-sync"):
        for framing in (False, True):
            with PlainClient(server.port) as client:
                client.send(whole_request("POST", f"/api/{path}", b"x" * 100, chunked=framing)[:-20])
                reply = client.receive("POST")
                assert reply.status == 504
                assert client.closes
                client.expect_end()
    assert answers(server)
    assert server.workers() == workers


@pytest.mark.parametrize("path", ["upload", "upload-sync", "both-ways"])
def test_chunk_that_is_none_ends_an_upload(server: Server, path: str) -> None:
    """In the middle of the body: 400, or the end of the answer that has begun."""
    with PlainClient(server.port) as client:
        client.send(request_head("POST", f"/api/{path}", [("Transfer-Encoding", "chunked")]) + chunk(b"hello"))
        if path == "both-ways":
            client.begin("POST")
            assert next(client.pieces()) == b"HELLO"
            client.send(b"nonsense\r\n")
            with pytest.raises(TruncatedError):
                list(client.pieces())
        else:
            client.send(b"nonsense\r\n")
            reply = client.receive("POST")
            assert reply.status == 400
            assert reply.header("content-type") == "application/problem+json"
            client.expect_end()
    assert answers(server)


def test_sync_streams_beside_async_ones_end_as_they_do_alone(serve: Serve) -> None:
    """Sent, cut at the deadline, ended by the client, waiting for a body that stops."""
    server = serve(cwd=APP, app="function_app.py", workers=1, deadline=2, grace=1)
    before = server.workers()
    with PlainClient(server.port) as napping, PlainClient(server.port) as client:
        napping.send(request_head("GET", "/api/count-async?items=100&pause=0.01"))
        napping.begin()
        assert client.get("/api/count?items=50").body.count(b"\n") == 50
        assert client.request("POST", "/api/upload-sync", b"x" * 100_000, chunked=True).json()["total"] == 100_000
        with pytest.raises(TruncatedError) as cut:
            client.get("/api/spoiled?at=1&how=raise")
        assert cut.value.body == b'{"n":0}\n'
        gone = PlainClient(server.port)
        gone.send(request_head("GET", "/api/count?items=100000&pause=0.01"))
        gone.begin()
        gone.reset()
        wait_for(lambda: "note: count was closed" in server.stdout, "the end of its iterator")
        assert b"".join(napping.pieces()).count(b"\n") == 100
    with PlainClient(server.port) as napping, PlainClient(server.port) as client, PlainClient(server.port) as half:
        napping.send(request_head("GET", "/api/nap?seconds=1.9"))
        spinning = PlainClient(server.port)
        spinning.send(request_head("GET", "/api/spoiled?at=1&how=spin"))
        spinning.begin()
        half.send(whole_request("POST", "/api/upload-sync", b"x" * 100)[:-20])
        with pytest.raises(TruncatedError):
            list(spinning.pieces())
        spinning.close()
        assert half.receive("POST").status == 504
        assert napping.receive().text == "rested"
        assert client.get("/api/text").status == 200
    assert server.workers() == before


def test_drain_lets_a_stream_end(serve: Serve) -> None:
    """The one in flight goes out whole; exit 0."""
    for path in ("count", "count-async"):
        server = serve(cwd=APP, app="function_app.py", workers=1)
        with PlainClient(server.port) as client:
            client.send(request_head("GET", f"/api/{path}?items=10&pause=0.05"))
            client.begin()
            server.signal(signal.SIGTERM)
            assert b"".join(client.pieces()).count(b"\n") == 10
        assert server.wait() == STOPPED


def test_drain_cuts_a_stream_that_does_not_end(serve: Serve) -> None:
    """After FASTWORKER_DRAIN; exit 0."""
    server = serve(cwd=APP, app="function_app.py", workers=2, drain=0.5)
    with PlainClient(server.port) as sync, PlainClient(server.port) as asynchronous:
        for client, path in ((sync, "count"), (asynchronous, "count-async")):
            client.send(request_head("GET", f"/api/{path}?items=1000&pause=0.05"))
            client.begin()
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        for client in (sync, asynchronous):
            with pytest.raises(TruncatedError):
                list(client.pieces())
        assert 0.4 < time.monotonic() - began < 1.5 * PATIENCE
    assert server.wait() == STOPPED


def test_reload_lets_streams_end_where_they_began(serve: Serve) -> None:
    """Their workers retire behind them; requests that come meanwhile are the new generation's."""
    server = serve(cwd=APP, app="function_app.py", workers=2)
    wait_for(lambda: len(server.workers()) == 2, "both workers")
    before = server.workers()
    with PlainClient(server.port) as sync, PlainClient(server.port) as asynchronous, PlainClient(server.port) as other:
        for client, path in ((sync, "count"), (asynchronous, "count-async")):
            client.send(request_head("GET", f"/api/{path}?items=25&pause=0.05"))
            client.begin()
        server.signal(signal.SIGHUP)
        wait_for(lambda: server.workers() - before, "a new worker")
        answered = 0
        while int(other.get("/api/worker").body) in before:
            answered += 1
        assert other.get("/api/count").body.count(b"\n") == 3
        for client in (sync, asynchronous):
            assert b"".join(client.pieces()).count(b"\n") == 25
    wait_for(lambda: not server.workers() & before, "the end of the old ones")
    with PlainClient(server.port) as client:
        assert client.get("/api/count").status == 200


def test_killed_worker_takes_its_streams_along_and_no_other(serve: Serve) -> None:
    """SIGKILL in the middle of several async streams: each is cut; what had not begun is answered 500."""
    server = serve(cwd=APP, app="function_app.py", workers=1)
    [worker] = server.workers()
    streams = [PlainClient(server.port) for _ in range(3)]
    with PlainClient(server.port) as silent:
        for client in streams:
            client.send(request_head("GET", "/api/count-async?items=1000&pause=0.01"))
            client.begin()
        silent.send(request_head("GET", "/api/nap?seconds=30"))
        wait_for(lambda: server.stdout, "output")
        with PlainClient(server.port) as other:  # behind it, `silent` has been taken as well
            assert other.get("/api/text").status == 200
        os.kill(worker, signal.SIGKILL)
        for client in streams:
            with pytest.raises(TruncatedError):
                list(client.pieces())
            client.close()
        assert silent.receive().status == 500
        assert silent.get("/api/text").status == 200
