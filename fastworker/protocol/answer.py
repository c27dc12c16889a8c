"""Answers: what goes back to the host, and their bytes on the wire.

Made by invocation.py (results, problems) and by supervisor/run.py (problems for workers that died); rendered here for
both.
Rule: pure, and imports no HTTP parser, so that the supervisor can answer without one.
"""

from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson

from fastworker.outcomes import OK, outcome_of_problem

JSON = b"application/json"
PROBLEM = b"application/problem+json"
# Of a 503: about as long as a host takes to start the next process.
RETRY_AFTER = ((b"Retry-After", b"1"),)

# A content type may be made by a handler, another one each time.
MOST_STARTS = 256

STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}


class Answer(NamedTuple):
    """A whole response to the host: status, body, and the few headers that ever vary; and as what it is counted."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    outcome: int = OK


def problem(
    status: int,
    detail: str,
    *,
    function: str | None = None,
    invocation_id: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    outcome: int | None = None,
) -> Answer:
    """An RFC 9457 problem with `type`, `title`, `status`, `detail`, `function` and `invocationId`.

    Counted as its status says (outcomes.py), or as `outcome`.
    """
    body = orjson.dumps(problem_body(status, detail, function=function, invocation_id=invocation_id))
    return Answer(status, body, PROBLEM, headers, outcome_of_problem(status) if outcome is None else outcome)


def problem_body(status: int, detail: str, *, function: str | None, invocation_id: str | None) -> dict[str, Any]:
    """The members of a problem, for those that put it inside something else (an http output)."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "function": function,
        "invocationId": invocation_id,
    }


class Streamed(NamedTuple):
    """An answer that was written while it was made. Not `complete`: cut, so that the client sees the truncation."""

    complete: bool
    outcome: int = OK


class _Starts(dict[tuple[int, bytes], bytes]):
    """What stands before the length in answers without headers of their own, by status and content type."""

    def __missing__(self, kind: tuple[int, bytes]) -> bytes:
        if len(self) > MOST_STARTS:
            self.clear()
        status, content_type = kind
        line = STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status
        start = self[kind] = b"%bContent-Type: %b\r\nContent-Length: " % (line, content_type)
        return start


_STARTS: Final = _Starts()


def render(answer: Answer, *, keep_alive: bool = True, head_only: bool = False) -> bytes:
    """The response as one piece of bytes, so that it leaves in one write.

    `keep_alive=False` adds `Connection: close`; `head_only` leaves the body out and its length in (HEAD).
    """
    status, body, content_type, headers, _ = answer
    if keep_alive and not headers and not head_only and content_type:  # by far the usual
        return b"%b%d\r\n\r\n%b" % (_STARTS[status, content_type], len(body), body)
    if not content_type:  # plain HTTP without a body
        head = render_head(status, content_type, headers, length=len(body), keep_alive=keep_alive)
        return head if head_only else head + body
    extra = b"".join([b"%b: %b\r\n" % header for header in headers]) if headers else b""
    if not keep_alive:
        extra += b"Connection: close\r\n"
    return b"%bContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status,
        content_type,
        len(body),
        extra,
        b"" if head_only else body,
    )


def render_head(
    status: int,
    content_type: bytes,
    headers: tuple[tuple[bytes, bytes], ...],
    *,
    length: int | None,
    keep_alive: bool = True,
    chunked: bool = False,
) -> bytes:
    """The head alone, for a body that goes its own way. `length` None: it is not known, or the status has no body."""
    lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status]
    if content_type:
        lines.append(b"Content-Type: %b\r\n" % content_type)
    if length is not None and status not in {204, 304}:
        lines.append(b"Content-Length: %d\r\n" % length)
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    lines += [b"%b: %b\r\n" % header for header in headers]
    if not keep_alive:
        lines.append(b"Connection: close\r\n")
    return b"".join([*lines, b"\r\n"])
