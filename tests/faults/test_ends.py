"""Ends, in every order: nothing that the server or its handlers have started is left, and the host is told right."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import (
    STOPPED,
    HostConnection,
    Server,
    alive,
    descendants,
    envelope,
    free_port,
    in_threads,
    process_name,
    request_bytes,
    wait_for,
)

APP = """
import os, signal, subprocess, sys, time
import fastworker as fw

app = fw.App()

def function(handler):
    bound = app.generic_trigger("job", type="manualTrigger")(handler)
    return app.generic_output_binding("$return", type="queue", queueName="results", connection="Storage")(bound)

SLEEP = ["sleep", "300"]
DAEMON = (
    "import subprocess; nothing = subprocess.DEVNULL; "
    "print(subprocess.Popen(['sleep', '300'], stdout=nothing, stderr=nothing, start_new_session=True).pid)"
)

@function
def start(job: str) -> list:
    "A child; one in a session of its own; a daemon, whose parent ends at once; one that is deaf to SIGTERM."
    daemon = subprocess.run([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, start_new_session=True)
    deaf = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"]
    return [[
        subprocess.Popen(SLEEP).pid,
        subprocess.Popen(SLEEP, start_new_session=True).pid,
        int(daemon.stdout),
        subprocess.Popen(deaf, start_new_session=True).pid,
        os.getpid(),
    ]]

@function
def crash(job: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)

@function
def stray(job: str) -> None:
    import socket
    for fd in range(3, 100):
        try:
            kind = socket.socket(fileno=os.dup(fd)).type
        except OSError:
            continue
        if kind == socket.SOCK_SEQPACKET:
            os.write(fd, bytes.fromhex(job))
            time.sleep(5)

@function
def nap(job: float) -> list:
    time.sleep(job)
    return [os.getpid()]

@function
def signals(job: str) -> list:
    "What a program finds that a handler starts."
    names = ("SigBlk", "SigIgn")
    status = subprocess.run(["cat", "/proc/self/status"], stdout=subprocess.PIPE, text=True).stdout
    return [{line.split(":")[0]: int(line.split()[1], 16) for line in status.splitlines() if line[:6] in names}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "function_app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Server:
            return stack.enter_context(Server(cwd=folder, app="function_app.py", **options)).wait_ready()

        yield start


def started_by(server: Server) -> set[int]:
    """What handlers have started in two workers, and everything else below the supervisor."""
    with server.connect() as host:
        found = {pid for _ in range(2) for pid in host.invoke("start", "x").value}
    assert len(found) >= 9
    return found | server.descendants()


def gone(pids: set[int], seconds: float = 2.0) -> None:
    wait_for(lambda: not [pid for pid in pids if alive(pid)], f"the end of {pids}", seconds)


def test_a_server_that_is_told_to_end_leaves_nothing(serve):
    """Exit 200, for then the host that started it starts it again, at once and uncounted; after 0 it never would."""
    server = serve(workers=1)
    pids = started_by(server)
    server.signal(signal.SIGTERM)
    assert server.wait() == STOPPED
    gone(pids, 0.5)
    assert server.stderr == []


def test_a_supervisor_that_is_killed_leaves_nothing(serve):
    """A host ends its handler so at a functionTimeout, a reload, a restart. Sessions of their own are no refuge."""
    server = serve(workers=1)
    pids = started_by(server)
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    gone(pids)


@pytest.mark.parametrize("between", ["nobody", "a shell", "an import"])
def test_a_host_that_is_gone_leaves_nothing(folder, between):
    """It was killed, or crashed, and nobody tells the handler: that sees by itself that its parent has ended.

    Also when a start script stands between them, and lives on; or when the app is just being imported.
    """
    port = free_port()
    command = [sys.executable, "-m", "fastworker", "serve", "function_app.py"]
    if between == "a shell":
        command = ["sh", "-c", f"{shlex.join(command)}; true"]
    if between == "an import":
        (folder / "function_app.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(300)")
    code = f"import subprocess, time\nprint(subprocess.Popen({command!r}).pid, flush=True)\ntime.sleep(300)"
    environ = os.environ | {"FUNCTIONS_CUSTOMHANDLER_PORT": str(port), "FASTWORKER_WORKERS": "1"}
    host = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True, env=environ)
    assert host.stdout is not None
    pids = {int(host.stdout.readline())}
    try:
        if between == "an import":
            while host.stdout.readline() != "importing\n":
                pass
        else:

            def answer() -> Any:
                with contextlib.suppress(OSError), HostConnection(port) as connection:
                    return connection.invoke("start", "x").value
                return None

            pids |= set(wait_for(answer, "an answer"))
        pids |= descendants(host.pid)
        host.kill()
        host.wait()
        gone(pids)
    finally:
        host.kill()
        host.stdout.close()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_worker_ended_from_outside_is_no_error(serve):
    """SIGTERM to a worker is a documented way to replace it; so is a reload."""
    server = serve(workers=2)
    for _ in range(2):
        for victim in wait_for(lambda: len(server.workers()) == 2 and server.workers(), "both workers"):
            os.kill(victim, signal.SIGTERM)
            wait_for(lambda victim=victim: not alive(victim), "its end")
        server.signal(signal.SIGHUP)
        with server.connect() as host:
            assert host.invoke("nap", 0.0).status == 200
    server.signal(signal.SIGTERM)
    assert server.wait() == STOPPED
    assert server.stderr == []


@pytest.mark.parametrize("who", ["fastworker:zygo", "fastworker:ward"])
def test_a_process_that_stands_still_holds_nobody_up(serve, who):
    """A worker that dies is answered for, the others serve on, and SIGTERM ends it all."""
    server = serve(workers=2, drain=2)
    wait_for(lambda: len(server.workers()) == 2, "both workers")
    pids = started_by(server)
    (stopped,) = [pid for pid in pids if process_name(pid) == who]
    os.kill(stopped, signal.SIGSTOP)
    with server.connect() as host:
        response = host.invoke("crash", "x")
        assert response.status == 500
        assert "SIGSEGV" in response.json()["detail"]
        assert host.invoke("nap", 0.0).status == 200
        server.signal(signal.SIGTERM)
        assert server.wait(8) == STOPPED
    gone(pids, 1)


def test_a_warden_that_is_killed_is_replaced(serve):
    """All zygotes and workers go with it; what they did is answered, what they had started ends, all begins anew."""
    server = serve(workers=1)
    pids = started_by(server)
    (warden,) = [pid for pid in server.descendants() if process_name(pid) == "fastworker:ward"]
    os.kill(warden, signal.SIGKILL)
    gone(pids)
    with server.connect() as host:
        assert host.invoke("nap", 0.0).status == 200
    server.signal(signal.SIGTERM)
    assert server.wait() == STOPPED


def test_what_is_written_into_a_control_socket_costs_that_worker_only(serve):
    """Five bytes, a message of somebody else's, one that comes at a wrong time; a neighbour hears nothing of it."""
    server = serve(workers=2)
    messages = [b"hello", bytes.fromhex("82a474797065a6457869746564a4736c6f7400"), ready_of(1)]
    with server.connect() as host, server.connect() as neighbour:
        for message in messages:
            neighbour.send(request_bytes("/nap", envelope(0.5)))
            assert host.invoke("stray", message.hex()).status == 500
            assert neighbour.receive().status == 200
    assert server.process.poll() is None
    assert sum("no message of a worker's" in line for line in server.stderr) == len(messages)


def ready_of(pid: int) -> bytes:
    return b"\x82\xa4type\xabWorkerReady\xa3pid" + bytes([pid])


def test_a_death_names_whom_it_takes_along(serve):
    """The host drops the answer's body: this line is all that its user ever sees."""
    server = serve(workers=1)
    with server.connect() as host:
        host.post("/crash", envelope("x"), invocation_id="aaaaaaaa-0000-0000-0000-000000000001")
    line = wait_for(lambda: next((line for line in server.stderr if "worker.died" in line), None), "the line")
    assert "crash aaaaaaaa-0000-0000-0000-000000000001" in line


@pytest.mark.parametrize("ignored", [signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR2])
def test_signals_are_set_and_not_inherited(folder, ignored):
    """A parent may have ignored and blocked anything; programs that a handler starts find none of it, either."""
    code = (
        f"import os, signal, sys; signal.signal({int(ignored)}, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD, signal.SIGRTMIN, signal.SIGUSR1])\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    port = free_port()
    environ = os.environ | {"FUNCTIONS_CUSTOMHANDLER_PORT": str(port), "FASTWORKER_WORKERS": "1"}
    command = [sys.executable, "-c", code, "-m", "fastworker", "serve", "function_app.py"]
    server = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:

        def found() -> Any:
            with contextlib.suppress(OSError), HostConnection(port) as connection:
                return connection.invoke("signals", "x").value
            return None

        before = wait_for(found, "an answer")
        # 32 and 33 are glibc's own: no program can set them.
        assert (before["SigBlk"], before["SigIgn"] & ~(0b11 << 31)) == (0, 0)
        server.send_signal(signal.SIGHUP)
        with HostConnection(port) as connection:
            assert connection.invoke("nap", 0.2).status == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == STOPPED
    finally:
        server.kill()
        server.wait()


def test_long_handlers_on_a_busy_machine_are_left_alone(serve):
    """Two seconds of a `def`, with both CPUs busy beside it: no worker is taken for one that stands still."""
    server = serve(workers=8)
    with_noise = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:

        def client(index: int) -> None:
            with server.connect() as host:
                for _ in range(2):
                    assert host.invoke("nap", 2.0 + index / 100).status == 200

        in_threads(8, client)
    finally:
        for noise in with_noise:
            noise.kill()
            noise.wait()
    assert [line for line in server.stderr if "worker." in line] == []


def test_no_worker_can_be_started_says_why(tmp_path):
    """Whatever the workers died of stands in the last line, and not their exit code."""
    (tmp_path / "function_app.py").write_text(
        "import fastworker as fw\napp = fw.App()\n"
        "@app.on_worker_start\ndef connect() -> None:\n    raise KeyboardInterrupt('no database')\n"
        "@app.route()\ndef hello(req): return 'hello'\n"
    )
    with Server(cwd=tmp_path, app="function_app.py", workers=1) as server:
        assert server.wait() == 5
        assert server.stderr[-1].startswith("fastworker: no worker can be started")
        assert server.stderr[-1].endswith("KeyboardInterrupt: no database")


STRACE = shutil.which("strace")


@pytest.mark.skipif(STRACE is None, reason="needs strace")
@pytest.mark.parametrize(
    ("who", "calls"),
    [
        ("fastworker", ["accept4:EPERM", "accept4:EMFILE", "sendmsg:ENOBUFS", "recvmsg:ENOMEM"]),
        ("fastworker", ["socketpair:ENFILE", "epoll_ctl:ENOMEM", "pidfd_send_signal:EPERM", "fcntl:EMFILE"]),
        ("fastworker:ward", ["clone:EAGAIN", "clone3:EAGAIN", "fork:EAGAIN", "pidfd_open:EMFILE", "sendmsg:ENOBUFS"]),
        ("fastworker:zygo", ["clone:ENOMEM", "clone3:ENOMEM", "fork:ENOMEM", "pidfd_open:ENFILE", "sendmsg:ENOMEM"]),
    ],
)
def test_errors_of_the_kernel_end_nobody(serve, who, calls):
    """Each of these calls fails once, or three times, while clients come, workers crash and the app is reloaded."""
    server = serve(workers=2)
    wait_for(lambda: len(server.workers()) == 2, "both workers")
    pids = {process_name(pid): pid for pid in [server.pid, *server.descendants()]}
    injected = [f"inject={call}:error={error}:when=1..3" for call, error in (pair.split(":") for pair in calls)]
    names = ",".join(pair.split(":")[0] for pair in calls)
    options = [word for inject in injected for word in ("-e", inject)]
    tracer = subprocess.Popen(
        [str(STRACE), "-p", str(pids[who]), "-e", f"trace={names}", *options, "-o", "/dev/null"], stderr=subprocess.PIPE
    )
    assert tracer.stderr is not None
    tracer.stderr.readline()  # attached
    try:
        for _ in range(3):
            with contextlib.suppress(OSError, EOFError), server.connect() as host:
                host.invoke("crash", "x")
        server.signal(signal.SIGHUP)

        def served() -> bool:
            with contextlib.suppress(OSError, EOFError), server.connect() as host:
                return host.invoke("nap", 0.0).status == 200
            return False

        wait_for(served, "an answer")
        wait_for(lambda: len(server.workers()) >= 2, "both workers again")
        assert server.process.poll() is None
    finally:
        tracer.terminate()
        tracer.communicate()
    assert served()
    server.signal(signal.SIGTERM)
    assert server.wait() == STOPPED
