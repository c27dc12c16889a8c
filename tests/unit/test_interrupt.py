"""interrupt.py: DeadlineExceeded strikes inside of the handler that it is for, or nowhere."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import uvloop

from fastworker.errors import DeadlineExceeded
from fastworker.ipc.signals import SOFT_SIGNAL
from fastworker.worker.interrupt import MainThread

HOUR_NS = 3600 * 10**9


@pytest.fixture
def main_thread() -> Iterator[MainThread]:
    before = signal.getsignal(SOFT_SIGNAL)
    runner = MainThread()
    runner.listen()
    yield runner
    signal.signal(SOFT_SIGNAL, before)


def strike() -> None:
    """The signal, handled before this returns."""
    signal.raise_signal(SOFT_SIGNAL)


def never() -> str:
    raise AssertionError("the deadline has not struck")


def test_a_signal_at_the_deadline_ends_the_handler(main_thread):
    """It sees DeadlineExceeded and can clean up; what on_deadline says is the result."""
    seen = []

    def body() -> str:
        try:
            strike()
        except DeadlineExceeded:
            seen.append("cleaned up")
            raise
        return "not reached"

    assert main_thread.run(time.monotonic_ns(), body, lambda: "late") == "late"
    assert seen == ["cleaned up"]


def test_a_signal_before_the_deadline_does_nothing(main_thread):
    """It was meant for the handler before this one."""

    def body() -> str:
        strike()
        return "in time"

    assert main_thread.run(time.monotonic_ns() + HOUR_NS, body, never) == "in time"


def test_a_signal_after_the_end_does_nothing(main_thread):
    """Between two handlers, and after one that failed, there is nobody to interrupt."""
    strike()
    assert main_thread.run(1, lambda: "done", never) == "done"
    strike()
    with pytest.raises(ZeroDivisionError):
        main_thread.run(1, lambda: str(1 // 0), never)
    strike()
    with pytest.raises(SystemExit):
        main_thread.run(1, lambda: exit(3), never)  # noqa: PLR1722 - what user code does
    strike()


def test_a_deadline_strikes_once(main_thread):
    """The handler's clean-up, and the answer that it is late, are not interrupted by a second signal."""
    seen = []

    def body() -> str:
        try:
            strike()
        finally:
            strike()
            seen.append("cleaned up")
        return "not reached"

    def late() -> str:
        strike()
        return "late"

    assert main_thread.run(1, body, late) == "late"
    assert seen == ["cleaned up"]


def test_a_handler_that_survives_its_deadline_has_its_result(main_thread):
    """It caught DeadlineExceeded and has an answer all the same."""

    def body() -> str:
        try:
            strike()
        except DeadlineExceeded:
            return "half of it"
        return "not reached"

    assert main_thread.run(1, body, never) == "half of it"


def test_except_exception_does_not_swallow_a_deadline(main_thread):
    """A stray `except Exception` in user code is common."""

    def body() -> str:
        try:
            strike()
        except Exception:
            return "swallowed"
        return "not reached"

    assert main_thread.run(1, body, lambda: "late") == "late"


@pytest.mark.parametrize("caught", [False, True])
def test_a_deadline_inside_an_import_is_told_with_the_modules(main_thread, tmp_path, monkeypatch, caught):
    """All that are half-made, the innermost first; also if somebody catches it on the way."""
    package = tmp_path / "half_made_package"
    package.mkdir()
    (package / "__init__.py").write_text("from half_made_package import inner\n")
    (package / "inner.py").write_text(f"import signal\nsignal.raise_signal({int(SOFT_SIGNAL)})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    told: list[list[str]] = []
    main_thread.listen(told.append)

    def body() -> str:
        try:
            import half_made_package  # type: ignore[import-not-found]  # noqa: F401, PLC0415
        except DeadlineExceeded:
            if not caught:
                raise
        return "caught"

    assert main_thread.run(time.monotonic_ns(), body, lambda: "late") == ("caught" if caught else "late")
    assert told == [["half_made_package.inner", "half_made_package"]]


def test_a_deadline_outside_of_an_import_is_nobodys_import(main_thread):
    """Even where an import has led to the handler."""
    told: list[list[str]] = []
    main_thread.listen(told.append)
    assert main_thread.run(time.monotonic_ns(), strike, lambda: "late") == "late"
    assert told == []


def spin() -> None:
    while True:
        pass


async def wait() -> None:
    await asyncio.sleep(3600)


async def spin_in_a_task() -> None:
    """Which nobody awaits: what is raised there would stay there."""
    task = asyncio.ensure_future(asyncio.sleep(0))
    task.add_done_callback(lambda _: spin())
    await asyncio.sleep(3600)


async def compute() -> None:
    spin()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("work", [wait, compute, spin_in_a_task])
def test_a_handler_that_runs_a_loop_of_its_own_is_ended(main_thread, run, work):
    """Wherever in it the deadline strikes; its coroutines can clean up, and so can the handler."""
    seen = []

    async def cleans_up() -> None:
        try:
            await work()
        finally:
            seen.append("coroutine")

    def body() -> str:
        try:
            run(cleans_up())
        except DeadlineExceeded:
            seen.append("handler")
            raise
        return "not reached"

    timer = threading.Timer(0.05, os.kill, (os.getpid(), SOFT_SIGNAL))
    timer.start()
    assert main_thread.run(1, body, lambda: "late") == "late"
    timer.join()
    assert seen == ["coroutine", "handler"]
