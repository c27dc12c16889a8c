"""fastworker itself, as host.json would start it; the same without its spin; and the same of another source tree.

Rule: another tree brings the package only: functions, interpreter, dependencies and load side are this tree's, so that
nothing but the server differs.
"""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.contenders.interface import ROOT, Contender, Launch, cache, python
from benchmarks.rows import OURS

NO_SPIN: Final = f"{OURS}, no spin"
AGAINST: Final = f"{OURS} at "
PACKAGE: Final = "fastworker"


class NoSuchTreeError(Exception):
    """What was given to --against is neither a folder with the package nor a commit that has it."""


def _command(launch: Launch) -> list[str]:
    return python("-m", PACKAGE, "serve", str(launch.functions))


def _environ(launch: Launch) -> dict[str, str]:
    return {"FUNCTIONS_CUSTOMHANDLER_PORT": str(launch.port), "FASTWORKER_WORKERS": str(launch.processes)}


CONTENDERS: Final = [
    Contender(OURS, _command, environ=_environ, functions=frozenset({"order", "echo", "work", "wait", "plain"})),
    Contender(
        NO_SPIN,
        _command,
        environ=lambda launch: {**_environ(launch), "FASTWORKER_SPIN": "0"},
        conditions="FASTWORKER_SPIN=0: an idle worker blocks at once",
        functions=frozenset({"order", "echo"}),  # where there is work, nobody is idle for so short a time
    ),
]


def other_tree(given: str) -> Contender:
    """fastworker as it is in another folder, or at a commit of this repository. Raises NoSuchTreeError."""
    folder = Path(given).resolve()
    if (folder / PACKAGE).is_dir():
        if folder == ROOT:
            raise NoSuchTreeError(f"{given} is this very tree: there is nothing to compare")
        name, tree = folder.name, _fresh(folder.name)
        shutil.copytree(folder / PACKAGE, tree / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        name = (
            _git("rev-parse", "--verify", "--quiet", "--short=10", f"{given}^{{commit}}", given=given).decode().strip()
        )
        tree = _fresh(name)
        with tarfile.open(fileobj=io.BytesIO(_git("archive", name, PACKAGE, given=given))) as archive:
            archive.extractall(tree, filter="data")
    return Contender(
        AGAINST + name,
        _command,
        environ=_with_path(tree),
        conditions=f"the package of {name}, everything else of this tree",
        functions=CONTENDERS[0].functions,
    )


def _fresh(name: str) -> Path:
    tree = cache() / "trees" / name
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    return tree


def _with_path(tree: Path) -> Callable[[Launch], dict[str, str]]:
    return lambda launch: {**_environ(launch), "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)])}


def _git(*arguments: str, given: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip() or f"no such commit, and no folder with {PACKAGE}/ in it"
        raise NoSuchTreeError(f"{given}: {told}")
    return done.stdout
