"""The contenders in C, compiled when first asked for: the floor, and a pool of processes that does the work."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.contenders.interface import Contender, Launch, cache, compiled
from benchmarks.functions.work import ROUNDS_VARIABLE, calibrate
from benchmarks.rows import FLOOR

SOURCES: Final = Path(__file__).parent
POOL: Final = "pool"
CALIBRATE_S: Final = 0.2


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
