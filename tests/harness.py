"""What tests of the real command share: a server process, and a client that speaks as the Functions host does."""

import base64
import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Slow machines wait longer, by one factor for all waits.
PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
# How a server ends that a host has started and somebody has told to stop: the host starts it again (protocol 5.3).
STOPPED = 200
APPS = Path(__file__).parent / "apps"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> Any:
    """Waits until `condition()` is true, and returns it."""
    until = time.monotonic() + timeout_s * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout_s * PATIENCE:g} s: {what}")
        time.sleep(0.005)


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def value(self) -> Any:
        """The one message that the return value makes, as JSON; the host undoes its base64."""
        return json.loads(base64.b64decode(self.json()["ReturnValue"]))


def envelope(job: Any = None) -> bytes:
    """What the host posts for a manual trigger `job`: scalars as JSON text in a string (protocol 2.2)."""
    value = job if isinstance(job, dict) else json.dumps(job)
    return json.dumps({"Data": {"job": value}, "Metadata": {"sys": {"MethodName": "x"}}}).encode()


def request_bytes(path: str, body: bytes, *, invocation_id: str | None = None, chunked: bool = True) -> bytes:
    """One envelope request with the headers of the host (protocol 2.1)."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Azure-Functions-HostVersion: 4.1037.0.0\r\n"
        f"X-Azure-Functions-InvocationId: {invocation_id or uuid.uuid4()}\r\n"
        f"User-Agent: Azure-Functions-Host/4.1037.0.0\r\nContent-Type: application/json; charset=utf-8\r\n"
    )
    if chunked:
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk + b"0\r\n\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class HostConnection:
    """One keep-alive connection of the host's HTTP client.

    `invoke` and `post` connect again after a response with `Connection: close`, as every such client does.
    """

    def __init__(self, port: int, timeout_s: float = 15.0) -> None:
        self._port = port
        self._timeout_s = timeout_s * PATIENCE
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=self._timeout_s)
        self._left = b""
        self._closes = False

    def invoke(self, function: str, job: Any = None, *, invocation_id: str | None = None) -> Response:
        return self.post(f"/{function}", envelope(job), invocation_id=invocation_id)

    def post(self, path: str, body: bytes, *, invocation_id: str | None = None, chunked: bool = True) -> Response:
        if self._closes:
            assert self.at_end()
            self.close()
            self._connect()
        self.send(request_bytes(path, body, invocation_id=invocation_id, chunked=chunked))
        return self.receive()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, *, head: bool = False) -> Response:
        """The next response; EOFError if the server closes instead. Fails on anything that is not well-formed."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        raw_head, self._left = self._left.split(b"\r\n\r\n", 1)
        status_line, *lines = raw_head.decode("latin-1").split("\r\n")
        matched = re.fullmatch(r"HTTP/1\.1 (\d{3}) .+", status_line)
        assert matched, status_line
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self._closes = headers.get("connection") == "close"
        if matched[1] == "100":
            return Response(100, headers, b"")
        length = 0 if head else int(headers["content-length"])
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        return Response(int(matched[1]), headers, body)

    @property
    def quiet(self) -> bool:
        """Nothing more has come: every request had exactly one answer."""
        return not self._left and (self._closes or not select.select([self.socket], [], [], 0)[0])

    def wait_readable(self, timeout_s: float) -> bool:
        """An answer begins to come within `timeout_s`."""
        waiter = select.poll()
        waiter.register(self.socket, select.POLLIN)
        return bool(waiter.poll(timeout_s * 1000))

    def at_end(self) -> bool:
        """The server has closed the connection in good order."""
        return self.socket.recv(1) == b""

    def _more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError("the server closed the connection")
        self._left += data

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "HostConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server:
    """`fastworker serve` as a process of its own, with its output."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path = APPS,
        app: str = "scenarios:app",
        port: int = 0,
        open_files: int | None = None,
        stdout: Any = subprocess.PIPE,
        **settings: object,
    ) -> None:
        environ = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("FASTWORKER_", "FUNCTIONS_")) or k == "FUNCTIONS_CORETOOLS_ENVIRONMENT"
        }
        environ |= {f"FASTWORKER_{name.upper()}": str(value) for name, value in settings.items()}
        self.port = port or free_port()
        environ["FUNCTIONS_CUSTOMHANDLER_PORT"] = str(self.port)
        limit = [] if open_files is None else ["prlimit", f"--nofile={open_files}:{open_files}"]
        self.process = subprocess.Popen(
            [*limit, sys.executable, "-m", "fastworker", "serve", app, *arguments],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stdout,
        )
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._readers = [
            threading.Thread(target=_collect, args=(pipe, lines), daemon=True)
            for pipe, lines in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr))
            if pipe is not None
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def connect(self, timeout_s: float = 15.0) -> HostConnection:
        return HostConnection(self.port, timeout_s)

    def wait_ready(self) -> "Server":
        """As the host does: `GET /` until anything answers."""

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.stderr}")
            try:
                with self.connect() as connection:
                    connection.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    return connection.receive().status == 200
            except ConnectionRefusedError:
                return False

        wait_for(answers, "an answer to GET /")
        return self

    def descendants(self) -> set[int]:
        """The zygote, the workers, and all that they have started."""
        return descendants(self.pid)

    def workers(self) -> set[int]:
        """The pids of the workers: they call themselves fastworker:<slot>."""
        return {pid for pid in self.descendants() if re.fullmatch(r"fastworker:\d+", process_name(pid))}

    def zygotes(self) -> set[int]:
        return {pid for pid in self.descendants() if process_name(pid) == "fastworker:zygo"}

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 15.0) -> int:
        """Waits for the end; returns the exit code, with all output collected."""
        code = self.process.wait(timeout_s * PATIENCE)
        for reader in self._readers:
            reader.join(timeout_s)
        return code

    def stop(self) -> None:
        """Ends it and everything it has started, whatever state they are in."""
        tree = self.descendants()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _collect(pipe: Any, lines: list[str]) -> None:
    with pipe:
        for line in pipe:
            lines.append(line.decode().rstrip("\n"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def descendants(pid: int) -> set[int]:
    """Every living process below `pid`."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def process_name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def alive(pid: int) -> bool:
    """The process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_threads(count: int, body: Callable[[int], None]) -> None:
    """Runs `body(i)` in `count` threads and raises what any of them raised."""
    failures: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            body(index)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def switches(pid: int) -> int:
    """How often the threads of a process have waited for something."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):
            total += int(task.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def wait_asleep(server: Server) -> None:
    """Until the supervisor looks at its workers once a second, as it does when nothing can become due."""
    seen: list[tuple[float, int]] = []

    def sleeps() -> bool:
        seen.append((time.monotonic(), switches(server.pid)))
        while len(seen) > 1 and seen[-1][0] - seen[1][0] > 0.25:
            seen.pop(0)
        elapsed_s = seen[-1][0] - seen[0][0]
        return elapsed_s > 0.25 and seen[-1][1] - seen[0][1] <= 1 + 2 * elapsed_s

    wait_for(sleeps, "the supervisor to sleep")


class StatusClient:
    """Whoever watches a server by its status socket, which is in `folder` (XDG_RUNTIME_DIR)."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10 * PATIENCE)
        self._socket.connect(str(folder / "fastworker" / f"{server.pid}.sock"))
        self._lines = self._socket.makefile("rb")

    def ask(self, request: str) -> Any:
        self._socket.sendall(request.encode() + b"\n")
        return json.loads(self._lines.readline())

    def outcomes(self) -> dict[tuple[str, str], int]:
        """How often, by function and outcome; "" for requests that name no function."""
        told = self.ask("status")
        functions = {f["name"]: f["outcomes"] for f in told["functions"]} | {"": told["unnamed"]}
        return {(name, how): n for name, by in functions.items() for how, n in by.items() if n}

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> "StatusClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
