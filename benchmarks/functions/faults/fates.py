"""What goes wrong in a worker: the same in every contender.

Imported by the apps beside this file. Rule: each fate is the interpreter's or the kernel's own, nothing is raised.
"""

import os
import signal
from typing import Final

from benchmarks.functions.work import burn

# Overruns end by themselves: where nobody ends them, they would hold their worker for ever. Three seconds leave
# gunicorn the time to see one.
OVERRUN_MS: Final = 3000.0
# About as long, in a C call that holds the interpreter lock and runs no signal handler.
STUCK_ADDITIONS: Final = 150_000_000


def crash() -> None:
    """As a defect in a C extension would."""
    os.kill(os.getpid(), signal.SIGSEGV)


def overrun() -> bytes:
    """Three seconds of Python."""
    return burn(OVERRUN_MS)


def stuck() -> int:
    """One C call of some seconds."""
    return sum(range(STUCK_ADDITIONS))
