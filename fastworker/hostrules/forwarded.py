"""Forwarded requests and their answers: plain HTTP of `httpWorker` and of forwarding apps (protocol 3.1).

Used by the local host. Rule: pure. ForwardError is what the host answers with 500 without asking the handler.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from fastworker.hostrules.answers import AnswerError, HttpReply
from fastworker.hostrules.envelope import HttpRequest
from fastworker.hostrules.http_headers import TOKEN, is_sendable, respaced_type
from fastworker.hostrules.urls import forwarded_path, forwarded_query, request_path

VERSION: Final = "X-Azure-Functions-HostVersion"
INVOCATION: Final = "X-Azure-Functions-InvocationId"
AGENT: Final = "User-Agent"
# .NET has them at the content and not at the request, so the copying loses them.
CONTENT_FIELDS: Final = frozenset(
    {"allow", "content-disposition", "content-encoding", "content-language", "content-length", "content-location"}
    | {"content-md5", "content-range", "content-type", "expires", "last-modified"}
)
# A body is taken for granted with any other method: they get `Content-Length: 0` when there is none.
BODILESS: Final = ("GET", "HEAD", "DELETE", "OPTIONS", "CONNECT")
STANDARD: Final = ("GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH", "TRACE", "CONNECT")
TRIES: Final = 4
EXPECT_WAIT_S: Final = 1.0

# Fields that .NET reads as lists: each member becomes a line of its own.
LISTS: Final = frozenset(
    {"accept-ranges", "allow", "connection", "content-encoding", "content-language", "pragma", "trailer"}
    | {"transfer-encoding", "upgrade", "vary", "via"}
)
RESPONSE_KNOWN: Final = (
    *("Content-Length", "Connection", "Content-Type", "Date", "Server", "Accept-Ranges"),
    *("Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods"),
    *("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age", "Age", "Allow"),
    *("Alt-Svc", "Cache-Control", "Content-Encoding", "Content-Language", "Content-Location", "Content-MD5"),
    *("Content-Range", "ETag", "Expires", "Keep-Alive", "Last-Modified", "Location", "Pragma"),
    *("Proxy-Authenticate", "Retry-After", "Set-Cookie", "Trailer", "Transfer-Encoding", "Upgrade", "Vary", "Via"),
    *("Warning", "WWW-Authenticate"),
)
RESPONSE_RANK: Final = {name.lower(): (number, name) for number, name in enumerate(RESPONSE_KNOWN)}


class ForwardError(AnswerError):
    """The host cannot forward the request: the handler is not asked, the client gets 500."""


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """What the handler gets, byte for byte; `body` is empty where there is none."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


def forwarded_request(
    request: HttpRequest, raw_path: str, invocation_id: str, version: str, *, by_name: str = ""
) -> ForwardedRequest:
    """The request for the handler. `by_name` is the function's name with `httpWorker`, else the path is the client's.

    Raises ForwardError, and BadTargetError for a target that the front answers itself.
    """
    query = forwarded_query(request.raw_query)
    path = f"/{by_name}" if by_name else forwarded_path(request_path(raw_path))
    method = request.method.upper() if request.method.upper() in STANDARD else request.method
    headers = [*_copied(request, invocation_id, version), *_content(request, method)]
    return ForwardedRequest(method, f"{path}?{query}" if query else path, tuple(headers), request.body or b"")


def _copied(request: HttpRequest, invocation_id: str, version: str) -> list[tuple[str, str]]:
    lists = request.header_lists
    names = {name.lower(): name for name in lists}
    if "transfer-encoding" in names:
        raise ForwardError("the client sent a body without Content-Length, which the host cannot forward")
    if "host" not in names:
        raise ForwardError("the client sent no Host, and the host cannot forward such a request")
    own = {VERSION: version, INVOCATION: invocation_id, AGENT: f"Azure-Functions-Host/{version}"}
    found = []
    for name, values in lists.items():
        if name.lower() in CONTENT_FIELDS:
            continue
        separator = {"cookie": "; ", "user-agent": " "}.get(name.lower(), ", ")
        mine = next((own.pop(known) for known in [*own] if known.lower() == name.lower()), None)
        value = separator.join(values if mine is None else [*values, mine])
        if not value.isascii():
            raise ForwardError(f"the client's header {name} is not ASCII, and the host cannot forward it")
        found.append((name, value))
    return [*found, *own.items()]


def _content(request: HttpRequest, method: str) -> list[tuple[str, str]]:
    if not request.body:
        return [] if method in BODILESS else [("Content-Length", "0")]
    fields = [("Content-Length", str(len(request.body)))]
    kind = request.header("content-type").strip()
    if kind:
        respaced = respaced_type(kind)
        if respaced is None:
            raise ForwardError(f"the client's content type {kind!r} is none that .NET can parse")
        fields.append(("Content-Type", respaced))
    return fields


# ---- the answer -----------------------------------------------------------------------------------------------------


def forwarded_reply(
    status: int, reason: str, headers: Iterable[tuple[str, str]], body: bytes, *, method: str = "GET"
) -> HttpReply:
    """The handler's answer as the client gets it, whatever its status. Raises AnswerError: a 500 with `reason`.

    `headers` are the handler's, as text of Latin-1; `body` is whole, its framing undone.
    """
    fields = _response_fields(headers)
    lengths = fields.pop("content-length", ("Content-Length", []))[1]
    if len(lengths) > 1:
        raise AnswerError("the answer has two Content-Lengths", too_late=True)
    if lengths and "transfer-encoding" in fields:
        raise AnswerError("the answer has a Content-Length and is chunked, too", too_late=True)
    encodings = fields.get("transfer-encoding", ("", []))[1]
    if [encoding.lower() for encoding in encodings] == ["chunked"]:
        del fields["transfer-encoding"]  # the body goes out with its length
    found: list[tuple[str, str]] = []
    for name, values in (fields[lower] for lower in sorted(fields, key=_rank)):
        for value in values:
            if not TOKEN.fullmatch(name) or not is_sendable(name, value):
                raise AnswerError(f"the header {name} holds what Kestrel does not send: {value!r}", too_late=True)
            found.append((name, value))
    length = _length(status, lengths, body, method)
    if length is not None:
        found.insert(0, ("Content-Length", length))
    shown = reason.encode("ascii", "replace").decode() or None
    return HttpReply(status, b"" if status in (204, 304) else body, tuple(found), shown)


def _rank(lower: str) -> int:
    return RESPONSE_RANK[lower][0] if lower in RESPONSE_RANK else len(RESPONSE_KNOWN)


def _response_fields(headers: Iterable[tuple[str, str]]) -> dict[str, tuple[str, list[str]]]:
    fields: dict[str, tuple[str, list[str]]] = {}
    for name, value in headers:
        lower = name.lower()
        spelling = RESPONSE_RANK[lower][1] if lower in RESPONSE_RANK else name
        kept = fields.setdefault(lower, (spelling, []))[1]
        text = value.strip(" \t")
        if not text:
            continue
        if lower == "content-type":
            kept.append(respaced_type(text) or text)
        elif lower == "location":
            kept.append(quote(text, safe="%/?#[]@!$&'()*+,;=:-._~"))
        elif lower in LISTS:
            kept += [part.strip() for part in text.split(",") if part.strip()]
        else:
            kept.append(text)
    return {lower: field for lower, field in fields.items() if field[1]}


def _length(status: int, lengths: list[str], body: bytes, method: str) -> str | None:
    given = lengths[0] if lengths and lengths[0].isdecimal() else None
    if status == 204:
        if body or given not in (None, "0"):
            raise AnswerError("the answer is 204 and has a body", too_late=True)
        return None
    if method == "HEAD" or status == 304:
        return given or "0"
    return str(len(body))
