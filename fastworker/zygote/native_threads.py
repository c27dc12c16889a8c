"""Threads that libraries written in C or Rust have started, and which of them a forked worker cannot do without.

Called by zygote/run.py after the import.
Rule: only looks, at /proc; what cannot be read is not known, and nothing is warned of that is not.

A fork copies one thread. Some libraries stop theirs before a fork and start them anew after it (OpenBLAS, Arrow, LLVM's
and Intel's OpenMP); others wait for ever, in the child, for threads that are not there. Whose a thread is shows on its
stack: among the addresses there are those of the library's functions that it is in.
"""

import bisect
import contextlib
import os
import re
import struct
import threading
import time
from collections import Counter
from typing import Final, NamedTuple

# By the name of the library's file. What survives a fork is not here.
DO_NOT_SURVIVE: Final = (
    (re.compile(r"libgomp"), "GNU OpenMP (scikit-learn, XGBoost, LightGBM, PyTorch)"),
    (re.compile(r"polars"), "Polars"),
    (re.compile(r"cygrpc"), "gRPC"),
    (re.compile(r"libtensorflow|_pywrap_tensorflow"), "TensorFlow"),
    (re.compile(r"libtorch|libc10"), "PyTorch"),
    (re.compile(r"librdkafka"), "librdkafka (confluent-kafka)"),
    (re.compile(r"duckdb"), "DuckDB"),
    (re.compile(r"jaxlib|libxla"), "JAX"),
    (re.compile(r"libcuda"), "CUDA"),
    (re.compile(r"onnxruntime"), "ONNX Runtime"),
)
_NOT_TELLING: Final = re.compile(r"^(libc[.-]|libpthread|ld-|libpython|python|libstdc\+\+|libgcc_s|libm[.-])")
STACK: Final = 8192
# How long a thread may go on running until what is loaded has to do for an answer.
PATIENCE_S: Final = 0.25
STEP_S: Final = 0.005


class _Map(NamedTuple):
    start: int
    end: int
    file: str


def lost_in_a_fork() -> dict[str, int]:
    """The libraries whose threads of this process are known not to survive a fork, with how many there are."""
    pythons = {thread.native_id for thread in threading.enumerate()}
    found: Counter[str] = Counter()
    with contextlib.suppress(OSError, ValueError):
        native = {int(tid) for tid in os.listdir("/proc/self/task") if int(tid) not in pythons}
        maps = _code() if native else []
        until = time.monotonic() + PATIENCE_S
        while native:
            for tid in sorted(native):
                files = _libraries(tid, maps)
                if files is None and time.monotonic() < until:
                    continue  # it runs: a pool spins for a moment before it sleeps
                native.remove(tid)
                name = _name([code.file for code in maps] if files is None else files)
                if name is not None:
                    found[name] += 1
            if native:
                time.sleep(STEP_S)
    return dict(found)


def _name(files: list[str]) -> str | None:
    for pattern, name in DO_NOT_SURVIVE:
        if any(pattern.search(file) for file in files):
            return name
    return None


def _code() -> list[_Map]:
    """Where in memory the code of which file is, in order."""
    found = []
    with open("/proc/self/maps") as lines:
        for line in lines:
            words = line.split(maxsplit=5)
            if "x" in words[1] and len(words) == 6:
                start, end = (int(word, 16) for word in words[0].split("-"))
                found.append(_Map(start, end, os.path.basename(words[5].strip())))
    return sorted(found)


def _libraries(tid: int, maps: list[_Map]) -> list[str] | None:
    """The files whose code a waiting thread is in, innermost first; None if it does not wait, or nobody tells."""
    try:
        with open(f"/proc/self/task/{tid}/syscall") as state:
            words = state.read().split()
        stack, at = int(words[-2], 16), int(words[-1], 16)
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(stack)
            data = memory.read(STACK) or b""
    except FileNotFoundError:
        return []  # it has ended
    except (OSError, ValueError, IndexError):
        return None
    starts = [code.start for code in maps]
    found: list[str] = []
    for (address,) in [(at,), *struct.iter_unpack("=Q", data[: len(data) & ~7])]:
        index = bisect.bisect_right(starts, address) - 1
        if index >= 0 and address < maps[index].end:
            file = maps[index].file
            if file not in found and not _NOT_TELLING.match(file):
                found.append(file)
    return found
