"""`fastworker sync [DIR] [--check] [--prune] [--tune]`: host.json and function.json files from the decorators.

Called by cli.py, and by `fastworker dev` before each start. host_section.py writes host.json.
Rule: a file that says the same already is left as it is, whatever its layout; nothing is removed but by --prune.
"""

import difflib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from fastworker import flag_hints
from fastworker.commands.app_target import app_target, server_settings
from fastworker.commands.concurrency import Handler, tuned
from fastworker.commands.host_keys import with_number
from fastworker.commands.host_section import handler_section, new_host_json, render, with_handler
from fastworker.commands.parser import CommandParser
from fastworker.config.app_files import function_folders, function_json_of
from fastworker.config.config_files import ConfigFileError, JsonFile
from fastworker.cpus import usable_cpus
from fastworker.devhost.appsettings import read_app_settings
from fastworker.functions.declarations import STORAGE
from fastworker.functions.http_mode import Mode, fitting_mode
from fastworker.functions.loaded_app import LoadedApp, load_app
from fastworker.protocol.bindings import to_json

OUT_OF_DATE: Final = 1
NOT_TUNED: Final = 2
# For an app that has run under the official worker, or under no host at all.
IN_AZURE: Final = (
    "app settings that it needs in Azure: FUNCTIONS_WORKER_RUNTIME=custom and "
    "PYTHONPATH=/home/site/wwwroot/.python_packages/lib/site-packages (docs/migrating.md)"
)


class Change(NamedTuple):
    """A file that does not say what the decorators say."""

    path: Path
    before: str
    after: str


def main(argv: Sequence[str]) -> int:
    """0 when all is in step (or was written); with --check 1 when something is out of date."""
    parser = CommandParser("sync", flag_hints.SYNC, description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("dir", nargs="?", default=".", metavar="DIR", help="the app's folder (default: this one)")
    parser.add_argument("--app", metavar="APP", help="file or module:attribute in DIR, if host.json does not name it")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is out of date")
    parser.add_argument(
        "--prune", action="store_true", help="remove function.json of functions that the app no longer has"
    )
    parser.add_argument(
        "--tune",
        nargs="?",
        type=int,
        const=0,
        metavar="WORKERS",
        help="write host.json's concurrency keys for so many workers (default: the server's own)",
    )
    parser.add_argument("--quiet", action="store_true", help="one line per written file, and nothing if there is none")
    arguments = parser.parse_args(argv)
    root = Path(arguments.dir)
    for name, value in read_app_settings(root, os.environ).values.items():
        os.environ.setdefault(name, value)  # what the app reads at its import
    host_settings = dict(os.environ)
    app = app_target(root, host_settings, arguments.app)
    loaded = load_app(app.target, app_root=str(root), base=app.base, host_settings=host_settings, strict=True)
    changes = planned_changes(loaded, root, app.target if app.is_named else None)
    if arguments.tune is not None:
        server = server_settings(root, host_settings)
        workers = arguments.tune or server.workers or usable_cpus()
        try:
            changes = with_tuned_host(loaded, root, changes, workers, server.concurrency or loaded.app.concurrency)
        except ConfigFileError as error:
            print(f"fastworker sync: {error}", file=sys.stderr)
            return NOT_TUNED
    strays = stray_files(loaded, root)
    told = _told_of_mode(loaded, changes, root, quiet=arguments.quiet)
    pruned = strays if arguments.prune else []
    for line in (*_told_by_sync(loaded), *(() if pruned else _told_of_strays(loaded, strays)), *told):
        print(f"fastworker sync: {line}", file=sys.stderr)
    for change in changes:
        if not arguments.check:
            change.path.parent.mkdir(exist_ok=True)
            change.path.write_bytes(change.after.encode())
        if arguments.quiet:
            print(f"{'written' if not arguments.check else 'out of date'}: {change.path}")
        else:
            print(_diff(change), end="")
    for path in pruned:
        print(f"{'to be removed' if arguments.check else 'removed'}: {path}{'' if arguments.check else _prune(path)}")
    if arguments.check:
        return OUT_OF_DATE if changes or strays else 0
    if not changes and not pruned and not arguments.quiet:
        count = len(loaded.functions)
        print(f"{root}: everything is in step ({count} function{'' if count == 1 else 's'})")
    return 0


def _told_by_sync(loaded: LoadedApp) -> list[str]:
    """The warnings of the app, but for folders without a function, of which `_told_of_strays` tells more."""
    never = "never runs: host.json makes http functions by its routes or its profile, and then the host reads no others"
    unknown = [
        f"{f.trigger.where}: function {name!r} has a {f.trigger.type} and {never}"
        for name, f in loaded.functions.items()
        if loaded.host.http_routes and f.trigger.key != "httptrigger"
    ]
    return [*unknown, *(line for line in loaded.warnings if "the host knows a function" not in line)]


def _mode(loaded: LoadedApp) -> Mode:
    return fitting_mode(list(loaded.functions.values()), loaded.routes, loaded.host.route_prefix)


def _told_of_mode(loaded: LoadedApp, changes: Sequence[Change], root: Path, *, quiet: bool) -> list[str]:
    """Which mode a new host.json has, and that one without a switch could have a faster one."""
    mode = _mode(loaded)
    host = root / "host.json"
    if any(change.path == host for change in changes):
        return [*([f"{host}: {mode.why}"] if mode.why else []), *([IN_AZURE] if loaded.app.kind else [])]
    if quiet:
        return []
    if mode.switch is not None and loaded.host.http_mode == "envelope" and loaded.host.has_handler:
        return [f'{host}: the app qualifies for "customHandler": {{"{mode.switch}": true}}: {mode.why}']
    return []


def planned_changes(loaded: LoadedApp, root: Path, named: str | None = None) -> list[Change]:
    """The files to write, sorted by name. `named` is the app that a new command in host.json is to name."""
    changes = []
    host = root / "host.json"
    if not host.exists():
        changes.append(Change(host, "", render(new_host_json(_mode(loaded), named, loaded.host.route_prefix))))
    elif not loaded.host.has_handler:
        before = host.read_bytes().decode("utf-8-sig")
        changes.append(Change(host, before, with_handler(before, handler_section(_mode(loaded), named))))
    if loaded.host.http_routes:
        return changes  # host.json makes the functions: one file beside it, and the host starts none of them
    decorated = {d.function_name for d in loaded.app.declarations if d.bindings}
    members = {d.function_name: d.members for d in loaded.app.declarations}
    for name, function in sorted(loaded.functions.items()):
        if name not in decorated:
            continue  # bound by name: its function.json is the source
        path = root / name / "function.json"
        document = {"bindings": [to_json(binding) for binding in function.bindings], **members[name]}
        before = path.read_text() if path.exists() else ""
        if not _same_bindings(path, document["bindings"]) or not _has_members(before, members[name]):
            changes.append(Change(path, before, render(_keeping_others(before, document))))
    return changes


def with_tuned_host(
    loaded: LoadedApp, root: Path, changes: Sequence[Change], workers: int, concurrency: int
) -> list[Change]:
    """`changes`, and host.json's concurrency keys for so many workers (docs/tuning.md). Raises ConfigFileError."""
    path = root / "host.json"
    planned = next((change for change in changes if change.path == path), None)
    text = before = path.read_bytes().decode("utf-8-sig") if planned is None else planned.after
    handlers = [Handler(f.name, f.trigger.key, f.is_async) for f in loaded.functions.values()]
    for keys, number in tuned(handlers, workers, concurrency).items():
        text = with_number(text, keys, number)
    if text == before:
        return list(changes)
    others = [change for change in changes if change is not planned]
    return [Change(path, before if planned is None else planned.before, text), *others]


def stray_files(loaded: LoadedApp, root: Path) -> list[Path]:
    """function.json files that no function of the app stands behind; the host would offer them all the same."""
    names = set() if loaded.host.http_routes else {name.lower() for name in loaded.functions}
    return [path for path in function_folders(root) if path.parent.name.lower() not in names]


def _told_of_strays(loaded: LoadedApp, strays: Sequence[Path]) -> list[str]:
    return [
        f"{path}:1: host.json makes the functions by its routes or its profile, and then the host wants no "
        f"function.json: run fastworker sync --prune"
        if loaded.host.http_routes
        else f"{path}:1: the app has no function {path.parent.name!r}: if it was renamed or removed, run fastworker "
        f"sync --prune, else add the function"
        for path in strays
    ]


def _prune(path: Path) -> str:
    """Removes a function.json, and its folder where nothing else of the user's lies there; says what stays."""
    path.unlink()
    folder = path.parent
    rest = sorted(p.name for p in folder.iterdir() if p.name != "__pycache__")
    if rest:
        return f" ({folder.name}/ stays, it has {', '.join(rest)})"
    shutil.rmtree(folder)
    return ""


def _same_bindings(path: Path, wanted: list[dict[str, Any]]) -> bool:
    """Whether the file declares the same bindings, in whatever layout, order and spelling of defaults."""
    try:
        found = [to_json(binding) for binding in function_json_of(path).bindings]
    except (FileNotFoundError, ConfigFileError):
        return False
    return _meanings(path.parent.name, found) == _meanings(path.parent.name, wanted)


def _has_members(text: str, members: dict[str, Any]) -> bool:
    """Whether a function.json has these members beside its bindings."""
    if not members:
        return True
    document = JsonFile("function.json", text.encode()).document  # it has just been read
    return all(document.get(name) == value for name, value in members.items())


def _meanings(function: str, bindings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By binding name, what the host makes of each: its defaults filled in."""
    found = {}
    for members in bindings:
        kind = members["type"].lower()
        meaning = {**members, "type": kind, "direction": members.get("direction", "in")}
        if kind == "httptrigger":
            meaning["route"] = members.get("route") or function
            meaning["authLevel"] = str(members.get("authLevel") or "function").lower()
            meaning["methods"] = sorted(str(method).lower() for method in members.get("methods") or ())
        if meaning.get("connection") == STORAGE:
            del meaning["connection"]
        found[members["name"]] = meaning
    return found


def _keeping_others(before: str, document: dict[str, Any]) -> dict[str, Any]:
    """Members that no decorator writes, such as `retry` and `disabled`, stay as they are."""
    try:
        known = JsonFile("function.json", before.encode()).document
    except ConfigFileError:
        known = {}
    return {**known, **document}


def _diff(change: Change) -> str:
    before, after = change.before.splitlines(keepends=True), change.after.splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, str(change.path) if before else "/dev/null", str(change.path)))
