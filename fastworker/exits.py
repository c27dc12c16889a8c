"""The end of a worker or a zygote, in order: what Python does when a script ends, before the process leaves by _exit.

Called by zygote/run.py, for itself and for the workers that it has forked; a process that is killed gets none of it.
Rule: bounded in time, and nothing that user code does here keeps anybody from ending.

What is done. It is not left to the interpreter, for finalizing that would tear down the supervisor's objects, of which
every forked process has a copy, and close descriptors by numbers that are the app's by now:

    threads that are not daemons      joined; executors end what they have begun
    exit functions (atexit)           run, the latest first; logging's own flushes and closes all handlers
    files                             flushed: Python's and those of C; temporary ones removed, compressed ones ended
    multiprocessing's trackers        told, and waited for: they remove what is left in /dev/shm
"""

import atexit
import contextlib
import ctypes
import gc
import io
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from fastworker.logs import log

# Of the time there is, for threads; exit functions get most of the rest.
THREADS_SHARE = 0.4
FUNCTIONS_SHARE = 0.85
# Whoever comes after one that has hung has so long.
NEXT_S = 0.3
STEP_S = 0.005

_BUFFERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair)
# What only closing completes, or removes: module and class, where the module is loaded.
_CLOSED = [
    *(("gzip", "GzipFile"), ("bz2", "BZ2File"), ("lzma", "LZMAFile"), ("zipfile", "ZipFile")),
    ("tempfile", "_TemporaryFileWrapper"),
]
_TRACKERS = (
    "multiprocessing.resource_tracker",
    "loky.backend.resource_tracker",
    "joblib.externals.loky.backend.resource_tracker",
)

_libc = ctypes.CDLL(None)
# Files that were opened by the import: in a worker the collector does not show them (gc.freeze).
_imported: list[weakref.ref[Any]] = []


class _Late(BaseException):
    """Its time is up."""


def flush_before_forks() -> None:
    """After the import: what it has written and not flushed is written now, and not once more by each worker."""
    global _imported  # noqa: PLW0603 - one process, one list
    files = _loose(gc.get_objects(), _BUFFERS)
    _flush(files)
    _imported = [weakref.ref(file) for file in files]


def disown() -> None:
    """In a fresh worker: what the import has made belongs to the zygote, and ends with it and not with this process.

    Children and temporary folders, that is. Exit functions are run by every process that has them, as after any fork:
    a client library whose module registers one means to send what it holds, and each worker holds its own.
    """
    for finalizer in list(getattr(weakref.finalize, "_registry", ())):
        finalizer.atexit = False
    for module, name in (("multiprocessing.process", "_children"), ("concurrent.futures.process", "_threads_wakeups")):
        found = getattr(sys.modules.get(module), name, None)
        if found is not None:
            found.clear()


def end_in_order(within_s: float) -> None:
    """All of the above, in `within_s` seconds at most. The caller leaves by os._exit."""
    began = time.monotonic()
    with contextlib.suppress(ValueError):  # not the main thread: then nothing interrupts, but the supervisor's kill
        signal.signal(signal.SIGALRM, _on_alarm)
    _bounded("threads", began + within_s * THREADS_SHARE, threading._shutdown)  # type: ignore[attr-defined]
    _bounded("exit functions", began + within_s * FUNCTIONS_SHARE, atexit._run_exitfuncs)
    _bounded("open files", began + within_s, _end_files)
    _bounded("resource trackers", began + within_s, _end_trackers)


def _bounded(what: str, until: float, step: Callable[[], object]) -> None:
    late = False
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(NEXT_S, until - time.monotonic()), NEXT_S)
            step()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Late:
        late = True
    except BaseException as error:  # user code, at its end
        log.warning("exit.failed", what=what, cause=f"{type(error).__name__}: {error}")
    if late or time.monotonic() > until:
        running = [t.name for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
        log.warning("exit.cut", what=what, **({"threads": running} if what == "threads" else {}))


def _on_alarm(*_: object) -> None:
    raise _Late


def _end_files() -> None:
    ours = gc.get_objects()
    buffers = [*_loose(ours, _BUFFERS), *filter(None, (ref() for ref in _imported))]
    _flush(buffers)  # texts first: a compressed file below one must not be closed before it has everything
    for file in _loose(ours, tuple(_classes(_CLOSED))):
        with contextlib.suppress(Exception):
            file.close()
    _flush(buffers)


def _flush(files: Iterable[Any]) -> None:
    for file in sorted(files, key=lambda file: not isinstance(file, io.TextIOBase)):
        with contextlib.suppress(Exception):  # closed, detached, a full disk, a pipe that nobody reads
            if file.writable():
                file.flush()
    _libc.fflush(None)


def _loose(objects: list[Any], classes: tuple[type, ...]) -> list[Any]:
    # By type(): isinstance asks an object for its __class__, which runs code of proxies and mocks.
    return [thing for thing in objects if issubclass(type(thing), classes)]


def _classes(names: Iterable[tuple[str, str]]) -> Iterable[type]:
    for module, name in names:
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type):
            yield found


def _end_trackers() -> None:
    """A tracker ends when nobody holds its pipe any more, and removes what was registered and is still there."""
    for name in _TRACKERS:
        tracker = getattr(sys.modules.get(name), "_resource_tracker", None)
        fd, pid = getattr(tracker, "_fd", None), getattr(tracker, "_pid", None)
        if tracker is None or fd is None:
            continue
        tracker._fd = None
        with contextlib.suppress(OSError):
            os.close(fd)
        with contextlib.suppress(ChildProcessError):  # it is not ours, but the zygote's
            while pid is not None and os.waitpid(pid, os.WNOHANG)[0] == 0:
                time.sleep(STEP_S)
