"""Which stack frames are fastworker's own, so that tracebacks and messages show the user's code only.

Used by everybody who shortens a stack: logs.py, app.py, declarations.py, stack_dump.py and slow_loop.py.
Rule: a file below the package is ours, wherever it lies there; the templates, which users copy, are not.
"""

import os
from types import TracebackType
from typing import Final

PACKAGE: Final = os.path.dirname(__file__) + os.sep
# Where Python's own modules lie, and below it (or beside it) those that were installed.
LIBRARY: Final = os.path.dirname(os.__file__) + os.sep
INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
TEMPLATES: Final = os.path.join(PACKAGE, "templates") + os.sep


def is_ours(file: str) -> bool:
    """Whether a frame's file (`co_filename`) belongs to fastworker."""
    return file.startswith(PACKAGE) and not file.startswith(TEMPLATES)


def is_users(file: str) -> bool:
    """Whether a frame's file is the app's, and neither ours nor a library's."""
    if is_ours(file) or file.startswith(("<", LIBRARY)):
        return False
    return not any(part in file for part in INSTALLED)


def stood_at(error: BaseException, kinds: tuple[type[BaseException], ...]) -> str | None:
    """Where the app's code stood when an error of `kinds` struck it: `file:line, in function`, of its innermost frame.

    Without a frame of the app the innermost one that is not ours; None if there is none either. `error` may be what
    the app has raised while it handled that one.
    """
    struck = error
    for _ in range(20):  # a chain may be a circle
        if isinstance(struck, kinds) or struck.__context__ is None:
            break
        struck = struck.__context__
    own = other = None
    at: TracebackType | None = struck.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        if is_users(code.co_filename):
            own = at
        elif not is_ours(code.co_filename):
            other = at
        at = at.tb_next
    found = own or other
    if found is None:
        return None
    code = found.tb_frame.f_code
    return f"{code.co_filename}:{found.tb_lineno}, in {code.co_name}"
