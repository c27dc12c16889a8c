"""How many workers there should be, second by second, where FASTWORKER_WORKERS is a range."""

import pytest

from fastworker.supervisor.elastic import SHRINK_AFTER_S, Elastic, Second

MIB = 1 << 20
QUIET = Second(1.0, is_waiting=False, requests=0, waited_s=0.0, busy_s=0.0, resident=(50 * MIB, 50 * MIB))
WAITING = QUIET._replace(is_waiting=True, busy_s=2.0)


def sizes(elastic: Elastic, size: int, *seconds: Second) -> list[int]:
    found = []
    for second in seconds:
        size = elastic.wanted(size, second)
        found.append(size)
    return found


def test_a_request_that_nobody_takes_for_two_looks_brings_a_worker() -> None:
    """One look may fall into the moment before somebody takes it."""
    assert sizes(Elastic(2, 8, 1 << 40), 2, WAITING, WAITING, WAITING, QUIET, WAITING) == [2, 3, 4, 4, 4]


def test_requests_that_have_waited_long_bring_a_worker_and_busy_ones_alone_do_not() -> None:
    """Workers that are busy all the time, and whom nobody waits for, are enough."""
    waited = QUIET._replace(requests=10, waited_s=1.0, busy_s=2.0)
    busy = QUIET._replace(requests=10, waited_s=0.1, busy_s=2.0)
    assert sizes(Elastic(2, 8, 1 << 40), 2, waited, busy, waited) == [3, 3, 4]


def test_never_more_than_the_range_and_never_beyond_the_memory() -> None:
    assert sizes(Elastic(2, 3, 1 << 40), 2, *[WAITING] * 4) == [2, 3, 3, 3]
    assert sizes(Elastic(2, 8, 160 * MIB), 2, *[WAITING] * 4) == [2, 2, 2, 2]
    assert sizes(Elastic(2, 8, 170 * MIB), 2, *[WAITING] * 2) == [2, 3]


def test_one_worker_less_only_after_a_long_time_in_which_it_was_enough() -> None:
    elastic = Elastic(2, 8, 1 << 40)
    whole = int(SHRINK_AFTER_S)
    assert sizes(elastic, 4, *[QUIET] * (whole - 1)) == [4] * (whole - 1)
    assert sizes(elastic, 4, QUIET, QUIET) == [3, 3]
    busy = QUIET._replace(busy_s=1.9, requests=100)
    assert sizes(elastic, 3, *[QUIET] * (whole - 3), busy, *[QUIET] * (whole - 1)) == [3] * (2 * whole - 3)
    assert sizes(elastic, 2, *[QUIET] * whole * 2) == [2] * whole * 2  # never below the range


@pytest.mark.parametrize("size", [1, 9])
def test_what_somebody_else_has_changed_stays_within_reach(size: int) -> None:
    """SIGTTIN and SIGTTOU go on from where they are: below the range it grows, above it nothing is added."""
    assert Elastic(2, 8, 1 << 40).wanted(size, WAITING) == (2 if size == 1 else 9)
