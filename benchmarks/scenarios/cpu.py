"""cpu: functions of 1, 10 and 100 ms of real work, at 50, 80 and 95 % of what can be had, beside the ideal.

Open loop, Poisson. The rate is the load's share of `processes / mean service time`, capped by the best closed-loop
capacity that any contender reached with this work (the cap is in each row). Rule: in a round, every contender and the
ideal meet the same arrivals, and the ideal uses that round's own service times, so that a slow minute is everybody's.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from rich.progress import Progress

from benchmarks import calls, ideal, latencies, load, schedule, service_times
from benchmarks.contenders import Contender, Running
from benchmarks.rows import IDEAL, OURS, Row
from benchmarks.scenario import Case, Emit, Options, Variant, attempt, measured, present, rounds

NAME: Final = "cpu"
# Seconds of load for each length of job: long jobs need time to become many.
FULL: Final = {1.0: 2.5, 10.0: 4.0, 100.0: 8.0}
HEADLINE: Final = {1.0: 2.5, 10.0: 4.0}
QUICK: Final = {10.0: 1.5}
LOADS: Final = (0.5, 0.8, 0.95)
# Who is not fastworker is measured at this load only, but for the jobs in the middle: it would take half an hour.
PEERS_LOADS: Final = (0.8,)
MIDDLE_MS: Final = 10.0
# The longest job of which the closed-loop capacity is measured; longer ones have less overhead than it shows.
LONGEST_CAPPED_MS: Final = 10.0
CAP_S: Final = 0.8
SERVICE_S: Final = 0.4
WARMUP_S: Final = 0.3
MOST_ROUNDS: Final = 2


class Arrivals(NamedTuple):
    """One length of job at one load, in one round."""

    ms: float
    load: float
    per_second: float
    plan: list[schedule.Arrival]
    variant: Variant


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, length of job, load and round; and the ideal's rows beside them."""
    contenders = present(options, NAME, emit, "work")
    jobs = HEADLINE if options.headline else options.pick(QUICK, FULL)
    caps = _capacities(contenders, options, [ms for ms in jobs if ms <= LONGEST_CAPPED_MS], progress)
    planned: list[Arrivals] = []

    def before(round_: int) -> None:
        services = service_times.measure(list(jobs), options.processes, SERVICE_S, options.rounds_per_ms)
        planned[:] = [
            _arrivals(ms, share, seconds, services[ms], caps, options, round_)
            for ms, seconds in jobs.items()
            for share in LOADS
            if any(share in _loads(contender, ms, options) for contender in contenders)
        ]
        for arrivals in planned:
            emit(_ideal_row(arrivals, services[arrivals.ms], options, round_))

    def measure(server: Running, case: Case, round_: int) -> None:
        prepared = load.prepare(server, [calls.work(ms, options.rounds_per_ms) for ms in jobs])
        kinds = dict(zip(jobs, prepared, strict=True))
        in_flight = 4 * options.processes
        load.closed_loop(server, prepared[:1], in_flight=in_flight, seconds=WARMUP_S, warmup=0).require_right()
        for arrivals in planned:
            if arrivals.load in _loads(case.contender, arrivals.ms, options):
                with attempt(emit, NAME, case.contender.name, arrivals.variant, round_):
                    outcome = load.open_loop(server, [kinds[arrivals.ms]], arrivals.plan, warmup=WARMUP_S)
                    more = {"offered_per_second": arrivals.per_second}
                    emit(measured(NAME, case.contender, arrivals.variant, round_, outcome, "ms", **more))

    cases = [Case(one, sum(s for ms, s in jobs.items() for _ in _loads(one, ms, options))) for one in contenders]
    rounds(NAME, cases, measure, options, emit, progress, most=MOST_ROUNDS, before=before)


def _loads(contender: Contender, ms: float, options: Options) -> Sequence[float]:
    if options.quick or options.headline:
        return (0.8,)
    return LOADS if contender.name == OURS or ms == MIDDLE_MS else PEERS_LOADS


def _capacities(
    contenders: Sequence[Contender], options: Options, jobs: Sequence[float], progress: Progress
) -> dict[float, float]:
    """The best closed-loop rate of any contender by length of job. Who fails here fails again where it is told."""
    best: dict[float, float] = {}

    def ignore(row: Row) -> None:
        """The measurement itself will tell."""

    def measure(server: Running, case: Case, round_: int) -> None:
        kinds = load.prepare(server, [calls.work(ms, options.rounds_per_ms) for ms in jobs])
        for ms, kind in zip(jobs, kinds, strict=True):
            outcome = load.closed_loop(server, [kind], in_flight=8 * options.processes, seconds=CAP_S)
            best[ms] = max(best.get(ms, 0.0), outcome.require_right().per_second)

    cases = [Case(contender, CAP_S * len(jobs)) for contender in contenders]
    rounds(f"{NAME}, capacity", cases, measure, replace(options, rounds=1), ignore, progress)
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
    variant: Variant = {"ms": ms, "load": share, "processes": options.processes}
    return Arrivals(ms, share, per_second, schedule.plain(instants), variant)


def _ideal_row(arrivals: Arrivals, services_ns: Sequence[int], options: Options, round_: int) -> Row:
    taken = ideal.of_plan(arrivals.plan, [services_ns], options.processes, seed=round_)
    kept = [one for arrival, one in zip(arrivals.plan, taken, strict=True) if arrival.at_ns >= WARMUP_S * 1e9]
    more = {"offered_per_second": arrivals.per_second, "service_mean_ms": statistics.fmean(services_ns) / 1e6}
    return Row(
        scenario=NAME,
        contender=IDEAL,
        variant=arrivals.variant,
        round=round_,
        metrics={**latencies.metrics(kept, "ms"), **more},
        settings={"service_times": len(services_ns)},
    )
