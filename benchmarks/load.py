"""Drives load.c: writes what it is to send, starts it, and reads its records.

Used by every scenario. What is measured, and from where to where, is in README.md. Rule: the meaning of answers is
checked here before the run, their bytes in C during it; a run with one wrong answer raises, and gives no figures.
"""

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.calls import Call, WrongAnswerError
from benchmarks.contenders.interface import cache
from benchmarks.contenders.running import HOST_VERSION, Running
from benchmarks.schedule import Arrival

SOURCE: Final = Path(__file__).with_name("load.c")
RECORD: Final = np.dtype(
    {
        "names": ["intended", "sent", "done", "kind", "status", "outcome", "waited"],
        "formats": ["<i8", "<i8", "<i8", "<u2", "<u2", "u1", "u1"],
        "offsets": [0, 8, 16, 24, 26, 28, 29],
        "itemsize": 32,
    }
)
OUTCOMES: Final = (
    "right",
    "wrong status",
    "wrong body",
    "malformed answer",
    "broken connection",
    "refused connection",
    "no answer in time",
)

# .NET's JSON writer flushes every 1024 characters, each flush becoming a chunk.
CHUNK: Final = 1024
# As many as the host may have in flight before the open loop has to wait itself.
CONNECTIONS: Final = 1024
# The load side is taken for the limit when it computes for more than this share of a closed loop's time...
BUSY_SHARE: Final = 0.9
# ... or when an open loop's requests leave later than planned by this share of the median latency.
LATE_SHARE: Final = 0.25


class LoadSideError(Exception):
    """The load side itself failed: it did not compile, or ended with an error."""


@dataclass(frozen=True)
class Prepared:
    """A call as the bytes of its request, with the bytes of its right answer (None: see Call.exact)."""

    call: Call
    request: bytes
    answer: bytes | None


@dataclass(frozen=True)
class Outcome:
    """What came of one run. Instants are of the monotonic clock, in ns; `records` has the fields of RECORD."""

    calls: tuple[Call, ...]
    records: NDArray[Any]
    from_ns: int
    until_ns: int
    cpu_share: float
    opened: int
    first_wrong: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def measured(self) -> NDArray[Any]:
        """The records of what was to be sent after the warm-up."""
        kept = self.records["intended"] >= self.from_ns
        return self.records[kept & (self.records["intended"] < self.until_ns)]

    def latencies(self, kind: int | None = None) -> NDArray[np.int64]:
        """From the intended send time to the last byte of the answer, in ns."""
        records = self.measured
        if kind is not None:
            records = records[records["kind"] == kind]
        taken: NDArray[np.int64] = records["done"] - records["intended"]
        return taken

    @property
    def per_second(self) -> float:
        """Right answers that came in the measured time, per second of it."""
        done = self.records[self.records["outcome"] == 0]["done"]
        count = int(((done >= self.from_ns) & (done < self.until_ns)).sum())
        return count / ((self.until_ns - self.from_ns) / 1e9)

    @property
    def late_ns(self) -> NDArray[np.int64]:
        """How late the load side sent what it could have sent: a connection was free."""
        records = self.measured
        records = records[records["waited"] == 0]
        late: NDArray[np.int64] = records["sent"] - records["intended"]
        return late

    def load_side(self) -> dict[str, float]:
        """Metrics of the load side itself: how busy, how late (us), and whether it was the limit (1 or 0)."""
        late = self.late_ns
        p50, p99 = (float(value) / 1000 for value in np.percentile(late, [50, 99])) if len(late) else (0.0, 0.0)
        latencies = self.latencies()
        median_us = float(np.median(latencies)) / 1000 if len(latencies) else 0.0
        limit = self.cpu_share > BUSY_SHARE or p50 > LATE_SHARE * median_us
        waited = float(self.measured["waited"].sum())
        return {
            "load_cpu_share": round(self.cpu_share, 3),
            "load_late_p50_us": round(p50, 1),
            "load_late_p99_us": round(p99, 1),
            "load_waited": waited,
            "load_was_limit": float(limit),
        }

    def problem(self) -> str | None:
        """What went wrong in the whole run, warm-up included, or None."""
        counts = Counter(self.records["outcome"].tolist())
        del counts[0]
        if not counts:
            return None if len(self.records) else "no request was sent"
        told = ", ".join(f"{count} x {OUTCOMES[outcome]}" for outcome, count in sorted(counts.items()))
        first = f"; the first: {self.first_wrong[:300]!r}" if self.first_wrong else ""
        return f"{told} of {len(self.records)} requests{first}"

    def require_right(self) -> "Outcome":
        """Itself. Raises WrongAnswerError if any request went wrong."""
        problem = self.problem()
        if problem is not None:
            raise WrongAnswerError(problem)
        return self


def request_bytes(call: Call, path: str, port: int) -> bytes:
    """The request as the host sends it (docs/protocol.md, 2.1): chunked, with its headers in its order."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Azure-Functions-HostVersion: {HOST_VERSION}\r\n"
        f"X-Azure-Functions-InvocationId: 00000000-5d0b-4a37-b0a9-000000000000\r\n"
        f"User-Agent: Azure-Functions-Host/{HOST_VERSION}\r\n"
        f"Content-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    pieces = [call.envelope[at : at + CHUNK] for at in range(0, len(call.envelope), CHUNK)]
    return head.encode() + b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def prepare(server: Running, calls: Sequence[Call]) -> list[Prepared]:
    """The calls, each answered once and its answer's meaning checked. Raises WrongAnswerError, OSError."""
    prepared = []
    for call in calls:
        answer = None if call.lenient else server.checked(call)
        request = request_bytes(call, server.contender.path(call.function), server.port)
        prepared.append(Prepared(call, request, answer if call.exact else None))
    return prepared


def closed_loop(
    server: Running,
    kinds: Sequence[Prepared],
    *,
    in_flight: int,
    seconds: float,
    warmup: float = 0.2,
    order: Sequence[int] = (0,),
    timeout: float = 30.0,
) -> Outcome:
    """`in_flight` requests at any time, the kinds in that order, over and over; all times in seconds."""
    with _folder() as folder:
        folder.joinpath("order").write_bytes(bytes(order))
        loop = ["closed", str(in_flight), f"{warmup:g}", f"{seconds:g}", str(folder / "order")]
        settings = {"loop": "closed", "in_flight": in_flight, "seconds": seconds}
        return _run(server, kinds, folder, loop, timeout, warmup_ns=None, settings=settings)


def open_loop(
    server: Running,
    kinds: Sequence[Prepared],
    plan: Sequence[Arrival],
    *,
    warmup: float = 0.2,
    connections: int = CONNECTIONS,
    timeout: float = 30.0,
    spin_us: int = 0,
) -> Outcome:
    """Requests at their planned instants, whatever the server does; the first `warmup` seconds of them do not count.

    With `spin_us` the load side polls so long before each instant, for a timer wakes it some 50 us late: where requests
    are rare, that costs next to nothing; where they are many, the server would lack the time.
    """
    with _folder() as folder:
        np.array(plan, dtype="<i8").tofile(folder / "plan")
        loop = ["open", str(connections), str(folder / "plan"), str(spin_us)]
        settings = {"loop": "open", "requests": len(plan), "connections": connections, "load_spin_us": spin_us}
        return _run(server, kinds, folder, loop, timeout, warmup_ns=round(warmup * 1e9), settings=settings)


@contextlib.contextmanager
def _folder() -> Any:
    # In memory where there is such a place: the records are written when the run is over, but the disk may lag.
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="load-", dir=shared if shared.is_dir() else None) as name:
        yield Path(name)


def _run(
    server: Running,
    kinds: Sequence[Prepared],
    folder: Path,
    loop: list[str],
    timeout: float,
    *,
    warmup_ns: int | None,
    settings: dict[str, Any],
) -> Outcome:
    specs = [_write_kind(kind, folder / str(index)) for index, kind in enumerate(kinds)]
    command = [str(binary()), str(server.port), str(folder / "records"), f"{timeout:g}", *loop, *specs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        raise WrongAnswerError(f"{done.stderr.strip()}; it wrote: {server.last_words()}")
    if done.returncode != 0:
        raise LoadSideError(f"the load side ended with {done.returncode}: {done.stderr.strip()}")
    told = json.loads(done.stdout)
    return Outcome(
        calls=tuple(kind.call for kind in kinds),
        records=np.fromfile(folder / "records", dtype=RECORD),
        from_ns=told["from_ns"] if warmup_ns is None else told["start_ns"] + warmup_ns,
        until_ns=told["until_ns"],
        cpu_share=told["cpu_s"] / max((told["end_ns"] - told["start_ns"]) / 1e9, 1e-9),
        opened=told["opened"],
        first_wrong=told["first_wrong"],
        settings=settings,
    )


def _write_kind(kind: Prepared, path: Path) -> str:
    path.with_suffix(".request").write_bytes(kind.request)
    if kind.call.lenient:
        return f"{path}.request:-"
    if kind.answer is None:
        return f"{path}.request:200"
    path.with_suffix(".answer").write_bytes(kind.answer)
    return f"{path}.request:{path}.answer"


_compiled: set[Path] = set()


def binary() -> Path:
    """load.c, compiled once per run. Raises LoadSideError where that cannot be done."""
    path = cache() / "load"
    if path in _compiled:
        return path
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise LoadSideError("the load side is written in C and no C compiler (cc, gcc) is here: install gcc")
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(path), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadSideError(f"load.c does not compile: {done.stderr.strip()}")
    _compiled.add(path)
    return path
