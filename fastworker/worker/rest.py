"""The main thread's rest in the shared epoll, and how another thread of the worker ends it.

Made by worker/run.py. The shared epoll is watched by all workers and belongs to none, so that nothing can be put into
it to wake one; an epoll of its own around it would wake all workers for every request. So whoever has something for
the main thread sends it a signal, whose handler raises out of the poll.
Rule: an event that the poll has given is never lost. The poll is called by C code (`map`, `extend`) that keeps its
result before the interpreter looks at signals again.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

from fastworker.ipc.signals import WAKE_SIGNAL

# A signal that comes between the last look and the system call interrupts nothing: it is sent again.
AGAIN_S = 0.001
AGAIN_AT_MOST_S = 0.05


class _Woken(BaseException):
    """Leaves the poll."""


class Rest:
    """Of the thread that makes it, which is the main one. `wanted`: it has something else to do than to rest."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wanted = False
        self._loop = loop
        self._thread = threading.get_ident()
        self._resting = False
        self._found: list[list[tuple[int, int]]] = []

    def listen(self) -> None:
        """Installs the signal's handler. No system call of user code is to be interrupted by it."""
        signal.signal(WAKE_SIGNAL, self.on_signal)
        signal.siginterrupt(WAKE_SIGNAL, False)

    def on_signal(self, *_: object) -> None:
        if self._resting:
            self._resting = False
            raise _Woken

    def rest(self, poll: Callable[[float, int], Any], timeout_s: float) -> list[tuple[int, int]]:
        """What `poll(timeout_s, 1)` gives; nothing, if it is `wanted` before."""
        found = self._found
        try:
            self._resting = True
            if not self.wanted:
                found.extend(map(poll, (timeout_s,), (1,)))
            self._resting = False
        except _Woken:
            pass
        except BaseException:
            self._resting = False
            raise
        return found.pop() if found else []

    def wake(self) -> None:
        """Ends the rest. From the loop's thread; costs a signal only where the main thread rests."""
        self.wanted = True
        if self._resting:
            self._send(AGAIN_S)

    def _send(self, again_s: float) -> None:
        if self._resting and self.wanted:
            signal.pthread_kill(self._thread, WAKE_SIGNAL)
            self._loop.call_later(again_s, self._send, min(again_s * 2, AGAIN_AT_MOST_S))
