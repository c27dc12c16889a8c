"""A worker's event loop, in a thread of its own: it turns while anything is due on it, and sleeps while nothing is.

Made by worker/run.py; turns.py serves conversations on it, dispatch.py starts async invocations there.
Rule: nothing that runs on the loop ends it: not an exception, not sys.exit, not loop.stop(). What is raised there is
logged, and the loop goes on.

The thread starts when there is something for it, so that an app of `def` functions with quick clients never has it.
Signals are the main thread's: those of fastworker are blocked here, or one might wake the wrong thread.
"""

import asyncio
import inspect
import os
import select
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from typing import Any, TypeVarTuple

import uvloop

from fastworker import forks
from fastworker.ipc import linux
from fastworker.logs import log, write_traceback

Ts = TypeVarTuple("Ts")

# How often whoever waits for the loop shows that he is alive.
BEAT_S = 0.2
# What cancelled tasks get for their `finally` blocks.
CANCEL_S = 0.3
# Whoever awaits a task hears of its failure by then; nobody else does before it is collected, if ever.
UNHEARD_S = 1.0


class LoopThread:
    """The loop, and its thread once it is needed. `blocked` are the signals that it must not take."""

    def __init__(self, blocked: Collection[int]) -> None:
        before = linux.epolls()
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._epolls = linux.epolls() - before
        self.loop.set_task_factory(_watched_task)
        self._blocked = blocked
        self._thread: threading.Thread | None = None
        self._ending = False
        self._before_hooks: set[asyncio.Task[Any]] = set()

    @property
    def ident(self) -> int | None:
        """The thread, if there is one."""
        return None if self._thread is None else self._thread.ident

    def call(self, callback: Callable[[*Ts], object], *arguments: *Ts) -> None:
        """Runs `callback` on the loop, soon. From any thread; the first call, which starts it, from the main one."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fastworker-loop", daemon=True)
            self._thread.start()
        self.loop.call_soon_threadsafe(callback, *arguments)

    def leave(self) -> None:
        """In a child that was forked on the loop: it waits for nothing of its parent's, and takes nothing from it."""
        if threading.get_ident() == self.ident:
            fresh = select.epoll()
            for fd in self._epolls:
                os.dup2(fresh.fileno(), fd, inheritable=False)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, self._blocked)
        asyncio.set_event_loop(self.loop)
        while not self._ending:
            try:
                self.loop.run_forever()
            except BaseException as error:  # user code: sys.exit in a task or a callback comes out here
                write_traceback("on the worker's event loop, which goes on", error)
                if self.loop.is_closed():
                    os._exit(1)

    def wait(self, awaitable: Awaitable[Any], beat: Callable[[], None]) -> None:
        """Runs it on the loop and waits for its end, from the main thread. Raises what it raises."""
        ended = threading.Event()
        failures: list[BaseException] = []

        async def run() -> None:
            try:
                await awaitable
                if forks.in_child:
                    forks.leave(None)
            except BaseException as error:  # user code: told to the thread that waits
                if forks.in_child:
                    forks.leave(error)
                failures.append(error)
            finally:
                ended.set()

        self.call(_start, self.loop, run)
        while not ended.wait(BEAT_S):
            beat()
        if failures:
            raise failures[0]

    # -- what is left on the loop --------------------------------------------------------------------------------

    def note_hooks(self) -> None:
        """What is on the loop now are services that the start hooks have left there, and not work for a request."""
        if self._thread is not None:
            self._before_hooks = asyncio.all_tasks(self.loop)

    def finish_work(self, until: float, beat: Callable[[], None]) -> None:
        """Waits for the tasks that handlers have left behind, until `until` (monotonic s)."""
        if self._thread is not None:
            self.wait(self._settle(until, self._before_hooks), beat)

    def end(self, until: float, beat: Callable[[], None]) -> None:
        """Waits for all other tasks, too; cancels what is left at `until` and names it; stops the loop."""
        if self._thread is None:
            self.loop.close()
            return
        self.wait(self._end_tasks(until), beat)
        self._ending = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(BEAT_S)

    async def _settle(self, until: float, but: Collection["asyncio.Task[Any]"]) -> set["asyncio.Task[Any]"]:
        """Waits until no task but these is left; the tasks that are, at `until`."""
        me = asyncio.current_task()
        while True:
            left = {task for task in asyncio.all_tasks() if task is not me and task not in but}
            if not left or time.monotonic() >= until:
                return left
            await asyncio.wait(left, timeout=max(0, until - time.monotonic()))

    async def _end_tasks(self, until: float) -> None:
        left = await self._settle(until, ())
        for task in left:
            task.cancel()
        if left:
            log.warning(
                "tasks.cancelled",
                tasks=sorted(_name(task) for task in left),
                detail="they were still running on the worker's event loop when it had to end; one that never ends is "
                "best cancelled in @app.on_worker_stop",
            )
            await asyncio.wait(left, timeout=CANCEL_S)
        await asyncio.wait_for(self.loop.shutdown_asyncgens(), CANCEL_S)


def _watched_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **options: Any
) -> "asyncio.Task[Any]":
    task = asyncio.Task(coroutine, loop=loop, **options)
    task.add_done_callback(_look_at_end)
    return task


def _look_at_end(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and _is_unheard(task):
        task.get_loop().call_later(UNHEARD_S, _tell_unheard, task)


def _tell_unheard(task: "asyncio.Task[Any]") -> None:
    """A task that is kept, and that nobody awaits, would keep its failure to itself."""
    if _is_unheard(task):
        error = task.exception()
        if error is not None and not isinstance(error, (SystemExit, KeyboardInterrupt)):  # told where they came out
            write_traceback(f"the task {_name(task)} on the worker's event loop failed, and nobody awaits it", error)


def _is_unheard(task: "asyncio.Task[Any]") -> bool:
    return bool(getattr(task, "_log_traceback", False))


def _start(loop: asyncio.AbstractEventLoop, function: Callable[[], Any]) -> None:
    loop.create_task(function())


def _name(task: "asyncio.Task[Any]") -> str:
    coroutine = task.get_coro()
    name = coroutine.__qualname__ if inspect.iscoroutine(coroutine) else repr(coroutine)
    return f"{name} ({task.get_name()})"
