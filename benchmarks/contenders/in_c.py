"""The contenders in C, compiled when first asked for: the floor, and a pool of processes that does the work."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.contenders.interface import Contender, Launch, cache
from benchmarks.functions.work import ROUNDS_VARIABLE, calibrate
from benchmarks.rows import FLOOR

SOURCES: Final = Path(__file__).parent
POOL: Final = "pool"
CALIBRATE_S: Final = 0.2


def compiled(source: Path, target: Path, *flags: str) -> str | None:
    """Why the C file cannot be had as `target`, or None."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return "no C compiler (cc, gcc) on this machine"
    command = [compiler, "-O2", "-pthread", "-o", str(target), str(source), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"{source.name} does not compile: {done.stderr.strip()[-300:]}"


def _absent(name: str, *flags: str) -> Callable[[], str | None]:
    return lambda: compiled(SOURCES / f"{name}.c", cache() / name, *flags)


def _floor(launch: Launch) -> list[str]:
    return [str(cache() / FLOOR), str(launch.port)]


def _pool(launch: Launch) -> list[str]:
    """Told how many rounds Python makes in a millisecond now: it takes as long for them, though C is faster."""
    rounds_per_ms = launch.settings.get(ROUNDS_VARIABLE, "1000")
    return [str(cache() / POOL), str(launch.port), str(launch.processes), rounds_per_ms, str(calibrate(CALIBRATE_S))]


CONTENDERS: Final = [
    Contender(
        FLOOR,
        _floor,
        _absent(FLOOR),
        conditions="C, a thread per connection, blocking calls; answers order and echo only, and parses no JSON",
        functions=frozenset({"order", "echo", "plain"}),
    ),
    Contender(
        POOL,
        _pool,
        _absent(POOL, "-ldl"),
        conditions="C, fastworker's process model (workers that share an epoll) and the same work for the same time: "
        "what the machine itself makes of it",
        functions=frozenset({"work"}),
    ),
]
