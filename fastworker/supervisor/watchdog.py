"""The watchdog: compares the board with the clock, and ends whoever is past it.

Called by supervisor/run.py at every scan, for every worker that is ready or retiring.
Rule: reads the board, sends signals; what becomes of a killed worker's invocations is not decided here.

    soft deadline     hard deadline
         |--- grace ------|
    SOFT_SIGNAL      DUMP_SIGNAL, 5 ms later SIGKILL; unless the worker has come back meanwhile

What a scan can find a worker doing, and what it means:

    what the board shows                                     state     what follows
    a word of its row is not what it was at the last scan    MOVES     nothing
    `inline`, or one of its connections RUNNING or a stream  EXCUSED   nothing: user code runs, the deadlines hold
    `rests`, and by the kernel its main thread sleeps        RESTS     nothing
    none of these                                            STILL     killed after 2 s of nothing but this

A worker that rests does not beat. But the kernel knows how often its main thread has been switched out: if that grows,
or the process is stopped, it does something else than to rest (it may have got an event, and wait for the interpreter's
lock). It is woken then, and if it does not beat it is STILL.
A scan may fall between any two steps of a worker, and so find the beat of before a long handler beside the phase of
after it. So no state is judged by what another scan saw: the two seconds begin with the first scan that finds it STILL,
and every scan that does not ends them.
"""

import asyncio
import enum
import time
from collections.abc import Callable

from fastworker.ipc import linux
from fastworker.ipc.board import REST_S, Board, Phase, WorkerRow
from fastworker.ipc.connections import Connections
from fastworker.ipc.processes import Process
from fastworker.ipc.signals import DUMP_SIGNAL, LOOP_SIGNAL, SLOW_S, SOFT_SIGNAL, WAKE_SIGNAL
from fastworker.ipc.stack_dump import StackDumps
from fastworker.logs import log
from fastworker.supervisor.crash_rules import Death, named
from fastworker.supervisor.ticks import SCAN_S

# From the signal that makes a stuck worker write its stack to the kill: it is a C handler that writes.
PICTURE_S = 0.005
# A worker that waits beats four times a second; until it has missed one, its connections need not be looked at.
MISSED_BEAT_S = 0.3
# A worker that is not in user code and does not move for so long is stopped or stuck.
STALLED_S = 2.0
# How often the kernel is asked about a worker that rests, and about one that does not seem to.
REST_LOOK_S = 0.9
DOUBT_LOOK_S = 0.1
# The supervisor itself was not running for so long (a suspended machine): nobody is to blame for being late.
PAUSED_S = 1.0
# uvloop's timers are up to a millisecond early, and a worker takes an early signal for a stray one.
TIMER_SLACK_S = 0.002


class State(enum.Enum):
    """What a scan finds a worker doing; see the table above."""

    MOVES = "moves"
    EXCUSED = "runs user code"
    RESTS = "rests"
    STILL = "does not move"


class _Watch:
    """What has been seen of one worker, and done to it."""

    def __init__(self, process: Process, now_ns: int) -> None:
        self.process = process
        self.row: WorkerRow | None = None  # of the last scan, but for what others write there
        self.moved_ns = now_ns
        self.still_ns = 0  # the first scan of those that have found it STILL without a break
        self.beat = 0
        self.beat_ns = now_ns
        self.warned_ns = 0  # the soft deadline that has been told
        self.loop_beat = 0
        self.loop_beat_ns = now_ns
        self.slow_beat = -1  # behind which its loop was found standing
        self.pictured = False
        self.switches: int | None = None  # of its main thread, at the last look at a worker that rests
        self.switches_ns = 0
        self.sleeps = True  # as far as those tell


class Watchdog:
    """Watches the workers by slot. `kill` ends a worker, with the words for those whose invocations it ran."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        board: Board,
        connections: Connections,
        pictures: StackDumps,
        grace_s: float,
        kill: Callable[[int, Death], None],
    ) -> None:
        self._loop = loop
        self._board = board
        self._connections = connections
        self._pictures = pictures
        self._grace_ns = int(grace_s * 1e9)
        self._kill = kill
        self._watches: dict[int, _Watch] = {}
        self._spared_until_ns = 0
        # By the last scan: every worker rests, and nothing is in flight in any.
        self.all_rest = False

    def watch(self, slot: int, process: Process) -> None:
        """A worker is ready, and turns its loop from now on."""
        self._watches[slot] = _Watch(process, time.monotonic_ns())

    def forget(self, slot: int) -> None:
        """It has ended."""
        self._watches.pop(slot, None)

    def look(self, now_ns: int, late_s: float, slots: list[int]) -> None:
        """One scan of the workers in `slots`, which comes `late_s` later than it should have."""
        if late_s > PAUSED_S:
            # We were not running, and neither were the workers: they have the grace to answer by themselves.
            self._spared_until_ns = now_ns + self._grace_ns
            log.warning("supervisor.paused", seconds=round(late_s, 1))
        self.all_rest = True
        for slot in slots:
            if slot in self._watches:
                row = self._board.worker(slot)
                state = self._check(slot, self._watches[slot], row, now_ns)
                if state is not State.RESTS or row.deadline_ns or row.loop_beat:
                    self.all_rest = False

    def _check(self, slot: int, watch: _Watch, row: WorkerRow, now_ns: int) -> State:
        self._check_soft(slot, watch, row, now_ns)
        self._check_hard(slot, watch, row, now_ns)
        self._check_loop(slot, watch, row, now_ns)
        return self._check_still(slot, watch, row, now_ns)

    def _check_soft(self, slot: int, watch: _Watch, row: WorkerRow, now_ns: int) -> None:
        """Before the next scan, the soft deadline of what runs on the main thread: its signal, once."""
        soft_ns = row.inline_ns
        if soft_ns and soft_ns - now_ns < SCAN_S * 1e9 and watch.warned_ns != soft_ns:
            watch.warned_ns = soft_ns
            self._loop.call_later(_until(soft_ns, now_ns), self._signal, slot, watch, SOFT_SIGNAL)

    def _check_hard(self, slot: int, watch: _Watch, row: WorkerRow, now_ns: int) -> None:
        """Before the next scan, the earliest hard deadline: the stack, and then the end."""
        if row.deadline_ns and row.deadline_ns - now_ns < SCAN_S * 1e9 and not watch.pictured:
            watch.pictured = True
            self._loop.call_later(_until(row.deadline_ns, now_ns), self._picture, slot, watch)

    def _check_loop(self, slot: int, watch: _Watch, row: WorkerRow, now_ns: int) -> None:
        """A loop that does not turn while it has something to do: a warning, once for each time."""
        if row.loop_beat != watch.loop_beat:
            watch.loop_beat, watch.loop_beat_ns = row.loop_beat, now_ns
        stands_still = bool(row.loop_beat) and now_ns - watch.loop_beat_ns > SLOW_S * 1e9
        if stands_still and not row.inline_ns and watch.slow_beat != watch.loop_beat:
            watch.slow_beat = watch.loop_beat
            self._signal(slot, watch, LOOP_SIGNAL)

    def _check_still(self, slot: int, watch: _Watch, row: WorkerRow, now_ns: int) -> State:
        """A worker that does not move: the end, after STALLED_S of nothing else."""
        state = self._state(slot, watch, row, now_ns)
        if state is not State.STILL or now_ns < self._spared_until_ns:
            watch.still_ns = 0
        elif not watch.still_ns:
            watch.still_ns = now_ns
        elif now_ns - watch.still_ns > STALLED_S * 1e9:
            watch.still_ns = 0  # told once: one with much memory takes some scans to die
            took = named([self._board.connection(number) for number in self._taken_by(slot)])
            log.error(
                "worker.killed", slot=slot, pid=watch.process.pid, reason="it does not move any more", took_along=took
            )
            self._kill(slot, Death("its worker did not move any more and was killed", cause="stalled"))
        return state

    def _state(self, slot: int, watch: _Watch, row: WorkerRow, now_ns: int) -> State:
        """What the worker does, as far as the board tells."""
        row = row._replace(mail=0)  # written by the supervisor
        if row != watch.row:
            watch.row, watch.moved_ns, watch.switches = row, now_ns, None
        if now_ns - watch.moved_ns <= MISSED_BEAT_S * 1e9:
            return State.MOVES
        if row.inline_ns or self._runs_user_code(slot):
            return State.EXCUSED
        return State.RESTS if row.rests and self._sleeps(slot, watch, now_ns) else State.STILL

    def _sleeps(self, slot: int, watch: _Watch, now_ns: int) -> bool:
        """What a worker says that rests, the kernel says, too. If not, it is woken; it beats then if all is well."""
        is_first = watch.switches is None
        if is_first or now_ns - watch.switches_ns >= (REST_LOOK_S if watch.sleeps else DOUBT_LOOK_S) * 1e9:
            state, switches = linux.main_thread(watch.process.pid)
            watch.sleeps = state not in ("T", "t") and (is_first or switches == watch.switches)
            watch.switches, watch.switches_ns = switches, now_ns
            if not watch.sleeps:
                self._signal(slot, watch, WAKE_SIGNAL)
        return watch.sleeps and now_ns - watch.moved_ns < (REST_S + STALLED_S) * 1e9

    def _runs_user_code(self, slot: int) -> bool:
        """It may: then the deadlines hold, and not the beats."""
        rows = map(self._board.connection, self._taken_by(slot))
        return any(row.phase is Phase.RUNNING or row.is_stream for row in rows)

    def _taken_by(self, slot: int) -> list[int]:
        return [number for number in self._connections.open_numbers() if self._board.owner(number) == slot]

    def _picture(self, slot: int, watch: _Watch) -> None:
        if not self._is_overdue(slot, watch):
            watch.pictured = False
            return
        self._pictures.take()  # left behind by one that was killed before it was read
        self._signal(slot, watch, DUMP_SIGNAL)
        self._loop.call_later(PICTURE_S, self._end_overdue, slot, watch)

    def _is_overdue(self, slot: int, watch: _Watch) -> bool:
        """Still the same worker, past a deadline, and without an excuse."""
        now_ns = time.monotonic_ns()
        deadline_ns = self._board.worker(slot).deadline_ns
        return self._watches.get(slot) is watch and 0 < deadline_ns <= now_ns and now_ns >= self._spared_until_ns

    def _signal(self, slot: int, watch: _Watch, number: int) -> None:
        """Whether what it is about still runs, the worker knows best."""
        if self._watches.get(slot) is watch:
            watch.process.signal(number)

    def _end_overdue(self, slot: int, watch: _Watch) -> None:
        if not self._is_overdue(slot, watch):
            watch.pictured = False  # it came back in the last moment
            return
        deadline_ns = self._board.worker(slot).deadline_ns
        rows = [self._board.connection(number) for number in self._taken_by(slot)]
        late = [row for row in rows if row.hard_ns == deadline_ns]
        detail = "its worker was killed, for another invocation there overran its deadline"
        if not late:  # the deadline of a request that has been taken, and not read yet
            detail = "its worker stood still while it took a request, and was killed"
        self._kill(slot, Death(detail, cause="deadline"))
        picture = self._pictures.take()
        took = named([row for row in rows if row.hard_ns != deadline_ns])
        others: dict[str, object] = {"took_along": took} if took else {}
        for row in late:
            ids = {"function": row.function, "id": row.invocation_id}
            log.error(
                "worker.killed", slot=slot, pid=watch.process.pid, reason="deadline", **ids, **others, stack=picture
            )
        if not late:
            log.error("worker.killed", slot=slot, pid=watch.process.pid, reason="deadline", **others, stack=picture)


def _until(at_ns: int, now_ns: int) -> float:
    """Seconds for a timer that must not be early."""
    return max(0, at_ns - now_ns) / 1e9 + TIMER_SLACK_S
