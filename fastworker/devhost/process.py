"""The handler process: started, probed, listened to, killed and started again as the host does (protocol 1.2 to 1.5,
5.3 and 5.4).

Owned by app.py; invocations.py waits for `ready` and reports timeouts.
Rule: every start and every end of the handler happens in this file, and the state changes only here.
"""

import asyncio
import contextlib
import ctypes
import enum
import os
import shutil
import signal
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fastworker.devhost.arguments import Command, build_command, split_arguments
from fastworker.devhost.console import Console
from fastworker.devhost.handler_client import HandlerClient, HandlerConnectError, HandlerError
from fastworker.devhost.hostjson import HostJson

PING_EVERY_S: Final = 0.025
RESTARTS: Final = 3
RESTART_WINDOW_S: Final = 30 * 60.0
KILL_WAIT_S: Final = 1.0
# What requests that wait have left once the host has given up waiting (C-7).
LAST_CHANCE_S: Final = 30.0
LAST_LINES: Final = 3
ASKED_FOR_RESTART: Final = 200
PR_SET_PDEATHSIG: Final = 1
SYSTEM_LOG: Final = "languageworkerconsolelog"
SILENT: Final = "the handler has accepted GET / and says nothing: the host serves no call (docs/protocol.md, trap 8)"
LINE_LIMIT: Final = 1024 * 1024


class HandlerState(enum.Enum):
    """ENDED: exit code 0, never started again. STOPPED: the host has given up, or is done."""

    STARTING = "starting"
    READY = "ready"
    ENDED = "ended"
    STOPPED = "stopped"


class HandlerProcess:
    """The handler of one app, over all its lives on one port."""

    def __init__(
        self,
        host: HostJson,
        root: Path,
        environ: Mapping[str, str],
        port: int,
        console: Console,
        on_stop: Callable[[str], None],
    ) -> None:
        self.port = port
        self.state = HandlerState.STARTING
        self.starts = 0
        self._host = host
        self._console = console
        self._on_stop = on_stop
        added = {
            "FUNCTIONS_HTTPWORKER_PORT": str(port),
            "FUNCTIONS_HTTPWORKER_ID": (identity := str(uuid.uuid4())),
            "FUNCTIONS_CUSTOMHANDLER_PORT": str(port),
            "FUNCTIONS_CUSTOMHANDLER_WORKER_ID": identity,
            "FUNCTIONS_APP_ROOT_PATH": str(root),
        }
        self._environ = {**environ, **added}
        own = {name: value for name, value in environ.items() if name not in added}
        self.command: Command = build_command(host.description, root, own, added)
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._expected_end = ""
        self._errors: list[float] = []
        self._stderr: deque[str] = deque(maxlen=LAST_LINES)
        self._task: asyncio.Task[None] | None = None
        self._last_chance: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def patience_s(self) -> float:
        """How long an invocation waits for the handler to be ready (protocol 1.5)."""
        return (RESTARTS + 1) * self._host.init_timeout_s

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="handler")

    async def wait_ready(self) -> bool:
        """False when the handler is not ready in time, or never will be.

        A request that has waited for too long ends the host; it may still be served in the time that is left (C-7).
        """
        if self.state in (HandlerState.READY, HandlerState.ENDED):
            return True  # the host believes in a process that ended with 0, too
        try:
            async with asyncio.timeout(self.patience_s):
                await self._ready.wait()
        except TimeoutError:
            if self._last_chance is None:
                self._last_chance = asyncio.create_task(self._end_unready())
            await self._ready.wait()
        return self.state is not HandlerState.STOPPED and self._ready.is_set()

    async def _end_unready(self) -> None:
        self._on_stop(
            f"the handler is not ready after {RESTARTS + 1} x initializationTimeout ({self.patience_s:g} s), and a "
            f"request waits: the host stops, as it would in the cloud; raise initializationTimeout in "
            f"{self._host.path}, or make the start shorter"
        )
        await asyncio.sleep(LAST_CHANCE_S)
        self.state = HandlerState.STOPPED
        self._ready.set()
        await self._kill()

    async def ping(self) -> None:
        """`GET /` once more, as for the platform's health check; whatever comes back is ignored (protocol 1.5)."""
        if self.state is HandlerState.READY:
            await self._answers()

    async def kill_for_timeout(self, why: str) -> None:
        """An invocation overran functionTimeout: the process goes, and comes back uncounted (protocol 5.1)."""
        if self._process is None or self._process.returncode is not None:
            return
        self._expected_end = why
        await self._kill()

    async def stop(self) -> None:
        """The end: the process and everything that it has started."""
        self.state = HandlerState.STOPPED
        self._ready.set()
        for task in (self._task, self._last_chance):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_WAIT_S):
                await process.wait()

    # ---- lives ----

    async def _run(self) -> None:
        while self.state not in (HandlerState.ENDED, HandlerState.STOPPED):
            self.state = HandlerState.STARTING
            self._ready.clear()
            self._stderr.clear()
            process = await self._spawn()
            if process is None:
                return
            output = [
                asyncio.create_task(self._read_stdout(process)),
                asyncio.create_task(self._read_stderr(process)),
            ]
            probe = asyncio.create_task(self._probe(process))
            try:
                code = await process.wait()
                # A grandchild may hold the pipes; what is in them by now has been read.
                await asyncio.wait(output, timeout=0.2)
            finally:
                for task in (probe, *output):
                    task.cancel()
            self._after_exit(process, code)

    async def _spawn(self) -> asyncio.subprocess.Process | None:
        found = self._find_executable()
        arguments = split_arguments(self.command.arguments)
        self._console.info(f"starting {self.command.executable}{self.command.arguments} (port {self.port})")
        problem = f"{self.command.executable!r} is not in PATH and not below the app's folder"
        if not self.command.cwd.is_dir():
            found, problem = None, f"the workingDirectory {self.command.cwd} does not exist"
        if found is not None:
            try:
                self.starts += 1
                self._process = await asyncio.create_subprocess_exec(
                    found,
                    *arguments,
                    cwd=self.command.cwd,
                    env=self._environ,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    limit=LINE_LIMIT,
                    # Its own session: a Ctrl-C at the terminal is the host's to handle, and the group can be ended.
                    start_new_session=True,
                    preexec_fn=_die_with_parent if sys.platform == "linux" else None,
                )
                return self._process
            except OSError as error:
                problem = f"{found}: {error.strerror}"
        self._give_up(
            f"cannot start the handler: {problem}; correct defaultExecutablePath in {self._host.path} or install it "
            f"(in the cloud each call would wait {self.patience_s:g} s, then the host stops)"
        )
        return None

    def _find_executable(self) -> str | None:
        name = self.command.executable
        if name in ("python", "python3") and self.command.arguments.startswith(" -m fastworker "):
            return sys.executable  # in Azure the one that the app's packages are for; here it has fastworker, too
        if os.sep in name:
            path = name if os.path.isabs(name) else str(self.command.cwd / name)
            return path if os.path.exists(path) else None
        return shutil.which(name, path=self._environ.get("PATH"))

    async def _probe(self, process: asyncio.subprocess.Process) -> None:
        """`GET /` until anything answers; only the pauses count (protocol 1.5)."""
        attempts = max(int(self._host.init_timeout_s / PING_EVERY_S + 0.5), 1)
        began = time.monotonic()
        for _ in range(attempts):
            if await self._answers():
                break
            await asyncio.sleep(PING_EVERY_S)
        else:
            self._expected_end = "start-up"
            self._console.error(
                f"the handler did not listen on 127.0.0.1:{self.port} within initializationTimeout "
                f"({self._host.init_timeout_s:g} s); it must take its port from FUNCTIONS_CUSTOMHANDLER_PORT"
            )
            await self._kill()
            return
        if process.returncode is None:
            self.state = HandlerState.READY
            self._ready.set()
            self._console.good(f"handler ready after {time.monotonic() - began:.1f} s (pid {process.pid})")

    async def _answers(self) -> bool:
        address = ("127.0.0.1", self.port)
        client = HandlerClient()
        try:
            async with (
                self._console.reminding("host", SILENT),
                client.request(address, "GET", "/", [("Host", f"{address[0]}:{address[1]}")]),
            ):
                return True
        except HandlerConnectError:
            return False  # a socket error: nobody listens yet
        except HandlerError:
            return True  # garbage counts as an answer, and so does the end of the connection
        finally:
            await client.close()

    # ---- after its end ----

    def _after_exit(self, process: asyncio.subprocess.Process, code: int) -> None:
        if self.state is HandlerState.STOPPED:
            return
        reason, self._expected_end = self._expected_end, ""
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if reason and reason != "start-up":
            self._console.warn(f"{reason}: handler killed, starting it again on port {self.port} (not counted)")
        elif code == 0:
            self.state = HandlerState.ENDED
            self._ready.set()
            self._console.error(
                "the handler ended with exit code 0: the host takes that for success and never starts it again, so "
                "all calls fail from now on (docs/protocol.md, 5.3)"
            )
        elif code == ASKED_FOR_RESTART:
            self._console.info("the handler ended with exit code 200: started again, not counted")
        else:
            self._count_error(how)
        self._warn_of_survivors(process.pid)

    def _count_error(self, how: str) -> None:
        now = time.monotonic()
        if self._errors and now - self._errors[-1] > RESTART_WINDOW_S:
            self._errors.clear()
        self._errors.append(now)
        last = f"; its last lines: {' | '.join(self._stderr)}" if self._stderr else ""
        what = f"the handler ended with {how} (error {len(self._errors)} of {RESTARTS}){last}"
        if len(self._errors) >= RESTARTS:
            self._give_up(f"{what}; Exceeded http worker restart retry count: the host stops, as it would in the cloud")
        else:
            self._console.error(f"{what}; starting it again")

    def _give_up(self, why: str) -> None:
        self.state = HandlerState.STOPPED
        self._ready.set()
        self._on_stop(why)

    def _warn_of_survivors(self, group: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            self._console.warn(
                "processes that the handler started have survived it and may hold the port: the host ends only the "
                "one process (start with exec, or let children die with their parent)"
            )

    async def _kill(self) -> None:
        """SIGKILL to that one process, and at most a second's wait, as the host does."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_WAIT_S):
                await process.wait()

    # ---- its output ----

    async def _read_stdout(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # a pipe was asked for
        async for line in _lines(process.stdout):
            self._show("Information", line)

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in _lines(process.stderr):
            if line.strip():
                self._stderr.append(line)
            self._show(stderr_level(line, self._host.description.stderr_for_errors_only), line)

    def _show(self, level: str, line: str) -> None:
        if line.lower().startswith(SYSTEM_LOG):
            return  # for the host's own log, not the user's
        if line:
            self._console.handler(level, line)


def stderr_level(line: str, errors_only: bool) -> str:
    """The level that the host gives to a line of stderr (protocol 5.4)."""
    lower = line.lower()
    if "warn" in lower:
        return "Warning"
    if errors_only or any(word in lower for word in ("error", "fail", "severe", "unhandled exception")):
        return "Error"
    return "Information"


async def _lines(stream: asyncio.StreamReader):  # type: ignore[no-untyped-def]
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            continue  # longer than any line should be; the rest of it follows
        if not line:
            return
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def _die_with_parent() -> None:
    """In the child, before exec: if the local host is killed outright, its handler goes with it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
