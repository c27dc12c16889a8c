"""The folder `.fastworker`, where the local host keeps an app's data and keys: for its owner's eyes only.

Used by whatever writes there. Rule: what is made is 0700 or 0600 from its first moment; what was made wider is mended.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

NAME: Final = ".fastworker"


def private_folder(folder: Path) -> Path:
    """The folder, made if need be; where it is the local host's own, nobody else may look into it."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, *folder.parents):
        if NAME in place.parts:
            _restrict(place, 0o700)
    return folder


def private_file(path: Path) -> Path:
    """A file that exists from now on and is its owner's; sqlite gives the files beside it the same mode."""
    private_folder(path.parent)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for beside in ("", "-wal", "-shm"):
        _restrict(path.with_name(path.name + beside), 0o600)
    return path


def _restrict(path: Path, mode: int) -> None:
    with contextlib.suppress(OSError):  # somebody else's, or not there
        if path.stat().st_mode & 0o777 & ~mode:
            path.chmod(mode)
