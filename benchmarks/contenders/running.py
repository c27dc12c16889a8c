"""A contender in fresh processes, checked for the right answers, and ended with everything it started.

Used by every scenario. Rule: processes are found and ended by their ids, and nobody outlives the `with` block.
"""

import contextlib
import http.client
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.calls import Call
from benchmarks.contenders.interface import FUNCTIONS, Contender, Launch, base_environ

START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 15.0


class NotRunningError(Exception):
    """A contender that did not listen in time, or ended by itself; with the end of what it wrote."""


@dataclass(frozen=True)
class Running:
    """A contender that answers. `started_ns` is the monotonic instant right before its exec."""

    contender: Contender
    port: int
    pid: int
    process: "subprocess.Popen[bytes]"
    folder: Path
    started_ns: int

    def ask(self, call: Call, timeout_s: float = START_TIMEOUT_S) -> tuple[int, bytes]:
        """Sends one invocation on a connection of its own: status and body, unchecked. Raises OSError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as connection:
            connection.sendall(call.request(self.port))
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read()

    def checked(self, call: Call) -> bytes:
        """The body of a right answer. Raises WrongAnswerError, or OSError where nobody answers."""
        status, body = self.ask(call)
        call.check(status, body)
        return body

    def tree(self) -> list[psutil.Process]:
        """The contender's process and all its descendants."""
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_s(self) -> float:
        """Seconds of CPU time that all processes of the tree have taken."""
        return float(sum(sum(process.cpu_times()[:2]) for process in self.tree()))

    def last_words(self, limit: int = 600) -> str:
        """The end of what the contender wrote."""
        return self.folder.joinpath("output.log").read_bytes()[-limit:].decode(errors="replace").strip()


@contextlib.contextmanager
def running(
    contender: Contender,
    *,
    processes: int,
    calls: Sequence[Call] = (),
    functions: Path = FUNCTIONS,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """The contender, once it listens and has answered each of `calls` rightly.

    Raises NotRunningError, and WrongAnswerError for an answer that is not right.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        launch = Launch(free_port(), processes, folder, dict(settings or {}), functions)
        environ = {**base_environ(), **contender.environ(launch), **launch.settings}
        with folder.joinpath("output.log").open("wb") as output:
            started_ns = time.monotonic_ns()
            process = subprocess.Popen(
                contender.command(launch), cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT
            )
        server = Running(contender, launch.port, process.pid, process, folder, started_ns)
        try:
            _wait_until_it_listens(server)
            for call in calls:
                server.checked(call)
            yield server
        finally:
            end(server)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_listens(server: Running) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        if server.process.poll() is not None:
            raise NotRunningError(f"it ended with {server.process.returncode}: {server.last_words()}")
        try:
            with socket.create_connection(("127.0.0.1", server.port), 1):
                return
        except OSError:
            if time.monotonic() > until:
                raise NotRunningError(f"does not listen after {START_TIMEOUT_S:g} s: {server.last_words()}") from None
        time.sleep(0.002)


def end(server: Running) -> None:
    """SIGTERM for the contender; SIGKILL for what is left of its tree after END_TIMEOUT_S, or after its end."""
    tree: list[Any] = server.tree()
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(END_TIMEOUT_S)
    for process in tree:
        # psutil compares start times, so a number that was given to somebody else is left alone.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs([process for process in tree if process.pid != server.pid], timeout=END_TIMEOUT_S)
    server.process.wait(END_TIMEOUT_S)
