"""Logging: records of an invocation into its `Logs`, everything else to stdout, from ERROR on to stderr.

`log` is the event logger of all of fastworker's modules; user code uses the standard `logging`.
Rule: writing a log line never raises and never blocks on a lock; a line leaves in one write. Imports nothing
of fastworker but frames.py: the supervisor logs, too.
"""

import contextvars
import io
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Literal

from fastworker.frames import is_ours

STDOUT: Final = 1
STDERR: Final = 2

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

Format = Literal["text", "json"]


class Capture:
    """The log lines of one invocation, in order. Closed when the answer is made; later records go to stdout."""

    __slots__ = ("function", "invocation_id", "is_open", "lines")

    def __init__(self, function: str, invocation_id: str) -> None:
        self.function = function
        self.invocation_id = invocation_id
        self.lines: list[str] = []
        self.is_open = True


# The invocation that the running code belongs to; threads and tasks inherit it.
CURRENT: Final[contextvars.ContextVar[Capture | None]] = contextvars.ContextVar("invocation", default=None)


class EventLog:
    """Logs an event name and fields: `log.warning("worker.killed", slot=3, pid=4711, reason="deadline")`."""

    def __init__(self) -> None:
        self.level = logging.INFO
        self.format: Format = "text"

    def debug(self, event: str, **fields: Any) -> None:
        """For those who look for a fault."""
        self._event(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happens in the normal course."""
        self._event(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something went wrong and was dealt with."""
        self._event(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something went wrong that somebody should look at; goes to stderr."""
        self._event(logging.ERROR, event, fields)

    def _event(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if level < self.level:
            return
        message = event
        if self.format == "text":
            message = " ".join([event, *(f"{name}={_field(value)}" for name, value in fields.items())])
        write_line(level, message, fields if self.format == "json" else {})


log: Final = EventLog()


def configure(level: str = "info", format: Format = "text") -> None:  # noqa: A002 - the setting's name
    """Send the standard `logging` and `log` where the host expects them. Called once per process, before user code."""
    log.level = LEVELS[level]
    log.format = format
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, InvocationHandler)]
    root.addHandler(InvocationHandler())
    root.setLevel(LEVELS[level])


def take_over_streams() -> None:
    """Make `print` fit for a server: line by line, as the host reads (protocol 5.4), and never failing.

    What a killed worker had buffered would be lost, and a full disk or a closed pipe must not fail the invocation
    that prints.
    """
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.BufferedWriter(_Sink(fd)), "utf-8", "backslashreplace", line_buffering=True)
        for fd in (STDOUT, STDERR)
    )


class _Sink(io.RawIOBase):
    """A descriptor whose errors nobody hears of."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        _write(self._fd, bytes(data))
        return len(data)


def is_configured() -> bool:
    """Whether records of an invocation reach it already."""
    return any(isinstance(handler, InvocationHandler) for handler in logging.getLogger().handlers)


class InvocationHandler(logging.Handler):
    """Appends records to the current invocation's lines; without one, writes them out."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Overrides the locked version: appending to a list needs no lock, and neither does one write."""
        if self.filters and not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        capture = CURRENT.get()
        if capture is not None and capture.is_open:
            capture.lines.append(f"{record.levelname}: {_text_of(record)}")
            return
        fields: dict[str, Any] = {"logger": record.name} if log.format == "json" else {}
        if capture is not None:
            fields |= {"function": capture.function, "invocationId": capture.invocation_id}
        write_line(record.levelno, _text_of(record), fields)


def log_into_invocations_directly() -> None:
    """Spare records that nobody but the invocation sees. Called once per worker.

    Building a LogRecord (caller's frame, thread, process, time) takes three quarters of a `logging.info`, and of all
    that an invocation's `Logs` hold the level and the message. Where any other handler, a filter or a record factory
    could look at the record, it is built as ever.
    """
    logging.Logger._log = _log  # type: ignore[method-assign]


_original_log: Final = logging.Logger._log


def _log(
    self: logging.Logger,
    level: int,
    msg: object,
    args: Any,
    exc_info: Any = None,
    extra: Mapping[str, object] | None = None,
    stack_info: bool = False,
    stacklevel: int = 1,
) -> None:
    capture = CURRENT.get()
    if (
        capture is not None
        and capture.is_open
        and not (exc_info or extra or stack_info)
        and type(msg) is str
        and _reaches_only_invocations(self)
    ):
        if not args:
            capture.lines.append(f"{logging.getLevelName(level)}: {msg}")
            return
        try:
            values = args[0] if len(args) == 1 and args[0] and isinstance(args[0], Mapping) else args
            capture.lines.append(f"{logging.getLevelName(level)}: {msg % values}")
            return
        except Exception:  # user code: the long way tells what is wrong with the arguments
            pass
    # One level more, for this frame stands between logging's own and the caller's.
    _original_log(self, level, msg, args, exc_info, extra, stack_info, stacklevel + 1)


def _reaches_only_invocations(logger: logging.Logger) -> bool:
    if logger.filters or logger.disabled or logging.getLogRecordFactory() is not logging.LogRecord:
        return False
    at: logging.Logger | None = logger
    found = False
    while at is not None:
        for handler in at.handlers:
            if type(handler) is not InvocationHandler or handler.level or handler.filters:
                return False
            found = True
        at = at.parent if at.propagate else None
    return found


def write_failed(capture: Capture) -> None:
    """Write out the lines of a failed invocation, for the host throws away the `Logs` of one (protocol 4.1)."""
    for line in capture.lines:
        level_name, _, text = line.partition(": ")
        level = logging.getLevelName(level_name)
        write_line(level if isinstance(level, int) else logging.INFO, text, _ids(capture))


def write_exception(capture: Capture, message: str, exc: BaseException) -> None:
    """Write a failed invocation's traceback to stderr, without the frames of fastworker above the handler's."""
    frames = exc.__traceback__
    while frames is not None and is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(exc), exc, frames or exc.__traceback__))
    write_line(logging.ERROR, f"{message}\n{text.rstrip()}", _ids(capture))


def write_error(capture: Capture, message: str) -> None:
    """Write why an invocation failed to stderr, where its handler is not to blame for an exception."""
    write_line(logging.ERROR, message, _ids(capture))


def write_traceback(message: str, exc: BaseException) -> None:
    """Write a traceback that belongs to no invocation to stderr."""
    write_line(logging.ERROR, f"{message}\n{''.join(traceback.format_exception(exc)).rstrip()}", {})


def write_line(level: int, message: str, fields: dict[str, Any]) -> None:
    """Write one record: JSON on one line, or as text with a line for each of the message's lines.

    Text lines begin with the level, continuation lines with two spaces, so that user text never stands first,
    where the host looks for `LanguageWorkerConsoleLog` and the like (protocol 5.4).
    """
    name = logging.getLevelName(level)
    if log.format == "json":
        record = {"time": _timestamp(), "level": name.lower(), "event": message, **fields}
        text = json.dumps(record, default=str)
    else:
        first, *rest = message.splitlines() or [""]
        origin = "".join(f" {value}" for value in fields.values())
        text = "\n".join([f"{name}{origin}: {first}" if origin else f"{name} {first}", *(f"  {line}" for line in rest)])
    _write(STDERR if level >= logging.ERROR else STDOUT, f"{text}\n".encode("utf-8", "backslashreplace"))


def _write(fd: int, data: bytes) -> None:
    # Whoever reads may be gone, the disk full, the pipe full: then the line is lost, and nothing else.
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        pass


def _ids(capture: Capture) -> dict[str, Any]:
    return {"function": capture.function, "invocationId": capture.invocation_id}


def _text_of(record: logging.LogRecord) -> str:
    """The message with its traceback; a message that cannot be formatted is shown unformatted."""
    try:
        text = record.getMessage()
    except Exception as exc:  # user code: wrong arguments, or a failing __str__
        text = f"{record.msg!s} (cannot be formatted with its arguments: {type(exc).__name__}: {exc})"
    if record.exc_info and record.exc_info[1] is not None:
        text = f"{text}\n{''.join(traceback.format_exception(record.exc_info[1])).rstrip()}"
    if record.stack_info:
        text = f"{text}\n{record.stack_info}"
    return text


def _field(value: Any) -> str:
    text = value if isinstance(value, str) else f"{value:.3f}" if isinstance(value, float) else str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "\n\r=') else text


def _timestamp() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"


def inherit_invocation_in_threads() -> None:
    """Let threads that an invocation starts log into it. Called once per worker.

    asyncio's tasks and `to_thread` do so by themselves; `Thread.start` and `ThreadPoolExecutor.submit` run
    under a copy of their caller's context from now on.
    """
    if threading.Thread.start is not _start_thread:
        threading.Thread.start = _start_thread  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = _submit  # type: ignore[assignment, method-assign]


_original_start: Final = threading.Thread.start
_original_submit: Final = ThreadPoolExecutor.submit


def _start_thread(self: threading.Thread) -> None:
    if CURRENT.get() is not None:
        context, run = contextvars.copy_context(), self.run

        def run_in_context() -> None:
            del self.run  # the instance's; else thread and function keep each other alive
            context.run(run)

        self.run = run_in_context  # type: ignore[method-assign]
    _original_start(self)


def _submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    # Always: a pool's thread may have been started by one invocation and serve another, or none.
    return _original_submit(self, contextvars.copy_context().run, fn, *args, **kwargs)
