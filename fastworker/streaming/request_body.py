"""The body of a request that is read from the connection piece by piece, whenever its handler asks for more.

Made by connection.py for handlers that stream their request (build.py tells them); handed out by plain_http.py.
Rule: nothing is read that nobody has asked for, so that a client waits for its handler, and not in memory.
"""

import asyncio
import os
import select
import time
from collections.abc import AsyncIterator, Callable, Iterator

from fastworker.errors import RequestError
from fastworker.protocol.http_request import BodyPieces
from fastworker.protocol.request_head import RefusedError

# An exception that another thread raises in this one waits for the end of a system call.
SLICE_MS = 100


class ArrivingBody:
    """The pieces of a body, for `for` (waits in place) and `async for`. Each piece is handed out once.

    `read` takes what the connection has: False when that is nothing yet. It raises ClientGoneError, or RequestError
    for what cannot be the rest of a request.
    """

    def __init__(
        self,
        body: BodyPieces,
        number: int,
        read: Callable[[], bool],
        loop: asyncio.AbstractEventLoop,
        *,
        max_body: int,
        read_timeout_s: float,
        hold: Callable[[int], None] | None = None,
    ) -> None:
        """`max_body` (bytes) and `read_timeout_s` limit a body that is asked for as a whole, as they limit others.

        `hold` is told how many bytes of it are in memory, and raises RefusedError if that is too much.
        """
        self._body = body
        self._number = number
        self._read = read
        self._loop = loop
        self._max_body = max_body
        self._read_timeout_s = read_timeout_s
        self._hold = hold

    def __iter__(self) -> Iterator[bytes]:
        waiter = select.poll()
        waiter.register(self._number, select.POLLIN)
        while (piece := self._next()) != b"":
            if piece is None:
                waiter.poll(SLICE_MS)
            else:
                yield piece

    def __aiter__(self) -> AsyncIterator[bytes]:
        # Itself, and no generator: one that its reader leaves halfway would have to be closed by the loop.
        return self

    async def __anext__(self) -> bytes:
        while (piece := self._next()) is None:
            await self._readable()
        if not piece:
            raise StopAsyncIteration
        return piece

    def read_all(self) -> bytes:
        """What has not been handed out yet; waits for it in place.

        Raises RequestError if it is too large (413) or too slow (408).
        """
        data = bytearray()
        until = time.monotonic() + self._read_timeout_s
        waiter = select.poll()
        waiter.register(self._number, select.POLLIN)
        while (piece := self._next()) != b"":
            if piece is not None:
                data += piece
                if len(data) > self._max_body:
                    raise RequestError(413, f"the body is over the limit of {self._max_body} bytes")
                if self._hold is not None:
                    try:
                        self._hold(len(data))
                    except RefusedError as refused:
                        raise RequestError(refused.status, refused.detail) from None
            elif time.monotonic() < until:
                waiter.poll(SLICE_MS)
            else:
                raise RequestError(408, f"the body was not whole within {self._read_timeout_s:g} s")
        return bytes(data)

    def _next(self) -> bytes | None:
        """The next piece; None if it is still to come, b"" behind the last."""
        while not self._body.pieces:
            if self._body.whole:
                return b""
            if not self._read():
                return None
        return self._body.pieces.popleft()

    async def _readable(self) -> None:
        # A descriptor of its own: on the connection's the answer's sender may look whether the client leaves, and a
        # loop has one reader for each.
        number = os.dup(self._number)
        ready = self._loop.create_future()
        self._loop.add_reader(number, wake, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(number)
            os.close(number)


def wake(future: "asyncio.Future[None]") -> None:
    """Sets a future that is still waited for."""
    if not future.done():
        future.set_result(None)
