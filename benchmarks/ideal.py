"""The ideal that CPU-heavy contenders are measured against: one queue, no overhead, whoever is free takes the next.

The M/G/k of queueing theory, simulated with the service times that were measured and the very arrivals that were sent.
Rule: pure; no figure of a contender comes in here.
"""

import heapq
import itertools
import random
from collections.abc import Sequence

from benchmarks.schedule import Arrival


def latencies(arrivals: Sequence[int], services: Sequence[int], servers: int) -> list[int]:
    """From arrival to completion of each request, first come first served, in the unit of the arguments.

    `arrivals` must be in order. Raises ValueError if they are not, or if there are no servers.
    """
    if servers < 1:
        raise ValueError(f"{servers} servers serve nobody")
    if any(later < earlier for earlier, later in itertools.pairwise(arrivals)):
        raise ValueError("the arrivals are not in order")
    free = [0] * servers
    taken = []
    for arrival, service in zip(arrivals, services, strict=True):
        done = max(arrival, free[0]) + service
        heapq.heapreplace(free, done)
        taken.append(done - arrival)
    return taken


def of_plan(plan: Sequence[Arrival], services_ns: Sequence[Sequence[int]], servers: int, seed: int) -> list[int]:
    """Latencies (ns) of a plan, each request's service time drawn from those measured of its kind."""
    draw = random.Random(seed)
    services = [draw.choice(services_ns[arrival.kind]) for arrival in plan]
    return latencies([arrival.at_ns for arrival in plan], services, servers)
