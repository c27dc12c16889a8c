"""HTTP/1.1 without I/O: bytes from the host in, whole requests out.

Used by worker.py, one HTTP1Connection per held connection; answer.py renders the other direction.
Rule: no socket, no clock, no knowledge of functions. httptools (llhttp) does the parsing; here are the limits, and
the difference between "not whole yet" and "never going to be".
"""

from typing import Final

import httptools
import msgspec

HEAD_LIMIT: Final = 64 * 1024

Headers = list[tuple[bytes, bytes]]


class Request(msgspec.Struct, frozen=True, gc=False):
    """One whole request. Header names are lower case; `target` is as the client sent it."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes | bytearray
    keep_alive: bool

    def header(self, name: bytes) -> bytes | None:
        """The value of a header; the last one, for the host adds its own behind a client's (protocol 3.1)."""
        for key, value in reversed(self.headers):
            if key == name:
                return value
        return None


class Rejection(msgspec.Struct, frozen=True):
    """What came cannot be a request: answer with `status`, then close, for what follows is not to be trusted."""

    status: int
    detail: str


class _RefusedError(Exception):
    """Leaves the parser from inside one of its callbacks."""


class HTTP1Connection:
    """The reading side of one connection."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._events: list[Request | Rejection] = []
        self._rejection: Rejection | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._start()

    def _start(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._body: bytes | bytearray = b""
        self._head_bytes = 0
        self._bodiless_bytes = 0  # read since the last piece of the body: trailers, chunk extensions
        self._in_request = False
        self._in_body = False
        self._continue = False

    @property
    def mid_request(self) -> bool:
        """Part of a request has been read: the connection is not free for another worker."""
        return self._in_request

    def take_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body; True once."""
        wanted, self._continue = self._continue and not self._body, False
        return wanted

    def receive_data(self, data: bytes | memoryview) -> list[Request | Rejection]:
        """The requests that `data` completes, in order. After a Rejection there is nothing more to come."""
        while data and self._rejection is None:
            data = self._feed(data)
        events, self._events = self._events, []
        return events

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parses `data`; returns what is to be parsed next."""
        in_body = self._in_body
        if in_body:
            self._bodiless_bytes += len(data)
        else:
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
            if self._in_request and not self._in_body and self._head_bytes > HEAD_LIMIT:
                self._refuse(431, f"the headers are longer than {HEAD_LIMIT} bytes")
            elif in_body and self._bodiless_bytes > HEAD_LIMIT:
                self._refuse(431, f"the trailers or chunk extensions are longer than {HEAD_LIMIT} bytes")
        return b""

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
        lines += [b"%b: %b\r\n" % header for header in offer.headers if header[0] != b"upgrade"]
        return b"".join((*lines, b"\r\n", rest))

    def _refuse(self, status: int, detail: str) -> None:
        self._continue = False
        self._rejection = Rejection(status, detail)
        self._events.append(self._rejection)

    # -- called by httptools -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._in_request = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # trailers of a chunked body say nothing that anybody asked for
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_body = True
        size = len(self._target)
        for name, value in self._headers:
            size += len(name) + len(value) + 4
            if name == b"content-length" and int(value) > self._max_body:
                self._refuse(413, f"the body of {int(value)} bytes is over the limit of {self._max_body}")
                raise _RefusedError
            elif name == b"expect" and value.lower() == b"100-continue":
                self._continue = True
        if size > HEAD_LIMIT:
            self._refuse(431, f"the headers are longer than {HEAD_LIMIT} bytes")
            raise _RefusedError

    def on_body(self, chunk: bytes) -> None:
        body = self._body
        self._bodiless_bytes = 0
        if not body:
            self._body = chunk  # by far the usual case: the whole body in one piece, not copied again
        else:
            if isinstance(body, bytes):
                self._body = body = bytearray(body)
            body += chunk
        if len(self._body) > self._max_body:
            self._refuse(413, f"the body is over the limit of {self._max_body} bytes")
            raise _RefusedError

    def on_message_complete(self) -> None:
        self._events.append(
            Request(
                self._parser.get_method(),
                self._target,
                self._headers,
                self._body,
                self._parser.should_keep_alive(),
            )
        )
        self._start()
