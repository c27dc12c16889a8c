"""A session of `fastworker dev`: one front, and the app behind it, started anew when its files change.

Called by commands/dev.py. Rule: the front outlives every run of the app; when `run` returns, nothing is left behind.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastworker.devhost import private
from fastworker.devhost.app import AppFiles, RunningApp, read_app
from fastworker.devhost.appsettings import read_app_settings
from fastworker.devhost.azurite import Azurite
from fastworker.devhost.config_error import ConfigError
from fastworker.devhost.console import Console, shortened
from fastworker.devhost.ending import AskedToEndError, Ending
from fastworker.devhost.front import BODY_LIMIT, Front
from fastworker.devhost.keys import Keys
from fastworker.devhost.ports import owner_of_port
from fastworker.devhost.visitors import is_loopback
from fastworker.devhost.watch import snapshot, wait_for_change
from fastworker.devhost.webserver import WebServer
from fastworker.errors import FastworkerError, PortInUseError

DEFAULT_PORT = 7071
REQUESTS_MAY_TAKE_S = 30.0
HANDLER_FAILED = 1


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the command line asks for. `prepare` runs before each start of the app (fastworker's own sync)."""

    root: Path
    address: str = "127.0.0.1"
    port: int | None = None
    auth: bool = False
    reload: bool = True
    azurite: bool = False
    max_poll_s: float | None = None
    # What the cloud would not run, or not start again, ends the session.
    strict: bool = False
    prepare: Callable[[Path], Awaitable[None]] | None = None


class Session:
    """From the first start to Ctrl-C."""

    def __init__(self, options: DevOptions, environ: Mapping[str, str], console: Console) -> None:
        self._options = options
        self._environ = environ
        self._console = console
        self._ending = Ending()
        self._over = False
        self._gave_up = asyncio.Event()
        self._app: RunningApp | None = None
        self._exit_code = 0

    async def run(self) -> int:
        """The exit code. Raises ConfigError or PortInUseError if it cannot begin."""
        options = self._options
        settings = read_app_settings(options.root, self._environ)
        port = options.port if options.port is not None else settings.port or DEFAULT_PORT
        listener = listen(options.address, port)
        port = listener.getsockname()[1]
        limit = settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or ""
        front = Front(
            Keys(options.auth), settings.cors, address=options.address, cors_credentials=settings.cors_credentials
        )
        server = WebServer(front.handle, int(limit) if limit.isdigit() else BODY_LIMIT, self._console.warn)
        base_url = f"http://{options.address}:{port}"
        logging.basicConfig(handlers=[_ToConsole(self._console)], level=logging.WARNING)
        self._ending.watch()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._ending.forget)
            stack.callback(listener.close)
            with contextlib.suppress(AskedToEndError):
                if options.azurite:
                    azurite = Azurite(options.root / private.NAME / "azurite", self._console)
                    await self._ending.unless_asked(stack.enter_async_context(azurite))
                stack.push_async_callback(server.close)
                await server.start(listener)
                stack.callback(self._announce(base_url, front.keys))
                self._tell_what_is_open(base_url)
                await self._ending.unless_asked(self._runs(front, server, base_url))
        if self._ending.asked.is_set():
            self._console.info("goodbye: the local host and all that it started have ended")
        return self._exit_code

    def _tell_what_is_open(self, base_url: str) -> None:
        if is_loopback(self._options.address):
            return
        who = "whoever has a key can" if self._options.auth else "everybody who reaches this machine can"
        what = "run the app's functions, and with them read and write its data, and use the admin endpoints"
        self._console.error(f"open to the network at {base_url}: {who} {what}")

    async def _runs(self, front: Front, server: WebServer, base_url: str) -> None:
        """One app after the other. The mistakes of the first end the session, later ones wait for a change."""
        first = True
        try:
            while not self._over:
                files = snapshot(self._options.root)
                try:
                    files = await self._next_run(front, base_url, first=first)
                except FastworkerError as error:
                    if first or self._options.strict:
                        raise
                    front.show(None, is_down=True)
                    await self._stop_app()
                    self._console.error(str(error))
                    self._console.info("waiting for a change")
                first = False
                await self._until_change(files)
        finally:
            await self._let_work_end(server)
            front.show(None, is_down=True)
            await self._stop_app()

    async def _next_run(self, front: Front, base_url: str, *, first: bool) -> dict[Path, int]:
        """Reads and starts the app, then stops the one before, as the host does (protocol 1.4); gives its files."""
        options = self._options
        if options.prepare is not None:
            await options.prepare(options.root)
        files = snapshot(options.root)
        read = read_app(options.root, self._environ, options.max_poll_s)
        if options.strict:
            refuse_mistakes(read)
        if first:
            how = ", reloading on changes" if options.reload else ""
            self._console.good(f"local Functions host on {base_url}{how}; Ctrl-C ends")
        app = RunningApp(read, self._console, base_url, self._handler_gave_up, asks_for_keys=options.auth)
        if read.host.port is not None:  # both would need it: requests wait in between
            front.show(None)
            await self._stop_app()
        self._gave_up.clear()
        try:
            await app.start()
        except BaseException:
            await app.stop()
            raise
        front.show(app)
        old, self._app = self._app, app
        if old is not None:
            await old.stop()
        return files

    async def _stop_app(self) -> None:
        app, self._app = self._app, None
        if app is not None:
            await app.stop()

    async def _let_work_end(self, server: WebServer) -> None:
        """At the end nothing is let in or taken any more, and what is in flight has half a minute (protocol 5.3)."""
        server.stop_listening()
        app = self._app
        runs = app.in_flight if app is not None else 0
        if app is not None:
            app.stop_taking()
        some = [f"{n} {what}{'s' if n > 1 else ''}" for n, what in ((server.active, "request"), (runs, "run")) if n]
        if not some:
            return
        self._console.info(
            f"{' and '.join(some)} in flight may take {REQUESTS_MAY_TAKE_S:g} s more; Ctrl-C again ends at once"
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REQUESTS_MAY_TAKE_S):
                await server.idle.wait()
                if app is not None:
                    await app.triggers_end()

    async def _until_change(self, files: dict[Path, int]) -> None:
        waits: list[asyncio.Future[bool]] = []
        if self._ends_with_the_handler():
            waits.append(asyncio.ensure_future(self._gave_up.wait()))
        if self._options.reload:
            waits.append(asyncio.ensure_future(self._changed(files)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._over = self._ends_with_the_handler() and self._gave_up.is_set()

    def _ends_with_the_handler(self) -> bool:
        return self._options.strict or not self._options.reload

    async def _changed(self, files: dict[Path, int]) -> bool:
        names = await wait_for_change(self._options.root, files)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self._console.blank()
        self._console.info(f"{names[0]}{more} changed: starting anew")
        self._exit_code = 0
        return True

    def _handler_gave_up(self, why: str) -> None:
        self._exit_code = HANDLER_FAILED
        self._console.error(why)
        if not self._ends_with_the_handler():
            self._console.info("waiting for a change; Ctrl-C ends")
        self._gave_up.set()

    def _announce(self, base_url: str, keys: Keys) -> Callable[[], None]:
        """Where `fastworker invoke` finds this session; the file goes with it."""
        if keys.enforced:
            self._console.info(f"master key {keys.master}, function key {keys.function} (good for every function)")
        path = self._options.root / private.NAME / "dev.json"
        private.private_file(path)  # before the key is in it
        path.write_text(json.dumps({"url": base_url, "pid": os.getpid(), "key": keys.master}))
        return lambda: path.unlink(missing_ok=True)


def refuse_mistakes(read: AppFiles) -> None:
    """For --strict: raises ConfigError for what the cloud would leave out or not start, and keys that nobody reads."""
    wrong = [f"{function.problem}" for function in read.functions if function.problem]
    wrong += read.host.plan_problems
    if not read.functions:
        wrong.append(f"{read.root}: no functions: in Azure the host starts no handler for an app without any")
    wrong += [line for line in (*read.host.warnings, *read.settings.warnings) if "nobody reads" in line]
    if wrong:
        raise ConfigError("\n".join((*wrong, "refused by --strict: in Azure this would not run as it is meant")))


class _ToConsole(logging.Handler):
    """What libraries log (a client that speaks no HTTP, say) in the console's form, without tracebacks."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        what = "" if error is None else f": {type(error).__name__}: {shortened(error)}"
        self._console.warn(f"{record.name}: {record.getMessage()}{what}")


def listen(address: str, port: int) -> socket.socket:
    """The front's listener. Raises PortInUseError telling who has the port, if that can be known."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        who = owner_of_port(port) if error.errno == errno.EADDRINUSE else error.strerror
        raise PortInUseError(f"cannot listen on {address}:{port}: {who}; end it, or give another --port") from None
    return listener
