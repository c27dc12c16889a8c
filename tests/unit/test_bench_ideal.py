"""benchmarks/ideal.py: the simulated queue against what queueing theory has proved."""

import random
import statistics

import pytest

from benchmarks import ideal
from benchmarks.schedule import Arrival, poisson

MEAN_NS = 1_000_000
MANY_S = 200.0


def exponential(count: int) -> list[int]:
    draw = random.Random(7)
    return [round(draw.expovariate(1 / MEAN_NS)) for _ in range(count)]


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_mean_of_an_m_m_1_is_what_theory_says(load: float):
    """Exponential service, one server: the mean sojourn is service / (1 - load)."""
    arrivals = poisson(load * 1000, MANY_S, seed=1)
    taken = ideal.latencies(arrivals, exponential(len(arrivals)), servers=1)
    assert statistics.fmean(taken) == pytest.approx(MEAN_NS / (1 - load), rel=0.05)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_mean_of_an_m_d_1_is_what_theory_says(load: float):
    """Constant service waits half as long as exponential: load / (2 (1 - load)) services."""
    arrivals = poisson(load * 1000, MANY_S, seed=2)
    taken = ideal.latencies(arrivals, [MEAN_NS] * len(arrivals), servers=1)
    assert statistics.fmean(taken) == pytest.approx(MEAN_NS * (1 + load / (2 * (1 - load))), rel=0.04)


def test_mean_of_an_m_m_2_is_what_theory_says():
    """Erlang's C for two servers is 2 load^2 / (1 + load); the mean wait is C / (2 (1 - load)) services."""
    load = 0.8
    arrivals = poisson(load * 2000, MANY_S / 2, seed=3)
    taken = ideal.latencies(arrivals, exponential(len(arrivals)), servers=2)
    must_wait = 2 * load**2 / (1 + load)
    assert statistics.fmean(taken) == pytest.approx(MEAN_NS * (1 + must_wait / (2 * (1 - load))), rel=0.05)


def test_nobody_waits_while_a_server_is_free():
    """A long job takes one of two servers; the short ones behind it use the other."""
    assert ideal.latencies([0, 1, 12], [100, 10, 10], servers=2) == [100, 10, 10]


def test_first_come_is_served_first():
    """The third waits for whoever is free first."""
    assert ideal.latencies([0, 0, 0], [30, 20, 5], servers=2) == [30, 20, 25]


def test_kinds_of_a_plan_draw_from_their_own_service_times():
    """Kind 1 is ten times as long; far apart, nothing waits."""
    plan = [Arrival(0, 0), Arrival(1000, 1), Arrival(2000, 0)]
    assert ideal.of_plan(plan, [[7], [70]], servers=1, seed=0) == [7, 70, 7]


def test_arrivals_out_of_order_are_refused():
    """They would be served before their time."""
    with pytest.raises(ValueError, match="not in order"):
        ideal.latencies([5, 3], [1, 1], servers=1)


def test_no_servers_are_refused():
    with pytest.raises(ValueError, match="0 servers"):
        ideal.latencies([1], [1], servers=0)
