"""Where an import may write bytecode: everywhere but below the app's root.

Called by zygote/run.py before the app is imported; the workers inherit it.
Rule: changes what is written, never what is read: bytecode that was deployed with the app is used.

The Functions host watches the app's root: a folder that appears there (`__pycache__`, at the first start after each
deployment) restarts the host, and what is in flight is answered 500. `sys.dont_write_bytecode` would keep all other
packages from being compiled once, too, and `sys.pycache_prefix` hides the bytecode that is there already.
"""

import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, Final

_original_set_data: Final[Any] = SourceFileLoader.set_data


def roots_of(target: str | None, app_root: str | None) -> list[str]:
    """The folders in which nothing may appear: that of the app, and that of host.json."""
    path = Path(target or ".")
    folder = path if path.is_dir() else path.parent if path.suffix == ".py" else Path.cwd()
    return [os.path.realpath(root) for root in (folder, app_root) if root]


def keep_out_of(roots: list[str]) -> None:
    """From now on no import writes bytecode below `roots`; a virtual environment there is no part of the app."""
    environment = os.path.realpath(sys.prefix) if sys.prefix != sys.base_prefix else None

    def set_data(self: SourceFileLoader, path: str, data: bytes, **mode: Any) -> None:
        place = os.path.realpath(path)
        if _is_below(place, roots) and not (environment and _is_below(place, [environment])):
            return
        _original_set_data(self, path, data, **mode)

    # The class's method, not another loader: plugins load files by loaders of their own making.
    SourceFileLoader.set_data = set_data  # type: ignore[assignment, method-assign]


def _is_below(place: str, folders: list[str]) -> bool:
    return any(place.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)
