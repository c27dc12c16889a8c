"""A response whose status, headers and bytes are a foreign framework's, passed on as they are.

Made by asgi.py and wsgi.py; plain_http.py writes it. In an envelope it is an ordinary Response.
Rule: what frames the message is the server's; everything else, the content type's absence too, is the application's.
"""

from collections.abc import Iterable
from typing import Any, Final

from fastworker.protocol.answer import Answer
from fastworker.protocol.messages import Response
from fastworker.protocol.plain_http import FileBody, Streaming
from fastworker.protocol.streams import Items

# Fields of this connection only; a length is told again by the server, from what it sends.
HOP_BY_HOP: Final = frozenset(
    {b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"}
    | {b"upgrade"}
)
BODILESS: Final = frozenset({204, 304})


class ExactResponse(Response):
    """`body` is bytes, an open file's descriptor (closed when it is sent), or an iterator of bytes (sync or async).

    `length` is the number of its bytes, where that is known.
    """

    __slots__ = ("length", "raw_headers")
    is_exact = True

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: Any, length: int | None) -> None:
        self.raw_headers = tuple((name, value) for name, value in headers if name.lower() not in HOP_BY_HOP)
        self.length = length
        super().__init__(
            body or None if isinstance(body, bytes) else body,
            status_code=status,
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw_headers],
        )

    def in_plain_http(self) -> Answer | Streaming | FileBody:
        """The answer as plain_http.py hands it to the connection."""
        status, body = self.status_code, self.body
        if status in BODILESS:
            return Answer(status, b"", b"", self.raw_headers)
        if isinstance(body, int):
            return FileBody(status, self.raw_headers, b"", body)
        if body is None or isinstance(body, bytes):
            data = body or b""
            if self.length is None or self.length == len(data):
                return Answer(status, data, b"", self.raw_headers)
            body = iter(())  # the answer to HEAD: a length, and nothing behind it
        return Streaming(status, self.raw_headers, body, lambda _: AsTheyAre(), length=self.length)


class AsTheyAre(Items):
    """The items of a body that is bytes already, without a content type of its own."""

    def __init__(self) -> None:
        super().__init__(None, b"")
        self.content_type = ""

    def encode(self, item: bytes) -> bytes:
        """The item."""
        return item


def content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The length that the application promised, if it is one."""
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None
