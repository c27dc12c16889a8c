"""What a contender is: how it is started, and why it may be absent.

Modules beside this one list theirs in CONTENDERS; running.py starts them. Rule: nothing is started or compiled by an
import; `absent` is asked first, and may build what is needed into cache().
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FUNCTIONS: Final = ROOT / "benchmarks" / "functions"


@dataclass(frozen=True)
class Launch:
    """One start: `processes` workers on 127.0.0.1:`port`, `folder` for scratch files.

    `settings` are environment variables (FASTWORKER_...) that the scenario asks for; `functions` is the app's folder.
    """

    port: int
    processes: int
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    functions: Path = FUNCTIONS


@dataclass(frozen=True)
class Contender:
    """A server that takes part. `functions` are those it has; `conditions` is what to know when reading its rows.

    `plain` among the functions: `echo` in plain HTTP, too (fastworker from a folder of its own for each of the modes).

    One that is `driven` speaks no HTTP to the host: over HTTP it is only checked, and it has a load side of its own.
    """

    name: str
    command: Callable[[Launch], list[str]]
    absent: Callable[[], str | None] = lambda: None
    conditions: str = ""
    environ: Callable[[Launch], dict[str, str]] = lambda launch: {}
    functions: frozenset[str] = frozenset({"order", "echo", "work", "wait"})
    driven: bool = False


_cache = Path("benchmarks-out") / "cache"


def use_cache(folder: Path) -> None:
    """Where contenders keep what they compile and install; __main__ points it under --out."""
    global _cache  # noqa: PLW0603 - one per run, set before anything is built
    _cache = folder


def cache() -> Path:
    """The folder for compiled and installed things, made when it is not there."""
    _cache.mkdir(parents=True, exist_ok=True)
    return _cache.resolve()


def python(*arguments: str) -> list[str]:
    """A command of the interpreter that runs the suite."""
    return [sys.executable, *arguments]


def base_environ() -> dict[str, str]:
    """This environment without any setting of fastworker's, and with the source tree importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FASTWORKER_", "FUNCTIONS_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))}


def failure(command: Sequence[str], folder: Path | None = None, timeout_s: float = 240) -> str | None:
    """Why a command that builds or installs something did not do its work, or None."""
    told = f"`{' '.join(command)}`"
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"{told} took longer than {timeout_s:g} s"
    return None if done.returncode == 0 else f"{told}: {(done.stderr or done.stdout).strip()[-300:]}"


def compiled(source: Path, target: Path, *flags: str) -> str | None:
    """Why the C file cannot be had as the program `target`, or None."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return f"no C compiler (cc, gcc) on this machine for {source.name}"
    return failure([compiler, "-O2", "-Wall", "-Wextra", "-pthread", "-o", str(target), str(source), *flags])
