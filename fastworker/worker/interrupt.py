"""Raising DeadlineExceeded inside a running `def` handler: on the worker's main thread, by a signal.

Used by dispatch.py around every sync handler; an async one is cancelled on its loop instead.
Rule: a handler that has ended is never interrupted; that is checked under the same roof that marks the end.
It does not reach into one long C call, which is what the hard deadline is for.
"""

import signal
import time
import types
from asyncio import events
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from fastworker.errors import DeadlineExceeded
from fastworker.ipc.signals import SOFT_SIGNAL

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Sent by the supervisor at the soft deadline. Not SIGALRM: handlers use that for themselves.


class DeadlineInLoop(DeadlineExceeded, KeyboardInterrupt):
    """What is raised where the handler runs a loop of its own, by asyncio.run and the like.

    A loop lets nothing else out of a callback than KeyboardInterrupt and SystemExit: uvloop would report it and go on,
    and a task that nobody awaits would keep it.
    """


class MainThread:
    """Runs one handler at a time on the main thread. A signal that comes late, or early, does nothing."""

    def __init__(self) -> None:
        self._until_ns = 0  # the deadline of the code that runs; 0 while none does
        self._on_broken_import: Callable[[list[str]], object] = lambda _: None

    def listen(self, on_broken_import: Callable[[list[str]], object] | None = None) -> None:
        """Installs the signal's handler.

        `on_broken_import` is told the modules whose import a deadline has struck: what they had done by then (entries
        in registries, patches) stays, and is done a second time by the next import.
        """
        if on_broken_import is not None:
            self._on_broken_import = on_broken_import
        signal.signal(SOFT_SIGNAL, self._on_signal)

    def run(self, until_ns: int, body: Callable[[*Ts], T], on_deadline: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """`body`, in which DeadlineExceeded may be raised from `until_ns` on; `on_deadline` if it got out."""
        try:
            self._until_ns = until_ns
            try:
                return body(*arguments)
            finally:
                self._until_ns = 0
        except DeadlineExceeded:  # also if it struck between the body's end and the line above
            return on_deadline(*arguments)

    def _on_signal(self, _: int, frame: types.FrameType | None) -> None:
        if self._until_ns and time.monotonic_ns() >= self._until_ns:
            self._until_ns = 0  # once
            modules = _in_import(frame)
            if modules:
                self._on_broken_import(modules)
            raise DeadlineExceeded if events._get_running_loop() is None else DeadlineInLoop


def _in_import(frame: types.FrameType | None) -> list[str]:
    """The modules that the running handler is importing, innermost first."""
    found: list[str] = []
    while frame is not None and frame.f_code is not MainThread.run.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            # The import system's own functions have the module's name, or its spec, as an argument.
            name = frame.f_locals.get("name") or getattr(frame.f_locals.get("spec"), "name", None)
            if isinstance(name, str) and name not in found:
                found.append(name)
        frame = frame.f_back
    return found
