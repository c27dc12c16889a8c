"""benchmarks/schedule.py: plans of open loops."""

import itertools
import statistics

import pytest

from benchmarks import schedule
from benchmarks.schedule import Arrival


def test_poisson_arrivals_have_the_rate_that_was_asked_for():
    """Within four standard deviations, which are the root of the count."""
    instants = schedule.poisson(1000, 100, seed=1)
    assert abs(len(instants) - 100_000) < 4 * 100_000**0.5


def test_poisson_gaps_are_exponential():
    """Their standard deviation is their mean."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(schedule.poisson(1000, 100, seed=2))]
    assert statistics.pstdev(gaps) == pytest.approx(statistics.fmean(gaps), rel=0.02)


def test_the_same_seed_makes_the_same_arrivals():
    """All contenders of a round meet the same load; another round another one."""
    assert schedule.poisson(500, 2, seed=3) == schedule.poisson(500, 2, seed=3)
    assert schedule.poisson(500, 2, seed=3) != schedule.poisson(500, 2, seed=4)


def test_instants_are_in_order_and_end_in_time():
    instants = schedule.poisson(2000, 1.5, seed=5)
    assert instants == sorted(instants)
    assert 0 <= instants[0] <= instants[-1] < 1.5 * schedule.SECOND


def test_constant_arrivals_are_evenly_spaced():
    assert schedule.constant(4, 1) == [0, 250_000_000, 500_000_000, 750_000_000]


def test_kinds_come_by_their_shares():
    """5 % of 20,000, within four standard deviations."""
    drawn = schedule.kinds([0.95, 0.05], 20_000, seed=6)
    assert abs(sum(drawn) - 1000) < 4 * (20_000 * 0.05 * 0.95) ** 0.5


def test_mixed_arrivals_keep_their_instants():
    plan = schedule.mixed([1, 2, 3], [1, 1], seed=7)
    assert [arrival.at_ns for arrival in plan] == [1, 2, 3]
    assert {arrival.kind for arrival in plan} <= {0, 1}
    assert schedule.plain([1, 2]) == [Arrival(1, 0), Arrival(2, 0)]
