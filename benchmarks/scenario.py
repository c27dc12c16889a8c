"""What every scenario is given, and what all of them do the same way: who takes part, and what a failure becomes.

A scenario is a module in scenarios/ with NAME and `run(options, emit, progress)`. Rule: a failure is emitted as a row,
and the run goes on with whoever is next.
"""

import contextlib
import functools
import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from rich.progress import Progress, TaskID

from benchmarks import load, rows
from benchmarks.calls import WrongAnswerError
from benchmarks.contenders import CONTENDERS, Contender, NotRunningError
from benchmarks.functions.work import ROUNDS_VARIABLE
from benchmarks.histogram import Histogram
from benchmarks.rows import Row, Scalar

T = TypeVar("T")
Emit = Callable[[Row], None]

# How long a contender takes to start and to end, for the time that is left.
START_S: Final = 1.5


@dataclass(frozen=True)
class Options:
    """What the command line asks for. `processes` is the number of worker processes of every contender."""

    out: Path
    quick: bool
    rounds: int
    processes: int
    rounds_per_ms: int
    contenders: tuple[str, ...] = ()
    app: Path | None = None
    envelope: Path | None = None

    def pick(self, quick: T, full: T) -> T:
        """The value for this kind of run."""
        return quick if self.quick else full

    @property
    def work_settings(self) -> dict[str, str]:
        """The environment that makes a millisecond of work the same in every process."""
        return {ROUNDS_VARIABLE: str(self.rounds_per_ms)}


class Scenario(Protocol):
    """What a module in scenarios/ has."""

    NAME: str

    def run(self, options: Options, emit: Emit, progress: Progress) -> None: ...


class Steps:
    """One scenario's bar. Its unit is the second that was planned, so that the time left can be told."""

    def __init__(self, progress: Progress, name: str, seconds: float) -> None:
        self._progress = progress
        self._name = name
        self._task: TaskID = progress.add_task(name, total=seconds)

    def tell(self, what: str) -> None:
        """Names what is being measured."""
        self._progress.update(self._task, description=f"{self._name}: {what}")

    def advance(self, seconds: float) -> None:
        """So many of the planned seconds are over."""
        self._progress.advance(self._task, seconds)

    def finish(self) -> None:
        """All is done, whatever was left out."""
        total = next(task.total for task in self._progress.tasks if task.id == self._task)
        self._progress.update(self._task, description=self._name, completed=total or 0)


@functools.cache
def _absent(name: str) -> str | None:
    """Asked once per run: the answer may take a compilation."""
    return CONTENDERS[name].absent()


def present(options: Options, scenario: str, emit: Emit, *functions: str) -> list[Contender]:
    """Who takes part: those that were asked for, have all these functions, and are there. The absent get their row."""
    there = []
    for name, contender in CONTENDERS.items():
        if (options.contenders and name not in options.contenders) or not contender.functions.issuperset(functions):
            continue
        reason = _absent(name)
        if reason is None:
            there.append(contender)
        else:
            emit(rows.absent(scenario, name, reason))
    return there


@contextlib.contextmanager
def attempt(emit: Emit, scenario: str, contender: str, variant: dict[str, Scalar], round_: int) -> Iterator[None]:
    """A wrong answer, or none, becomes a failed row of this variant. Errors of the suite itself rise."""
    try:
        yield
    except (WrongAnswerError, NotRunningError, OSError, http.client.HTTPException) as exc:
        emit(rows.failed(scenario, contender, str(exc) or repr(exc), variant=variant, round_=round_))


def measured(
    scenario: str,
    contender: Contender,
    variant: dict[str, Scalar],
    round_: int,
    outcome: load.Outcome,
    unit: str,
    **more: float,
) -> Row:
    """The row of one run of the load side, times in `us` or `ms`. Raises WrongAnswerError if any request went wrong."""
    histogram = Histogram(outcome.require_right().latencies())
    return Row(
        scenario=scenario,
        contender=contender.name,
        variant=variant,
        round=round_,
        metrics={**histogram.metrics(unit), **more, **outcome.load_side()},
        histogram=histogram.encoded(),
        settings={**outcome.settings, "conditions": contender.conditions},
    )
