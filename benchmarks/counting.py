"""What one request costs a worker, counted and not timed: bytecodes, Python calls, instructions, system calls.

`python -m benchmarks.counting` prints JSON. The worker's own loop (`Worker.serve`) runs in this process, on a
connection over loopback whose other end is here, too: whenever the loop asks the shared epoll for an event, the answer
is read and the next request is sent. So the order of events is the same in every run, and the figures are those of the
code, whatever else the machine does.

    bytecodes, calls   `sys.settrace` over the worker's frames, this module's left out; the median request
    instructions       callgrind, the difference of two runs of unequal length; the client's are in it
    system_calls       strace, the same difference; the client's two are left out

Under OTEL_ variables that turn traces on, their cost is in it (docs/tracing.md); that of the exporter in the last two.
Rule: requests are bytes as the host sends them (recorded: order and case of headers, chunks of at most 1,024 bytes).
"""

import argparse
import gc
import json
import os
import platform
import re
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastworker import logs
from fastworker.functions.loaded_app import load_app
from fastworker.ipc.board import Board
from fastworker.ipc.connections import ARMED, number_range
from fastworker.ipc.control import ControlSocket, ToWorker, control_pair
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.running_spans import RunningSpans
from fastworker.ipc.stack_dump import StackDumps
from fastworker.settings import parse_settings
from fastworker.worker import straight_line
from fastworker.worker.run import Worker

APP: Final = Path(__file__).parent / "functions" / "counted" / "function_app.py"
ORDER_ENVELOPE: Final = Path(__file__).parents[1] / "docs" / "examples" / "order" / "envelope.json"
# Before counting: caches are filled, adaptive bytecode has settled.
WARM_UP: Final = 50
# The host's buffer: no chunk of an envelope is longer.
CHUNK: Final = 1024
COUNTER: Final = "000000000000"
ID: Final = f"7b4f3a0e-5d0b-4a37-b0a9-{COUNTER}"
OWN_HEADERS: Final = (("X-Azure-Functions-HostVersion", "4.1037.0.0"), ("X-Azure-Functions-InvocationId", ID))
# The two run lengths of a difference.
SHORT: Final = 200
LONG: Final = 1200
TOOL_S: Final = 600.0


@dataclass(frozen=True)
class Scenario:
    """A kind of request. `mode` is the server's --http-mode, `answer` what the right answer contains.

    In `request` COUNTER stands for the part of the ids that differs from request to request.
    """

    name: str
    mode: str
    request: bytes
    answer: bytes


def _head(line: str, headers: Sequence[tuple[str, str]]) -> bytes:
    return "".join([f"{line} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]).encode()


def _enveloped(function: str, envelope: object) -> bytes:
    headers = [
        ("Host", "127.0.0.1:40123"),
        *OWN_HEADERS,
        ("User-Agent", "Azure-Functions-Host/4.1037.0.0"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Type", "application/json; charset=utf-8"),
    ]
    body = json.dumps(envelope, separators=(",", ":")).encode()
    pieces = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
    chunks = b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])
    return b"%b%b0\r\n\r\n" % (_head(f"POST /{function}", headers), chunks)


def _order() -> object:
    return json.loads(ORDER_ENVELOPE.read_bytes())


def _queue_message() -> object:
    metadata = {
        "DequeueCount": "1",
        "ExpirationTime": "2026-01-09T10:00:00+00:00",
        "Id": '"00000000-0000-4000-8000-000000000002"',
        "InsertionTime": "2026-01-02T10:00:00+00:00",
        "NextVisibleTime": "2026-01-02T10:10:01+00:00",
        "PopReceipt": '"AgAAAAMAAAAAAAAA"',
        "sys": {
            "MethodName": "item",
            "UtcNow": "2026-01-02T10:00:01.1234567Z",
            "RandGuid": "00000000-0000-4000-8000-000000000003",
        },
    }
    return {"Data": {"item": '"hello"'}, "Metadata": metadata}


def _forwarded() -> bytes:
    headers = [
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Host", "example.test:8080"),
        ("User-Agent", "Mozilla/5.0,Azure-Functions-Host/4.1037.0.0"),
        ("Accept-Language", "en-GB,en"),
        *OWN_HEADERS,
    ]
    return _head("GET /api/greet?name=fastworker", headers)


def _proxied() -> bytes:
    headers = [
        ("Host", "127.0.0.1:40123"),
        ("User-Agent", "Mozilla/5.0"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Accept-Language", "en-GB,en"),
        *OWN_HEADERS,
        ("x-ms-invocation-id", ID),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Host", "example.test:8080"),
        ("X-Forwarded-Proto", "https"),
    ]
    return _head("GET /api/greet?name=fastworker", headers)


SCENARIOS: Final = {
    s.name: s
    for s in (
        Scenario("envelope", "envelope", _enveloped("order", _order()), b'"body":"Order complete"'),
        Scenario("queue", "envelope", _enveloped("item", _queue_message()), b"item of 5 characters"),
        Scenario("forwarded", "forward", _forwarded(), b"Hello, fastworker!"),
        Scenario("proxied", "proxy", _proxied(), b"Hello, fastworker!"),
    )
}


class WrongAnswerError(Exception):
    """The worker answered something else than was asked for."""


class _Client:
    """Stands in the shared epoll's place, and gives the worker its next request whenever it asks for an event."""

    def __init__(self, epoll: select.epoll, connection: socket.socket, scenario: Scenario, requests: int) -> None:
        self._poll = epoll.poll
        self._connection = connection
        self._scenario = scenario
        self._left = requests
        self._count = 0
        self.on_request: Callable[[int], None] = lambda _: None
        self.on_end: Callable[[], None] = lambda: None

    def poll(self, timeout_s: float, most: int) -> list[tuple[int, int]]:
        if self._count:
            answer = self._connection.recv(1 << 16)
            if not answer.startswith(b"HTTP/1.1 200 ") or self._scenario.answer not in answer:
                raise WrongAnswerError(f"{self._scenario.name}: it answered {answer[:300]!r}")
        self.on_request(self._count)
        if not self._left:
            self.on_end()
            return []
        self._left -= 1
        self._count += 1
        self._connection.sendall(self._scenario.request.replace(COUNTER.encode(), b"%012x" % self._count))
        return self._poll(timeout_s, most)


def serve(scenario: Scenario, requests: int, on_request: Callable[[int], None] | None = None) -> None:
    """Lets a worker answer so many requests. `on_request` is called before each, and once behind the last."""
    otel = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    settings = parse_settings([str(APP), "--port", "0", "--spin", "0", "--http-mode", scenario.mode], otel)
    logs.configure()
    numbers = number_range(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    board = Board(1, numbers.first, 4)
    shared = select.epoll()
    control, supervisor = control_pair()
    app = load_app(settings.app, app_root=None, http_mode=settings.http_mode)
    inherited = Inherited(shared, board, StackDumps(), RunningSpans.where(settings.traces, 1, None))
    worker: Any = Worker(0, ControlSocket(control, ToWorker), inherited, settings, app)
    worker.start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
    for end in (connection, accepted):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setblocking(False)
    worker._hold(numbers.first, accepted.detach())
    shared.register(numbers.first, ARMED)
    client = _Client(shared, connection, scenario, requests)

    def end() -> None:
        worker._retiring = worker._rest.wanted = True

    client.on_end = end
    if on_request is not None:
        client.on_request = on_request
    straight_line.TRUSTED_NS = 1 << 62  # under a tool a request takes longer than that
    worker._shared = types.SimpleNamespace(poll=client.poll, modify=shared.modify)
    gc.collect()
    gc.freeze()
    worker.serve()
    supervisor.close()


def bytecodes_and_calls(scenario: Scenario, requests: int = 51) -> tuple[int, int]:
    """Of the median of so many requests, behind a warm-up."""
    here = _Client.poll.__code__.co_filename
    count = [0, 0]
    seen: list[tuple[int, int]] = []

    def local(_frame: types.FrameType, event: str, _argument: object) -> Any:
        if event == "opcode":
            count[0] += 1
        return local

    def trace(frame: types.FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename == here:
            return None
        count[1] += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return local

    def on_request(number: int) -> None:
        if number == WARM_UP:
            frame: types.FrameType | None = sys._getframe(1)
            while frame is not None:  # those that wait for the event are the worker's, too
                if frame.f_code.co_filename != here:
                    frame.f_trace, frame.f_trace_opcodes, frame.f_trace_lines = local, True, False
                frame = frame.f_back
            sys.settrace(trace)
        elif number > WARM_UP:
            seen.append((count[0], count[1]))
            count[:] = 0, 0
        if number == WARM_UP + requests:
            sys.settrace(None)

    serve(scenario, WARM_UP + requests, on_request)
    return statistics.median(b for b, _ in seen), statistics.median(c for _, c in seen)


def _run(tool: Sequence[str], scenario: Scenario, *flags: str) -> str:
    """The output of this module under a tool. A process each: a worker changes the one that it is in."""
    return subprocess.run(
        [*tool, sys.executable, "-m", "benchmarks.counting", scenario.name, *flags],
        check=True,
        timeout=TOOL_S,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": "0"},
    ).stdout


def instructions(scenario: Scenario) -> float | None:
    """Of one request, its client included; None where there is no valgrind."""
    if shutil.which("valgrind") is None:
        return None

    def total(requests: int) -> int:
        with tempfile.NamedTemporaryFile("r") as out:
            tool = ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={out.name}"]
            _run(tool, scenario, "--serve", str(requests))
            found = re.search(r"^(?:totals|summary): (\d+)", out.read(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    return (total(LONG) - total(SHORT)) / (LONG - SHORT)


def system_calls(scenario: Scenario) -> float | None:
    """Of one request, without its client's two; None where there is no strace."""
    if shutil.which("strace") is None:
        return None

    def total(requests: int) -> int:
        with tempfile.NamedTemporaryFile("r") as out:
            _run(["strace", "-c", "-o", out.name], scenario, "--serve", str(requests))
            found = re.search(r"(\d+)\s+(?:\d+\s+)?total$", out.read(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    return (total(LONG) - total(SHORT)) / (LONG - SHORT) - 2


def main(arguments: Sequence[str]) -> int:
    """The command: counts, and prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counting", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--only-bytecodes", action="store_true", help="no callgrind, no strace: takes seconds")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--trace", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    unknown = [name for name in parsed.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    wanted = [SCENARIOS[name] for name in parsed.scenarios or SCENARIOS]
    if parsed.serve is not None:
        serve(wanted[0], parsed.serve)
        return 0
    if parsed.trace:
        print(json.dumps(bytecodes_and_calls(wanted[0])))
        return 0
    found = {}
    for scenario in wanted:
        bytecodes, calls = json.loads(_run([], scenario, "--trace"))
        row: dict[str, float | None] = {"bytecodes": bytecodes, "calls": calls}
        if not parsed.only_bytecodes:
            row["instructions"] = instructions(scenario)
            row["system_calls"] = system_calls(scenario)
        found[scenario.name] = row
    print(json.dumps({"python": platform.python_version(), "requests": found}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
