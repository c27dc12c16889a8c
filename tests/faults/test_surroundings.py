"""What an app does to its process: limits, folder, streams, environment, signals. It is served all the same."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Server, envelope, request_bytes, wait_for

Serve = Callable[..., Server]

APP = """
import asyncio, contextlib, gc, locale, logging, os, resource, signal, socket, sys, tempfile, threading, time, warnings
import fastworker as fw

app = fw.App()

def function(handler):
    decorated = app.generic_trigger("job", type="manualTrigger")(handler)
    return app.generic_output_binding("$return", type="queue", queueName="q", connection="S")(decorated)

ACT = ""
exec(ACT)

@function
def act(job: str):
    exec(job, globals())
    return [os.getpid()]

@function
def plain(job):
    with contextlib.suppress(ValueError):  # it may be closed, as in any script
        print("printed")
    logging.info("logged")
    return [[ACT]]

@function
async def concurrent(job):
    await asyncio.sleep(0.001)
    return [[await asyncio.to_thread(lambda: ACT)]]

@app.function(deadline=0.05)
@function
def slow(job):
    time.sleep(5)
"""

ACTS = {
    "few files": "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
    "many files": "resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)",
    "no files to write": "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))",
    "no core": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "mask": "os.umask(0o777)",
    "a folder that is gone": "d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
    "locale": "locale.setlocale(locale.LC_ALL, 'C')",
    "no stdout": "sys.stdout = sys.stderr = sys.__stdout__ = None",
    "closed stdout": "sys.stdout.close(); sys.stderr.close()",
    "another stdout": "sys.stdout = open(os.devnull, 'w')",
    "no descriptors of the streams": "os.close(0); os.close(1); os.close(2)",
    "no environment": "os.environ.clear()",
    "every signal blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "children ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "own handlers": "[signal.signal(n, lambda *_: None) for n in (signal.SIGTERM, signal.SIGCHLD, signal.SIGRTMIN)]",
    "a wakeup descriptor": "signal.set_wakeup_fd(-1)",
    "an alarm": "signal.signal(signal.SIGALRM, signal.SIG_IGN); signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)",
    "sockets with a timeout": "socket.setdefaulttimeout(0.01)",
    "warnings are errors": "warnings.simplefilter('error')",
    "no collector": "gc.disable(); gc.set_threshold(1)",
    "small stacks": "threading.stack_size(65536)",
    "nothing on the path": "sys.path.clear(); sys.path_hooks.clear(); sys.meta_path.clear()",
    "an event loop": "asyncio.set_event_loop(asyncio.new_event_loop())",
    "a loop that has run": "asyncio.run(asyncio.sleep(0))",
    "nice": "os.nice(5)",
}


def doing(server: Server) -> object:
    with server.connect() as host:
        return host.invoke("plain").value


def still_serves(server: Server, act: str = "") -> None:
    with server.connect() as host:
        for name in ("plain", "concurrent"):
            response = host.invoke(name)
            assert (response.status, response.value) == (200, [act])
        assert host.invoke("slow").status == 504


def test_whatever_the_import_does_to_its_process_the_app_is_served(serve: Serve, tmp_path: Path) -> None:
    """Each act in an app of its own: sync, async, in a thread, and up to its deadline."""
    file = tmp_path / "function_app.py"
    file.write_text(APP)
    server = serve(cwd=tmp_path, app="function_app.py", workers=1, grace=1)
    for name, act in ACTS.items():
        file.write_text(APP.replace('ACT = ""', f"ACT = {act!r}"))
        server.signal(signal.SIGHUP)
        wait_for(lambda act=act: doing(server) == [act] and len(server.workers()) == 1, f"a worker of the app: {name}")
        try:
            still_serves(server, act)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 200)


def test_whatever_a_handler_does_to_its_process_others_are_served(serve: Serve, tmp_path: Path) -> None:
    """It may cost its own invocation and its worker, but no other's."""
    (tmp_path / "function_app.py").write_text(APP)
    server = serve(cwd=tmp_path, app="function_app.py", workers=1, grace=1)
    for name, act in ACTS.items():
        try:
            with server.connect() as host:
                host.send(request_bytes("/act", envelope(act)))
                response = host.receive()
            assert response.status == 200
            still_serves(server)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        for pid in (old := server.workers()):  # each act on a fresh worker
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda old=old: (now := server.workers()) and not now & old, "another worker")
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 200)


DEADLY = (
    APP
    + """
from fastworker.ipc.connections import Held
Held.place = lambda *_: os._exit(9)
"""
)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_request_that_kills_whoever_takes_it_is_refused_in_the_end(
    serve: Serve, tmp_path: Path, workers: int
) -> None:
    """Two workers, then a 500 and a closed connection; the server goes on."""
    (tmp_path / "function_app.py").write_text(APP)
    server = serve(cwd=tmp_path, app="function_app.py", workers=workers)
    (tmp_path / "function_app.py").write_text(DEADLY)
    old = server.workers()
    server.signal(signal.SIGHUP)
    wait_for(lambda: len(server.workers()) == workers and not server.workers() & old, "the deadly workers")
    with server.connect() as host:
        host.send(request_bytes("/plain", envelope()))
        response = host.receive()
        assert response.status == 500
        assert "two workers" in response.json()["detail"]
        assert host.at_end()
    wait_for(lambda: len(server.workers()) == workers, "their successors")
    wait_for(lambda: sum("worker.died" in line for line in server.stderr) == 2, "two deaths")


# Without CAP_SYS_RESOURCE, which root has, nobody can raise a hard limit again.
HARD_LIMIT = """
import ctypes, resource
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
sets = (ctypes.c_uint32 * 6)()
libc = ctypes.CDLL(None)
libc.capget(header, sets)
for word in range(3):
    sets[word] &= ~(1 << 24)
libc.capset(header, sets)
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
"""


@pytest.mark.parametrize("preload", [1, 0])
def test_a_hard_limit_without_room_for_connections_is_told_at_start(tmp_path: Path, preload: int) -> None:
    """Nobody can be served: the last line says why, and what to do."""
    (tmp_path / "function_app.py").write_text(HARD_LIMIT + APP)
    with Server(cwd=tmp_path, app="function_app.py", workers=1, preload=preload) as server:
        assert server.wait() == 3
        assert "lower the soft limit only" in server.stderr[-1]


ENDS_AT_START = """
import os, signal, sys
import fastworker as fw

app = fw.App()

class Odd(BaseException):
    pass

class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no text")

if HOW != "hook":
    ACT

@app.on_worker_start
SYNC def start():
    if HOW == "hook":
        ACT

@app.route(methods=["GET"])
def hello(req: fw.Request) -> fw.Response:
    return fw.Response("hello")
"""
ACTS_AT_START = {
    "raise ValueError('this is why')": "ValueError: this is why",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise Odd('this is odd')": "Odd: this is odd",
    "raise Unspeakable": "Unspeakable",
    "raise ValueError('first line\\nlast line')": "last line",
    "sys.exit('this is the end')": "this is the end",
    "os.kill(os.getpid(), signal.SIGKILL)": "SIGKILL",
    "os._exit(7)": "code 7",
}


@pytest.mark.parametrize(
    ("how", "sync", "preload", "code"),
    [("import", "", 1, 3), ("import", "", 0, 3), ("hook", "", 1, 5), ("hook", "async", 1, 5)],
)
def test_the_last_line_of_a_server_that_cannot_start_is_the_cause(
    tmp_path: Path, how: str, sync: str, preload: int, code: int
) -> None:
    """What user code has raised, or how it has ended the process: in the import, in each worker's import, in hooks."""
    servers = {}
    for number, (act, cause) in enumerate(ACTS_AT_START.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = ENDS_AT_START.replace("ACT", act).replace("HOW", repr(how)).replace("SYNC ", sync + " " if sync else "")
        (folder / "function_app.py").write_text(text)
        servers[cause] = Server(cwd=folder, app="function_app.py", workers=1, preload=preload)
    wrong = []
    for cause, server in servers.items():
        with server:
            ended = server.wait(30)
            quiet = cause in ("SIGKILL", "code 7") and not preload  # a worker's end is not known to be its import's
            if ended != (5 if quiet else code) or cause not in server.stderr[-1]:
                wrong.append((cause, ended, server.stderr[-1]))
    assert wrong == []
