"""HTTP/1.1 without I/O: bytes from the host in, whole requests out.

Used by worker/run.py, one HTTP1Connection per held connection; answer.py renders the other direction.
Rule: no socket, no clock, no knowledge of functions. httptools (llhttp) does the parsing; here are the limits, and
the difference between "not whole yet" and "never going to be".
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import httptools

from fastworker.protocol.http_request import BodyPieces, Headers, Rejection, Request
from fastworker.protocol.known_heads import KnownHeads
from fastworker.protocol.request_head import (
    CONTENT_LENGTH,
    HASH,
    HOST,
    INVOCATION_ID,
    LINE_END,
    PROTOCOL,
    SLASH,
    TELLING,
    TELLING_LENGTHS,
    TRACEPARENT,
    TRANSFER_ENCODING,
    RefusedError,
    check_coding,
    check_host,
    check_host_count,
    check_version,
    path_of,
    refuse_line,
    why,
)

HEAD_LIMIT: Final = 64 * 1024
COMMA: Final = b","
# A body that came in one read is not counted in the server's budget; see Budget.
COUNTED: Final = 64 * 1024


class Budget(Protocol):
    """What the bodies of all connections may have together (buffered.py)."""

    limit: int

    def change(self, by: int) -> bool:
        """So many bytes more are held, or fewer; False if that is more than there may be."""


class HTTP1Connection:
    """The reading side of one connection. Whoever drops it calls `close`, for the parser and it hold each other.

    `max_body` is in bytes of what the client sent. `envelope_limit` says of a method and target how many bytes an
    envelope may have that holds such a body; None if it takes none.
    `in_pieces` says of a method, target and headers whether the body is to be handed over as it comes: the request is
    told at the end of its head then, and `max_body`, which limits what is held in memory, does not count.
    `heads` learns from requests that came in one read, so that the next of their like need not be parsed.
    `held` are the bytes that this connection has in the `budget` until `release`.
    """

    # More attributes than CPython finds quickly in an instance without slots (30).
    __slots__ = (
        *("_at_start", "_bodiless_bytes", "_body", "_budget", "_chunks", "_continue"),
        *("_data", "_envelope_limit", "_events", "_fields", "_head_bytes", "_headers", "_heads"),
        *("_held_before", "_host", "_in_body", "_in_pieces", "_invocation_id", "_is_usual"),
        *("_line_seen", "_method", "_offset", "_parser", "_pieces", "_raw_head"),
        *("_rejection", "_takes_chunks", "_target", "_traceparent", "held", "max_body", "mid_request"),
        "on_body",
    )

    def __init__(
        self,
        max_body: int,
        in_pieces: Callable[[bytes, bytes, Headers], bool] | None = None,
        *,
        envelope_limit: Callable[[bytes, bytes], int | None] | None = None,
        budget: Budget | None = None,
        heads: KnownHeads | None = None,
    ) -> None:
        self.max_body = max_body
        self.held = 0
        self._in_pieces = in_pieces
        self._envelope_limit = envelope_limit
        self._budget = budget
        self._heads = heads
        self._events: list[Request | Rejection] = []
        self._rejection: Rejection | None = None
        # What is being parsed, and from where on; a request line begins there if `_at_start`.
        self._data = b""
        self._offset = 0
        # A head that did not come in one read, as it came; and whether its first line has.
        self._raw_head = bytearray()
        self._line_seen = False
        self._host = b""  # the last one that was found right
        # Called by httptools for every chunk, and the host makes one of each KiB: a list's own method, no frame.
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append
        self._parser: Any = httptools.HttpRequestParser(self)
        self._held_before = 0
        self._method = b""
        self._start()
        self._start_plainly()

    def _start(self) -> None:
        # Part of a request has been read: the connection is not free for another worker.
        self.mid_request = False
        self._at_start = False
        self._target = b""
        self._invocation_id = b""
        self._traceparent: bytes | None = None
        self._headers: Headers = []
        self._head_bytes = 0
        self._in_body = False

    def _start_plainly(self) -> None:
        """What few requests change is set anew only behind them; see `_is_usual`."""
        self._fields: Headers = []  # being read: headers, later trailers, which say nothing that anybody asked for
        self._pieces: BodyPieces | None = None
        self._body: bytes | bytearray = b""  # before `_chunks`, if it did not come in one read
        self._bodiless_bytes = 0  # read since the last piece of the body: trailers, chunk extensions
        self._continue = False
        self._is_usual = True
        self._takes_chunks = True

    def close(self) -> None:
        """Nothing more is read. Frees what has been, at once, and without help of the garbage collector."""
        self._parser = None
        self._forget()
        self.release()

    def release(self) -> None:
        """The bodies of all requests that were handed out are not held any more."""
        if self.held and self._budget is not None:
            self._budget.change(-self.held)
        self.held = 0

    def hold(self, size: int) -> None:
        """A body of `size` bytes is in memory. Raises RefusedError if that is too much for the whole server."""
        budget = self._budget
        if budget is None or size <= self.held:
            return
        by, self.held = size - self.held, size
        if budget.change(by):
            return
        self.release()
        if size > budget.limit:
            raise RefusedError(413, f"the body is over the {budget.limit} bytes of FASTWORKER_MAX_BUFFERED")
        detail = f"the bodies of all requests together are over the {budget.limit} bytes of FASTWORKER_MAX_BUFFERED"
        raise RefusedError(503, detail)

    @property
    def in_pieces(self) -> bool:
        """A body is being handed over as it comes, and its end has not been read yet."""
        return self._pieces is not None

    def take_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body; True once."""
        has_begun = self._body if self._pieces is None else self._pieces.pieces
        wanted, self._continue = self._continue and not has_begun, False
        return wanted

    def receive_data(self, data: bytes) -> list[Request | Rejection]:
        """The requests that `data` completes, in order. After a Rejection there is nothing more to come."""
        start = 0
        while start < len(data) and self._rejection is None:
            start = self._feed(data, start)
        self._data = b""
        events, self._events = self._events, []
        return events

    def _feed(self, data: bytes, start: int) -> int:
        """Parses `data` from `start` on; returns up to where."""
        self._data = data
        self._offset = start
        self._at_start = not self.mid_request
        if not self._in_body:
            self._head_bytes += len(data) - start
        try:
            self._parser.feed_data(memoryview(data)[start:] if start else data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade()
            return start + int(upgrade.args[0])
        except httptools.HttpParserCallbackError as error:
            self._refuse(*why(error))
        except httptools.HttpParserError as error:
            self._refuse(400, f"not HTTP/1.1: {error}")
        else:
            if self._in_body:
                self._after_part_of_body(len(data) - start)
            elif self.mid_request:
                self._after_part_of_head(data, start)
        return len(data)

    def _after_part_of_head(self, data: bytes, start: int) -> None:
        """Keeps it as it came, for `_minor_version`. A line without a version is refused now: nothing would follow."""
        if self._head_bytes > HEAD_LIMIT:
            self._refuse(431, f"the headers are longer than {HEAD_LIMIT} bytes")
            return
        raw = self._raw_head
        if not raw:
            self._line_seen = not self._at_start
        raw += data[max(start, len(data) - HEAD_LIMIT) :]
        if not self._line_seen:
            while raw and raw[0] in b"\r\n":
                del raw[:1]
            end = raw.find(b"\n")
            self._line_seen = end >= 0
            if self._line_seen and PROTOCOL.search(raw, 0, end) is None:
                self._refuse(505, "not HTTP/1.1: the first line has no version")

    def _after_part_of_body(self, fed: int) -> None:
        """There is more to come than the `fed` bytes."""
        self._is_usual = False
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
            try:
                self._check_size(len(self._body))
            except RefusedError as refused:
                self._refuse(refused.status, refused.detail)

    def _joined(self) -> bytes | bytearray:
        """The body so far."""
        chunks, body = self._chunks, self._body
        if not body:
            body = b"".join(chunks)
        else:
            if not isinstance(body, bytearray):
                body = bytearray(body)
            body += b"".join(chunks)
        chunks.clear()
        return body

    def _check_size(self, size: int) -> None:
        """Raises RefusedError for a body of which so many bytes are here. It counts beside those held already."""
        if size > self.max_body and size > self._most():
            raise RefusedError(413, f"the body is over the limit of {self.max_body} bytes (FASTWORKER_MAX_BODY)")
        if size > COUNTED:
            self.hold(self._held_before + size)

    def _most(self) -> int:
        """Bytes that the body of this request may have on the wire."""
        limit = None if self._envelope_limit is None else self._envelope_limit(self._method, self._target)
        return self.max_body if limit is None else limit

    def _hand_over(self, body: BodyPieces) -> None:
        body.pieces.extend(self._chunks)
        self._chunks.clear()

    def _decline_upgrade(self) -> None:
        """The client offers another protocol (Java's HttpClient does so for h2c): go on as if it had not.

        llhttp ends the request at its head then, even if a body follows; its head is parsed again without the offer.
        """
        offer = self._events.pop()
        assert isinstance(offer, Request)
        if offer.method == b"CONNECT":  # has no meaning without a tunnel
            self._refuse(400, "CONNECT is not served here")
            return
        version = self._parser.get_http_version().encode()
        self._parser = httptools.HttpRequestParser(self)
        lines = [b"%b %b HTTP/%b\r\n" % (offer.method, offer.target, version)]
        lines += [b"%b: %b\r\n" % header for header in offer.headers if header[0].lower() != b"upgrade"]
        self._feed(b"".join((*lines, b"\r\n")), 0)
        self._bodiless_bytes = 0

    def _refuse(self, status: int, detail: str) -> None:
        if self._pieces is not None:  # what came before was right, wherever the reads ended
            self._hand_over(self._pieces)
        self._continue = False
        self._rejection = self.rejection(status, detail)
        self._forget()
        self._events.append(self._rejection)

    def rejection(self, status: int, detail: str) -> Rejection:
        """A refusal of the request that is being read, with what is known of it."""
        ids = [self._invocation_id]
        if not self._invocation_id:  # refused before its turn among the headers, or before their end
            fields = (*self._headers, *self._fields)
            ids += [value for name, value in fields if TELLING.get(name.lower()) == INVOCATION_ID]
        return Rejection(status, detail, self._target, ids[-1])

    def _forget(self) -> None:
        self._body, self._data = b"", b""
        self._chunks.clear()
        self._raw_head.clear()

    # -- called by httptools -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.mid_request = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_body = True
        headers, self._fields = self._fields, self._headers
        self._headers = headers
        self._method = method = self._parser.get_method()
        target = self._target
        # llhttp takes other protocols, versions and blanks than those of RFC 9112; one look at the line finds them.
        if self._at_start and self._data.startswith(LINE_END, self._offset + len(method) + len(target) + 1):
            minor = 1
        else:
            minor = self._minor_version(method, target)
            self._takes_chunks = bool(minor)
        if target[0] != SLASH or HASH in target:
            self._target = path_of(method, target)
        hosts = 0
        for name, value in headers:
            if name in TELLING:
                kind = TELLING[name]
            elif len(name) in TELLING_LENGTHS and name.lower() in TELLING:
                kind = TELLING[name.lower()]
            else:
                continue
            if kind == HOST:
                hosts += 1
                if value != self._host:
                    check_host(value)
                    self._host = value
            elif kind == INVOCATION_ID:
                # The forwarding host joins its own behind what a client has sent by that name (protocol 3.1).
                self._invocation_id = value if COMMA not in value else value.rpartition(COMMA)[2].strip()
            elif kind == TRANSFER_ENCODING:
                if value != b"chunked" or not minor:
                    check_coding(value, minor)
            elif kind == CONTENT_LENGTH:
                if int(value) > self.max_body:
                    self._check_length(int(value))
            elif kind == TRACEPARENT:
                self._traceparent = value
            else:
                self._continue = value.lower() == b"100-continue"
                self._is_usual = False
        if hosts != 1:
            check_host_count(hosts, minor)
        # What was read may hold more than this head, so that it is added up only if it could be too long.
        if self._head_bytes > HEAD_LIMIT or len(self._data) > HEAD_LIMIT:
            size = len(target) + sum(len(name) + len(value) + 4 for name, value in headers)
            if size > HEAD_LIMIT:
                raise RefusedError(431, f"the headers are longer than {HEAD_LIMIT} bytes")
        if self._raw_head:
            self._raw_head.clear()
        self._held_before = self.held
        if self._in_pieces is not None and self._wants_pieces():
            self._pieces = BodyPieces()
            self._is_usual = False
            keep_alive, known = self._parser.should_keep_alive(), (self._invocation_id, self._traceparent)
            request = Request(method, self._target, headers, self._pieces, keep_alive, *known)
            request.takes_chunks, self._takes_chunks = self._takes_chunks, True
            self._events.append(request)

    def _minor_version(self, method: bytes, target: bytes) -> int:
        """0 or 1, for a head that came in several reads, behind another request, or as HTTP/1.0.

        Behind another request in one read the line is looked for instead of read at its place, which nobody tells.
        """
        version = self._parser.get_http_version()
        check_version(version)
        line = b"%b %b HTTP/%b\r\n" % (method, target, version.encode())
        data, at = self._data, self._offset
        if self._raw_head:
            data, at = bytes(self._raw_head) + data, 0
        at = data.find(line, at)
        if self._at_start and data[self._offset : at].strip(b"\r\n"):
            at = -1
        if at < 0:
            refuse_line()
        if not self._raw_head:
            self._offset = at + len(line)
        return 1 if version == "1.1" else 0

    def _check_length(self, length: int) -> None:
        if length > self._most() and not self._wants_pieces():
            detail = f"the body of {length} bytes is over the limit of {self.max_body} (FASTWORKER_MAX_BODY)"
            raise RefusedError(413, detail)

    def _wants_pieces(self) -> bool:
        return self._in_pieces is not None and self._in_pieces(self._method, self._target, self._headers)

    def on_message_complete(self) -> None:
        if self._pieces is not None:
            self._hand_over(self._pieces)
            self._pieces.whole = True
        else:
            chunks = self._chunks
            # In one piece, by far the usual case, it is not copied again.
            body = chunks.pop() if len(chunks) == 1 and self._is_usual else self._joined()
            size = len(body)
            if size > self.max_body or not self._is_usual:
                self._check_size(size)
            request = Request(
                self._method,
                self._target,
                self._headers,
                body,
                self._parser.should_keep_alive(),
                self._invocation_id,
                self._traceparent,
            )
            if not self._takes_chunks:
                request.takes_chunks, self._takes_chunks = False, True
            if size > self.max_body:
                request.max_body = self.max_body
            elif self._heads is not None and self._is_usual and self._at_start and not self._fields:
                self._heads.learn(self._data, request)
            self._events.append(request)
        self._start()
        if not self._is_usual or self._fields:
            self._start_plainly()
