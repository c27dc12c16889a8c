"""The supervisor process: starts and ends workers, keeps deadlines, answers for workers that died.

Started by cli.py; forks zygotes, which fork workers. pool.py decides who lives, acceptor.py opens and closes
connections, orphans.py decides what becomes of a dead worker's connections; this file looks and acts.
Rule: never reads a request, never imports HTTP parsing, the app or user code: nothing a client or a handler does
can hold it up.
"""

import contextlib
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import uvloop

from fastworker import linux, orphans, pool
from fastworker.acceptor import Acceptor
from fastworker.answer import render
from fastworker.board import Board
from fastworker.connections import Audit, Connections, number_range
from fastworker.control import (
    AnyMessage,
    AppFailed,
    AppReady,
    CloseConnection,
    ControlSocket,
    Dropped,
    Exited,
    Forked,
    ForkWorker,
    Gone,
    Hold,
    Retire,
    Want,
    WorkerFailed,
    WorkerReady,
    control_pair,
)
from fastworker.deadline import limit_s
from fastworker.inherited import Inherited
from fastworker.interrupt import SOFT_SIGNAL
from fastworker.logs import log, write_traceback
from fastworker.picture import PICTURE_SIGNAL, PictureFrame
from fastworker.pool import Pool, WorkerState
from fastworker.settings import Settings

SCAN_S = 0.02
SLOW_SCAN_S = 1.0
# From the signal that makes a stuck worker write its stack to the kill: it is the C handler that writes.
PICTURE_S = 0.005
# A worker that is not in user code turns its loop four times a second; one that does not is stopped or stuck.
STALLED_S = 2.0
# The supervisor itself was not running for so long (a suspended machine): nobody is to blame for being late.
PAUSED_S = 1.0

ZygoteMain = Callable[[ControlSocket, Inherited, Settings, int], NoReturn]


class Outcome(NamedTuple):
    """How the server ended: its exit code, and the cause unless that is 0."""

    exit_code: int
    cause: str = ""


class _Zygote(NamedTuple):
    pid: int
    control: ControlSocket


class _Worker:
    """What the supervisor knows of a worker besides its state (which is pool.py's)."""

    def __init__(self, generation: int, control: ControlSocket, theirs: socket.socket) -> None:
        self.generation = generation
        self.control = control
        self.theirs: socket.socket | None = theirs  # kept until the zygote has it
        self.pid = 0
        self.beat = 0
        self.beat_ns = time.monotonic_ns()
        self.request_limit: int | None = None
        self.death: orphans.Death | None = None  # why we killed it, if we did
        self.failure: WorkerFailed | None = None
        self.warned_ns = 0  # the soft deadline that has been told
        self.pictured = False


def run(settings: Settings, workers: int, listener: socket.socket, zygote_main: ZygoteMain) -> Outcome:
    """Serves on `listener` until told to stop, or until nothing can be started any more."""
    return Supervisor(settings, workers, listener, zygote_main).run()


class Supervisor:
    """One server. All methods run on its loop, but `_fork_zygote`, which runs between two turns of it."""

    def __init__(self, settings: Settings, workers: int, listener: socket.socket, zygote_main: ZygoteMain) -> None:
        self._settings = settings
        self._zygote_main = zygote_main
        self._grace_ns = int(settings.grace * 1e9)
        self._has_deadlines = settings.debugpy is None
        longest_s = limit_s(own_s=None, server_s=settings.deadline, host_timeout_s=None, grace_s=settings.grace)

        numbers = number_range(linux.raise_descriptor_limit())
        slots = workers * 2 + 1
        # Before any fork: every process must see the same epoll and the same board.
        self._shared = select.epoll()
        self._board = Board(slots, numbers.first, numbers.size)
        self._pictures = PictureFrame()
        self._inherited = Inherited(self._shared, self._board, self._pictures)
        self._connections = Connections(self._shared, numbers)
        self._pool = Pool(
            size=workers,
            slots=slots,
            start_timeout_s=settings.start_timeout,
            retire_s=longest_s + settings.grace + pool.STOP_HOOKS_S,
        )
        self._loop = uvloop.new_event_loop()
        self._acceptor = Acceptor(self._loop, listener, self._connections, self._board, self._tell)
        self._zygotes: dict[int, _Zygote] = {}
        self._to_fork: list[int] = []
        self._workers: dict[int, _Worker] = {}
        self._orphaned: dict[int, int] = {}  # pid -> slot, of workers whose zygote died
        self._audits: list[Audit] = []
        self._outcome: Outcome | None = None
        self._served_before = 0
        self._quiet_scans = 0
        self._scanned_ns = time.monotonic_ns()
        self._spared_until_ns = 0
        self._slow_scan_ns = 0

    def run(self) -> Outcome:
        linux.adopt_orphans()
        linux.name_process("fastworker")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            # Leaves a note for the loop, which also keeps it while it is not running.
            signal.signal(number, lambda number, _: self._loop.call_soon_threadsafe(self._on_signal, number))
        self._loop.set_exception_handler(self._on_defect)
        self._acceptor.start()
        self._step(pool.Tick())
        self._loop.call_soon(self._scan)
        while self._outcome is None or not self._pool.empty:
            # Forked while the loop is not running: the child must not find itself inside a callback of it.
            while self._to_fork:
                self._fork_zygote(self._to_fork.pop(0))
            self._loop.run_forever()
        self._end()
        return self._outcome

    # -- zygotes -------------------------------------------------------------------------------------------------

    def _fork_zygote(self, generation: int) -> None:
        ours, theirs = control_pair()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            # Whatever happens here, this copy of the supervisor must never go on as one.
            try:
                _shed_supervisor(theirs.fileno(), self._shared.fileno(), self._pictures.write_fd)
                self._zygote_main(ControlSocket(theirs), self._inherited, self._settings, parent)
            except BaseException as error:
                write_traceback("the zygote failed", error)
            finally:
                os._exit(1)
        theirs.close()
        zygote = _Zygote(pid, ControlSocket(ours))
        self._zygotes[generation] = zygote
        self._loop.add_reader(zygote.control.fileno(), self._hear_zygote, generation)

    def _hear_zygote(self, generation: int) -> None:
        while generation in self._zygotes:
            try:
                message, _ = self._zygotes[generation].control.receive()
            except BlockingIOError:
                return
            except EOFError:
                # It is dying, and keeps its own status; if it only closed the socket, it must die now.
                self._zygote_died(generation, _kill_and_wait(self._zygotes[generation].pid))
                return
            match message:
                case AppReady(functions):
                    log.info("app.ready", generation=generation, functions=functions)
                    self._step(pool.AppReady(generation))
                case AppFailed(exit_code, cause):
                    self._stop_zygote(generation)
                    self._step(pool.ZygoteGone(generation, exit_code, cause))
                case Forked(slot, pid):
                    self._forked(slot, self._workers[slot], pid)
                case Exited(slot, pid, status):
                    self._worker_gone(slot, pid, status)

    def _zygote_died(self, generation: int, status: int) -> None:
        log.error("zygote.died", pid=self._zygotes[generation].pid, cause=_cause(status))
        self._forget_zygote(generation)
        # First, so that nothing more is asked of it.
        cause = f"the process that imports the app ended: {_cause(status)}"
        self._step(pool.ZygoteGone(generation, 3 if self._pool.generation < 0 else 5, cause))
        # Its workers are being killed by the kernel and become our children.
        for slot, worker in list(self._workers.items()):
            if worker.generation == generation and not worker.pid:
                self._worker_gone(slot, 0, 0)  # never forked
            elif worker.generation == generation:
                self._orphaned[worker.pid] = slot
                _kill_group(worker.pid)

    def _stop_zygote(self, generation: int) -> None:
        if generation in self._zygotes:
            _kill_and_wait(self._zygotes[generation].pid)
            self._forget_zygote(generation)

    def _kill_silent_zygote(self, worker: _Worker) -> None:
        """A worker without a pid at the end of its time: the zygote that was to fork it does not."""
        if not worker.pid and worker.generation in self._zygotes:
            self._zygote_died(worker.generation, _kill_and_wait(self._zygotes[worker.generation].pid))

    def _forget_zygote(self, generation: int) -> None:
        zygote = self._zygotes.pop(generation)
        self._loop.remove_reader(zygote.control.fileno())
        zygote.control.close()

    # -- workers -------------------------------------------------------------------------------------------------

    def _fork_worker(self, generation: int, slot: int) -> None:
        ours, theirs = control_pair()
        self._board.clear_worker(slot)
        worker = self._workers[slot] = _Worker(generation, ControlSocket(ours), theirs)
        self._loop.add_reader(ours.fileno(), self._hear_worker, slot, worker)
        self._zygotes[generation].control.send(ForkWorker(slot), theirs.fileno())

    def _forked(self, slot: int, worker: _Worker, pid: int) -> None:
        """Told by the zygote, or by the worker itself if that is faster."""
        if worker.pid:
            return
        worker.pid = pid
        if worker.theirs is not None:
            worker.theirs.close()
            worker.theirs = None
        self._step(pool.WorkerForked(slot))

    def _hear_worker(self, slot: int, worker: _Worker) -> None:
        """Everything the worker has said. Its end of file is no news: that it has ended is told by its parent."""
        while True:
            try:
                message, _ = worker.control.receive()
            except BlockingIOError:
                return
            except EOFError:
                self._loop.remove_reader(worker.control.fileno())
                return
            self._on_message(slot, worker, message)

    def _on_message(self, slot: int, worker: _Worker, message: AnyMessage) -> None:
        match message:
            case Want(number):
                if self._connections.get(number) is None:
                    worker.control.send(Gone(number))
                else:
                    self._connections.lend(number, slot)
                    worker.control.send(Hold(number), number)
            case Dropped(number):
                self._connections.dropped(number, slot)
            case CloseConnection(number, linger):
                self._connections.dropped(number, slot)
                self._acceptor.close(number, linger=linger)
            case WorkerReady(pid):
                self._forked(slot, worker, pid)
                worker.beat_ns = time.monotonic_ns()
                if self._settings.max_requests is not None:
                    worker.request_limit = int(self._settings.max_requests * random.uniform(0.8, 1.2)) or 1
                log.debug("worker.ready", slot=slot, pid=worker.pid)
                self._step(pool.WorkerReady(slot))
            case WorkerFailed():
                worker.failure = message

    def _tell(self, slot: int, message: AnyMessage) -> None:
        self._workers[slot].control.send(message)
        self._board.post_mail(slot)

    def _kill(self, slot: int, death: orphans.Death) -> None:
        worker = self._workers[slot]
        if worker.pid:
            worker.death = worker.death or death
            _kill_group(worker.pid)

    def _worker_gone(self, slot: int, pid: int, status: int) -> None:
        worker = self._workers[slot]
        if pid:
            _kill_group(pid)  # what it had started goes with it
        self._hear_worker(slot, worker)
        del self._workers[slot]
        self._loop.remove_reader(worker.control.fileno())
        worker.control.close()
        if worker.theirs is not None:
            worker.theirs.close()

        row = self._board.worker(slot)
        self._served_before += row.served
        expected = self._pool.state_of(slot) is WorkerState.RETIRING and status == 0
        death = worker.death or orphans.Death(f"its worker died: {_cause(status)}")
        taken = [number for number in self._connections.open_numbers() if self._board.owner(number) == slot]
        if not expected and worker.failure is None and worker.death is None:
            log.error("worker.died", slot=slot, pid=pid, cause=_cause(status), invocations=len(taken))
        self._connections.forget_holder(slot)
        for number in taken:
            self._settle_orphan(number, death)
        if not expected:
            self._audits.append(Audit(self._shared, self._board, self._connections, self._workers))

        failure = worker.failure
        cause = failure.cause if failure else f"a worker {_cause(status)}"
        served = row.served > 0 or bool(taken)
        self._step(pool.WorkerGone(slot, cause, served, failure.exit_code if failure else 5))

    def _settle_orphan(self, number: int, death: orphans.Death) -> None:
        connection = self._connections.get(number)
        assert connection is not None
        row = self._board.connection(number)
        unread = linux.unread_bytes(number)
        found = orphans.Found(unread, not unread and _ended(connection), linux.tcp_info(connection).written)
        fate = orphans.decide(row, found, death, now_ns=time.monotonic_ns())
        keep = fate.keep
        if fate.answer is not None:
            answer = render(fate.answer, keep_alive=keep, head_only=row.head)
            try:
                keep = connection.send(answer) == len(answer) and keep
            except OSError:  # full or reset: nobody is reading there
                keep = False
        self._board.release(number)
        if keep:
            self._connections.arm(number)
        else:
            self._acceptor.close(number, linger=fate.answer is not None)

    # -- the clock -----------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._scanned_ns > PAUSED_S * 1e9:
            # We were not running, and neither were the workers: give them the grace to answer by themselves.
            self._spared_until_ns = now_ns + self._grace_ns
            log.warning("supervisor.paused", seconds=round((now_ns - self._scanned_ns) / 1e9, 1))
        self._scanned_ns = now_ns
        for slot in self._pool.slots_in(WorkerState.READY, WorkerState.RETIRING):
            self._check_worker(slot, self._workers[slot], now_ns)
        for zygote in self._zygotes.values():
            zygote.control.flush()
        self._reap()
        self._look_for_lost()
        if now_ns - self._slow_scan_ns > SLOW_SCAN_S * 1e9:
            self._slow_scan_ns = now_ns
            self._recycle()
        if self._board.drain_ns and self._drained(now_ns):
            self._step(pool.StopAsked())
        self._step(pool.Tick())
        if self._outcome is not None and self._pool.empty:
            self._loop.stop()
        else:
            self._loop.call_later(SCAN_S, self._scan)

    def _check_worker(self, slot: int, worker: _Worker, now_ns: int) -> None:
        worker.control.flush()
        if not self._has_deadlines:
            return  # a worker at a breakpoint is late for everything
        row = self._board.worker(slot)
        if row.beat != worker.beat:
            worker.beat, worker.beat_ns = row.beat, now_ns
        if row.deadline_ns:
            soft_ns = row.inline_ns
            if soft_ns and soft_ns - now_ns < SCAN_S * 1e9 and worker.warned_ns != soft_ns:
                worker.warned_ns = soft_ns
                # uvloop's timers are up to a millisecond early, and the worker takes an early signal for a stray one.
                self._loop.call_later(max(0, soft_ns - now_ns) / 1e9 + 0.002, self._warn, slot, worker)
            if now_ns >= row.deadline_ns and now_ns >= self._spared_until_ns and not worker.pictured:
                self._end_overdue(slot, worker)
        elif now_ns - worker.beat_ns > STALLED_S * 1e9 and now_ns >= self._spared_until_ns:
            log.error("worker.killed", slot=slot, pid=worker.pid, reason="it does not move any more")
            self._kill(slot, orphans.Death("its worker did not move any more and was killed"))

    def _warn(self, slot: int, worker: _Worker) -> None:
        """The soft deadline. Whether the handler that it is for still runs, the worker knows best."""
        if self._workers.get(slot) is worker:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, SOFT_SIGNAL)

    def _end_overdue(self, slot: int, worker: _Worker) -> None:
        worker.pictured = True
        self._pictures.take()  # left behind by one that was killed before it was read
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, PICTURE_SIGNAL)
        self._loop.call_later(PICTURE_S, self._kill_overdue, slot, worker)

    def _kill_overdue(self, slot: int, worker: _Worker) -> None:
        if self._workers.get(slot) is not worker:
            return
        deadline_ns = self._board.worker(slot).deadline_ns
        if not deadline_ns or time.monotonic_ns() < deadline_ns:
            worker.pictured = False  # it came back in the last moment
            return
        self._kill(slot, orphans.Death("its worker was killed, for another invocation there overran its deadline"))
        picture = self._pictures.take()
        for number in self._connections.open_numbers():
            row = self._board.connection(number)
            if row.owner == slot and row.hard_ns == deadline_ns:
                ids = {"function": row.function, "id": row.invocation_id}
                log.error("worker.killed", slot=slot, pid=worker.pid, reason="deadline", **ids, stack=picture)

    def _reap(self) -> None:
        """Workers whose zygote died, and whatever else was left to us by descendants."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            slot = self._orphaned.pop(pid, None)
            if slot is not None:
                self._worker_gone(slot, pid, status)
            for generation, zygote in list(self._zygotes.items()):
                if zygote.pid == pid:
                    self._zygote_died(generation, status)

    def _look_for_lost(self) -> None:
        for audit in list(self._audits):
            for number in audit.step(self._workers) or ():
                if self._connections.get(number) is not None:
                    log.debug("connection.found", number=number)
                    self._connections.arm(number)
            if audit.finished:
                self._audits.remove(audit)

    def _recycle(self) -> None:
        max_rss = self._settings.max_rss
        for slot in self._pool.slots_in(WorkerState.READY):
            worker, served = self._workers[slot], self._board.worker(slot).served
            worn = worker.request_limit is not None and served >= worker.request_limit
            # One that has served nothing is as small as a worker of this app can be: a new one would not help.
            fat = max_rss is not None and served > 0 and linux.resident_bytes(worker.pid) > max_rss
            if worn or fat:
                self._step(pool.RecycleAsked(slot))

    # -- the end -------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._step(pool.ReloadAsked())
        elif number == signal.SIGUSR1:
            self._print_board()
        elif not self._board.drain_ns:
            log.info("drain.begins", signal=signal.Signals(number).name, limit_s=self._settings.drain)
            self._board.drain_ns = time.monotonic_ns()
        else:
            self._hurry("a second signal")

    def _drained(self, now_ns: int) -> bool:
        """Nothing is in flight, in two looks: a request that lay in its socket has been taken by then."""
        if now_ns - self._board.drain_ns > self._settings.drain * 1e9:
            self._hurry(f"FASTWORKER_DRAIN={self._settings.drain:g} s are over")
            return True
        busy = any(self._board.owner(number) is not None for number in self._connections.open_numbers())
        self._quiet_scans = 0 if busy else self._quiet_scans + 1
        return self._quiet_scans >= 2

    def _hurry(self, why: str) -> None:
        death = orphans.Death(f"the server stopped before this invocation had ended ({why})", 503)
        for slot in list(self._workers):
            self._kill(slot, death)
        self._step(pool.StopAsked())

    def _on_defect(self, _: object, context: dict[str, object]) -> None:
        """An exception of our own: better an end that the host can see than a server that half works.

        Nobody survives the supervisor, so there is nobody to tell.
        """
        error = context.get("exception")
        if isinstance(error, BaseException):
            write_traceback("the supervisor failed", error)
        print(f"fastworker: the supervisor failed: {error or context.get('message')}", file=sys.stderr, flush=True)
        os._exit(1)

    def _step(self, event: pool.Event) -> None:
        for action in self._pool.step(time.monotonic(), event):
            match action:
                case pool.StartZygote(generation):
                    self._to_fork.append(generation)
                    self._loop.stop()
                case pool.StopZygote(generation):
                    self._stop_zygote(generation)
                case pool.Fork(generation, slot):
                    self._fork_worker(generation, slot)
                case pool.Retire(slot):
                    self._tell(slot, Retire())
                case pool.Kill(slot, reason):
                    log.error("worker.killed", slot=slot, reason=reason)
                    self._kill(slot, orphans.Death(f"its worker was killed: {reason}"))
                    self._kill_silent_zygote(self._workers[slot])
                case pool.Tell(event_name, fields):
                    log.warning(event_name, **fields)
                case pool.GiveUp(exit_code, cause):
                    self._outcome = Outcome(exit_code, cause)
                    self._hurry("it cannot go on")
        if isinstance(event, pool.StopAsked) and self._outcome is None:
            self._outcome = Outcome(0)

    def _print_board(self) -> None:
        lines = [f"{len(self._connections)} connections, generation {self._pool.generation}"]
        for slot, worker in sorted(self._workers.items()):
            row = self._board.worker(slot)
            state = self._pool.state_of(slot)
            lines.append(
                f"worker {slot}: pid {worker.pid}, {state.value if state else 'gone'}, {row.served} served, "
                f"{row.failed} failed, {row.waited_ms} ms waited in the queue"
            )
            for number in self._connections.open_numbers():
                if self._board.owner(number) == slot:
                    taken = self._board.connection(number)
                    age_s = (time.monotonic_ns() - taken.sent_ns) / 1e9
                    lines.append(
                        f"  connection {number}: {taken.phase.name.lower()} {taken.function} "
                        f"{taken.invocation_id} for {age_s:.3f} s"
                    )
        for line in lines:
            log.info("board", row=line)

    def _end(self) -> None:
        for generation in list(self._zygotes):
            self._stop_zygote(generation)
        self._connections.close_all()
        self._loop.close()
        served = self._served_before
        log.info("server.stopped", served=served, exit_code=self._outcome.exit_code if self._outcome else 0)


def _shed_supervisor(*keep: int) -> None:
    """In a fresh zygote: none of the supervisor's descriptors but `keep`, and none of its signal handlers."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, linux.raise_descriptor_limit())


def _kill_group(pid: int) -> None:
    """A worker leads a process group, so that what it has started ends with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _kill_and_wait(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _ended(connection: socket.socket) -> bool:
    """The client has closed its side, and there is nothing left to read."""
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _cause(status: int) -> str:
    """What waitpid said, for people."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}" + (", as the out-of-memory killer does" if name == "SIGKILL" else "")
