"""One HTTP request as it came, or why what came is none: what reading gives, and everybody behind it takes.

Made by http1.py and known_heads.py. Rule: data only; names, values and target are the client's bytes.
"""

from collections import deque

import msgspec

Headers = list[tuple[bytes, bytes]]


class BodyPieces:
    """A body that is handed over as it comes, for whoever asked for that; `whole` once its last piece is here."""

    __slots__ = ("pieces", "whole")

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.whole = False


class Request(msgspec.Struct, gc=False):
    """One whole request (but for BodyPieces), names and target as the client sent them.

    Whoever has decoded a large body may take it out, so that it is not held twice.

    Of several invocation ids the last one counts, also behind a comma, for the host adds its own behind a client's
    (protocol 3.1).
    """

    method: bytes
    target: bytes
    headers: Headers
    body: bytes | bytearray | BodyPieces
    keep_alive: bool
    invocation_id: bytes
    traceparent: bytes | None
    # Of what the client sent, where the envelope that holds it is larger than that; 0 elsewhere.
    max_body: int = 0
    # False for HTTP/1.0, whose client knows the end of a stream by that of the connection.
    takes_chunks: bool = True


class Rejection(msgspec.Struct, frozen=True):
    """What came cannot be a request: answer with `status`, then close, for what follows is not to be trusted."""

    status: int
    detail: str
    # As far as they were read, for the log.
    target: bytes = b""
    invocation_id: bytes = b""
