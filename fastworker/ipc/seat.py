"""The board as a worker writes it: one Seat for its main thread, one for its loop's.

board.py draws the words and says what each means, and has the supervisor's side. Used by worker/.
Rule: plain stores into the mapping, in the order in which a reader may see them.
"""

import mmap
import threading

from fastworker.ipc.board import (
    ANSWERED,
    ANSWERING,
    BEAT,
    BEFORE,
    BEGUN,
    BEGUN_OFFSET,
    BUFFERED,
    CLOSING,
    CONNECTION_WORDS,
    DEADLINE,
    ENDLESS,
    FAILED,
    HEADER_WORDS,
    INLINE,
    LENGTH,
    LETTING,
    LOOP_BEAT,
    LOOP_DEADLINE,
    LOOP_FAILED,
    LOOP_SERVED,
    LOOP_WAITED_MS,
    MAIL,
    PHASE,
    PID,
    READING,
    RESTS,
    RUNNING,
    SERVED,
    TAKEN,
    TALLY,
    TARGET,
    WAITED_MS,
    WORKER_WORDS,
    Board,
)
from fastworker.ipc.counters import USED, Counting


class Seat:
    """The board as one worker's main thread writes it: its own row, and the rows of the connections it has taken.

    On the hot path, hence plain stores into the mapping, positional arguments and one pack.
    """

    def __init__(self, board: Board, slot: int, pid: int) -> None:
        self.board = board
        self._words = board._words
        self._memory = board._memory
        self._offset = board._rows - board.first_number * CONNECTION_WORDS
        self._mine = HEADER_WORDS + slot * WORKER_WORDS
        self._owner = slot + 1
        self._beat = self._mine + BEAT
        self._deadline = self._mine + DEADLINE
        self._served = self._mine + SERVED
        self._failed = self._mine + FAILED
        self._waited_ms = self._mine + WAITED_MS
        self.counting = Counting(board.counters.region(slot, 0))
        self.counting.words[USED] = 1
        self._words[self._mine + PID] = pid
        self._holding = threading.Lock()

    def beat(self) -> None:
        """Another step made: every connection that this thread has taken before has its row, or is armed again."""
        self._words[self._beat] += 1

    @property
    def mail(self) -> int:
        return self._words[self._mine + MAIL]

    def resting(self, rests: bool) -> None:
        """Between True and False this thread does not beat: it waits on the shared epoll."""
        self._words[self._mine + RESTS] = rests

    def take(self, number: int, until_ns: int) -> None:
        """The shared epoll gave this connection to this worker. The phase comes first: no owner, no meaning."""
        words, row = self._words, number * CONNECTION_WORDS + self._offset
        words[row + PHASE] = TAKEN
        words[row] = self._owner
        words[self._deadline] = until_ns

    def reading(self, number: int) -> None:
        """Bytes have left the socket."""
        self._words[number * CONNECTION_WORDS + self._offset + PHASE] = READING

    def begin(
        self,
        number: int,
        sent_ns: int,
        hard_ns: int,
        closing: bool,
        head: bool,
        invocation_id: bytes,
        function: bytes,
    ) -> None:
        """A whole request is here: whoever answers it, this is what is known of it."""
        row = number * CONNECTION_WORDS + self._offset
        BEGUN.pack_into(
            self._memory,
            row * 8 + BEGUN_OFFSET,
            sent_ns,
            hard_ns,
            0,
            0,
            closing,
            head,
            0,
            0,
            invocation_id,
            function,
        )
        self._words[row + PHASE] = RUNNING
        self.arm(number, hard_ns)

    def inline(self, soft_ns: int) -> None:
        """User code runs on the worker's main thread, until its soft deadline; 0: it has ended.

        No connection of that thread is between two rows meanwhile. Beats first: who ran for minutes has not stood
        still for minutes.
        """
        words, mine = self._words, self._mine
        words[mine + BEAT] += 1
        words[mine + INLINE] = soft_ns

    def answering(self, number: int, before: int, length: int, closing: bool, failed: bool, tally: int) -> None:
        """The next system call may put answer bytes on the wire, behind the `before` bytes written until now.

        `tally` is the counter of this end. Who has sent the last byte counts it, by `release` or `count`.
        """
        words, row = self._words, number * CONNECTION_WORDS + self._offset
        words[row + BEFORE] = before
        words[row + LENGTH] = length
        words[row + CLOSING] = closing
        words[row + TALLY] = tally
        words[row + PHASE] = ANSWERING
        words[self._served] += 1
        if failed:
            words[self._failed] += 1

    def streaming(self, number: int, before: int, closing: bool) -> None:
        """As `answering`, for an answer of unknown length: whatever is out by then, it is never the whole."""
        words, row = self._words, number * CONNECTION_WORDS + self._offset
        words[row + BEFORE] = before
        words[row + LENGTH] = ENDLESS
        words[row + CLOSING] = closing
        words[row + PHASE] = ANSWERING

    def streamed(self, number: int, failed: bool, tally: int) -> None:
        """A stream has ended, as which `tally` says."""
        self._words[number * CONNECTION_WORDS + self._offset + TALLY] = tally
        self._words[self._served] += 1
        if failed:
            self._words[self._failed] += 1

    def count_wait(self, counters: int, milliseconds: int) -> None:
        """So long a request lay in its socket. `counters` are those of its function."""
        self._words[self._waited_ms] += milliseconds
        self.counting.wait(counters, milliseconds)

    def ask_kernel(self, number: int) -> None:
        """The row does not tell what has been written to the connection: it is a new one, or more has been."""
        self._words[number * CONNECTION_WORDS + self._offset + ANSWERED] = 0

    def gone(self, number: int, tally: int) -> int:
        """The client does not read an answer that was OK: returns what it is counted as instead."""
        tally = self.counting.gone(tally)
        self._words[number * CONNECTION_WORDS + self._offset + TALLY] = tally
        return tally

    def count(self, number: int, tally: int) -> None:
        """An answer is out, and the connection stays with this worker, which has read more of it."""
        row = number * CONNECTION_WORDS + self._offset
        self._count(row, tally)
        self._words[row + TALLY] = 0

    def _count(self, row: int, tally: int) -> None:
        counts = self.counting.words
        target = counts[tally] + 1
        self._words[row + TARGET] = target
        counts[tally] = target

    def hold(self, by: int) -> None:
        """So many bytes of request bodies more, or fewer, are held by this worker; told by either thread."""
        with self._holding:
            self._words[self._mine + BUFFERED] += by

    def release(self, number: int, tally: int = 0) -> None:
        """Done with the connection; comes before it is armed again, never after. Counts how its request has ended.

        A row that has another owner by now stays: should a connection ever be armed twice, no owner is forgotten.
        """
        row = number * CONNECTION_WORDS + self._offset
        if tally:
            self._count(row, tally)
        if self._words[row] == self._owner:
            self._words[row] = 0
        self.disarm(number)

    def arm(self, number: int, until_ns: int) -> None:
        """Past `until_ns` the supervisor kills this worker. This thread has one connection in hand at a time."""
        self._words[self._deadline] = until_ns

    def disarm(self, number: int) -> None:
        """No deadline for this connection any more."""
        self._words[self._deadline] = 0

    def leave(self) -> None:
        """In a copy of the worker that user code forked: nothing that this process does reaches the board any more."""
        self._memory = mmap.mmap(-1, len(self._memory))
        self._words = memoryview(self._memory).cast("q")
        self.counting.leave()


class LoopSeat(Seat):
    """The board as the worker's loop writes it, which has many connections in flight.

    `arm` and `disarm` are called by the main thread, too, when a conversation changes hands: hence the lock, which
    nobody takes on the way of a `def` function.
    """

    def __init__(self, board: Board, slot: int, pid: int) -> None:
        super().__init__(board, slot, pid)
        self._beat = self._mine + LOOP_BEAT
        self._deadline = self._mine + LOOP_DEADLINE
        self._served = self._mine + LOOP_SERVED
        self._failed = self._mine + LOOP_FAILED
        self._waited_ms = self._mine + LOOP_WAITED_MS
        self._letting = self._mine + LETTING
        self.counting = Counting(board.counters.region(slot, 1))
        self._turns = 0
        self._kept: dict[int, int] = {}
        self._lock = threading.Lock()

    def beat(self) -> None:
        """The loop turns. Never the same number twice, though 0 stands between two of them while it rests."""
        self._turns += 1
        self._words[self._beat] = self._turns
        self.counting.words[USED] = 1

    def arm(self, number: int, until_ns: int) -> None:
        """Past the earliest of all that are armed the supervisor kills this worker."""
        with self._lock:
            self._kept[number] = until_ns
            self._words[self._deadline] = min(self._kept.values())

    def disarm(self, number: int) -> None:
        with self._lock:
            if self._kept.pop(number, None) is not None:
                self._words[self._deadline] = min(self._kept.values(), default=0)

    def letting(self, is_between: bool) -> None:
        """Around `release` and the arming behind it."""
        self._words[self._letting] = is_between

    def _count(self, row: int, tally: int) -> None:
        counts = self.counting.words
        target = counts[tally] + 1
        self._words[row + TARGET] = -target  # the loop's, see Counters.finish
        counts[tally] = target

    def rest(self) -> None:
        """Nothing is unfinished: the loop sleeps until something comes."""
        self._words[self._beat] = 0
