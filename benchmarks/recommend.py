"""How many workers to set, from what was measured over their number.

Called by scenarios/workers.py. Rule: pure; of what is equally fast, the least, for every worker costs memory.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

# Differences below these are taken for noise.
THROUGHPUT_TOLERANCE: Final = 0.05
P99_TOLERANCE: Final = 0.15


class Point(NamedTuple):
    """What so many workers did: requests per second at saturation, and p99 (ms) at a load that all of them can bear."""

    workers: int
    per_second: float
    p99_ms: float


class Recommendation(NamedTuple):
    """A number of workers, and why that one, in a sentence."""

    workers: int
    reason: str


def recommend(points: Sequence[Point]) -> Recommendation:
    """The least number that is about as fast as any, and of those the least whose p99 is about as good as any's.

    Raises ValueError for no points.
    """
    if not points:
        raise ValueError("nothing was measured")
    most = max(points, key=lambda point: point.per_second)
    fast = [point for point in points if point.per_second >= most.per_second * (1 - THROUGHPUT_TOLERANCE)]
    steady = min(point.p99_ms for point in fast)
    good = [point for point in fast if point.p99_ms <= steady * (1 + P99_TOLERANCE)]
    chosen = min(good, key=lambda point: point.workers)
    reason = f"{chosen.per_second:,.0f} requests/s with a p99 of {chosen.p99_ms:,.1f} ms"
    fewer = [point for point in points if point.workers < chosen.workers]
    more = [point for point in points if point.workers > chosen.workers]
    if fewer:
        near = max(fewer, key=lambda point: point.workers)
        reason += f"; {near.workers} had {near.per_second:,.0f}/s and {near.p99_ms:,.1f} ms"
    if more:
        near = min(more, key=lambda point: point.workers)
        reason += f"; {near.workers} had {near.per_second:,.0f}/s and {near.p99_ms:,.1f} ms"
    return Recommendation(chosen.workers, reason)
