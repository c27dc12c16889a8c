"""What `top` shows, computed from snapshots: rates, quantiles and rows.

Used by top.py and top_screen.py. Rule: pure; no terminal, no socket, no clock but the snapshots' own.
"""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from fastworker.telemetry.snapshot import End, FunctionSnapshot, Histogram, Snapshot, WorkerSnapshot

KEPT = 61
BARS = "▁▂▃▄▅▆▇█"
NOT_ERRORS = ("ok", "rejected", "client_gone")


class WorkerRow(Struct, frozen=True):
    """One worker. Of several invocations in it the one that has run longest is shown; `running` counts them.

    `cpu` is in CPUs (1.0 is one that is fully used), over the time watched.
    """

    slot: int
    pid: int
    state: str
    running: int
    function: str | None
    elapsed_s: float | None
    deadline_left_s: float | None
    cpu: float
    resident_bytes: int
    served: int
    restarts: int


class FunctionRow(Struct, frozen=True):
    """One function, over the time watched; `errors` and `total` since the server began. Quantiles are in seconds."""

    name: str
    rate: float
    p50_s: float | None
    p99_s: float | None
    wait_p50_s: float | None
    wait_p99_s: float | None
    errors: int
    total: int


class View(Struct, frozen=True):
    """One screen. `seconds` is the time watched: since the server began if there is one snapshot only."""

    pid: int
    fastworker: str
    uptime_s: float
    generation: int
    draining: bool
    in_flight: int
    connections: int
    seconds: float
    rate: float
    workers: list[WorkerRow]
    functions: list[FunctionRow]
    rates: list[float]
    in_flights: list[int]
    ends: list[End]


class History:
    """The last snapshots of one server; `view` compares the newest with the oldest.

    Example:
        >>> history = History()
        >>> history.add(client.status())
        >>> history.view().functions[0].rate
    """

    def __init__(self) -> None:
        self._snapshots: deque[Snapshot] = deque(maxlen=KEPT)

    def add(self, snapshot: Snapshot) -> None:
        self._snapshots.append(snapshot)

    def view(self) -> View:
        """What is to be shown now."""
        new, old = self._snapshots[-1], self._snapshots[0]
        first = None if old is new else old
        seconds = max(new.uptime_s if first is None else new.uptime_s - old.uptime_s, 1e-3)
        functions_before = {function.name: function for function in first.functions} if first else {}
        workers_before = {worker.pid: worker for worker in first.workers} if first else {}
        functions = [_function(f, functions_before.get(f.name), seconds) for f in new.functions]
        pairs = list(zip(self._snapshots, list(self._snapshots)[1:], strict=False))
        return View(
            new.pid,
            new.fastworker,
            new.uptime_s,
            new.generation,
            new.draining,
            new.in_flight,
            new.connections,
            seconds,
            sum(function.rate for function in functions),
            [_worker(w, workers_before.get(w.pid), seconds) for w in new.workers],
            sorted((f for f in functions if f.total), key=lambda f: (-f.rate, f.name)),
            [max(_total(b) - _total(a), 0) / max(b.uptime_s - a.uptime_s, 1e-3) for a, b in pairs],
            [snapshot.in_flight for snapshot in self._snapshots],
            new.ends,
        )


def sparkline(values: Sequence[float]) -> str:
    """One character a value, from nothing to the highest.

    Example:
        >>> sparkline([0, 1, 2])
        '▁▅█'
    """
    highest = max(values, default=0) or 1
    return "".join(BARS[round(max(value, 0) / highest * (len(BARS) - 1) + 1e-9)] for value in values)


def printable(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _total(snapshot: Snapshot) -> int:
    return sum(sum(function.outcomes.values()) for function in snapshot.functions)


def _since(new: Histogram, old: Histogram | None) -> Histogram:
    if old is None:
        return new
    # A death may take one back (docs/metrics.md).
    counts = [max(a - b, 0) for a, b in zip(new.counts, old.counts, strict=True)]
    return Histogram(new.bounds, counts, new.sum - old.sum)


def _function(new: FunctionSnapshot, old: FunctionSnapshot | None, seconds: float) -> FunctionRow:
    total = sum(new.outcomes.values())
    duration = _since(new.duration, old.duration if old else None)
    wait = _since(new.queue_wait, old.queue_wait if old else None)
    return FunctionRow(
        new.name,
        max(total - (sum(old.outcomes.values()) if old else 0), 0) / seconds,
        duration.quantile(0.5),
        duration.quantile(0.99),
        wait.quantile(0.5),
        wait.quantile(0.99),
        sum(count for outcome, count in new.outcomes.items() if outcome not in NOT_ERRORS),
        total,
    )


def _worker(new: WorkerSnapshot, old: WorkerSnapshot | None, seconds: float) -> WorkerRow:
    longest = max(new.running, key=lambda running: running.elapsed_s, default=None)
    return WorkerRow(
        new.slot,
        new.pid,
        new.state,
        len(new.running),
        longest.function if longest else None,
        longest.elapsed_s if longest else None,
        longest.deadline_left_s if longest else None,
        max(new.cpu_s - (old.cpu_s if old else 0.0), 0.0) / seconds,
        new.resident_bytes,
        new.served,
        new.restarts,
    )
