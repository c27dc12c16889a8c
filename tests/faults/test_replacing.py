"""Reload and recycling: workers are replaced one by one, and nobody notices."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Server, in_threads, wait_for

Serve = Callable[..., Server]

VERSIONED = """
import os, time
import fastworker as fw

app = fw.App()

@app.generic_trigger("job", type="manualTrigger")
@app.generic_output_binding("$return", type="queue", queueName="q", connection="S")
def version(job: float):
    until = time.monotonic() + job
    while time.monotonic() < until:
        pass
    return [{"version": VERSION, "pid": os.getpid()}]
"""


def write(folder: Path, version: object) -> None:
    """A new version of the app, in one step."""
    new = folder / "new.txt"
    new.write_text(VERSIONED.replace("VERSION", repr(version)))
    new.rename(folder / "function_app.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, 0)
    return tmp_path


def versions(server: Server, count: int = 10) -> set[object]:
    with server.connect() as host:
        return {host.invoke("version", 0.0).value["version"] for _ in range(count)}


def test_reload_brings_the_new_code(serve: Serve, folder: Path) -> None:
    """After SIGHUP the same server runs what now stands in the file."""
    server = serve(cwd=folder, app="function_app.py", workers=2)
    before = wait_for(lambda: len(server.workers()) == 2 and server.workers(), "both workers")
    write(folder, 1)
    server.signal(signal.SIGHUP)
    wait_for(lambda: not server.workers() & before and len(server.workers()) == 2, "new workers")
    assert versions(server) == {1}
    wait_for(lambda: len(server.zygotes()) == 1, "the end of the old zygote")


def test_twenty_reloads_under_load_fail_no_request(serve: Serve, folder: Path) -> None:
    """Eight connections never stop; every request is answered 200 on a connection that stays."""
    server = serve(cwd=folder, app="function_app.py", workers=2)
    done = threading.Event()
    seen: list[int] = []

    def client(index: int) -> None:
        if index == 0:
            for version in range(1, 21):
                write(folder, version)
                server.signal(signal.SIGHUP)
                wait_for(lambda version=version: version in seen[-200:], f"version {version}", 20)
            done.set()
            return
        with server.connect() as host:
            while not done.is_set():
                response = host.invoke("version", 0.001)
                assert response.status == 200
                assert "connection" not in response.headers
                seen.append(response.value["version"])

    in_threads(9, client)
    assert set(seen) >= {0, 20}
    assert server.stderr == []


@pytest.mark.parametrize("broken", ["1/0", "import sys; sys.exit(1)", "def broken(:"])
def test_reload_of_code_that_does_not_import_keeps_the_old(serve: Serve, folder: Path, broken: str) -> None:
    """The error is told, the old code goes on, and the next reload may bring a better one."""
    server = serve(cwd=folder, app="function_app.py", workers=2)
    workers = wait_for(lambda: len(server.workers()) == 2 and server.workers(), "both workers")
    (folder / "function_app.py").write_text(broken)
    server.signal(signal.SIGHUP)
    wait_for(lambda: any("reload.failed" in line for line in server.stderr), "the complaint")
    assert versions(server) == {0}
    assert server.workers() == workers
    write(folder, 2)
    server.signal(signal.SIGHUP)
    wait_for(lambda: versions(server) == {2}, "the repaired code")


def test_reload_whose_workers_cannot_start_keeps_the_old(serve: Serve, folder: Path) -> None:
    """New code whose start hook fails is given up after some tries, without ever fewer workers."""
    server = serve(cwd=folder, app="function_app.py", workers=2)
    workers = wait_for(lambda: len(server.workers()) == 2 and server.workers(), "both workers")
    source = (folder / "function_app.py").read_text()
    (folder / "function_app.py").write_text(source + "\n@app.on_worker_start\ndef fail():\n    raise OSError('no')\n")
    server.signal(signal.SIGHUP)
    wait_for(lambda: any("reload.failed" in line for line in server.stderr), "the complaint")
    assert workers <= server.workers()
    assert versions(server) == {0}


def test_worker_is_recycled_after_its_requests(serve: Serve) -> None:
    """FASTWORKER_MAX_REQUESTS, with jitter: all are answered 200, by ever new workers."""
    server = serve(workers=2, max_requests=100)
    pids: set[int] = set()

    def client(_: int) -> None:
        with server.connect() as host:
            while len(pids) < 8:
                response = host.invoke("pid")
                assert response.status == 200
                assert "connection" not in response.headers
                pids.add(response.value)

    in_threads(4, client)
    assert server.stderr == []


def test_worker_that_has_grown_is_recycled(serve: Serve) -> None:
    """FASTWORKER_MAX_RSS, between invocations, invisible to the host."""
    server = serve(workers=1, max_rss="150MiB")
    with server.connect() as host:
        fat = host.invoke("hoard", 200).value
        wait_for(lambda: host.invoke("pid").value != fat, "a slim successor", 5 * PATIENCE)
    assert server.stderr == []


def test_workers_are_added_and_removed_by_signals_and_stay_so_over_a_reload(serve: Serve) -> None:
    """SIGTTIN and SIGTTOU; the last one is never removed."""
    server = serve(workers=1)
    server.signal(signal.SIGTTIN)
    wait_for(lambda: len(server.workers()) == 2, "one worker more")
    before = server.workers()
    server.signal(signal.SIGHUP)
    wait_for(lambda: len(server.workers()) == 2 and not server.workers() & before, "two new workers")
    for left in (1, 1):
        server.signal(signal.SIGTTOU)
        wait_for(lambda left=left: len(server.workers()) == left, "one worker less")
    wait_for(lambda: any("workers.unchanged" in line for line in server.stderr), "the word that it is the last one")
    with server.connect() as host:
        assert host.invoke("pid").status == 200


def test_a_range_of_workers_grows_while_requests_wait(serve: Serve) -> None:
    """Functions that wait for something hold their worker; nobody is refused meanwhile."""
    server = serve(workers="1-3")
    answers: list[int] = []

    def ask(_: int) -> None:
        with server.connect() as host:
            answers.extend(host.invoke("nap_sync", 0.7).status for _ in range(8))

    assert len(server.workers()) == 1
    in_threads(5, ask)
    assert answers == [200] * 40
    assert len(server.workers()) == 3
    assert [line for line in server.stdout if "workers.changed" in line and "requests wait" in line]
