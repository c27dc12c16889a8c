"""The zygote process: imports the app once, then forks a warm worker whenever the supervisor asks.

Forked by warden.py; becomes the parent of the workers, which start in worker/run.py.
Rule: one thread, and after the import nothing but waiting: a fork copies exactly this state into every worker.
"""

import contextlib
import gc
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from fastworker import exits
from fastworker.errors import FastworkerError, one_line
from fastworker.functions.loaded_app import LoadedApp, load_app
from fastworker.ipc import linux
from fastworker.ipc.control import (
    AppFailed,
    AppReady,
    ControlSocket,
    Exited,
    Forked,
    ForkWorker,
    StrayMessage,
    ToWorker,
    WorkerFailed,
    cause_of,
)
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.processes import children_of, end_group, is_tracker, kill, open_pidfd
from fastworker.ipc.seat import Seat
from fastworker.ipc.signals import DUMP_SIGNAL, LOOP_SIGNAL, SOFT_SIGNAL, WAKE_SIGNAL
from fastworker.logs import log, write_traceback
from fastworker.settings import Settings
from fastworker.zygote import bytecode, native_threads

# How often a worker without a pidfd is looked at: its parent may not notice the signal that tells of its end.
BACKSTOP_S = 1.0
# How often a message is tried again that could not be sent.
AGAIN_S = 0.1
# For the zygote's own end, and for that of a worker which could not start.
END_S = 1.6
# An end is cut so long before the supervisor would kill: the log then says what took so long.
MARGIN_S = 0.3

OUR_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, SOFT_SIGNAL, LOOP_SIGNAL, WAKE_SIGNAL, DUMP_SIGNAL}

WorkerMain = Callable[[int, ControlSocket, Inherited, Settings, LoadedApp | None, int], int]


def main(
    control: ControlSocket,
    inherited: Inherited,
    settings: Settings,
    parent: int,
    worker_main: WorkerMain,
) -> NoReturn:
    """The life of a zygote, in a process of its own. Ends with the supervisor, or when that closes `control`."""
    linux.die_with_parent(parent)
    linux.name_process("fastworker:zygo")
    # Out of the terminal's foreground group: Ctrl-C is for the supervisor, which then ends everybody in order.
    os.setpgid(0, 0)
    bytecode.keep_out_of(bytecode.roots_of(settings.app, settings.app_root))
    app = None
    if settings.preload:
        try:
            app = load_app(
                settings.app,
                app_root=settings.app_root,
                http_mode=settings.http_mode,
                host_settings=settings.host_settings,
                mixed_auth=settings.on_mixed_auth,
                limits=settings.limits,
            )
        except FastworkerError as error:
            control.send(AppFailed(error.exit_code, cause_of(error)))
            _end(error.exit_code)
        if inherited.spans is not None:  # once, and not in each worker
            from fastworker.telemetry import tracing  # noqa: PLC0415

            tracing.prepare(settings)
        linux.keep_streams_taken()
        app.tell()
        _warn_of_threads()
        # Whatever the import has blocked: without these no deadline, no picture, and no news of a worker's end.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OUR_SIGNALS)
    exits.flush_before_forks()
    control.send(AppReady(app.names if app else []))
    # Objects that live for ever leave the collector's sight: no worker copies their pages just to look at them.
    gc.collect()
    gc.freeze()
    _Forks(control, inherited, settings, app, worker_main).run()


class _Forks:
    """Forks on request, and tells the supervisor of every end."""

    def __init__(
        self,
        control: ControlSocket,
        inherited: Inherited,
        settings: Settings,
        app: LoadedApp | None,
        worker_main: WorkerMain,
    ) -> None:
        self._control = control
        self._inherited = inherited
        self._settings = settings
        self._app = app
        self._worker_main = worker_main
        self._slots: dict[int, int] = {}  # pid -> slot
        self._pidfds: dict[int, int] = {}  # pid -> pidfd, of those that have one

    def run(self) -> NoReturn:
        self._child_ended, self._note = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._note, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # installed so that the byte is written at all
        self._waiter = select.poll()
        self._waiter.register(self._control, select.POLLIN)
        self._waiter.register(self._child_ended, select.POLLIN)
        while True:
            ready = {fd for fd, _ in self._waiter.poll(self._patience_ms())}
            with contextlib.suppress(BlockingIOError):
                os.read(self._child_ended, 4096)
            self._reap()
            for pid, pidfd in list(self._pidfds.items()):
                if pidfd in ready:  # it has ended, but a thread of the app has waited for it
                    self._forget_pidfd(pid)
            self._control.flush()
            self._hear()

    def _patience_ms(self) -> float | None:
        """Without pidfds the app may take our news of an end: it has SIGCHLD, too, while it is imported."""
        if self._control.backlog:
            return AGAIN_S * 1000
        return BACKSTOP_S * 1000 if len(self._pidfds) < len(self._slots) else None

    def _reap(self) -> None:
        while self._slots:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            slot = self._slots.pop(pid, None)  # None: something the app started while it was imported
            if slot is not None:
                self._forget_pidfd(pid)
                end_group(pid)  # what it has started, while the pid is still its own
            status = os.waitpid(pid, 0)[1]
            if slot is not None:
                self._control.send(Exited(slot, pid, status))

    def _forget_pidfd(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid, None)
        if pidfd is not None:
            self._waiter.unregister(pidfd)
            os.close(pidfd)

    def _hear(self) -> None:
        while True:
            try:
                message, fd = self._control.receive()
            except BlockingIOError:
                return
            except EOFError:
                _end(0)
            except StrayMessage:
                os._exit(1)
            assert isinstance(message, ForkWorker)
            if fd is None:  # the app has taken all descriptors
                log.error("fork.failed", slot=message.slot, cause="no descriptor is free in the process that forks")
                self._control.send(Exited(message.slot, 0, 1 << 8))
                continue
            theirs = ControlSocket.from_fd(fd, ToWorker)
            if not theirs.hung_up:  # else nobody waits for it any more
                self._fork(message.slot, theirs)
            theirs.close()

    def _fork(self, slot: int, theirs: ControlSocket) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no memory, too many processes: as good as a worker that died at once
            log.error("fork.failed", slot=slot, cause=os.strerror(error.errno or 0))
            self._control.send(Exited(slot, 0, 1 << 8))
            return
        if pid == 0:
            code = 1
            try:
                linux.name_process(f"fastworker:{slot}")  # before anything else: who counts zygotes counts one
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self._control.close()
                os.close(self._child_ended)
                os.close(self._note)
                for of_another in self._pidfds.values():
                    os.close(of_another)
                exits.disown()
                code = self._worker_main(slot, theirs, self._inherited, self._settings, self._app, parent)
            except BaseException as error:
                write_traceback("the worker failed", error)
                # Should no worker be able to start, this is the cause that is told last.
                theirs.send(WorkerFailed(5, f"a worker failed: {one_line(error)}"))
            try:
                self._end_worker(slot)
            finally:
                # Not sys.exit, which would unwind what this process has a copy of only, up to the supervisor's main.
                os._exit(code)
        self._slots[pid] = slot
        pidfd = open_pidfd(pid)
        if pidfd is not None:
            self._pidfds[pid] = pidfd
            self._waiter.register(pidfd, select.POLLIN)
        self._control.send(Forked(slot, pid), open_pidfd(pid), give=True)

    def _end_worker(self, slot: int) -> None:
        """A worker's end in order, before it is killed: its stop hooks and its end together have a limit."""
        now_ns, board = time.monotonic_ns(), self._inherited.board
        limits_ns = [board.worker(slot).deadline_ns or now_ns + int(END_S * 1e9)]
        if board.drain_ns:
            limits_ns.append(board.drain_ns + int(self._settings.drain * 1e9))
        Seat(board, slot, os.getpid()).inline(min(limits_ns))  # user code runs: it does not stand still
        exits.end_in_order(max(0.0, (min(limits_ns) - now_ns) / 1e9 - MARGIN_S))


def _end(code: int) -> NoReturn:
    """The zygote's own end: in order, and with what the import has started, in a session of its own or not."""
    exits.end_in_order(END_S)
    for pid in children_of(os.getpid()):
        if not is_tracker(pid):
            kill(pid)
    os._exit(code)


def _warn_of_threads() -> None:
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        log.warning(
            "app.threads",
            threads=others,
            detail="the import of the app started threads, which no forked worker has; start them in "
            "@app.on_worker_start, or set FASTWORKER_PRELOAD=0 to import in each worker",
        )
    libraries = native_threads.lost_in_a_fork()
    if libraries:
        log.warning(
            "app.native_threads",
            libraries=libraries,
            detail="the import of the app started threads of these libraries, which no forked worker has: calls that "
            "wait for them hang. Set FASTWORKER_PRELOAD=0 to import in each worker, or use the library for the first "
            "time in @app.on_worker_start; for OpenMP, FASTWORKER_THREADS=1 keeps it from starting any",
        )
