"""Heads that have been seen before: compared, and not parsed.

A host's requests for one function differ in their ids alone, but parsing one costs as much as all else that a worker
does for it. `learn` is given each request that the parser (http1.py) has taken from one read; `find` knows the next one
whose head differs from that in the ids and the length of the body only.
Rule: what is found here is what the parser would have made of the same bytes (tests/unit/test_known_heads.py holds both
to that). So nothing is learned but from what the parser accepted, the parts that may differ have a fixed length and
characters that mean nothing anywhere, and whatever is not whole, or is framed in an unusual way, is the parser's.

    POST /order HTTP/1.1 CRLF
    Host: ... CRLF
    X-Azure-Functions-InvocationId: <36 characters: may differ> CRLF
    traceparent: <55 characters: may differ> CRLF
    Content-Length: <digits: may differ, where that is the last line> CRLF CRLF
"""

from typing import Any, Final

from fastworker.protocol.http_request import Headers, Request

BLANK: Final = b"\r\n\r\n"
INVOCATION_ID: Final = b"\r\nX-Azure-Functions-InvocationId: "
TRACEPARENT: Final = b"\r\ntraceparent: "
LENGTH: Final = b"\r\nContent-Length: "
# From the beginning of such a line to the beginning of its value, and to its end.
ID_FROM: Final = len(INVOCATION_ID)
ID_TO: Final = ID_FROM + 36
TRACE_FROM: Final = len(TRACEPARENT)
TRACE_TO: Final = TRACE_FROM + 55
LENGTH_FROM: Final = len(LENGTH)
MOST_DIGITS: Final = 6
ZERO: Final = ord("0")
# An id in the place of another one changes nothing that the parser looks at.
ID_BYTES: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
HEX: Final = b"0123456789abcdefABCDEF"
# Headers whose value may be the invocation's id.
ID_NAMES: Final = frozenset({b"x-azure-functions-invocationid", b"x-ms-invocation-id"})
# Stand for the parts that may differ; the parser takes no such byte in a head.
ID_MARK: Final = b"\0"
TRACE_MARK: Final = b"\1"
# Longer heads are not learned, and not more than so many: then all are forgotten, and learned anew.
LONGEST: Final = 4096
MOST: Final = 512
# A chunked body that is larger has so many chunks that the parser is the quicker reader.
LONGEST_CHUNKED: Final = 8192
NO_LENGTH, CHUNKED, COUNTED = range(3)


class KnownHead:
    """A head and the request that the parser made of it. `chosen` is kept here by whoever serves such requests."""

    __slots__ = ("_counted_at", "_ids", "_traced_at", "chosen", "end", "framing", "request")

    def __init__(self, request: Request, end: int, framing: int) -> None:
        self.request = request
        self.end = end
        self.framing = framing
        self.chosen: Any = None
        own = request.invocation_id
        headers = request.headers
        self._ids = [at for at, (_, value) in enumerate(headers) if own and value == own]
        self._traced_at = next((at for at, (name, _) in enumerate(headers) if name == b"traceparent"), -1)
        self._counted_at = len(headers) - 1 if framing == COUNTED else -1

    def request_of(self, invocation_id: bytes, traceparent: bytes | None, body: bytes) -> Request:
        """The request with these in the place of its own."""
        like = self.request
        headers: Headers = like.headers.copy()
        for at in self._ids:
            headers[at] = (headers[at][0], invocation_id)
        if traceparent is not None:
            headers[self._traced_at] = (b"traceparent", traceparent)
        if self._counted_at >= 0:
            headers[self._counted_at] = (b"Content-Length", b"%d" % len(body))
        return Request(like.method, like.target, headers, body, True, invocation_id, traceparent)


Found = tuple[KnownHead, bytes, bytes | None, bytes]


class KnownHeads:
    """One worker's, for all of its connections."""

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}
        self._are_traced = False  # whether to look for a traceparent at all

    def find(self, data: bytes) -> Found | None:
        """The head, the invocation id, the traceparent and the body, where `data` is one whole request of a known kind.

        None says nothing about `data` but that it is the parser's.
        """
        end = data.find(BLANK, 0, LONGEST)
        if end < 0:
            return None
        head = key = data[:end]
        at = head.find(INVOCATION_ID)
        if at >= 0:
            invocation_id = head[at + ID_FROM : at + ID_TO]
            key = head.replace(invocation_id, ID_MARK)
        else:
            invocation_id = b""
        traceparent = None
        if self._are_traced and (at := head.find(TRACEPARENT)) >= 0:
            traceparent = head[at + TRACE_FROM : at + TRACE_TO]
            key = key.replace(traceparent, TRACE_MARK)
        known = self._heads.get(key)
        length = b""
        if known is None:
            at = key.rfind(LENGTH)
            length = key[at + LENGTH_FROM :]
            known = self._heads.get(key[: at + LENGTH_FROM]) if at >= 0 else None
            if known is None or not length.isdigit() or len(length) > MOST_DIGITS:
                return None
            end -= len(length)
        if (
            known.end != end
            or invocation_id.translate(None, ID_BYTES)
            or (traceparent is not None and traceparent.translate(None, ID_BYTES))
        ):
            return None
        start = end + len(length) + 4
        if known.framing == CHUNKED:
            body = _unchunked(data, start) if len(data) < LONGEST_CHUNKED else None
            return None if body is None else (known, invocation_id, traceparent, body)
        if known.framing == NO_LENGTH:
            return (known, invocation_id, traceparent, b"") if len(data) == start else None
        if not length or length[0] == ZERO or len(data) != start + int(length):
            return None
        return known, invocation_id, traceparent, data[start:]

    def learn(self, data: bytes, request: Request) -> None:
        """`data` is all that was read, and `request` what the parser made of it."""
        head, blank, _ = data[:LONGEST].partition(BLANK)
        line = b"%b %b HTTP/1.1\r\n" % (request.method, request.target)
        own, traceparent = request.invocation_id, request.traceparent
        if not blank or not head.startswith(line) or not request.keep_alive:
            return
        if ID_MARK in head or TRACE_MARK in head:
            return
        key = head
        if own:
            places = [name for name, value in request.headers if value == own]
            is_alone = sum(name.lower() == b"x-azure-functions-invocationid" for name, _ in request.headers) == 1
            at = head.find(INVOCATION_ID)
            if not is_alone or at < 0 or head[at + ID_FROM : at + ID_TO] != own or head.count(own) != len(places):
                return
            if len(own) != ID_TO - ID_FROM or own.translate(None, ID_BYTES):
                return
            if any(name.lower() not in ID_NAMES for name in places):
                return
            key = head.replace(own, ID_MARK)
        elif INVOCATION_ID in head:
            return
        if traceparent is not None:
            at = head.find(TRACEPARENT)
            if at < 0 or head[at + TRACE_FROM : at + TRACE_TO] != traceparent or head.count(traceparent) != 1:
                return
            if len(traceparent) != TRACE_TO - TRACE_FROM or traceparent.translate(None, ID_BYTES):
                return
            key = key.replace(traceparent, TRACE_MARK)
        names = [name.lower() for name, _ in request.headers]
        if names.count(b"traceparent") != (traceparent is not None):
            return
        framing = CHUNKED if b"transfer-encoding" in names else COUNTED if b"content-length" in names else NO_LENGTH
        end = len(head)
        if framing == COUNTED:
            at = key.rfind(LENGTH)
            length = key[at + LENGTH_FROM :]
            if at < 0 or not length.isdigit() or len(length) > MOST_DIGITS:
                return  # somewhere in the middle: its value would have to be the same each time
            key, end = key[: at + LENGTH_FROM], end - len(length)
        if key in self._heads:
            return
        if len(self._heads) >= MOST:
            self._heads.clear()
        self._are_traced = self._are_traced or traceparent is not None
        like = Request(request.method, request.target, request.headers, b"", True, own, traceparent)
        self._heads[key] = KnownHead(like, end, framing)
        found = self.find(data)
        if found is None or found[0].request_of(*found[1:]) != request:
            self._heads.pop(key, None)


def _unchunked(data: bytes, at: int) -> bytes | None:
    """The body whose chunks begin at `at` and end with `data`; None where it does not, or has more than chunks.

    A second reader of chunks beside the parser: of those that the host writes, without extensions and trailers.
    """
    pieces: list[bytes] = []
    while True:
        end = data.find(b"\r\n", at, at + 8)
        size = data[at:end]
        if end <= at or size.translate(None, HEX):
            return None
        start = end + 2
        at = start + int(size, 16)
        if at == start:
            return b"".join(pieces) if data[start:] == b"\r\n" else None
        if data[at : at + 2] != b"\r\n":
            return None
        pieces.append(data[start:at])
        at += 2
