"""The warden process: the parent of all zygotes, and of whatever loses its parent; nothing outlives the server by it.

Forked by supervisor/run.py before that makes anything else; forks the zygotes that the supervisor asks for.

    supervisor --- warden
                     +-- span writer (telemetry/dead_spans.py), if traces are on
                     +-- zygote --- workers --- what handlers have started
                     +-- what handlers have started in a session of its own, once its parent has ended

Being their reaper, it has them all below itself, whoever ended when. When the supervisor ends, in whatever way, its
control socket does, and the warden kills its children until there are none.
Rule: no user code, one thread, no event loop, and nothing that waits but for its socket and its children.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from fastworker.ipc import linux
from fastworker.ipc.control import (
    ControlSocket,
    ForkZygote,
    StrayMessage,
    ToZygote,
    ZygoteExited,
    ZygoteFailed,
    ZygoteForked,
)
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.processes import children_of, end_group, is_tracker, kill, open_pidfd
from fastworker.logs import log, write_traceback
from fastworker.settings import Settings

ZygoteMain = Callable[[ControlSocket, Inherited, Settings, int], NoReturn]
WriterMain = Callable[[Inherited, Settings, int], None]

# A killed process may take its time (much memory to give back); who takes longer is stuck in the kernel.
LAST_S = 4.5
STEP_S = 0.005
# A resource tracker (see processes.py) has so long to end by itself.
TRACKER_S = 0.5
# At the end the span writer has so long for what is not written yet. When it dies sooner than RESTART_S after its
# fork, there is no other one.
WRITER_S = 1.0
RESTART_S = 5.0


def main(
    control: ControlSocket,
    inherited: Inherited,
    settings: Settings,
    zygote_main: ZygoteMain,
    writer_main: WriterMain,
) -> NoReturn:
    """The life of the warden, in a process of its own. Ends when the supervisor closes `control`, or ends."""
    linux.adopt_orphans()
    linux.name_process("fastworker:ward")
    # Out of the terminal's foreground group, and deaf to what ends others: it must be there at the very end.
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _Warden(control, inherited, settings, zygote_main, writer_main).run()


class _Warden:
    """Forks on request, tells of every zygote's end, and waits for all who come to it."""

    def __init__(
        self,
        control: ControlSocket,
        inherited: Inherited,
        settings: Settings,
        zygote_main: ZygoteMain,
        writer_main: WriterMain,
    ) -> None:
        self._control = control
        self._inherited = inherited
        self._settings = settings
        self._zygote_main = zygote_main
        self._writer_main = writer_main
        self._zygotes: dict[int, int] = {}  # pid -> generation
        self._writer, self._writer_since_s = 0, -RESTART_S

    def run(self) -> NoReturn:
        self._child_ended, self._note = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._note, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # installed so that the byte is written at all
        self._fork_writer()
        waiter = select.poll()
        waiter.register(self._control, select.POLLIN)
        waiter.register(self._child_ended, select.POLLIN)
        while True:
            # What could not be sent is tried again; otherwise nothing here is due at any time.
            waiter.poll(100 if self._control.backlog else None)
            with contextlib.suppress(BlockingIOError):
                os.read(self._child_ended, 4096)
            self._reap()
            self._control.flush()
            self._hear()

    def _hear(self) -> None:
        while True:
            try:
                message, fd = self._control.receive()
            except BlockingIOError:
                return
            except (EOFError, StrayMessage):
                self._end_everybody()
            if isinstance(message, ForkZygote):
                self._fork(message.generation, fd)

    def _fork(self, generation: int, fd: int | None) -> None:
        if fd is None:  # there was no descriptor free for it
            self._control.send(ZygoteFailed(generation, "too many open files"))
            return
        me = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(fd)
            self._control.send(ZygoteFailed(generation, os.strerror(error.errno or 0)))
            return
        if pid == 0:
            # Whatever happens here, this copy of the warden must never go on as one.
            try:
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                self._shed()
                self._zygote_main(ControlSocket.from_fd(fd, ToZygote), self._inherited, self._settings, me)
            except BaseException as error:
                write_traceback("the zygote failed", error)
            finally:
                os._exit(1)
        os.close(fd)
        self._zygotes[pid] = generation
        self._control.send(ZygoteForked(generation, pid), open_pidfd(pid), give=True)

    def _fork_writer(self) -> None:
        me, now_s = os.getpid(), time.monotonic()
        if self._inherited.spans is None or now_s - self._writer_since_s < RESTART_S:
            return
        self._writer, self._writer_since_s = 0, now_s
        try:
            self._writer = os.fork()
        except OSError as error:
            log.error("fork.failed", what="the writer of dead spans", cause=os.strerror(error.errno or 0))
            return
        if self._writer == 0:
            try:
                self._shed()  # deaf, like the warden, to what ends others
                self._writer_main(self._inherited, self._settings, me)
                os._exit(0)
            except BaseException as error:
                write_traceback("the writer of dead spans failed", error)
            finally:
                os._exit(1)

    def _shed(self) -> None:
        """In a child: nothing of the warden's is left there."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        os.close(self._child_ended)
        os.close(self._note)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            generation = self._zygotes.pop(pid, None)
            if generation is not None:
                end_group(pid)  # what the import has started; while the pid is still the zygote's
            status = os.waitpid(pid, 0)[1]
            if generation is not None:
                self._control.send(ZygoteExited(generation, pid, status))
            elif pid == self._writer:
                self._fork_writer()

    def _end_everybody(self) -> NoReturn:
        """Kills children until there are none: those of a child that has ended become children, too."""
        began, spans = time.monotonic(), self._inherited.spans
        if spans is not None:
            spans.tell_end()
        while time.monotonic() - began < LAST_S:
            patient = time.monotonic() - began < TRACKER_S
            writes = spans is not None and spans.unwritten > 0 and time.monotonic() - began < WRITER_S
            with contextlib.suppress(OSError):
                for pid in children_of(os.getpid()):
                    if not (patient and is_tracker(pid)) and not (writes and pid == self._writer):
                        kill(pid)  # our own child, which we have not waited for: the pid is nobody else's
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(STEP_S)
        os._exit(0)
