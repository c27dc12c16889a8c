"""A small server on the supervisor's loop, for those who watch: one request after the other, each whole in some bytes.

Used by status_socket.py and metrics_port.py, which answer.
Rule: nothing that comes costs more than a bound says: so many peers, so many bytes of a request, so much time for it.
Nothing here waits, no error of one peer reaches another, and with nobody there nothing runs.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import NamedTuple

ACCEPTS_AT_ONCE = 8
RECEIVED = 4096


class Bounds(NamedTuple):
    """What peers may cost: their number, bytes of a request, seconds for one and its answer, and between two."""

    peers: int = 16
    request: int = 8192
    patience_s: float = 5.0
    idle_s: float = 300.0


Done = Callable[[bytes, bool], None]


class _Peer:
    """One connection: reads up to `ends`, has that answered, writes, and reads on."""

    def __init__(self, server: "Listening", connection: socket.socket) -> None:
        self._server = server
        self._loop = server.loop
        self._socket = connection
        self._read = b""
        self._to_write = memoryview(b"")
        self._closes = False
        self._timer: asyncio.TimerHandle | None = None
        self.idle = True
        self._loop.add_reader(connection.fileno(), self._on_readable)
        self._wait(server.bounds.idle_s)

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._server.gone(self)

    def _wait(self, seconds: float) -> None:
        """It is closed if nothing else happens for so long."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.close)

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(RECEIVED)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self.idle:
            self.idle = False
            self._wait(self._server.bounds.patience_s)
        self._read += data
        self._next()

    def _next(self) -> None:
        request, end, rest = self._read.partition(self._server.ends)
        if end:
            self._read = rest
            # Whoever sends on without waiting is not read from meanwhile.
            self._loop.remove_reader(self._socket.fileno())
            self._server.answer(request, self._done)
        elif len(self._read) > self._server.bounds.request:
            self.close()

    def _done(self, answer: bytes, keep: bool) -> None:
        if self._socket.fileno() < 0:
            return
        self._to_write, self._closes = memoryview(answer), not keep
        self._wait(self._server.bounds.patience_s)
        self._write()

    def _write(self) -> None:
        try:
            self._to_write = self._to_write[self._socket.send(self._to_write) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._to_write:
            self._loop.add_writer(self._socket.fileno(), self._write)
            return
        self._loop.remove_writer(self._socket.fileno())
        if self._closes:
            self.close()
            return
        self._loop.add_reader(self._socket.fileno(), self._on_readable)
        if self._read:
            self._loop.call_soon(self._resume)
        else:
            self.idle = True
            self._wait(self._server.bounds.idle_s)

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self._next()


class Listening:
    """Answers on `listener`. `answer` is given a request without its end, and calls `done(answer, keep_open)` once.

    `admits` is asked about each new connection.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        answer: Callable[[bytes, Done], None],
        *,
        ends: bytes,
        bounds: Bounds,
        admits: Callable[[socket.socket], bool] = lambda _: True,
    ) -> None:
        self.loop = loop
        self.answer = answer
        self.ends = ends
        self.bounds = bounds
        self._listener = listener
        self._admits = admits
        self._peers: dict[_Peer, None] = {}
        listener.setblocking(False)
        loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """No new ones, and none that are there."""
        self.loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for peer in list(self._peers):
            peer.close()

    def gone(self, peer: _Peer) -> None:
        self._peers.pop(peer, None)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                connection = self._listener.accept()[0]
            except OSError:  # nobody; or no descriptor, which is the server's to tell (acceptor.py)
                return
            if not self._has_room() or not self._admits(connection):
                connection.close()
                continue
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[_Peer(self, connection)] = None

    def _has_room(self) -> bool:
        """For one more, if need be in the place of the one that has been idle the longest."""
        if len(self._peers) >= self.bounds.peers:
            idle = next((peer for peer in self._peers if peer.idle), None)
            if idle is not None:
                idle.close()
        return len(self._peers) < self.bounds.peers
