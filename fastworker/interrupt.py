"""Raising DeadlineExceeded inside running user code: on the main thread by a signal, in other threads by CPython.

Used by worker.py around every sync handler.
Rule: a handler that has ended is never interrupted; both ways check that under the same roof that marks the end.
Neither reaches into one long C call, which is what the hard deadline is for.
"""

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from fastworker.errors import DeadlineExceeded

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Sent by the supervisor at the soft deadline. Not SIGALRM: handlers use that for themselves.
SOFT_SIGNAL = signal.SIGRTMIN

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class MainThread:
    """Runs one handler at a time on the main thread. A signal that comes late, or early, does nothing."""

    def __init__(self) -> None:
        self._until_ns = 0  # the deadline of the code that runs; 0 while none does

    def listen(self) -> None:
        """Installs the signal's handler."""
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

    def _on_signal(self, *_: object) -> None:
        if self._until_ns and time.monotonic_ns() >= self._until_ns:
            self._until_ns = 0  # once
            raise DeadlineExceeded


class OtherThread:
    """Runs one handler in the thread that calls `run`, and interrupts it from another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None

    def run(self, body: Callable[[], T], on_deadline: Callable[[], T]) -> T:
        """`body()`, in which `interrupt` may raise DeadlineExceeded; `on_deadline()` if it got out."""
        self._thread = threading.get_ident()
        try:
            try:
                return body()
            finally:
                with self._lock:
                    thread, self._thread = self._thread, None
                # Asked for, but not raised yet: take it back, or it would strike this thread's next task.
                _raise_in_thread(thread or 0, ctypes.py_object())
        except DeadlineExceeded:
            return on_deadline()

    def interrupt(self) -> None:
        """Raises DeadlineExceeded in the thread, if its handler still runs."""
        with self._lock:
            if self._thread is not None:
                _raise_in_thread(self._thread, DeadlineExceeded)
