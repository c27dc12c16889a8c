"""Workers that die, in every way and at every moment: one answer each, and nobody else notices."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Server, alive, envelope, in_threads, request_bytes, wait_for

Serve = Callable[..., Server]


@pytest.mark.parametrize(("function", "cause"), [("segfault", "SIGSEGV"), ("leave", "exited with code 1")])
def test_crash_costs_exactly_one_500(serve: Serve, function: str, cause: str) -> None:
    """On a connection that stays usable, and with the cause in the problem."""
    server = serve(workers=2)
    with server.connect() as host:
        response = host.invoke(function, 1, invocation_id="aaaaaaaa-0000-0000-0000-000000000000")
        assert response.status == 500
        problem = response.json()
        assert cause in problem["detail"]
        assert problem["function"] == function
        assert problem["invocationId"] == "aaaaaaaa-0000-0000-0000-000000000000"
        assert host.quiet
        for _ in range(20):
            assert host.invoke("pid").status == 200


def test_only_worker_is_replaced_within_moments(serve: Serve) -> None:
    """With one worker, the next request waits only for its successor, be there ever so many poisonous ones in a row."""
    server = serve(workers=1)
    with server.connect() as host:
        for _ in range(12):
            assert host.invoke("segfault").status == 500
        for _ in range(5):
            assert host.invoke("segfault").status == 500
            began = time.monotonic()
            assert host.invoke("pid").status == 200
            assert time.monotonic() - began < 0.25 * PATIENCE


def test_killed_idle_worker_costs_nothing(serve: Serve) -> None:
    """kill -9 of a worker that does nothing is noticed by nobody but the log."""
    server = serve(workers=2)
    with server.connect() as host:
        for _ in range(10):
            victim = random.choice(sorted(server.workers()))
            os.kill(victim, signal.SIGKILL)
            assert host.invoke("pid").status == 200
            wait_for(lambda: len(server.workers()) == 2, "the successor")
    assert any("worker.died" in line and "SIGKILL" in line for line in server.stderr)


def test_workers_killed_at_random_moments_under_load_lose_nothing(serve: Serve) -> None:
    """Each request has exactly one answer: 200, or 500 if it was in the killed worker; no connection breaks."""
    server = serve(workers=3)
    done = threading.Event()
    statuses: list[int] = []

    def kill() -> None:
        chance = random.Random(1)
        until = time.monotonic() + 6
        while time.monotonic() < until:
            victims = sorted(server.workers())
            if victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
            time.sleep(chance.uniform(0.005, 0.05))
        done.set()

    def client(index: int) -> None:
        if index == 0:
            kill()
            return
        with server.connect() as host:
            turn = 0
            while not done.is_set():
                response = host.invoke("echo", {"me": [index, turn]})
                statuses.append(response.status)
                if response.status == 200:
                    assert response.value == {"me": [index, turn]}
                else:
                    assert response.status == 500
                turn += 1
            assert host.quiet

    in_threads(9, client)
    assert len(statuses) > 500
    assert statuses.count(200) > 0.9 * len(statuses)


def test_mixed_crashes_and_overruns_lose_nothing(serve: Serve) -> None:
    """16 connections, 10 s: every request gets exactly one answer, of the right kind, and no connection is reset."""
    server = serve(workers=4, deadline=0.3, grace=0.2)
    until = time.monotonic() + 10
    answers: dict[str, list[int]] = {"echo": [], "segfault": [], "stubborn": [], "spin": []}

    def client(index: int) -> None:
        chance = random.Random(index)
        with server.connect() as host:
            while time.monotonic() < until:
                function = chance.choices(list(answers), [970, 20, 5, 5])[0]
                answers[function].append(host.invoke(function, {"n": index}).status)
            assert host.quiet

    in_threads(16, client)
    # Any may have waited longer than this deadline behind overrunning ones, but none was lost.
    assert 500 in answers["segfault"]
    assert set(answers["segfault"]) <= {500, 504}
    assert set(answers["stubborn"]) == {504}
    assert set(answers["spin"]) == {504}
    assert set(answers["echo"]) <= {200, 504}
    assert answers["echo"].count(200) > 0.95 * len(answers["echo"])


def test_subprocesses_of_a_killed_worker_go_with_it(serve: Serve) -> None:
    """A worker is its own process group."""
    server = serve(workers=1, deadline=0.3, grace=0.2)
    with server.connect() as host:
        assert host.invoke("child").status == 504
    line = wait_for(lambda: next((line for line in server.stdout if line.startswith("child=")), None), "the child")
    wait_for(lambda: not alive(int(line.removeprefix("child="))), "the child's end")


def test_death_of_the_zygote_is_survived(serve: Serve) -> None:
    """Its workers die with it; what they did is answered, the app is imported again, the port stays."""
    server = serve(workers=2)
    with server.connect() as host:
        (zygote,) = server.zygotes()
        os.kill(zygote, signal.SIGKILL)
        statuses = [host.invoke("pid").status for _ in range(10)]
    assert set(statuses) <= {200, 500}
    assert statuses[-1] == 200
    assert any("zygote.died" in line for line in server.stderr)


def test_death_of_the_zygote_while_it_is_to_fork_is_survived(serve: Serve) -> None:
    """Also when it owes the supervisor workers at that moment."""
    server = serve(workers=4)
    for _ in range(3):
        wait_for(lambda: len(server.workers()) == 4, "workers")  # young ones, the second time
        (zygote,) = wait_for(lambda: len(server.zygotes()) == 1 and server.zygotes(), "a zygote")
        os.kill(zygote, signal.SIGSTOP)
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
        os.kill(zygote, signal.SIGKILL)
    with server.connect() as host:
        wait_for(lambda: host.invoke("pid").status == 200, "an answer")


def test_young_workers_that_are_killed_do_not_end_the_server(serve: Serve) -> None:
    """As the out-of-memory killer does it to one after the other: the server goes on as soon as it may."""
    server = serve(workers=1)
    for _ in range(6):
        (victim,) = wait_for(server.workers, "a worker")
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda victim=victim: not alive(victim), "its end")
    with server.connect() as host:
        assert host.invoke("pid").status == 200
    assert server.process.poll() is None


def test_killed_supervisor_leaves_nobody_and_frees_the_port(serve: Serve) -> None:
    """The host ends a handler with SIGKILL and starts it again on the same port at once (protocol 5.3)."""
    server = serve(workers=2)
    tree = server.descendants()
    assert len(tree) == 4  # the warden, the zygote, two workers
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    wait_for(lambda: not any(map(alive, tree)), "the end of them all", 1)
    with Server(port=server.port) as successor:
        successor.wait_ready()
        with successor.connect() as host:
            assert host.invoke("pid").status == 200


def test_killed_supervisor_takes_busy_workers_along(serve: Serve) -> None:
    """Also a worker inside a long C call ends with its supervisor."""
    server = serve(workers=2)
    with server.connect() as host:
        host.send(request_bytes("/long_c_call", envelope(1)))
        tree = server.descendants()
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        wait_for(lambda: not any(map(alive, tree)), "the end of everybody", 1)


def test_start_hook_that_fails_for_ever_ends_in_code_5(tmp_path: Path) -> None:
    """Nothing can be started any more: the host is told by the exit code and the last line."""
    (tmp_path / "function_app.py").write_text(
        "import fastworker as fw\napp = fw.App()\n"
        "@app.on_worker_start\ndef connect() -> None:\n    raise RuntimeError('no database')\n"
        "@app.route()\ndef hello(req): return 'hello'\n"
    )
    with Server(cwd=tmp_path, app="function_app.py", workers=2) as server:
        assert server.wait() == 5
        assert "no database" in server.stderr[-1]
        assert any("worker.backoff" in line for line in server.stderr)
