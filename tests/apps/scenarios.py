"""The app that integration and fault tests serve: each function does one thing to its worker."""

import asyncio
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fastworker as fw

app = fw.App()
log = logging.getLogger("scenarios")


def function(handler: Any) -> Any:
    """A function with a trigger that any JSON value fits, answering with its return value."""
    decorated = app.generic_trigger("job", type="manualTrigger")(handler)
    return app.generic_output_binding("$return", type="queue", queueName="results", connection="Storage")(decorated)


@function
def pid(job: Any) -> Any:
    return [os.getpid()]


@function
def echo(job: Any) -> Any:
    return [job]


@function
def compute(job: float) -> Any:
    """Burns CPU for `job` seconds."""
    until = time.monotonic() + job
    while time.monotonic() < until:
        pass
    return [os.getpid()]


@function
def segfault(job: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@function
def leave(job: int) -> None:
    os._exit(job)


@function
def sys_exit(job: int) -> None:
    sys.exit(job)


@function
def spin(job: Any) -> None:
    while True:
        pass


@function
def stubborn(job: Any) -> None:
    """Overruns its deadline and catches everything."""
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


@function
def long_c_call(job: int) -> None:
    """One C call that takes minutes, and during which the interpreter looks at no signal."""
    sum(range(10**11))


@function
def stop_self(job: Any) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@function
def child(job: Any) -> Any:
    """Starts a process of its own and overruns."""
    process = subprocess.Popen(["sleep", "300"])
    print(f"child={process.pid}", flush=True)
    sum(range(10**11))


@function
async def nap(job: float) -> Any:
    await asyncio.sleep(job)
    return [os.getpid()]


@function
def nap_sync(job: float) -> None:
    time.sleep(job)


@function
def fail(job: str) -> None:
    log.warning("about to fail: %s", job)
    raise ValueError(job)


@function
def chatty(job: str) -> None:
    log.info("one %s", job)
    log.warning("two %s", job)


@function
def unencodable(job: Any) -> Any:
    return [{"ok": 1}, {"bad": object()}]


@function
def clean_up(job: Any) -> None:
    """Overruns, and tells that it could clean up."""
    try:
        while True:
            time.sleep(0.01)
    finally:
        print("cleaned up", flush=True)


@function
def stubborn_for(job: float) -> None:
    """Ignores its deadline for `job` seconds."""
    until = time.monotonic() + job
    while time.monotonic() < until:
        try:
            while time.monotonic() < until:
                pass
        except BaseException:
            pass


appended: list[str] = []


@function
def append(job: str) -> None:
    appended.append(job)


@function
def appended_so_far(job: Any) -> Any:
    return [appended]


@app.function(deadline=0.1)
@function
def impatient(job: float) -> None:
    time.sleep(job)


@function
def remaining(job: float, ctx: fw.Context) -> Any:
    first = ctx.remaining()
    time.sleep(job)
    return [[first, ctx.remaining()]]


@function
def end_at(job: float, ctx: fw.Context) -> Any:
    """Ends `job` seconds after the host sent the request, as near as can be."""
    until = time.monotonic() + job - (0.05 - ctx.remaining())
    while time.monotonic() < until:
        pass
    return [{"in": "time"}]


@function
def hoard(job: int) -> Any:
    """Keeps `job` MiB for ever."""
    hoarded.append(bytearray(job * 2**20))
    return [os.getpid()]


hoarded: list[bytearray] = []


@function
def gluttony(job: int) -> None:
    """Wants more memory than its process may have."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + job * 2**20, limits[1]))
    try:
        hoarded.append(bytearray(4 * job * 2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@function
def printing(job: str) -> None:
    print("printed", job)
    print("to stderr", job, file=sys.stderr, flush=True)
    log.error("logged %s", job)


@function
def open_files(job: int) -> None:
    files.extend(open(os.devnull) for _ in range(job))  # noqa: SIM115 - kept open on purpose


files: list[Any] = []


@function
def record(job: str) -> None:
    """Writes down that it has run, in one write."""
    with open(os.environ["CHAOS_RUNS"], "ab", buffering=0) as runs:
        runs.write(f"{job}\n".encode())


@function
def abandoned(job: str) -> None:
    """The same, for clients that do not wait for the answer."""
    record(job)


# -- what careless handlers do to their worker -----------------------------------------------------------------------


@function
def forks(job: str) -> Any:
    """A child that ends in one of the ways in which scripts do; only its parent answers."""
    child = os.fork()
    if child == 0:
        match sum(job.encode()) % 3:
            case 0:
                sys.exit(0)
            case 1:
                raise KeyError(job)
        return ["the child's answer"]
    os.waitpid(child, 0)
    return [os.getpid()]


@function
def closes(job: str) -> Any:
    os.closerange(3, 70_000)
    return [os.getpid()]


@function
def leaves_daemon(job: str) -> Any:
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    return [os.getpid()]


@function
def prints_much(job: str) -> Any:
    for _ in range(100):
        print("x" * 1000)
    return [os.getpid()]


left: set[Any] = set()


@function
async def leaves_tasks(job: str) -> Any:
    for seconds in (0.01, 1.0):
        task = asyncio.create_task(asyncio.sleep(seconds))
        left.add(task)
        task.add_done_callback(left.discard)
    return [os.getpid()]


@function
async def cancels_all(job: str) -> Any:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(1)
    return [os.getpid()]
