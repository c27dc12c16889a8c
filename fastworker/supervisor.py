"""The supervisor process: starts and ends workers, keeps deadlines, answers for workers that died.

Started by cli.py; forks zygotes, which fork workers. pool.py decides who lives, acceptor.py opens and closes
connections, watchdog.py keeps deadlines, rescue.py looks after what the dead leave; this file holds them together.
Rule: never reads a request, never imports HTTP parsing, the app or user code: nothing a client or a handler does
can hold it up.
"""

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
from fastworker.board import Board
from fastworker.connections import Connections, number_range
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
    Occupied,
    Retire,
    Want,
    WorkerFailed,
    WorkerReady,
    control_pair,
)
from fastworker.deadline import limit_s
from fastworker.inherited import Inherited
from fastworker.logs import log, write_traceback
from fastworker.picture import PictureFrame
from fastworker.pool import Pool, WorkerState
from fastworker.processes import how_it_ended, kill_and_wait, kill_group, shed_supervisor
from fastworker.rescue import Rescue
from fastworker.settings import Settings
from fastworker.watchdog import SCAN_S, Watchdog

SLOW_SCAN_S = 1.0

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
        self.request_limit: int | None = None
        self.death: orphans.Death | None = None  # why we killed it, if we did
        self.failure: WorkerFailed | None = None


def run(settings: Settings, workers: int, listener: socket.socket, zygote_main: ZygoteMain) -> Outcome:
    """Serves on `listener` until told to stop, or until nothing can be started any more."""
    return Supervisor(settings, workers, listener, zygote_main).run()


class Supervisor:
    """One server. All methods run on its loop, but `_fork_zygote`, which runs between two turns of it."""

    def __init__(self, settings: Settings, workers: int, listener: socket.socket, zygote_main: ZygoteMain) -> None:
        self._settings = settings
        self._zygote_main = zygote_main
        longest_s = limit_s(own_s=None, server_s=settings.deadline, host_timeout_s=None, grace_s=settings.grace)

        self._soft_limit = linux.soft_descriptor_limit()
        numbers = number_range(linux.raise_descriptor_limit())
        slots = workers * 2 + 1
        # Before any fork: every process must see the same epoll and the same board.
        self._shared = select.epoll()
        self._board = Board(slots, numbers.first, numbers.size)
        self._inherited = Inherited(self._shared, self._board, PictureFrame())
        self._connections = Connections(self._shared, numbers)
        self._pool = Pool(
            size=workers,
            slots=slots,
            start_timeout_s=settings.start_timeout,
            retire_s=longest_s + settings.grace + pool.STOP_HOOKS_S,
        )
        self._loop = uvloop.new_event_loop()
        self._acceptor = Acceptor(self._loop, listener, self._connections, self._board, self._tell)
        self._rescue = Rescue(self._shared, self._board, self._connections, self._acceptor)
        self._watchdog = Watchdog(
            self._loop, self._board, self._connections, self._inherited.pictures, settings.grace, self._kill
        )
        self._zygotes: dict[int, _Zygote] = {}
        self._to_fork: list[int] = []
        self._workers: dict[int, _Worker] = {}
        self._orphaned: dict[int, int] = {}  # pid -> slot, of workers whose zygote died
        self._outcome: Outcome | None = None
        self._served_before = 0
        self._quiet_scans = 0
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
        parent, pipes = os.getpid(), linux.open_pipes()
        pid = os.fork()
        if pid == 0:
            # Whatever happens here, this copy of the supervisor must never go on as one.
            try:
                keep = theirs.fileno(), self._shared.fileno(), self._inherited.pictures.write_fd
                shed_supervisor(pipes, self._soft_limit, *keep)
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
                self._zygote_died(generation, kill_and_wait(self._zygotes[generation].pid))
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
        log.error("zygote.died", pid=self._zygotes[generation].pid, cause=how_it_ended(status))
        self._forget_zygote(generation)
        # First, so that nothing more is asked of it.
        cause = f"the process that imports the app ended: {how_it_ended(status)}"
        self._step(pool.ZygoteGone(generation, 5 if self._pool.has_imported else 3, cause))
        # Its workers are being killed by the kernel and become our children.
        for slot, worker in list(self._workers.items()):
            if worker.generation == generation and not worker.pid:
                self._worker_gone(slot, 0, 0)  # never forked
            elif worker.generation == generation:
                self._orphaned[worker.pid] = slot
                kill_group(worker.pid)

    def _stop_zygote(self, generation: int) -> None:
        if generation in self._zygotes:
            kill_and_wait(self._zygotes[generation].pid)
            self._forget_zygote(generation)

    def _kill_silent_zygote(self, worker: _Worker) -> None:
        """A worker without a pid at the end of its time: the zygote that was to fork it does not."""
        if not worker.pid and worker.generation in self._zygotes:
            self._zygote_died(worker.generation, kill_and_wait(self._zygotes[worker.generation].pid))

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
                    for lent in self._connections.lend(number, slot):
                        worker.control.send(Hold(lent), lent)
            case Dropped(number):
                self._connections.dropped(number, slot)
            case Occupied(number, free):
                self._acceptor.move(number, slot, free)
            case CloseConnection(number, linger):
                self._connections.dropped(number, slot)
                self._acceptor.close(number, linger=linger)
            case WorkerReady(pid):
                self._forked(slot, worker, pid)
                self._watchdog.watch(slot, pid)
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
            kill_group(worker.pid)

    def _worker_gone(self, slot: int, pid: int, status: int) -> None:
        worker = self._workers[slot]
        if pid:
            kill_group(pid)  # what it had started goes with it
        self._hear_worker(slot, worker)
        del self._workers[slot]
        self._watchdog.forget(slot)
        self._loop.remove_reader(worker.control.fileno())
        worker.control.close()
        if worker.theirs is not None:
            worker.theirs.close()

        row = self._board.worker(slot)
        self._served_before += row.served
        expected = self._pool.state_of(slot) is WorkerState.RETIRING and status == 0
        death = worker.death or orphans.Death(f"its worker died: {how_it_ended(status)}")
        taken = self._rescue.taken_by(slot)
        if not expected and worker.failure is None and worker.death is None:
            log.error("worker.died", slot=slot, pid=pid, cause=how_it_ended(status), invocations=len(taken))
        for number in self._connections.blocked_by(slot):
            if self._board.owner(number) == slot:
                self._board.release(number)
        self._connections.forget_holder(slot)
        for number in taken:
            self._rescue.settle(number, death)
        if not expected:
            self._rescue.begin_audit(self._workers)

        failure = worker.failure
        cause = failure.cause if failure else f"a worker {how_it_ended(status)}"
        served = row.served > 0 or bool(taken)
        self._step(pool.WorkerGone(slot, cause, served, failure.exit_code if failure else 5))

    # -- the clock -----------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        now_ns = time.monotonic_ns()
        if self._settings.debugpy is None:  # a worker at a breakpoint is late for everything
            self._watchdog.look(now_ns, self._pool.slots_in(WorkerState.READY, WorkerState.RETIRING))
        for control in [peer.control for peer in self._zygotes.values()] + [w.control for w in self._workers.values()]:
            control.flush()
        self._reap()
        self._rescue.go_on(self._workers)
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
