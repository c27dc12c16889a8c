"""mix: 95 % short jobs, 5 % long ones, on keep-alive connections: what waiting behind a long one costs.

Open loop, Poisson, at 50 and 80 % of what `processes` servers could do of this mix. The figure is the short jobs' p99
beside the ideal's, where a short job waits for a long one only when every server is busy.
Rule: the same arrivals and the same order of kinds for everybody in a round.
"""

import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.progress import Progress

from benchmarks import calls, ideal, latencies, load, schedule, service_times
from benchmarks.contenders import Running
from benchmarks.rows import IDEAL, Row
from benchmarks.scenario import Case, Emit, Options, Variant, attempt, measured, present, rounds

NAME: Final = "mix"
JOBS_MS: Final = (1.0, 50.0)
SHARES: Final = (0.95, 0.05)
SHORT, LONG = 0, 1
LOADS: Final = (0.5, 0.8)
SERVICE_S: Final = 0.5
WARMUP_S: Final = 0.3
MOST_ROUNDS: Final = 2


class Arrivals(NamedTuple):
    """The mix at one load, in one round."""

    per_second: float
    plan: list[schedule.Arrival]
    variant: Variant


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, load and round; and the ideal's rows beside them."""
    loads = options.pick((0.8,), LOADS)
    seconds = options.pick(1.5, 4.0)
    planned: list[Arrivals] = []

    def before(round_: int) -> None:
        services = service_times.measure(JOBS_MS, options.processes, SERVICE_S, options.rounds_per_ms)
        services_ns = [services[ms] for ms in JOBS_MS]
        planned[:] = [_arrivals(share, seconds, services_ns, options, round_) for share in loads]
        for arrivals in planned:
            emit(_ideal_row(arrivals, services_ns, options, round_))

    def measure(server: Running, case: Case, round_: int) -> None:
        kinds = load.prepare(server, [calls.work(ms, options.rounds_per_ms) for ms in JOBS_MS])
        in_flight = 4 * options.processes
        load.closed_loop(server, kinds[:1], in_flight=in_flight, seconds=WARMUP_S, warmup=0).require_right()
        for arrivals in planned:
            with attempt(emit, NAME, case.contender.name, arrivals.variant, round_):
                outcome = load.open_loop(server, kinds, arrivals.plan, warmup=WARMUP_S).require_right()
                more = {
                    **latencies.metrics(outcome.latencies(SHORT), "ms", "short_"),
                    **latencies.metrics(outcome.latencies(LONG), "ms", "long_"),
                    "offered_per_second": arrivals.per_second,
                    "connections": float(outcome.opened),
                }
                emit(measured(NAME, case.contender, arrivals.variant, round_, outcome, "ms", **more))

    cases = [Case(one, len(loads) * (seconds + WARMUP_S)) for one in present(options, NAME, emit, "work")]
    rounds(NAME, cases, measure, options, emit, progress, most=MOST_ROUNDS, before=before)


def _arrivals(
    share: float, seconds: float, services_ns: Sequence[Sequence[int]], options: Options, round_: int
) -> Arrivals:
    mean_ns = sum(part * statistics.fmean(times) for part, times in zip(SHARES, services_ns, strict=True))
    per_second = share * options.processes / (mean_ns / 1e9)
    instants = schedule.poisson(per_second, seconds + WARMUP_S, seed=hash((round_, share)))
    plan = schedule.mixed(instants, SHARES, seed=round_)
    return Arrivals(per_second, plan, {"load": share, "processes": options.processes})


def _ideal_row(arrivals: Arrivals, services_ns: Sequence[Sequence[int]], options: Options, round_: int) -> Row:
    taken = zip(arrivals.plan, ideal.of_plan(arrivals.plan, services_ns, options.processes, seed=round_), strict=True)
    kept = [(arrival.kind, one) for arrival, one in taken if arrival.at_ns >= WARMUP_S * 1e9]
    metrics = {
        **latencies.metrics([one for _, one in kept], "ms"),
        **latencies.metrics([one for kind, one in kept if kind == SHORT], "ms", "short_"),
        **latencies.metrics([one for kind, one in kept if kind == LONG], "ms", "long_"),
        "offered_per_second": arrivals.per_second,
    }
    settings = {"jobs_ms": list(JOBS_MS), "shares": list(SHARES)}
    return Row(
        scenario=NAME,
        contender=IDEAL,
        variant=arrivals.variant,
        round=round_,
        metrics=metrics,
        settings=settings,
    )
