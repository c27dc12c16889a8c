"""A snapshot: what a server is doing and has counted, at one instant; the document of its status socket.

Made by supervisor/status.py; rendered by metrics.py, sent as JSON by supervisor/status_socket.py, read by
commands that show a running server. docs/metrics.md describes it for users.
Rule: pure. A member may be added at any time; whoever changes or removes one raises VERSION.
"""

from collections.abc import Sequence

from msgspec import Struct, field

from fastworker.ipc.counters import (
    BLOCK,
    BUCKETS,
    CPU,
    OTHERWISE,
    OUTCOMES,
    SUM,
    UNWAITED,
    WAIT_BUCKETS,
    WAIT_SUM,
    WAITS,
)
from fastworker.outcomes import NONE, OK, InvocationOutcome

VERSION = 1

# Counters have a bucket for each power of two of nanoseconds, and of milliseconds; so many are worth showing:
# 16 us to 69 s, and 1 ms to 131 s.
TIME_BITS = range(14, 37)
WAIT_BITS = range(18)


class Histogram(Struct, frozen=True):
    """`counts[i]` are the values up to `bounds[i]` seconds that are above the bound before; the last has no bound."""

    bounds: Sequence[float]
    counts: list[int]
    sum: float

    @property
    def count(self) -> int:
        """Of all values."""
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """An estimate in seconds, linear within a bucket; None without values. Above the last bound: that bound."""
        wanted, seen, low = q * self.count, 0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and seen + count >= wanted:
                return low + (bound - low) * (wanted - seen) / count
            seen += count
            low = bound
        return low if seen or self.counts[-1] else None


TIME_BOUNDS = tuple(2**bits / 1e9 for bits in TIME_BITS)
WAIT_BOUNDS = tuple((2**bits - 1) / 1e3 for bits in WAIT_BITS)


class FunctionSnapshot(Struct, frozen=True):
    """What has been counted of one function since the server began. `cpu` is None where it is not measured."""

    name: str
    outcomes: dict[str, int]
    duration: Histogram
    queue_wait: Histogram
    cpu: Histogram | None = None


class Running(Struct, frozen=True):
    """An invocation in a worker's hands. `deadline_left_s` is the time to its hard deadline."""

    function: str
    id: str
    phase: str
    elapsed_s: float
    deadline_left_s: float | None


class WorkerSnapshot(Struct, frozen=True):
    """One worker. `restarts` is how many workers have ended in its slot."""

    slot: int
    pid: int
    state: str
    generation: int
    served: int
    cpu_s: float
    resident_bytes: int
    busy_s: float
    restarts: int
    running: list[Running]


class End(Struct, frozen=True):
    """A worker's end. `planned`: a successor was there, and nothing was lost."""

    time: float
    slot: int
    pid: int
    cause: str
    detail: str
    planned: bool


class Snapshot(Struct, frozen=True):
    """One server. `time` is Unix time in seconds; `unnamed` counts requests that name no function, by outcome.

    `cpu_s` is the supervisor's. `spans` counts those that were exported and those that were dropped, if traces are on.
    """

    version: int
    fastworker: str
    pid: int
    time: float
    uptime_s: float
    cpu_s: float
    resident_bytes: int
    draining: bool
    generation: int
    in_flight: int
    connections: int
    workers: list[WorkerSnapshot]
    functions: list[FunctionSnapshot]
    unnamed: dict[str, int]
    restarts: dict[str, int]
    ends: list[End]
    busy_s: dict[int, float] = field(default_factory=dict)
    spans: dict[str, int] = field(default_factory=dict)
    settings: dict[str, str | int | float | bool | None] = field(default_factory=dict)


def function_of(name: str, words: list[int], *, with_cpu: bool = False) -> FunctionSnapshot:
    """The counters of one function (ipc/counters.py), read."""
    unwaited, waited, otherwise = (words[start : start + BLOCK] for start in (0, BLOCK, OTHERWISE))
    duration = [a + b + c for a, b, c in zip(unwaited, waited, otherwise, strict=True)]
    waits = words[WAITS : WAITS + WAIT_BUCKETS]
    waits[0] += sum(unwaited[:BUCKETS]) + words[UNWAITED]
    return FunctionSnapshot(
        name,
        outcomes_of(words),
        _times(duration),
        Histogram(WAIT_BOUNDS, _cut(waits, WAIT_BITS), words[WAIT_SUM] / 1e3),
        _times(words[CPU : CPU + BLOCK]) if with_cpu else None,
    )


def outcomes_of(words: list[int]) -> dict[str, int]:
    """How often invocations have ended, by the words of the metrics."""
    counts = {outcome.name.lower(): words[OUTCOMES + outcome] for outcome in InvocationOutcome if outcome != NONE}
    counts[InvocationOutcome(OK).name.lower()] = sum(words[:BUCKETS]) + sum(words[BLOCK : BLOCK + BUCKETS])
    return counts


def _times(block: list[int]) -> Histogram:
    return Histogram(TIME_BOUNDS, _cut(block[:BUCKETS], TIME_BITS), block[SUM] / 1e9)


def _cut(buckets: list[int], bits: range) -> list[int]:
    """Those that are shown; the first and the last take along what is outside."""
    return [sum(buckets[: bits.start + 1]), *buckets[bits.start + 1 : bits.stop], sum(buckets[bits.stop :])]
