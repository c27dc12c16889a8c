"""SIGTERM, SIGINT and the way to a clean end."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PATIENCE, STOPPED, Server, alive, envelope, request_bytes, wait_for

Serve = Callable[..., Server]


def draining(server: Server) -> bool:
    return any("drain.begins" in line for line in server.stdout)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_ends_and_late_requests_are_told(serve: Serve, number: signal.Signals) -> None:
    """The one in flight gets its 200, the late ones 503 with Retry-After, on old and new connections; exit 0."""
    server = serve(workers=2)
    with server.connect() as busy, server.connect() as late:
        late.invoke("pid")
        busy.send(request_bytes("/compute", envelope(1.0)))
        wait_for(lambda: any_running(server), "the computing worker")
        server.signal(number)
        wait_for(lambda: draining(server), "the drain")
        # The kernel tells a request's age in steps of 4 ms: one that is as young as the drain may still be served.
        refused = wait_for(lambda: (r := late.invoke("pid")).status == 503 and r, "a refusal", 1)
        with server.connect() as newcomer:
            refused_too = newcomer.invoke("pid")
        for response in (refused, refused_too):
            assert response.status == 503
            assert response.headers["retry-after"] == "1"
            assert response.headers["content-type"] == "application/problem+json"
        assert busy.receive().status == 200
    assert server.wait() == STOPPED


def any_running(server: Server) -> bool:
    return any(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R" for pid in server.workers())


def test_request_that_waited_before_the_drain_is_served(serve: Serve) -> None:
    """One that lay in its socket when the signal came was there in time."""
    server = serve(workers=1)
    with server.connect() as busy, server.connect() as waiting:
        waiting.invoke("pid")
        busy.send(request_bytes("/compute", envelope(0.7)))
        wait_for(lambda: any_running(server), "the computing worker")
        waiting.send(request_bytes("/pid", envelope(1)))
        began = time.monotonic()
        while time.monotonic() - began < 0.1:  # more than a tick of the kernel's clock before the signal
            pass
        server.signal(signal.SIGTERM)
        assert busy.receive().status == 200
        assert waiting.receive().status == 200
    assert server.wait() == STOPPED


def test_drain_has_an_end(serve: Serve) -> None:
    """What is still running after FASTWORKER_DRAIN is answered 503 and killed."""
    server = serve(workers=1, drain=0.5)
    with server.connect() as host:
        host.send(request_bytes("/stubborn", envelope(1)))
        wait_for(lambda: any_running(server), "the stubborn worker")
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        response = host.receive()
        assert response.status == 503
        assert "FASTWORKER_DRAIN=0.5" in response.json()["detail"]
        assert 0.4 < time.monotonic() - began < 1.5 * PATIENCE
    assert server.wait() == STOPPED


def test_second_signal_hurries(serve: Serve) -> None:
    """Ctrl-C twice does not wait for FASTWORKER_DRAIN."""
    server = serve(workers=1)
    with server.connect() as host:
        host.send(request_bytes("/stubborn", envelope(1)))
        wait_for(lambda: any_running(server), "the stubborn worker")
        began = time.monotonic()
        server.signal(signal.SIGINT)
        wait_for(lambda: draining(server), "the drain")
        server.signal(signal.SIGINT)
        assert host.receive().status == 503
        assert server.wait() == STOPPED
        assert time.monotonic() - began < 2 * PATIENCE


def test_idle_server_ends_at_once(serve: Serve) -> None:
    """With nothing in flight a stop takes no longer than idle workers take to hear of it."""
    server = serve(workers=4)
    with server.connect() as host:
        host.invoke("pid")
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == STOPPED
        assert time.monotonic() - began < 1.5 * PATIENCE


APP_WITH_HOOKS = """
import asyncio, os, time
import fastworker as fw

app = fw.App()

@app.on_worker_start
async def start():
    await asyncio.sleep(0)
    app.state.opened = os.getpid()
    print("started", os.getpid(), flush=True)

@app.on_worker_stop
def stop():
    print("stopped", os.getpid(), app.state.opened, flush=True)
    {last_words}

@app.route(methods=["GET"])
def hello(req: fw.Request) -> fw.Response:
    return fw.Response("hello")
"""


def test_hooks_run_in_every_worker(tmp_path: Path) -> None:
    """on_worker_start and on_worker_stop, sync or async, once in each process, with a state of its own."""
    (tmp_path / "function_app.py").write_text(APP_WITH_HOOKS.replace("{last_words}", ""))
    with Server(cwd=tmp_path, app="function_app.py", workers=2) as server:
        server.wait_ready()
        workers = wait_for(lambda: len(server.workers()) == 2 and server.workers(), "both workers")
        wait_for(lambda: sum(line.startswith("started") for line in server.stdout) == 2, "both starts")
        server.signal(signal.SIGTERM)
        assert server.wait() == STOPPED
        assert {f"stopped {pid} {pid}" for pid in workers} <= set(server.stdout)


def test_start_hook_may_take_its_time(tmp_path: Path) -> None:
    """Longer than an idle worker may be silent: it is not ready before, and not taken for a stuck one after."""
    (tmp_path / "function_app.py").write_text(
        APP_WITH_HOOKS.replace("asyncio.sleep(0)", "asyncio.sleep(2.3)  # handler").replace("{last_words}", "")
    )
    with Server(cwd=tmp_path, app="function_app.py", workers=1) as server:
        server.wait_ready()
        assert server.stderr == []
        wait_for(lambda: server.stdout, "what the hook has said")
        assert sum(line.startswith("started") for line in server.stdout) == 1


def test_hook_that_hangs_is_cut_and_one_that_fails_is_told(tmp_path: Path) -> None:
    """A stop hook keeps nobody from ending: its failure is logged."""
    (tmp_path / "function_app.py").write_text(APP_WITH_HOOKS.replace("{last_words}", "raise OSError('gone')"))
    with Server(cwd=tmp_path, app="function_app.py", workers=1) as server:
        server.wait_ready()
        server.signal(signal.SIGTERM)
        assert server.wait() == STOPPED
        assert any("OSError: gone" in line for line in server.stderr)


def test_hanging_stop_hook_is_killed_at_the_end_of_the_drain(tmp_path: Path) -> None:
    """It has FASTWORKER_DRAIN at most."""
    (tmp_path / "function_app.py").write_text(APP_WITH_HOOKS.replace("{last_words}", "time.sleep(600)  # handler"))
    with Server(cwd=tmp_path, app="function_app.py", workers=1, drain=0.5) as server:
        server.wait_ready()
        tree = server.descendants()
        server.signal(signal.SIGTERM)
        assert server.wait(5) == STOPPED
        assert not any(map(alive, tree))


def test_sigterm_to_one_worker_retires_it_gracefully(serve: Serve) -> None:
    """An operator may end one worker: it finishes what it does, and serves on until its successor is there."""
    server = serve(workers=1)
    (victim,) = server.workers()
    with server.connect() as host:
        host.send(request_bytes("/compute", envelope(0.5)))
        wait_for(lambda: any_running(server), "the computing worker")
        os.kill(victim, signal.SIGTERM)
        assert host.receive().status == 200
        wait_for(lambda: host.invoke("pid").value != victim, "its successor")
    wait_for(lambda: not alive(victim), "its end")
