"""The local host's HTTP/1.1 server: requests as Kestrel reads them, answers as it sends them (protocol 6.1).

Used by session.py with the front's handler. No library's server takes what Kestrel takes (any method, any value of a
header) and sends what it sends (any status, a wrong length).
Rule: one answer to one request: when one has begun, nothing but its rest follows.
"""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import unquote

from fastworker.devhost.client_head import MAX_HEADER_BYTES, Headers, RequestError, keeps_alive, read_head
from fastworker.hostrules.forwarded import RESPONSE_RANK
from fastworker.hostrules.http_headers import header_value
from fastworker.hostrules.reason_phrases import reason_phrase
from fastworker.hostrules.urls import query_values

PIECE: Final = 64 * 1024
SLOW_AFTER_S: Final = 5.0
SLOWEST_BYTES_S: Final = 240
# A body that nobody has read is thrown away up to here, so that the connection can be used again.
DRAIN_BYTES: Final = 256 * 1024
# And so long is listened to a client that sends on after the last answer.
LINGER_S: Final = 5.0
NO_BODY: Final = frozenset({204, 304, *range(100, 200)})


class BodyError(Exception):
    """The body is too large or comes too slowly: the host's answer is 500, and the connection is closed."""


class Request:
    """A client's request. `headers` stand as they came; `raw_path` is the path as it was written."""

    def __init__(
        self, method: str, target: str, minor: int, headers: Headers, connection: "_Connection", body_limit: int
    ) -> None:
        self.method = method
        self.target = target
        self.minor_version = minor
        self.headers = headers
        self.raw_path, _, self.query_string = target.partition("?")
        self.scheme = "http"
        self.begun = False
        self.keep_alive = keeps_alive(minor, self.header("connection"))
        self._connection = connection
        self._limit = body_limit
        self.chunked = "chunked" in self.header("transfer-encoding").lower()
        self.content_length = int(self.header("content-length") or "0")
        self.body_read = not self.chunked and self.content_length == 0
        self.is_body_over = self.body_read

    def header(self, name: str) -> str:
        """The first value of that name; empty if there is none."""
        return header_value(self.headers, name)

    @property
    def host(self) -> str:
        return self.header("host")

    @property
    def path(self) -> str:
        """Decoded."""
        return unquote(self.raw_path, errors="replace")

    @property
    def query(self) -> dict[str, str]:
        """The first value of each parameter."""
        return {name: values[0] for name, values in query_values(self.query_string).items()}

    @property
    def remote(self) -> str:
        peer = self._connection.writer.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed its connection."""
        return self._connection.reader.at_eof() or self._connection.writer.is_closing()

    def abort(self) -> None:
        """Cuts the connection: an answer that broke off must not look whole."""
        self._connection.writer.transport.abort()

    # ---- the body ----

    async def read(self) -> bytes:
        """The whole body. Raises BodyError."""
        return b"".join([piece async for piece in self.pieces()])

    async def text(self) -> str:
        return (await self.read()).decode("utf-8", "replace")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, once. Raises BodyError for one that is too large, too slow or cut off."""
        if self.body_read:
            return
        self.body_read = True
        if self.content_length > self._limit:
            self.keep_alive = False
            raise BodyError(f"the body has {self.content_length} bytes, and the limit is {self._limit}")
        if self.header("expect").lower() == "100-continue":
            self._connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.keep_alive, was = False, self.keep_alive  # until it is whole, nothing can follow
        pace = _Pace()
        if self.chunked:
            async for piece in self._chunks(pace):
                yield piece
        else:
            left = self.content_length
            while left:
                piece = await pace.wait_for(self._connection.reader.read(min(left, PIECE)))
                if not piece:
                    raise BodyError("the client closed its connection before the end of the body")
                left -= len(piece)
                yield piece
        self.is_body_over = True
        self.keep_alive = was

    async def _chunks(self, pace: "_Pace") -> AsyncIterator[bytes]:
        reader, total = self._connection.reader, 0
        while True:
            line = (await pace.wait_for(reader.readline())).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", line):
                raise BodyError("the body is not in chunks")
            size = int(line, 16)
            if not size:
                while (await pace.wait_for(reader.readline())).strip():
                    pass
                return
            total += size
            if total > self._limit:
                raise BodyError(f"the body has more than {self._limit} bytes")
            try:
                yield await pace.wait_for(reader.readexactly(size))
                await reader.readexactly(2)
            except asyncio.IncompleteReadError:
                raise BodyError("the client closed its connection before the end of the body") from None

    def settle(self) -> None:
        """Before an answer: behind a long body that nobody has read the connection is to be closed."""
        if not self.body_read and (self.chunked or self.content_length > DRAIN_BYTES or self.header("expect")):
            self.keep_alive = False

    async def drain(self) -> None:
        """Throws away what was not read."""
        async for _ in self.pieces():
            pass

    # ---- an answer in pieces ----

    async def begin(self, status: int, reason: str | None, headers: Headers) -> None:
        """The head of an answer whose body follows by `write`; chunked, if no length is among the headers."""
        self.begun = True
        has_body = status not in NO_BODY and self.method.upper() != "HEAD"
        self._in_chunks = has_body and not header_value(headers, "content-length") and self.minor_version == 1
        if self._in_chunks:
            headers = [*headers, ("Transfer-Encoding", "chunked")]
        elif has_body and not header_value(headers, "content-length"):
            self.keep_alive = False
        self._connection.writer.write(_head(self, status, reason, headers))
        await self._connection.writer.drain()

    async def write(self, data: bytes) -> None:
        if data:
            self._connection.writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self._in_chunks else data)
            await self._connection.writer.drain()

    async def end(self) -> None:
        if self._in_chunks:
            self._connection.writer.write(b"0\r\n\r\n")
        await self._connection.writer.drain()


class Response:
    """An answer as a whole. Without `content_type` there is none, but for `text`.

    `chunked` sends the body in chunks; a `Content-Length` or `Transfer-Encoding` among the headers goes out as it is,
    right or wrong. With `breaks` nothing is sent at all.
    """

    def __init__(
        self,
        status: int = 200,
        *,
        text: str | None = None,
        body: bytes = b"",
        content_type: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        reason: str | None = None,
        chunked: bool = False,
        breaks: bool = False,
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers: Headers = list(headers)
        self.body = body if text is None else text.encode()
        self.chunked = chunked
        self.breaks = breaks
        if content_type or text is not None:
            self.headers.append(("Content-Type", content_type or "text/plain; charset=utf-8"))


def json_response(value: Any, status: int = 200) -> Response:
    return Response(status, text=json.dumps(value), content_type="application/json; charset=utf-8")


Handler = Callable[[Request], Awaitable[Response | None]]


class WebServer:
    """Serves on `listener` until `close`. `handle` gives the answer, or None when it has sent one in pieces."""

    def __init__(self, handle: Handler, body_limit: int, warn: Callable[[str], None]) -> None:
        self._handle = handle
        self._limit = body_limit
        self._warn = warn
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.active = 0  # requests that are being answered
        self.idle = asyncio.Event()
        self.idle.set()

    def stop_listening(self) -> None:
        """No new connections; those that are there go on."""
        if self._server is not None:
            self._server.close()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._connected, sock=listener, limit=MAX_HEADER_BYTES * 2)

    async def close(self) -> None:
        """Connections are cut; whoever wants to let requests end waits before."""
        self.stop_listening()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(reader, writer)
        try:
            while await self._one_request(connection):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:  # a client's connection is not to end the host
            self._warn(f"a connection failed: {type(error).__name__}: {error}")
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _one_request(self, connection: "_Connection") -> bool:
        """Whether another request may follow."""
        try:
            request = await _read_request(connection, self._limit)
        except RequestError as error:
            connection.writer.write(_simple(error.status, error.allow))
            await connection.writer.drain()
            return False
        if request is None:
            return False
        self.active += 1
        self.idle.clear()
        try:
            return await self._answered(connection, request)
        finally:
            self.active -= 1
            if self.active == 0:
                self.idle.set()

    async def _answered(self, connection: "_Connection", request: "Request") -> bool:
        try:
            response = await self._handle(request)
        except BodyError as error:
            self._warn(f"{request.method} {request.raw_path}: {error}; the host answers 500")
            response, request.keep_alive = Response(500), False
        except Exception as error:  # a fault of this host: its user gets to know
            self._warn(f"{request.method} {request.raw_path}: {type(error).__name__}: {error}")
            response, request.keep_alive = Response(500), False
        if response is not None and not request.begun:
            if response.breaks:
                return False
            request.settle()
            await self._send(connection, request, response)
            if not request.keep_alive and not request.is_body_over:
                await _linger(connection)
        elif not request.begun:
            return False
        if request.keep_alive:
            with contextlib.suppress(BodyError):
                await request.drain()
        return request.keep_alive

    async def _send(self, connection: "_Connection", request: Request, response: Response) -> None:
        headers, body = list(response.headers), response.body
        is_head = request.method.upper() == "HEAD"
        length = header_value(headers, "content-length")
        if header_value(headers, "transfer-encoding"):
            request.keep_alive = False  # nobody knows where such an answer ends
        elif length:
            if not is_head and int(length) != len(body) and response.status not in NO_BODY:
                request.keep_alive = False
                body = body[: int(length)]
        elif response.status in NO_BODY or (is_head and response.chunked):
            pass
        elif response.chunked and body and request.minor_version == 1:
            headers.append(("Transfer-Encoding", "chunked"))
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            headers.append(("Content-Length", str(len(body))))
        if is_head or response.status in NO_BODY:
            body = b""
        connection.writer.write(_head(request, response.status, response.reason, headers))
        connection.writer.write(body)
        await connection.writer.drain()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer


async def _linger(connection: "_Connection") -> None:
    """Throws away what the client still sends, for a while: closed at once, it would find a reset and no answer."""
    with contextlib.suppress(OSError, TimeoutError, RuntimeError):
        connection.writer.write_eof()
        async with asyncio.timeout(LINGER_S):
            while await connection.reader.read(PIECE):
                pass


class _Pace:
    """A client may be slow, but not slower than 240 bytes a second."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._bytes = 0

    async def wait_for(self, reading: Awaitable[bytes]) -> bytes:
        try:
            async with asyncio.timeout(SLOW_AFTER_S):
                data = await reading
        except TimeoutError:
            raise BodyError("the body comes more slowly than 240 bytes a second") from None
        except (asyncio.LimitOverrunError, ValueError):
            raise BodyError("the body is not in chunks") from None
        self._bytes += len(data)
        elapsed = asyncio.get_running_loop().time() - self._began
        if elapsed > SLOW_AFTER_S and self._bytes / elapsed < SLOWEST_BYTES_S:
            raise BodyError("the body comes more slowly than 240 bytes a second")
        return data


async def _read_request(connection: "_Connection", body_limit: int) -> Request | None:
    head = await read_head(connection.reader)
    return None if head is None else Request(*head, connection, body_limit)


# ---- writing a head -------------------------------------------------------------------------------------------------


def _head(request: Request, status: int, reason: str | None, headers: Headers) -> bytes:
    names = {name.lower() for name, _ in headers}
    if "close" in header_value(headers, "connection").lower():
        request.keep_alive = False
    elif not request.keep_alive and "connection" not in names:
        headers = [*headers, ("Connection", "close")]
    headers += [] if "date" in names else [("Date", formatdate(usegmt=True))]
    headers += [] if "server" in names else [("Server", "Kestrel")]
    ordered = sorted(headers, key=lambda field: RESPONSE_RANK.get(field[0].lower(), (len(RESPONSE_RANK), ""))[0])
    lines = [f"HTTP/1.1 {status} {reason_phrase(status) if reason is None else reason}"]
    lines += [f"{name}: {value}" for name, value in ordered]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _simple(status: int, allow: str) -> bytes:
    date = formatdate(usegmt=True)
    head = f"HTTP/1.1 {status} {reason_phrase(status)}\r\nContent-Length: 0\r\nConnection: close\r\nDate: {date}\r\n"
    allowed = f"Allow: {allow}\r\n" if allow else ""
    return f"{head}Server: Kestrel\r\n{allowed}\r\n".encode()
