"""The floor: a C server with a thread per connection, compiled when it is first asked for."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.contenders.interface import Contender, Launch, cache

SOURCE: Final = Path(__file__).with_name("floor.c")


def _binary() -> Path:
    return cache() / "floor"


def _absent() -> str | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return "no C compiler (cc, gcc) on this machine"
    command = [compiler, "-O2", "-pthread", "-o", str(_binary()), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"floor.c does not compile: {done.stderr.strip()[-300:]}"


def _command(launch: Launch) -> list[str]:
    return [str(_binary()), str(launch.port)]


CONTENDERS: Final = [
    Contender(
        "floor",
        _command,
        _absent,
        conditions="C, a thread per connection, blocking calls; answers order and echo only, and parses no JSON",
        functions=frozenset({"order", "echo", "plain"}),
    )
]
