"""Connections belong to nobody: one epoll, watched by every free worker, and descriptors shared on demand.

    host ==== connection 10007 ====+
                                   | accept, F_DUPFD >= 10000, EPOLL_CTL_ADD (one-shot)
    supervisor: Connections  ------+------> the shared epoll
        ^  |                                  ^    |
        |  | Hold(10007) + descriptor         |    | event: 10007 (to exactly one waiter)
        |  v                                  |    v
    worker: Held  ---- re-arm (MOD) ----------+   read, run, answer

The supervisor half (`Connections`) is used by supervisor/run.py, the worker half (`Held`) by worker/run.py.
Rule: a connection has the same descriptor number in every process, and a number is given to another connection only
after every holder has dropped it. The number must be the same because epoll keys its entries by (open file, number):
a worker's MOD works on the entry that the supervisor added only under the very same number. A MOD on an entry that
is gone fails with ENOENT, even when the number already serves another connection, for the open file differs.

Between "the epoll gave me 10007" and "the board says so" a worker may be killed, and again between releasing the row
and arming the connection. Then nobody has the connection and no event will come. `Audit` finds these.
"""

import contextlib
import enum
import errno
import fcntl
import itertools
import os
import select
import socket
from collections.abc import Collection, Iterable
from typing import NamedTuple

from fastworker.errors import AppLoadError
from fastworker.ipc import linux
from fastworker.ipc.board import Board

ARMED = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT

# Descriptors from here on are connections, far above any that an app opens for itself.
FIRST_NUMBER = 10_000
# How often a connection must look the same again before it is known to be nobody's; see Audit.
QUIET_LOOKS = 2
# More rows than this the board need not have, whatever the limit of open files says.
MOST_CONNECTIONS = 50_000


class Range(NamedTuple):
    """The descriptor numbers that connections may have."""

    first: int
    size: int


def number_range(descriptor_limit: int) -> Range:
    """From FIRST_NUMBER up; where the limit of open files is too low for that, the upper half of it."""
    first = FIRST_NUMBER if descriptor_limit >= FIRST_NUMBER + 2048 else descriptor_limit // 2
    return Range(first, min(descriptor_limit - first, MOST_CONNECTIONS))


def socket_of(number: int) -> socket.socket:
    """A socket object for a connection's descriptor, without the system calls that guess its family."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=number)


# Descriptors that are sent to a worker that asks for one. More would fill its control socket.
LENT_AT_ONCE = 32
# Looked at for that. A worker that has nearly all would cost a look at each of thousands for every one that it lacks.
LOOKED_AT = 256


class State(enum.Enum):
    """Of a connection, as the supervisor sees it. It only ever moves down this list."""

    OPEN = "in the shared epoll, or taken by a worker"
    CLOSING = "out of the epoll; holders have been asked to drop it"
    SHUT = "ended for both sides; the number is free when the last holder has dropped it"


class _Connection:
    __slots__ = ("holders", "socket", "state")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.state = State.OPEN
        self.holders: set[int] = set()


class Connections:
    """The supervisor's half: owns every connection from accept to the last drop."""

    def __init__(self, shared: select.epoll, numbers: Range) -> None:
        self._shared = shared
        self._numbers = numbers
        self._table: dict[int, _Connection] = {}

    def __len__(self) -> int:
        return len(self._table)

    @property
    def full(self) -> bool:
        """No number is left for another connection."""
        return len(self._table) >= self._numbers.size

    def open_numbers(self) -> list[int]:
        """The numbers of all connections that may carry requests."""
        return [number for number, entry in self._table.items() if entry.state is State.OPEN]

    def adopt(self, accepted: socket.socket) -> int:
        """Gives an accepted connection its number, and the shared epoll an entry for it.

        Raises:
            OSError: no descriptor is free, the epoll is full, or the client is gone. The connection is closed.
        """
        with accepted:
            number = fcntl.fcntl(accepted, fcntl.F_DUPFD_CLOEXEC, self._numbers.first)
        connection = socket_of(number)
        try:
            if number >= self._numbers.first + self._numbers.size:  # the board has no row for it
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._shared.register(number, ARMED)
        except OSError:
            connection.close()
            raise
        self._table[number] = _Connection(connection)
        return number

    def get(self, number: int) -> socket.socket | None:
        """The connection, while it may carry requests."""
        entry = self._table.get(number)
        return entry.socket if entry is not None and entry.state is State.OPEN else None

    def lend(self, wanted: int, slot: int) -> list[int]:
        """What the worker in `slot` is to be sent now: others that it will want, too, and last the one that it wants.

        Because: a host that opens hundreds of connections at once would cost each worker hundreds of questions. Last,
        so that a worker that has what it asked for has read all the others, and asks for none of them a second time.
        """
        youngest = itertools.islice(reversed(self._table.items()), LOOKED_AT)
        others = (
            number
            for number, entry in youngest
            if entry.state is State.OPEN and slot not in entry.holders and number != wanted
        )
        lent = [*itertools.islice(others, LENT_AT_ONCE - 1), wanted]
        for number in lent:
            self._table[number].holders.add(slot)
        return lent

    def arm(self, number: int) -> bool:
        """The next request on it may go to any worker; False if the kernel does not take it (no memory, no entry)."""
        try:
            self._shared.modify(number, ARMED)
        except OSError:
            return False
        return True

    def begin_close(self, number: int) -> tuple[socket.socket, set[int]] | None:
        """Takes a connection out of service; returns it and the slots that must drop it, or None if it was out."""
        entry = self._table.get(number)
        if entry is None or entry.state is not State.OPEN:
            return None
        entry.state = State.CLOSING
        with contextlib.suppress(OSError):  # somebody in a worker has taken it out of the epoll that all share
            self._shared.unregister(number)
        return entry.socket, set(entry.holders)

    def move(self, number: int, slot: int, free: int) -> set[int] | None:
        """Gives a connection another number from `free` on, for the app in `slot` has a descriptor of its own there.

        Returns the slots that must drop the old number; None if there is no other. The old number stays taken until
        the worker in `slot` has ended. A request that waits in the connection makes an event under the new one.
        """
        entry = self._table.get(number)
        if entry is None or entry.state is not State.OPEN:
            self.dropped(number, slot)
            return set()
        if not self._numbers.first <= free < self._numbers.first + self._numbers.size:
            return None
        try:
            moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, free)
        except OSError:
            return None
        try:
            if moved >= self._numbers.first + self._numbers.size:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._shared.register(moved, 0)  # no events yet; armed below, where nothing can fail any more
        except OSError:
            os.close(moved)
            return None
        holders = entry.holders - {slot}
        with contextlib.suppress(OSError):
            self._shared.unregister(number)
        entry.state = State.SHUT
        os.dup2(self._shared.fileno(), number, inheritable=False)  # closes it here, and keeps the number from others
        connection = socket_of(moved)
        connection.setblocking(False)
        self._table[moved] = _Connection(connection)
        self._shared.modify(moved, ARMED)
        return holders

    def blocked_by(self, slot: int) -> list[int]:
        """The numbers that no connection can have while the worker in `slot` lives; see `move`."""
        return [n for n, entry in self._table.items() if entry.state is State.SHUT and slot in entry.holders]

    def shut(self, number: int) -> None:
        """Ends a closing connection in both directions, for every process at once."""
        entry = self._table[number]
        entry.state = State.SHUT
        with contextlib.suppress(OSError):  # the other side may have ended it already
            entry.socket.shutdown(socket.SHUT_RDWR)
        self._free(number, entry)

    def dropped(self, number: int, slot: int) -> None:
        """One holder less."""
        entry = self._table.get(number)
        if entry is not None:
            entry.holders.discard(slot)
            self._free(number, entry)

    def forget_holder(self, slot: int) -> None:
        """The worker in `slot` is dead, and with it all of its descriptors."""
        for number in list(self._table):
            self.dropped(number, slot)

    def close_all(self) -> None:
        """The server has ended: so do all connections."""
        for entry in self._table.values():
            entry.socket.close()
        self._table.clear()

    def _free(self, number: int, entry: _Connection) -> None:
        if entry.state is State.SHUT and not entry.holders:
            del self._table[number]
            entry.socket.close()


class Audit:
    """Finds connections that nobody has, after a worker died: disarmed in the epoll and owned by no row.

    A live worker shows the same picture for the microseconds between two of its steps, so one look proves nothing.
    Three looks do, if between each two every live worker has turned its loop once (what it had taken is on the board by
    then, or armed again) or is inside user code, no loop is just letting a connection go, and not a byte has moved on
    it. Two are not enough: the next request may have arrived before the first look, and another worker may be just
    taking it at the second.
    """

    def __init__(self, shared: select.epoll, board: Board, connections: Connections, live: Iterable[int]) -> None:
        self._shared = shared
        self._board = board
        self._connections = connections
        self._suspects = {number: (mark, 0) for number, mark in self._look().items()}
        self._beats = {slot: board.worker(slot).beat for slot in live}

    def step(self, live: Collection[int]) -> set[int] | None:
        """The lost connections; None while another look would prove nothing yet. Ask again a moment later.

        Raises:
            OSError: the epoll cannot be read now (no descriptor, no memory); nothing has been decided.
        """
        if not self._suspects:
            return set()
        for slot, beat in self._beats.items():
            if slot in live:
                row = self._board.worker(slot)
                if row.letting or (row.beat == beat and not row.inline_ns):
                    return None
        seen = self._look()
        before, self._suspects = self._suspects, {}
        lost = set()
        for number, (mark, quiet_looks) in before.items():
            if number not in seen:
                continue
            looks = quiet_looks + 1 if seen[number] == mark else 0
            if looks == QUIET_LOOKS:
                lost.add(number)
            else:
                self._suspects[number] = (seen[number], looks)
        self._beats = {slot: self._board.worker(slot).beat for slot in live}
        return lost if lost or not self._suspects else None

    @property
    def finished(self) -> bool:
        """Nothing is left to look at."""
        return not self._suspects

    def _look(self) -> dict[int, tuple[int, int]]:
        """Every connection that seems to be nobody's, with its byte counts. The epoll is read before the board."""
        found = {}
        for number in linux.disarmed(self._shared.fileno()):
            connection = self._connections.get(number)
            if connection is not None and self._board.owner(number) is None:
                info = linux.tcp_info(connection)
                found[number] = (info.received, info.written)
        return found


class Held:
    """A worker's half: the connections whose descriptors have reached this process."""

    def __init__(self, shared: select.epoll) -> None:
        self._shared = shared
        self._sockets: dict[int, socket.socket] = {}

    def check_room(self, last: int, app: str) -> None:
        """Whether this process can have descriptors up to `last`; nothing is left there.

        Raises:
            AppLoadError: the import of `app` has left no room for them.
        """
        try:
            os.close(linux.duplicate_at(self._shared.fileno(), last))
        except (OSError, ValueError) as error:
            raise AppLoadError(
                app,
                [
                    f"the import has lowered the hard limit of open files (RLIMIT_NOFILE), and connections need "
                    f"descriptors up to {last}: lower the soft limit only ({error})"
                ],
            ) from error

    def get(self, number: int) -> socket.socket | None:
        return self._sockets.get(number)

    def place(self, fd: int, number: int) -> socket.socket | int:
        """Moves a descriptor that the supervisor sent to the connection's number.

        If the app itself has something open under that number, nothing is moved; returns the next that is free.

        Raises:
            OSError: the app has lowered the hard limit of open files below the number.
        """
        try:
            placed = linux.duplicate_at(fd, number)
        finally:
            os.close(fd)
        if placed != number:
            os.close(placed)
            return placed
        self._sockets[number] = connection = socket_of(number)
        # The descriptor is non-blocking already (the flag belongs to the open file); this tells the object so.
        connection.setblocking(False)
        return connection

    def drop(self, number: int) -> None:
        """Closes this process's descriptor, if it has one."""
        connection = self._sockets.pop(number, None)
        if connection is not None:
            connection.close()

    def drop_all(self) -> None:
        """In a copy of the worker that user code forked."""
        for number in list(self._sockets):
            with contextlib.suppress(OSError):
                self.drop(number)

    def arm(self, number: int) -> None:
        """The next request on it may go to any worker; or nothing, if the supervisor has taken it out of service.

        Raises:
            OSError: the app has closed the connection's descriptor, or the epoll's.
        """
        try:  # noqa: SIM105 - in the way of every request
            self._shared.modify(number, ARMED)
        except FileNotFoundError:  # its entry is gone
            pass
