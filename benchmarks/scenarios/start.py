"""start: from exec to the first right answer, of an empty app and of one that imports numpy.

The port is tried every two milliseconds until somebody listens; then one request is sent, which waits for as long as
the server makes it wait. What was compiled to bytecode before is used: the first start of each is not counted.
"""

import statistics
import time
from typing import Final

from rich.progress import Progress

from benchmarks import calls
from benchmarks.contenders import FUNCTIONS, Contender, running
from benchmarks.rows import OURS, Row
from benchmarks.scenario import Emit, Options, Steps, Variant, attempt, present, row

NAME: Final = "start"
CONTENDERS: Final = (OURS, "uvicorn", "gunicorn+uvicorn")
APPS: Final = {"empty": FUNCTIONS / "empty", "numpy": FUNCTIONS / "with_numpy"}
PLANNED_S: Final = 1.2


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, app and round: the median of a few starts."""
    contenders = present(options, NAME, emit, names=CONTENDERS)
    starts = options.pick(2, 3)
    steps = Steps(progress, NAME, PLANNED_S * len(APPS) * len(contenders) * (1 + options.rounds * starts))
    for round_ in range(-1, options.rounds):
        for app in APPS:
            for contender in contenders:
                steps.tell(f"{contender.name}, {app}")
                variant: Variant = {"app": app, "processes": options.processes}
                with attempt(emit if round_ >= 0 else _not_counted, NAME, contender.name, variant, max(round_, 0)):
                    taken = [_start(contender, app, options) for _ in range(starts if round_ >= 0 else 1)]
                    if round_ >= 0:
                        metrics = {"first_answer_ms": 1000 * statistics.median(taken), "max_ms": 1000 * max(taken)}
                        emit(row(NAME, contender, variant, round_, metrics, {"starts": starts}))
                steps.advance(PLANNED_S * (starts if round_ >= 0 else 1))
    steps.finish()


def _not_counted(row: Row) -> None:
    """Who fails here fails again where it is told."""


def _start(contender: Contender, app: str, options: Options) -> float:
    """Seconds from exec to the answer."""
    with running(contender, processes=options.processes, functions=APPS[app], settings=options.work_settings) as server:
        server.checked(calls.echo(100))
        return (time.monotonic_ns() - server.started_ns) / 1e9
