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
from typing import NamedTuple

from fastworker.ipc.counters import Counters

HEADER_WORDS = 8
WORKER_WORDS = 16
CONNECTION_WORDS = 40

DRAIN_NS, ASLEEP = 0, 1
PID, BEAT, INLINE, DEADLINE, MAIL, SERVED, FAILED, WAITED_MS, BUFFERED = range(9)
LOOP_BEAT, LOOP_DEADLINE, LOOP_SERVED, LOOP_FAILED, LOOP_WAITED_MS, LETTING = range(9, 15)
RESTS = 15
OWNER, PHASE = 0, 1
# What begin() writes in one call: sent_ns, hard_ns, before, length, closing, head, tally, target, id, function.
BEGUN = struct.Struct("=8q64s128s48x")
BEGUN_OFFSET = 16
BEFORE, LENGTH, CLOSING, TALLY, TARGET = 4, 5, 6, 8, 9
# Behind all that, and set to 0 by begin() with it.
ANSWERED = 34
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
        sent_ns, hard_ns, before, length, closing, head, tally, target, invocation_id, function = BEGUN.unpack_from(
            self._memory, start * 8 + BEGUN_OFFSET
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
        self._words[row + ANSWERED] = 0
        self._words[row] = 0

    def _row(self, number: int) -> int:
        return self._rows + (number - self.first_number) * CONNECTION_WORDS
