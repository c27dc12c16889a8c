"""Too many, too slow, too little: what a server meets that runs for long."""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import (
    PATIENCE,
    STOPPED,
    HostConnection,
    Server,
    alive,
    envelope,
    in_threads,
    request_bytes,
    wait_for,
)

Serve = Callable[..., Server]


def still_serves(server: Server) -> bool:
    with server.connect() as host:
        return bool(host.invoke("echo", {"a": 1}).value == {"a": 1})


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_flood_of_2000_connections_is_served(serve: Serve) -> None:
    """All stay open at once, all are answered, and all descriptors come back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    server = serve(workers=2)
    before = open_descriptors(server.pid)
    connections = [server.connect() for _ in range(2000)]
    for connection in connections:
        connection.send(request_bytes("/echo", envelope({"a": 1})))
    assert {connection.receive().status for connection in connections} == {200}
    for connection in connections:
        connection.close()
    wait_for(lambda: open_descriptors(server.pid) <= before + 2, "closed descriptors")
    assert still_serves(server)


def test_exhausted_descriptors_pause_accepting_and_recover(serve: Serve) -> None:
    """More connections than there are descriptors wait in the backlog; the pause is told once, and ends."""
    server = serve(workers=1, open_files=80)
    connections = [server.connect() for _ in range(60)]
    for connection in connections:
        connection.send(request_bytes("/echo", envelope({"a": 1})))
    wait_for(lambda: any("accept.paused" in line for line in server.stderr), "the pause")
    served = [connection for connection in connections if connection.wait_readable(0.05)]
    assert 20 < len(served) < 60
    for connection in served:
        assert connection.receive().status == 200
        connection.close()
    for connection in set(connections) - set(served):
        assert connection.receive().status == 200
        connection.close()
    assert still_serves(server)
    assert sum("accept.paused" in line for line in server.stderr) < 5


def test_slow_clients_by_the_hundred_hold_nobody_back(serve: Serve) -> None:
    """Slow-loris: each sends a byte now and then; others are served at once, and the slow ones told 408."""
    server = serve(workers=1, read_timeout=1.5)
    slow = [server.connect() for _ in range(200)]
    for turn in range(5):
        for connection in slow:
            connection.send(b"POST /echo"[turn : turn + 1])
        with server.connect() as host:
            began = time.monotonic()
            assert host.invoke("echo", {"turn": turn}).status == 200
            assert time.monotonic() - began < 0.2 * PATIENCE
    assert {connection.receive().status for connection in slow} == {408}
    for connection in slow:
        connection.close()


def test_half_open_and_reset_connections_leave_nothing_behind(serve: Serve) -> None:
    """Clients that reset at any moment cost neither descriptors nor workers."""
    server = serve(workers=2)
    before = open_descriptors(server.pid)
    request = request_bytes("/echo", envelope({"a": "b" * 5000}))
    for cut in range(0, len(request), 37):
        host = server.connect()
        host.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        host.send(request[:cut])
        host.close()
    wait_for(lambda: open_descriptors(server.pid) <= before + 2, "closed descriptors")
    assert still_serves(server)
    assert server.stderr == []


def test_garbage_never_ends_a_worker(serve: Serve) -> None:
    """Whatever bytes come, the answer is HTTP or the end, and the same processes go on serving."""
    server = serve(workers=1, read_timeout=0.2)
    workers = server.workers()
    whole = request_bytes("/echo", envelope({"a": 1}))

    mutated = st.tuples(st.integers(0, len(whole) - 1), st.binary(max_size=20)).map(
        lambda change: whole[: change[0]] + change[1] + whole[change[0] + len(change[1]) :]
    )

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=300) | mutated)
    def throw(data: bytes) -> None:
        with server.connect() as host:
            host.send(data)
            host.socket.shutdown(socket.SHUT_WR)
            try:
                while True:
                    assert host.receive().status in (200, 400, 404, 405, 408, 413, 431, 501, 505)
            except (EOFError, ConnectionResetError):
                pass

    throw()
    assert server.workers() == workers
    assert still_serves(server)


def test_out_of_memory_is_one_500(serve: Serve) -> None:
    """A handler that meets the memory limit of its worker fails alone."""
    server = serve(workers=1)
    with server.connect() as host:
        assert host.invoke("gluttony", 64).status == 500
        assert host.invoke("echo", {"a": 1}).status == 200


@pytest.mark.parametrize("sink", ["full", "closed"])
def test_output_that_cannot_be_written_harms_nobody(serve: Serve, sink: str) -> None:
    """A full disk or a closed pipe under stdout and stderr: handlers that print and log go on."""
    if sink == "full":
        output = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, output = os.pipe()
        os.close(reader)
    server = serve(workers=1, stdout=output)
    os.close(output)
    with server.connect() as host:
        assert host.invoke("printing", "x").status == 200
        assert host.invoke("fail", "x").status == 500
        assert host.invoke("segfault", 1).status == 500
        assert host.invoke("printing", "x").status == 200
    server.signal(signal.SIGTERM)
    assert server.wait() == STOPPED


def test_suspended_machine_kills_nobody(serve: Serve) -> None:
    """After a pause of everything, workers get their grace to be late in; nobody is killed for the time asleep."""
    server = serve(workers=2, deadline=1, grace=1)
    workers = wait_for(lambda: len(server.workers()) == 2 and server.workers(), "both workers")
    everybody = [server.pid, *server.descendants()]
    with server.connect() as host:
        host.send(request_bytes("/nap", envelope(0.9)))
        wait_for(lambda: not host.quiet or True, "a moment")
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + 2.5
        wait_for(lambda: time.monotonic() > until, "the end of the sleep")
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)
        assert host.receive().status in (200, 504)
        assert host.invoke("pid").status == 200
    assert server.workers() == workers
    assert any("supervisor.paused" in line for line in server.stderr)


def app_of(folder: Path, imports: str) -> None:
    (folder / "function_app.py").write_text(
        f"{imports}\nimport fastworker as fw\napp = fw.App()\n@app.route()\ndef hello(req): return 'hello'\n"
    )


def test_import_that_hangs_ends_in_code_3(tmp_path: Path) -> None:
    """FASTWORKER_START_TIMEOUT bounds it, and nobody is left."""
    app_of(tmp_path, "import time\nwhile True: time.sleep(1)  # handler")
    with Server(cwd=tmp_path, app="function_app.py", start_timeout=1) as server:
        tree = wait_for(server.descendants, "the zygote")
        assert server.wait() == 3
        assert "FASTWORKER_START_TIMEOUT=1" in server.stderr[-1]
        assert not any(map(alive, tree))


def test_import_that_starts_threads_is_warned_of(tmp_path: Path) -> None:
    """Forked workers do not have them; the warning names them and the two ways out."""
    app_of(tmp_path, "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='poller').start()")
    with Server(cwd=tmp_path, app="function_app.py", workers=1) as server:
        server.wait_ready()
        line = next(line for line in server.stderr if "app.threads" in line)
        assert "poller" in line
        assert "on_worker_start" in line
        assert "FASTWORKER_PRELOAD=0" in line


def test_import_that_forks_does_not_become_two_servers(tmp_path: Path) -> None:
    """The child that falls out of the import ends; the app is served once."""
    app_of(tmp_path, "import os\nos.fork()")
    with Server(cwd=tmp_path, app="function_app.py", workers=1) as server:
        server.wait_ready()
        wait_for(lambda: any("app.forked" in line for line in server.stderr), "the complaint")
        wait_for(lambda: len(server.descendants()) == 3, "a warden, a zygote, a worker")


@pytest.mark.parametrize("preload", [1, 0])
def test_a_child_that_the_import_forks_may_end_as_it_likes(tmp_path: Path, preload: int) -> None:
    """By sys.exit or by an exception: its end is not the server's, and its exit functions run."""
    source = """import atexit, os, sys
for how in range(3):
    if os.fork() == 0:
        atexit.register(lambda: print("child", how, "ended", flush=True))
        sys.exit(how) if how else 1 / 0
"""
    app_of(tmp_path, source)
    with Server(cwd=tmp_path, app="function_app.py", workers=1, preload=preload) as server:
        server.wait_ready()
        wait_for(lambda: {f"child {how} ended" for how in range(3)} <= set(server.stdout), "all ends")
        server.signal(signal.SIGTERM)
        assert server.wait() in (0, 200)


@pytest.mark.parametrize(("source", "code"), [("", STOPPED), ("1/0", 3)])
def test_preload_off_imports_in_each_worker(tmp_path: Path, source: str, code: int) -> None:
    """FASTWORKER_PRELOAD=0 is for apps that cannot be forked; an import that fails there is still code 3."""
    app_of(tmp_path, f"import os\nprint('imported', os.getpid(), flush=True)\n{source}")
    with Server(cwd=tmp_path, app="function_app.py", workers=2, preload=0) as server:
        if code == STOPPED:
            server.wait_ready()
            wait_for(lambda: len({line for line in server.stdout if line.startswith("imported")}) == 2, "two imports")
            server.signal(signal.SIGTERM)
        assert server.wait() == code
        if code != STOPPED:
            assert "ZeroDivisionError" in server.stderr[-1]


def test_app_may_have_descriptors_of_its_own(serve: Serve) -> None:
    """Hundreds of files that handlers hold open do not meet the connections' numbers."""
    server = serve(workers=1)
    with server.connect() as host:
        assert host.invoke("open_files", 500).status == 200

    def client(_: int) -> None:
        with HostConnection(server.port) as host:
            assert host.invoke("echo", {"a": 1}).status == 200

    in_threads(10, client)
