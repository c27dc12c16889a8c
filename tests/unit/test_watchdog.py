"""watchdog.py: whatever two steps of a worker a scan falls between, one that moves lives; one that does not, ends."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastworker.ipc import board as board_module
from fastworker.ipc.board import Board, Seat, WorkerRow
from fastworker.ipc.counters import base_of
from fastworker.ipc.processes import Process
from fastworker.supervisor.watchdog import MISSED_BEAT_S, SCAN_S, STALLED_S, Watchdog

NUMBER, SLOT = 10_000, 0
FAR = 1 << 60  # no deadline strikes here

# What a worker does between two of its steps, and so how long that may take.
WORK, USER = "a moment of its own work", "user code"
Life = Iterator[str]
TALLY = base_of(0)


def begin(seat: Seat) -> None:
    seat.begin(NUMBER, 0, FAR, False, False, b"id", b"slow")


def answer(seat: Seat) -> Life:
    seat.answering(NUMBER, 0, 100, False, False, TALLY)
    yield WORK  # send(2), on a busy machine
    seat.release(NUMBER)
    yield WORK


def def_handler(seat: Seat) -> Life:
    seat.beat()
    seat.take(NUMBER, FAR)
    yield WORK
    seat.reading(NUMBER)
    yield WORK
    begin(seat)
    yield WORK
    seat.inline(FAR)
    yield USER
    seat.inline(0)
    yield WORK
    yield from answer(seat)


def pipelined(seat: Seat) -> Life:
    """One after the other on one connection, and never a turn of the loop between them."""
    for _ in range(3):
        begin(seat)
        seat.inline(FAR)
        yield USER
        seat.inline(0)
        yield WORK
        seat.answering(NUMBER, 0, 100, False, False, TALLY)
        yield WORK
    seat.release(NUMBER)


def async_handler(seat: Seat) -> Life:
    """A coroutine that computes: the loop does not turn, and `inline` is not set."""
    seat.take(NUMBER, FAR)
    begin(seat)
    seat.arm(NUMBER, FAR)
    yield USER
    yield from answer(seat)


def stream_of_a_def(seat: Seat) -> Life:
    seat.take(NUMBER, FAR)
    begin(seat)
    seat.inline(FAR)
    yield USER
    seat.streaming(NUMBER, 0, False)
    yield USER
    seat.inline(0)
    yield WORK
    seat.streamed(NUMBER, False, TALLY)
    yield WORK
    seat.release(NUMBER)
    yield WORK


def stream_of_a_coroutine(seat: Seat) -> Life:
    """Another request is pipelined behind it."""
    seat.take(NUMBER, FAR)
    begin(seat)
    seat.arm(NUMBER, FAR)
    yield USER
    seat.streaming(NUMBER, 0, False)
    yield USER
    seat.streamed(NUMBER, False, TALLY)
    yield WORK
    begin(seat)
    yield USER
    yield from answer(seat)


def stop_hooks(seat: Seat) -> Life:
    seat.arm(0, FAR)
    seat.inline(FAR)
    yield USER


def idle(seat: Seat) -> Life:
    for _ in range(4):
        seat.beat()
        yield WORK


LIVES: list[Callable[[Seat], Life]] = [
    def_handler,
    pipelined,
    async_handler,
    stream_of_a_def,
    stream_of_a_coroutine,
    stop_hooks,
    idle,
]


class Stored:
    """The board's words as the worker writes them: `between` is called behind each single store."""

    def __init__(self, words: Any, between: Callable[[], None]) -> None:
        self._words = words
        self._between = between

    def __getitem__(self, key: Any) -> Any:
        return self._words[key]

    def __setitem__(self, key: int, value: int) -> None:
        self._words[key] = value
        self._between()


class Loop:
    """Deadlines are another test's."""

    def call_later(self, *_: object) -> None:
        raise AssertionError("no deadline is near")


class Connections:
    def open_numbers(self) -> list[int]:
        return [NUMBER]


class Room:
    """A board, a worker at it, a watchdog, and the time, which passes only here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.killed_s: list[float] = []
        self.now_s = 1_000.0
        self.stores = 0
        self.on_store: Callable[[], None] = lambda: None
        self.board = Board(1, NUMBER, 1)
        self.seat = Seat(self.board, SLOT, pid=4711)
        self.seat._words = Stored(self.seat._words, self._stored)  # type: ignore[assignment]
        begun = board_module._BEGUN

        class Packed:
            def pack_into(_, *arguments: Any) -> None:  # noqa: N805
                begun.pack_into(*arguments)
                self._stored()

            unpack_from = begun.unpack_from

        monkeypatch.setattr(board_module, "_BEGUN", Packed())
        monkeypatch.setattr("fastworker.supervisor.watchdog.log.error", lambda *_, **__: None)
        kill = lambda *_: self.killed_s.append(self.now_s)  # noqa: E731
        self.watchdog = Watchdog(Loop(), self.board, Connections(), None, 1.0, kill)  # type: ignore[arg-type]
        self.watchdog._looked_ns = int(self.now_s * 1e9)
        self.watchdog.watch(SLOT, Process(4711, None))
        monkeypatch.setattr(self.watchdog, "_signal", lambda *_: None)

    def _stored(self) -> None:
        self.stores += 1
        self.on_store()

    def look(self) -> None:
        self.watchdog.look(int(self.now_s * 1e9), [SLOT])

    def pass_time(self, seconds: float, scan_s: float = 0.1) -> None:
        until = self.now_s + seconds
        while self.now_s < until:
            self.now_s += scan_s
            self.look()


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
@pytest.mark.parametrize("user_s", [0.0, MISSED_BEAT_S, STALLED_S, STALLED_S + MISSED_BEAT_S, 20.0])
def test_a_worker_that_goes_on_is_never_killed(monkeypatch, life, user_s):
    """Held up between any two of its stores for nearly as long as is allowed, behind user code of any length."""
    whole = Room(monkeypatch)
    for _ in life(whole.seat):
        pass
    for held_at in range(whole.stores + 1):
        room = Room(monkeypatch)

        def hold(room: Room = room, held_at: int = held_at) -> None:
            room.look()  # between any two
            if room.stores == held_at:
                room.pass_time(STALLED_S - 0.2)

        room.on_store = hold
        for step in life(room.seat):
            room.pass_time(user_s if step is USER else SCAN_S)
        assert room.killed_s == [], f"held at store {held_at} of {whole.stores}"


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_a_scan_that_reads_half_of_a_step_ends_nobody(monkeypatch, life):
    """The words of a row are not read at one instant: some may be of before a step, and some of after it."""
    room = Room(monkeypatch)
    before = room.board.worker(SLOT)

    def tear() -> None:
        nonlocal before
        after = room.board.worker(SLOT)
        for cut in range(1, len(after)):
            room.board.worker = lambda _, cut=cut: WorkerRow(*before[:cut], *after[cut:])  # type: ignore[method-assign]
            room.look()
            room.now_s += SCAN_S
        del room.board.worker  # type: ignore[method-assign]
        before = after

    room.on_store = tear
    for step in life(room.seat):
        room.pass_time(10 if step is USER else 0)
    assert room.killed_s == []


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_a_worker_that_stops_outside_of_user_code_is_killed_soon(monkeypatch, life):
    """Wherever that may be, and once, as long as it takes to die; in user code its deadlines end it."""
    steps = [*life(Room(monkeypatch).seat)]
    for stopped_at, step in enumerate(steps):
        room = Room(monkeypatch)
        running = life(room.seat)
        for passed in range(stopped_at + 1):
            next(running)
            room.pass_time(5 if steps[passed] is USER and passed < stopped_at else 0)
        began_s = room.now_s
        room.pass_time(MISSED_BEAT_S + STALLED_S + 0.3)
        row = room.board.connection(NUMBER)
        if step is USER or (row.owner is not None and (row.phase is board_module.Phase.RUNNING or row.is_stream)):
            assert room.killed_s == []
        else:
            assert len(room.killed_s) == 1, f"stopped at step {stopped_at}"
            assert room.killed_s[0] - began_s > STALLED_S


def test_who_was_still_while_the_supervisor_stood_still_is_spared(monkeypatch):
    """A suspended machine: the workers have the grace to come back, and then two seconds more."""
    room = Room(monkeypatch)
    monkeypatch.setattr("fastworker.supervisor.watchdog.log.warning", lambda *_, **__: None)
    room.seat.beat()
    room.pass_time(1)
    room.now_s += 3600
    began_s = room.now_s
    room.pass_time(5)
    assert began_s + 1 + STALLED_S < room.killed_s[0] < began_s + 1 + STALLED_S + 0.5
