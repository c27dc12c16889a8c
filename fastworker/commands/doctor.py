"""`fastworker doctor [DIR] [--json]`: what this machine, this app and its configuration contradict.

Called by cli.py; doctor_checks.py judges.
Rule: collects facts, as the server itself would find them, and changes nothing. Exit 1 on a contradiction.
"""

import importlib.metadata
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from fastworker import flag_hints
from fastworker.commands.app_target import app_target, server_settings
from fastworker.commands.doctor_checks import Facts, Finding, FunctionFacts, Package, findings
from fastworker.commands.parser import CommandParser
from fastworker.config.app_files import host_json_of
from fastworker.cpus import THREAD_VARIABLES, memory_bytes, thread_variables, usable_cpus
from fastworker.devhost.appsettings import read_app_settings
from fastworker.errors import FastworkerError, SettingsError
from fastworker.functions.loaded_app import host_timeout_s, load_app
from fastworker.ipc.linux import resident_bytes
from fastworker.settings import Settings
from fastworker.zygote.native_threads import lost_in_a_fork

DISTRIBUTION: Final = "fastworker-functions"
# The server's own, with the least version where this one is not installed as a package (pyproject.toml).
NEEDED: Final = {"uvloop": "0.21", "httptools": "0.6.4", "orjson": "3.10", "msgspec": "0.19"}
REQUIREMENT: Final = re.compile(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9][0-9.]*)$")


def main(argv: Sequence[str]) -> int:
    """0 when nothing contradicts, 1 when something does."""
    parser = CommandParser("doctor", flag_hints.DOCTOR, description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("dir", nargs="?", default=".", metavar="DIR", help="the app's folder (default: this one)")
    parser.add_argument("--app", metavar="APP", help="file or module:attribute in DIR, if host.json does not name it")
    parser.add_argument("--json", action="store_true", help="facts and findings for a program")
    parser.add_argument("--host-version", default="", metavar="VERSION", help="of the Functions host, such as 4.1037")
    arguments = parser.parse_args(argv)
    root = Path(arguments.dir)
    for name, value in read_app_settings(root, os.environ).values.items():
        os.environ.setdefault(name, value)
    given = {name: os.environ[name] for name in THREAD_VARIABLES if os.environ.get(name)}
    facts = collect(root, dict(os.environ), arguments.app, arguments.host_version, given)
    found = findings(facts)
    if arguments.json:
        print(msgspec.json.encode({"facts": summary(facts), "findings": found}).decode())
    else:
        _show(facts, found)
    return 1 if any(finding.level == "contradiction" for finding in found) else 0


def collect(
    root: Path, environ: Mapping[str, str], app: str | None, host_version: str, given: Mapping[str, str]
) -> Facts:
    """What there is. Imports the app; `given` are the thread limits that the environment has itself."""
    cpus = usable_cpus()
    problems: list[str] = []
    try:
        settings = server_settings(root, environ)
    except SettingsError as error:
        problems += error.problems
        settings = Settings(port=0)
    host = host_json_of(root, environ)
    facts = Facts(
        settings=settings,
        host=host,
        host_timeout_s=host_timeout_s(host, settings.limits),
        cpus=cpus,
        memory_bytes=memory_bytes(),
        packages=packages(),
        host_version=host_version,
        thread_limits=dict(given),
    )
    # As serve does before the import, for what the import starts depends on it.
    for name, value in thread_variables(settings.threads, cpus=cpus, workers=facts.workers).items():
        os.environ.setdefault(name, value)
    target = app_target(root, environ, app)
    try:
        loaded = load_app(target.target, app_root=str(root), base=target.base, host_settings=environ)
    except FastworkerError as error:
        told = getattr(error, "problems", (str(error),))
        return msgspec.structs.replace(facts, problems=(*problems, *told))
    functions = tuple(FunctionFacts(f.name, f.trigger.key, f.is_async, f.deadline_s) for f in loaded.functions.values())
    return msgspec.structs.replace(
        facts,
        host=loaded.host,
        host_timeout_s=host_timeout_s(loaded.host, settings.limits),
        resident_bytes=resident_bytes(os.getpid()),
        concurrency=settings.concurrency or loaded.app.concurrency,
        functions=functions,
        lost_threads=lost_in_a_fork(),
        problems=tuple(problems),
    )


def packages() -> tuple[Package, ...]:
    """The libraries that the server needs, as this environment has them."""
    needed = dict(NEEDED)
    try:
        for requirement in importlib.metadata.requires(DISTRIBUTION) or ():
            if (match := REQUIREMENT.match(requirement)) and match[1] in needed:
                needed[match[1]] = match[2]
    except importlib.metadata.PackageNotFoundError:
        pass
    return tuple(Package(name, _installed(name), least) for name, least in needed.items())


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def summary(facts: Facts) -> dict[str, Any]:
    """The facts in short."""
    timeout = facts.host_timeout_s
    return {
        "python": sys.version.split()[0],
        "cpus": facts.cpus,
        "memory_bytes": facts.memory_bytes,
        "workers": facts.workers,
        "concurrency": facts.concurrency,
        "resident_bytes": facts.resident_bytes,
        "deadline_s": facts.settings.limits.server_s,
        "function_timeout_s": timeout,
        "http_mode": facts.host.http_mode,
        "functions": {f.name: "async def" if f.is_async else "def" for f in facts.functions},
        "packages": {package.name: package.installed for package in facts.packages},
    }


def _show(facts: Facts, found: Sequence[Finding]) -> None:
    told = summary(facts)
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in told["packages"].items())
    timeout = "not set" if facts.host_timeout_s is None else f"{facts.host_timeout_s:g} s"
    kinds = [told["functions"][f.name] for f in facts.functions]
    print(f"machine   {facts.cpus} usable CPUs, {facts.memory_bytes // 2**20} MiB; Python {told['python']}; {versions}")
    print(
        f"server    {facts.workers} workers, {facts.concurrency} async invocations in each; deadline "
        f"{told['deadline_s']:g} s, functionTimeout {timeout}; {facts.host.http_mode} mode"
    )
    print(
        f"app       {kinds.count('def')} def and {kinds.count('async def')} async def functions; "
        f"{facts.resident_bytes // 2**20} MiB once imported"
    )
    for finding in found:
        print(f"\n{finding.level} ({finding.subject}): {finding.what}\n    change: {finding.change}")
    if not found:
        print("\nnothing contradicts")
