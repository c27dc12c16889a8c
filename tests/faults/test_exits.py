"""Orderly ends: at a drain, a reload and a recycling a process does what Python does at the end of every script."""

import gzip
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Server, alive, wait_for

Serve = Callable[..., Server]
SHM = Path("/dev/shm")

APP = """
import atexit, concurrent.futures, gzip, logging, logging.handlers, multiprocessing, os, signal, sys, tempfile
import subprocess, threading, time
from multiprocessing import shared_memory
from pathlib import Path
import fastworker as fw

app = fw.App()
here = Path(__file__).parent
sys.path.insert(0, str(here))

def note(name, text):
    with open(here / f"{name}.{os.getpid()}", "a") as file:
        file.write(text + "\\n")

manager = multiprocessing.Manager()
shared = manager.dict()
note("manager", str(manager._process.pid))
daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
note("daemon", str(daemon.pid))
if len(list(here.glob("manager.*"))) == 2:  # then its tracker is that of all its workers
    block = shared_memory.SharedMemory(create=True, size=4096)
    note("imported_block", block.name)
folder = tempfile.TemporaryDirectory(dir=here)
note("folder", folder.name)
atexit.register(lambda: note("exit_of_import", str(os.path.isdir(folder.name))))
written_at_import = open(here / "written_at_import", "a")
written_at_import.write("once\\n")
print("printed at import", end="")
sys.stdout.write(" and not flushed\\n")
kept = []

@app.on_worker_start
def start():
    atexit.register(lambda: note("exit_of_worker", "ran"))
    target = logging.FileHandler(here / f"log.{os.getpid()}")
    buffered = logging.handlers.MemoryHandler(100, flushLevel=logging.CRITICAL, target=target)
    logging.getLogger("audit").addHandler(buffered)
    app.state.file = open(here / f"opened.{os.getpid()}", "w")
    app.state.packed = gzip.open(here / f"packed.{os.getpid()}", "wt")
    app.state.temporary = tempfile.NamedTemporaryFile(dir=here, prefix="temporary")
    app.state.pool = concurrent.futures.ThreadPoolExecutor(2)

def function(handler):
    decorated = app.generic_trigger("job", type="manualTrigger")(handler)
    return app.generic_output_binding("$return", type="queue", queueName="q", connection="S")(decorated)

def rest():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(600)

def later(name):
    time.sleep(0.2)
    note(name, "done")

@function
def work(job):
    shared["calls"] = shared.get("calls", 0) + 1
    if not kept:
        context = multiprocessing.get_context("spawn")
        kept.extend([context.Lock(), shared_memory.SharedMemory(create=True, size=4096)])
        note("semaphore", "sem." + kept[0]._semlock.name.lstrip("/"))
        note("block", kept[1].name)
    logging.getLogger("audit").warning("audited")
    app.state.file.write("opened by the worker\\n")
    app.state.packed.write("packed")
    written_at_import.write("written by a worker\\n")
    app.state.pool.submit(later, "pool")
    threading.Thread(target=later, args=("thread",)).start()
    child = multiprocessing.get_context("fork").Process(target=rest, daemon=True)
    child.start()
    note("child", str(child.pid))
    return [[os.getpid(), os.path.isdir(folder.name)]]
"""


def noted(folder: Path, name: str, pid: int | str = "*") -> list[str]:
    return [line for path in folder.glob(f"{name}.{pid}") for line in path.read_text().splitlines()]


def left_in_shm(folder: Path, *kinds: str) -> list[str]:
    return [name for kind in kinds for name in noted(folder, kind) if (SHM / name).exists()]


def assert_ended_in_order(folder: Path, worker: int) -> None:
    """All that a script's end does has been done for this worker."""
    assert noted(folder, "exit_of_worker", worker) == ["ran"]
    assert noted(folder, "exit_of_import", worker) == ["True"]
    assert noted(folder, "log", worker) == ["audited"]
    assert noted(folder, "opened", worker) == ["opened by the worker"]
    assert gzip.decompress((folder / f"packed.{worker}").read_bytes()) == b"packed"
    assert noted(folder, "pool", worker) == noted(folder, "thread", worker) == ["done"]
    (child,) = noted(folder, "child", worker)
    assert not alive(int(child))


def test_recycling_reload_and_drain_are_ends_in_order(serve: Serve, tmp_path: Path) -> None:
    """Exit functions, log handlers, files, executors, threads, children, shared memory: worker by worker, then all."""
    (tmp_path / "function_app.py").write_text(APP)
    server = serve(cwd=tmp_path, app="function_app.py", workers=1)
    used = []

    def use() -> int:
        with server.connect() as host:
            pid, folder_is_there = host.invoke("work").value
        assert folder_is_there
        used.append(pid)
        return int(pid)

    first = use()
    os.kill(first, signal.SIGTERM)  # one worker is replaced; what the import has made stays for the others
    wait_for(lambda: not alive(first), "the end of the first worker")
    assert_ended_in_order(tmp_path, first)
    assert left_in_shm(tmp_path, "semaphore", "block") == []
    (manager,), (daemon,) = map(int, noted(tmp_path, "manager")), map(int, noted(tmp_path, "daemon"))
    assert alive(manager)
    assert alive(daemon)

    second = wait_for(lambda: (pid := use()) != first and pid, "the second worker")
    server.signal(signal.SIGHUP)
    wait_for(lambda: not alive(second), "the end of the second worker")
    assert_ended_in_order(tmp_path, second)
    assert left_in_shm(tmp_path, "semaphore", "block") == []
    wait_for(lambda: not alive(manager) and not alive(daemon), "the end of what the first import has started")
    wait_for(lambda: len(noted(tmp_path, "manager")) == 2, "the second generation")

    third = use()
    tree = server.descendants()
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 200)
    assert_ended_in_order(tmp_path, third)
    assert not list(tmp_path.glob("temporary*"))
    # Once by each import and each call, and not once more by each worker.
    lines = (tmp_path / "written_at_import").read_text().splitlines()
    assert sorted(lines) == ["once"] * 2 + ["written by a worker"] * len(used)
    assert server.stdout.count("printed at import and not flushed") == 2
    wait_for(lambda: not any(map(alive, tree)), "the end of every process")
    assert left_in_shm(tmp_path, "semaphore", "block", "imported_block") == []
    assert not any(Path(name).exists() for name in noted(tmp_path, "folder"))
    # The zygotes are processes, too: what the import has registered runs there as well, last.
    assert len(noted(tmp_path, "exit_of_import")) == 5


HANGING = """
import atexit, os, threading, time
import fastworker as fw

app = fw.App()

def note(name):
    print(name, "ran", flush=True)

@app.on_worker_start
def start():
    atexit.register(note, "the first registered")
    atexit.register(time.sleep, 600)
    atexit.register(lambda: 1 / 0)
    atexit.register(note, "the last registered")
    threading.Thread(target=time.sleep, args=(600,), name="poller").start()

@app.route(methods=["GET"])
def hello(req: fw.Request) -> fw.Response:
    return fw.Response("hello")
"""


@pytest.mark.parametrize("preload", [1, 0])
def test_what_hangs_at_the_end_is_cut_and_the_rest_runs(serve: Serve, tmp_path: Path, preload: int) -> None:
    """A thread that never ends and an exit function that hangs or fails keep nobody from ending; the log names them."""
    (tmp_path / "function_app.py").write_text(HANGING)
    server = serve(cwd=tmp_path, app="function_app.py", workers=1, drain=2, preload=preload)
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 200)
    assert time.monotonic() - began < 6 * PATIENCE
    ran = [line for line in server.stdout if line.endswith("ran")]
    assert ran == ["the last registered ran", "the first registered ran"]
    assert any("exit.cut" in line and "poller" in line for line in server.stderr)
    assert any("ZeroDivisionError" in line for line in server.stderr)


SLOW = """
import atexit, time
import fastworker as fw

app = fw.App()

@app.on_worker_start
def start():
    atexit.register(print, "sent", flush=True)
    atexit.register(time.sleep, 2.4)

@app.route(methods=["GET"])
def hello(req: fw.Request) -> fw.Response:
    return fw.Response("hello")
"""


def test_an_exit_function_may_take_its_time(serve: Serve, tmp_path: Path) -> None:
    """Longer than a worker outside of user code may stand still."""
    (tmp_path / "function_app.py").write_text(SLOW)
    server = serve(cwd=tmp_path, app="function_app.py", workers=1)
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 200)
    assert "sent" in server.stdout
    assert server.stderr == []
