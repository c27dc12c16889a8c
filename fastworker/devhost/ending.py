"""Ctrl-C: ends the local host, whatever it is doing.

Used by session.py. Rule: the first signal ends everything in order, the second at once; so do forty seconds after the
first, of which requests in flight may take thirty, should the order hang.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

T = TypeVar("T")

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S: Final = 40.0


class AskedToEndError(Exception):
    """The work was given up, for somebody wants the end."""


class Ending:
    """`asked` is set once somebody wants the end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._signals = 0

    def watch(self) -> None:
        """From now on signals are heard here: also by a loop that does not turn, unlike its own signal handlers."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    def forget(self) -> None:
        """The end has come in order."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    async def unless_asked(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. Raises AskedToEndError, once it has been cancelled and has cleaned up."""
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self.asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            raise AskedToEndError
        return task.result()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            leave("ended at once")
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        self._loop.call_soon_threadsafe(self.asked.set)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        leave(f"something did not end within {PATIENCE_S:g} s, and was killed")


def leave(why: str) -> None:
    """The end of this process and of all that it has started, without order."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"fastworker dev: {why}\n".encode())
    for pid in children():
        with contextlib.suppress(OSError):
            # Each was started in a session of its own.
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    os._exit(130)


def children() -> list[int]:
    """The processes that this one has started; none can be told where there is no /proc."""
    found = []
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                        found.append(int(entry.name))
    return found
