"""A real Azurite for tests: the npm package, installed once into a folder that CI can keep."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fastworker.devhost.app import free_port
from fastworker.devhost.azurite import Azurite
from fastworker.devhost.console import Console
from fastworker.devhost.storage import azurite_string

# Pinned: a newer one that no longer installs or starts must not turn CI red over night.
PACKAGES = {"azurite": "3.35.0", "express": "4.21.2"}
NODE_FOLDER = Path(os.environ.get("FASTWORKER_TEST_NODE") or Path.home() / ".cache" / "fastworker-tests" / "node")


class AzuriteServer(NamedTuple):
    """Where it is."""

    connection_string: str


def node_modules(*names: str) -> Path:
    """The folder with these packages; installs them if they are not there. Skips where Node is missing."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs node and npm, which are not on this machine")
    modules = NODE_FOLDER / "node_modules"
    missing = [name for name in names if not (modules / name / "package.json").exists()]
    if missing:
        NODE_FOLDER.mkdir(parents=True, exist_ok=True)
        wanted = [f"{name}@{PACKAGES[name]}" for name in missing]
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(NODE_FOLDER), *wanted],
            check=True,
            timeout=240,
            capture_output=True,
        )
    return modules


def start_azurite(data: Path) -> Iterator[AzuriteServer]:
    """Runs Azurite until the session is over."""
    modules = node_modules("azurite")
    ports = {name: free_port() for name in ("blob", "queue", "table")}
    loop = asyncio.new_event_loop()
    server = Azurite(data, Console(), ports, command=[str(modules / ".bin" / "azurite")])
    with contextlib.closing(loop):
        loop.run_until_complete(server.__aenter__())
        try:
            yield AzuriteServer(azurite_string(**ports))
        finally:
            loop.run_until_complete(server.__aexit__(None, None, None))
