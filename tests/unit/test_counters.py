"""counters.py and totals.py: what a worker counts is counted once, wherever it dies, and stays counted."""

import random

import pytest

from fastworker import outcomes
from fastworker.ipc import counters
from fastworker.ipc.board import CONNECTION_WORDS, ENDLESS, Board, Phase
from fastworker.ipc.counters import BLOCK, BUCKETS, NO_FUNCTION, OTHERWISE, OUTCOMES, SUM, base_of, tally_of
from fastworker.ipc.seat import LoopSeat, Seat
from fastworker.outcomes import CLIENT_GONE, CRASHED, DEADLINE_HARD, FAILED, OK, REJECTED
from fastworker.supervisor.crash_rules import Death, Found, decide
from fastworker.supervisor.totals import OTHERS, Totals

FIRST, NAMES = 10_000, ["bill", "order"]
BILL, ORDER = base_of(0), base_of(1)
LENGTH = 80


@pytest.fixture
def board() -> Board:
    return Board(3, FIRST, 8)


def totals_of(board: Board, *slots: int) -> Totals:
    totals = Totals(board)
    totals.app_ready(0, NAMES)
    for slot in slots:
        totals.worker_ready(slot, 0, [])
    return totals


def counted(totals: Totals, name: str) -> dict[int, int]:
    """How often by outcome."""
    words = totals.functions()[name]
    ok = sum(words[block + bucket] for block in (0, BLOCK) for bucket in range(BUCKETS))
    by_outcome = {outcome: words[OUTCOMES + outcome] for outcome in range(1, outcomes.NONE)} | {OK: ok}
    return {outcome: count for outcome, count in by_outcome.items() if count}


def run_one(seat: Seat, number: int, counters_at: int, took_ns: int = 1000, outcome: int = OK) -> None:
    """One invocation as connection.py has it."""
    seat.take(number, 1)
    seat.begin(number, 0, 0, False, False, b"id", b"order")
    if outcome == OK:
        tally = seat.counting.tally(counters_at, took_ns)
    else:
        tally = seat.counting.otherwise(counters_at, outcome, took_ns)
    seat.answering(number, 0, LENGTH, False, False, tally)
    seat.release(number, tally)


def test_words_of_a_function_do_not_overlap():
    """Each word that counts an end has one meaning, and what is no such word has none."""
    meanings = [tally_of(word) for word in range(-300, NO_FUNCTION + 2 * counters.FUNCTION_WORDS)]
    known = [meaning for meaning in meanings if meaning is not None]
    assert len(set(known)) == len(known) == 2 * (2 * BUCKETS + outcomes.NONE - 1)
    assert {meaning.row for meaning in known} == {0, 1}
    assert tally_of(ORDER + BLOCK + 3) == (2, BLOCK + 3, OK)
    assert tally_of(ORDER + OUTCOMES + FAILED) == (2, OUTCOMES + FAILED, FAILED)
    assert [tally_of(word) for word in (0, ORDER + SUM, ORDER + OTHERWISE, ORDER + OUTCOMES, 1 << 40)] == [None] * 5
    assert counters.base_under(ORDER + 100) == ORDER


def test_both_threads_of_all_workers_are_added_up(board):
    """A function is counted wherever it runs, and a list that has not changed is the same object as before."""
    totals = totals_of(board, 0, 2)
    run_one(Seat(board, 0, 1), FIRST, ORDER)
    run_one(Seat(board, 2, 1), FIRST + 1, ORDER, outcome=FAILED)
    loop_seat = LoopSeat(board, 2, 1)
    loop_seat.beat()
    run_one(loop_seat, FIRST + 2, ORDER + BLOCK)
    run_one(loop_seat, FIRST + 2, NO_FUNCTION, outcome=REJECTED)
    assert counted(totals, "order") == {OK: 2, FAILED: 1}
    assert counted(totals, "") == {REJECTED: 1}
    assert counted(totals, "bill") == {}
    before = totals.functions()
    run_one(loop_seat, FIRST + 2, BILL)
    after = totals.functions()
    assert after["order"] is before["order"]
    assert after["bill"] is not before["bill"]


def test_what_a_worker_has_counted_outlives_it_and_its_app(board):
    """Its successor, and another generation that has other functions in another order, go on from there."""
    totals = totals_of(board, 1)
    for _ in range(3):
        run_one(Seat(board, 1, 1), FIRST, ORDER, took_ns=2_000_000_000)
    busy_s = totals.busy_s(1, 0)
    totals.worker_gone(1)
    assert counted(totals, "order") == {OK: 3}
    totals.app_ready(1, ["aaa", "order"])
    totals.worker_ready(1, 1, [])
    totals.app_gone(0)
    run_one(Seat(board, 1, 2), FIRST, base_of(1))
    run_one(Seat(board, 1, 2), FIRST, base_of(0))
    assert [counted(totals, name) for name in ("order", "aaa", "bill")] == [{OK: 4}, {OK: 1}, {}]
    assert totals.busy_s(1, 0) == pytest.approx(busy_s, abs=1e-5)
    assert busy_s == 6


def test_functions_beyond_the_last_counter_share_it(board):
    """However many an app has, memory and labels are bounded."""
    names = [f"f{index:04d}" for index in range(1000)]
    totals = Totals(board)
    totals.worker_ready(0, 0, names)
    for index in (0, 252, 253, 999):
        run_one(Seat(board, 0, 1), FIRST, base_of(index))
    assert {name: counted(totals, name) for name in ("f0000", "f0252", OTHERS)} == {
        "f0000": {OK: 1},
        "f0252": {OK: 1},
        OTHERS: {OK: 2},
    }
    assert len(totals.functions()) == counters.MOST_FUNCTIONS + 1


class _Killed(Exception):  # noqa: N818 - what is done to it, and no error
    pass


class _Dying:
    """Words of a worker that is killed before its next store when none are left to it."""

    def __init__(self, words: memoryview, life: "list[int]") -> None:
        self.words, self.life = words, life

    def __getitem__(self, at: int) -> int:
        return self.words[at]

    def __setitem__(self, at: int, value: int) -> None:
        if not self.life[0]:
            raise _Killed
        self.life[0] -= 1
        self.words[at] = value


@pytest.mark.parametrize("kind", [Seat, LoopSeat])
@pytest.mark.parametrize("outcome", [OK, FAILED])
@pytest.mark.parametrize("pipelined", [False, True])
def test_a_worker_killed_before_any_of_its_stores_is_counted_once(kind, outcome, pipelined):
    """With the client: what it was answered, or cut off from, is what is counted, never more and never less."""
    for stores in range(100):
        board = Board(1, FIRST, 1)
        totals = totals_of(board, 0)
        seat = kind(board, 0, 1)
        seat.beat()
        life = [stores]
        seat._words = _Dying(seat._words, life)  # type: ignore[assignment]
        seat.counting.words = _Dying(seat.counting.words, life)  # type: ignore[assignment]
        written, saw = 0, []
        died = True
        try:
            for turn in range(2):
                if turn == 0 or not pipelined:
                    seat.take(FIRST, 1)
                    seat.reading(FIRST)
                seat.begin(FIRST, 0, 0, False, False, b"id", b"order")
                base = ORDER + turn * BLOCK
                took = 1 << (20 + turn)
                tally = (
                    seat.counting.tally(base, took) if outcome == OK else seat.counting.otherwise(base, outcome, took)
                )
                before = written
                seat.answering(FIRST, before, LENGTH, False, False, tally)
                written += LENGTH
                saw.append(outcome)  # all of it is in the kernel, whoever dies now
                if pipelined and turn == 0:
                    seat.count(FIRST, tally)
                else:
                    seat.release(FIRST, tally)
            died = False
        except _Killed:
            pass
        row = board.connection(FIRST)
        if row.owner is not None:
            fate = decide(row, Found(0, False, written), Death("killed"), now_ns=0)
            if fate.answer is not None or fate.outcome is not None:
                saw.append(CRASHED)
            totals.settle(0, row, fate.outcome)
        totals.worker_gone(0)
        sums = {name: counted(totals, name) for name in ("order", "", "bill")}
        found = [each for by in sums.values() for each, count in by.items() for _ in range(count)]
        assert sorted(found) == sorted(saw), (stores, row)
        if not died:
            assert stores > 10
            return
    raise AssertionError("it never came through")


def test_a_dead_worker_with_many_slow_clients_is_counted_to_the_last(board):
    """On the loop one end may be half counted while others wait for their readers; the order of settling is any."""
    totals, seat = totals_of(board, 0), LoopSeat(board, 0, 1)
    seat.beat()
    run_one(seat, FIRST, ORDER)
    tally = ORDER + 10
    for number in range(FIRST, FIRST + 5):
        seat.take(number, 1)
        seat.begin(number, 0, 0, False, False, b"id", b"order")
        seat.answering(number, 0, LENGTH, False, False, tally)
    seat._count((FIRST + 3) * CONNECTION_WORDS + seat._offset, tally)  # counted, and killed before its row was emptied
    numbers = list(range(FIRST, FIRST + 5))
    random.Random(7).shuffle(numbers)
    for number in numbers:
        written = LENGTH if number != FIRST + 1 else LENGTH // 2
        entry = board.connection(number)
        totals.settle(0, entry, decide(entry, Found(0, False, written), Death("x"), now_ns=0).outcome)
    totals.worker_gone(0)
    assert counted(totals, "order") == {OK: 1 + 4, CRASHED: 1}


def test_an_overrun_is_a_hard_deadline_and_an_unread_request_is_nothing(board):
    """What another worker will run is counted there."""
    totals, seat = totals_of(board, 0), Seat(board, 0, 1)
    seat.take(FIRST, 1)
    entry = board.connection(FIRST)
    totals.settle(0, entry, decide(entry, Found(9, False, 0), Death("x"), now_ns=0).outcome)
    seat.begin(FIRST, 1, 5, False, False, b"id", b"order")
    entry = board.connection(FIRST)
    totals.settle(0, entry, decide(entry, Found(0, False, 0), Death("x"), now_ns=5).outcome)
    seat.begin(FIRST, 1, 5, False, False, b"id", b"/../etc/passwd")
    entry = board.connection(FIRST)
    totals.settle(0, entry, decide(entry, Found(0, False, 0), Death("x"), now_ns=4).outcome)
    assert counted(totals, "order") == {DEADLINE_HARD: 1}
    assert counted(totals, "") == {CRASHED: 1}
    assert set(totals.functions()) == {"", *NAMES}


def test_a_stream_that_had_ended_is_counted_as_its_worker_said(board):
    """Its length is nobody's to know, so the tally alone says that its end was out."""
    totals, seat = totals_of(board, 0), Seat(board, 0, 1)
    seat.begin(FIRST, 0, 0, False, False, b"id", b"order")
    seat.streaming(FIRST, 0, False)
    assert board.connection(FIRST).length == ENDLESS
    seat.streamed(FIRST, False, seat.counting.tally(ORDER, 100))
    entry = board.connection(FIRST)
    totals.settle(0, entry, decide(entry, Found(0, False, 999), Death("x"), now_ns=0).outcome)
    assert counted(totals, "order") == {OK: 1}
    assert entry.phase is Phase.ANSWERING


def test_a_client_that_does_not_read_its_answer_is_gone(board):
    """An end is counted once, as that; its run time stays counted."""
    totals, seat = totals_of(board, 0), Seat(board, 0, 1)
    seat.begin(FIRST, 0, 0, False, False, b"id", b"order")
    tally = seat.counting.tally(ORDER, 1000)
    seat.answering(FIRST, 0, LENGTH, False, False, tally)
    seat.release(FIRST, seat.gone(FIRST, tally))
    words = totals.functions()["order"]
    assert counted(totals, "order") == {CLIENT_GONE: 1}
    assert words[OTHERWISE + (1000).bit_length()] == 1
    assert words[counters.UNWAITED] == 1


def test_a_forked_copy_of_a_worker_counts_nothing(board):
    """It has the words of its parent mapped, and must not be seen to write them."""
    totals, seat = totals_of(board, 0), Seat(board, 0, 1)
    seat.leave()
    run_one(seat, FIRST, ORDER)
    assert counted(totals, "order") == {}
