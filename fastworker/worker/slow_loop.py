"""A warning when user code holds up its worker's loop: which function, and at which line.

The supervisor (watchdog.py) sees that a worker's loop does not turn, and sends a signal; its handler, here, runs on
the worker's main thread and looks at what the loop's thread is doing.
Rule: tells, and changes nothing.
"""

import asyncio
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastworker.frames import is_ours
from fastworker.ipc.signals import LOOP_SIGNAL, SLOW_S
from fastworker.logs import CURRENT, Capture, log
from fastworker.worker.loop_thread import LoopThread


class SlowLoop:
    """One worker's. A function is told once: it will be slow again.

    `capture_of` knows the invocation that a task of the worker's own runs.
    """

    def __init__(
        self, root: Path, thread: LoopThread, capture_of: Callable[["asyncio.Task[Any]"], Capture | None]
    ) -> None:
        self._root = str(root) + os.sep
        self._thread = thread
        self._capture_of = capture_of
        self._told: set[str] = set()

    def listen(self) -> None:
        """Installs the signal's handler."""
        signal.signal(LOOP_SIGNAL, self.on_signal)

    def on_signal(self, *_: object) -> None:
        task = asyncio.current_task(self._thread.loop)
        capture = None if task is None else self._capture(task)
        if capture is None or capture.function in self._told:
            return  # the loop turns again already, or this is no news
        place = self._place(sys._current_frames().get(self._thread.ident or 0))
        if place is not None:
            self._told.add(capture.function)
            log.warning(
                "loop.blocked",
                function=capture.function,
                id=capture.invocation_id,
                at=place,
                detail=f"it has kept the other invocations of its worker waiting for over {SLOW_S * 1000:.0f} ms: use "
                f"a `def` handler for work that takes the CPU, or asyncio.to_thread",
            )

    def _capture(self, task: "asyncio.Task[Any]") -> Capture | None:
        """The invocation of a task; of one that a handler has started, from 3.12 on."""
        if sys.version_info >= (3, 12):
            return task.get_context().get(CURRENT)
        return self._capture_of(task)

    def _place(self, frame: types.FrameType | None) -> str | None:
        """The innermost line of the app's own, else of any library; None if no user code runs."""
        innermost = None
        while frame is not None and not is_ours(frame.f_code.co_filename):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
            if frame.f_code.co_filename.startswith(self._root) and "site-packages" not in frame.f_code.co_filename:
                return place
            innermost = innermost or place
            frame = frame.f_back
        return innermost
