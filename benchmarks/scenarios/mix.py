"""mix: 95 % short jobs, 5 % long ones, on keep-alive connections: what waiting behind a long one costs.

Open loop, Poisson, at 50 and 80 % of what `processes` servers could do of this mix. The figure is the short jobs' p99
beside the ideal's, where a short job waits for a long one only when every server is busy.
Rule: the same arrivals and the same order of kinds for everybody in a round.
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

NAME: Final = "mix"
IDEAL: Final = "ideal"
JOBS_MS: Final = (1.0, 50.0)
SHARES: Final = (0.95, 0.05)
SHORT, LONG = 0, 1
LOADS: Final = (0.5, 0.8)
SERVICE_S: Final = 0.5
WARMUP_S: Final = 0.3


class Arrivals(NamedTuple):
    """The mix at one load, in one round."""

    per_second: float
    plan: list[schedule.Arrival]
    variant: dict[str, Scalar]


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, load and round; and the ideal's rows beside them."""
    contenders = present(options, NAME, emit, "work")
    loads = options.pick((0.8,), LOADS)
    seconds = options.pick(1.5, 4.0)
    each = START_S + WARMUP_S + len(loads) * (seconds + WARMUP_S)
    rounds = min(options.rounds, 2)
    steps = Steps(progress, NAME, rounds * (each * len(contenders) + SERVICE_S * len(JOBS_MS)))
    for round_ in range(rounds):
        services = service_times.measure(JOBS_MS, options.processes, SERVICE_S, options.rounds_per_ms)
        steps.advance(SERVICE_S * len(JOBS_MS))
        services_ns = [services[ms] for ms in JOBS_MS]
        planned = [_arrivals(share, seconds, services_ns, options, round_) for share in loads]
        for arrivals in planned:
            emit(_ideal_row(arrivals, services_ns, options, round_))
        for contender in contenders:
            steps.tell(contender.name)
            with (
                attempt(emit, NAME, contender.name, {}, round_),
                running(contender, processes=options.processes, settings=options.work_settings) as server,
            ):
                _measure(server, contender, planned, options, emit, round_)
            steps.advance(each)
    steps.finish()


def _arrivals(
    share: float, seconds: float, services_ns: Sequence[Sequence[int]], options: Options, round_: int
) -> Arrivals:
    mean_ns = sum(part * statistics.fmean(times) for part, times in zip(SHARES, services_ns, strict=True))
    per_second = share * options.processes / (mean_ns / 1e9)
    instants = schedule.poisson(per_second, seconds + WARMUP_S, seed=hash((round_, share)))
    plan = schedule.mixed(instants, SHARES, seed=round_)
    return Arrivals(per_second, plan, {"load": share, "processes": options.processes})


def _ideal_row(arrivals: Arrivals, services_ns: Sequence[Sequence[int]], options: Options, round_: int) -> Row:
    latencies = ideal.of_plan(arrivals.plan, services_ns, options.processes, seed=round_)
    kept = [
        (arrival.kind, taken)
        for arrival, taken in zip(arrivals.plan, latencies, strict=True)
        if arrival.at_ns >= WARMUP_S * 1e9
    ]
    histogram = Histogram([taken for _, taken in kept])
    parts = {
        **Histogram([taken for kind, taken in kept if kind == SHORT]).metrics("ms", "short_"),
        **Histogram([taken for kind, taken in kept if kind == LONG]).metrics("ms", "long_"),
    }
    return Row(
        scenario=NAME,
        contender=IDEAL,
        variant=arrivals.variant,
        round=round_,
        metrics={**histogram.metrics("ms"), **parts, "offered_per_second": arrivals.per_second},
        histogram=histogram.encoded(),
        settings={"jobs_ms": list(JOBS_MS), "shares": list(SHARES)},
    )


def _measure(
    server: Running,
    contender: Contender,
    planned: Sequence[Arrivals],
    options: Options,
    emit: Emit,
    round_: int,
) -> None:
    kinds = load.prepare(server, [calls.work(ms, options.rounds_per_ms) for ms in JOBS_MS])
    in_flight = 4 * options.processes
    load.closed_loop(server, kinds[:1], in_flight=in_flight, seconds=WARMUP_S, warmup=0).require_right()
    for arrivals in planned:
        with attempt(emit, NAME, contender.name, arrivals.variant, round_):
            outcome = load.open_loop(server, kinds, arrivals.plan, warmup=WARMUP_S).require_right()
            parts = {
                **Histogram(outcome.latencies(SHORT)).metrics("ms", "short_"),
                **Histogram(outcome.latencies(LONG)).metrics("ms", "long_"),
                "offered_per_second": arrivals.per_second,
                "connections": float(outcome.opened),
            }
            emit(measured(NAME, contender, arrivals.variant, round_, outcome, "ms", **parts))
