"""How workers have ended since the server began: counted by cause, and the last ones in words.

Told by supervisor/run.py of every end; read by status.py.
Rule: each end has one cause, from the list in docs/metrics.md, and is told once.
"""

import collections
import time

from fastworker.supervisor.crash_rules import Death
from fastworker.supervisor.workers import Worker
from fastworker.telemetry.snapshot import End

LAST = 50


class Ends:
    """`by_cause` does not count those that were ended because the server stops."""

    def __init__(self) -> None:
        self.last: collections.deque[End] = collections.deque(maxlen=LAST)
        self.by_cause: collections.Counter[str] = collections.Counter()
        self.by_slot: collections.Counter[int] = collections.Counter()

    def add(self, worker: Worker, death: Death, *, planned: bool, stopping: bool, outdated: bool) -> None:
        """`planned`: it was told to end, and did. `outdated`: there is newer code than what it ran."""
        if stopping:
            cause = "stop"
        elif planned:
            cause = worker.leaves_for or ("reload" if outdated else "surplus")
        else:
            cause = "start" if worker.failure is not None and worker.death is None else death.cause
        detail = worker.failure.cause if worker.failure is not None else "" if planned else death.detail
        self.last.append(End(time.time(), worker.slot, worker.pid, cause, detail, planned))
        if cause != "stop":
            self.by_cause[cause] += 1
            self.by_slot[worker.slot] += 1
