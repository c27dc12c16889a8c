"""How records find their invocation, whatever the app has made of `logging`, and from threads that it starts.

Installed once per worker, by worker/run.py; logs.py says what becomes of a record there.
Rule: an app's formatters, filters, levels and handlers do what their documentation says; nothing here hides a record
from them.
"""

import contextvars
import logging
import sys
import threading
import types
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from fastworker.logs import CURRENT, InvocationHandler, Line, text_of


def log_into_invocations_directly() -> None:
    """Spare records that nobody but the invocation sees. Called once per worker.

    Building a LogRecord (caller's frame, thread, process, time) takes three quarters of a `logging.info`, and of all
    that an invocation's `Logs` hold the level and the message. Where any other handler, a filter or a record factory
    could look at the record, it is built as ever. Where the app has put other handlers in the place of ours
    (`basicConfig(force=True)`, `dictConfig`), the invocation gets what these make of the record.
    """
    logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign]
    logging.Logger._log = _as_loggings_own(_log)  # type: ignore[method-assign]


def _as_loggings_own(function: Any) -> Any:
    """The function as if it stood in logging's module.

    Whoever looks for the caller of a logger (`findCaller`, or structlog's in its place) passes over frames of that
    module, and over no others.
    """
    source: Any = logging.addLevelName.__code__.co_filename
    code = function.__code__.replace(co_filename=source)
    own = types.FunctionType(
        code, {**globals(), "__name__": logging.__name__}, function.__name__, function.__defaults__
    )
    own.__kwdefaults__ = function.__kwdefaults__
    return own


_original_log: Final = logging.Logger._log
# What logging.getLevelName reads, and logging.addLevelName writes.
_LEVEL_NAMES: Final = logging._levelToName


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
            capture.add(f"{_LEVEL_NAMES.get(level) or logging.getLevelName(level)}: {msg}")
            return
        try:
            values = args[0] if len(args) == 1 and args[0] and isinstance(args[0], Mapping) else args
            capture.add(f"{_LEVEL_NAMES.get(level) or logging.getLevelName(level)}: {msg % values}")
            return
        except Exception:  # user code: the long way tells what is wrong with the arguments
            pass
    _original_log(self, level, msg, args, exc_info, extra, stack_info, stacklevel)


_PLAIN_LOGGERS: Final = frozenset({logging.Logger, logging.RootLogger})
_HANDLE: Final = logging.Logger.handle
_MAKE_RECORD: Final = logging.Logger.makeRecord


def _reaches_only_invocations(logger: logging.Logger) -> bool:
    if logger.filters or logger.disabled or logging._logRecordFactory is not logging.LogRecord:  # type: ignore[attr-defined]
        return False
    # A Logger of the app's own kind, or a library (Sentry, tracers) that has put itself in the way.
    methods = logging.Logger
    if type(logger) not in _PLAIN_LOGGERS or methods.handle is not _HANDLE or methods.makeRecord is not _MAKE_RECORD:
        return False
    if methods.callHandlers is not _call_handlers and methods.callHandlers is not _original_call_handlers:
        return False
    at: logging.Logger | None = logger
    found = False
    while at is not None:
        for handler in at.handlers:
            if type(handler) is not InvocationHandler or handler.level or handler.filters or handler.formatter:
                return False
            found = True
        at = at.parent if at.propagate else None
    return found


_original_call_handlers: Final = logging.Logger.callHandlers


def _call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
    capture = CURRENT.get()
    if capture is None or not capture.is_open:
        _original_call_handlers(self, record)
        return
    handlers, reaches_root = _handlers_of(self)
    if any(isinstance(handler, InvocationHandler) for handler in handlers):
        _original_call_handlers(self, record)
        return
    count = len(capture.lines) + capture.left_out
    if not handlers:
        _original_call_handlers(self, record)  # logging's last resort, which has a level of its own
        last = logging.lastResort
        if reaches_root and (last is None or record.levelno >= last.level):
            capture.add(Line(_formatted_by(None, record), record.levelno))
        return
    for handler in handlers:
        if record.levelno < handler.level:
            continue
        passed: Any = handler.handle(record)
        # What a handler has handed on to ours is there already.
        is_new = len(capture.lines) + capture.left_out == count
        if is_new and passed is not False and passed != 0 and _shows(handler, reaches_root):
            seen = passed if isinstance(passed, logging.LogRecord) else record
            capture.add(Line(_formatted_by(handler, seen), record.levelno))


def _handlers_of(logger: logging.Logger) -> tuple[list[logging.Handler], bool]:
    """All handlers that a record of `logger` gets to, and whether the root's are among them."""
    handlers: list[logging.Handler] = []
    at: logging.Logger | None = logger
    while at is not None:
        handlers += at.handlers
        if not at.propagate and at.parent is not None:
            return handlers, False
        at = at.parent
    return handlers, True


def _shows(handler: logging.Handler, reaches_root: bool) -> bool:
    """Whether the app wants to see what this handler gets: what a logger that was cut off keeps for itself is not."""
    if isinstance(handler, logging.NullHandler):
        return False
    if reaches_root or _is_queue(handler):
        return True
    stream = handler.stream if isinstance(handler, logging.StreamHandler) else None
    return stream is not None and stream in (sys.stdout, sys.stderr)


def _is_queue(handler: logging.Handler) -> bool:
    handlers = sys.modules.get("logging.handlers")  # whoever has one has imported it
    return handlers is not None and isinstance(handler, handlers.QueueHandler)


def _formatted_by(handler: logging.Handler | None, record: logging.LogRecord) -> str:
    try:
        if handler is not None and handler.formatter is not None:
            return handler.format(record)
    except Exception:  # user code; the handler has told of it
        return text_of(record, report=False)
    return f"{record.levelname}: {text_of(record, report=False)}"


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
