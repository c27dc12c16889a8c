"""The command: `python -m benchmarks [SCENARIO...] [--quick] [--out DIR]`, and `python -m benchmarks compare A B`.

Finds the scenarios, runs them one after the other, and hands their rows to report/. Exit codes: 0 done, 1 compare found
a regression of the hop, 2 bad arguments, 3 nothing could be measured.
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
from pathlib import Path
from typing import Final, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks import report, scenarios
from benchmarks.contenders import CONTENDERS, use_cache
from benchmarks.functions.work import calibrate
from benchmarks.load import LoadSideError
from benchmarks.machine import machine
from benchmarks.rows import RowsError, RowWriter
from benchmarks.scenario import Options, Scenario
from benchmarks.scenarios.workers import UserError
from fastworker.cpus import usable_cpus

ORDER: Final = (
    "hop",
    "capacity",
    "cpu",
    "mix",
    "workers",
    "faults",
    "deadline",
    "memory",
    "start",
    "stream",
    "uploads",
    "threads",
)
FULL_ROUNDS: Final = 3
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
        "benchmarks/README.md. `python -m benchmarks compare A.jsonl B.jsonl` tells a change from noise.",
    )
    made.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(names)}; default: all")
    made.add_argument("--quick", action="store_true", help="one short round: minutes instead of half an hour")
    made.add_argument("--out", type=Path, default=Path("benchmarks-out"), help="folder for rows, report and pictures")
    made.add_argument("--rounds", type=int, help=f"repetitions; {FULL_ROUNDS}, or 1 with --quick")
    made.add_argument("--processes", type=int, default=usable_cpus(), help="workers of each contender: the usable CPUs")
    made.add_argument("--contenders", default="", help=f"comma-separated, default all: {', '.join(CONTENDERS)}")
    made.add_argument("--app", type=Path, help="for `workers`: your own function_app.py, or its folder")
    made.add_argument("--envelope", type=Path, help="for `workers`: the envelope to send to it, as JSON")
    return made


def main(arguments: Sequence[str]) -> int:
    """Runs the command; the exit code."""
    if arguments and arguments[0] == "compare":
        return _compare(arguments[1:])
    known = all_scenarios()
    made = parser(list(known))
    asked = made.parse_args(arguments)
    names = tuple(filter(None, NAMES.split(asked.contenders)))
    chosen = list(dict.fromkeys(asked.scenarios)) or list(known)
    for what, given, there in (("scenario", chosen, known), ("contender", names, CONTENDERS)):
        unknown = [name for name in given if name not in there]
        if unknown:
            made.error(f"no such {what}: {', '.join(unknown)}; there are {', '.join(there)}")
    if (asked.app is None) != (asked.envelope is None):
        made.error("--app and --envelope belong together")
    if asked.processes < 1 or (asked.rounds or 1) < 1:
        made.error("--processes and --rounds begin at 1")
    return _run([known[name] for name in chosen], asked, names)


def _run(chosen: Sequence[Scenario], asked: argparse.Namespace, names: tuple[str, ...]) -> int:
    console = Console()
    # As with Ctrl-C, what was started is ended, and what was measured is shown.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    use_cache(asked.out / "cache")
    options = Options(
        out=asked.out,
        quick=asked.quick,
        rounds=asked.rounds or (1 if asked.quick else FULL_ROUNDS),
        processes=asked.processes,
        rounds_per_ms=calibrate(),
        contenders=names,
        app=asked.app,
        envelope=asked.envelope,
    )
    told = {**machine(), "rounds_per_ms": options.rounds_per_ms, "quick": options.quick, "date": time.strftime("%F")}
    emit = RowWriter(asked.out, told)
    columns = (TextColumn("{task.description:40}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, TimeRemainingColumn(compact=True), console=console) as progress:
            for scenario in chosen:
                scenario.run(options, emit, progress)
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
    return 0


def _compare(arguments: Sequence[str]) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks compare", description=report.compare.__doc__)
    made.add_argument("before", type=Path, help="rows.jsonl, or the folder of a run")
    made.add_argument("after", type=Path)
    asked = made.parse_args(arguments)
    try:
        return report.compare.run(asked.before, asked.after)
    except RowsError as exc:
        print(exc, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
