"""The official Python worker, which speaks gRPC to the host, and so cannot be driven over HTTP as the others are.

Two of it: all of azure-functions-worker as it was last on PyPI, and today's azure-functions-runtime in a stand-in of
the process around it, which is not on PyPI. apps/official/ has the host stand-in that starts it, bridges HTTP to it for
the check of its answers, and drives it through grpcio; load.py asks for that. Rule: versions are pinned, for the rows'
conditions tell them.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.contenders.interface import Contender, Launch, cache, failure

APP: Final = Path(__file__).with_name("apps") / "official"
PROTOCOL: Final = "functions_protocol"


@dataclass(frozen=True)
class Worker:
    """One form of the worker: the versions of Python that it runs on, what to install, and how it is started."""

    name: str
    pythons: tuple[str, ...]
    packages: tuple[str, ...]
    protos: str
    arguments: tuple[str, ...]
    indexes: bool
    prepare: Callable[[Path], None] = lambda environment: None

    def absent(self) -> str | None:
        """Why it cannot be had here, or None; installs it into cache() when first asked."""
        return self._installed()

    def command(self, launch: Launch) -> list[str]:
        """The host stand-in, told how to start the worker."""
        python = str(self._environment() / "bin" / "python")
        options = {
            "app": str(APP),
            "command": [python, *self.arguments],
            "indexes": self.indexes,
            "port": launch.port,
            "processes": launch.processes,
            "protos": self.protos,
        }
        return [python, str(APP / "host.py"), json.dumps(options)]

    def _environment(self) -> Path:
        return cache() / self.name

    def _installed(self) -> str | None:
        environment, wanted = self._environment(), "\n".join(self.packages)
        ready = environment / "ready"
        if ready.exists() and ready.read_text() == wanted:
            return None
        interpreter = _interpreter(self.pythons)
        if interpreter is None:
            return f"needs Python {' or '.join(self.pythons)}, and none is on this machine (looked in PATH and pyenv)"
        shutil.rmtree(environment, ignore_errors=True)
        # Binaries only: to compile grpcio takes longer than the whole suite.
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
        make = [interpreter, "-m", "venv", str(environment)]
        for command in (make, [str(environment / "bin" / "python"), *install, *self.packages]):
            if problem := failure(command):
                return problem
        self.prepare(environment)
        ready.write_text(wanted)
        return None


def _interpreter(versions: Sequence[str]) -> str | None:
    """An interpreter of one of `versions`, in PATH or under pyenv; each is asked for its version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in versions:
        installed = sorted(str(path) for path in pyenv.glob(f"{version}.*/bin/python"))
        for found in [shutil.which(f"python{version}"), *installed]:
            if found and _says(found) == version:
                return found
    return None


def _says(interpreter: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def _place_protocol(environment: Path) -> None:
    """The compiled protocol is in a wheel's `tests`, a name that anybody's tests have: so it gets one of its own."""
    (packages,) = environment.glob("lib/python*/site-packages")
    shutil.copytree(packages / "tests" / "protos", packages / PROTOCOL)


WHOLE: Final = Worker(
    "azure-functions-worker",
    pythons=("3.8",),
    packages=("azure-functions-worker==1.1.9", "azure-functions==1.5.0"),
    protos="azure_functions_worker.protos",
    arguments=("-m", "azure_functions_worker"),
    indexes=False,
)
LIBRARY: Final = Worker(
    "azure-functions-runtime",
    pythons=("3.13", "3.14"),
    packages=(
        "azure-functions-runtime==1.3.0",
        "azure-functions-runtime-v1==1.2.0",
        "azure-functions==2.3.0",
        "grpcio~=1.70.0",
        "protobuf~=5.29.0",
    ),
    protos=PROTOCOL,
    arguments=(str(APP / "proxy.py"), "--app", str(APP)),
    indexes=True,
    prepare=_place_protocol,
)
DRIVEN: Final = "driven by a host stand-in over grpcio, without the host's own work and without HTTP"

FUNCTIONS_OF_BOTH: Final = frozenset({"order", "echo", "work", "wait", "compute", "consume"})

CONTENDERS: Final = [
    Contender(
        WHOLE.name,
        WHOLE.command,
        WHOLE.absent,
        functions=FUNCTIONS_OF_BOTH,
        conditions="the whole official worker, but of 2020: 1.1.9, the last on PyPI, on Python 3.8 with grpcio 1.33, "
        f"and its one thread per process; {DRIVEN}",
        driven=True,
    ),
    Contender(
        LIBRARY.name,
        LIBRARY.command,
        LIBRARY.absent,
        functions=FUNCTIONS_OF_BOTH,
        conditions="today's official library, 1.3.0 with azure-functions 2.3.0, in a stand-in for its proxy worker, "
        "which is not on PyPI: a gRPC stream of the same make, on the grpcio (1.70) and protobuf (5.29) that the "
        f"library is tested with; Python 3.13 or newer, threads as by its default; {DRIVEN}",
        driven=True,
    ),
]
