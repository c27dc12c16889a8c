"""Which stack frames are fastworker's own, so that tracebacks and messages show the user's code only.

Used by everybody who shortens a stack: logs.py, app.py, declarations.py, picture.py and slow_loop.py.
Rule: a file below the package is ours, wherever it lies there; the templates, which users copy, are not.
"""

import os
from typing import Final

PACKAGE: Final = os.path.dirname(__file__) + os.sep
TEMPLATES: Final = os.path.join(PACKAGE, "templates") + os.sep


def is_ours(file: str) -> bool:
    """Whether a frame's file (`co_filename`) belongs to fastworker."""
    return file.startswith(PACKAGE) and not file.startswith(TEMPLATES)
