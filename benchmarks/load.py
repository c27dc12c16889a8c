"""Drives load.c: writes what it is to send, starts it, and reads its records.

Used by every scenario. What is measured, and from where to where, is in README.md. Rule: the meaning of answers is
checked here before the run, their bytes in C during it; a run with one wrong answer raises, and gives no figures.
"""

import base64
import contextlib
import http.client
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.calls import Call, WrongAnswerError
from benchmarks.contenders.interface import cache, compiled
from benchmarks.contenders.running import Running
from benchmarks.schedule import Arrival
from fastworker.cpus import usable_cpus

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

# As many as the host may have in flight before the open loop has to wait itself.
CONNECTIONS: Final = 1024
# Several processes of the load side begin so long after they were started.
START_TOGETHER_NS: Final = 50_000_000
# The load side is taken for the limit when it computes for more than this share of a closed loop's time...
BUSY_SHARE: Final = 0.9
# ... or when an open loop's requests leave later than planned by this share of the median latency.
LATE_SHARE: Final = 0.25
# Room for so many answers per second of a driven contender: a hundred times what the official worker manages.
DRIVEN_PER_SECOND: Final = 100_000


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
            return None if self.per_second else f"no answer came in the measured time, of {len(self.records)} requests"
        told = ", ".join(f"{count} x {OUTCOMES[outcome]}" for outcome, count in sorted(counts.items()))
        first = f"; the first: {self.first_wrong[:300]!r}" if self.first_wrong else ""
        return f"{told} of {len(self.records)} requests{first}"

    def require_right(self) -> "Outcome":
        """Itself. Raises WrongAnswerError if any request went wrong."""
        problem = self.problem()
        if problem is not None:
            raise WrongAnswerError(problem)
        return self


def prepare(server: Running, calls: Sequence[Call]) -> list[Prepared]:
    """The calls, each answered once and its answer's meaning checked. Raises WrongAnswerError, OSError."""
    prepared = []
    for call in calls:
        answer = None if call.lenient else server.checked(call)
        prepared.append(Prepared(call, call.request(server.port), answer if call.exact else None))
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
    processes: int = 1,
    burn_us: int = 0,
) -> Outcome:
    """`in_flight` requests at any time, the kinds in that order, over and over; all times in seconds.

    Sent by so many `processes` of the load side, each with its part of what is in flight. Before each request, the load
    side computes for `burn_us` microseconds of its own, as the Functions host does.
    """
    if server.contender.driven:
        arrivals = np.resize(np.array(order, dtype="u1"), in_flight + round(DRIVEN_PER_SECOND * (warmup + seconds)))
        settings = {"loop": "closed", "in_flight": in_flight, "seconds": seconds, "load_processes": 1}
        loop = {"in_flight": in_flight, "seconds": warmup + seconds}
        return _driven(server, kinds, None, arrivals, warmup, timeout, settings, **loop)
    with _folder() as folder:
        folder.joinpath("order").write_bytes(bytes(order))
        window = [f"{warmup:g}", f"{seconds:g}", str(burn_us), str(folder / "order")]
        loops = [["closed", str(part), *window] for part in parts(in_flight, processes)]
        settings = {"loop": "closed", "in_flight": in_flight, "seconds": seconds, "load_processes": len(loops)}
        return _run(server, kinds, folder, loops, timeout, warmup_ns=None, settings=settings)


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
    settings = {"loop": "open", "requests": len(plan), "connections": connections, "load_spin_us": spin_us}
    if server.contender.driven:
        at_ns, arrivals = np.array(plan, dtype="<i8").reshape(-1, 2).T
        return _driven(server, kinds, at_ns, arrivals.astype("u1"), warmup, timeout, settings)
    with _folder() as folder:
        np.array(plan, dtype="<i8").tofile(folder / "plan")
        loop = ["open", str(connections), str(folder / "plan"), str(spin_us)]
        return _run(server, kinds, folder, [loop], timeout, warmup_ns=round(warmup * 1e9), settings=settings)


def saturating(server: Running, kinds: Sequence[Prepared], *, in_flight: int, seconds: float, warmup: float) -> Outcome:
    """A closed loop with as many processes of the load side as it takes not to be the limit.

    They may have half of the CPUs: beyond that they would only take the server's time, and the outcome says that the
    load side was the limit.
    """
    most = max(1, min(in_flight, usable_cpus() // 2))
    processes = 1
    while True:
        outcome = closed_loop(server, kinds, in_flight=in_flight, seconds=seconds, warmup=warmup, processes=processes)
        if processes == most or not outcome.load_side()["load_was_limit"]:
            return outcome
        processes = min(2 * processes, most)


def parts(whole: int, count: int) -> list[int]:
    """`whole` in at most `count` parts that differ by one at most, none of them empty."""
    count = min(whole, count)
    return [whole // count + (1 if index < whole % count else 0) for index in range(count)]


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
    loops: Sequence[list[str]],
    timeout: float,
    *,
    warmup_ns: int | None,
    settings: dict[str, Any],
) -> Outcome:
    """One process per loop, all beginning at the same instant; their records together."""
    specs = [_write_kind(kind, folder / str(index)) for index, kind in enumerate(kinds)]
    start_ns = 0 if len(loops) == 1 else time.monotonic_ns() + START_TOGETHER_NS
    files = [folder / f"records{index}" for index in range(len(loops))]
    command = [str(binary()), str(server.port)]
    processes = [
        subprocess.Popen(
            [*command, str(file), f"{timeout:g}", str(start_ns), *loop, *specs],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for file, loop in zip(files, loops, strict=True)
    ]
    try:
        told = [_told(process, server) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    start_ns = min(one["start_ns"] for one in told)
    return Outcome(
        calls=tuple(kind.call for kind in kinds),
        records=np.concatenate([np.fromfile(file, dtype=RECORD) for file in files]),
        from_ns=max(one["from_ns"] for one in told) if warmup_ns is None else start_ns + warmup_ns,
        until_ns=min(one["until_ns"] for one in told) if warmup_ns is None else max(one["until_ns"] for one in told),
        cpu_share=max(one["cpu_s"] / max((one["end_ns"] - one["start_ns"]) / 1e9, 1e-9) for one in told),
        opened=sum(one["opened"] for one in told),
        first_wrong=next((one["first_wrong"] for one in told if one["first_wrong"]), ""),
        settings=settings,
    )


def _driven(
    server: Running,
    kinds: Sequence[Prepared],
    at_ns: NDArray[np.int64] | None,
    arrivals: NDArray[np.uint8],
    warmup: float,
    timeout: float,
    settings: dict[str, Any],
    **loop: float,
) -> Outcome:
    """A load by the contender's own load side, which compares with the answers that `prepare` had judged.

    Invocation i is of kinds[arrivals[i]], and in an open loop sent `at_ns[i]` after the beginning. Raises
    WrongAnswerError as soon as one is answered wrongly, or not within `timeout` seconds of the one before.
    """
    with _folder() as folder:
        command = {
            "calls": [(kind.call.function, kind.call.envelope.decode()) for kind in kinds],
            "capacity": len(arrivals),
            "file": str(folder / "instants"),
            "intended": None if at_ns is None else base64.b64encode(at_ns.tobytes()).decode(),
            "kinds": base64.b64encode(arrivals.tobytes()).decode(),
            "silence_s": timeout,
            **loop,
        }
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            connection.request("POST", "/-/load", json.dumps(command))
            answer = connection.getresponse()
            told = answer.read()
        if answer.status != 200:
            raise WrongAnswerError(f"{told.decode()}; it wrote: {server.last_words()}")
        load = json.loads(told)
        sent, done = np.fromfile(folder / "instants", dtype="<i8").reshape(2, -1)
    records = np.zeros(len(sent), dtype=RECORD)
    records["intended"] = sent if at_ns is None else load["began_ns"] + at_ns
    records["sent"], records["done"], records["kind"] = sent, done, arrivals[: len(sent)]
    records["status"] = 200
    from_ns = load["began_ns"] + round(warmup * 1e9)
    return Outcome(
        calls=tuple(kind.call for kind in kinds),
        records=records,
        from_ns=from_ns,
        until_ns=int(done.max()) if at_ns is not None else from_ns + round(settings["seconds"] * 1e9),
        cpu_share=load["cpu_share"],
        opened=0,
        first_wrong="",
        settings=settings,
    )


def _told(process: "subprocess.Popen[str]", server: Running) -> dict[str, Any]:
    """What a process of the load side says of itself at its end."""
    output, errors = process.communicate()
    if process.returncode == 3:
        raise WrongAnswerError(f"{errors.strip()}; it wrote: {server.last_words()}")
    if process.returncode != 0:
        raise LoadSideError(f"the load side ended with {process.returncode}: {errors.strip()}")
    told: dict[str, Any] = json.loads(output)
    return told


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
    if problem := compiled(SOURCE, path):
        raise LoadSideError(f"the load side is written in C: {problem}")
    _compiled.add(path)
    return path
