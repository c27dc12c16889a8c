"""benchmarks/scaling.py: the controllers keep to their published rules, and the day adds up."""

import pytest

pytest.importorskip("numpy", reason="comes with the extra `bench`")

from benchmarks.scaling import Controller, Functions, Keda, Waits, day, simulate, weighted

WAITS = Waits([10_000_000] * 10, servers=1)


def asked(controller: Controller, demand: float, seconds: int, current: int = 0) -> list[int]:
    """How many instances there are after each second of constant demand."""
    counts = []
    for second in range(seconds):
        current = controller.wanted(second, demand, current)
        counts.append(current)
    return counts


def test_functions_http_adds_at_most_one_instance_a_second():
    assert asked(Functions(2, period_s=1, step=1, most=200), demand=100, seconds=60)[:4] == [1, 2, 3, 4]
    assert asked(Functions(2, period_s=1, step=1, most=200), demand=100, seconds=60)[-1] == 50
    assert asked(Functions(2, period_s=1, step=1, most=20), demand=100, seconds=60)[-1] == 20


def test_functions_target_based_adds_four_every_thirty_seconds():
    counts = asked(Functions(16, period_s=30, step=4, most=200), demand=160, seconds=91)
    assert (counts[0], counts[29], counts[30], counts[60], counts[90]) == (4, 4, 8, 10, 10)


def test_keda_doubles_or_adds_four_every_fifteen_seconds():
    counts = asked(Keda(2, polling_s=1, most=200), demand=100, seconds=61)
    assert [counts[second] for second in (0, 1, 15, 30, 45, 60)] == [1, 1, 5, 10, 20, 40]


def test_keda_looks_at_a_queue_only_so_often_when_there_is_no_replica():
    controller = Keda(5, polling_s=30, most=200)
    assert [controller.wanted(second, 10, 0) for second in (1, 29, 30)] == [0, 0, 1]


def test_keda_does_nothing_within_its_tolerance():
    assert Keda(10, polling_s=30, most=200).wanted(15, demand=109, current=10) == 10
    assert Keda(10, polling_s=30, most=200).wanted(15, demand=111, current=10) == 12


@pytest.mark.parametrize("controller", [Functions(2, 1, 1, 200), Keda(2, 1, 200)])
def test_instances_stay_for_five_minutes_after_they_were_needed(controller: Controller):
    current = 0
    for second in range(100):
        current = controller.wanted(second, 20, current)
    counts = [current := controller.wanted(second, 0, current) for second in range(100, 520)]
    assert counts[200] == 10
    assert counts[-1] == 0


def test_the_day_goes_from_one_to_ten_thousand_and_doubles_twice():
    assert day(0) == 1
    assert day(12 * 3600) == pytest.approx(10_000)
    assert day(8 * 3600) == pytest.approx(2 * day(8 * 3600 - 1), rel=0.01)
    assert max(day(second) for second in range(0, 86_400, 60)) < 20_000


def test_enough_instances_answer_within_the_service_time_and_its_queue():
    """Half of the time busy: M/D/1 waits for half a service time in the mean."""
    made = simulate(
        Functions(1e-9, 1, 1000, 2), WAITS, servers=1, cold_start_s=0, load=lambda second: 100.0, seconds=600
    )
    assert made.most_instances == 2
    assert made.instance_hours == pytest.approx(2 * 600 / 3600, rel=0.01)
    assert made.needed_hours == pytest.approx(600 / 3600, rel=0.05)
    assert 10 <= made.p50_ms < 20 < made.p99_ms < 60


def test_a_cold_start_is_waited_for_by_those_who_come_in_it():
    made = simulate(Functions(1, 1, 1, 1), WAITS, servers=1, cold_start_s=20, load=lambda second: 10.0, seconds=300)
    assert made.p99_ms > 20_000
    assert 20 / 300 * 100 <= made.late_percent < 15


def test_more_load_than_instances_may_take_piles_up():
    made = simulate(Functions(1, 1, 1, 1), WAITS, servers=1, cold_start_s=0, load=lambda second: 150.0, seconds=300)
    assert made.most_instances == 1
    assert made.slots[-1].p99_ms > 90_000


def test_a_percentile_counts_weights_and_not_values():
    assert weighted([(1, 98.0), (5, 1.0), (9, 1.0)], 0.5) == 1
    assert weighted([(1, 98.0), (5, 1.0), (9, 1.0)], 0.99) == 5
