"""A client of plain HTTP whose every received byte is judged by h11: what is no HTTP/1.1 fails the test.

Used where harness.py's HostConnection, which knows envelopes only, does not reach: any method, streams, half requests.
Rule: sends whatever bytes a test wants, and is strict with what comes back.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import h11

from tests.harness import PATIENCE

Fields = list[tuple[str, str]]


class TruncatedError(Exception):
    """The server closed, or reset, the connection before the answer's end; `body` is what came of it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        super().__init__(f"cut after {len(body)} bytes of the body")


class Reply(NamedTuple):
    """A response. `headers` are pairs with lower-case names, in the order of the wire."""

    status: int
    headers: Fields
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str | None:
        """The one value of a header; None if it is not there."""
        values = self.header_list(name)
        assert len(values) < 2, values
        return values[0] if values else None

    def header_list(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]] = (), version: str = "1.1") -> bytes:
    """A request's head, as it is given."""
    lines = [f"{method} {target} HTTP/{version}", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a body; none at all is the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole_request(
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Iterable[tuple[str, str]] = (),
    *,
    chunked: bool = False,
) -> bytes:
    """A whole request, with its body framed either way."""
    if body is None:
        return request_head(method, target, headers)
    if chunked:
        head = request_head(method, target, [*headers, ("Transfer-Encoding", "chunked")])
        return head + (chunk(body) if body else b"") + chunk(b"")
    return request_head(method, target, [*headers, ("Content-Length", str(len(body)))]) + body


class PlainClient:
    """One connection. It is opened again by `request` behind an answer that closes it, as any client would."""

    def __init__(self, port: int, timeout_s: float = 15.0, *, receive_buffer: int | None = None) -> None:
        self._port = port
        self._timeout_s = timeout_s * PATIENCE
        self._receive_buffer = receive_buffer
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.socket()
        if self._receive_buffer is not None:  # before connect(), or the window is negotiated without it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        self.socket.settimeout(self._timeout_s)
        self.socket.connect(("127.0.0.1", self._port))
        self._http = h11.Connection(h11.CLIENT)

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Iterable[tuple[str, str]] = (),
        *,
        chunked: bool = False,
    ) -> Reply:
        """One request and its whole answer."""
        if self.closes:
            self.expect_end()
            self.close()
            self._connect()
        self.send(whole_request(method, target, body, headers, chunked=chunked))
        return self.receive(method)

    def get(self, target: str, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        return self.request("GET", target, headers=headers)

    def send(self, data: bytes | memoryview) -> None:
        self.socket.sendall(data)

    def receive(self, method: str = "GET") -> Reply:
        """The next answer, whole; `method` is that of its request. Raises TruncatedError."""
        head = self.begin(method)
        return head._replace(body=b"".join(self.pieces()))

    def begin(self, method: str = "GET") -> Reply:
        """The head of the next answer; its body is to be taken from `pieces` then."""
        if self._http.our_state is not h11.IDLE:
            self._http.start_next_cycle()
        # h11 must know the request to judge its answer; what has really been sent may have been worse.
        self._http.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        self._http.send(h11.EndOfMessage())
        self._body = bytearray()
        while True:
            event = self._next()
            if isinstance(event, h11.Response):
                assert event.http_version == b"1.1"
                fields = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
                return Reply(event.status_code, fields, b"")
            assert isinstance(event, h11.InformationalResponse), event
            assert event.status_code == 100
            assert not event.headers

    def expect_continue(self) -> None:
        """`100 Continue` is all that comes."""
        assert self.socket.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises TruncatedError."""
        while not isinstance(event := self._next(), h11.EndOfMessage):
            assert isinstance(event, h11.Data), event
            self._body += event.data
            yield bytes(event.data)

    def lines(self) -> Iterator[bytes]:
        """The body's lines as they come."""
        left = b""
        for piece in self.pieces():
            *whole, left = (left + piece).split(b"\n")
            yield from whole
        if left:
            yield left

    def _next(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                raise TruncatedError(bytes(self._body)) from None
            self._http.receive_data(data)
            if not data:
                try:
                    return self._http.next_event()
                except h11.RemoteProtocolError:  # h11's word for an end that came too early
                    raise TruncatedError(bytes(self._body)) from None
        return event

    @property
    def closes(self) -> bool:
        """The last answer said that the connection ends behind it."""
        return self._http.their_state is h11.MUST_CLOSE

    def expect_end(self) -> None:
        """The server closes in good order, and sends nothing before."""
        assert self.socket.recv(1) == b""

    @property
    def quiet(self) -> bool:
        """Nothing more has come."""
        if self._http.trailing_data[0]:
            return False
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(self._timeout_s)

    def reset(self) -> None:
        """Ends the connection the hard way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.close()


class Timed(NamedTuple):
    """What was waited for, and how long, in seconds."""

    value: Any
    seconds: float


def timed(call: Any, *arguments: Any) -> Timed:
    began = time.monotonic()
    value = call(*arguments)
    return Timed(value, time.monotonic() - began)
