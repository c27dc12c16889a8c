"""What all scenarios do the same way: who takes part, the rounds, and what a failure becomes.

A scenario is a module in scenarios/ with NAME and `run(options, emit, progress)`. Rule: a failure is emitted as a row,
and the run goes on with whoever is next; within a round the contenders take turns, each in fresh processes.
"""

import contextlib
import functools
import http.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from rich.progress import Progress, TaskID

from benchmarks import latencies, load, rows
from benchmarks.calls import WrongAnswerError
from benchmarks.contenders import CONTENDERS, FUNCTIONS, Contender, NotRunningError, Running, running
from benchmarks.functions.work import ROUNDS_VARIABLE
from benchmarks.rows import Row, Scalar

T = TypeVar("T")
Emit = Callable[[Row], None]
Variant = dict[str, Scalar]

# How long a contender takes to start and to end, for the time that is left.
START_S: Final = 1.5


@dataclass(frozen=True)
class Options:
    """What the command line asks for. `processes` is the number of worker processes of every contender.

    Rounds are numbered from `first_round`. With `headline`, scenarios leave out what the headline figures do not need.
    """

    out: Path
    quick: bool
    rounds: int
    processes: int
    rounds_per_ms: int
    contenders: tuple[str, ...] = ()
    app: Path | None = None
    envelope: Path | None = None
    first_round: int = 0
    headline: bool = False

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


@dataclass(frozen=True)
class Case:
    """One start of a contender in each round: with which app, settings and number of processes (0: the run's).

    `variant` is what its rows have in common; `seconds` is planned for it.
    """

    contender: Contender
    seconds: float
    variant: Variant = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    functions: Path = FUNCTIONS
    processes: int = 0

    @property
    def label(self) -> str:
        """What is being measured, for the progress bar."""
        return ", ".join([self.contender.name, *(f"{name} {value}" for name, value in self.variant.items())])


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


def rounds(
    name: str,
    cases: Sequence[Case],
    measure: Callable[[Running, Case, int], None],
    options: Options,
    emit: Emit,
    progress: Progress,
    *,
    most: int | None = None,
    before: Callable[[int], None] = lambda round_: None,
) -> None:
    """Every case in every round, at most `most` of them: starts it and calls `measure(server, case, round)`.

    `before(round)` is called at each round's beginning. What goes wrong becomes a failed row of the case's variant.
    """
    count = options.rounds if most is None else min(options.rounds, most)
    steps = Steps(progress, name, count * sum(START_S + case.seconds for case in cases))
    for round_ in range(options.first_round, options.first_round + count):
        before(round_)
        for case in cases:
            steps.tell(case.label)
            with (
                attempt(emit, name, case.contender.name, case.variant, round_),
                running(
                    case.contender,
                    processes=case.processes or options.processes,
                    functions=case.functions,
                    settings={**options.work_settings, **case.settings},
                ) as server,
            ):
                measure(server, case, round_)
            steps.advance(START_S + case.seconds)
    steps.finish()


@functools.cache
def _absent(contender: Contender) -> str | None:
    """Asked once per run: the answer may take a compilation."""
    return contender.absent()


def present(
    options: Options, scenario: str, emit: Emit, *functions: str, names: Sequence[str] | None = None
) -> list[Contender]:
    """Who takes part: those that were asked for, have all these functions, and are there. The absent get their row.

    Given `names`, only these can, whatever functions they have.
    """
    there = []
    for name in CONTENDERS if names is None else [name for name in names if name in CONTENDERS]:
        contender = CONTENDERS[name]
        wanted = not options.contenders or name in options.contenders
        if not wanted or (names is None and not contender.functions.issuperset(functions)):
            continue
        reason = _absent(contender)
        if reason is None:
            there.append(contender)
        else:
            emit(rows.absent(scenario, name, reason))
    return there


@contextlib.contextmanager
def attempt(emit: Emit, scenario: str, contender: str, variant: Variant, round_: int) -> Iterator[None]:
    """A wrong answer, or none, becomes a failed row of this variant. Errors of the suite itself rise."""
    try:
        yield
    except (WrongAnswerError, NotRunningError, OSError, http.client.HTTPException) as exc:
        emit(rows.failed(scenario, contender, str(exc) or repr(exc), variant=variant, round_=round_))


def row(
    scenario: str,
    contender: Contender,
    variant: Variant,
    round_: int,
    metrics: dict[str, float],
    settings: Mapping[str, Any] | None = None,
) -> Row:
    """A row of these metrics, with what is to be known about the contender."""
    told = {**(settings or {}), "conditions": contender.conditions}
    return Row(
        scenario=scenario, contender=contender.name, variant=variant, round=round_, metrics=metrics, settings=told
    )


def measured(
    scenario: str,
    contender: Contender,
    variant: Variant,
    round_: int,
    outcome: load.Outcome,
    unit: str,
    **more: float,
) -> Row:
    """The row of one run of the load side, times in `us` or `ms`. Raises WrongAnswerError if any request went wrong."""
    metrics = {**latencies.metrics(outcome.require_right().latencies(), unit), **more, **outcome.load_side()}
    return row(scenario, contender, variant, round_, metrics, outcome.settings)
