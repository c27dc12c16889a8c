"""The supervisor's side of the workers: their control sockets, their processes, and how each ended.

Used by supervisor/run.py, which decides what is done with them; zygotes.py has them forked.
Rule: waits for nobody, and trusts nobody: what a worker says is checked, and its end is told by the kernel.
"""

import asyncio
import math
import os
import signal
from collections.abc import Callable, ItemsView

from fastworker.ipc.board import Board
from fastworker.ipc.control import AnyMessage, ControlSocket, FromWorker, StrayMessage, WorkerFailed, control_pair
from fastworker.ipc.processes import Process, parent_of
from fastworker.ipc.signals import WAKE_SIGNAL
from fastworker.logs import log
from fastworker.supervisor import crash_rules
from fastworker.supervisor.zygotes import WORD_S, Zygotes

# Messages of one worker that are heard before it is somebody else's turn: one that floods us holds up nobody.
HEARD_AT_ONCE = 256
# Messages that wait for a worker which reads none. One that is in a long C call may have to be told of all connections
# that were closed meanwhile; beyond that it is not busy, but broken, and all of this is our memory.
MOST_UNREAD = 100_000


class Worker:
    """What the supervisor knows of a worker besides its state (which is pool.py's)."""

    def __init__(self, slot: int, generation: int, control: ControlSocket) -> None:
        self.slot = slot
        self.generation = generation
        self.control = control
        self.process: Process | None = None  # once it is known to have been forked
        self.request_limit: int | None = None
        self.death: crash_rules.Death | None = None  # why we killed it, if we did
        self.failure: WorkerFailed | None = None
        self.leaves_for = ""  # why it is replaced, if somebody wants that: a word for the metrics
        self.deaf = False  # nothing more is heard from its control socket

    @property
    def pid(self) -> int:
        """0 while it is not known to have been forked."""
        return 0 if self.process is None else self.process.pid


class Workers:
    """All workers by slot.

    `hear` is given every message of a worker, `forked` the slot of one that runs now, and `gone` every worker that
    has ended, once, with its status if somebody knows that; it is not among the others any more then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        board: Board,
        zygotes: Zygotes,
        hear: Callable[[Worker, AnyMessage], None],
        forked: Callable[[int], None],
        gone: Callable[[Worker, int | None], None],
    ) -> None:
        self._loop = loop
        self._board = board
        self._zygotes = zygotes
        self._hear = hear
        self._told_forked = forked
        self._gone = gone
        self._workers: dict[int, Worker] = {}
        self._told: set[int] = set()  # slots, since the last look
        self._waking: dict[int, int] = {}  # slot -> the beat behind which its worker rested when it was woken

    def __contains__(self, slot: object) -> bool:
        return slot in self._workers

    def items(self) -> ItemsView[int, Worker]:
        """Slots and workers."""
        return dict(self._workers).items()

    def slots(self) -> list[int]:
        """The slots in which there is one."""
        return list(self._workers)

    def get(self, slot: int) -> Worker | None:
        """The worker in a slot."""
        return self._workers.get(slot)

    def fork(self, generation: int, slot: int) -> None:
        """Has a worker forked.

        Raises:
            OSError: no descriptors for its control socket.
        """
        ours, theirs = control_pair()
        worker = self._workers[slot] = Worker(slot, generation, ControlSocket(ours, FromWorker))
        self._loop.add_reader(ours.fileno(), self.hear, worker)
        self._zygotes.fork_worker(generation, slot, theirs)

    def forked(self, generation: int, slot: int, process: Process) -> None:
        """Told by the zygote, or by the worker itself if that is faster."""
        worker = self._workers.get(slot)
        if worker is None or worker.generation != generation or worker.process is not None:
            if worker is None or worker.pid != process.pid:
                process.kill_group()  # nobody waits for it any more
            process.close()
            return
        worker.process = process
        number = process.fileno()
        if number is not None:
            self._loop.add_reader(number, self._on_end, worker)
        if worker.death is not None:
            process.kill_group()
        self._told_forked(slot)

    def exited(self, generation: int, slot: int, pid: int, status: int) -> None:
        """Told by the zygote; `pid` is 0 if it could not even be forked."""
        worker = self._workers.get(slot)
        if worker is not None and worker.generation == generation and pid in (0, worker.pid):
            self.end(worker, status)

    def check_ready(self, worker: Worker, pid: int) -> bool:
        """Whether `pid` is indeed that of the worker, which says that it is ready."""
        if worker.process is None:
            # Its zygote says so before it can wait for it: if it has not, the pid is surely still this worker's.
            self._zygotes.hear(worker.generation)
        zygote = self._zygotes.pid_of(worker.generation)
        if worker.process is None and zygote and parent_of(pid) == zygote:
            self.forked(worker.generation, worker.slot, Process.of_child(pid))
        return worker.pid == pid

    def mistrust(self, worker: Worker, what: str) -> None:
        """User code has written into the control socket: what this worker says from now on means nothing."""
        self._deafen(worker)
        log.error("worker.killed", slot=worker.slot, pid=worker.pid, reason="no message of a worker's", came=what)
        detail = "its worker was killed: user code in it wrote into fastworker's own socket"
        death = crash_rules.Death(detail, cause="mistrusted")
        self.kill(worker.slot, death)

    def hear(self, worker: Worker, most: float = HEARD_AT_ONCE) -> None:
        """What the worker has said. Its end of file is no news: its end is told by the kernel."""
        while not worker.deaf and most > 0:
            most -= 1
            try:
                message, fd = worker.control.receive()
            except BlockingIOError:
                return
            except EOFError:
                self._deafen(worker)
                return
            except StrayMessage as error:
                self.mistrust(worker, str(error))
                return
            if fd is not None:
                os.close(fd)  # none of its messages brings one
            if worker.control.backlog > MOST_UNREAD:
                self.mistrust(worker, "so many messages, while it reads none of the answers")
                return
            self._hear(worker, message)

    def tell(self, slot: int, message: AnyMessage) -> None:
        """Sends a message. A worker that rests hears it within a second, or as soon as it is woken."""
        worker = self._workers.get(slot)
        if worker is not None:
            worker.control.send(message)
            self._board.post_mail(slot)
            self._told.add(slot)

    def wake(self, slot: int) -> None:
        """Has a worker that rests beat and hear its messages now. The signal may be lost: `flush` sends it again."""
        row = self._board.worker(slot)
        if row.rests and self._waking.get(slot) != row.beat:
            self._waking[slot] = row.beat
            self._send_wake(slot)

    def _send_wake(self, slot: int) -> None:
        """Unless it rests no more: the signal means nothing to it then, and should not interrupt what it does."""
        worker, row = self._workers.get(slot), self._board.worker(slot)
        if worker is not None and worker.process is not None and row.rests and row.beat == self._waking[slot]:
            worker.process.signal(WAKE_SIGNAL)
        else:
            del self._waking[slot]

    def kill(self, slot: int, death: crash_rules.Death, *, with_group: bool = False) -> None:
        """Ends a worker, with the words for those whose invocations it runs.

        What it has started is ended by its zygote, which knows who must not be killed; `with_group`: by us.
        """
        worker = self._workers.get(slot)
        if worker is not None:
            worker.death = worker.death or death
            if worker.process is not None and with_group:
                worker.process.kill_group()
            elif worker.process is not None:
                worker.process.signal(signal.SIGKILL)

    def end(self, worker: Worker, status: int | None) -> None:
        """It has ended, or will never be there."""
        if self._workers.get(worker.slot) is not worker:
            return  # told twice: by the kernel and by its zygote
        self.hear(worker, most=math.inf)  # its last words
        del self._workers[worker.slot]
        self._deafen(worker)
        worker.control.close()
        if worker.process is not None:
            number = worker.process.fileno()
            if number is not None:
                self._loop.remove_reader(number)
        self._gone(worker, status)
        if worker.process is not None:
            worker.process.close()

    def flush(self) -> None:
        """Sends what could not be sent before."""
        for worker in self._workers.values():
            worker.control.flush()
        for slot in list(self._waking):
            self._send_wake(slot)

    @property
    def settled(self) -> bool:
        """Nothing is to be sent again."""
        return not self._waking and not any(worker.control.backlog for worker in self._workers.values())

    def look(self) -> None:
        """Once in a while: what no descriptor tells, and whoever has not heard what it was told."""
        told, self._told = self._told, set()
        for slot in told:
            self.wake(slot)
        for worker in list(self._workers.values()):
            if worker.process is not None and worker.process.fileno() is None and worker.process.ended:
                self.end(worker, None)

    def _on_end(self, worker: Worker) -> None:
        """It has ended, says the kernel. How, is known while its zygote has not waited for it; else from the zygote."""
        process = worker.process
        assert process is not None
        number = process.fileno()
        if number is not None:
            self._loop.remove_reader(number)
        status = process.status()
        if status is None:
            self._zygotes.hear(worker.generation)
            self._loop.call_later(WORD_S, self.end, worker, None)
        else:
            self.end(worker, status)

    def _deafen(self, worker: Worker) -> None:
        if not worker.deaf:
            worker.deaf = True
            self._loop.remove_reader(worker.control.fileno())
