"""The local host's HTTP/1.1 client towards the handler: .NET's HttpClient as the protocol knows it (8.1, 3.1, 1.5).

Used by invocations.py, forwarding.py and process.py. One connection for each request in flight; idle ones are used
again. Rule: knows HTTP and nothing of functions; HandlerError is everything that can go wrong on the way.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Final

from fastworker.hostrules.http_headers import TOKEN, header_value

Headers = list[tuple[str, str]]
STATUS_LINE: Final = re.compile(rb"HTTP/1\.[0-9] ([0-9]{3})(?: (.*))?")
MAX_HEAD_BYTES: Final = 64 * 1024
PIECE: Final = 64 * 1024
IDLE_S: Final = 60.0
NO_BODY: Final = frozenset({204, 304})


class HandlerError(Exception):
    """The request failed between this host and the handler."""


class HandlerConnectError(HandlerError):
    """Nobody takes the connection."""


class _EndedError(HandlerError):
    """The connection ended, in good order, before the first byte of an answer."""


class _Connection:
    def __init__(self, address: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.address = address
        self.reader = reader
        self.writer = writer
        self.idle_since = 0.0

    async def is_fresh(self) -> bool:
        """Whether an idle connection can be used: it is open, and holds no bytes that nobody has asked for."""
        if self.writer.is_closing() or asyncio.get_running_loop().time() - self.idle_since > IDLE_S:
            return False
        try:
            async with asyncio.timeout(0):
                await self.reader.read(1)
        except TimeoutError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        self.writer.transport.abort()


class HandlerResponse:
    """The handler's answer: its head, and its body as it comes. `read` or `pieces` once; then `close`."""

    def __init__(self, status: int, reason: str, headers: Headers, method: str, connection: _Connection) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self._connection = connection
        self.is_whole = False
        self._bodiless = method == "HEAD" or status in NO_BODY
        length = self.header("content-length").strip()
        self._length = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
        self._chunked = "chunked" in self.header("transfer-encoding").lower()

    def header(self, name: str) -> str:
        return header_value(self.headers, name)

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises HandlerError for a body that is cut off."""
        reader = self._connection.reader
        try:
            if self._bodiless:
                pass
            elif self._chunked:
                async for piece in _chunks(reader):
                    yield piece
            elif self._length is not None:
                left = self._length
                while left:
                    piece = await reader.read(min(left, PIECE))
                    if not piece:
                        raise HandlerError("the response ended prematurely")
                    left -= len(piece)
                    yield piece
            else:
                while piece := await reader.read(PIECE):
                    yield piece
                if self.status == 101:  # it waited for bytes that are no answer, until functionTimeout at the latest
                    raise HandlerError("the handler switched protocols, which the host does not support")
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise HandlerError(f"the response broke off: {error or type(error).__name__}") from None
        self.is_whole = True

    @property
    def can_stay(self) -> bool:
        """Whether the connection can carry another request."""
        framed = self._bodiless or self._chunked or self._length is not None
        return self.is_whole and framed and "close" not in self.header("connection").lower()


class HandlerClient:
    """Connections to one handler, wherever it listens now."""

    def __init__(self) -> None:
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    @contextlib.asynccontextmanager
    async def request(
        self,
        address: tuple[str, int],
        method: str,
        target: str,
        headers: Headers,
        body: bytes | Iterable[bytes] | AsyncIterable[bytes] = b"",
        *,
        tries: int = 1,
        expect_wait_s: float = 0.0,
    ) -> AsyncIterator[HandlerResponse]:
        """The answer to a request. `headers` go out as they are, `body` is framed already.

        `tries` is how often a request without a body is sent when the connection ends before any answer. With
        `expect_wait_s` the body waits so long for a 100 or an answer. Raises HandlerError.
        """
        head = "".join([f"{method} {target} HTTP/1.1\r\n", *(f"{n}: {v}\r\n" for n, v in headers), "\r\n"])
        for number in range(1, tries + 1):
            connection = await self._connection(address)
            sending = asyncio.create_task(_send(connection, head.encode("latin-1", "replace"), body, expect_wait_s))
            sending.add_done_callback(lambda task: task.cancelled() or task.exception())  # an answer tells more
            try:
                response = await _read_head(connection, method)
            except _EndedError:
                connection.close()
                if number == tries:
                    raise HandlerError("the handler closed the connection without an answer") from None
                continue
            except BaseException:
                connection.close()
                raise
            finally:
                if connection.writer.is_closing():
                    sending.cancel()
            break
        kept = False
        try:
            yield response
            kept = response.can_stay and sending.done() and not sending.cancelled() and sending.exception() is None
        finally:
            sending.cancel()
            with contextlib.suppress(OSError, asyncio.CancelledError, Exception):
                await sending
            if kept:
                connection.idle_since = asyncio.get_running_loop().time()
                self._idle.append(connection)
            else:
                connection.close()

    async def _connection(self, address: tuple[str, int]) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.address == address and await connection.is_fresh():
                return connection
            connection.close()
        try:
            reader, writer = await asyncio.open_connection(*address, limit=MAX_HEAD_BYTES)
        except OSError as error:
            raise HandlerConnectError(
                f"cannot connect to {address[0]}:{address[1]}: {error.strerror or error}"
            ) from None
        return _Connection(address, reader, writer)


async def _send(
    connection: _Connection, head: bytes, body: bytes | Iterable[bytes] | AsyncIterable[bytes], expect_wait_s: float
) -> None:
    writer = connection.writer
    writer.write(head)
    if expect_wait_s:
        await asyncio.sleep(expect_wait_s)  # handlers that answer 100 are rarer than those that wait for nothing
    if isinstance(body, bytes):
        writer.write(body)
    elif isinstance(body, AsyncIterable):
        async for piece in body:
            writer.write(piece)
            await writer.drain()
    else:
        held: list[bytes] = []
        size = 0
        for piece in body:
            held.append(piece)
            size += len(piece)
            if size >= PIECE:
                writer.write(b"".join(held))
                await writer.drain()
                held, size = [], 0
        writer.write(b"".join(held))
    await writer.drain()


async def _read_head(connection: _Connection, method: str) -> HandlerResponse:
    reader = connection.reader
    try:
        while True:
            line = await reader.readline()
            if not line:
                raise _EndedError("the handler closed the connection without an answer")
            match = STATUS_LINE.fullmatch(line.rstrip(b"\r\n"))
            if match is None:
                raise HandlerError(f"the handler's answer is no HTTP/1.1: {line[:80]!r}")
            headers, size = [], len(line)
            while (field := await reader.readline()) not in (b"\r\n", b"\n"):
                size += len(field)
                if not field:
                    raise HandlerError("the response ended prematurely, within its head")
                if size > MAX_HEAD_BYTES:
                    raise HandlerError("the head of the answer has more than 64 KiB")
                headers.append(_field(field.rstrip(b"\r\n")))
            status = int(match[1])
            if not 100 <= status < 200 or status == 101:
                reason = (match[2] or b"").decode("latin-1")
                return HandlerResponse(status, reason, headers, method, connection)
    except ValueError:
        raise HandlerError("the head of the answer has a line of more than 64 KiB") from None
    except OSError as error:
        raise HandlerError(f"the connection was lost: {error.strerror or error}") from None


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode("latin-1").partition(":")
    if not colon or not TOKEN.fullmatch(name):
        raise HandlerError(f"the answer has a bad header line: {line[:80]!r}")
    return name, value.strip(" \t")


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := await _chunk_size(reader):
        while size:
            piece = await reader.read(min(size, PIECE))
            if not piece:
                raise HandlerError("the response ended prematurely")
            size -= len(piece)
            yield piece
        await reader.readline()
    while (await reader.readline()) not in (b"\r\n", b"\n", b""):
        pass


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    line = await reader.readline()
    if not line:
        raise HandlerError("the response ended prematurely")
    size = line.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", size):
        raise HandlerError(f"the answer has a bad chunk size: {line[:40]!r}")
    return int(size, 16)
