"""The command: `python -m benchmarks [SCENARIO...] [--quick] [--against TREE] [--out DIR]`.

Finds the scenarios, runs them one after the other, and hands their rows to report/. `headline` is the run of the
figures that docs/benchmarks.md begins with. Exit codes: 0 done, 1 this tree is worse than the one that it is run
against, 2 bad arguments, or nothing could be told of the two, 3 nothing could be measured.
Rule: no measurement here.
"""

import argparse
import importlib
import pkgutil
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks import report, scenarios
from benchmarks.contenders import CONTENDERS, use_cache
from benchmarks.contenders.ours import NO_SPIN, NoSuchTreeError, other_tree
from benchmarks.functions.work import calibrate
from benchmarks.load import LoadSideError
from benchmarks.machine import machine
from benchmarks.report.results import Results
from benchmarks.rows import FLOOR, OURS, RowWriter
from benchmarks.scenario import Options, Scenario
from benchmarks.scenarios.workers import UserError
from fastworker.cpus import usable_cpus

ORDER: Final = (
    "hop",
    "capacity",
    "cpu",
    "mix",
    "neighbour",
    "workers",
    "faults",
    "deadline",
    "memory",
    "start",
    "stream",
    "uploads",
    "threads",
    "adapters",
    "scale",
)
FULL_ROUNDS: Final = 3
AGAINST_ROUNDS: Final = 5
# What the headline figures are made of: in each of five rounds, these scenarios one after the other.
HEADLINE: Final = "headline"
HEADLINE_SCENARIOS: Final = ("capacity", "hop", "cpu")
HEADLINE_ROUNDS: Final = 5
HEADLINE_CONTENDERS: Final = (FLOOR, OURS, NO_SPIN, "pool", "go", "uvicorn", "gunicorn+uvicorn", "granian")
# A name may have a comma of its own, followed by a space.
NAMES: Final = re.compile(",(?! )")


def all_scenarios() -> dict[str, Scenario]:
    """Every scenario there is, by name, in the order in which they run."""
    names = [module.name for module in pkgutil.iter_modules(scenarios.__path__)]
    modules = [importlib.import_module(f"benchmarks.scenarios.{name}") for name in names]
    found = {module.NAME: cast(Scenario, module) for module in modules if hasattr(module, "NAME")}
    return dict(sorted(found.items(), key=lambda item: ORDER.index(item[0]) if item[0] in ORDER else len(ORDER)))


def parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The command line of a run."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="fastworker beside everything else that could serve the same functions; the method is in "
        "benchmarks/README.md.",
    )
    told = f"{', '.join(names)}; default: all. `{HEADLINE}` alone: {', '.join(HEADLINE_SCENARIOS)} in five rounds"
    made.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=told)
    made.add_argument("--quick", action="store_true", help="one short round: minutes instead of half an hour")
    told = "measure the fastworker of a commit or of another folder, too, in the same rounds; exit 1 if this is worse"
    made.add_argument("--against", action="append", default=[], metavar="TREE", help=told)
    made.add_argument("--out", type=Path, default=Path("benchmarks-out"), help="folder for rows, report and plots")
    made.add_argument(
        "--rounds", type=int, help=f"repetitions; {FULL_ROUNDS}; with --quick 1, {AGAINST_ROUNDS} against"
    )
    made.add_argument("--processes", type=int, default=usable_cpus(), help="workers of each contender: the usable CPUs")
    made.add_argument("--contenders", default="", help=f"comma-separated, default all: {', '.join(CONTENDERS)}")
    made.add_argument("--app", type=Path, help="for `workers`: your own function_app.py, or its folder")
    made.add_argument("--envelope", type=Path, help="for `workers`: the envelope to send to it, as JSON")
    return made


def main(arguments: Sequence[str]) -> int:
    """Runs the command; the exit code."""
    known = all_scenarios()
    made = parser(list(known))
    asked = made.parse_args(arguments)
    names = tuple(filter(None, NAMES.split(asked.contenders)))
    asked.headline = asked.scenarios == [HEADLINE]
    chosen = list(HEADLINE_SCENARIOS) if asked.headline else list(dict.fromkeys(asked.scenarios)) or list(known)
    for what, given, there in (("scenario", chosen, known), ("contender", names, CONTENDERS)):
        unknown = [name for name in given if name not in there]
        if unknown:
            made.error(f"no such {what}: {', '.join(unknown)}; there are {', '.join(there)}")
    if (asked.app is None) != (asked.envelope is None):
        made.error("--app and --envelope belong together")
    if asked.processes < 1 or (asked.rounds or 1) < 1:
        made.error("--processes and --rounds begin at 1")
    use_cache(asked.out / "cache")
    others = []
    try:
        for given in asked.against:
            others.append(other_tree(given))
            CONTENDERS[others[-1].name] = others[-1]
    except NoSuchTreeError as exc:
        made.error(f"--against {exc}")
    if asked.headline:
        names = names or HEADLINE_CONTENDERS
    elif asked.against:
        names = names or (FLOOR, OURS)
    return _run([known[name] for name in chosen], asked, (*names, *(other.name for other in others)))


def _rounds(asked: argparse.Namespace) -> int:
    if asked.rounds:
        return int(asked.rounds)
    if asked.headline:
        return HEADLINE_ROUNDS
    return AGAINST_ROUNDS if asked.against else 1 if asked.quick else FULL_ROUNDS


def _run(chosen: Sequence[Scenario], asked: argparse.Namespace, names: tuple[str, ...]) -> int:
    console = report.console()
    # As with Ctrl-C, what was started is ended, and what was measured is shown.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = Options(
        out=asked.out,
        quick=asked.quick,
        rounds=_rounds(asked),
        processes=asked.processes,
        rounds_per_ms=calibrate(),
        contenders=names,
        app=asked.app,
        envelope=asked.envelope,
        headline=asked.headline,
    )
    told = {**machine(), "rounds_per_ms": options.rounds_per_ms, "quick": options.quick, "date": time.strftime("%F")}
    emit = RowWriter(asked.out, told)
    columns = (TextColumn("{task.description:40}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, TimeRemainingColumn(compact=True), console=console) as progress:
            # Rounds outermost: what is said together was measured in the same minutes.
            parts = [replace(options, rounds=1, first_round=n) for n in range(options.rounds)]
            for part in parts if asked.headline else [options]:
                for scenario in chosen:
                    scenario.run(part, emit, progress)
    except (LoadSideError, UserError) as exc:
        console.print(f"[red]{exc}[/]", soft_wrap=True)
        return 3
    except KeyboardInterrupt:
        console.print("interrupted; what was measured until now:")
    if not any(row.ok for row in emit.rows):
        for row in emit.rows:
            console.print(f"{row.scenario}, {row.contender}: {row.failure}", markup=False, soft_wrap=True)
        return 3
    report.show(emit.rows, console)
    for path in report.write(asked.out):
        console.print(path, markup=False, soft_wrap=True)
    return report.compare.show(Results(emit.rows), console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
