"""faults: what workers that crash, overrun or hang cost the others.

A closed loop of 1 ms jobs, four per worker in flight, and now and then a request that kills its worker or takes three
seconds, in the same order for everybody. An innocent request is lost if its connection breaks, nobody answers within
the timeout, or the answer is not the right one. A broken connection is opened again at once, as the host would.
Rule: what is lost is the figure here, not a failure of the row; the calm run before it must be all right.
"""

import random
from typing import Final

import numpy as np
from rich.progress import Progress

from benchmarks import calls, load
from benchmarks.contenders import FUNCTIONS, Contender, running
from benchmarks.histogram import Histogram
from benchmarks.rows import Row, Scalar
from benchmarks.scenario import START_S, Emit, Options, Steps, attempt
from benchmarks.scenarios.among import among, fault

NAME: Final = "faults"
CONTENDERS: Final = ("fastworker", "uvicorn", "gunicorn+uvicorn")
# Of a hundred requests. Crashes are over at once; overruns hold a worker where nobody ends them.
SHARES: Final = {"crash": 0.02, "overrun": 0.005, "stuck": 0.005}
WORKERS_PER_CPU: Final = 2
LANES_PER_WORKER: Final = 4
JOB_MS: Final = 1.0
INNOCENT, FAULTY = 0, 1
ORDER_LENGTH: Final = 4000
TIMEOUT_S: Final = 10.0
WARMUP_S: Final = 0.2

# gunicorn counts whole seconds, and with one it kills workers that are only busy; uvicorn has nothing of the kind.
SETTINGS: Final = {
    "fastworker": {"FASTWORKER_GRACE": "0.1"},
    "gunicorn+uvicorn": {"GUNICORN_CMD_ARGS": "--timeout 2"},
}


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, fault and round."""
    contenders = among(options, NAME, emit, CONTENDERS)
    kinds = options.pick(("crash", "overrun"), tuple(SHARES))
    seconds = options.pick(1.5, 4.0)
    rounds = min(options.rounds, 2)
    each = START_S + 2 * seconds + 2 * WARMUP_S
    steps = Steps(progress, NAME, each * len(kinds) * len(contenders) * rounds)
    for round_ in range(rounds):
        for kind in kinds:
            for contender in contenders:
                steps.tell(f"{contender.name}, {kind}")
                variant: dict[str, Scalar] = {"fault": kind, "processes": WORKERS_PER_CPU * options.processes}
                with attempt(emit, NAME, contender.name, variant, round_):
                    emit(_measure(contender, kind, variant, round_, options, seconds))
                steps.advance(each)
    steps.finish()


def order(kind: str, seed: int) -> list[int]:
    """Which request is faulty, over and over; the same for everybody in a round."""
    chance = random.Random(seed)
    return [FAULTY if chance.random() < SHARES[kind] else INNOCENT for _ in range(ORDER_LENGTH)]


def _measure(
    contender: Contender, kind: str, variant: dict[str, Scalar], round_: int, options: Options, seconds: float
) -> Row:
    workers = WORKERS_PER_CPU * options.processes
    settings = {**options.work_settings, **SETTINGS.get(contender.name, {})}
    with running(contender, processes=workers, functions=FUNCTIONS / "faults", settings=settings) as server:
        prepared = load.prepare(server, [calls.work(JOB_MS, options.rounds_per_ms), fault(kind)])
        lanes = LANES_PER_WORKER * workers
        calm = load.closed_loop(server, prepared[:1], in_flight=lanes, seconds=seconds, warmup=WARMUP_S)
        calm.require_right()
        outcome = load.closed_loop(
            server,
            prepared,
            in_flight=lanes,
            seconds=seconds,
            warmup=WARMUP_S,
            order=order(kind, round_),
            timeout=TIMEOUT_S,
        )
    return row_of(contender, variant, round_, calm, outcome, settings)


def row_of(
    contender: Contender,
    variant: dict[str, Scalar],
    round_: int,
    calm: load.Outcome,
    outcome: load.Outcome,
    settings: dict[str, str],
) -> Row:
    """What came of both runs. Every record counts, the warm-up's, too: a request that is lost there is lost."""
    records = outcome.records
    innocent = records[records["kind"] == INNOCENT]
    right = innocent[innocent["outcome"] == load.OUTCOMES.index("right")]
    faults = int(np.count_nonzero(records["kind"] == FAULTY))
    if not faults or not len(right):
        raise OSError(f"{faults} faults and {len(right)} right answers: there is nothing to tell")
    histogram = Histogram(right["done"] - right["intended"])
    lost = len(innocent) - len(right)
    return Row(
        scenario=NAME,
        contender=contender.name,
        variant=variant,
        round=round_,
        metrics={
            "lost_per_1000": 1000 * lost / faults,
            "lost": float(lost),
            "faults": float(faults),
            "answered": float(len(right)),
            **histogram.metrics("ms"),
            **Histogram(calm.latencies()).metrics("ms", "calm_"),
            "per_second": outcome.per_second,
            "calm_per_second": calm.per_second,
        },
        histogram=histogram.encoded(),
        settings={**outcome.settings, **settings, "conditions": contender.conditions},
    )
