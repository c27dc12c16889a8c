"""Real work in milliseconds: a number of SHA-256 rounds that was calibrated once per run, shared by every contender.

Imported by all Python contenders' functions. Rule: the count comes from the environment, never from a clock, so that
every contender does the same work, and a slow one does not get away with less of it.
"""

import hashlib
import os
import time
from typing import Final

ROUNDS_VARIABLE: Final = "BENCHMARK_ROUNDS_PER_MS"
ROUNDS_PER_MS: Final = int(os.environ.get(ROUNDS_VARIABLE, "1000"))

# Below 2 KiB hashlib keeps the interpreter lock, as most Python code does.
BLOCK: Final = bytes(range(256)) * 4


def burn(ms: float, rounds_per_ms: int = ROUNDS_PER_MS) -> bytes:
    """Computes for about `ms` milliseconds; each round needs the one before. Answers the last digest."""
    digest = b""
    for _ in range(max(1, round(ms * rounds_per_ms))):
        digest = hashlib.sha256(BLOCK + digest).digest()
    return digest


def wait_and_burn(ms: float) -> bytes:
    """Half of `ms` waiting, as for a database, and half computing."""
    time.sleep(ms / 2000)
    return burn(ms / 2)


def calibrate(seconds: float = 0.5) -> int:
    """Rounds per millisecond on this machine, by its best moments of the next `seconds`."""
    best = 0.0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.thread_time()  # CPU time: what else the machine does is not in it
        burn(5, rounds_per_ms=1000)
        best = max(best, 5000 / ((time.thread_time() - began) * 1000))
    return max(1, round(best))
