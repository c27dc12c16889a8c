"""A server that has nothing to do does nothing, and is all there again at the first request."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness import PATIENCE, STOPPED, Server, switches, wait_asleep, wait_for

Serve = Callable[..., Server]
WINDOW_S = 2.0
# Others that share the machine make a process wait, too; a server that wakes by itself does so in each window.
WINDOWS = 3


def woken(server: Server) -> dict[int, int]:
    return {pid: switches(pid) for pid in [server.pid, *server.descendants()]}


def test_idle_server_wakes_less_than_three_times_a_second(serve: Serve) -> None:
    """All processes together, whatever they have served before, and however many workers there are."""
    server = serve(workers=3)
    with server.connect() as host:
        for function in ("echo", "nap", "compute") * 3:
            assert host.invoke(function, 0.01).status == 200
        wait_asleep(server)
        counts = []
        for _ in range(WINDOWS):
            before, began = woken(server), time.monotonic()
            wait_for(lambda began=began: time.monotonic() - began >= WINDOW_S, "the time to count in")
            after = woken(server)
            assert before.keys() == after.keys()
            assert len(before) == 6  # supervisor, warden, zygote, workers
            counts.append(sum(after.values()) - sum(before.values()))
            if counts[-1] < 3 * WINDOW_S:
                break
        assert min(counts) < 3 * WINDOW_S, counts
        assert host.invoke("echo", {"still": "there"}).value == {"still": "there"}


def test_sleeping_server_drains_at_once(serve: Serve) -> None:
    """Workers that rest are woken to be told."""
    server = serve(workers=2)
    wait_asleep(server)
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == STOPPED
    assert time.monotonic() - began < 1.5 * PATIENCE
    assert not [line for line in server.stderr if "killed" in line]


def test_sleeping_server_reloads_at_once(serve: Serve) -> None:
    """The old workers rest, and leave all the same when their successors are there."""
    server = serve(workers=2)
    wait_asleep(server)
    before = server.workers()
    server.signal(signal.SIGHUP)
    wait_for(lambda: len(server.workers()) == 2 and not server.workers() & before, "two new workers")


def test_idle_worker_closes_what_its_client_has_closed(serve: Serve) -> None:
    """Also the workers that rest meanwhile drop a connection, so that its number is free for another."""
    server = serve(workers=2)
    with server.connect() as host, server.connect() as other:
        for _ in range(20):
            host.invoke("pid")
            other.invoke("pid")
        wait_asleep(server)
    wait_for(lambda: not any(map(connections, [server.pid, *server.workers()])), "no connection to be open", 5)


def connections(pid: int) -> list[str]:
    return [entry.name for entry in Path(f"/proc/{pid}/fd").iterdir() if int(entry.name) >= 10_000]
