"""board.py: the drawn layout, and what one side writes and the other reads."""

from typing import Any

import pytest

from fastworker.ipc import board
from fastworker.ipc.board import Board, ConnectionRow, Phase, WorkerRow
from fastworker.ipc.counters import base_of
from fastworker.ipc.seat import LoopSeat, Seat

FIRST, SLOTS, CONNECTIONS = 10_000, 3, 5
NUMBERS = range(FIRST, FIRST + CONNECTIONS)
TALLY = base_of(0) + 20


@pytest.fixture
def shared() -> Board:
    return Board(SLOTS, FIRST, CONNECTIONS)


def begin(seat: Seat, number: int, hard_ns: int = 900, **changes) -> None:
    facts: dict[str, Any] = {
        "sent_ns": 100,
        "closing": False,
        "head": False,
        "invocation_id": b"id-1",
        "function": b"order",
    }
    seat.begin(number, hard_ns=hard_ns, **(facts | changes))


def answer(seat: Seat, number: int, before: int, length: int, **changes) -> None:
    seat.answering(number, before, length, **({"closing": False, "failed": False, "tally": TALLY} | changes))


def worker_facts(board: Board) -> list[WorkerRow]:
    return [board.worker(slot) for slot in range(SLOTS)]


def test_the_rows_are_as_large_as_they_are_drawn():
    """A row that is larger than its place would run into the next one."""
    assert board.LETTING < board.WORKER_WORDS
    assert board.BEGUN_OFFSET + board.BEGUN.size == board.CONNECTION_WORDS * 8
    shared = Board(SLOTS, FIRST, CONNECTIONS)
    words = board.HEADER_WORDS + SLOTS * board.WORKER_WORDS + CONNECTIONS * board.CONNECTION_WORDS
    assert len(shared._memory) == words * 8


def test_a_new_board_says_that_nobody_does_anything(shared):
    """Zeros are the resting state of every row."""
    assert shared.drain_ns == 0
    assert worker_facts(shared) == [WorkerRow(*[0] * 9)] * SLOTS
    assert [shared.owner(number) for number in NUMBERS] == [None] * CONNECTIONS
    assert shared.connection(FIRST) == ConnectionRow(None, Phase.TAKEN, 0, 0, 0, 0, False, False, "", "")


def test_a_request_is_on_the_board_from_its_event_to_its_answer(shared):
    """The phases in their order, each with what the supervisor would need there."""
    seat, number = Seat(shared, 2, pid=4711), FIRST + 3
    seat.take(number, until_ns=50)
    assert (shared.owner(number), shared.connection(number).phase) == (2, Phase.TAKEN)
    assert shared.worker(2).deadline_ns == 50
    seat.reading(number)
    assert shared.connection(number).phase is Phase.READING
    begin(seat, number, closing=True, head=True)
    expected = ConnectionRow(2, Phase.RUNNING, 100, 900, 0, 0, True, True, "id-1", "order")
    assert shared.connection(number) == expected
    assert shared.worker(2).deadline_ns == 900
    answer(seat, number, 77, 88, closing=False)
    expected = expected._replace(phase=Phase.ANSWERING, before=77, length=88, closing=False, tally=TALLY)
    assert shared.connection(number) == expected
    seat.release(number)
    assert shared.owner(number) is None
    assert shared.worker(2).deadline_ns == 0


def test_a_stream_has_no_length_on_the_board(shared):
    """Whatever is out, it is never the whole; and it is counted when it has ended, not when it begins."""
    seat, number = Seat(shared, 1, pid=4711), FIRST + 2
    seat.take(number, until_ns=50)
    seat.reading(number)
    begin(seat, number)
    seat.streaming(number, 77, True)
    row = shared.connection(number)
    assert (row.phase, row.before, row.length, row.closing) == (Phase.ANSWERING, 77, board.ENDLESS, True)
    assert row.is_stream
    assert not row._replace(length=88).is_stream
    assert not row._replace(phase=Phase.RUNNING).is_stream
    assert shared.worker(1).deadline_ns == 900
    assert (shared.worker(1).served, shared.worker(1).failed) == (0, 0)
    seat.streamed(number, False, TALLY)
    assert shared.connection(number).tally == TALLY
    seat.streamed(number, True, TALLY)
    assert (shared.worker(1).served, shared.worker(1).failed) == (2, 1)
    seat.release(number)
    assert (shared.owner(number), shared.worker(1).deadline_ns) == (None, 0)


def test_an_answer_begins_with_nothing_written(shared):
    """The counts of the answer before must not look like this one's."""
    seat = Seat(shared, 0, pid=1)
    seat.take(FIRST, 1)
    begin(seat, FIRST)
    answer(seat, FIRST, 500, 60, closing=True)
    begin(seat, FIRST, invocation_id=b"", function=b"")
    row = shared.connection(FIRST)
    assert (row.before, row.length, row.closing, row.invocation_id, row.function) == (0, 0, False, "", "")


def test_the_rows_of_neighbours_stay_as_they_are(shared):
    """Every number has its own row, the first and the last one, too; so has every slot."""
    seats = [Seat(shared, slot, pid=slot + 100) for slot in range(SLOTS)]
    for index, number in enumerate(NUMBERS):
        seat = seats[index % SLOTS]
        seat.take(number, 1)
        begin(seat, number, hard_ns=index + 1, function=b"f" * 128, invocation_id=b"i" * 64)
        answer(seat, number, index + 10, index + 20, closing=bool(index % 2))
    for index, number in enumerate(NUMBERS):
        row = shared.connection(number)
        assert (row.owner, row.hard_ns, row.before, row.length) == (index % SLOTS, index + 1, index + 10, index + 20)
        assert (row.closing, row.function, row.invocation_id) == (bool(index % 2), "f" * 128, "i" * 64)
    assert [row.pid for row in worker_facts(shared)] == [100, 101, 102]
    assert shared.drain_ns == 0


def test_the_earliest_deadline_of_several_is_the_workers(shared):
    """Of the connection in the main thread's hands and of those on the loop, in whatever order they come and go."""
    seat, loop_seat = Seat(shared, 1, pid=1), LoopSeat(shared, 1, pid=1)

    def deadline() -> int:
        return shared.worker(1).deadline_ns

    seat.take(FIRST, 300)
    assert deadline() == 300
    begin(seat, FIRST, hard_ns=200)  # the one in hand has moved
    assert deadline() == 200
    loop_seat.arm(FIRST, 200)  # and goes to the loop: never without a deadline
    seat.disarm(FIRST)
    assert deadline() == 200
    seat.take(FIRST + 1, 100)
    assert deadline() == 100
    begin(seat, FIRST + 1, hard_ns=400)
    assert deadline() == 200
    loop_seat.arm(FIRST + 1, 400)
    seat.disarm(FIRST + 1)
    seat.take(FIRST + 2, 300)
    assert deadline() == 200
    loop_seat.release(FIRST)  # of those on the loop the earliest is done
    assert deadline() == 300
    seat.release(FIRST + 2)
    assert deadline() == 400
    loop_seat.arm(FIRST + 1, 450)
    assert deadline() == 450
    begin(loop_seat, FIRST + 1, hard_ns=500)
    assert deadline() == 500
    loop_seat.disarm(FIRST + 1)
    loop_seat.disarm(FIRST + 1)  # twice is once
    assert deadline() == 0
    assert [shared.worker(slot).deadline_ns for slot in (0, 2)] == [0, 0]


def test_what_both_threads_count_is_read_as_one(shared):
    """Each has words of its own, so that no addition of the one is lost to the other's."""
    seat, loop_seat = Seat(shared, 1, pid=1), LoopSeat(shared, 1, pid=1)
    for one, number in ((seat, FIRST), (loop_seat, FIRST + 1)):
        one.take(number, 1)
        answer(one, number, 0, 1, failed=True)
        one.streamed(number, False, TALLY)
        one.count_wait(base_of(0), 7)
    row = shared.worker(1)
    assert (row.served, row.failed, row.waited_ms) == (4, 2, 14)


def test_a_loop_that_rests_and_turns_again_is_seen_to_have_turned(shared):
    """Whatever was missed in between: a beat is never the same number twice."""
    loop_seat, seen = LoopSeat(shared, 1, pid=1), []
    for _ in range(3):
        loop_seat.beat()
        seen.append(shared.worker(1).loop_beat)
        loop_seat.rest()
        assert shared.worker(1).loop_beat == 0
    assert seen == [1, 2, 3]
    loop_seat.letting(True)
    assert shared.worker(1).letting == 1
    assert shared.worker(1).beat == 0


def test_what_a_forked_copy_writes_is_not_on_the_board(shared):
    """It has everything that the worker had, and takes part in nothing."""
    seat = Seat(shared, 0, pid=1)
    seat.take(FIRST, 50)
    seat.leave()
    seat.beat()
    seat.take(FIRST + 1, 60)
    begin(seat, FIRST, hard_ns=70)
    seat.release(FIRST)
    assert [shared.owner(FIRST), shared.owner(FIRST + 1)] == [0, None]
    assert (shared.worker(0).beat, shared.worker(0).deadline_ns) == (0, 50)


def test_long_texts_are_cut_and_odd_ones_survive(shared):
    """The row ends where it ends; bytes that are not text do not keep the supervisor from reading."""
    seat = Seat(shared, 0, pid=1)
    seat.take(FIRST, 1)
    seat.take(FIRST + 1, 1)
    begin(seat, FIRST + 1, function=b"next")
    begin(seat, FIRST, invocation_id=b"i" * 100, function=b"f" * 500)
    row = shared.connection(FIRST)
    assert (row.invocation_id, row.function) == ("i" * 64, "f" * 128)
    assert shared.connection(FIRST + 1).function == "next"
    begin(seat, FIRST, function=b"\xff\xc3", invocation_id=b"a\0b")
    row = shared.connection(FIRST)
    assert (row.function, row.invocation_id) == ("\xff\xc3", "a\0b")


def test_the_workers_own_counters(shared):
    """Beats, answers and their failures, milliseconds in the queue, user code on its own thread."""
    seat = Seat(shared, 1, pid=4711)
    seat.beat()
    seat.beat()
    seat.inline(1)
    seat.take(FIRST, 1)
    answer(seat, FIRST, 0, 1, failed=False)
    answer(seat, FIRST, 0, 1, failed=True)
    seat.release(FIRST)
    seat.count_wait(base_of(0), 7)
    seat.count_wait(base_of(0), 8)
    expected = WorkerRow(
        pid=4711, beat=3, inline_ns=1, deadline_ns=0, mail=0, served=2, failed=1, waited_ms=15, buffered=0
    )
    assert shared.worker(1) == expected
    seat.inline(0)
    assert shared.worker(1).inline_ns == 0


def test_mail_reaches_the_seat_of_its_slot(shared):
    """A busy worker sees by one load that something has come."""
    seats = [Seat(shared, slot, pid=1) for slot in range(SLOTS)]
    shared.post_mail(1)
    shared.post_mail(1)
    assert [seat.mail for seat in seats] == [0, 2, 0]


def test_a_slot_is_empty_for_its_next_worker(shared):
    """A new worker does not answer for what the last one left, nor does its neighbour lose anything."""
    for slot in (0, 1):
        seat = Seat(shared, slot, pid=4711)
        seat.take(FIRST + slot, 50)
        answer(seat, FIRST + slot, 0, 1, failed=True)
        shared.post_mail(slot)
    shared.clear_worker(1)
    assert shared.worker(1) == WorkerRow(*[0] * 9)
    assert (shared.worker(0).pid, shared.worker(0).deadline_ns) == (4711, 50)


def test_the_supervisor_releases_what_a_dead_worker_had(shared):
    """And only that; the drain's begin is in the header, apart from all rows."""
    seat = Seat(shared, 0, pid=1)
    for number in NUMBERS:
        seat.take(number, 1)
    shared.release(FIRST + 1)
    shared.drain_ns = 12345
    assert [shared.owner(number) for number in NUMBERS] == [0, None, 0, 0, 0]
    assert shared.drain_ns == 12345


def test_a_worker_releases_only_a_row_of_its_own(shared):
    """A connection armed twice has a second owner, whom the first one's end must not hide from the supervisor."""
    first, second = Seat(shared, 0, pid=1), Seat(shared, 1, pid=2)
    first.take(FIRST, 1)
    second.take(FIRST, 2)
    first.release(FIRST)
    assert shared.owner(FIRST) == 1
    second.release(FIRST)
    assert shared.owner(FIRST) is None
