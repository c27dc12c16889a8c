"""Packages for the target: wheels only, by uv or pip, and the fastworker that runs.

Used by commands/pack.py. Rule: nothing is built here: a source distribution is built for this machine.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

import fastworker
from fastworker.foreign import DISTRIBUTION
from fastworker.packing.errors import PackError
from fastworker.packing.requirements import wanted

ARCHITECTURES: Final = ("x86_64", "aarch64")
# The Functions images are Debian 11 and 12: glibc 2.31 is the older one's.
GLIBC: Final = 31
OLD_NAMES: Final = {"x86_64": ("manylinux2014", "manylinux2010", "manylinux1"), "aarch64": ("manylinux2014",)}
# Of this machine (a path, a shebang), or of no use in Azure; left out for the same bytes everywhere.
LEFT_OUT: Final = ("direct_url.json", "INSTALLER", "REQUESTED")


class Target(NamedTuple):
    """What the packages are for: a Python ("3.12") and a machine ("x86_64")."""

    python: str
    architecture: str

    def __str__(self) -> str:
        return f"Python {self.python} on Linux {self.architecture}"


def install(root: Path, site: Path, target: Target) -> None:
    """Puts the app's packages and fastworker into the folder `site`.

    Raises:
        PackError: a package that has no wheel for the target, or does not exist; no installer here.
    """
    site.mkdir(parents=True)
    lines = wanted(root)
    listed = site.parent / "requirements.txt"
    listed.write_text("\n".join(lines) + "\n")
    command = _installer(site, listed, target)
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    listed.unlink()
    if done.returncode:
        raise PackError(_reason(done.stderr, target))
    shutil.rmtree(site / "bin", ignore_errors=True)  # programs whose first line names the Python of this machine
    for info in sorted(site.glob("*.dist-info")):
        _make_the_same(info)
    _copy_fastworker(site)


def _installer(site: Path, listed: Path, target: Target) -> Sequence[str]:
    uv = shutil.which("uv")
    if uv is not None:
        platform = f"{target.architecture}-manylinux_2_{GLIBC}"
        options = ["--python-version", target.python, "--python-platform", platform, "--only-binary", ":all:"]
        return [uv, "pip", "install", "--quiet", "--target", str(site), *options, "-r", str(listed)]
    if importlib.util.find_spec("pip") is None:
        raise PackError("no installer of packages is here: install uv, or run python -m ensurepip")
    tags = [f"manylinux_2_{minor}_{target.architecture}" for minor in range(GLIBC, 4, -1)]
    tags += [f"{name}_{target.architecture}" for name in OLD_NAMES[target.architecture]]
    options = [part for tag in tags for part in ("--platform", tag)]
    options += ["--python-version", target.python, "--implementation", "cp", "--only-binary", ":all:"]
    quiet = ["--quiet", "--no-compile", "--no-input", "--disable-pip-version-check"]
    return [sys.executable, "-m", "pip", "install", *quiet, "--target", str(site), *options, "-r", str(listed)]


def _reason(text: str, target: Target) -> str:
    """One line for what the installer says at length; the whole of it where it says something else."""
    found = re.search(r"No matching distribution found for (\S+)", text)
    if found is None:
        found = re.search(r"Because (\S+) has no (?:usable )?wheels", text)
    if found is None:
        return f"the packages cannot be installed for {target}:\n{text.strip()}"
    return (
        f"{found[1]} has no wheel for {target}, or no such version exists: choose a version that has one "
        f"(pip index versions {re.split('[<>=!~ ]', found[1])[0]}), or another --python"
    )


def _make_the_same(info: Path) -> None:
    for name in LEFT_OUT:
        (info / name).unlink(missing_ok=True)
    record = info / "RECORD"
    if record.exists():
        lines = record.read_text().splitlines()
        kept = [line for line in lines if not line.startswith("../") and not _is_left_out(line)]
        record.write_text("\n".join(sorted(kept)) + "\n")


def _is_left_out(line: str) -> bool:
    path = line.partition(",")[0]
    return path.endswith((*LEFT_OUT, ".pyc")) or path.startswith("bin/")


def _copy_fastworker(site: Path) -> None:
    """The package that runs, with the metadata by which it is known as installed."""
    source = Path(fastworker.__file__).parent
    shutil.copytree(source, site / "fastworker", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    distribution = metadata.distribution(DISTRIBUTION)
    info = site / f"{DISTRIBUTION.replace('-', '_')}-{distribution.version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(distribution.read_text("METADATA") or "")
