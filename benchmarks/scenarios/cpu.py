"""cpu: functions of 1, 10 and 100 ms of real work, at 50, 80 and 95 % of what can be had, beside the ideal.

Open loop, Poisson. The rate is the load's share of `processes / mean service time`, capped by the best closed-loop
capacity that any contender reached with this work (the cap is in each row). Rule: in a round, every contender and the
ideal meet the same arrivals, and the ideal uses that round's own service times, so that a slow minute is everybody's.
"""

import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.progress import Progress

from benchmarks import calls, ideal, load, schedule, service_times
from benchmarks.contenders import Contender, Running, running
from benchmarks.histogram import Histogram
from benchmarks.rows import Row, Scalar
from benchmarks.scenario import START_S, Emit, Options, Steps, attempt, measured, present

NAME: Final = "cpu"
IDEAL: Final = "ideal"
OURS: Final = "fastworker"
# Seconds of load for each length of job: long jobs need time to become many.
FULL: Final = {1.0: 2.5, 10.0: 4.0, 100.0: 8.0}
QUICK: Final = {10.0: 1.5}
LOADS: Final = (0.5, 0.8, 0.95)
# Who is not fastworker is measured at these loads only, but for the jobs in the middle: it would take half an hour.
PEERS_LOADS: Final = (0.8,)
MIDDLE_MS: Final = 10.0
# The longest job of which the closed-loop capacity is measured; longer ones have less overhead than it shows.
LONGEST_CAPPED_MS: Final = 10.0
CAP_S: Final = 0.8
SERVICE_S: Final = 0.4
WARMUP_S: Final = 0.3


class Arrivals(NamedTuple):
    """One length of job at one load, in one round."""

    ms: float
    load: float
    per_second: float
    plan: list[schedule.Arrival]
    variant: dict[str, Scalar]


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, length of job, load and round; and the ideal's rows beside them."""
    contenders = present(options, NAME, emit, "work")
    jobs = options.pick(QUICK, FULL)
    rounds = min(options.rounds, 2)
    per_round = sum(START_S + sum(s for ms, s in jobs.items() for _ in _loads(c, ms, options)) for c in contenders)
    caps_s = len(contenders) * (START_S + CAP_S * len(_capped(jobs)))
    steps = Steps(progress, NAME, caps_s + rounds * (per_round + SERVICE_S * len(jobs)))
    steps.tell("capacity")
    caps = _capacities(contenders, options, _capped(jobs), steps)
    for round_ in range(rounds):
        services = service_times.measure(list(jobs), options.processes, SERVICE_S, options.rounds_per_ms)
        steps.advance(SERVICE_S * len(jobs))
        planned = [
            _arrivals(ms, share, seconds, services[ms], caps, options, round_)
            for ms, seconds in jobs.items()
            for share in options.pick((0.8,), LOADS)
        ]
        for arrivals in planned:
            emit(_ideal_row(arrivals, services[arrivals.ms], options, round_))
        for contender in contenders:
            steps.tell(contender.name)
            with (
                attempt(emit, NAME, contender.name, {}, round_),
                running(contender, processes=options.processes, settings=options.work_settings) as server,
            ):
                _measure(server, contender, planned, options, emit, round_)
            steps.advance(START_S + sum(s for ms, s in jobs.items() for _ in _loads(contender, ms, options)))
    steps.finish()


def _capped(jobs: dict[float, float]) -> list[float]:
    return [ms for ms in jobs if ms <= LONGEST_CAPPED_MS]


def _loads(contender: Contender, ms: float, options: Options) -> Sequence[float]:
    if options.quick:
        return (0.8,)
    return LOADS if contender.name == OURS or ms == MIDDLE_MS else PEERS_LOADS


def _capacities(
    contenders: Sequence[Contender], options: Options, jobs: Sequence[float], steps: Steps
) -> dict[float, float]:
    """The best closed-loop rate of any contender by length of job. Who fails here fails again where it is told."""
    best: dict[float, float] = {}

    def ignore(row: Row) -> None:
        """The measurement itself will tell."""

    for contender in contenders:
        with (
            attempt(ignore, NAME, contender.name, {}, 0),
            running(contender, processes=options.processes, settings=options.work_settings) as server,
        ):
            kinds = load.prepare(server, [calls.work(ms, options.rounds_per_ms) for ms in jobs])
            for ms, kind in zip(jobs, kinds, strict=True):
                outcome = load.closed_loop(server, [kind], in_flight=8 * options.processes, seconds=CAP_S)
                best[ms] = max(best.get(ms, 0.0), outcome.require_right().per_second)
        steps.advance(START_S + CAP_S * len(jobs))
    return best


def _arrivals(
    ms: float,
    share: float,
    seconds: float,
    services_ns: Sequence[int],
    caps: dict[float, float],
    options: Options,
    round_: int,
) -> Arrivals:
    unhindered = options.processes / (statistics.fmean(services_ns) / 1e9)
    per_second = share * min(unhindered, caps.get(ms, unhindered))
    instants = schedule.poisson(per_second, seconds + WARMUP_S, seed=hash((round_, ms, share)))
    variant: dict[str, Scalar] = {"ms": ms, "load": share, "processes": options.processes}
    return Arrivals(ms, share, per_second, schedule.plain(instants), variant)


def _ideal_row(arrivals: Arrivals, services_ns: Sequence[int], options: Options, round_: int) -> Row:
    latencies = ideal.of_plan(arrivals.plan, [services_ns], options.processes, seed=round_)
    kept = [taken for arrival, taken in zip(arrivals.plan, latencies, strict=True) if arrival.at_ns >= WARMUP_S * 1e9]
    histogram = Histogram(kept)
    service_ms = statistics.fmean(services_ns) / 1e6
    return Row(
        scenario=NAME,
        contender=IDEAL,
        variant=arrivals.variant,
        round=round_,
        metrics={**histogram.metrics("ms"), "offered_per_second": arrivals.per_second, "service_mean_ms": service_ms},
        histogram=histogram.encoded(),
        settings={"service_times": len(services_ns)},
    )


def _measure(
    server: Running,
    contender: Contender,
    planned: Sequence[Arrivals],
    options: Options,
    emit: Emit,
    round_: int,
) -> None:
    lengths = sorted({arrivals.ms for arrivals in planned})
    prepared = load.prepare(server, [calls.work(ms, options.rounds_per_ms) for ms in lengths])
    kinds = dict(zip(lengths, prepared, strict=True))
    shortest = kinds[lengths[0]]
    load.closed_loop(server, [shortest], in_flight=4 * options.processes, seconds=WARMUP_S, warmup=0).require_right()
    for arrivals in planned:
        if arrivals.load not in _loads(contender, arrivals.ms, options):
            continue
        with attempt(emit, NAME, contender.name, arrivals.variant, round_):
            outcome = load.open_loop(server, [kinds[arrivals.ms]], arrivals.plan, warmup=WARMUP_S)
            offered = arrivals.per_second
            emit(measured(NAME, contender, arrivals.variant, round_, outcome, "ms", offered_per_second=offered))
