"""The board: who is doing what until when, in one anonymous shared mapping that outlives any worker.

Workers write it while they serve; supervisor/run.py reads it to keep deadlines and to answer for the dead.
Rule: one 64-bit word per fact and one writer per word at a time, so a reader may see an old value but never half
of a new one. A connection's row belongs to the worker named in `owner` (there, to the thread that has the
conversation), and to the supervisor once that one is dead.

What a worker owes the reader (watchdog.py kills one that is outside user code and changes no word of its row for two
seconds; connections.py's Audit takes a beat to mean that nothing is between a shared event and its row):
- It beats at least four times a second while it waits, and between any two steps that may take long. Only while
  it rests it need not, but for once in REST_S.
- While user code runs it shows that: by `inline`, or by a connection that is RUNNING or a stream.
- Whoever waits for something that is not user code (a reader, the supervisor, the rest of a body) beats while it waits.

All of that is the main thread's. The worker's loop (turns.py), where async invocations and slow clients are, has words
of its own; deadlines, counters and waits of both are read as one.

    header          worker rows (one per slot)      connection rows (one per descriptor number)
    +------------+  +----------------------------+  +------------------------------------------------------+
    | drain_ns   |  | pid                        |  | owner     slot + 1; 0 = nobody                       |
    | asleep     |  | beat      steps it has made|  | phase     Phase, valid while owned                   |
    | ...        |  | inline    soft deadline, ns|  | sent_ns   when the host sent the request             |
    +------------+  | deadline  hard, ns; 0: none|  | hard_ns   its hard deadline; 0 = none                |
                    | mail      control messages |  | before    bytes written before this answer           |
                    | served    requests         |  | length    bytes of this answer                       |
                    | failed    of them, not 2xx |  | closing   1 = must close after the answer            |
                    | waited_ms in the queue     |  | head      1 = HEAD: no body                          |
                    | buffered  bytes of bodies  |  | tally     the counter of its end; 0 = not known yet  |
                    |- the loop's ---------------|  | target    what that is about to become (counters.py) |
                    | beat      turns; 0 = rests |  | invocation id, function name: text, zero-padded      |
                    | deadline  the earliest     |  | answered  see below; 0 = ask the kernel              |
                    | served, failed, waited_ms  |  +------------------------------------------------------+
                    | letting   1 = between two  |
                    |- the main thread's --------|
                    | rests     1 = no beats     |
                    +----------------------------+

`rests` is 1 while the main thread waits on the shared epoll for as long as it takes; `asleep` is 1 while the supervisor
looks at the rows once a second only, which it does while every worker rests. A worker that stops resting looks at
`asleep` afterwards, and if it is 1 sends a Wake; the supervisor sets `asleep` first and looks at the rows
afterwards, twice (supervisor/ticks.py). So one of both sees the other.
`letting` is 1 while the loop is between emptying a row and arming its connection: until then that looks like a
connection which nobody has (connections.Audit).
`answered` is when the last request was taken, if its answer left whole and nothing has been written since: `before` and
`length` are all that was ever written then, and the next request has come later.
"""

import enum
import mmap
import struct
import threading
from typing import NamedTuple

from fastworker.ipc.counters import USED, Counters, Counting

HEADER_WORDS = 8
WORKER_WORDS = 16
CONNECTION_WORDS = 40

DRAIN_NS, ASLEEP = 0, 1
PID, BEAT, INLINE, DEADLINE, MAIL, SERVED, FAILED, WAITED_MS, BUFFERED = range(9)
LOOP_BEAT, LOOP_DEADLINE, LOOP_SERVED, LOOP_FAILED, LOOP_WAITED_MS, LETTING = range(9, 15)
RESTS = 15
OWNER, PHASE = 0, 1
# What begin() writes in one call: sent_ns, hard_ns, before, length, closing, head, tally, target, id, function.
_BEGUN = struct.Struct("=8q64s128s48x")
_BEGUN_OFFSET = 16
_BEFORE, _LENGTH, _CLOSING, _TALLY, _TARGET = 4, 5, 6, 8, 9
# Behind all that, and set to 0 by begin() with it.
_ANSWERED = 34
# The length of an answer that is made while it is sent.
ENDLESS = 1 << 62
# A worker that rests beats once in so long.
REST_S = 15.0


class Phase(enum.IntEnum):
    """How far a worker has come with a connection; decides what the supervisor does if it dies there."""

    TAKEN = 1  # got the event, has read nothing yet: give the request to another worker
    READING = 2  # part of a request has left the socket: answer 500 and close
    RUNNING = 3  # the request is whole, user code may run: answer 500 or 504, the connection stays
    ANSWERING = 4  # bytes of the answer may be out: the kernel's count decides


# Looked up and converted once; an enum's member costs as much as the store itself.
TAKEN, READING, RUNNING, ANSWERING = map(int, Phase)


class WorkerRow(NamedTuple):
    """A copy of one worker's row, what both of its threads have written taken together."""

    pid: int
    beat: int
    inline_ns: int
    deadline_ns: int
    mail: int
    served: int
    failed: int
    waited_ms: int
    buffered: int
    loop_beat: int = 0
    letting: int = 0
    rests: int = 0


class ConnectionRow(NamedTuple):
    """A copy of one connection's row."""

    owner: int | None
    phase: Phase
    sent_ns: int
    hard_ns: int
    before: int
    length: int
    closing: bool
    head: bool
    invocation_id: str
    function: str
    tally: int = 0
    target: int = 0

    @property
    def is_stream(self) -> bool:
        """The answer is on its way while user code makes it."""
        return self.phase is Phase.ANSWERING and self.length == ENDLESS


class Board:
    """Shared by every process forked after it was made. Numbers are descriptors from `first_number` on."""

    def __init__(self, slots: int, first_number: int, connections: int) -> None:
        self.slots = slots
        self.first_number = first_number
        self.connections = connections
        self._rows = HEADER_WORDS + slots * WORKER_WORDS
        words = self._rows + connections * CONNECTION_WORDS
        self._memory = mmap.mmap(-1, words * 8)
        self._words = memoryview(self._memory).cast("q")
        self.counters = Counters(slots)

    # -- the header ----------------------------------------------------------------------------------------

    @property
    def drain_ns(self) -> int:
        """When the drain began; 0 while serving. Requests that arrived later are answered 503."""
        return self._words[DRAIN_NS]

    @drain_ns.setter
    def drain_ns(self, now_ns: int) -> None:
        self._words[DRAIN_NS] = now_ns

    @property
    def asleep(self) -> bool:
        """The supervisor looks at no row until it is woken."""
        return bool(self._words[ASLEEP])

    @asleep.setter
    def asleep(self, is_asleep: bool) -> None:
        self._words[ASLEEP] = is_asleep

    # -- a worker's row --------------------------------------------------------------------------------------

    def worker(self, slot: int) -> WorkerRow:
        start = HEADER_WORDS + slot * WORKER_WORDS
        pid, beat, inline_ns, deadline_ns, mail, served, failed, waited_ms, buffered, *loop = self._words[
            start : start + WORKER_WORDS
        ]
        loop_beat, loop_deadline_ns, loop_served, loop_failed, loop_waited_ms, letting, rests = loop
        if not deadline_ns or 0 < loop_deadline_ns < deadline_ns:
            deadline_ns = loop_deadline_ns
        served, failed, waited_ms = served + loop_served, failed + loop_failed, waited_ms + loop_waited_ms
        row = pid, beat, inline_ns, deadline_ns, mail, served, failed, waited_ms, buffered, loop_beat, letting, rests
        return WorkerRow(*row)

    def last_of(self, slot: int) -> WorkerRow:
        """The row of a worker that has ended; the bodies that it held are gone with it."""
        row = self.worker(slot)
        self._words[HEADER_WORDS + slot * WORKER_WORDS + BUFFERED] = 0
        return row

    def clear_worker(self, slot: int) -> None:
        """Empties a row before its slot is given to a new worker."""
        for word in range(WORKER_WORDS):
            self._words[HEADER_WORDS + slot * WORKER_WORDS + word] = 0

    @property
    def buffered(self) -> int:
        """Bytes of request bodies that all workers hold together."""
        words = self._words
        return sum(words[HEADER_WORDS + slot * WORKER_WORDS + BUFFERED] for slot in range(self.slots))

    def post_mail(self, slot: int) -> None:
        """Tells a busy worker, without a system call on its side, that its control socket has something."""
        self._words[HEADER_WORDS + slot * WORKER_WORDS + MAIL] += 1

    # -- a connection's row ----------------------------------------------------------------------------------

    def connection(self, number: int) -> ConnectionRow:
        start = self._row(number)
        owner, phase = self._words[start], self._words[start + 1]
        sent_ns, hard_ns, before, length, closing, head, tally, target, invocation_id, function = _BEGUN.unpack_from(
            self._memory, start * 8 + _BEGUN_OFFSET
        )
        return ConnectionRow(
            owner - 1 if owner else None,
            # Anything else is user code's writing across its bounds: half of a request, which nobody can go on with.
            Phase(phase) if TAKEN <= phase <= ANSWERING else Phase.READING if phase else Phase.TAKEN,
            sent_ns,
            hard_ns,
            before,
            length,
            bool(closing),
            bool(head),
            invocation_id.rstrip(b"\0").decode("latin-1"),
            function.rstrip(b"\0").decode("latin-1"),
            tally,
            target,
        )

    def owner(self, number: int) -> int | None:
        """The slot that has taken the connection, if any."""
        owner = self._words[self._row(number)]
        return owner - 1 if owner else None

    def release(self, number: int) -> None:
        """Nobody has the connection any more. Comes before it is armed again, never after.

        Its worker is dead, and whatever has been written to it since is not in its row.
        """
        row = self._row(number)
        self._words[row + _ANSWERED] = 0
        self._words[row] = 0

    def _row(self, number: int) -> int:
        return self._rows + (number - self.first_number) * CONNECTION_WORDS


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
        _BEGUN.pack_into(
            self._memory,
            row * 8 + _BEGUN_OFFSET,
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
        words[row + _BEFORE] = before
        words[row + _LENGTH] = length
        words[row + _CLOSING] = closing
        words[row + _TALLY] = tally
        words[row + PHASE] = ANSWERING
        words[self._served] += 1
        if failed:
            words[self._failed] += 1

    def streaming(self, number: int, before: int, closing: bool) -> None:
        """As `answering`, for an answer of unknown length: whatever is out by then, it is never the whole."""
        words, row = self._words, number * CONNECTION_WORDS + self._offset
        words[row + _BEFORE] = before
        words[row + _LENGTH] = ENDLESS
        words[row + _CLOSING] = closing
        words[row + PHASE] = ANSWERING

    def streamed(self, number: int, failed: bool, tally: int) -> None:
        """A stream has ended, as which `tally` says."""
        self._words[number * CONNECTION_WORDS + self._offset + _TALLY] = tally
        self._words[self._served] += 1
        if failed:
            self._words[self._failed] += 1

    def count_wait(self, counters: int, milliseconds: int) -> None:
        """So long a request lay in its socket. `counters` are those of its function."""
        self._words[self._waited_ms] += milliseconds
        self.counting.wait(counters, milliseconds)

    def ask_kernel(self, number: int) -> None:
        """The row does not tell what has been written to the connection: it is a new one, or more has been."""
        self._words[number * CONNECTION_WORDS + self._offset + _ANSWERED] = 0

    def gone(self, number: int, tally: int) -> int:
        """The client does not read an answer that was OK: returns what it is counted as instead."""
        tally = self.counting.gone(tally)
        self._words[number * CONNECTION_WORDS + self._offset + _TALLY] = tally
        return tally

    def count(self, number: int, tally: int) -> None:
        """An answer is out, and the connection stays with this worker, which has read more of it."""
        row = number * CONNECTION_WORDS + self._offset
        self._count(row, tally)
        self._words[row + _TALLY] = 0

    def _count(self, row: int, tally: int) -> None:
        counts = self.counting.words
        target = counts[tally] + 1
        self._words[row + _TARGET] = target
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
        self._words[row + _TARGET] = -target  # the loop's, see Counters.finish
        counts[tally] = target

    def rest(self) -> None:
        """Nothing is unfinished: the loop sleeps until something comes."""
        self._words[self._beat] = 0
