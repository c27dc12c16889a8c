"""An app whose handlers tell what they find around them, leave everything changed, fork, and leave tasks behind."""

import asyncio
import contextlib
import contextvars
import decimal
import logging
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import fastworker as fw

app = fw.App()
log = logging.getLogger("surroundings")
user = contextvars.ContextVar("user", default="nobody")
tasks: set[asyncio.Task[Any]] = set()
decimal.getcontext()  # in use from now on: an object that any handler can change in place


def function(handler: Any) -> Any:
    decorated = app.generic_trigger("job", type="manualTrigger")(handler)
    return app.generic_output_binding("$return", type="queue", queueName="results", connection="Storage")(decorated)


@app.on_worker_start
def connect() -> None:
    app.state.db = sqlite3.connect(":memory:")  # for one thread only
    user.set("hook")


@app.on_worker_start
async def serve_in_the_background() -> None:
    app.state.loop = asyncio.get_running_loop()
    app.state.background = 0

    async def count() -> None:
        while True:
            await asyncio.sleep(0.02)
            app.state.background += 1

    app.state.counter = asyncio.create_task(count())


@app.on_worker_stop
def disconnect() -> None:
    if not os.environ.get("FASTWORKER_TEST_ENDLESS"):
        app.state.loop.call_soon_threadsafe(app.state.counter.cancel)
    print("stop hook ran", flush=True)


# -- surroundings ----------------------------------------------------------------------------------------------------


async def tenth() -> float:
    await asyncio.sleep(0)
    return 0.1


def around() -> dict[str, Any]:
    policy = asyncio.get_event_loop_policy()
    return {
        "user": user.get(),
        "precision": decimal.getcontext().prec,
        "policy": type(policy).__name__,
    }


@function
def look(job: Any) -> Any:
    """What a `def` handler may rely on; a fault that arises on the way is this invocation's 500."""
    running = asyncio._get_running_loop()
    current = asyncio.get_event_loop()
    assert not current.is_closed()
    current.run_until_complete(tenth())
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    found = around() | {
        "is_main": threading.current_thread() is threading.main_thread(),
        "thread": threading.get_native_id() - os.getpid(),
        "running": running is not None,
        "ran": asyncio.run(tenth()),
        "db": app.state.db.execute("select 41 + 1").fetchone()[0],
        "current": type(current).__name__,
    }
    return [found]


class Policy(asyncio.DefaultEventLoopPolicy):
    """Somebody's own."""


@function
def spoil(job: str) -> Any:
    """Leaves behind whatever `job` says."""
    user.set("alice")
    decimal.getcontext().prec = 3
    match job:
        case "loop":
            asyncio.set_event_loop(asyncio.new_event_loop())
        case "no loop":
            asyncio.set_event_loop(None)
        case "closed loop":
            asyncio.get_event_loop().close()
        case "policy":
            asyncio.set_event_loop_policy(Policy())
        case "no policy":
            asyncio.set_event_loop_policy(None)
            asyncio.run(tenth())
        case "failure":
            asyncio.set_event_loop_policy(Policy())
            raise RuntimeError("spoilt")
    return [[job]]


@function
async def look_async(job: Any) -> Any:
    await asyncio.sleep(0)
    is_the_loop = asyncio.get_running_loop() is app.state.loop
    return [around() | {"loop": is_the_loop, "thread": threading.get_native_id() != os.getpid()}]


@function
async def spoil_async(job: Any) -> Any:
    user.set("bob")
    decimal.getcontext().prec = 4
    return [[job]]


@function
async def nap(job: float) -> Any:
    await asyncio.sleep(job)
    return [os.getpid()]


@function
def pid(job: Any) -> Any:
    return [os.getpid()]


@function
def burn(job: float) -> Any:
    until = time.monotonic() + job
    while time.monotonic() < until:
        pass
    return [os.getpid()]


@app.function(deadline=0.5)
@function
def brief(job: Any) -> Any:
    return [os.getpid()]


@function
def large(job: int) -> Any:
    return [["x" * job]]


@function
async def background(job: Any) -> Any:
    return [app.state.background]


# -- what is left on the loop, or done to it -------------------------------------------------------------------------


async def later(seconds: float, word: str) -> None:
    try:
        await asyncio.sleep(seconds)
        print(f"later: {word}", flush=True)
    except asyncio.CancelledError:
        print(f"cancelled: {word}", flush=True)
        raise


async def fail_by(how: str) -> None:
    await asyncio.sleep(0)
    match how:
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "generator exit":
            raise GeneratorExit
        case "cancel":
            raise asyncio.CancelledError
        case "error":
            raise ValueError("left behind")


def keep(task: "asyncio.Task[Any]") -> None:
    tasks.add(task)
    task.add_done_callback(tasks.discard)


@function
async def leave_task(job: dict[str, Any]) -> Any:
    keep(asyncio.create_task(later(job["seconds"], job["word"])))
    return [os.getpid()]


@function
async def leave_failure(job: str) -> Any:
    keep(asyncio.create_task(fail_by(job)))
    return [os.getpid()]


@function
async def keep_failure(job: str) -> Any:
    app.state.kept = asyncio.create_task(fail_by(job))
    return [os.getpid()]


@function
async def await_failure(job: str) -> Any:
    await asyncio.create_task(fail_by(job))
    return [os.getpid()]


@function
async def raise_it(job: str) -> Any:
    await fail_by(job)
    return [os.getpid()]


@function
async def meddle(job: str) -> Any:
    """Does to the loop, or to its tasks, what belongs to nobody."""
    loop = asyncio.get_running_loop()
    match job:
        case "cancel all":
            for task in asyncio.all_tasks() - {app.state.counter}:
                task.cancel()
            await asyncio.sleep(0)
        case "cancel others":
            for task in asyncio.all_tasks() - {app.state.counter, asyncio.current_task()}:
                task.cancel()
        case "stop":
            loop.stop()
        case "callback exits":
            loop.call_soon(sys.exit)
        case "callback fails":
            loop.call_soon(lambda: 1 // 0)
    return [os.getpid()]


# -- children --------------------------------------------------------------------------------------------------------


def told() -> Any:
    """In a child: what is left of the worker there."""
    log.warning("a record of the child")
    numbers = [signal.SIGTERM, signal.SIGUSR2, *range(signal.SIGRTMIN, signal.SIGRTMIN + 3)]
    handlers = [signal.getsignal(n) for n in numbers]
    assert handlers == [signal.SIG_DFL] * len(handlers), handlers
    held = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            held.append(int(name) >= 10_000)
    assert not any(held), held
    return os.getpid()


def in_child(job: str) -> None:
    told()
    match job:
        case "exit":
            sys.exit(7)
        case "exit with words":
            sys.exit("the child says why")
        case "raise":
            raise ValueError("of the child")
        case "hard":
            os._exit(9)
        case "return":
            return


async def in_child_async(job: str) -> None:
    """As far as a child of the loop can go on: what it waits for there is its own."""
    if job == "wait":
        due = app.state.loop.create_future()
        app.state.loop.call_later(0.05, due.set_result, None)
        await due
        told()
        sys.exit(11)
    in_child(job)


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@function
def fork(job: str) -> Any:
    child = os.fork()
    if child == 0:
        in_child(job)
        return [["the child's"]]
    return [status_of(child)]


@function
async def fork_async(job: str) -> Any:
    child = os.fork()
    if child == 0:
        await in_child_async(job)
        return [["the child's"]]
    return [await asyncio.to_thread(status_of, child)]


@function
def terminate(job: Any) -> Any:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        return [["the child's"]]
    os.kill(child, signal.SIGTERM)
    return [status_of(child)]


def square(number: int) -> int:
    return number * number


@function
def processes(job: str) -> Any:
    context = multiprocessing.get_context(job)
    with context.Pool(2) as pool:
        squares = pool.map(square, range(4))
    process = context.Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(10)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        squares += executor.map(square, [4])
    return [[squares, process.exitcode]]


ran: list[Callable[[], Any]] = []


@function
def preexec(job: str) -> Any:
    done = subprocess.run(["sh", "-c", f"echo {job}"], stdout=subprocess.PIPE, preexec_fn=told, check=True)
    return [[done.stdout.decode().strip()]]


@function
async def asyncio_subprocess(job: str) -> Any:
    process = await asyncio.create_subprocess_exec("sh", "-c", f"echo {job}", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return [[out.decode().strip(), process.returncode]]


# -- descriptors -----------------------------------------------------------------------------------------------------


@function
def close_range(job: list[int]) -> Any:
    os.closerange(*job)
    return [["closed"]]


@function
async def close_range_async(job: list[int]) -> Any:
    os.closerange(*job)
    return [["closed"]]
