"""A child that user code forks from a worker: no worker any more, but a process like the child of any script.

Told of by worker/run.py at its start; asked by invocation.py when a handler has come back.
Rule: such a child answers nobody. It has no descriptor of the server's, no row on the board and none of its signal
handlers, and when it comes back out of the handler it ends, as a script does at its last line.

    a fork in a handler
       |            \\
    parent           child --> shed(): descriptors closed, signals as in a new program, logging to the output
       |               |
    returns            +-- exec, os._exit, multiprocessing's own end: never seen here
       |               +-- returns, or raises (sys.exit too): leave()
    answered
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection
from typing import NoReturn

from fastworker import exits
from fastworker.logs import CURRENT

# A child that ends has so long for its exit functions and threads; its worker's end ends it anyway.
END_S = 60.0

# Read on the way of every invocation, hence a plain name of the module.
in_child = False

_shed: list[Callable[[], None]] = []
_signals: dict[int, object] = {}
_masks = threading.local()


def watch(shed: Callable[[], None], signals: Collection[int]) -> None:
    """From now on every child that this process forks calls `shed`, which must not fail, and is known as a child.

    The handlers that `signals` have now are the worker's: a child has the default dispositions instead.
    """
    _signals.update((number, signal.getsignal(number)) for number in signals)
    if not _shed:
        os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_become_child)
    _shed[:] = [shed]


def _hold_signals() -> None:
    """One that is sent to the child in its first moment must meet the child's disposition, not the worker's handler."""
    _masks.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _signals)


def _release_signals() -> None:
    mask = getattr(_masks, "mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _become_child() -> None:
    global in_child  # noqa: PLW0603 - it is about this process as a whole
    if in_child:
        _release_signals()
        return
    in_child = True
    capture = CURRENT.get()
    if capture is not None:
        capture.is_open = False  # nobody will send these lines: they go to the output
    for number, handler in _signals.items():
        if signal.getsignal(number) == handler:  # else the app has set one of its own since
            signal.signal(number, signal.SIG_DFL)
    _release_signals()
    for shed in _shed:
        shed()


def leave(error: BaseException | None) -> NoReturn:
    """Ends a child as the interpreter ends a script: exit functions, flushed files, the exit code of `error`."""
    code = 0
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            code = error.code & 0xFF
        elif error.code is not None:
            print(error.code, file=sys.stderr)
            code = 1
    elif error is not None:
        code = 1
        sys.excepthook(type(error), error, error.__traceback__)
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        # They are the worker's, and it goes on: the exit function would end those of them that are daemons.
        processes._children = set()  # type: ignore[attr-defined]
    try:
        exits.end_in_order(END_S)
    finally:
        os._exit(code)
