"""When requests are sent, and of which kind: the plans of open loops.

Used by scenarios and by load.py. Rule: pure, and the same for the same seed, so that every contender of a round, and
the ideal, meet the same arrivals.
"""

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

SECOND: Final = 1_000_000_000


class Arrival(NamedTuple):
    """One request: nanoseconds after the start, and the index of its kind."""

    at_ns: int
    kind: int = 0


def poisson(per_second: float, seconds: float, seed: int) -> list[int]:
    """Instants in ns with exponential gaps: what many independent callers make."""
    draw = random.Random(seed)
    instants = []
    now = draw.expovariate(per_second)
    while now < seconds:
        instants.append(round(now * SECOND))
        now += draw.expovariate(per_second)
    return instants


def constant(per_second: float, seconds: float) -> list[int]:
    """Instants in ns, evenly spaced."""
    return [round(i * SECOND / per_second) for i in range(round(per_second * seconds))]


def kinds(shares: Sequence[float], count: int, seed: int) -> list[int]:
    """A random kind for each of `count` requests, by their shares, which need not add up to one."""
    return random.Random(seed).choices(range(len(shares)), weights=shares, k=count)


def mixed(instants: Sequence[int], shares: Sequence[float], seed: int) -> list[Arrival]:
    """Arrivals at those instants, of random kinds."""
    return [Arrival(at, kind) for at, kind in zip(instants, kinds(shares, len(instants), seed), strict=True)]


def plain(instants: Sequence[int]) -> list[Arrival]:
    """Arrivals at those instants, all of the first kind."""
    return [Arrival(at) for at in instants]
