"""`fastworker dev [DIR]`: the local host (devhost/), and sync before each start where the app is a fastworker one.

Called by cli.py. Rule: the only place where the local host and fastworker's own app meet, and only by a subprocess.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastworker import flag_hints
from fastworker.commands.app_target import started_app
from fastworker.commands.parser import CommandParser
from fastworker.config.app_files import host_json_of
from fastworker.devhost.appsettings import read_app_settings
from fastworker.devhost.console import Console
from fastworker.devhost.session import DEFAULT_PORT, DevOptions, Session
from fastworker.devhost.visitors import is_loopback
from fastworker.errors import FastworkerError
from fastworker.functions.loading import holds_app


class NoAppError(FastworkerError):
    """There is no such folder."""

    exit_code = 2


class OpenToTheNetworkError(FastworkerError):
    """It is not said whether everybody may come in."""

    exit_code = 2


class OtherAppError(FastworkerError):
    """The command line and host.json name different apps."""

    exit_code = 2


class SyncFailedError(FastworkerError):
    """The app's decorators could not be turned into function.json files."""

    exit_code = 3


def main(argv: Sequence[str]) -> int:
    """Runs until Ctrl-C; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    root = Path(arguments.dir).absolute()
    if not root.is_dir():
        raise NoAppError(f"{root} is no folder: name a function app's folder, or make one: fastworker new DIR")
    if not (is_loopback(arguments.address) or arguments.auth or arguments.no_auth):
        raise OpenToTheNetworkError(
            f"--address {arguments.address} would let the network run the app's functions and the admin endpoints: "
            f"give --auth to ask for keys, or --no-auth if everybody there may"
        )
    console = Console()
    options = DevOptions(
        root=root,
        address=arguments.address,
        port=arguments.port,
        auth=arguments.auth,
        reload=not arguments.no_reload,
        azurite=arguments.azurite,
        max_poll_s=arguments.max_poll,
        strict=arguments.strict,
        prepare=None if arguments.no_sync else _Sync(console, arguments.app).run,
    )

    async def session() -> int:
        return await Session(options, dict(os.environ), console).run()

    return asyncio.run(session())


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        "dev",
        flag_hints.DEV,
        description="Run a function app on a local stand-in for the Azure Functions host. Runs any custom handler.",
    )
    parser.add_argument("dir", nargs="?", default=".", metavar="DIR", help="the app's folder (default: this one)")
    parser.add_argument(
        "--port",
        "-p",
        type=_port,
        help=f"of the front (default: local.settings.json's LocalHttpPort, or {DEFAULT_PORT})",
    )
    parser.add_argument(
        *("--address", "--host"),
        default="127.0.0.1",
        help="to listen on (default: 127.0.0.1); others need --auth or --no-auth",
    )
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--auth", action="store_true", help="enforce auth levels; prints the keys")
    keys.add_argument("--no-auth", action="store_true", help="no keys, also where --address lets the network in")
    parser.add_argument("--reload", action="store_true", help="start anew when files change, as it does anyway")
    parser.add_argument("--no-reload", action="store_true", help="do not start anew when files change")
    parser.add_argument("--app", metavar="APP", help="file or module:attribute in DIR, if host.json does not name it")
    parser.add_argument("--no-sync", action="store_true", help="do not write function.json from the decorators")
    parser.add_argument(
        "--strict", action="store_true", help="refuse what the cloud would not run, and end when the host there would"
    )
    parser.add_argument("--azurite", action="store_true", help="start Azurite, data in DIR/.fastworker/azurite")
    parser.add_argument(
        "--max-poll", type=_seconds, metavar="SECONDS", help="longest pause between looks at a queue or container"
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text}")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"seconds above 0, not {text}")
    return seconds


class _Sync:
    """Runs `fastworker sync` in a process of its own: the app is imported anew each time, and never in here."""

    def __init__(self, console: Console, app: str | None) -> None:
        self._console = console
        self._app = app

    async def run(self, root: Path) -> None:
        environ = dict(read_app_settings(root, os.environ).values)
        if self._app is not None:
            refuse_another_app(root, environ, self._app)
        elif not uses_fastworker(root, environ):
            return
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fastworker", "sync", str(root), "--quiet"),
            *(() if self._app is None else ("--app", self._app)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the session, which then ends in order
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # an import may take as long as it likes
            await process.wait()
            raise
        for line in out.decode("utf-8", "replace").splitlines():
            self._console.info(line)
        if process.returncode:
            problem = err.decode("utf-8", "replace").strip().removeprefix("fastworker: ")
            if is_native(root):
                raise SyncFailedError(problem)
            # As `func start` does with an azure.functions app that cannot be indexed.
            self._console.error(problem)


def is_native(root: Path) -> bool:
    """Whether the folder has a function_app.py that was written for fastworker."""
    return "fastworker" in _text(root / "function_app.py")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def uses_fastworker(root: Path, environ: Mapping[str, str]) -> bool:
    """Whether the folder's app is for fastworker: its code says so, or the handler that host.json starts.

    Where host.json starts nothing, any app that fastworker could serve is one: sync then writes what is missing.
    """
    if is_native(root) or started_app(root, environ) is not None:
        return True
    host = host_json_of(root, environ)
    return holds_app(root) and not (host.problems or (host.has_handler and (root / "host.json").exists()))


def refuse_another_app(root: Path, environ: Mapping[str, str], named: str) -> None:
    """Raises OtherAppError if host.json's command, which dev starts, serves another app than the one of --app."""
    if not host_json_of(root, environ).description.executable:
        return  # sync will write it
    started = started_app(root, environ)
    if started is None or (started.app or ".") != named:
        what = "does not start fastworker" if started is None else f"starts {started.app or 'the app of the folder'}"
        raise OtherAppError(
            f"--app {named}: the command in {root / 'host.json'} {what}, and dev runs what the host would: change its "
            f'"arguments" to ["-m", "fastworker", "serve", "{named}"]'
        )
