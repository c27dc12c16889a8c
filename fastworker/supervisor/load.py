"""Says when requests wait for workers longer than functions run, with the figures and what helps.

Used by supervisor/run.py, once a second.
Rule: tells, and changes nothing. All figures are of one minute, from what workers have counted (totals.py).
"""

from typing import NamedTuple

from fastworker.cpus import usable_cpus
from fastworker.ipc import linux
from fastworker.ipc.counters import FUNCTION_WORDS
from fastworker.logs import log
from fastworker.supervisor.totals import Totals
from fastworker.supervisor.workers import Workers
from fastworker.telemetry.snapshot import function_of

WINDOW_S = 60.0
# While it goes on it is told again after so long.
AGAIN_S = 600.0
# Workers that are busy for less than this share of a minute can take more: then requests came in bursts.
BUSY = 0.8
# Functions that are on a CPU, or want one, for less than this share of their time wait for something else.
COMPUTES = 0.5
# Workers that wait for a CPU for more than this share of their time have to share it.
CROWDED = 0.3


class Figures(NamedTuple):
    """Of one minute: `busy` is a worker's share of the time; of that, `cpu` on a CPU and `queued` in wait of one."""

    workers: int
    cpus: int
    busy: float
    cpu: float
    queued: float
    requests: int
    waited_s: float
    ran_s: float
    median_wait_s: float


def sentence(figures: Figures) -> str | None:
    """What is to be told; None while requests wait no longer than their functions run."""
    if not figures.requests or figures.waited_s <= figures.ran_s:
        return None
    all_workers = "the only worker was" if figures.workers == 1 else f"all {figures.workers} workers were"
    who = f"{all_workers} busy {figures.busy:.0%} of the time"
    waited = f"requests waited {figures.median_wait_s * 1000:.0f} ms in the median"
    sums = f"{figures.waited_s:.1f} s in all, while functions ran {figures.ran_s:.1f} s"
    if figures.busy < BUSY:
        helps = "they came in bursts; more workers (FASTWORKER_WORKERS, or SIGTTIN) help if the CPUs have room"
    elif figures.cpu + figures.queued < COMPUTES:
        helps = (
            f"functions were on a CPU for {figures.cpu:.0%} of that and wait for something else: more workers "
            f"(FASTWORKER_WORKERS, or SIGTTIN) help, or `async def`"
        )
    elif figures.queued > CROWDED and figures.workers <= figures.cpus:
        helps = (
            f"workers waited for a CPU for {figures.queued:.0%} of that, which other processes had: more CPUs or "
            f"instances help, more workers do not"
        )
    elif figures.workers < figures.cpus:
        helps = f"more workers help (FASTWORKER_WORKERS, or SIGTTIN): there are {_cpus(figures.cpus)}"
    else:
        helps = "more CPUs or instances help; more workers would only take turns"
    return f"{who}, {waited} ({sums}): {helps}"


def _cpus(number: int) -> str:
    return "1 CPU" if number == 1 else f"{number} CPUs"


class Load:
    """The load of one server."""

    def __init__(self, totals: Totals, workers: Workers) -> None:
        self._totals = totals
        self._workers = workers
        self._began_s = 0.0
        self._told_s = 0.0
        self._words = [0] * FUNCTION_WORDS
        self._busy_s = 0.0
        # By pid: seconds on a CPU and in wait of one, of those that ran when the minute began.
        self._used_s: dict[int, tuple[float, float]] = {}

    def look(self, now_s: float, slots: int) -> None:
        """Once a second; there are rows for so many workers."""
        if self._began_s and now_s - self._began_s < WINDOW_S:
            return
        words = [sum(column) for column in zip(*self._totals.functions().values(), strict=True)]
        busy_s = sum(self._totals.busy_s(slot, int(now_s * 1e9)) for slot in range(slots))
        pids = [worker.pid for _, worker in self._workers.items() if worker.pid]
        used_s = {pid: (linux.cpu_seconds(pid), linux.queued_seconds(pid)) for pid in pids}
        if self._began_s:
            figures = self._figures(now_s, words, busy_s, used_s)
            detail = None if figures is None else sentence(figures)
            if detail is not None and (not self._told_s or now_s - self._told_s >= AGAIN_S):
                self._told_s = now_s
                log.warning("workers.busy", detail=detail)
        self._began_s, self._words, self._busy_s, self._used_s = now_s, words, busy_s, used_s

    def _figures(
        self, now_s: float, words: list[int], all_busy_s: float, used_s: dict[int, tuple[float, float]]
    ) -> Figures | None:
        seconds, busy_s = now_s - self._began_s, all_busy_s - self._busy_s
        if not used_s or busy_s <= 0:
            return None
        counted = function_of("", [after - before for after, before in zip(words, self._words, strict=True)])
        # Of a worker that has ended meanwhile nobody knows; of a new one all is of this minute.
        before_s = {pid: self._used_s.get(pid, (0.0, 0.0)) for pid in used_s}
        cpu_s, queued_s = (sum(used_s[pid][i] - before_s[pid][i] for pid in used_s) for i in range(2))
        return Figures(
            workers=len(used_s),
            cpus=usable_cpus(),
            busy=min(1.0, busy_s / (seconds * len(used_s))),
            cpu=min(1.0, cpu_s / busy_s),
            queued=min(1.0, queued_s / busy_s),
            requests=counted.queue_wait.count,
            waited_s=counted.queue_wait.sum,
            ran_s=counted.duration.sum,
            median_wait_s=counted.queue_wait.quantile(0.5) or 0.0,
        )
