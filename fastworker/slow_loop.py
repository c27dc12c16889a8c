"""A warning when user code holds up its worker's loop: which function, and at which line.

The supervisor (watchdog.py) sees that a worker's loop does not turn, and sends a signal; its handler, here, runs on
the worker's main thread between two lines of whatever is in the way.
Rule: tells, and changes nothing.
"""

import os
import signal
import types
from pathlib import Path

from fastworker.frames import is_ours
from fastworker.logs import CURRENT, log

LOOP_SIGNAL = signal.SIGRTMIN + 1
# How long a loop may stand still. Other invocations of the worker wait as long.
SLOW_S = 0.2


class SlowLoop:
    """One worker's. A function is told once: it will be slow again."""

    def __init__(self, root: Path) -> None:
        self._root = str(root) + os.sep
        self._told: set[str] = set()

    def listen(self) -> None:
        """Installs the signal's handler."""
        signal.signal(LOOP_SIGNAL, self._on_signal)

    def _on_signal(self, _: int, frame: types.FrameType | None) -> None:
        invocation = CURRENT.get()
        if invocation is None or invocation.function in self._told:
            return  # the loop turns again already, or this is no news
        place = self._place(frame)
        if place is not None:
            self._told.add(invocation.function)
            log.warning(
                "loop.blocked",
                function=invocation.function,
                id=invocation.invocation_id,
                at=place,
                detail=f"it has kept the other invocations of its worker waiting for over {SLOW_S * 1000:.0f} ms: use "
                f"a `def` handler for work that takes the CPU, or asyncio.to_thread",
            )

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
