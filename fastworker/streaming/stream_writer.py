"""An answer that is written to its connection while it is made: head, pieces, end.

Made by connection.py for every invocation of plain HTTP; driven by stream_sender.py.
Rule: never more than one piece in memory. Whoever sends waits until the client has room: an async invocation on the
loop, a sync one in place, where its deadline reaches it.
"""

import asyncio
import os
import select
import socket
from collections.abc import Callable, Generator

from fastworker.errors import NOT_OURS, ClientGoneError
from fastworker.protocol.answer import render_head
from fastworker.streaming.request_body import SLICE_MS, wake

# Smaller pieces are copied behind their chunk's head, and leave in one write.
COPIED = 64 * 1024
LAST_CHUNK = b"0\r\n\r\n"


class Outgoing:
    """One answer. `begun` once a byte of it may be out: from then on it is completed, or cut.

    The generators yield True whenever the client has no room: `wait` or `await ready()` then. `status` is that of
    the head, 0 while there is none.
    """

    status = 0

    def __init__(
        self,
        connection: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        chunks: bool,
        head_only: bool,
        on_begin: Callable[[bool], bool],
    ) -> None:
        """`chunks`: the client understands them. `on_begin` is told whether the end of the body must be the
        connection's, and says whether the connection stays."""
        self.begun = False
        self.gone = False
        self.head_only = head_only
        self._socket = connection
        self._loop = loop
        self._understands_chunks = chunks
        self._on_begin = on_begin
        self._chunked = False
        self._pending = b""  # goes out before anything else
        self._busy = False
        self._sent_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._watched = False

    # -- what is sent ----------------------------------------------------------------------------------------------

    def begin(
        self, status: int, content_type: bytes, headers: tuple[tuple[bytes, bytes], ...], length: int | None = None
    ) -> None:
        """The head, which leaves with the first piece. `length` in bytes, if it is known."""
        self._chunked = length is None and self._understands_chunks
        keep_alive = self._on_begin(length is None and not self._chunked)
        self.begun = True
        self.status = status
        self._pending = render_head(
            status, content_type, headers, length=length, keep_alive=keep_alive, chunked=self._chunked
        )

    def piece(self, data: bytes) -> Generator[bool, None, None]:
        """One piece of the body; none at all sends what is pending."""
        if self.head_only:
            data = b""
        if not data:
            yield from self._write(b"")
        elif not self._chunked:
            yield from self._write(data)
        elif len(data) < COPIED:
            yield from self._write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            yield from self._write(b"%x\r\n" % len(data))
            yield from self._write(data)
            yield from self._write(b"\r\n")

    def end(self, data: bytes) -> Generator[bool, None, None]:
        """The last piece, and what closes the body."""
        self._end_keep_alive()  # a comment behind the end would be the head of another answer
        if self._chunked and not self.head_only:
            last = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            yield from self._write(last + LAST_CHUNK)
        else:
            yield from self.piece(data)

    def file(self, fd: int, size: int) -> Generator[bool, None, None]:
        """A file's first `size` bytes, by the kernel alone. Raises OSError if there are less by now."""
        yield from self._write(b"")
        offset = 0
        while offset < size and not self.head_only:
            try:
                sent = os.sendfile(self._socket.fileno(), fd, offset, size - offset)
            except BlockingIOError:
                yield True
                continue
            except OSError as error:
                if error.errno in NOT_OURS:
                    raise
                raise self._client_gone() from error
            if not sent:
                raise OSError("the file became shorter while it was sent")
            offset += sent

    def _write(self, data: bytes) -> Generator[bool, None, None]:
        pending, self._pending = self._pending, b""
        self._busy = True
        rest = memoryview(pending + data if pending else data)
        while rest:
            sent = self._send(rest)
            rest = rest[sent:]
            if rest:
                yield True
        self._busy = False

    def _send(self, data: memoryview) -> int:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in NOT_OURS:
                raise
            raise self._client_gone() from error
        if self._timer is not None:
            self._sent_at = self._loop.time()
        return sent

    def _client_gone(self) -> ClientGoneError:
        self.gone = True
        return ClientGoneError("the client went away before the end of the answer")

    # -- waiting for room ------------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Until the client may have room; in place."""
        waiter = select.poll()
        waiter.register(self._socket, select.POLLOUT)
        waiter.poll(SLICE_MS)

    async def ready(self) -> None:
        """Until the client may have room; others have their turn."""
        room = self._loop.create_future()
        self._loop.add_writer(self._socket.fileno(), wake, room)
        try:
            await room
        finally:
            self._loop.remove_writer(self._socket.fileno())

    # -- while nothing is sent (on the loop only) --------------------------------------------------------------------

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Calls `on_gone` if the client closes the connection meanwhile."""
        self._watched = True
        self._loop.add_reader(self._socket.fileno(), self._look, on_gone)

    def _look(self, on_gone: Callable[[], object]) -> None:
        try:
            is_end = self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return
        except OSError:
            is_end = True
        self._unwatch()  # or it is another request already: that is read when its turn comes
        if is_end:
            self.gone = True
            on_gone()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._socket.fileno())

    def keep_alive(self, seconds: float, data: bytes) -> None:
        """Sends `data`, a whole piece, whenever nothing has been sent for so long."""
        self._sent_at = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._keep_alive, seconds, data)

    def _keep_alive(self, seconds: float, data: bytes) -> None:
        due_s = self._sent_at + seconds - self._loop.time()
        if due_s <= 0 and not self._busy:
            try:
                if not self._pending:
                    self._pending = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
                self._pending = self._pending[self._send(memoryview(self._pending)) :]
            except ClientGoneError:
                return  # the next piece fails, or the watch has seen it
            due_s = seconds
        self._timer = self._loop.call_later(max(due_s, seconds / 10), self._keep_alive, seconds, data)

    def _end_keep_alive(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """No more watching, no more keeping alive."""
        self._unwatch()
        self._end_keep_alive()
