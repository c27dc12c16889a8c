"""Where connections begin and end: accept, close, and the lingering in between.

The supervisor's hands on connections.py; runs on its loop.
Rule: never reads a request. What it receives, while a refused client still talks, is thrown away unread.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable

from fastworker.ipc import linux
from fastworker.ipc.board import Board
from fastworker.ipc.connections import Connections
from fastworker.ipc.control import AnyMessage, Drop
from fastworker.logs import log

# How long a client may go on sending a request that has been answered already.
LINGER_S = 5.0
# The host drops idle connections after one minute; closing first could meet a request on its way (protocol 8.1).
IDLE_S = 600.0
ACCEPTS_AT_ONCE = 64
PAUSE_S = 0.1
# What accept(2) says of one client, who is gone, or whom a firewall's rule refuses: the next may be another.
OF_ONE_CLIENT = (
    *(errno.ECONNABORTED, errno.ECONNRESET, errno.EINTR, errno.EPERM, errno.EPROTO, errno.ETIMEDOUT),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENONET, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    *(errno.ENOPROTOOPT, errno.EOPNOTSUPP),
)


class Acceptor:
    """Fills and empties `connections`. `tell` sends a message to the worker in a slot."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        connections: Connections,
        board: Board,
        tell: Callable[[int, AnyMessage], None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._connections = connections
        self._board = board
        self._tell = tell
        self._told_pause = False
        self._discarded = bytearray(1 << 20)

    def start(self) -> None:
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self, number: int, *, linger: bool) -> None:
        """Ends a connection. With `linger`, only our side at first: closing while unread bytes are there would
        reset the connection, and take an answer with it that the client has not read yet."""
        closing = self._connections.begin_close(number)
        if closing is None:
            return
        connection, holders = closing
        for slot in holders:
            self._tell(slot, Drop(number))
        if not linger:
            self._connections.shut(number)
            return
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # the client has reset it
            self._connections.shut(number)
            return
        timer = self._loop.call_later(LINGER_S, self._end_linger, number)
        self._loop.add_reader(number, self._discard, number, connection, timer)

    def move(self, number: int, slot: int, free: int) -> None:
        """Gives a connection another number, from `free` on, for the app in `slot` uses this one itself."""
        holders = self._connections.move(number, slot, free)
        if holders is None:
            log.error("connection.refused", number=number, detail="the app has taken all numbers of connections")
            self._connections.dropped(number, slot)
            self.close(number, linger=False)
            return
        for holder in holders:
            self._tell(holder, Drop(number))

    def _discard(self, number: int, connection: socket.socket, timer: asyncio.TimerHandle) -> None:
        try:
            # MSG_TRUNC: the kernel throws the bytes away itself, nothing is copied.
            if connection.recv_into(self._discarded, 0, socket.MSG_TRUNC):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # reset: as good as ended
        timer.cancel()
        self._end_linger(number)

    def _end_linger(self, number: int) -> None:
        self._loop.remove_reader(number)
        self._connections.shut(number)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if self._connections.full and not self._close_longest_idle():
                self._pause("no descriptor number is free, and no connection has been idle for 10 minutes")
                return
            try:
                accepted = self._listener.accept()[0]
            except BlockingIOError:
                self._told_pause = False
                return
            except OSError as error:
                if error.errno in OF_ONE_CLIENT:
                    continue
                # Out of descriptors or memory, or worse: the backlog keeps the clients until it is better.
                self._pause(os.strerror(error.errno or 0))
                return
            try:
                self._connections.adopt(accepted)
            except OSError as error:  # this client is lost, for it has no place; who comes next can wait
                self._pause(os.strerror(error.errno or 0))
                return

    def _pause(self, why: str) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(PAUSE_S, self.start)
        if not self._told_pause:
            self._told_pause = True
            log.warning("accept.paused", cause=why, connections=len(self._connections))

    def _close_longest_idle(self) -> bool:
        """Makes room by closing the connection that has been unused the longest, if that is 10 minutes or more."""
        idle = []
        for number in self._connections.open_numbers():
            connection = self._connections.get(number)
            if connection is not None and self._board.owner(number) is None:
                idle.append((linux.tcp_info(connection).idle_ms, number))
        idle_ms, number = max(idle, default=(0, 0))
        if idle_ms < IDLE_S * 1000:
            return False
        self.close(number, linger=False)
        return True
