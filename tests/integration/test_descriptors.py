"""Descriptors that the app opens are the app's: in every worker, under any number, before and after a reload."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Server, envelope, request_bytes, wait_for

Serve = Callable[..., Server]

# Opens as many as the file `count` says, of each kind in turn, and looks at them again in each worker.
APP = """
import asyncio, fcntl, mmap, os, select, socket, sqlite3, subprocess, sys, tempfile
from pathlib import Path
import fastworker as fw

app = fw.App()
here = Path(__file__).parent
count = int((here / "count").read_text())
kept = []

def keep(thing):
    kept.append(thing)
    return thing if isinstance(thing, int) else thing.fileno()

def mapped():
    file = tempfile.TemporaryFile()
    file.truncate(4096)
    kept.append(mmap.mmap(file.fileno(), 4096))
    return keep(file)

def numbers():
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}

def database():
    before = numbers()
    connection = sqlite3.connect(here / f"data{len(kept)}.db")
    connection.execute("create table if not exists t (x)")
    kept.append(connection)
    return min(numbers() - before)

KINDS = [
    lambda: keep(open(here / "count")),
    lambda: keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    lambda: keep(os.pipe()[0]),
    lambda: keep(select.epoll()),
    mapped,
    lambda: keep(os.eventfd(0)),
    database,
    lambda: fcntl.fcntl(keep(open(here / "count")), fcntl.F_DUPFD, high),
]
high = HIGH

def look(fd):
    status = os.fstat(fd)
    return os.readlink(f"/proc/self/fd/{fd}"), status.st_dev, status.st_ino

opened = {}
for n in range(count):
    fd = KINDS[n % len(KINDS)]()
    opened[fd] = look(fd)

def changed():
    found = {}
    for fd, was in opened.items():
        try:
            is_now = look(fd)
        except OSError as error:
            is_now = repr(error)
        if is_now != was:
            found[fd] = [was, is_now]
    return found

@app.on_worker_start
def start():
    print("worker", count, changed(), flush=True)

def function(handler):
    decorated = app.generic_trigger("job", type="manualTrigger")(handler)
    return app.generic_output_binding("$return", type="queue", queueName="q", connection="S")(decorated)

@function
def check(job):
    child = os.fork()
    if child == 0:
        os._exit(len(changed()))
    said = subprocess.run(["echo", "4"], capture_output=True).stdout
    return [[changed(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(said)]]

@function
async def check_async(job):
    process = await asyncio.create_subprocess_exec("echo", "5", stdout=asyncio.subprocess.PIPE)
    return [[changed(), int((await process.communicate())[0])]]
"""


@pytest.mark.parametrize(("preload", "counts"), [(1, range(17)), (0, (3, 16)), (1, (64, 5))])
def test_what_the_app_opens_at_import_is_the_same_in_every_worker(
    serve: Serve, tmp_path: Path, preload: int, counts: "range | tuple[int, ...]"
) -> None:
    """Files, sockets, pipes, epolls, maps and databases, under any number, in handlers and in their children."""
    (tmp_path / "function_app.py").write_text(APP.replace("HIGH", "10_000"))
    (tmp_path / "count").write_text(str(counts[0]))
    server = serve(cwd=tmp_path, app="function_app.py", workers=2, preload=preload)
    for count in counts:
        if count != counts[0]:
            (tmp_path / "count").write_text(str(count))
            server.signal(signal.SIGHUP)

        def looked(count: int = count) -> list[str]:
            return [line for line in server.stdout if line.startswith(f"worker {count} ")]

        wait_for(lambda: len(looked()) == 2, f"both workers of the app that opens {count}")
        assert looked() == [f"worker {count} {{}}"] * 2
        wait_for(lambda: len(server.workers()) == 2, "the end of the workers before")
        with server.connect() as host, server.connect() as another:
            assert host.invoke("check").value == [{}, 0, 4]
            assert another.invoke("check_async").value == [{}, 5]
    assert server.stderr == []


def test_a_connection_whose_number_the_app_uses_gets_another(serve: Serve, tmp_path: Path) -> None:
    """The app has files where connections would be, in one worker only: nobody is cut off, and no file is lost."""
    (tmp_path / "count").write_text("0")
    source = (
        APP.replace("HIGH", "10_000")
        + """
@app.on_worker_start
def take():
    if os.path.exists(here / "second"):
        return
    (here / "second").touch()
    for number in [*range(10_000, 10_004), *range(10_006, 10_040)]:
        os.dup2(keep(os.memfd_create("taken")), number)
        opened[number] = look(number)

@function
def pid(job):
    import time
    time.sleep(0.02)
    return [[os.getpid(), changed()]]
"""
    )
    (tmp_path / "function_app.py").write_text(source)
    server = serve(cwd=tmp_path, app="function_app.py", workers=2)
    pids = set()
    hosts = [server.connect() for _ in range(8)]
    for _ in range(5):
        for host in hosts:
            host.send(request_bytes("/pid", envelope()))
        for host in hosts:
            pid, changed = host.receive().value
            assert changed == {}
            pids.add(pid)
    assert len(pids) == 2
    for host in hosts:
        host.close()
    victim = next(pid for pid in pids if len(os.listdir(f"/proc/{pid}/fd")) > 50)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(server.workers() - pids) == 1, "its successor")
    with server.connect() as host:
        assert host.invoke("check").value == [{}, 0, 4]
