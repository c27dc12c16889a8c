"""interrupt.py: DeadlineExceeded strikes inside of the handler that it is for, or nowhere."""

import gc
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastworker.errors import DeadlineExceeded
from fastworker.interrupt import SOFT_SIGNAL, MainThread, OtherThread

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


# -- on the main thread ----------------------------------------------------------------------------------------------


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


# -- in other threads ------------------------------------------------------------------------------------------------


def test_a_handler_in_a_thread_is_interrupted():
    """While it computes, from outside; it can clean up."""
    runner, inside, seen = OtherThread(), threading.Event(), []

    def compute() -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            pass

    def body() -> str:
        try:
            inside.set()
            # In a frame of its own: from 3.13 on a loop's jump back is outside of the `try` around the loop.
            compute()
        except DeadlineExceeded:
            seen.append("cleaned up")
            raise
        return "not interrupted"

    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(runner.run, body, lambda: "late")
        assert inside.wait(10)
        runner.interrupt()
        assert result.result(20) == "late"
    assert seen == ["cleaned up"]


def test_a_thread_that_has_ended_its_handler_is_not_interrupted():
    """Neither before nor after: the thread has other work by then."""
    runner = OtherThread()
    runner.interrupt()
    assert runner.run(lambda: "done", never) == "done"
    runner.interrupt()
    with pytest.raises(ZeroDivisionError):
        runner.run(lambda: str(1 // 0), never)
    runner.interrupt()
    assert sum(range(1000)) == 499_500


def test_an_interrupt_that_was_asked_for_in_the_last_moment_is_taken_back():
    """The handler ends with the exception pending: it strikes inside of run, or never."""
    runner = OtherThread()

    def body() -> str:
        runner.interrupt()  # this very thread: raised at the next chance that the interpreter gets
        return "done"

    assert runner.run(body, lambda: "late") in ("done", "late")
    assert sum(range(1000)) == 499_500


@pytest.fixture
def without_collector() -> Iterator[None]:
    """An exception that strikes inside of a callback of the collector (hypothesis has one) is lost, and reported."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_an_interrupt_never_reaches_the_threads_next_task():
    """However the two race: each task ends as done or late, and the one after it is left in peace."""
    results: list[str] = []
    leaked: list[BaseException] = []
    offered: list[OtherThread] = []
    end = threading.Event()

    def body() -> str:
        sum(range(len(results) % 50 * 20))
        return "done"

    def work() -> None:
        while not end.is_set():
            try:
                runner = OtherThread()
                offered.append(runner)
                results.append(runner.run(body, lambda: "late"))
                sum(range(200))  # the next task
            except BaseException as error:
                leaked.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until = time.monotonic() + 1.0
    while time.monotonic() < until and not leaked:
        if offered:
            offered[-1].interrupt()
    end.set()
    thread.join(10)
    assert not thread.is_alive()
    assert leaked == []
    assert set(results) == {"done", "late"}
