"""Where the status sockets of a user's servers are.

Used by supervisor/status.py, which listens there, and by commands/status_client.py, which asks.
Rule: the one place that knows the path.
"""

import os
import tempfile
from pathlib import Path


def folder_of(runtime_folder: str | None) -> Path:
    """Where the sockets of this user's servers are; `runtime_folder` is XDG_RUNTIME_DIR."""
    if runtime_folder:
        return Path(runtime_folder) / "fastworker"
    return Path(tempfile.gettempdir()) / f"fastworker-{os.geteuid()}"
