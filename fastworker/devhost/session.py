"""A session of `fastworker dev`: one front, and the app behind it, started anew when its files change.

Called by commands/dev.py. Rule: the front outlives every run of the app; when `run` returns, nothing is left behind.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastworker.devhost.app import RunningApp, read_app
from fastworker.devhost.appsettings import read_app_settings
from fastworker.devhost.azurite import Azurite
from fastworker.devhost.console import Console, shortened
from fastworker.devhost.front import BODY_LIMIT, Front, Keys
from fastworker.devhost.ports import owner_of_port
from fastworker.devhost.watch import snapshot, wait_for_change
from fastworker.devhost.webserver import WebServer
from fastworker.errors import FastworkerError, PortInUseError

DEFAULT_PORT = 7071
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
    prepare: Callable[[Path], Awaitable[None]] | None = None


class Session:
    """From the first start to Ctrl-C."""

    def __init__(self, options: DevOptions, environ: Mapping[str, str], console: Console) -> None:
        self._options = options
        self._environ = environ
        self._console = console
        self._over = asyncio.Event()
        self._gave_up = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """The exit code. Raises ConfigError or PortInUseError if it cannot begin."""
        options = self._options
        settings = read_app_settings(options.root, self._environ)
        port = options.port if options.port is not None else settings.port or DEFAULT_PORT
        listener = listen(options.address, port)
        port = listener.getsockname()[1]
        limit = settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or ""
        front = Front(Keys(options.auth), settings.cors)
        server = WebServer(front.handle, int(limit) if limit.isdigit() else BODY_LIMIT, self._console.warn)
        base_url = f"http://{options.address}:{port}"
        logging.basicConfig(handlers=[_ToConsole(self._console)], level=logging.WARNING)
        self._watch_signals()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(listener.close)
            if options.azurite:
                await stack.enter_async_context(Azurite(options.root / ".fastworker" / "azurite", self._console))
            stack.push_async_callback(server.close)
            await server.start(listener)
            stack.callback(self._announce(base_url, front.keys))
            first = True
            while not self._over.is_set():
                await self._one_run(front, base_url, first=first)
                first = False
        return self._exit_code

    async def _one_run(self, front: Front, base_url: str, *, first: bool) -> None:
        """One app until it must go. Its mistakes end the session at the first run, and wait for a change later."""
        options = self._options
        self._gave_up.clear()
        app: RunningApp | None = None
        files = snapshot(options.root)
        try:
            if options.prepare is not None:
                await options.prepare(options.root)
                files = snapshot(options.root)
            read = read_app(options.root, self._environ, options.max_poll_s)
            if first:
                how = ", reloading on changes" if options.reload else ""
                self._console.good(f"local Functions host on {base_url}{how}; Ctrl-C ends")
            app = RunningApp(read, self._console, base_url, self._handler_gave_up)
            front.app = app
            await app.start()
        except FastworkerError as error:
            if first:
                raise
            self._console.error(str(error))
            self._console.info("waiting for a change")
        try:
            await self._until_change(files)
        finally:
            front.app = None
            if app is not None:
                await app.stop()

    async def _until_change(self, files: dict[Path, int]) -> None:
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._over.wait())]
        if self._options.reload:
            waits.append(asyncio.create_task(self._changed(files)))
        else:
            waits.append(asyncio.create_task(self._gave_up.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        if self._gave_up.is_set() and not self._options.reload:
            self._over.set()

    async def _changed(self, files: dict[Path, int]) -> None:
        names = await wait_for_change(self._options.root, files)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self._console.blank()
        self._console.info(f"{names[0]}{more} changed: starting anew")
        self._exit_code = 0

    def _handler_gave_up(self, why: str) -> None:
        self._exit_code = HANDLER_FAILED
        self._console.error(why)
        if self._options.reload:
            self._console.info("waiting for a change; Ctrl-C ends")
        self._gave_up.set()

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._end)

    def _end(self) -> None:
        self._over.set()

    def _announce(self, base_url: str, keys: Keys) -> Callable[[], None]:
        """Where `fastworker invoke` finds this session; the file goes with it."""
        if keys.enforced:
            self._console.info(f"master key {keys.master}, function key {keys.function}")
        path = self._options.root / ".fastworker" / "dev.json"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)  # before the key is in it
        path.write_text(json.dumps({"url": base_url, "pid": os.getpid(), "key": keys.master}))
        return lambda: path.unlink(missing_ok=True)


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
