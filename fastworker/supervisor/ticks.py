"""When the supervisor looks at the board: every 20 ms while anything may become due, else once a second.

Used by supervisor/run.py, which says at each look whether anything may become due, and rouses it for whatever begins:
a worker that stops resting sends a Wake.
Rule: `asleep` stands on the board before the looks that find nothing to do, and is gone before the next one.

                 +------- nothing is due ------> DROWSY --- still nothing ---> ASLEEP
    AWAKE -------+   `asleep` is set,              |        looks after 1 s       |
      ^              looks again after 20 ms       |                              |
      +------- something is, or `rouse` ------------+------------------------------+

A worker that stopped resting before it could see `asleep` is seen at the look of DROWSY, 20 ms later.
"""

import asyncio
import enum
import time
from collections.abc import Callable

from fastworker.ipc.board import Board

SCAN_S = 0.02
SLOW_SCAN_S = 1.0


class _State(enum.Enum):
    AWAKE, DROWSY, ASLEEP = "awake", "drowsy", "asleep"


class Ticks:
    """Calls `look(now_ns, late_s)` at each tick; it returns whether something may become due before SLOW_SCAN_S.

    `late_s` is how much later than planned the tick came.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        board: Board,
        look: Callable[[int, float], bool],
    ) -> None:
        self._loop = loop
        self._board = board
        self._look = look
        self._state = _State.AWAKE
        self._timer: asyncio.TimerHandle | None = None
        self._due_ns = 0
        self._is_roused = False  # since the last look began

    def start(self) -> None:
        self._plan(0)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def rouse(self) -> None:
        """Something begins that may become due at any time."""
        self._is_roused = True
        if self._state is not _State.AWAKE and self._timer is not None:
            self._state = _State.AWAKE
            self._board.asleep = False
            self._timer.cancel()
            self._plan(0)

    def _plan(self, in_s: float) -> None:
        self._due_ns = time.monotonic_ns() + int(in_s * 1e9)
        self._timer = self._loop.call_later(in_s, self._tick)

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        before, self._state = self._state, _State.AWAKE
        self._is_roused = False
        is_due = self._look(now_ns, max(0, now_ns - self._due_ns) / 1e9) or self._is_roused
        if self._timer is None:  # stopped meanwhile
            return
        self._board.asleep = not is_due
        if is_due:
            self._plan(SCAN_S)
        elif before is _State.AWAKE:
            self._state = _State.DROWSY
            self._plan(SCAN_S)
        else:
            self._state = _State.ASLEEP
            self._plan(SLOW_SCAN_S)
