"""The end of the server: a drain, its time limit, and the end of whatever is left.

Used by supervisor/run.py.
Rule: every step has a limit; nothing that a client, a handler or the kernel does makes the end wait beyond it.

    drain --nothing in flight--> StopAsked: workers retire --none is left--> wind_up: zygotes end, then the warden
      |                             ^
      +-- limit, second signal: hurry (workers are killed, what they ran is answered 503)
"""

import time
from collections.abc import Callable

from fastworker.ipc.board import Board
from fastworker.ipc.connections import Connections
from fastworker.logs import log
from fastworker.supervisor import pool
from fastworker.supervisor.crash_rules import Death
from fastworker.supervisor.workers import Workers
from fastworker.supervisor.zygotes import LAST_S, STOP_S, Zygotes


class Ending:
    """One server's. `step` gives the pool an event, `rouse` has `supervisor/run.py` look at it every 20 ms."""

    def __init__(
        self,
        drain_s: float,
        board: Board,
        connections: Connections,
        workers: Workers,
        zygotes: Zygotes,
        step: Callable[[pool.Event], None],
        rouse: Callable[[], None],
    ) -> None:
        self._drain_s = drain_s
        self._board = board
        self._connections = connections
        self._workers = workers
        self._zygotes = zygotes
        self._step = step
        self._rouse = rouse
        self._quiet_scans = 0
        self._hurried_ns = 0
        self._winding_up_ns = 0

    @property
    def draining(self) -> bool:
        return bool(self._board.drain_ns)

    @property
    def winding_up(self) -> bool:
        """No worker is left, and nothing is forked any more."""
        return bool(self._winding_up_ns)

    def drain(self, signal_name: str) -> None:
        """What is in flight may end; what comes from now on is refused."""
        log.info("drain.begins", signal=signal_name, limit_s=self._drain_s)
        self._board.drain_ns = time.monotonic_ns()
        self._rouse()

    def host_gone(self, what: str) -> None:
        """Nobody is left to answer, or to start us again."""
        log.warning("host.gone", detail=what)
        self._board.drain_ns = self._board.drain_ns or time.monotonic_ns()
        self.hurry("the host has ended")
        self._zygotes.end_warden()  # it ends all that is left, at once

    def hurry(self, why: str) -> None:
        """Nothing in flight is waited for."""
        self._hurried_ns = self._hurried_ns or time.monotonic_ns()
        self._rouse()
        death = Death(f"the server stopped before this invocation had ended ({why})", 503)
        for slot in self._workers.slots():
            self._workers.kill(slot, death)
        self._step(pool.StopAsked())

    def look(self, now_ns: int) -> None:
        """While it drains, at each scan."""
        if self.draining and self._drained(now_ns):
            self._step(pool.StopAsked())

    def is_stuck(self, now_ns: int) -> bool:
        """A worker that was killed does not end: it hangs in the kernel (a disk, a network drive)."""
        return 0 < self._hurried_ns < now_ns - LAST_S * 1e9

    def wind_up(self, now_ns: int) -> bool:
        """No worker is left. Zygotes may end in order, the warden ends what is still there; True once all is over."""
        if not self._winding_up_ns:
            self._winding_up_ns = now_ns
            self._zygotes.stop_all()
        late_s = (now_ns - self._winding_up_ns) / 1e9
        if not self._zygotes.empty and late_s <= STOP_S + 1:
            return False
        self._zygotes.end_warden()
        return self._zygotes.all_ended() or late_s > STOP_S + 1 + LAST_S

    def _drained(self, now_ns: int) -> bool:
        """Nothing is in flight, in two looks: a request that lay in its socket has been taken by then."""
        if now_ns - self._board.drain_ns > self._drain_s * 1e9:
            self.hurry(f"FASTWORKER_DRAIN={self._drain_s:g} s are over")
            return True
        busy = any(self._board.owner(number) is not None for number in self._connections.open_numbers())
        self._quiet_scans = 0 if busy else self._quiet_scans + 1
        return self._quiet_scans >= 2
