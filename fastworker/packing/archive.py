"""The files of an app that go to Azure, by .funcignore, and the zip of them.

Used by commands/pack.py. Rule: the same files give the same bytes: sorted names, one date, two modes.
"""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Final

import pathspec

from fastworker.packing.errors import PackError

IGNORE_FILE: Final = ".funcignore"
# What Core Tools never deploys, and what is made on the way.
NEVER: Final = (
    ".git/",
    ".vscode/",
    ".gitignore",
    ".funcignore",
    "local.settings.json",
    ".venv/",
    "__pycache__/",
    "*.pyc",
    ".fastworker/",
    ".python_packages/",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
)
# The earliest date that a zip can tell.
DATE: Final = (1980, 1, 1, 0, 0, 0)
FILE_MODE, PROGRAM_MODE = 0o644, 0o755
LEVEL: Final = 6


def copy_app(root: Path, staging: Path, out: Path) -> None:
    """Copies what .funcignore leaves into `staging`. `out`, the zip itself, is never part of it.

    Raises:
        PackError: .funcignore cannot be read, or a link that leads nowhere.
    """
    ignored = pathspec.GitIgnoreSpec.from_lines([*NEVER, *_patterns(root)])
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = sorted(name for name in folders if not ignored.match_file(f"{(here / name).as_posix()}/"))
        for name in files:
            path = root / here / name
            if ignored.match_file((here / name).as_posix()) or path.absolute() == out.absolute():
                continue
            target = staging / here / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copy(path, target)
            except OSError as error:
                raise PackError(
                    f"{path}: cannot be read: {error.strerror}: mend it, or name it in {IGNORE_FILE}"
                ) from None


def _patterns(root: Path) -> list[str]:
    path = root / IGNORE_FILE
    try:
        return path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise PackError(f"{path}:1: cannot be read: {error}") from None


def write_zip(staging: Path, out: Path) -> int:
    """Writes all of `staging` into the zip `out`, whole or not at all. Returns the number of files."""
    unfinished = out.with_name(f".{out.name}.part")
    paths = sorted((path for path in staging.rglob("*") if path.is_file()), key=lambda p: p.relative_to(staging).parts)
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
            for path in paths:
                entry = zipfile.ZipInfo(path.relative_to(staging).as_posix(), DATE)
                mode = PROGRAM_MODE if os.access(path, os.X_OK) and path.stat().st_mode & 0o111 else FILE_MODE
                entry.external_attr = (0o100000 | mode) << 16
                entry.create_system = 3  # Unix: the modes above are meant
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes(), compresslevel=LEVEL)
        unfinished.replace(out)
    except OSError as error:
        raise PackError(f"{out}: cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return len(paths)
