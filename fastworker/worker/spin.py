"""How long a worker polls after a request before it blocks, by the scheduler's own figures.

Used by worker/run.py between two requests. A worker that polls answers the next request without a wake-up; but it also
takes a CPU, which the Functions host, on the same machine, may want for itself.
Rule: with `auto` a worker polls only while CPUs are free, which the kernel tells it: how long this worker has run, and
how long it has waited for a CPU (/proc/self/schedstat). Whatever the setting, each turn of the poll yields the CPU to
whoever can run.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

# What `auto` polls for where CPUs are free; docs/design.md, "A short spin hides the wake-up".
AUTO_NS: Final = 50_000
# Between two looks at the scheduler's figures.
LOOK_NS: Final = 50_000_000
SCHEDSTAT: Final = "/proc/self/schedstat"


class Ran(NamedTuple):
    """Nanoseconds since this process began: on a CPU, and able to run but without one."""

    on_cpu: int
    waiting: int


class Spin:
    """One worker's. `setting` is in microseconds, None for auto; `figures` asks the scheduler."""

    def __init__(self, setting: int | None, figures: Callable[[], Ran | None]) -> None:
        self._figures = figures
        self._before: Ran | None = None
        self._look_ns = 0 if setting is None else 1 << 62  # when to look again; with a number never
        self._spin_ns = (setting or 0) * 1000

    def until(self, now_ns: int) -> int:
        """Until when to poll, after a request that ended at `now_ns`."""
        if now_ns >= self._look_ns:
            self._look(now_ns)
        return now_ns + self._spin_ns

    def _look(self, now_ns: int) -> None:
        """CPUs are free where this worker has waited for one for less time than it ran."""
        self._look_ns = now_ns + LOOK_NS
        before, self._before = self._before, self._figures()
        if before is None or self._before is None:
            return
        ran, waited = self._before.on_cpu - before.on_cpu, self._before.waiting - before.waiting
        self._spin_ns = AUTO_NS if waited < ran else 0


def scheduler_figures() -> Ran | None:
    """Those of the main thread; None where the kernel keeps none.

    The file is opened each time, which costs nothing at so few looks: a descriptor that stays open could be closed by
    the app.
    """
    try:
        with open(SCHEDSTAT, "rb") as file:
            on_cpu, waiting, _ = file.read().split()
        return Ran(int(on_cpu), int(waiting))
    except (OSError, ValueError):
        return None
