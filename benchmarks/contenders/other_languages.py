"""What the documentation shows instead of Python: its Express server, and Go. They have `order` and `echo` only.

Sources are in apps/; express is installed and the Go server built into cache() when first asked for. Rule: nothing is
installed outside the cache, and what the machine lacks (node, go) is named together with the way to get it.
"""

import json
import shutil
from pathlib import Path
from typing import Final

from benchmarks.contenders.interface import Contender, Launch, cache, failure

APPS: Final = Path(__file__).with_name("apps")
EXPRESS_VERSION: Final = "5.3.0"
NO_COMPUTING: Final = "order and echo only"


def _express_folder() -> Path:
    return cache() / "express"


def _express_absent() -> str | None:
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        return f"no {' and no '.join(missing)} on this machine (Debian: apt-get install nodejs npm)"
    folder = _express_folder()
    folder.mkdir(exist_ok=True)
    shutil.copy(APPS / "server.js", folder)
    installed = folder / "node_modules" / "express" / "package.json"
    if installed.exists() and json.loads(installed.read_text())["version"] == EXPRESS_VERSION:
        return None
    folder.joinpath("package.json").write_text('{"private": true}\n')
    wanted = f"express@{EXPRESS_VERSION}"
    return failure(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", wanted], folder)


def _express(launch: Launch) -> list[str]:
    return ["node", str(_express_folder() / "server.js")]


def _go_absent() -> str | None:
    if shutil.which("go") is None:
        return "no go on this machine (Debian: apt-get install golang-go)"
    source = APPS / "server.go"
    return failure(["go", "build", "-o", str(cache() / "go-server"), str(source)], cache())


def _go(launch: Launch) -> list[str]:
    return [str(cache() / "go-server")]


def _port(launch: Launch) -> dict[str, str]:
    return {"FUNCTIONS_CUSTOMHANDLER_PORT": str(launch.port)}


CONTENDERS: Final = [
    Contender(
        "express",
        _express,
        _express_absent,
        conditions=f"the documentation's sample on express {EXPRESS_VERSION}: one process; {NO_COMPUTING}",
        environ=_port,
        functions=frozenset({"order", "echo"}),
    ),
    Contender(
        "go",
        _go,
        _go_absent,
        conditions=f"net/http and encoding/json, one process with GOMAXPROCS = processes; {NO_COMPUTING}",
        environ=lambda launch: {**_port(launch), "GOMAXPROCS": str(launch.processes)},
        functions=frozenset({"order", "echo", "plain"}),
    ),
]
