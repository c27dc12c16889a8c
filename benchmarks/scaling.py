"""What happens beyond one machine: the published rules of two scale controllers, over a day of load.

`simulate` walks through a day second by second: the controller sees what is in flight (or in the queue) and starts or
ends instances; what the ready ones cannot take waits. Pure: service times and cold starts are given.

    load --> backlog --> instances that are ready (servers each, requests spread at random) --> latency
                 \\--> controller --> instances that start (cold_start_s) --/

Rule: a number of a controller is one that its documentation gives, or is called an assumption here and in
docs/scaling.md.
"""

import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from benchmarks import ideal, schedule

DAY_S: Final = 86_400
LEAST, MOST = 1.0, 10_000.0
# At these hours the load doubles at once, for so long.
STEPS_H: Final = (8.0, 11.0)
STEP_S: Final = 300
# Waiting times are simulated at these utilisations, and drawn from there.
GRID: Final = tuple(share / 20 for share in range(1, 20))
REQUESTS: Final = 4000
# So many latencies stand for all requests of a second.
DRAWS: Final = 8
SLOT_S: Final = 300


def day(second: int) -> float:
    """Requests per second: least at midnight, most at noon, by a factor of 10,000, and twice as many for two steps."""
    whole = math.log10(MOST / LEAST)
    rate = LEAST * 10 ** (whole * (1 - math.cos(2 * math.pi * second / DAY_S)) / 2)
    return 2 * rate if any(0 <= second - 3600 * hour < STEP_S for hour in STEPS_H) else rate


class Controller(Protocol):
    """Says how many instances there should be, given the time, what waits or runs, and how many were asked for."""

    def wanted(self, second: int, demand: float, current: int) -> int: ...


@dataclass
class Functions:
    """The Functions scale controller: `demand / target` instances, at most `step` more every `period_s` seconds.

    Published: at most one instance per second for http, per 30 seconds for others, of which target-based scaling
    starts up to four at once; a maximum by plan. Assumed, for nothing is published: it ends instances that were not
    needed for `idle_s` seconds, all of them at last, no faster than it starts them.
    """

    target: float
    period_s: int
    step: int
    most: int
    idle_s: int = 300
    _seen: "deque[tuple[int, int]]" = field(default_factory=deque)

    def wanted(self, second: int, demand: float, current: int) -> int:
        desired = min(self.most, math.ceil(demand / self.target))
        highest = _highest(self._seen, second, desired, self.idle_s)
        if second % self.period_s:
            return current
        if desired > current:
            return min(desired, current + self.step)
        return max(min(current, highest), current - self.step)


@dataclass
class Keda:
    """KEDA with the horizontal pod autoscaler: `demand / target` replicas, looked at every `sync_s` seconds.

    Published defaults: a difference below 10 % changes nothing; at most twice as many, or four more, within 15 seconds;
    down to the highest of the last 300 seconds. From zero and to zero KEDA itself scales: it looks every `polling_s`
    seconds (the http add-on at once), and ends the last one after a cool-down of 300 seconds.
    """

    target: float
    polling_s: int
    most: int
    sync_s: int = 15
    tolerance: float = 0.1
    down_s: int = 300
    _seen: "deque[tuple[int, int]]" = field(default_factory=deque)

    def wanted(self, second: int, demand: float, current: int) -> int:
        desired = min(self.most, math.ceil(demand / self.target))
        highest = _highest(self._seen, second, desired, self.down_s)
        if current == 0:
            return 1 if demand > 0 and second % self.polling_s == 0 else 0
        if second % self.sync_s:
            return current
        if highest == 0:
            return 0
        if abs(demand / self.target / current - 1) <= self.tolerance:
            return current
        return min(desired, max(2 * current, current + 4)) if desired > current else min(current, max(1, highest))


def _highest(seen: "deque[tuple[int, int]]", second: int, desired: int, within_s: int) -> int:
    """The highest of the last seconds; `seen` keeps only what can still be it."""
    while seen and seen[-1][1] <= desired:
        seen.pop()
    seen.append((second, desired))
    while seen[0][0] <= second - within_s:
        seen.popleft()
    return seen[0][1]


@dataclass(frozen=True)
class Slot:
    """Five minutes of a day: mean load, most instances, and the p99 of the requests that came in them."""

    hour: float
    per_second: float
    instances: int
    p99_ms: float


@dataclass(frozen=True)
class Day:
    """What came of a day. `needed_hours` is what an instance that never idles would take."""

    slots: Sequence[Slot]
    p50_ms: float
    p99_ms: float
    late_percent: float
    instance_hours: float
    needed_hours: float
    most_instances: int


class Waits:
    """Latencies (ms) of one instance by its utilisation: a queue before `servers` workers, simulated."""

    def __init__(self, services_ns: Sequence[int], servers: int, seed: int = 1) -> None:
        chance = random.Random(seed)
        self.service_s = statistics.fmean(services_ns) / 1e9
        self._by_load = []
        for load in GRID:
            rate = load * servers / self.service_s
            arrivals = schedule.poisson(rate, REQUESTS / rate, seed)
            taken = ideal.latencies(arrivals, chance.choices(services_ns, k=len(arrivals)), servers)
            self._by_load.append([one / 1e6 for one in taken[len(taken) // 10 :]])

    def draw(self, load: float, chance: random.Random) -> float:
        """One latency at that utilisation; above the grid, its last: the rest is in the backlog."""
        return chance.choice(self._by_load[min(len(GRID) - 1, max(0, round(load * 20) - 1))])


def simulate(
    controller: Controller,
    waits: Waits,
    *,
    servers: int,
    cold_start_s: float,
    load: Callable[[int], float] = day,
    seconds: int = DAY_S,
    late_ms: float = 1000.0,
    seed: int = 1,
) -> Day:
    """A day under a controller, beginning with no instance. Latencies of a second have the weight of its requests."""
    chance = random.Random(seed)
    asked, ready, backlog, in_flight = 0, 0, 0.0, 0.0
    starting: deque[tuple[float, int]] = deque()
    taken: list[tuple[float, float]] = []
    slots: list[Slot] = []
    used_s, late, count, begun, most = 0, 0.0, 0.0, 0, 0
    for second in range(seconds):
        while starting and starting[0][0] <= second:
            ready += starting.popleft()[1]
        rate = load(second)
        wanted = controller.wanted(second, backlog + in_flight, asked)
        if wanted > asked:
            starting.append((second + cold_start_s, wanted - asked))
        elif wanted < asked:
            ready = min(ready, wanted)
            while starting and ready + sum(more for _, more in starting) > wanted:
                starting.pop()
        asked = wanted
        capacity = ready * servers / waits.service_s
        delay_ms = 1000 * (backlog / capacity if capacity else cold_start_s)
        backlog = max(0.0, backlog + rate - capacity)
        utilisation = rate / capacity if capacity else 1.0
        drawn = [delay_ms + waits.draw(utilisation, chance) for _ in range(DRAWS)]
        in_flight = min(rate, capacity or rate) * (statistics.fmean(drawn) - delay_ms) / 1000
        taken += [(one, rate / DRAWS) for one in drawn]
        late += rate * sum(one > late_ms for one in drawn) / DRAWS
        count += rate
        used_s += asked
        most = max(most, asked)
        if (second + 1) % SLOT_S == 0:
            part = taken[begun:]
            p99 = weighted(part, 0.99)
            mean = sum(weight for _, weight in part) / SLOT_S
            slots.append(Slot((second + 1 - SLOT_S) / 3600, mean, asked, p99))
            begun = len(taken)
    return Day(
        slots,
        weighted(taken, 0.5),
        weighted(taken, 0.99),
        100 * late / count,
        used_s / 3600,
        count * waits.service_s / servers / 3600,
        most,
    )


def weighted(values: Sequence[tuple[float, float]], share: float) -> float:
    """The value below which that share of the weight lies."""
    left = share * sum(weight for _, weight in values)
    for value, weight in sorted(values):
        left -= weight
        if left <= 0:
            return value
    return max(values)[0]
