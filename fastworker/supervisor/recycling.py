"""Which workers have grown old: FASTWORKER_MAX_REQUESTS and FASTWORKER_MAX_RSS.

Asked by supervisor/run.py once a second; pool.py replaces whom it names.
Rule: looks and names, and changes nothing but what a worker's record says of it: its own limit, and why it leaves.
"""

import random
from collections.abc import Iterable

from fastworker.ipc import linux
from fastworker.ipc.board import Board
from fastworker.settings import Settings
from fastworker.supervisor.workers import Worker, Workers

# Each worker has its own limit of requests, within so much of the setting: they are not to be recycled all at once.
SPREAD = 0.2


class Recycling:
    """The limits that a worker has before it is replaced."""

    def __init__(self, settings: Settings, board: Board, workers: Workers) -> None:
        self._settings = settings
        self._board = board
        self._workers = workers

    def begin(self, worker: Worker) -> None:
        """It is ready."""
        if self._settings.max_requests is not None:
            spread = random.uniform(1 - SPREAD, 1 + SPREAD)
            worker.request_limit = int(self._settings.max_requests * spread) or 1

    def old(self, slots: Iterable[int]) -> list[int]:
        """Those of `slots` whose workers have reached a limit."""
        max_rss = self._settings.max_rss
        found = []
        for slot in slots:
            worker, served = self._workers.get(slot), self._board.worker(slot).served
            if worker is None:
                continue
            worn = worker.request_limit is not None and served >= worker.request_limit
            # One that has served nothing is as small as a worker of this app can be: a new one would not help.
            fat = max_rss is not None and served > 0 and linux.resident_bytes(worker.pid) > max_rss
            if worn or fat:
                worker.leaves_for = "requests" if worn else "memory"
                found.append(slot)
        return found
