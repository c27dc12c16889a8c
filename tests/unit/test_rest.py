"""rest.py: whoever is wanted gets up, and no event is lost however the two race."""

import os
import random
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fastworker.ipc.signals import WAKE_SIGNAL
from fastworker.worker.rest import Rest

LONG_S = 30.0


class Loop:
    """The loop's thread, as far as Rest needs it: calls later what it is given, until it is closed."""

    def __init__(self) -> None:
        self._due: list[tuple[float, Callable[..., None], tuple[object, ...]]] = []
        self._todo: list[Callable[[], None]] = []
        self._open = True
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def call_later(self, seconds: float, callback: Callable[..., None], *arguments: object) -> None:
        self._due.append((time.monotonic() + seconds, callback, arguments))

    def do(self, step: Callable[[], None]) -> None:
        self._todo.append(step)

    def _run(self) -> None:
        while self._open or self._todo:
            while self._todo:
                self._todo.pop(0)()
            now = time.monotonic()
            due, self._due = [d for d in self._due if d[0] <= now], [d for d in self._due if d[0] > now]
            for _, callback, arguments in due:
                callback(*arguments)

    def close(self) -> None:
        self._open = False
        self.thread.join()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def rest(loop: Loop) -> Iterator[Rest]:
    before = signal.getsignal(WAKE_SIGNAL)
    rest = Rest(loop)  # type: ignore[arg-type]
    rest.listen()
    yield rest
    signal.signal(WAKE_SIGNAL, before)


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


def test_an_event_ends_the_rest(rest, epoll):
    """As it would end the poll itself; without one, the time does."""
    event = os.eventfd(1)
    epoll.register(event, select.EPOLLIN)
    assert rest.rest(epoll.poll, LONG_S) == [(event, select.EPOLLIN)]
    epoll.unregister(event)
    os.close(event)
    assert rest.rest(epoll.poll, 0.01) == []


def test_who_is_wanted_does_not_rest(rest, epoll):
    """Whoever wanted him may have said so before."""
    rest.wanted = True
    began = time.monotonic()
    assert rest.rest(epoll.poll, LONG_S) == []
    assert time.monotonic() - began < LONG_S / 2


def test_another_thread_ends_the_rest(rest, loop, epoll):
    """Again and again, and at whatever moment it comes: before, at the beginning, or in the middle."""
    chance = random.Random(1)
    began = time.monotonic()
    for _ in range(300):
        pause = chance.choice([0, 0, 0.00001, 0.0001, 0.002])
        loop.do(lambda pause=pause: loop.call_later(pause, rest.wake))
        while not rest.wanted:
            assert rest.rest(epoll.poll, LONG_S) == []
        rest.wanted = False
    assert time.monotonic() - began < LONG_S


def test_a_signal_for_nobody_does_nothing(rest, epoll):
    """It comes late: he is up already, and runs somebody's code."""
    signal.raise_signal(WAKE_SIGNAL)
    with pytest.raises(ZeroDivisionError):
        rest.rest(lambda *_: 1 // 0, LONG_S)
    signal.raise_signal(WAKE_SIGNAL)
    assert rest.rest(epoll.poll, 0) == []


def test_no_event_is_lost_by_getting_up(rest, loop, epoll):
    """A one-shot event is given once: if it came with the signal, it is there all the same."""
    event = os.eventfd(0, os.EFD_NONBLOCK)
    epoll.register(event, select.EPOLLIN | select.EPOLLONESHOT)
    chance = random.Random(2)
    for turn in range(1500):
        steps = [lambda: os.eventfd_write(event, 1), rest.wake]
        if chance.random() < 0.5:
            steps.reverse()
        for step in steps:
            loop.do(step)
        events: list[tuple[int, int]] = []
        until = time.monotonic() + LONG_S
        while not events:
            events = rest.rest(epoll.poll, 1)
            rest.wanted = False
            assert time.monotonic() < until, f"lost in turn {turn}"
        assert events == [(event, select.EPOLLIN)]
        os.eventfd_read(event)
        epoll.modify(event, select.EPOLLIN | select.EPOLLONESHOT)
    os.close(event)
