"""The supervisor process: starts and ends workers, keeps deadlines, answers for workers that died.

Started by cli.py; its warden forks zygotes, which fork workers. pool.py decides who lives, zygotes.py has that done,
acceptor.py opens and closes connections, watchdog.py keeps deadlines, crash_recovery.py looks after what the dead
leave; this file holds them together.
Rule: never reads a request, never imports HTTP parsing, the app or user code, and waits for nobody: nothing that a
client or a handler does can hold it up or end it.
"""

import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import NamedTuple

import uvloop

from fastworker.cpus import memory_bytes
from fastworker.ipc import linux
from fastworker.ipc.board import Board
from fastworker.ipc.connections import Connections, number_range
from fastworker.ipc.control import (
    AnyMessage,
    AppFailed,
    AppReady,
    CloseConnection,
    Dropped,
    Exited,
    Forked,
    Gone,
    Hold,
    Leaving,
    Occupied,
    Retire,
    Wake,
    Want,
    WorkerFailed,
    WorkerReady,
)
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.processes import OPERATORS_SIGNALS, Process, how_it_ended, own_signals
from fastworker.ipc.running_spans import RunningSpans
from fastworker.ipc.stack_dump import StackDumps
from fastworker.logs import log, write_traceback
from fastworker.output import never_wait
from fastworker.settings import Settings
from fastworker.supervisor import crash_rules, pool
from fastworker.supervisor.acceptor import Acceptor
from fastworker.supervisor.crash_recovery import Rescue
from fastworker.supervisor.elastic import Elastic, Measure
from fastworker.supervisor.ending import Ending
from fastworker.supervisor.host import Host
from fastworker.supervisor.load import Load
from fastworker.supervisor.pool import Pool, WorkerState
from fastworker.supervisor.recycling import Recycling
from fastworker.supervisor.starting import Starting
from fastworker.supervisor.status import Status
from fastworker.supervisor.ticks import SLOW_SCAN_S, Ticks
from fastworker.supervisor.totals import Totals
from fastworker.supervisor.watchdog import Watchdog
from fastworker.supervisor.workers import Worker, Workers
from fastworker.supervisor.zygotes import WardenMain, Zygotes

# So many more may be added by SIGTTIN: each has a row on the board, which is made before any fork.
MORE_WORKERS = 16
# A host that lives starts a handler that ended with this at once, and does not count it as a failure; one that ended
# with 0 it never starts again (protocol 5.3).
START_ME_AGAIN = 200


class Outcome(NamedTuple):
    """How the server ended: its exit code, and the cause unless it was told to."""

    exit_code: int
    cause: str = ""


def run(settings: Settings, workers: int, listener: socket.socket, warden_main: WardenMain) -> Outcome:
    """Serves on `listener` until told to stop, or until nothing can be started any more."""
    own_signals()
    never_wait()
    return Supervisor(settings, workers, listener, warden_main).run()


class Supervisor:
    """One server. All methods run on its loop, but for `_run`, which forks wardens between two turns of it."""

    def __init__(self, settings: Settings, workers: int, listener: socket.socket, warden_main: WardenMain) -> None:
        self._settings = settings
        self._host = Host() if settings.under_host else None

        soft_limit = linux.soft_descriptor_limit()
        numbers = number_range(linux.raise_descriptor_limit())
        self._most_workers = max(workers + MORE_WORKERS, settings.most_workers or 0)
        slots = self._most_workers + workers + 1
        # Before any fork: every process must see the same epoll and the same board.
        self._shared = select.epoll()
        self._board = Board(slots, numbers.first, numbers.size)
        spans = RunningSpans.where(settings.traces, slots, settings.concurrency)
        self._inherited = Inherited(self._shared, self._board, StackDumps(), spans)
        self._connections = Connections(self._shared, numbers)
        self._pool = Pool(
            size=workers,
            slots=slots,
            start_timeout_s=settings.start_timeout,
            retire_s=settings.limits.longest_s + pool.STOP_HOOKS_S,
        )
        self._events: deque[pool.Event] = deque()
        start = (self._inherited, settings, soft_limit, warden_main)
        self._zygotes = Zygotes(*start, hear=self._on_zygote, gone=self._zygote_gone)
        # Before the loop is made: libuv leaves descriptors and fork handlers in whoever is forked from it.
        self._try_fork_warden()
        self._loop = uvloop.new_event_loop()
        self._totals = Totals(self._board)
        forked = lambda slot: self._step(pool.WorkerForked(slot))  # noqa: E731
        self._workers = Workers(self._loop, self._board, self._zygotes, self._on_message, forked, self._worker_gone)
        self._acceptor = Acceptor(self._loop, listener, self._connections, self._board, self._workers.tell)
        self._rescue = Rescue(self._inherited, self._connections, self._acceptor, self._totals)
        self._watchdog = Watchdog(
            self._loop, self._board, self._connections, self._inherited.pictures, settings.grace, self._workers.kill
        )
        shown = (self._board, self._connections, self._pool, self._workers, self._totals)
        self._status = Status(settings, *shown, self._inherited.pictures, self._inherited.spans)
        self._ticks = Ticks(self._loop, self._board, self._scan)
        kin = (self._board, self._connections, self._workers, self._zygotes)
        self._ending = Ending(settings.drain, *kin, self._step, self._ticks.rouse)
        self._recycling = Recycling(settings, self._board, self._workers)
        most = settings.most_workers
        self._load = Load(self._totals, self._workers)
        self._elastic = None if most is None else Elastic(workers, most, memory_bytes())
        self._measure = Measure(self._shared, self._totals, self._workers)
        self._starting = Starting(settings, self._pool, time.monotonic())
        self._outcome: Outcome | None = None
        self._served_before = 0
        self._slow_scan_ns = 0
        self._finished = False

    def run(self) -> Outcome:
        linux.adopt_orphans()
        linux.name_process("fastworker")
        for number in OPERATORS_SIGNALS:
            # Leaves a note for the loop, which also keeps it while it is not running.
            signal.signal(number, lambda number, _: self._loop.call_soon_threadsafe(self._on_signal, number))
        self._loop.set_exception_handler(self._on_defect)
        try:
            self._run()
        except Exception as error:
            self._on_defect(None, {"exception": error})
        assert self._outcome is not None
        return self._outcome

    def _run(self) -> None:
        self._acceptor.start()
        self._zygotes.watch(self._loop)
        if self._host is not None:
            self._host.watch(self._loop, self._ending.host_gone)
        self._status.open(self._loop, self._step)
        self._step(pool.Tick())
        self._ticks.start()
        while not self._finished:
            if not self._zygotes.has_warden and not self._ending.winding_up:
                self._zygotes.end_adopted()
                self._try_fork_warden()
            self._loop.run_forever()
        self._end()

    def _try_fork_warden(self) -> None:
        try:
            self._zygotes.fork_warden()
        except OSError as error:  # too many processes, no memory: again at the next slow scan
            log.error("fork.failed", what="the warden", cause=os.strerror(error.errno or 0))

    # -- zygotes -------------------------------------------------------------------------------------------------

    def _on_zygote(self, generation: int, message: AnyMessage, fd: int | None) -> None:
        match message:
            case AppReady(functions):
                log.info("app.ready", generation=generation, functions=functions)
                self._totals.app_ready(generation, functions)
                self._step(pool.AppReady(generation))
            case AppFailed(exit_code, cause):
                self._zygotes.stop(generation)
                self._step(pool.ZygoteGone(generation, exit_code, cause))
            case Forked(slot, pid):
                self._workers.forked(generation, slot, Process(pid, fd))
            case Exited(slot, pid, status):
                self._workers.exited(generation, slot, pid, status)

    def _zygote_gone(self, generation: int, how: str, unborn: bool) -> None:
        # First, so that nothing more is asked of it.
        cause = f"the process that imports the app {'' if unborn else 'ended: '}{how}"
        exit_code = 5 if unborn or self._pool.generations.has_imported else 3
        self._totals.app_gone(generation)
        self._step(pool.ZygoteGone(generation, exit_code, cause, unborn))
        # Its workers are being killed by the kernel.
        for slot, worker in self._workers.items():
            if worker.generation == generation and worker.process is None:
                self._workers.end(worker, None)  # never forked
            elif worker.generation == generation:
                detail = f"its worker ended with the process that had imported the app ({how})"
                self._workers.kill(slot, crash_rules.Death(detail, cause="zygote"))

    # -- workers -------------------------------------------------------------------------------------------------

    def _fork_worker(self, generation: int, slot: int) -> None:
        self._board.clear_worker(slot)
        try:
            self._workers.fork(generation, slot)
        except OSError as error:
            cause = f"no control socket can be made for a worker: {os.strerror(error.errno or 0)}"
            self._step(pool.WorkerGone(slot, cause, served=False, unborn=True))

    def _on_message(self, worker: Worker, message: AnyMessage) -> None:
        slot = worker.slot
        match message:
            case Want(number):
                if self._connections.get(number) is None:
                    worker.control.send(Gone(number))
                else:
                    for lent in self._connections.lend(number, slot):
                        worker.control.send(Hold(lent), lent)
            case Dropped(number):
                self._connections.dropped(number, slot)
            case Occupied(number, free):
                self._acceptor.move(number, slot, free)
            case CloseConnection(number, linger):
                self._connections.dropped(number, slot)
                self._acceptor.close(number, linger=linger)
            case Wake():
                self._ticks.rouse()
            case WorkerReady():
                self._worker_ready(worker, message)
            case WorkerFailed():
                worker.failure = message
            case Leaving():
                log.info("worker.leaves", slot=slot, pid=worker.pid, detail="told so by somebody else (SIGTERM)")
                worker.leaves_for = "asked"
                self._step(pool.RecycleAsked(slot))

    def _worker_ready(self, worker: Worker, message: WorkerReady) -> None:
        slot, pid = worker.slot, message.pid
        ready_before = self._pool.state_of(slot) is WorkerState.READY
        if ready_before or not self._workers.check_ready(worker, pid) or worker.process is None:
            self._workers.mistrust(worker, f"WorkerReady of process {pid}")
            return
        self._watchdog.watch(slot, worker.process)
        self._recycling.begin(worker)
        self._totals.worker_ready(slot, worker.generation, message.functions)
        log.debug("worker.ready", slot=slot, pid=pid)
        self._step(pool.WorkerReady(slot))
        self._starting.ready(time.monotonic())

    def _retire(self, slot: int) -> None:
        worker = self._workers.get(slot)
        if worker is not None and worker.process is None:
            self._workers.end(worker, None)  # not forked yet, and nobody knows when: it is not waited for
        else:
            self._workers.tell(slot, Retire())
            self._workers.wake(slot)

    def _worker_gone(self, worker: Worker, status: int | None) -> None:
        slot = worker.slot
        self._watchdog.forget(slot)
        row = self._board.last_of(slot)
        self._served_before += row.served
        taken = self._rescue.taken_by(slot)
        expected = self._pool.state_of(slot) is WorkerState.RETIRING and status == 0
        if not expected:
            self._tell_end(worker, status, taken)
        death = worker.death or crash_rules.Death(f"its worker died: {how_it_ended(status)}")
        for number in self._connections.blocked_by(slot):
            if self._board.owner(number) == slot:
                self._board.release(number)
        self._connections.forget_holder(slot)
        self._rescue.settle_all(slot, taken, death)
        self._totals.worker_gone(slot)
        self._status.worker_gone(worker, death, planned=expected)
        if not expected:
            self._rescue.begin_audit(self._workers.slots())

        failure = worker.failure
        unborn = worker.process is None
        cause = failure.cause if failure else "cannot be forked" if unborn else f"a worker {how_it_ended(status)}"
        served = row.served > 0 or bool(taken)
        killed = status == signal.SIGKILL and worker.death is None
        self._step(pool.WorkerGone(slot, cause, served, failure.exit_code if failure else 5, unborn, killed))

    def _tell_end(self, worker: Worker, status: int | None, taken: list[int]) -> None:
        """One line of an end of which nobody has told yet: how it came, and whom it took along."""
        slot, pid = worker.slot, worker.pid
        if worker.death is not None or not pid:
            return
        if not taken and status in (0, signal.SIGTERM):
            log.info("worker.ended", slot=slot, pid=pid, detail="told so by somebody else (SIGTERM)")
        elif worker.failure is None or self._pool.state_of(slot) is not WorkerState.STARTING:
            cause = how_it_ended(status)
            log.error("worker.died", slot=slot, pid=pid, cause=cause, invocations=len(taken), **self._took(taken))

    def _took(self, numbers: list[int]) -> dict[str, str]:
        """A field of a log line: the invocations on these connections."""
        took = crash_rules.named([self._board.connection(number) for number in numbers])
        return {"took_along": took} if took else {}

    # -- the clock -----------------------------------------------------------------------------------------------

    def _scan(self, now_ns: int, late_s: float) -> bool:
        """What time brings; whether anything may become due within SLOW_SCAN_S."""
        if self._settings.debugpy is None:  # a worker at a breakpoint is late for everything
            self._watchdog.look(now_ns, late_s, self._pool.slots_in(WorkerState.READY, WorkerState.RETIRING))
        self._zygotes.flush()
        self._workers.flush()
        self._rescue.go_on(self._workers.slots())
        if self._rescue.audits:
            for slot in self._workers.slots():
                self._workers.wake(slot)
        if now_ns - self._slow_scan_ns > SLOW_SCAN_S * 1e9:
            self._slow_scan_ns = now_ns
            self._look_around(now_ns)
        self._ending.look(now_ns)
        self._step(pool.Tick())
        if self._outcome is not None and (self._pool.empty or self._ending.is_stuck(now_ns)):
            self._finished = self._ending.wind_up(now_ns)
            if self._finished:
                self._ticks.stop()
                self._loop.stop()
        return not (
            self._watchdog.all_rest
            and self._pool.settled
            and self._workers.settled
            and self._zygotes.settled
            and not self._rescue.audits
            and not self._ending.draining
        )

    def _look_around(self, now_ns: int) -> None:
        """What need not be seen at once."""
        for slot in self._recycling.old(self._pool.slots_in(WorkerState.READY)):
            self._step(pool.RecycleAsked(slot))
        self._zygotes.look()
        self._workers.look()
        if self._host is not None:
            self._host.look()
        if not self._zygotes.has_warden and not self._ending.winding_up:
            self._loop.stop()  # for it to be forked
        self._starting.look(now_ns / 1e9)
        self._load.look(now_ns / 1e9, self._board.slots)
        if self._elastic is not None and not self._ending.draining:
            self._stretch(self._elastic, now_ns / 1e9)

    # -- the end -------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._step(pool.ReloadAsked())
        elif number == signal.SIGUSR1:
            self._status.print()
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self._resize(self._pool.size + (1 if number == signal.SIGTTIN else -1), signal.Signals(number).name)
        elif not self._ending.draining:
            self._ending.drain(signal.Signals(number).name)
        else:
            self._ending.hurry("a second signal")

    def _stretch(self, elastic: Elastic, now_s: float) -> None:
        """One worker more or less, if FASTWORKER_WORKERS is a range and what was measured says so."""
        second = self._measure.second(now_s, self._board.slots)
        size = self._pool.size
        if second is not None and (wanted := elastic.wanted(size, second)) != size:
            self._resize(wanted, "requests wait" if wanted > size else "one worker less is enough")

    def _resize(self, workers: int, why: str) -> None:
        if 1 <= workers <= self._most_workers:
            log.info("workers.changed", workers=workers, before=self._pool.size, cause=why)
            self._step(pool.ResizeAsked(workers))
        else:
            detail = f"there may be 1 to {self._most_workers} workers; FASTWORKER_WORKERS says how many at start"
            log.warning("workers.unchanged", workers=self._pool.size, cause=why, detail=detail)

    def _on_defect(self, _: object, context: dict[str, object]) -> None:
        """An exception of our own: better an end that the host can see than a server that half works."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            write_traceback("the supervisor failed", error)
        print(f"fastworker: the supervisor failed: {error or context.get('message')}", file=sys.stderr, flush=True)
        os._exit(1)

    def _step(self, event: pool.Event) -> None:
        """What follows from an event, and from those that this brings about, one after the other."""
        if not isinstance(event, pool.Tick):
            self._ticks.rouse()
        self._events.append(event)
        if len(self._events) > 1:
            return  # further up, another one is being worked on
        while self._events:
            self._act(self._events[0])
            self._events.popleft()

    def _act(self, event: pool.Event) -> None:
        for action in self._pool.step(time.monotonic(), event):
            match action:
                case pool.StartZygote(generation):
                    self._start_zygote(generation)
                case pool.StopZygote(generation):
                    self._totals.app_gone(generation)
                    self._zygotes.stop(generation)
                case pool.Fork(generation, slot):
                    self._fork_worker(generation, slot)
                case pool.Abandon(slot):
                    worker = self._workers.get(slot)
                    if worker is not None:
                        self._workers.end(worker, None)
                case pool.Retire(slot):
                    self._retire(slot)
                case pool.Kill(slot, reason):
                    log.error("worker.killed", slot=slot, reason=reason, **self._took(self._rescue.taken_by(slot)))
                    self._workers.kill(slot, crash_rules.Death(f"its worker was killed: {reason}", cause="overdue"))
                case pool.Tell(event_name, fields):
                    log.warning(event_name, **fields)
                case pool.GiveUp(exit_code, cause):
                    self._outcome = Outcome(exit_code, cause)
                    self._ending.hurry("it cannot go on")
        if isinstance(event, pool.StopAsked) and self._outcome is None:
            self._outcome = Outcome(START_ME_AGAIN if self._settings.under_host else 0)

    def _start_zygote(self, generation: int) -> None:
        try:
            self._zygotes.start(generation)
        except OSError as error:
            self._zygote_gone(generation, f"cannot be started: {os.strerror(error.errno or 0)}", unborn=True)

    def _end(self) -> None:
        self._status.close()
        self._connections.close_all()
        self._zygotes.reap()
        self._loop.close()
        exit_code = self._outcome.exit_code if self._outcome else 0
        log.info("server.stopped", served=self._served_before, exit_code=exit_code)
