"""Azurite in the background, for `fastworker dev --azurite`: Microsoft's storage emulator, a package of npm.

Used by session.py. Rule: what is started here is ended here; an Azurite that runs already is used and left alone.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fastworker.devhost.console import Console
from fastworker.devhost.private import private_folder
from fastworker.devhost.storage import AZURITE_PORTS, StorageError

START_S: Final = 60.0
POLL_S: Final = 0.05


class Azurite:
    """Data in `folder`, the usual ports unless others are given."""

    def __init__(
        self, folder: Path, console: Console, ports: dict[str, int] | None = None, command: list[str] | None = None
    ) -> None:
        self._folder = folder
        self._console = console
        self._ports = ports or AZURITE_PORTS
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        if all(_open(port) for port in self._ports.values()):
            self._console.info("Azurite runs already")
            return self
        private_folder(self._folder)
        services = [f"--{name}Port={port}" for name, port in self._ports.items()]
        command = [*(self._command or azurite_command()), "--silent", "--skipApiVersionCheck"]
        command += [f"--location={self._folder}", *services]
        log = self._folder / "azurite.log"
        with log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            async with asyncio.timeout(START_S):
                while not all(_open(port) for port in self._ports.values()):
                    if self._process.returncode is not None:
                        last = log.read_text(errors="replace").strip().splitlines()[-3:]
                        raise StorageError(f"Azurite ended at once ({' | '.join(last) or 'no output'}); see {log}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            await self._stop()
            raise StorageError(f"Azurite did not start within {START_S:g} s; see {log}") from None
        except asyncio.CancelledError:
            await self._stop()
            raise
        self._console.good(f"Azurite started, data in {self._folder}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)  # it writes its tables to disk
        try:
            async with asyncio.timeout(3):
                await self._process.wait()
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()


def azurite_command() -> list[str]:
    """How to start Azurite. Raises StorageError telling what to install."""
    if found := shutil.which("azurite"):
        return [found]
    local = Path("node_modules/.bin/azurite")
    if local.exists():
        return [str(local.absolute())]
    if npx := shutil.which("npx"):
        return [npx, "--yes", "azurite"]
    raise StorageError(
        "--azurite needs Node and the npm package azurite: npm install -g azurite; without them leave --azurite out, "
        "and the embedded store is used"
    )


def _open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
