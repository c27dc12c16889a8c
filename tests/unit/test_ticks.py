"""ticks.py: nothing that becomes due is slept through, whatever two steps of a worker the looks fall between."""

from collections.abc import Callable

import pytest

from fastworker.ipc.board import Board
from fastworker.ipc.seat import Seat
from fastworker.supervisor.ticks import SCAN_S, SLOW_SCAN_S, Ticks


class Clock:
    """A loop with timers, and the time, which passes only here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        self.timers: list[Timer] = []
        monkeypatch.setattr("fastworker.supervisor.ticks.time.monotonic_ns", lambda: int(self.now_s * 1e9))

    def call_later(self, in_s: float, callback: Callable[[], None]) -> "Timer":
        timer = Timer(self, self.now_s + in_s, callback)
        self.timers.append(timer)
        return timer

    def pass_time(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.timers and min(timer.at_s for timer in self.timers) <= until_s:
            timer = min(self.timers, key=lambda timer: timer.at_s)
            self.timers.remove(timer)
            self.now_s = max(self.now_s, timer.at_s)
            timer.callback()
        self.now_s = until_s


class Timer:
    def __init__(self, clock: Clock, at_s: float, callback: Callable[[], None]) -> None:
        self.clock, self.at_s, self.callback = clock, at_s, callback

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


class Room:
    """A board, one worker at it, and a supervisor that looks whether it rests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock(monkeypatch)
        self.board = Board(1, 10_000, 1)
        self.seat = Seat(self.board, 0, 4711)
        self.looks: list[tuple[float, float]] = []
        self.before_look: Callable[[], None] = lambda: None
        self.after_look: Callable[[], None] = lambda: None
        self.ticks = Ticks(self.clock, self.board, self.look)  # type: ignore[arg-type]
        self.ticks.start()

    def look(self, now_ns: int, late_s: float) -> bool:
        self.before_look()
        self.looks.append((self.clock.now_s, late_s))
        is_due = not self.board.worker(0).rests
        self.after_look()
        return is_due

    def looks_in(self, seconds: float) -> int:
        before = len(self.looks)
        self.clock.pass_time(seconds)
        return len(self.looks) - before

    def stop_resting(self) -> None:
        """As worker/run.py does."""
        self.seat.resting(False)
        if self.board.asleep:
            self.ticks.rouse()


def test_looks_come_every_20_ms_while_anything_is_due(monkeypatch):
    """A worker that does not rest may begin with an invocation at any time."""
    assert 49 <= Room(monkeypatch).looks_in(1.0) <= 51


def test_looks_come_once_a_second_while_nothing_is_due(monkeypatch):
    """After two looks that have found nothing."""
    room = Room(monkeypatch)
    room.seat.resting(True)
    room.clock.pass_time(1)
    assert room.looks_in(10.0) == 10
    assert room.board.asleep


def test_a_worker_that_stops_resting_is_looked_at_at_once(monkeypatch):
    """And every 20 ms from then on, until it rests again."""
    room = Room(monkeypatch)
    room.seat.resting(True)
    room.clock.pass_time(1.5)
    room.stop_resting()
    assert room.looks_in(0.001) == 1
    assert not room.board.asleep
    assert 49 <= room.looks_in(1.0) <= 51
    room.seat.resting(True)
    room.clock.pass_time(2)
    assert room.looks_in(5.0) == 5


@pytest.mark.parametrize("unseen_s", [0.0, SCAN_S / 2, SCAN_S * 0.99])
@pytest.mark.parametrize("look", range(6))
@pytest.mark.parametrize("side", ["before_look", "after_look"])
def test_a_worker_that_stops_resting_around_any_look_is_seen_soon(monkeypatch, look, side, unseen_s):
    """Also where its store is seen `unseen_s` later than what it looked at behind it: nothing orders the two."""
    room = Room(monkeypatch)
    room.seat.resting(True)
    stopped_s = 0.0

    def on_look() -> None:
        nonlocal stopped_s
        if len(room.looks) >= look and not stopped_s:
            stopped_s = room.clock.now_s
            if room.board.asleep:
                room.stop_resting()
            else:
                room.clock.call_later(unseen_s, lambda: room.seat.resting(False))

    setattr(room, side, on_look)
    room.clock.pass_time(look * SLOW_SCAN_S + 1)
    assert stopped_s
    assert not room.board.asleep
    seen = [at_s for at_s, _ in room.looks if at_s > stopped_s]
    assert seen[1] - stopped_s <= 2 * SCAN_S + 0.001, "the second look behind it, which sees it for certain"
    assert 49 <= room.looks_in(1.0) <= 51


def test_a_look_that_begins_something_makes_no_second_timer(monkeypatch):
    """What follows from a look may rouse the supervisor, which is awake in it, and stays so."""
    room = Room(monkeypatch)
    room.seat.resting(True)
    room.clock.pass_time(3)
    room.after_look = room.ticks.rouse
    room.clock.pass_time(1)
    assert 49 <= room.looks_in(1.0) <= 51
    assert len(room.clock.timers) == 1


def test_lateness_is_that_of_the_plan(monkeypatch):
    """Who sleeps for a second as planned is not late; a machine that was suspended is."""
    room = Room(monkeypatch)
    room.seat.resting(True)
    room.clock.pass_time(5)
    assert max(late_s for _, late_s in room.looks) < 0.001
    (timer,) = room.clock.timers
    room.clock.now_s += 60
    room.clock.pass_time(0)
    assert room.looks[-1][1] == pytest.approx(room.clock.now_s - timer.at_s, abs=0.01)


def test_nothing_looks_any_more_once_stopped(monkeypatch):
    """Also if that comes from a look, or something is begun behind it."""
    room = Room(monkeypatch)
    room.after_look = room.ticks.stop
    room.clock.pass_time(0)
    room.ticks.rouse()
    assert room.looks_in(3.0) == 0
