"""The machine and the software that a row was measured with.

Called once per run by __main__.py. Rule: nothing that names the machine or its user is collected.
"""

import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.contenders.interface import ROOT
from fastworker.cpus import usable_cpus

# Of the server, of its peers, and of the official worker in its two forms.
PACKAGES: Final = frozenset({
    "httptools", "msgspec", "orjson", "uvloop", "numpy", "uvicorn", "gunicorn", "granian", "fastapi", "flask",
    "azure-functions", "azure-functions-worker", "azure-functions-runtime",
})  # fmt: skip


def machine() -> dict[str, Any]:
    """CPU, memory, kernel, versions, and the commit of the source tree (`+` when it has changes)."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text()),
        "cpus": psutil.cpu_count() or 1,
        "usable_cpus": usable_cpus(),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit(),
        "versions": versions(),
    }


def cpu_model(cpuinfo: str) -> str:
    """The first processor's name in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model", "Hardware"}:
            return value.strip()
    return platform.machine()


def commit() -> str:
    """The source tree's commit, or `unknown` outside of a clone."""
    head = _output(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
    if not head:
        return "unknown"
    return head + ("+" if _output(["git", "-C", str(ROOT), "status", "--porcelain", "-uno"]) else "")


def versions() -> dict[str, str]:
    """Of the Python packages that take part, and of the commands beside them."""
    found = {}
    for package in ("fastworker", *sorted(PACKAGES)):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    for name, command in (("node", ["node", "--version"]), ("go", ["go", "version"]), ("cc", ["cc", "--version"])):
        if shutil.which(command[0]):
            found[name] = next(iter(_output(command).splitlines()), "")
    return found


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
