"""Whatever an app makes of `logging`, its lines look as it says, and still reach their invocation."""

import io
import logging
import logging.config
import logging.handlers
import queue
import sys

import pytest

from fastworker import log_records, logs

structlog = pytest.importorskip("structlog")
loguru = pytest.importorskip("loguru")


@pytest.fixture
def capture(monkeypatch):
    """An invocation in a worker; logging is as it was afterwards."""
    root = logging.getLogger()
    kept = (root.handlers, root.filters, root.level, dict(root.manager.loggerDict))
    root.handlers = []
    for name in ("_log", "callHandlers"):
        monkeypatch.setattr(logging.Logger, name, getattr(logging.Logger, name))
    logs.configure()
    log_records.log_into_invocations_directly()
    capture = logs.Capture("f", "id-1")
    token = logs.CURRENT.set(capture)
    yield capture
    logs.CURRENT.reset(token)
    root.handlers, root.filters, root.level = kept[:3]
    for name in set(root.manager.loggerDict) - set(kept[3]):
        del root.manager.loggerDict[name]
    logs.configure()
    root.handlers = [h for h in kept[0] if not isinstance(h, logs.InvocationHandler)]


def alone():
    """As in a worker: pytest's own handlers, which it adds at each test's beginning, would want records, too."""
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if isinstance(h, logs.InvocationHandler)]


def formatter_on_our_handler():
    alone()
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter("[%(name)s] %(message)s"))


def basic_config_by_force():
    logging.basicConfig(force=True, format="[%(name)s] %(message)s", stream=io.StringIO())


def dict_config():
    logging.config.dictConfig(
        {
            "version": 1,
            "formatters": {"brief": {"format": "[%(name)s] %(message)s"}},
            "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "brief", "stream": io.StringIO()}},
            "root": {"handlers": ["out"], "level": "INFO"},
        }
    )


def dict_config_of_one_logger():
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"brief": {"format": "[%(name)s] %(message)s"}},
            "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "brief", "stream": "ext://sys.stderr"}},
            "loggers": {"shop": {"handlers": ["out"], "level": "INFO", "propagate": False}},
        }
    )


def queue_handler():
    handler = logging.handlers.QueueHandler(queue.Queue())
    handler.setFormatter(logging.Formatter("[%(name)s] %(message)s"))
    logging.getLogger().handlers = [handler]


def one_of_our_own_kind():
    class Console(logging.Handler):
        def emit(self, record):
            try:
                self.format(record)
            except Exception:
                self.handleError(record)

    handler = Console()
    handler.setFormatter(logging.Formatter("[%(name)s] %(message)s"))
    logging.getLogger().handlers = [handler]


WAYS = [
    formatter_on_our_handler,
    basic_config_by_force,
    dict_config,
    dict_config_of_one_logger,
    queue_handler,
    one_of_our_own_kind,
]


@pytest.mark.parametrize("configure", WAYS)
def test_lines_are_as_the_formatter_makes_them(capture, configure):
    """Once each, with their level for the case that the invocation fails."""
    configure()
    logging.getLogger("shop").warning("paid %s", 7)
    logging.getLogger("shop").debug("not seen")
    assert capture.lines == ["[shop] paid 7"]
    assert capture.lines[0].level == logging.WARNING


@pytest.mark.parametrize("configure", WAYS)
def test_lines_of_a_failed_invocation_go_out_with_their_level(capture, configure, capfd):
    """As a formatter made them."""
    configure()
    logging.getLogger("shop").warning("paid %s", 7)
    capfd.readouterr()
    logs.write_failed(capture)
    assert capfd.readouterr().err == "WARNING f id-1: [shop] paid 7\n"


@pytest.mark.parametrize("where", ["logger", "handler", "root handler"])
def test_filters_decide_and_change(capture, where):
    """One that refuses, and one that hides a secret in the record."""
    alone()

    def hide(record):
        if "never" in record.getMessage():
            return False
        record.msg = record.msg.replace("secret", "***")
        return True

    log = logging.getLogger("shop")
    if where == "logger":
        log.addFilter(hide)
    elif where == "handler":
        logging.getLogger().handlers[0].addFilter(hide)
    else:
        basic_config_by_force()
        logging.getLogger().handlers[0].addFilter(hide)
    log.warning("a secret")
    log.warning("never")
    assert len(capture.lines) == 1
    assert "***" in capture.lines[0]
    assert "secret" not in capture.lines[0]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters return records from 3.12 on")
@pytest.mark.parametrize("ours", [True, False])
def test_a_filter_may_give_another_record(capture, ours):
    """And the invocation gets that one."""
    alone()
    if not ours:
        basic_config_by_force()

    def other(record):
        return logging.makeLogRecord({**record.__dict__, "msg": "another"})

    logging.getLogger().handlers[0].addFilter(other)
    logging.getLogger("shop").warning("one")
    assert len(capture.lines) == 1
    assert "another" in capture.lines[0]


@pytest.mark.parametrize("of", ["logger", "handler", "disable"])
def test_levels_hold(capture, of):
    """Of loggers, of handlers, and logging.disable."""
    alone()
    log = logging.getLogger("shop")
    if of == "logger":
        log.setLevel(logging.ERROR)
    elif of == "handler":
        logging.getLogger().handlers[0].setLevel(logging.ERROR)
    else:
        logging.disable(logging.WARNING)
    try:
        log.warning("no")
        log.error("yes")
    finally:
        logging.disable(logging.NOTSET)
    assert capture.lines == ["ERROR: yes"]


@pytest.mark.parametrize("silence", ["null handler of a cut off logger", "null handler of the root", "file"])
def test_what_is_silenced_stays_silent(capture, silence, tmp_path):
    """A logger that is cut off and writes to nobody, or to a file of its own."""
    alone()
    log = logging.getLogger("shop")
    if silence == "null handler of the root":
        logging.basicConfig(force=True, handlers=[logging.NullHandler()])
    else:
        log.propagate = False
        handler = logging.FileHandler(tmp_path / "log") if silence == "file" else logging.NullHandler()
        log.addHandler(handler)
    log.warning("hidden")
    assert capture.lines == []
    for handler in log.handlers:  # type: ignore[assignment]
        handler.close()


class Broken:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("configure", [alone, *WAYS])
@pytest.mark.parametrize("raising", [True, False])
@pytest.mark.parametrize(
    ("message", "args"), [("%d items", ("three",)), ("%s", (Broken(),)), (Broken(), ()), ("%s %s", (1,)), ("%", (1,))]
)
def test_a_record_that_cannot_be_formatted_fails_nobody(capture, configure, raising, message, args, capfd, monkeypatch):
    """A line stands for it; stderr tells of it, unless logging.raiseExceptions is off."""
    monkeypatch.setattr(logging, "raiseExceptions", raising)
    configure()
    if configure is queue_handler:
        pytest.skip("a QueueHandler formats by itself, and drops it")
    logging.getLogger("shop").warning(message, *args)
    assert len(capture.lines) == 1
    assert bool(capfd.readouterr().err) == raising


def test_a_formatter_that_fails_fails_nobody(capture, capfd):
    """The message comes without it."""
    alone()
    logging.getLogger().handlers[0].setFormatter(logging.Formatter("%(nothing)s %(message)s"))
    logging.getLogger("shop").warning("paid %s", 7)
    assert capture.lines == ["paid 7"]
    assert "KeyError" in capfd.readouterr().err


def test_a_logger_of_the_apps_own_kind_builds_its_records(capture):
    """By a subclass, or by a library that has put itself in the way (Sentry, tracers)."""
    alone()

    class Loud(logging.Logger):
        def makeRecord(self, *args, **kwargs):  # noqa: N802
            record = super().makeRecord(*args, **kwargs)
            record.msg = record.msg.upper()
            return record

    logging.setLoggerClass(Loud)
    try:
        logging.getLogger("shop.loud").warning("paid")
    finally:
        logging.setLoggerClass(logging.Logger)
    assert capture.lines == ["WARNING: PAID"]


def test_a_library_in_the_way_of_records_sees_them(capture, monkeypatch):
    """Sentry's way."""
    alone()
    seen = []
    original = logging.Logger.callHandlers

    def patched(self, record):
        seen.append(record.getMessage())
        return original(self, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", patched)
    logging.getLogger("shop").warning("paid")
    assert (seen, capture.lines) == (["paid"], ["WARNING: paid"])


@pytest.fixture
def streams(monkeypatch):
    """Makes stdout and stderr as a worker has them; in the test, for pytest takes them when that begins."""

    def take_over():
        monkeypatch.setattr(sys, "stdout", sys.stdout)
        monkeypatch.setattr(sys, "stderr", sys.stderr)
        logs.take_over_streams()

    return take_over


def test_loguru_reaches_the_invocation(capture, capfd, streams):
    """By a sink on stderr, in its format and with its level; what is printed does not."""
    streams()
    loguru.logger.remove()
    sink = loguru.logger.add(sys.stderr, format="<{level}> {message}")
    try:
        loguru.logger.warning("paid {}", 7)  # noqa: PLE1205 - not logging's
        print("printed")
    finally:
        loguru.logger.remove(sink)
    assert capture.lines == ["<WARNING> paid 7"]
    assert capture.lines[0].level == logging.WARNING
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("printed\n", "<WARNING> paid 7\n")


def test_structlogs_loggers_find_their_caller(capture):
    """structlog puts a class of its own in the place of logging's Logger."""
    alone()
    structlog.stdlib.LoggerFactory()
    try:
        logging.getLogger().handlers[0].setFormatter(logging.Formatter("%(filename)s %(funcName)s"))
        logging.getLogger("shop.found").warning("paid")
        logging.getLogger("shop").warning("paid")
    finally:
        logging.setLoggerClass(logging.Logger)
    assert capture.lines == ["test_log_records.py test_structlogs_loggers_find_their_caller"] * 2


@pytest.mark.parametrize("way", ["print", "write", "logging"])
def test_structlog_reaches_the_invocation(capture, capfd, streams, way):
    """By its own loggers, and by those of the standard library."""
    streams()
    alone()
    factories = {
        "print": structlog.PrintLoggerFactory(),
        "write": structlog.WriteLoggerFactory(),
        "logging": structlog.stdlib.LoggerFactory(),
    }
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=factories[way])
    try:
        structlog.get_logger("shop").warning("paid", amount=7)
    finally:
        structlog.reset_defaults()
        logging.setLoggerClass(logging.Logger)
    assert len(capture.lines) == 1
    assert '"amount": 7' in capture.lines[0]


def test_lines_of_one_invocation_have_a_limit(capture, capfd):
    """The last line tells how many were left out, also when the invocation fails."""
    alone()
    log = logging.getLogger("shop")
    for i in range(logs.ROOM // logs.LINE_COST + 500):
        log.info("line %d", i)
    count = len(capture.lines)
    assert count < logs.ROOM // logs.LINE_COST
    lines = capture.finished()
    assert len(lines) == count + 1
    assert f"{logs.ROOM // logs.LINE_COST + 500 - count} more log lines" in lines[-1]
    assert capture.finished() == lines


def test_one_line_has_a_limit(capture):
    """It is cut, with what is missing."""
    alone()
    logging.getLogger("shop").info("%s", "x" * 1_000_000)
    assert len(capture.lines[0]) < logs.LONGEST_LINE + 100
    assert "characters more" in capture.lines[0]
