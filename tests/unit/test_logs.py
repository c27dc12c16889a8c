"""Where log lines go and how they look."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from fastworker import log_records, logs


@pytest.fixture(autouse=True)
def _restore():
    yield
    logs.configure()
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, logs.InvocationHandler)]
    root.setLevel(logging.WARNING)


def test_event_is_a_name_and_fields(capfd):
    """Text: one line, fields quoted where they need it."""
    logs.configure()
    logs.log.warning("worker.killed", slot=3, reason="its deadline", overdue_s=1.23456, note="")
    assert capfd.readouterr().err == 'WARNING worker.killed slot=3 reason="its deadline" overdue_s=1.235 note=""\n'


def test_event_as_json(capfd):
    """Fields are members; one object a line."""
    logs.configure("debug", "json")
    logs.log.debug("a.b", slot=3, text="x\ny")
    record = json.loads(capfd.readouterr().out)
    assert record.pop("time").endswith("Z")
    assert record == {"level": "debug", "event": "a.b", "slot": 3, "text": "x\ny"}


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_level_decides_what_is_written(capfd, level, written):
    """The same for events and for the standard logging; from WARNING on to stderr."""
    logs.configure(level)
    for method in ("debug", "info", "warning", "error"):
        getattr(logs.log, method)("event")
        getattr(logging, method)("record")
    captured = capfd.readouterr()
    assert len((captured.out + captured.err).splitlines()) == 2 * written
    told = "WARNING event\nWARNING record\n" if written > 1 else ""
    assert captured.err == f"{told}ERROR event\nERROR record\n"


def test_records_outside_an_invocation_go_to_stdout(capfd):
    """With their logger's name in JSON."""
    logs.configure("info", "json")
    logging.getLogger("my.logger").info("hi %s", "you")
    record = json.loads(capfd.readouterr().out)
    assert (record["event"], record["logger"], record["level"]) == ("hi you", "my.logger", "info")


def test_message_with_lines_never_begins_a_line(capfd):
    """Protocol 5.4: the host takes lines that begin with LanguageWorkerConsoleLog for its own."""
    logs.configure()
    logging.info("LanguageWorkerConsoleLog a\nLanguageWorkerConsoleLog b")
    logging.info("")
    assert capfd.readouterr().out == "INFO LanguageWorkerConsoleLog a\n  LanguageWorkerConsoleLog b\nINFO \n"


def test_captured_lines_keep_order_level_and_line_breaks():
    """One entry of `Logs` per record, exceptions with their traceback."""
    logs.configure()
    capture = logs.Capture("f", "id")
    token = logs.CURRENT.set(capture)
    try:
        logging.info("one\ntwo")
        try:
            raise ValueError("boom")
        except ValueError:
            logging.exception("failed")
        logging.warning("stack", stack_info=True)
    finally:
        logs.CURRENT.reset(token)
    assert capture.lines[0] == "INFO: one\ntwo"
    assert capture.lines[1].startswith("ERROR: failed\nTraceback")
    assert capture.lines[1].endswith("ValueError: boom")
    assert "Stack (most recent call last)" in capture.lines[2]


def test_message_that_cannot_be_formatted_is_shown_unformatted(capfd):
    """A wrong number of arguments must not cost an invocation."""
    logs.configure()
    record = logging.makeLogRecord(
        {"msg": "%d items", "args": ("three",), "levelname": "INFO", "levelno": logging.INFO}
    )
    logs.InvocationHandler().handle(record)
    assert "INFO %d items (cannot be formatted with its arguments: TypeError" in capfd.readouterr().out


def test_filters_of_the_handler_hold():
    """It skips logging's lock, not its rules."""
    handler = logs.InvocationHandler()
    handler.addFilter(lambda record: False)
    assert handler.handle(logging.makeLogRecord({"msg": "x"})) is False


def test_configuring_twice_leaves_one_handler():
    """A reload must not double the lines."""
    logs.configure()
    logs.configure()
    assert sum(isinstance(h, logs.InvocationHandler) for h in logging.getLogger().handlers) == 1


def test_importing_fastworker_and_its_logs_is_cheap():
    """The supervisor imports both, and none of what only workers need."""
    script = (
        "import sys, fastworker, fastworker.logs; "
        "print([m for m in ('msgspec', 'orjson', 'asyncio', 'numpy', 'fastworker.functions.app') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_public_names_are_there():
    """Imported when they are used."""
    import fastworker as fw  # noqa: PLC0415

    assert all(getattr(fw, name) is not None for name in fw.__all__)
    assert set(fw.__all__) <= set(dir(fw))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = fw.Nothing


@pytest.fixture
def direct(monkeypatch):
    """Loggers of a worker: records go into the invocation without being built."""
    monkeypatch.setattr(logging.Logger, "_log", logging.Logger._log)
    monkeypatch.setattr(logging.Logger, "callHandlers", logging.Logger.callHandlers)
    logs.configure()
    log_records.log_into_invocations_directly()
    capture = logs.Capture("f", "1")
    token = logs.CURRENT.set(capture)
    yield capture
    logs.CURRENT.reset(token)


def send_pytest_away(monkeypatch):
    """Its own handlers would want records."""
    ours = [handler for handler in logging.getLogger().handlers if isinstance(handler, logs.InvocationHandler)]
    monkeypatch.setattr(logging.getLogger(), "handlers", ours)


@pytest.mark.parametrize("name", ["", "app", "app.part"])
def test_direct_lines_are_those_of_records(direct, monkeypatch, name):
    """Level and formatted message, from any logger, whatever form the arguments have; and no record is built."""
    send_pytest_away(monkeypatch)
    monkeypatch.setattr(logging.Logger, "findCaller", None)
    log = logging.getLogger(name)
    log.info("plain %d")
    log.warning("%s and %s", 1, "two")
    log.error("%(key)s", {"key": "value"})
    log.log(logging.CRITICAL, "%s", "odd")
    assert direct.lines == ["INFO: plain %d", "WARNING: 1 and two", "ERROR: value", "CRITICAL: odd"]


def test_direct_lines_keep_tracebacks_and_complaints(direct, monkeypatch):
    """An exception's traceback, and arguments that do not fit, come as they always did."""
    send_pytest_away(monkeypatch)
    try:
        raise KeyError("lost")
    except KeyError:
        logging.exception("caught")
    logging.info("%d", "no number")
    assert direct.lines[0].startswith("ERROR: caught\nTraceback")
    assert "cannot be formatted" in direct.lines[1]


@pytest.mark.parametrize("watch", ["handler", "filter", "factory"])
def test_whoever_else_looks_at_records_gets_them(direct, monkeypatch, watch):
    """With the caller's file and function, for a handler, a filter or a record factory of the app."""
    send_pytest_away(monkeypatch)
    seen: list[Any] = []
    log = logging.getLogger("watched")
    if watch == "handler":
        handler = logging.Handler()
        handler.emit = seen.append  # type: ignore[assignment]
        monkeypatch.setattr(log, "handlers", [handler])
    elif watch == "filter":
        monkeypatch.setattr(log, "filters", [lambda record: seen.append(record) or True])
    else:
        factory = logging.getLogRecordFactory()
        monkeypatch.setattr(logging, "_logRecordFactory", lambda *a, **k: seen.append(factory(*a, **k)) or seen[0])
    log.info("hello %s", "there")
    assert direct.lines == ["INFO: hello there"]
    assert seen[0].getMessage() == "hello there"
    assert seen[0].filename == "test_logs.py"
    assert seen[0].funcName == "test_whoever_else_looks_at_records_gets_them"


def test_logger_that_does_not_propagate_stays_out_of_the_invocation(direct, monkeypatch):
    """What the app has cut off from the root does not come back by the short way."""
    log = logging.getLogger("cut.off")
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [logging.NullHandler()])
    log.info("secret")
    assert direct.lines == []
