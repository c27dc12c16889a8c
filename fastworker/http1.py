"""HTTP/1.1 without I/O: bytes from the host in, whole requests out.

Used by worker.py, one HTTP1Connection per held connection; answer.py renders the other direction.
Rule: no socket, no clock, no knowledge of functions. httptools (llhttp) does the parsing; here are the limits, and
the difference between "not whole yet" and "never going to be".
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import httptools
import msgspec

HEAD_LIMIT: Final = 64 * 1024

Headers = list[tuple[bytes, bytes]]

# Of the names that mean something here; a look at the length spares most headers the comparison.
TELLING_LENGTHS: Final = frozenset(
    map(len, (b"x-azure-functions-invocationid", b"traceparent", b"expect", b"content-length"))
)


class BodyPieces:
    """A body that is handed over as it comes, for whoever asked for that; `whole` once its last piece is here."""

    __slots__ = ("pieces", "whole")

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.whole = False


class Request(msgspec.Struct, gc=False):
    """One whole request (but for BodyPieces), names and target as the client sent them.

    Whoever has decoded a large body may take it out, so that it is not held twice.

    Of several invocation ids the last one counts, for the host adds its own behind a client's (protocol 3.1).
    """

    method: bytes
    target: bytes
    headers: Headers
    body: bytes | bytearray | BodyPieces
    keep_alive: bool
    invocation_id: bytes
    traceparent: bytes | None


class Rejection(msgspec.Struct, frozen=True):
    """What came cannot be a request: answer with `status`, then close, for what follows is not to be trusted."""

    status: int
    detail: str


class _RefusedError(Exception):
    """Leaves the parser from inside one of its callbacks."""


class HTTP1Connection:
    """The reading side of one connection.

    `in_pieces` says of a method and target whether its body is to be handed over as it comes: the request is told at
    the end of its head then, and `max_body`, which limits what is held in memory, does not count.
    """

    def __init__(self, max_body: int, in_pieces: Callable[[bytes, bytes], bool] | None = None) -> None:
        self.max_body = max_body
        self._in_pieces = in_pieces
        self._events: list[Request | Rejection] = []
        self._rejection: Rejection | None = None
        self._fed = 0
        # Called by httptools for every chunk, and the host makes one of each KiB: a list's own method, no frame.
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append
        self._parser = httptools.HttpRequestParser(self)
        self._start()

    def _start(self) -> None:
        # Part of a request has been read: the connection is not free for another worker.
        self.mid_request = False
        self._target = b""
        self._invocation_id = b""
        self._traceparent: bytes | None = None
        self._headers: Headers = []
        self._fields: Headers = []  # being read: headers, later trailers, which say nothing that anybody asked for
        self._pieces: BodyPieces | None = None
        self._head_bytes = 0
        self._body: bytes | bytearray = b""  # before `_chunks`, if it did not come in one read
        self._bodiless_bytes = 0  # read since the last piece of the body: trailers, chunk extensions
        self._in_body = False
        self._continue = False

    @property
    def in_pieces(self) -> bool:
        """A body is being handed over as it comes, and its end has not been read yet."""
        return self._pieces is not None

    @property
    def version(self) -> bytes:
        """The client's HTTP version: b"1.1" or b"1.0"."""
        return self._parser.get_http_version().encode()

    def take_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body; True once."""
        has_begun = self._body if self._pieces is None else self._pieces.pieces
        wanted, self._continue = self._continue and not has_begun, False
        return wanted

    def receive_data(self, data: bytes | memoryview) -> list[Request | Rejection]:
        """The requests that `data` completes, in order. After a Rejection there is nothing more to come."""
        while data and self._rejection is None:
            data = self._feed(data)
        events, self._events = self._events, []
        return events

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parses `data`; returns what is to be parsed next."""
        self._fed = len(data)
        if not self._in_body:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            if self._rejection is None:
                self._refuse(400, "not HTTP/1.1")
        except httptools.HttpParserError as error:
            self._refuse(400, f"not HTTP/1.1: {error}")
        else:
            if self._in_body:
                self._after_part_of_body(len(data))
            elif self.mid_request and self._head_bytes > HEAD_LIMIT:
                self._refuse(431, f"the headers are longer than {HEAD_LIMIT} bytes")
        return b""

    def _after_part_of_body(self, fed: int) -> None:
        """There is more to come than the `fed` bytes."""
        if not self._chunks:
            self._bodiless_bytes += fed
            if self._bodiless_bytes > HEAD_LIMIT:
                self._refuse(431, f"the trailers or chunk extensions are longer than {HEAD_LIMIT} bytes")
            return
        self._bodiless_bytes = 0
        if self._pieces is not None:
            self._hand_over(self._pieces)
        else:
            self._body = self._joined()
            if len(self._body) > self.max_body:
                self._refuse(413, f"the body is over the limit of {self.max_body} bytes")

    def _joined(self) -> bytes | bytearray:
        """The body so far; in one piece, by far the usual case, it is not copied again."""
        chunks = self._chunks
        body: bytes | bytearray
        if not self._body:
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        else:
            body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
            body += b"".join(chunks)
        chunks.clear()
        return body

    def _hand_over(self, body: BodyPieces) -> None:
        body.pieces.extend(self._chunks)
        self._chunks.clear()

    def _decline_upgrade(self, rest: bytes | memoryview) -> bytes:
        """The client offers another protocol (Java's HttpClient does so for h2c): go on as if it had not.

        llhttp ends the request at its head then, even if a body follows; its head is parsed again without the offer.
        """
        offer = self._events.pop()
        assert isinstance(offer, Request)
        if offer.method == b"CONNECT":  # has no meaning without a tunnel
            self._refuse(400, "CONNECT is not served here")
            return b""
        version = self._parser.get_http_version().encode()
        self._parser = httptools.HttpRequestParser(self)
        lines = [b"%b %b HTTP/%b\r\n" % (offer.method, offer.target, version)]
        lines += [b"%b: %b\r\n" % header for header in offer.headers if header[0].lower() != b"upgrade"]
        return b"".join((*lines, b"\r\n", rest))

    def _refuse(self, status: int, detail: str) -> None:
        if self._pieces is not None:  # what came before was right, wherever the reads ended
            self._hand_over(self._pieces)
        self._continue = False
        self._rejection = Rejection(status, detail)
        self._events.append(self._rejection)

    # -- called by httptools -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.mid_request = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"x-azure-functions-invocationid":
            self._invocation_id = value
        elif name == b"traceparent":
            self._traceparent = value
        elif name == b"expect":
            self._continue = value.lower() == b"100-continue"
        elif name == b"content-length" and int(value) > self.max_body and not self._wants_pieces():
            self._refuse(413, f"the body of {int(value)} bytes is over the limit of {self.max_body}")
            raise _RefusedError

    def _wants_pieces(self) -> bool:
        return self._in_pieces is not None and self._in_pieces(self._parser.get_method(), self._target)

    def on_headers_complete(self) -> None:
        self._in_body = True
        headers, self._fields = self._fields, self._headers
        self._headers = headers
        for name, value in headers:
            if len(name) in TELLING_LENGTHS:
                self._note(name.lower(), value)
        # What was read may hold more than this head, so that it is added up only if it could be too long.
        if self._head_bytes > HEAD_LIMIT or self._fed > HEAD_LIMIT:
            size = len(self._target) + sum(len(name) + len(value) + 4 for name, value in headers)
            if size > HEAD_LIMIT:
                self._refuse(431, f"the headers are longer than {HEAD_LIMIT} bytes")
                raise _RefusedError
        if self._in_pieces is not None and self._wants_pieces():
            self._pieces = BodyPieces()
            self._events.append(self._request(self._pieces))

    def on_message_complete(self) -> None:
        if self._pieces is not None:
            self._hand_over(self._pieces)
            self._pieces.whole = True
        else:
            body = self._joined() if self._chunks else self._body
            if len(body) > self.max_body:
                self._refuse(413, f"the body is over the limit of {self.max_body} bytes")
                raise _RefusedError
            self._events.append(self._request(body))
        self._start()

    def _request(self, body: bytes | bytearray | BodyPieces) -> Request:
        return Request(
            self._parser.get_method(),
            self._target,
            self._headers,
            body,
            self._parser.should_keep_alive(),
            self._invocation_id,
            self._traceparent,
        )
