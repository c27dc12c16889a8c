"""benchmarks/recommend.py: how many workers."""

import pytest

from benchmarks.recommend import Point, recommend


def test_of_what_is_equally_fast_the_least_is_recommended():
    """Two workers on two CPUs: more of them only cost memory."""
    points = [Point(1, 100, 20), Point(2, 198, 12), Point(3, 200, 11.5), Point(4, 199, 13)]
    advice = recommend(points)
    assert advice.workers == 2
    assert advice.reason == "198 requests/s with a p99 of 12.0 ms; 1 had 100/s and 20.0 ms; 3 had 200/s and 11.5 ms"


def test_more_workers_are_worth_it_where_functions_wait():
    assert recommend([Point(1, 50, 40), Point(2, 100, 25), Point(3, 150, 20), Point(4, 199, 18)]).workers == 4


def test_a_much_better_p99_decides_between_equally_fast_ones():
    assert recommend([Point(2, 200, 40), Point(3, 198, 20), Point(4, 197, 21)]).workers == 3


def test_the_only_point_is_recommended():
    assert recommend([Point(1, 10, 5)]) == (1, "10 requests/s with a p99 of 5.0 ms")


def test_nothing_measured_recommends_nothing():
    with pytest.raises(ValueError, match="nothing was measured"):
        recommend([])
