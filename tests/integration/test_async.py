"""Async invocations beside each other and beside CPU-heavy ones: how many at once, and whom they hold back."""

import resource
import selectors
import time
from collections.abc import Callable, Iterable

import pytest

from tests.harness import PATIENCE, Server, wait_for
from tests.plain_client import PlainClient, Reply, request_head
from tests.shapes import APP

Serve = Callable[..., Server]


@pytest.fixture(autouse=True)
def many_descriptors() -> None:
    """A thousand connections are more than some machines allow by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))


class Crowd:
    """Many clients in one thread: each sends one request, and the time of each answer is noted."""

    def __init__(self, port: int, size: int) -> None:
        self._clients = [PlainClient(port, 60) for _ in range(size)]

    def ask(self, targets: Iterable[str]) -> list[tuple[Reply, float]]:
        """The answers in the order of `targets`, with the seconds from the first request on."""
        answers: dict[int, tuple[Reply, float]] = {}
        began = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for number, (client, target) in enumerate(zip(self._clients, targets, strict=True)):
                client.send(request_head("GET", f"/api/{target}"))
                selector.register(client.socket, selectors.EVENT_READ, number)
            while len(answers) < len(self._clients):
                ready = selector.select(60)
                assert ready, f"no answer any more behind {len(answers)}"
                for key, _ in ready:
                    selector.unregister(key.fileobj)
                    answers[key.data] = self._clients[key.data].receive(), time.monotonic() - began
        return [answers[number] for number in range(len(self._clients))]

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()


def test_a_thousand_slow_invocations_take_eight_seconds(serve: Serve) -> None:
    """1 s of waiting each, 64 at once on each of two workers; CPU-heavy ones among them keep their deadlines."""
    server = serve(cwd=APP, app="function_app.py", workers=2, concurrency=64, deadline=40)
    wait_for(lambda: len(server.workers()) == 2, "both workers")
    before = server.workers()
    targets = ["nap?seconds=1"] * 1000
    overrunning, computing = (20, 60, 100), (30, 70, 110)
    for number in overrunning:
        targets[number] = "overruns"
    for number in computing:
        targets[number] = "busy?seconds=0.1"
    with Crowd(server.port, len(targets)) as crowd:
        answers = crowd.ask(targets)
    statuses = [reply.status for reply, _ in answers]
    assert [statuses[number] for number in overrunning] == [504] * 3
    assert [statuses[number] for number in computing] == [200] * 3
    assert statuses.count(200) == 997
    took = max(seconds for _, seconds in answers)
    print(f"{took:.2f} s")
    assert 7.5 < took < 8 * (1 + 0.4 * PATIENCE)
    # All six are among the first 128, so that nothing kept them waiting.
    for number in overrunning:
        assert 0.95 < answers[number][1] < 1 + 1 * PATIENCE
    assert server.workers() == before


def test_worker_at_its_limit_leaves_requests_to_others(serve: Serve) -> None:
    """With five of six places taken the sixth serves everybody; with six, whoever comes waits for one to end."""
    server = serve(cwd=APP, app="function_app.py", workers=2, concurrency=3)
    wait_for(lambda: len(server.workers()) == 2, "both workers")
    sleepers = [PlainClient(server.port) for _ in range(6)]
    with PlainClient(server.port) as other:
        for client in sleepers[:5]:
            client.send(request_head("GET", "/api/nap?seconds=1.5"))
        for _ in range(20):
            assert other.get("/api/text").status == 200
        assert all(client.quiet for client in sleepers), "too slow a machine to prove anything"
        sleepers[5].send(request_head("GET", "/api/nap?seconds=1.5"))
        began = time.monotonic()
        assert other.get("/api/count").status == 200  # it, or the sixth, has waited
        assert sleepers[5].receive().text == "rested"
        assert time.monotonic() - began > 1.2
        for client in sleepers[:5]:
            assert client.receive().text == "rested"
            client.close()
    sleepers[5].close()


def test_no_worker_takes_more_than_its_limit(serve: Serve) -> None:
    """Twelve naps in six places take two turns."""
    server = serve(cwd=APP, app="function_app.py", workers=2, concurrency=3)
    wait_for(lambda: len(server.workers()) == 2, "both workers")
    with Crowd(server.port, 12) as crowd:
        times = sorted(seconds for _, seconds in crowd.ask(["nap?seconds=0.5"] * 12))
    assert times[5] < 0.5 + 0.4 * PATIENCE
    assert times[6] >= 0.95
    assert times[11] < 1 + 0.5 * PATIENCE


@pytest.mark.parametrize("path", ["upload", "upload-whole", "order"])
def test_slow_upload_holds_nobody_back(serve: Serve, path: str) -> None:
    """Neither a handler that waits for the next piece, nor one that gets them all together."""
    server = serve(cwd=APP, app="function_app.py", workers=1)
    with PlainClient(server.port) as slow, PlainClient(server.port) as other:
        slow.send(request_head("POST", f"/api/{path}", [("Content-Length", "20")]))
        for number in range(20):
            slow.send(b'{"id": 1234567890123'[number : number + 1])
            began = time.monotonic()
            assert other.get("/api/count").status == 200
            assert time.monotonic() - began < 0.3 * PATIENCE
        assert slow.receive("POST").status == (400 if path == "order" else 200)


def test_computing_handler_leaves_streams_of_the_same_worker_going(serve: Serve) -> None:
    """The main thread is its own, and they are on the loop, so that their items keep coming."""
    server = serve(cwd=APP, app="function_app.py", workers=1)
    with PlainClient(server.port) as stream, PlainClient(server.port) as busy:
        stream.send(request_head("GET", "/api/count-async?items=30&pause=0.02"))
        stream.begin()
        lines = stream.lines()
        next(lines)
        busy.send(request_head("GET", "/api/busy?seconds=5"))
        for _ in range(29):
            next(lines)
        assert busy.quiet
