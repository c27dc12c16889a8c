"""Which app a command is about: the one of --app, else what host.json's command names, else what the folder holds.

Used by sync, dev and invoke, and for whatever else loads an app from its folder.
Rule: host.json's command is read as the host reads it, and the words behind `serve` as `serve` reads them.
"""

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from fastworker.config.app_files import host_json_of
from fastworker.devhost.arguments import build_command, split_arguments
from fastworker.settings import Settings, app_argument, parse_settings


class AppTarget(NamedTuple):
    """`target` is for `load_app`, and `base` the folder from which it is found. `is_named` is False for a search."""

    target: str
    base: Path
    is_named: bool


class StartedApp(NamedTuple):
    """What host.json's command serves: its APP argument (None: what lies in `folder`), and where it is started.

    `words` are all that stands behind `serve`.
    """

    app: str | None
    folder: Path
    words: tuple[str, ...] = ()


def app_target(root: Path, environ: Mapping[str, str], named: str | None = None) -> AppTarget:
    """The app of the folder `root`; `named` is what --app says, as host.json's command would.

    `environ` is the host's environment, app settings included.
    """
    root = root.absolute()
    if named is not None:
        return AppTarget(named, root, is_named=True)
    started = started_app(root, environ)
    if started is None:
        return AppTarget(".", root, is_named=False)
    return AppTarget(started.app or ".", started.folder, is_named=started.app is not None)


def server_settings(root: Path, environ: Mapping[str, str]) -> Settings:
    """The settings of the server that host.json's command starts. Raises SettingsError."""
    started = started_app(root, environ)
    names = {"FUNCTIONS_CUSTOMHANDLER_PORT": "0", **environ}  # the host would name one
    return parse_settings(() if started is None else started.words, names)


def started_app(root: Path, environ: Mapping[str, str]) -> StartedApp | None:
    """The app that host.json's command starts by `fastworker serve`; None if it starts something else, or nothing."""
    description = host_json_of(root, environ).description
    command = build_command(description, root, environ, {})
    words = [command.executable, *split_arguments(command.arguments)]
    for index in range(1, len(words)):
        if words[index] == "serve" and PurePath(words[index - 1]).name == "fastworker":
            folder = command.cwd if command.cwd.is_dir() else root
            rest = words[index + 1 :]
            return StartedApp(app_argument(rest), folder.absolute(), tuple(rest))
    return None
