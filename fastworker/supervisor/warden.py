"""The warden process: the parent of all zygotes, and of whatever loses its parent; nothing outlives the server by it.

Forked by supervisor/run.py before that makes anything else; forks the zygotes that the supervisor asks for.

    supervisor --- warden
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
from fastworker.logs import write_traceback
from fastworker.settings import Settings

ZygoteMain = Callable[[ControlSocket, Inherited, Settings, int], NoReturn]

# A killed process may take its time (much memory to give back); who takes longer is stuck in the kernel.
LAST_S = 4.5
STEP_S = 0.005
# A resource tracker (see processes.py) has so long to end by itself.
TRACKER_S = 0.5


def main(control: ControlSocket, inherited: Inherited, settings: Settings, zygote_main: ZygoteMain) -> NoReturn:
    """The life of the warden, in a process of its own. Ends when the supervisor closes `control`, or ends."""
    linux.adopt_orphans()
    linux.name_process("fastworker:ward")
    # Out of the terminal's foreground group, and deaf to what ends others: it must be there at the very end.
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _Warden(control, inherited, settings, zygote_main).run()


class _Warden:
    """Forks on request, tells of every zygote's end, and waits for all who come to it."""

    def __init__(
        self, control: ControlSocket, inherited: Inherited, settings: Settings, zygote_main: ZygoteMain
    ) -> None:
        self._control = control
        self._inherited = inherited
        self._settings = settings
        self._zygote_main = zygote_main
        self._zygotes: dict[int, int] = {}  # pid -> generation

    def run(self) -> NoReturn:
        self._child_ended, self._note = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._note, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # installed so that the byte is written at all
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
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                    signal.signal(number, signal.SIG_DFL)
                self._control.close()
                os.close(self._child_ended)
                os.close(self._note)
                self._zygote_main(ControlSocket.from_fd(fd, ToZygote), self._inherited, self._settings, me)
            except BaseException as error:
                write_traceback("the zygote failed", error)
            finally:
                os._exit(1)
        os.close(fd)
        self._zygotes[pid] = generation
        self._control.send(ZygoteForked(generation, pid), open_pidfd(pid), give=True)

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

    def _end_everybody(self) -> NoReturn:
        """Kills children until there are none: those of a child that has ended become children, too."""
        began = time.monotonic()
        while time.monotonic() - began < LAST_S:
            patient = time.monotonic() - began < TRACKER_S
            with contextlib.suppress(OSError):
                for pid in children_of(os.getpid()):
                    if not (patient and is_tracker(pid)):
                        kill(pid)  # our own child, which we have not waited for: the pid is nobody else's
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(STEP_S)
        os._exit(0)
