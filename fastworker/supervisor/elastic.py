"""How many workers there should be, where FASTWORKER_WORKERS is a range such as 2-8.

Used by supervisor/run.py, once a second. Off without a range.
Rule: grows by what is measured of requests that wait, never by what functions do; never beyond the memory; and shrinks
slowly, because a worker that is there costs little and one that is missing costs a request its time.
"""

import select
from typing import NamedTuple

from fastworker.ipc import linux
from fastworker.ipc.counters import FUNCTION_WORDS
from fastworker.supervisor.totals import Totals
from fastworker.supervisor.workers import Workers
from fastworker.telemetry.snapshot import function_of

# Requests that waited for longer than this in the mean of a second had no free worker.
LONG_WAIT_S = 0.05
# So long one worker less must have been enough before one is retired.
SHRINK_AFTER_S = 60.0
# ... which is when those that stay would have been busy for less than this share of the time.
ROOMY = 0.5
# No worker is added beyond this share of the memory that the cgroup allows.
MEMORY_SHARE = 0.9


class Second(NamedTuple):
    """What was measured since the last look.

    `is_waiting`: a request lies there that no worker takes, at this very moment. `requests` have ended, and had waited
    `waited_s` before they began; workers were busy for `busy_s`, all together. `resident` is the workers' resident size
    in bytes, each worker's.
    """

    seconds: float
    is_waiting: bool
    requests: int
    waited_s: float
    busy_s: float
    resident: tuple[int, ...]


class Elastic:
    """The number of workers between `least` and `most`; `memory` in bytes."""

    def __init__(self, least: int, most: int, memory: int) -> None:
        self.least = least
        self.most = most
        self._memory = memory
        self._was_waiting = False
        self._roomy_s = 0.0

    def wanted(self, size: int, second: Second) -> int:
        """How many there should be from now on, of `size` that there are: one more, one less, or as many."""
        # Seen twice in a row, so that it is not just the moment before somebody takes it.
        has_waited = second.requests > 0 and second.waited_s / second.requests > LONG_WAIT_S
        is_short = (second.is_waiting and self._was_waiting) or has_waited
        self._was_waiting = second.is_waiting
        is_roomy = size > 1 and not is_short and second.busy_s < ROOMY * (size - 1) * second.seconds
        self._roomy_s = self._roomy_s + second.seconds if is_roomy else 0.0
        if size < self.least:
            return size + 1
        if is_short:
            return size + 1 if size < self.most and self._has_room(second.resident) else size
        if size > self.least and self._roomy_s >= SHRINK_AFTER_S:
            self._roomy_s = 0.0
            return size - 1
        return size

    def _has_room(self, resident: tuple[int, ...]) -> bool:
        """For one worker more, as large as the largest. Shared pages are counted for each: careful, not exact."""
        return sum(resident) + max(resident, default=0) <= MEMORY_SHARE * self._memory


class Measure:
    """Takes what `Elastic` needs from the counters, the processes and the shared epoll."""

    def __init__(self, shared: select.epoll, totals: Totals, workers: Workers) -> None:
        self._totals = totals
        self._workers = workers
        # Readable while a request waits that no worker has taken. Looked at without waiting, for whoever waits on an
        # epoll within another is woken by everything.
        self._waiting = select.poll()
        self._waiting.register(shared.fileno(), select.POLLIN)
        self._at_s = 0.0
        self._words = [0] * FUNCTION_WORDS
        self._busy_s = 0.0

    def second(self, now_s: float, slots: int) -> Second | None:
        """What was measured since the last call; None at the first one."""
        words = [sum(column) for column in zip(*self._totals.functions().values(), strict=True)] or self._words
        busy_s = sum(self._totals.busy_s(slot, int(now_s * 1e9)) for slot in range(slots))
        counted = function_of("", [after - before for after, before in zip(words, self._words, strict=True)])
        pids = [worker.pid for _, worker in self._workers.items() if worker.pid]
        found = Second(
            now_s - self._at_s,
            bool(self._waiting.poll(0)),
            counted.queue_wait.count,
            counted.queue_wait.sum,
            busy_s - self._busy_s,
            tuple(linux.resident_bytes(pid) for pid in pids),
        )
        is_first = not self._at_s
        self._at_s, self._words, self._busy_s = now_s, words, busy_s
        return None if is_first else found
