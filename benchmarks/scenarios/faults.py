"""faults: what workers that crash, overrun or hang cost the others.

A closed loop of 1 ms jobs, four per worker in flight, and now and then a request that kills its worker or takes three
seconds, in the same order for everybody. An innocent request is lost if its connection breaks, nobody answers within
the timeout, or the answer is not the right one. A broken connection is opened again at once, as the host would.
Rule: what is lost is the figure here, not a failure of the row; the calm run before it must be all right.
"""

import random
from collections.abc import Mapping
from typing import Final

import numpy as np
from rich.progress import Progress

from benchmarks import calls, latencies, load
from benchmarks.contenders import FUNCTIONS, Contender, Running
from benchmarks.rows import OURS, Row
from benchmarks.scenario import Case, Emit, Options, Variant, present, rounds, row

NAME: Final = "faults"
# Of a hundred requests. Crashes are over at once; overruns hold a worker where nobody ends them.
SHARES: Final = {"crash": 0.02, "overrun": 0.005, "stuck": 0.005}
WORKERS_PER_CPU: Final = 2
LANES_PER_WORKER: Final = 4
JOB_MS: Final = 1.0
INNOCENT, FAULTY = 0, 1
ORDER_LENGTH: Final = 4000
TIMEOUT_S: Final = 10.0
WARMUP_S: Final = 0.2
MOST_ROUNDS: Final = 2

# gunicorn counts whole seconds, and with one it kills workers that are only busy; uvicorn has nothing of the kind.
SETTINGS: Final[dict[str, dict[str, str]]] = {
    OURS: {"FASTWORKER_GRACE": "0.1"},
    "uvicorn": {},
    "gunicorn+uvicorn": {"GUNICORN_CMD_ARGS": "--timeout 2"},
}


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, fault and round."""
    contenders = present(options, NAME, emit, names=list(SETTINGS))
    seconds = options.pick(1.5, 4.0)
    workers = WORKERS_PER_CPU * options.processes
    lanes = LANES_PER_WORKER * workers

    def measure(server: Running, case: Case, round_: int) -> None:
        kind = str(case.variant["fault"])
        prepared = load.prepare(server, [calls.work(JOB_MS, options.rounds_per_ms), calls.fault(kind)])
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
        emit(row_of(case.contender, case.variant, round_, calm, outcome, case.settings))

    def case(contender: Contender, kind: str) -> Case:
        variant: Variant = {"fault": kind, "processes": workers}
        settings = SETTINGS[contender.name]
        return Case(contender, 2 * (seconds + WARMUP_S), variant, settings, FUNCTIONS / "faults", workers)

    kinds = options.pick(("crash", "overrun"), tuple(SHARES))
    cases = [case(contender, kind) for kind in kinds for contender in contenders]
    rounds(NAME, cases, measure, options, emit, progress, most=MOST_ROUNDS)


def order(kind: str, seed: int) -> list[int]:
    """Which request is faulty, over and over; the same for everybody in a round."""
    chance = random.Random(seed)
    return [FAULTY if chance.random() < SHARES[kind] else INNOCENT for _ in range(ORDER_LENGTH)]


def row_of(
    contender: Contender,
    variant: Variant,
    round_: int,
    calm: load.Outcome,
    outcome: load.Outcome,
    settings: Mapping[str, str],
) -> Row:
    """What came of both runs. Every record counts, the warm-up's, too: a request that is lost there is lost."""
    records = outcome.records
    innocent = records[records["kind"] == INNOCENT]
    right = innocent[innocent["outcome"] == load.OUTCOMES.index("right")]
    faults = int(np.count_nonzero(records["kind"] == FAULTY))
    if not faults or not len(right):
        raise OSError(f"{faults} faults and {len(right)} right answers: there is nothing to tell")
    lost = len(innocent) - len(right)
    metrics = {
        "lost_per_1000": 1000 * lost / faults,
        "lost": float(lost),
        "faults": float(faults),
        "answered": float(len(right)),
        **latencies.metrics(right["done"] - right["intended"], "ms"),
        **latencies.metrics(calm.latencies(), "ms", "calm_"),
        "per_second": outcome.per_second,
        "calm_per_second": calm.per_second,
    }
    return row(NAME, contender, variant, round_, metrics, {**outcome.settings, **settings})
