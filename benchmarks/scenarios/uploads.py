"""uploads: bodies of 1, 10 and 100 MiB as the host frames them, in chunks of 1,024 bytes, and in one length beside it.

One client, one worker: from the first byte sent to the last byte of the answer (`p50_ms`), CPU time of the contender's
processes (`cpu_ms`), and how far their resident size rose above what it was before (`peak_mb`, MB of 10^6 bytes).
"""

import contextlib
import http.client
import statistics
import time
from pathlib import Path
from typing import Final

from rich.progress import Progress

from benchmarks import calls
from benchmarks.contenders import Running
from benchmarks.rows import OURS
from benchmarks.scenario import Case, Emit, Options, Variant, attempt, present, rounds, row

NAME: Final = "uploads"
WHO: Final = (OURS, "uvicorn")
MIB: Final = 2**20
TIMES: Final = 5
PLANNED_S: Final = 4.0


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, size and framing, in each round."""
    sizes = options.pick((1, 10), (1, 10, 100))

    def measure(server: Running, case: Case, round_: int) -> None:
        for size in sizes:
            for framing in ("chunks", "length"):
                variant: Variant = {"mib": size, "framing": framing}
                with attempt(emit, NAME, case.contender.name, variant, round_):
                    emit(row(NAME, case.contender, variant, round_, _measure(server, size * MIB, framing)))

    contenders = present(options, NAME, emit, names=options.pick((OURS,), WHO))
    cases = [Case(contender, len(sizes) * 2 * PLANNED_S, processes=1) for contender in contenders]
    rounds(NAME, cases, measure, options, emit, progress)


def _measure(server: Running, size: int, framing: str) -> dict[str, float]:
    """Medians of several uploads. Raises WrongAnswerError, or OSError where nobody answers."""
    call = calls.echo(size)
    times, cpus, peaks = [], [], []
    for _ in range(TIMES):
        before, cpu = _resident(server, reset=True), server.cpu_s()
        began = time.perf_counter()
        call.check(*_upload(server, call, framing))
        times.append((time.perf_counter() - began) * 1e3)
        cpus.append((server.cpu_s() - cpu) * 1e3)
        peaks.append((_resident(server, reset=False) - before) / 1e6)
    return {name: statistics.median(all_) for name, all_ in (("p50_ms", times), ("cpu_ms", cpus), ("peak_mb", peaks))}


def _upload(server: Running, call: calls.Call, framing: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest("POST", f"/{call.function}", skip_accept_encoding=True)
        connection.putheader("Content-Type", "application/json; charset=utf-8")
        if framing == "length":
            body = call.envelope
            connection.putheader("Content-Length", str(len(body)))
        else:
            body = b"".join(calls.chunks(call.envelope))  # all at once: the client's own work is not what is measured
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _resident(server: Running, *, reset: bool) -> int:
    """Bytes: the highest since the last reset, or what there is now, from where the highest begins anew."""
    total = 0
    for process in server.tree():
        folder = Path(f"/proc/{process.pid}")
        if reset:
            folder.joinpath("clear_refs").write_text("5")
        name = "VmRSS:" if reset else "VmHWM:"
        lines = (folder / "status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith(name))
    return total * 1024
