"""Logging: records of an invocation into its `Logs`, everything else to stdout, from WARNING on to stderr.

`log` is the event logger of all of fastworker's modules; user code uses the standard `logging`.
Rule: writing a log line never raises, never blocks on a lock, and waits for no reader for long (output.py); a line
leaves in one write. Imports nothing of fastworker but what lies below it: the supervisor logs, too.
"""

import contextvars
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

from fastworker import entries, output
from fastworker.entries import Format, field
from fastworker.frames import is_ours

STDOUT: Final = 1
STDERR: Final = 2

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# What the lines of one invocation may take together: 10,000 empty ones, or so many characters. The host makes a log
# entry of each, and an answer is held in memory whole.
ROOM: Final = 4_000_000
LINE_COST: Final = 400
LONGEST_LINE: Final = 256 * 1024
LONGEST_REASON: Final = 2000


class Line(str):
    """A captured line that does not begin with the name of its level, because a formatter of the app made it."""

    __slots__ = ("level",)

    level: int

    def __new__(cls, text: str, level: int) -> "Line":
        """`level` is where the line goes if its invocation fails."""
        self = super().__new__(cls, text)
        self.level = level
        return self


class Capture:
    """The log lines of one invocation, in order. Closed when the answer is made; later records go to stdout.

    `left_out` counts the lines for which there was no room.
    """

    # Of the class until they change: there is one of these for each invocation.
    is_open = True
    room = ROOM
    left_out = 0

    def __init__(self, function: str, invocation_id: str) -> None:
        self.function = function
        self.invocation_id = invocation_id
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Keeps a line, while there is room."""
        size = len(line)
        self.room = room = self.room - size - LINE_COST
        if room >= 0 and size <= LONGEST_LINE:
            self.lines.append(line)
        else:
            self._add_beyond(line)

    def _add_beyond(self, line: str) -> None:
        more = len(line) - LONGEST_LINE
        if more > 0:
            self.room += more
            cut = f"{line[:LONGEST_LINE]}... ({more} characters more)"
            line = Line(cut, line.level) if isinstance(line, Line) else cut
        if self.room >= 0:
            self.lines.append(line)
        else:
            self.left_out += 1

    def finished(self) -> list[str]:
        """The lines, with a last one for those that were left out."""
        if self.left_out:
            self.lines.append(
                f"WARNING: {self.left_out} more log lines of this invocation were left out: there is room for "
                f"{ROOM // LINE_COST} lines, or {ROOM} characters"
            )
            self.left_out = 0
        return self.lines


# The invocation that the running code belongs to; threads and tasks inherit it.
CURRENT: Final[contextvars.ContextVar[Capture | None]] = contextvars.ContextVar("invocation", default=None)


class EventLog:
    """Logs an event name and fields: `log.warning("worker.killed", slot=3, pid=4711, reason="deadline")`."""

    def __init__(self) -> None:
        self.level = logging.INFO
        self.format: Format = "text"  # see entries.py
        # The current span's ids, in JSON; set where traces are on.
        self.trace_ids: Callable[[], dict[str, str]] | None = None

    def debug(self, event: str, **fields: Any) -> None:
        """For those who look for a fault."""
        self._event(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happens in the normal course."""
        self._event(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something went wrong and was dealt with; from here on, to stderr."""
        self._event(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something went wrong that somebody should look at."""
        self._event(logging.ERROR, event, fields)

    def _event(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if level < self.level:
            return
        if self.format == "json":
            write_line(level, event, fields)
        else:
            write_line(level, " ".join([event, *(f"{name}={field(value)}" for name, value in fields.items())]), {})


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
        _Stream(io.BufferedWriter(_Sink(fd)), "utf-8", "backslashreplace", line_buffering=True)
        for fd in (STDOUT, STDERR)
    )


# Where loggers that do not use `logging` hand over a line to the stream that they were given.
_OTHER_LOGGERS: Final = frozenset({"structlog._output", "loguru._simple_sinks"})


class _Stream(io.TextIOWrapper):
    """stdout or stderr, on which the lines of structlog's and loguru's own outputs are told from what is printed."""

    def write(self, text: str) -> int:
        """What is logged during an invocation belongs to its `Logs`, too."""
        capture = CURRENT.get()
        if capture is not None and capture.is_open:
            module = sys._getframe(1).f_globals.get("__name__")
            if module in _OTHER_LOGGERS and (line := text.rstrip()):
                level = getattr(text, "record", {}).get("level")  # loguru's
                capture.add(Line(str(line), getattr(level, "no", logging.INFO)))
        return super().write(text)


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
        output.write(self._fd, bytes(data))
        return len(data)


def is_configured() -> bool:
    """Whether records of an invocation reach it already."""
    return any(isinstance(handler, InvocationHandler) for handler in logging.getLogger().handlers)


class InvocationHandler(logging.Handler):
    """Appends records to the current invocation's lines; without one, writes them out.

    The line is what the handler's formatter makes of the record; without one, `LEVEL: message`.
    """

    def handle(self, record: logging.LogRecord) -> Any:
        """Overrides the locked version: appending to a list needs no lock, and neither does one write."""
        if self.filters:
            passed: Any = self.filter(record)
            if isinstance(passed, logging.LogRecord):  # from Python 3.12 on a filter may give another one
                record = passed
            elif not passed:
                return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        text = text_of(record) if self.formatter is None else self._formatted(record)
        capture = CURRENT.get()
        if capture is not None and capture.is_open:
            if self.formatter is None:
                capture.add(f"{record.levelname}: {text}")
            else:
                capture.add(Line(text, record.levelno))
            return
        fields: dict[str, Any] = {"logger": record.name} if log.format == "json" else {}
        if capture is not None:
            fields |= _ids(capture)
        write_line(record.levelno, text, fields)

    def _formatted(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception:  # user code: its formatter, or arguments that do not fit
            self.handleError(record)
            return text_of(record, report=False)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """One entry on stderr, for the exception that is being handled, unless `logging.raiseExceptions` is off."""
        _report(record, sys.exception())


def _report(record: logging.LogRecord, error: BaseException | None) -> None:
    if logging.raiseExceptions and error is not None:
        what = f"a log record cannot be formatted, made at {record.pathname}:{record.lineno}"
        capture = CURRENT.get()
        write_line(logging.ERROR, f"{what}\n{_traceback(error)}", {} if capture is None else _ids(capture))


def write_failed(capture: Capture) -> None:
    """Write out the lines of a failed invocation, for the host throws away the `Logs` of one (protocol 4.1)."""
    for line in capture.finished():
        if isinstance(line, Line):
            write_line(line.level, line, _ids(capture))
            continue
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


def write_refusal(
    status: int,
    reason: str,
    *,
    function: str = "",
    invocation_id: str = "",
    path: bytes = b"",
    is_clients: bool = False,
) -> None:
    """Write why a request gets `status`: the host drops the body that says so (protocol 5.2).

    An ERROR for an invocation that ends by it; a WARNING where the client is to blame, or nobody was invoked.
    `path` is named (in quotes, shortened) where no function is known.
    """
    fields = {"function": function} if function else {}
    if invocation_id:
        fields["invocationId"] = invocation_id
    if not function and path:
        reason = f"{reason} (path {entries.shown(path)})"
    level = logging.WARNING if is_clients or not invocation_id else logging.ERROR
    if len(reason) > LONGEST_REASON:  # it may quote what came, and nobody reads megabytes
        reason = f"{reason[:LONGEST_REASON]}..."
    write_line(level, f"answered {status}: {reason}", fields)


def write_traceback(message: str, exc: BaseException) -> None:
    """Write a traceback that belongs to no invocation to stderr."""
    write_line(logging.ERROR, f"{message}\n{_traceback(exc)}", {})


def write_line(level: int, message: str, fields: dict[str, Any]) -> None:
    """Write one record in the format that is set, in one piece. Never raises, and never waits for long."""
    if log.trace_ids is not None and log.format == "json":
        fields = {**fields, **log.trace_ids()}
    try:
        data = entries.entry(log.format, level, message, fields)
    except (ValueError, RecursionError) as error:  # a field that contains itself
        data = entries.entry(log.format, level, f"{message} (its fields cannot be shown: {error})", {})
    output.write(STDERR if level >= logging.WARNING else STDOUT, data)


def _ids(capture: Capture) -> dict[str, Any]:
    return {"function": capture.function, "invocationId": capture.invocation_id}


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()


def text_of(record: logging.LogRecord, *, report: bool = True) -> str:
    """The message with its traceback; a message that cannot be formatted is shown unformatted, and reported."""
    try:
        text = record.getMessage()
    except Exception as exc:  # user code: wrong arguments, or a failing __str__
        if report:
            _report(record, exc)
        try:
            message = str(record.msg)
        except Exception:  # user code
            message = f"<{type(record.msg).__name__} that cannot be shown>"
        text = f"{message} (cannot be formatted with its arguments: {_described(exc)})"
    try:
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}\n{_traceback(record.exc_info[1])}"
        if record.stack_info:
            text = f"{text}\n{record.stack_info}"
    except Exception:  # user code: what was given as exc_info is none
        text = f"{text} (its exception cannot be shown)"
    return text


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # user code
        return type(error).__name__
