"""Connections that a dead worker leaves behind: answered, handed on, closed, or found again.

Called by supervisor/run.py when a worker has ended. crash_rules.py decides each fate; here it is carried out.
Rule: the worker is dead before anything here happens, so that nobody answers twice.
"""

import contextlib
import socket
import time
from collections.abc import Collection, Iterable

from fastworker.ipc import linux
from fastworker.ipc.board import Phase
from fastworker.ipc.connections import Audit, Connections
from fastworker.ipc.inherited import Inherited
from fastworker.logs import log
from fastworker.outcomes import CRASHED
from fastworker.protocol.answer import render
from fastworker.supervisor import crash_rules
from fastworker.supervisor.acceptor import Acceptor
from fastworker.supervisor.totals import Totals


class Rescue:
    """Looks after what dead workers had taken."""

    def __init__(self, inherited: Inherited, connections: Connections, acceptor: Acceptor, totals: Totals) -> None:
        self._shared = inherited.shared
        self._board = inherited.board
        self._spans = inherited.spans
        self._connections = connections
        self._acceptor = acceptor
        self._totals = totals
        self._audits: list[Audit] = []
        self._wanted = False  # an audit that could not begin yet
        # Requests that have gone to another worker: number -> the connection, and its byte counts then.
        self._handed_on: dict[int, tuple[socket.socket, int, int]] = {}

    def taken_by(self, slot: int) -> list[int]:
        """The connections that the board says the worker in `slot` has."""
        return [number for number in self._connections.open_numbers() if self._board.owner(number) == slot]

    def settle_all(self, slot: int, taken: Iterable[int], death: crash_rules.Death) -> None:
        """Ends what the dead worker in `slot` had in hand: its connections, and the spans of its invocations."""
        for number in taken:
            self.settle(number, death)
        if self._spans is not None:
            now_ns, end_ns = time.monotonic_ns(), time.time_ns()
            self._spans.bury(slot, death.status, death.detail, now_ns=now_ns, end_ns=end_ns)

    def settle(self, number: int, death: crash_rules.Death) -> None:
        """Ends a dead worker's hold on a connection, with an answer in its place where there has to be one."""
        connection = self._connections.get(number)
        if connection is None:
            return  # closed meanwhile, for another reason
        row = self._board.connection(number)
        try:
            unread, info = linux.unread_bytes(number), linux.tcp_info(connection)
        except OSError:  # no memory: what cannot be known cannot be answered
            self._totals.settle(row.owner or 0, row, CRASHED if row.phase >= Phase.RUNNING else None)
            self._board.release(number)
            self._acceptor.close(number, linger=False)
            return
        request = (connection, info.received - unread, info.written)  # where in the stream the request begins
        again = self._handed_on.pop(number, None) == request
        found = crash_rules.Found(unread, not unread and _ended(connection), info.written, again)
        fate = crash_rules.decide(row, found, death, now_ns=time.monotonic_ns())
        keep = fate.keep
        self._totals.settle(row.owner or 0, row, fate.outcome)
        if row.phase is Phase.TAKEN and keep and fate.answer is None:
            self._handed_on[number] = request
        if fate.answer is not None:
            answer = render(fate.answer, keep_alive=keep, head_only=row.head)
            try:
                keep = connection.send(answer) == len(answer) and keep
            except OSError:  # full or reset: nobody is reading there
                keep = False
        self._board.release(number)
        if not keep or not self._connections.arm(number):
            self._acceptor.close(number, linger=fate.answer is not None)

    def begin_audit(self, live: Iterable[int]) -> None:
        """The dead one may also have taken a connection without having said so."""
        self._wanted = True
        self._try_audit(live)

    def go_on(self, live: Collection[int]) -> None:
        """Another look of every audit; what is found to be nobody's is armed again."""
        if self._wanted:
            self._try_audit(live)
        for audit in list(self._audits):
            try:
                lost = audit.step(live) or ()
            except OSError:
                continue  # no descriptor or memory to read the epoll with: at the next scan
            for number in lost:
                if self._connections.get(number) is not None:
                    log.debug("connection.found", number=number)
                    if not self._connections.arm(number):
                        self._acceptor.close(number, linger=False)
            if audit.finished:
                self._audits.remove(audit)

    @property
    def audits(self) -> bool:
        """Connections are looked at, and every worker is to make another step meanwhile."""
        return self._wanted or bool(self._audits)

    def _try_audit(self, live: Iterable[int]) -> None:
        with contextlib.suppress(OSError):
            self._audits.append(Audit(self._shared, self._board, self._connections, live))
            self._wanted = False


def _ended(connection: socket.socket) -> bool:
    """The client has closed its side, and there is nothing left to read."""
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
