"""workers: throughput and p99 over FASTWORKER_WORKERS, and how many to set on this machine.

For a function that computes, one that waits half of its time, or the user's own (--app, --envelope). Throughput in a
closed loop with more in flight than there are ever workers; p99 in an open loop, at the same rate for every number of
workers: 60 % of the best throughput of the round. Rule: nothing but the number of workers differs.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.progress import Progress

from benchmarks import calls, latencies, load, schedule
from benchmarks.calls import Call
from benchmarks.contenders import CONTENDERS, FUNCTIONS, running
from benchmarks.recommend import Point, recommend
from benchmarks.rows import OURS, Row
from benchmarks.scenario import START_S, Emit, Options, Steps, Variant, attempt, measured

NAME: Final = "workers"
COMPUTING_MS: Final = 5.0
WAITING_MS: Final = 20.0
STEADY_LOAD: Final = 0.6
WARMUP_S: Final = 0.3
# As many as a p99 needs, with some to spare; but no longer than so many seconds for a slow function.
FEWEST: Final = 150
LONGEST_S: Final = 6.0
# More than this many counts are not measured one by one.
MOST_COUNTS: Final = 8


class Subject(NamedTuple):
    """One function over the number of workers."""

    name: str
    call: Call
    functions: Path


class UserError(Exception):
    """--app or --envelope that cannot be used: what is wrong with it."""


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per function, number of workers and round, and prints a recommendation for each function.

    Raises UserError for an envelope that cannot be read.
    """
    subjects = _subjects(options)
    cpus = options.processes
    counts = options.pick(sorted({1, cpus, 2 * cpus}), worker_counts(cpus))
    rounds = min(options.rounds, 2)
    each = 2 * START_S + 2 * (_seconds(options) + WARMUP_S)
    steps = Steps(progress, NAME, rounds * len(subjects) * len(counts) * each)
    points: dict[str, dict[int, list[Point]]] = {subject.name: {} for subject in subjects}
    too_few: set[str] = set()
    for round_ in range(rounds):
        for subject in subjects:
            steps.tell(subject.name)
            for row in _round(subject, counts, options, round_, emit, steps, each):
                emit(row)
                workers = int(row.settings["workers"])
                point = Point(workers, row.metrics["per_second"], row.metrics.get("p99_ms", row.metrics["max_ms"]))
                points[subject.name].setdefault(workers, []).append(point)
                if "p99_ms" not in row.metrics:
                    too_few.add(subject.name)
    steps.finish()
    for name, measured_points in points.items():
        advice = _advice(name, measured_points, options, enough=name not in too_few)
        progress.console.print(advice, markup=False, highlight=False, soft_wrap=True)


def worker_counts(cpus: int) -> list[int]:
    """1 to 2 x CPUs; on large machines some of them, always with 1, the CPUs and twice the CPUs."""
    every = list(range(1, 2 * cpus + 1))
    if len(every) <= MOST_COUNTS:
        return every
    step = 2 * cpus / MOST_COUNTS
    return sorted({1, cpus, 2 * cpus, *(round(step * i) for i in range(1, MOST_COUNTS))})


def _subjects(options: Options) -> list[Subject]:
    if options.app is not None and options.envelope is not None:
        call = users_call(options.envelope)
        return [Subject(call.function, call, options.app.resolve())]
    rounds = options.rounds_per_ms
    return [
        Subject("computing", calls.work(COMPUTING_MS, rounds), FUNCTIONS),
        Subject("half waiting", calls.wait(WAITING_MS, rounds), FUNCTIONS),
    ]


def users_call(path: Path) -> Call:
    """The invocation in a file: an envelope as the host posts it; its Metadata.sys.MethodName names the function."""
    try:
        envelope: Any = json.loads(path.read_bytes())
        function = envelope["Metadata"]["sys"]["MethodName"]
        envelope["Data"]
    except (OSError, ValueError) as exc:
        raise UserError(f"{path}: {exc}") from None
    except (KeyError, TypeError):
        raise UserError(
            f"{path}: no envelope with Data and Metadata.sys.MethodName (the function's name); "
            f"docs/examples/order/envelope.json is one"
        ) from None
    return calls.users(str(function), json.dumps(envelope, separators=(",", ":")).encode())


def _seconds(options: Options) -> float:
    return options.pick(0.5, 2.5)


def _settings(options: Options, workers: int) -> dict[str, str]:
    return {**options.work_settings, "FASTWORKER_WORKERS": str(workers)}


def _variant(subject: Subject, workers: int) -> Variant:
    return {"function": subject.name, "workers": workers}


def _round(
    subject: Subject,
    counts: Sequence[int],
    options: Options,
    round_: int,
    emit: Emit,
    steps: Steps,
    each: float,
) -> list[Row]:
    """First the throughput of every count, then p99 at a rate that the best of them bears easily."""
    throughput: dict[int, load.Outcome] = {}
    for workers in counts:
        with (
            attempt(emit, NAME, OURS, _variant(subject, workers), round_),
            _served(subject, options, workers) as server,
        ):
            kinds = load.prepare(server, [subject.call])
            in_flight = 4 * options.processes
            outcome = load.closed_loop(server, kinds, in_flight=in_flight, seconds=_seconds(options), warmup=WARMUP_S)
            throughput[workers] = outcome.require_right()
        steps.advance(each / 2)
    rows = []
    best = max((outcome.per_second for outcome in throughput.values()), default=0.0)
    if not best:
        return []
    rate = STEADY_LOAD * best
    seconds = min(max(_seconds(options), FEWEST / rate), LONGEST_S)
    instants = schedule.poisson(rate, seconds + WARMUP_S, seed=round_)
    for workers, saturated in throughput.items():
        variant = _variant(subject, workers)
        with attempt(emit, NAME, OURS, variant, round_), _served(subject, options, workers) as server:
            kinds = load.prepare(server, [subject.call])
            outcome = load.open_loop(server, kinds, schedule.plain(instants), warmup=WARMUP_S)
            more = {
                "per_second": saturated.per_second,
                "offered_per_second": rate,
                **latencies.metrics(saturated.latencies(), "ms", "saturated_"),
            }
            row = measured(NAME, CONTENDERS[OURS], variant, round_, outcome, "ms", **more)
            row.settings["workers"] = workers
            rows.append(row)
        steps.advance(each / 2)
    return rows


def _served(subject: Subject, options: Options, workers: int) -> Any:
    settings = _settings(options, workers)
    return running(CONTENDERS[OURS], processes=workers, functions=subject.functions, settings=settings)


def _advice(name: str, points: dict[int, list[Point]], options: Options, *, enough: bool) -> str:
    if not points:
        return f"{name}: no number of workers answered rightly; see the failed rows"
    middle = [_median(taken) for taken in points.values()]
    advice = recommend(middle)
    told = f"FASTWORKER_WORKERS={advice.workers} for {name} on these {options.processes} CPUs: {advice.reason}"
    return told if enough else f"{told} (fewer than 100 requests: their slowest stands for the p99)"


def _median(points: Sequence[Point]) -> Point:
    by_rate = sorted(point.per_second for point in points)
    by_p99 = sorted(point.p99_ms for point in points)
    return Point(points[0].workers, by_rate[len(by_rate) // 2], by_p99[len(by_p99) // 2])
