"""spin.py: a worker polls where that takes a CPU from nobody."""

import pytest

from fastworker.worker.spin import AUTO_NS, LOOK_NS, Ran, Spin, scheduler_figures


class Scheduler:
    """Tells what it is set to."""

    def __init__(self) -> None:
        self.looks = 0
        self.ran: Ran | None = Ran(0, 0)

    def __call__(self) -> Ran | None:
        self.looks += 1
        return self.ran

    def passes(self, *, on_cpu: int, waiting: int) -> None:
        assert self.ran is not None
        self.ran = Ran(self.ran.on_cpu + on_cpu, self.ran.waiting + waiting)


def test_a_number_is_what_is_polled_for_and_no_figures_are_asked_for():
    """Who sets a number knows his machine."""
    scheduler = Scheduler()
    assert Spin(70, scheduler).until(1_000) == 71_000
    assert Spin(0, scheduler).until(1_000) == 1_000
    assert scheduler.looks == 0


def test_nothing_is_polled_for_before_the_figures_say_that_cpus_are_free():
    """The first look has nothing to compare with."""
    assert Spin(None, Scheduler()).until(5) == 5


@pytest.mark.parametrize(
    ("on_cpu", "waiting", "polls"),
    [(1_000, 0, True), (1_000, 999, True), (1_000, 1_000, False), (1_000, 50_000, False), (0, 0, False)],
)
def test_who_waits_for_a_cpu_longer_than_he_runs_does_not_poll(on_cpu, waiting, polls):
    """Somebody else wants that CPU; a worker that has not run at all has nothing to hide."""
    scheduler = Scheduler()
    spin = Spin(None, scheduler)
    spin.until(0)
    scheduler.passes(on_cpu=on_cpu, waiting=waiting)
    assert spin.until(LOOK_NS) == LOOK_NS + (AUTO_NS if polls else 0)


def test_it_follows_the_figures_and_looks_rarely():
    """Twenty times a second at most, however many requests there are."""
    scheduler = Scheduler()
    spin = Spin(None, scheduler)
    spin.until(0)
    polled = []
    for turn in range(1, 5):
        scheduler.passes(on_cpu=1_000, waiting=5_000 if turn % 2 else 0)
        for request in range(100):
            now = turn * LOOK_NS + request
            polled.append(spin.until(now) - now)
    assert polled == ([0] * 100 + [AUTO_NS] * 100) * 2
    assert scheduler.looks == 5


def test_a_kernel_without_figures_lets_nobody_poll():
    """What nobody knows of might be taken from somebody."""
    scheduler = Scheduler()
    scheduler.ran = None
    spin = Spin(None, scheduler)
    assert [spin.until(turn * LOOK_NS) - turn * LOOK_NS for turn in range(3)] == [0, 0, 0]


def test_the_kernels_figures_grow_while_this_process_runs():
    """The figures of the thread that asks, in nanoseconds."""
    first = scheduler_figures()
    if first is None:
        pytest.skip("this kernel keeps no schedstat")
    sum(range(200_000))
    second = scheduler_figures()
    assert second is not None
    assert second.on_cpu > first.on_cpu
    assert second.waiting >= first.waiting
