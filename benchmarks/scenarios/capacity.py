"""capacity: requests per second when there are always more to send, the order example's invocation.

Closed loop with more and more in flight; the best of them is the capacity. Where wrk is installed it checks ours.
Rule: when the load side was busy all the time, the row says so (load_was_limit): then it is no figure of the server.
"""

from typing import Final

from msgspec.structs import replace
from rich.progress import Progress

from benchmarks import calls, load, wrk
from benchmarks.contenders import Running
from benchmarks.rows import FLOOR, OURS
from benchmarks.scenario import Case, Emit, Options, Variant, attempt, measured, present, rounds

NAME: Final = "capacity"
BEST: Final = "best"
WARMUP_S: Final = 0.3
WRK_IN_FLIGHT: Final = 64
WRK_S: Final = 1
# One light and one heavy server are enough to compare two load generators.
WRK_CHECKS: Final = frozenset({FLOOR, OURS})


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, number in flight and round, and one with the best of each round."""
    levels = options.pick((64,), (16, 64, 256))
    seconds = options.pick(0.5, 1.0)

    def measure(server: Running, case: Case, round_: int) -> None:
        (kind,) = load.prepare(server, [calls.order()])
        taken = []
        for in_flight in levels:
            variant: Variant = {"in_flight": in_flight, "processes": options.processes}
            with attempt(emit, NAME, case.contender.name, variant, round_):
                outcome = load.saturating(server, [kind], in_flight=in_flight, seconds=seconds, warmup=WARMUP_S)
                row = measured(NAME, case.contender, variant, round_, outcome, "us", per_second=outcome.per_second)
                if in_flight == WRK_IN_FLIGHT and case.contender.name in WRK_CHECKS and wrk.installed():
                    row.metrics["wrk_per_second"] = wrk.per_second(server, kind, in_flight=in_flight, seconds=WRK_S)
                taken.append(row)
        if len(taken) == len(levels):
            best = max(taken, key=lambda row: row.metrics["per_second"])
            emit(replace(best, variant={"in_flight": BEST, "processes": options.processes}))
        for row in taken:
            emit(row)

    planned = len(levels) * (seconds + WARMUP_S)
    cases = [Case(contender, planned) for contender in present(options, NAME, emit, "order")]
    rounds(NAME, cases, measure, options, emit, progress)
