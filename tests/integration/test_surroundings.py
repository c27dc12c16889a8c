"""What a handler finds around it, always the same: thread, loop, context; and what it may do to them, or fork."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness import PATIENCE, HostConnection, Server, envelope, request_bytes, wait_for

Serve = Callable[..., Server]
APPS = Path(__file__).parents[1] / "apps"


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(app="surroundings:app", cwd=APPS, workers=1, drain=5)


def ask(server: Server, function: str, job: object = None) -> tuple[int, Any]:
    with server.connect() as client:
        response = client.invoke(function, job)
        return response.status, response.value if response.status == 200 else response.json()["detail"]


# -- ways in which a request arrives, and what may be in flight beside it ----------------------------------------------


def whole(client: HostConnection, request: bytes) -> None:
    client.send(request)


def in_pieces(client: HostConnection, request: bytes) -> None:
    client.send(request[:-5])
    time.sleep(0.05)
    client.send(request[-5:])


def behind_an_async_one(client: HostConnection, request: bytes) -> None:
    client.send(request_bytes("/nap", envelope(0.05)) + request)
    assert client.receive().status == 200


def behind_a_large_answer(client: HostConnection, request: bytes) -> None:
    """The client reads it late, so that the rest of it is written on the loop, and with it the next request served."""
    client.send(request_bytes("/large", envelope(20_000_000)) + request)
    time.sleep(0.1)
    assert client.receive().status == 200


WAYS = [whole, in_pieces, behind_an_async_one, behind_a_large_answer]


class Neighbours:
    """What other clients do meanwhile."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open = ExitStack()

    def nobody(self) -> None:
        pass

    def async_invocation(self) -> None:
        self._open.enter_context(self._server.connect()).send(request_bytes("/nap", envelope(1.0)))

    def half_request(self) -> None:
        self._open.enter_context(self._server.connect()).send(request_bytes("/pid", envelope(1.0))[:-5])

    def slow_reader(self) -> None:
        self._open.enter_context(self._server.connect()).send(request_bytes("/large", envelope(20_000_000)))

    def __enter__(self) -> "Neighbours":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


NEIGHBOURS = [Neighbours.nobody, Neighbours.async_invocation, Neighbours.half_request, Neighbours.slow_reader]


def test_a_def_handler_always_finds_the_same(server: Server) -> None:
    """However it arrives, whoever is beside it, and whatever those before it have left behind."""
    first = ask(server, "look")
    assert first[0] == 200
    assert first[1] | {"current": "", "policy": ""} == {
        "user": "hook",
        "precision": 28,
        "policy": "",
        "is_main": True,
        "thread": 0,
        "running": False,
        "ran": 0.1,
        "db": 42,
        "current": "",
    }
    spoils = ["loop", "no loop", "closed loop", "policy", "no policy", "failure"]
    number = 0
    for neighbour in NEIGHBOURS:
        for way in WAYS:
            with Neighbours(server) as neighbours:
                neighbour(neighbours)
                spoil = spoils[number % len(spoils)]
                number += 1
                assert ask(server, "spoil", spoil)[0] == (500 if spoil == "failure" else 200)
                assert ask(server, "spoil_async", spoil)[0] == 200
                with server.connect() as client:
                    way(client, request_bytes("/look", envelope()))
                    response = client.receive()
                    found = (response.status, response.value if response.status == 200 else response.body)
                    assert found == first, (neighbour.__name__, way.__name__, spoil)


def test_an_async_handler_always_finds_the_same(server: Server) -> None:
    """One loop in one thread, and a context of its own."""
    first = ask(server, "look_async")
    assert first == (200, first[1] | {"loop": True, "thread": True, "user": "hook", "precision": 28})
    for way in WAYS:
        ask(server, "spoil", "policy")
        ask(server, "spoil_async")
        with server.connect() as client:
            way(client, request_bytes("/look_async", envelope()))
            assert client.receive().value == first[1], way.__name__


def test_async_invocations_and_slow_clients_go_on_beside_a_def_handler(server: Server) -> None:
    """It has the main thread for itself, and they have the loop."""
    with server.connect() as slow, server.connect() as busy, server.connect() as napping, server.connect() as reading:
        napping.send(request_bytes("/nap", envelope(0.3)))
        request = request_bytes("/nap", envelope(0.1))
        slow.send(request[:-5])
        reading.send(request_bytes("/large", envelope(20_000_000)))
        time.sleep(0.1)
        busy.send(request_bytes("/burn", envelope(2)))
        time.sleep(0.05)
        slow.send(request[-5:])
        for client in (napping, slow, reading):
            assert client.receive().status == 200
        assert busy.quiet
        assert busy.receive().status == 200


def test_a_request_that_waits_for_the_main_thread_is_answered_at_its_deadline(server: Server) -> None:
    """It was read on the loop, so that no other worker can have it; its own deadline holds all the same."""
    with server.connect() as slow, server.connect() as busy:
        request = request_bytes("/brief", envelope())
        slow.send(request[:-5])
        time.sleep(0.1)
        busy.send(request_bytes("/burn", envelope(2)))
        time.sleep(0.1)
        slow.send(request[-5:])
        response = slow.receive()
        assert (response.status, "never started" in response.json()["detail"]) == (504, True)
        assert busy.quiet
        assert slow.invoke("nap", 0.01).status == 200
        assert busy.receive().status == 200
    assert ask(server, "brief")[0] == 200


# -- what is left on the loop, or done to it ---------------------------------------------------------------------------


def test_the_loop_turns_between_requests(server: Server) -> None:
    """What a hook and what a handler have left there goes on, with nobody calling."""
    assert ask(server, "leave_task", {"seconds": 0.3, "word": "audit"})[0] == 200
    before = ask(server, "background")[1]
    wait_for(lambda: "later: audit" in server.stdout, "the task that was left behind")
    after = ask(server, "background")[1]
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before > 3


FAILURES = ["exit", "interrupt", "generator exit", "cancel", "error"]
MEDDLING = [
    *((function, how) for function in ("leave_failure", "await_failure", "raise_it") for how in FAILURES),
    *(("meddle", how) for how in ("cancel all", "cancel others", "stop", "callback exits", "callback fails")),
]


def test_nothing_on_the_loop_ends_the_worker(server: Server) -> None:
    """Failures of tasks left behind, awaited or in the handler itself, and what is done to the loop and its tasks."""
    worker = ask(server, "pid")
    for function, how in MEDDLING:
        began = time.monotonic()
        status, _ = ask(server, function, how)
        right = 500 if function in ("await_failure", "raise_it") or how == "cancel all" else 200
        assert status == right, (function, how)
        assert time.monotonic() - began < 1 * PATIENCE
        assert ask(server, "nap", 0.001) == worker
        assert ask(server, "pid") == worker
    wait_for(lambda: any("left behind" in line for line in server.stderr), "the traceback of a task left behind")
    assert ask(server, "keep_failure", "error")[0] == 200
    told = "the task fail_by"
    wait_for(lambda: any(told in line for line in server.stderr), "that of one that is kept, and that nobody awaits")
    assert sum(told in line for line in server.stderr) <= 2


def test_a_neighbour_that_is_cancelled_is_answered_at_once(server: Server) -> None:
    """By code that cancels all other tasks: their invocations are 500, and nobody waits for a deadline."""
    with server.connect() as napping:
        napping.send(request_bytes("/nap", envelope(30)))
        time.sleep(0.1)
        assert ask(server, "meddle", "cancel others")[0] == 200
        assert napping.receive().status == 500
    assert "worker.killed" not in "".join(server.stderr)


def test_tasks_left_behind_have_the_rest_of_the_drain(serve: Serve) -> None:
    """One that ends in it ends; one that does not is cancelled, can clean up, and is named in one line."""
    server = serve(app="surroundings:app", cwd=APPS, workers=1, drain=4)
    assert ask(server, "leave_task", {"seconds": 1, "word": "accepted"})[0] == 200
    assert ask(server, "leave_task", {"seconds": 60, "word": "endless"})[0] == 200
    began = time.monotonic()
    server.signal(15)
    assert server.wait() == 0 or server.process.returncode == 200
    took = time.monotonic() - began
    assert 2.5 < took < 4.5 + PATIENCE
    assert "later: accepted" in server.stdout
    assert "cancelled: endless" in server.stdout
    named = [line for line in server.stdout + server.stderr if "tasks.cancelled" in line]
    assert len(named) == 1
    assert "later (" in named[0]
    assert "accepted" not in named[0]
    assert "stop hook ran" in server.stdout


def test_a_drain_with_nothing_left_behind_is_quick(serve: Serve) -> None:
    """A service of a start hook, which the stop hook ends, keeps nobody waiting."""
    server = serve(app="surroundings:app", cwd=APPS, workers=1, drain=8)
    assert ask(server, "background")[0] == 200
    began = time.monotonic()
    server.signal(15)
    server.wait()
    assert time.monotonic() - began < 3
    assert not [line for line in server.stdout + server.stderr if "tasks.cancelled" in line]


# -- children ----------------------------------------------------------------------------------------------------------


def one_answer_each(server: Server, function: str, jobs: Iterator[str] | list[str]) -> list[Any]:
    """The values, all over one connection; anything that is sent there besides them fails."""
    values = []
    with server.connect() as client:
        for job in jobs:
            response = client.invoke(function, job)
            assert response.status == 200, response.body
            values.append(response.value)
            assert client.quiet
    return values


@pytest.mark.parametrize("function", ["fork", "fork_async"])
def test_a_forked_child_is_no_worker(server: Server, function: str) -> None:
    """It ends where it says so, or where it comes back; one answer is given, by its parent."""
    worker = ask(server, "pid")
    codes = {"wait": 11} if function == "fork_async" else {}
    codes |= {"exit": 7, "exit with words": 1, "raise": 1, "hard": 9, "return": 0}
    assert one_answer_each(server, function, list(codes)) == list(codes.values())
    assert ask(server, "pid") == worker
    assert len(server.workers()) == 1
    wait_for(lambda: "the child says why" in server.stderr, "its last words")
    wait_for(lambda: any("ValueError: of the child" in line for line in server.stderr), "its traceback")
    records = [line for line in server.stdout + server.stderr if "a record of the child" in line]
    assert len(records) == len(codes)


def test_children_end_by_sigterm(server: Server) -> None:
    """As in any program, for the worker's handler is not theirs."""
    assert one_answer_each(server, "terminate", ["", ""]) == [-15, -15]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_every_start_method(server: Server, method: str) -> None:
    """Pools, processes that are terminated, executors."""
    assert one_answer_each(server, "processes", [method]) == [[[0, 1, 4, 9, 16], -15]]


def test_programs_that_handlers_start(server: Server) -> None:
    """With a function in front of the exec, and from the loop."""
    [[out]] = one_answer_each(server, "preexec", ["one"])
    assert out.splitlines()[-1] == "one"
    assert one_answer_each(server, "asyncio_subprocess", ["two"]) == [["two", 0]]
