"""`fastworker new DIR`: a function app to begin with.

Called by cli.py. Rule: never overwrites a file; either everything is written or nothing.
"""

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from fastworker import __version__, flag_hints
from fastworker.commands import sync
from fastworker.commands.add import add_figures, add_parts
from fastworker.commands.parser import CommandParser
from fastworker.deployment.files import PARTS
from fastworker.errors import FastworkerError

TEMPLATES: Final = ("order", "http", "queue", "timer", "mcp", "empty")
# Parts of `add` without which a template is of no use.
MORE: Final = {"mcp": ("with/mcp",)}
SUFFIX: Final = ".tmpl"


class NewAppError(FastworkerError):
    """The app cannot be written there."""

    exit_code = 2


def main(argv: Sequence[str]) -> int:
    """Writes the files and says how to go on."""
    parser = CommandParser("new", flag_hints.NEW, description="Write a new function app.")
    parser.add_argument("dir", metavar="DIR", help="its folder, which may exist")
    parser.add_argument(
        "--template", default="order", choices=TEMPLATES, help="order (default): HTTP, queue and blob; or a single one"
    )
    parser.add_argument("--with", dest="parts", default="", metavar="PARTS", help=f"also {', '.join(PARTS)} (by comma)")
    add_figures(parser)
    arguments = parser.parse_args(argv)
    parts = [part for part in arguments.parts.split(",") if part]
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"--with: no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    root = Path(arguments.dir)
    files = new_files(arguments.template, root.absolute().name)
    _refuse_existing(root, {**files, "host.json": ""})  # which sync writes
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    # The functions' folders come from the decorators, here as ever after.
    sys.path_importer_cache.clear()
    with contextlib.redirect_stdout(io.StringIO()):
        sync.main([str(root), "--quiet"])
    if parts:
        add_parts(root, parts, arguments.python, arguments.workers)
    print(f"{root}: written from template {arguments.template!r}")
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        print(f"  {path.relative_to(root)}")
    print(f"\nnext:\n  cd {root}\n  fastworker dev\n{_hint(files['function_app.py'])}")
    return 0


def new_files(template: str, name: str) -> dict[str, str]:
    """Names and contents of a template's files, without the functions' folders."""
    base = Path(str(resources.files("fastworker"))) / "templates"
    found = {}
    for folder in ("common", template, *MORE.get(template, ())):
        for path in sorted((base / folder).rglob(f"*{SUFFIX}")):
            text = path.read_text().replace("{{name}}", name).replace("{{version}}", _release())
            found[str(path.relative_to(base / folder)).removesuffix(SUFFIX)] = text
    return found


def _refuse_existing(root: Path, files: dict[str, str]) -> None:
    if root.exists() and not root.is_dir():
        raise NewAppError(f"{root} is a file: name a folder")
    taken = [name for name in files if (root / name).exists()]
    taken += [str(path.relative_to(root)) for path in root.glob("*/function.json")]
    if taken:
        raise NewAppError(f"{root} has {', '.join(taken)} already, and nothing is overwritten: name another folder")


def _release() -> str:
    match = re.match(r"\d+\.\d+", __version__)
    return match[0] if match else "0.1"


def _hint(app_file: str) -> str:
    """The `Try it` lines of the template that follow `fastworker dev`."""
    lines = [line.strip() for line in app_file.split('"""')[1].splitlines()]
    after = [line for line in lines if line.startswith(("curl", "fastworker invoke"))]
    return "".join(f"  {line}\n" for line in after).rstrip("\n")
