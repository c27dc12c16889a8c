"""watchdog.py: whatever two steps of a worker a scan falls between, one that moves lives; one that does not, ends."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastworker.ipc.board import BEGUN, REST_S, Board, Phase, WorkerRow
from fastworker.ipc.counters import base_of
from fastworker.ipc.linux import MainThread
from fastworker.ipc.processes import Process
from fastworker.ipc.seat import LoopSeat, Seat
from fastworker.ipc.signals import WAKE_SIGNAL
from fastworker.supervisor.ticks import SCAN_S
from fastworker.supervisor.watchdog import MISSED_BEAT_S, REST_LOOK_S, STALLED_S, Watchdog

NUMBER, SLOT = 10_000, 0
FAR = 1 << 60  # no deadline strikes here

# What a worker does between two of its steps, and so how long that may take.
WORK, USER, REST = "a moment of its own work", "user code", "as long as it rests"
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


def resting(seat: Seat) -> Life:
    seat.beat()
    yield WORK
    seat.resting(True)
    seat.beat()
    yield REST
    seat.beat()
    yield REST
    seat.resting(False)
    yield WORK
    yield from def_handler(seat)


LIVES: list[Callable[[Seat], Life]] = [
    def_handler,
    pipelined,
    async_handler,
    stream_of_a_def,
    stream_of_a_coroutine,
    stop_hooks,
    idle,
    resting,
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
        begun = BEGUN

        class Packed:
            def pack_into(_, *arguments: Any) -> None:  # noqa: N805
                begun.pack_into(*arguments)
                self._stored()

            unpack_from = begun.unpack_from

        monkeypatch.setattr("fastworker.ipc.seat.BEGUN", Packed())
        monkeypatch.setattr("fastworker.supervisor.watchdog.log.error", lambda *_, **__: None)
        kill = lambda *_: self.killed_s.append(self.now_s)  # noqa: E731
        self.watchdog = Watchdog(Loop(), self.board, Connections(), None, 1.0, kill)  # type: ignore[arg-type]
        self.watchdog.watch(SLOT, Process(4711, None))
        self.main_thread = MainThread("S", 100)
        monkeypatch.setattr("fastworker.ipc.linux.main_thread", lambda _: self.main_thread)
        self.on_wake: Callable[[], None] = lambda: None
        monkeypatch.setattr(self.watchdog, "_signal", self._signal)

    def _stored(self) -> None:
        self.stores += 1
        self.on_store()

    def _signal(self, slot: int, watch: object, number: int) -> None:
        if number == WAKE_SIGNAL:
            self.on_wake()

    def look(self, late_s: float = 0) -> None:
        self.watchdog.look(int(self.now_s * 1e9), late_s, [SLOT])

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
            room.pass_time({USER: user_s, REST: REST_S}.get(step, SCAN_S))
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
        room.pass_time({USER: 10, REST: REST_S}.get(step, 0))
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
            room.pass_time(5 if steps[passed] in (USER, REST) and passed < stopped_at else 0)
        began_s = room.now_s
        room.main_thread = MainThread("T", 100)
        room.pass_time(MISSED_BEAT_S + STALLED_S + 0.3)
        row = room.board.connection(NUMBER)
        if step is USER or (row.owner is not None and (row.phase is Phase.RUNNING or row.is_stream)):
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
    room.look(late_s=3600)
    began_s = room.now_s
    room.pass_time(5)
    assert began_s + 1 + STALLED_S < room.killed_s[0] < began_s + 1 + STALLED_S + 0.5


def at_rest(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room(monkeypatch)
    room.seat.beat()
    room.seat.resting(True)
    room.pass_time(2, SCAN_S)
    assert room.watchdog.all_rest
    return room


def test_a_worker_that_rests_is_left_in_peace(monkeypatch):
    """It need not beat more than once in REST_S, and is not woken."""
    room = at_rest(monkeypatch)
    room.on_wake = lambda: pytest.fail("woken")
    for _ in range(3):
        room.pass_time(REST_S)
        room.seat.beat()
    assert room.killed_s == []


@pytest.mark.parametrize("scan_s", [SCAN_S, 1.0], ids=["awake", "asleep"])
def test_a_worker_that_says_it_rests_and_runs_is_killed_if_it_does_not_beat(monkeypatch, scan_s):
    """It may have got an event, and wait for a lock that user code never gives up."""
    room = at_rest(monkeypatch)
    began_s = room.now_s
    while not room.killed_s and room.now_s < began_s + 10:
        room.main_thread = MainThread("S", room.main_thread.switches + 1)
        room.pass_time(scan_s, scan_s)
    assert STALLED_S < room.killed_s[0] - began_s < STALLED_S + REST_LOOK_S + 2 * scan_s


def test_a_worker_that_is_interrupted_while_it_rests_lives(monkeypatch):
    """The app may have a timer whose signal comes all the time: the worker beats when it is woken."""
    room = at_rest(monkeypatch)
    woken: list[float] = []

    def on_wake() -> None:
        woken.append(room.now_s)
        room.seat.beat()

    room.on_wake = on_wake
    for _ in range(500):
        room.main_thread = MainThread("S", room.main_thread.switches + 2)
        room.pass_time(SCAN_S, SCAN_S)
    assert room.killed_s == []
    assert 1 <= len(woken) <= 10


def test_a_worker_that_rests_longer_than_it_may_is_killed(monkeypatch):
    """Whatever the kernel says of it."""
    room = at_rest(monkeypatch)
    began_s = room.now_s
    room.pass_time(REST_S + 2 * STALLED_S + 1)
    assert REST_S < room.killed_s[0] - began_s < REST_S + 2 * STALLED_S + 1


def test_not_all_rest_while_the_loop_has_something_in_flight(monkeypatch):
    """The main thread rests while an async function runs, whose deadline is to be kept."""
    room = at_rest(monkeypatch)
    loop_seat = LoopSeat(room.board, SLOT, 4711)
    for begin, end in (
        (lambda: loop_seat.arm(NUMBER, FAR), lambda: loop_seat.disarm(NUMBER)),
        (loop_seat.beat, loop_seat.rest),
    ):
        begin()
        room.pass_time(1)
        assert not room.watchdog.all_rest
        end()
        room.pass_time(1)
        assert room.watchdog.all_rest
