"""`fastworker add PART...`: what an existing app needs to be deployed, made from its functions.

Called by cli.py, and by new.py for `--with`. Rule: never overwrites a file; either everything is written or nothing.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fastworker import flag_hints
from fastworker.commands.app_target import app_target
from fastworker.commands.parser import CommandParser
from fastworker.deployment.files import PARTS, Figures, part_files
from fastworker.devhost.appsettings import read_app_settings
from fastworker.errors import FastworkerError
from fastworker.functions.loaded_app import load_app
from fastworker.protocol.bindings import to_json

DRAIN_S = 30


class AddError(FastworkerError):
    """The files cannot be written there."""

    exit_code = 2


def main(argv: Sequence[str]) -> int:
    """Writes the files and names them."""
    parser = CommandParser("add", flag_hints.ADD, description="Add what deploys an app, made from its functions.")
    parser.add_argument("parts", nargs="+", metavar="PART", help=f"one or more of {', '.join(PARTS)}")
    parser.add_argument("--dir", default=".", metavar="DIR", help="the app's folder (default: this one)")
    add_figures(parser)
    arguments = parser.parse_args(argv)
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    root = Path(arguments.dir)
    if not root.is_dir():
        raise AddError(f"{root}: no such folder: name the app's by --dir")
    for path in add_parts(root, arguments.parts, arguments.python, arguments.workers):
        print(f"written: {path}")
    return 0


def add_figures(parser: CommandParser) -> None:
    """The arguments that `add` and `new --with` share."""
    parser.add_argument("--python", default=_this_python(), metavar="X.Y", help="in images and workflows (this one's)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of one pod, with a CPU each (default: 2)")


def add_parts(root: Path, parts: Iterable[str], python: str, workers: int) -> list[Path]:
    """Writes the parts' files below `root`; returns their paths, sorted.

    Raises:
        AddError: a file is there already, or a figure is out of range.
        AppLoadError: the app cannot be loaded.
    """
    if not 1 <= workers <= 64:
        raise AddError(f"--workers {workers}: 1 to 64, one for each CPU of a pod")
    figures = Figures(root.absolute().name, python, workers, DRAIN_S)
    functions = _functions(root)
    files: dict[str, str] = {}
    for part in dict.fromkeys(parts):
        files |= part_files(part, functions, figures)
    taken = [name for name in files if (root / name).exists()]
    if taken:
        raise AddError(f"{root} has {', '.join(taken)} already, and nothing is overwritten: move them away first")
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return sorted(root / name for name in files)


def _functions(root: Path) -> Mapping[str, list[dict[str, object]]]:
    for name, value in read_app_settings(root, os.environ).values.items():
        os.environ.setdefault(name, value)  # what the app reads at its import
    settings = dict(os.environ)
    app = app_target(root, settings)
    loaded = load_app(app.target, app_root=str(root), base=app.base, host_settings=settings, strict=True)
    return {name: [to_json(binding) for binding in f.bindings] for name, f in loaded.functions.items()}


def _this_python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"
