"""The supervisor's side of the zygotes and of their warden: who lives, who has been told to end, and how each ended.

Used by supervisor/run.py, which decides when a generation is started and stopped; warden.py forks, zygote/run.py
imports.
Rule: waits for nobody. What a process has to say comes by its socket, its end by its pidfd, in whichever order.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import NoReturn

from fastworker.ipc import linux
from fastworker.ipc.control import (
    AnyMessage,
    ControlSocket,
    ForkWorker,
    ForkZygote,
    FromWarden,
    FromZygote,
    StrayMessage,
    ToWarden,
    ZygoteExited,
    ZygoteFailed,
    ZygoteForked,
    control_pair,
)
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.processes import Process, children_of, how_it_ended, kill, shed_supervisor
from fastworker.logs import log, write_traceback
from fastworker.settings import Settings

# A zygote that has been told to end may take so long for what the import has registered (atexit and the like).
STOP_S = 2.0
# From a process's end to what its parent says of it, which is on its way then, unless that parent stands still.
WORD_S = 0.05
# So long the warden may take to end everybody who is left, before we end without that.
LAST_S = 5.0
# After so long without having ended it is taken for stopped, and its work is done here.
WARDEN_S = 1.5
# So long after a warden's end there may still come to us what it leaves: its zygotes die first, then their workers.
ADOPTING_S = 10.0
# A warden that does not fork within this stands still.
FORK_S = 15.0

WardenMain = Callable[[ControlSocket, Inherited, Settings], NoReturn]


class _Zygote:
    def __init__(self, generation: int, control: ControlSocket) -> None:
        self.generation = generation
        self.control: ControlSocket | None = control
        self.process: Process | None = None  # once the warden has told
        self.asked_s = time.monotonic()
        self.stopping = False  # asked to end: nobody waits for news of it
        self.killed = False


class Zygotes:
    """All zygotes by generation.

    `hear` is given every message of a zygote, with the descriptor that came along; `gone` the end of one that was not
    told to end: its generation, how it ended, and whether it could not even be forked.
    """

    def __init__(
        self,
        inherited: Inherited,
        settings: Settings,
        soft_limit: int,
        warden_main: WardenMain,
        hear: Callable[[int, AnyMessage, int | None], None],
        gone: Callable[[int, str, bool], None],
    ) -> None:
        self._inherited = inherited
        self._settings = settings
        self._soft_limit = soft_limit  # of open files, which all others get back
        self._warden_main = warden_main
        self._hear = hear
        self._gone = gone
        self._loop: asyncio.AbstractEventLoop | None = None
        self._warden: Process | None = None
        self._control: ControlSocket | None = None
        self._zygotes: dict[int, _Zygote] = {}
        self._to_start: list[int] = []  # while there is no warden
        self._asked_to_end_s = 0.0
        self._adopting_until_s = 0.0

    # -- the warden ----------------------------------------------------------------------------------------------

    def fork_warden(self) -> None:
        """Starts the warden. Not while the loop runs: the child must not find itself inside a callback of it.

        Raises:
            OSError: it cannot be forked now.
        """
        ours, theirs = control_pair()
        pipes = linux.open_pipes()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            # Whatever happens here, this copy of the supervisor must never go on as one.
            try:
                keep = theirs.fileno(), self._inherited.shared.fileno(), self._inherited.pictures.write_fd
                shed_supervisor(pipes, self._soft_limit, *keep)
                self._warden_main(ControlSocket(theirs, ToWarden), self._inherited, self._settings)
            except BaseException as error:
                write_traceback("the warden failed", error)
            finally:
                os._exit(1)
        theirs.close()
        self._warden, self._control = Process.of_child(pid), ControlSocket(ours, FromWarden)
        if self._loop is not None:
            self.watch(self._loop)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, on this loop."""
        assert self._control is not None
        self._loop = loop
        loop.add_reader(self._control.fileno(), self._hear_warden)
        waiting, self._to_start = self._to_start, []
        for generation in waiting:
            self.start(generation)

    @property
    def has_warden(self) -> bool:
        """One lives, as far as we have been told."""
        return self._control is not None

    def _hear_warden(self) -> None:
        while self._control is not None:
            try:
                message, fd = self._control.receive()
            except BlockingIOError:
                return
            except (EOFError, StrayMessage):
                self._warden_gone()
                return
            match message:
                case ZygoteForked(generation, pid):
                    self._forked(generation, Process(pid, fd))
                case ZygoteFailed(generation, cause):
                    self._end(generation, f"cannot be forked: {cause}", unborn=True)
                case ZygoteExited(generation, _, status):
                    self._end(generation, how_it_ended(status))

    def _warden_gone(self) -> None:
        """Its zygotes die with it, and tell so by themselves; what it had taken in comes to us, and ends, too."""
        if self._control is None or self._warden is None or self._loop is None:
            return
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        log.error("warden.died", pid=self._warden.pid, detail="the parent of all zygotes; everything is started anew")
        self._warden.signal(signal.SIGKILL)
        self._warden.close()
        self._warden = None
        self._adopting_until_s = time.monotonic() + ADOPTING_S
        for zygote in list(self._zygotes.values()):
            if zygote.process is None:
                self._end(zygote.generation, "its parent ended before it was forked")
        self._loop.stop()  # for another one to be forked

    # -- zygotes -------------------------------------------------------------------------------------------------

    def start(self, generation: int) -> None:
        """Has a zygote forked.

        Raises:
            OSError: no descriptors for its control socket.
        """
        if self._control is None or self._loop is None:
            self._to_start.append(generation)
            return
        ours, theirs = control_pair()
        zygote = self._zygotes[generation] = _Zygote(generation, ControlSocket(ours, FromZygote))
        self._loop.add_reader(ours.fileno(), self._hear_zygote, zygote)
        self._control.send(ForkZygote(generation), theirs.detach(), give=True)

    def stop(self, generation: int) -> None:
        """Nothing is forked from it any more: it may end in order, within STOP_S."""
        if generation in self._to_start:
            self._to_start.remove(generation)
        zygote = self._zygotes.get(generation)
        if zygote is not None and not zygote.stopping and self._loop is not None:
            zygote.stopping = True
            self._close(zygote)
            self._loop.call_later(STOP_S, self._kill, zygote)

    def fork_worker(self, generation: int, slot: int, theirs: socket.socket) -> None:
        """Asks for a worker at the other end of `theirs`, which is given away."""
        zygote = self._zygotes.get(generation)
        if zygote is None or zygote.control is None:
            theirs.close()  # its end is being told, and with it that of this worker
        else:
            zygote.control.send(ForkWorker(slot), theirs.detach(), give=True)

    def hear(self, generation: int) -> None:
        """What a zygote has said by now."""
        zygote = self._zygotes.get(generation)
        if zygote is not None:
            self._hear_zygote(zygote)

    def pid_of(self, generation: int) -> int:
        """0 while it is not known."""
        zygote = self._zygotes.get(generation)
        return zygote.process.pid if zygote is not None and zygote.process is not None else 0

    @property
    def settled(self) -> bool:
        """All are there that were asked for, none is about to end, and nothing is to be sent again."""
        return (
            self._control is not None
            and not self._control.backlog
            and time.monotonic() >= self._adopting_until_s
            and not any(
                zygote.process is None or zygote.control is None or zygote.control.backlog
                for zygote in self._zygotes.values()
            )
        )

    def flush(self) -> None:
        """Sends what could not be sent before."""
        if self._control is not None:
            self._control.flush()
        for zygote in self._zygotes.values():
            if zygote.control is not None:
                zygote.control.flush()

    def _forked(self, generation: int, process: Process) -> None:
        zygote = self._zygotes.get(generation)
        if zygote is None:
            process.signal(signal.SIGKILL)
            process.close()
            return
        zygote.process = process
        if zygote.killed:
            process.signal(signal.SIGKILL)
        assert self._loop is not None
        number = process.fileno()
        if number is not None:
            self._loop.add_reader(number, self._on_end, zygote)

    def _hear_zygote(self, zygote: _Zygote) -> None:
        while zygote.control is not None:
            try:
                message, fd = zygote.control.receive()
            except BlockingIOError:
                return
            except EOFError:
                # It is dying; if it only closed the socket, it must die now.
                self._close(zygote)
                self._kill(zygote)
                return
            except StrayMessage as error:
                log.error("zygote.stray", generation=zygote.generation, detail=f"no message of a zygote's: {error}")
                self._close(zygote)
                self._kill(zygote)
                return
            self._hear(zygote.generation, message, fd)

    def _on_end(self, zygote: _Zygote) -> None:
        """It has ended, says the kernel. How, is known while the warden has not waited for it; else from the warden."""
        assert zygote.process is not None and self._loop is not None
        number = zygote.process.fileno()
        if number is not None:
            self._loop.remove_reader(number)
        status = zygote.process.status()
        if status is not None:
            self._end(zygote.generation, how_it_ended(status))
            return
        self._hear_warden()
        self._loop.call_later(WORD_S, self._end_anyway, zygote)

    def _end_anyway(self, zygote: _Zygote) -> None:
        if self._zygotes.get(zygote.generation) is zygote:
            self._end(zygote.generation, how_it_ended(None))

    def _kill(self, zygote: _Zygote) -> None:
        zygote.killed = True
        if zygote.process is not None:
            zygote.process.signal(signal.SIGKILL)

    def _close(self, zygote: _Zygote) -> None:
        if zygote.control is not None:
            assert self._loop is not None
            self._loop.remove_reader(zygote.control.fileno())
            zygote.control.close()
            zygote.control = None

    def _end(self, generation: int, how: str, *, unborn: bool = False) -> None:
        zygote = self._zygotes.get(generation)
        if zygote is None:
            return
        self._hear_zygote(zygote)  # its last words
        self._close(zygote)
        del self._zygotes[generation]
        if zygote.process is not None:
            number = zygote.process.fileno()
            if number is not None and self._loop is not None:
                self._loop.remove_reader(number)
            zygote.process.close()
        if not zygote.stopping:
            if not unborn:
                log.error("zygote.died", generation=generation, cause=how)
            self._gone(generation, how, unborn)

    # -- the end -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Once in a while: what no descriptor tells."""
        now_s = time.monotonic()
        if any(zygote.process is None and now_s - zygote.asked_s > FORK_S for zygote in self._zygotes.values()):
            self._warden_gone()  # it stands still
        for zygote in list(self._zygotes.values()):
            if zygote.process is not None and zygote.process.fileno() is None and zygote.process.ended:
                self._on_end(zygote)
        if now_s < self._adopting_until_s:
            self.end_adopted()
        self.reap()

    def reap(self) -> None:
        """Waits for our own children that have ended: wardens, and who came to us when one of those died."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def end_adopted(self) -> None:
        """Kills what a dead warden has left to us: every child of ours but the next warden."""
        for pid in children_of(os.getpid()):
            if self._warden is None or pid != self._warden.pid:
                kill(pid)

    @property
    def empty(self) -> bool:
        """None lives, not even one that was told to end."""
        return not self._zygotes

    def stop_all(self) -> None:
        """The server ends."""
        self._to_start.clear()
        for generation in list(self._zygotes):
            self.stop(generation)

    def end_warden(self) -> None:
        """The server ends, and everything that is left below the warden with it."""
        if self._control is not None:
            if self._loop is not None:
                self._loop.remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
            self._asked_to_end_s = time.monotonic()

    def all_ended(self) -> bool:
        """Nothing is left of the server but ourselves. A warden that stands still is ended, and what it leaves, too."""
        if self._warden is None or self._warden.ended:
            self.reap()
            self.end_adopted()  # there is nobody, unless the warden was killed
            return not children_of(os.getpid())
        if time.monotonic() - self._asked_to_end_s > WARDEN_S:
            self._warden.signal(signal.SIGKILL)
        return False
