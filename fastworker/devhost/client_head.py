"""The head of a client's request, as Kestrel reads it: its limits, its strictness and its tolerance (protocol 6.1).

Used by webserver.py. Rule: RequestError names the status of what is refused; nothing is read behind the head.
"""

import asyncio
import re
from typing import Final, NamedTuple

from fastworker.hostrules.http_headers import TOKEN
from fastworker.hostrules.urls import MAX_TARGET

Headers = list[tuple[str, str]]
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 32 * 1024
REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-\xff]+) HTTP/1\.([01])")


class RequestError(Exception):
    """The server answers by itself, with nothing but this status, and closes the connection."""

    def __init__(self, status: int, allow: str = "") -> None:
        super().__init__(f"answered with {status}")
        self.status = status
        self.allow = allow


class Head(NamedTuple):
    """Method, target in origin form, the digit behind HTTP/1., and the fields as they came."""

    method: str
    target: str
    minor: int
    headers: Headers


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """None at the end of the connection. Raises RequestError."""
    line = await _line(reader, MAX_TARGET, 414)
    while line in (b"\r\n", b"\n"):
        line = await _line(reader, MAX_TARGET, 414)
    if not line:
        return None
    match = REQUEST_LINE.fullmatch(line.rstrip(b"\r\n"))
    if match is None:
        raise RequestError(505 if re.fullmatch(rb"\S+ \S+ HTTP/[0-9.]+", line.rstrip(b"\r\n")) else 400)
    headers: Headers = []
    size = 0
    while (field := await _line(reader, MAX_HEADER_BYTES, 431)) not in (b"\r\n", b"\n"):
        size += len(field)
        if not field:
            raise RequestError(400)
        if size > MAX_HEADER_BYTES or len(headers) == MAX_HEADERS:
            raise RequestError(431)
        headers.append(_field(field.rstrip(b"\r\n")))
    minor = int(match[3])
    target = match[2].decode("latin-1")
    if not target.isascii():
        raise RequestError(400)
    _check_framing(headers)
    method = match[1].decode("ascii")
    if target == "*" and method != "OPTIONS":
        raise RequestError(405, allow="OPTIONS")
    return Head(method, _origin_form(target, headers, minor), minor, headers)


async def _line(reader: asyncio.StreamReader, limit: int, status: int) -> bytes:
    try:
        line = await reader.readline()
    except ValueError:  # longer than the reader holds
        raise RequestError(status) from None
    if len(line) > limit:
        raise RequestError(status)
    return line


def _field(line: bytes) -> tuple[str, str]:
    raw_name, colon, raw_value = line.partition(b":")
    name = raw_name.decode("latin-1")
    if not colon or not TOKEN.fullmatch(name) or b"\0" in raw_value or b"\r" in raw_value:
        raise RequestError(400)
    try:
        return name, raw_value.strip(b" \t").decode()
    except UnicodeDecodeError:
        raise RequestError(400) from None


def _check_framing(headers: Headers) -> None:
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    encodings = [value for name, value in headers if name.lower() == "transfer-encoding"]
    if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", length) for length in lengths):
        raise RequestError(400)
    if encodings and not encodings[-1].lower().replace(" ", "").endswith("chunked"):
        raise RequestError(400)


def _origin_form(target: str, headers: Headers, minor: int) -> str:
    hosts = [value for name, value in headers if name.lower() == "host"]
    if len(hosts) > 1 or (minor == 1 and not hosts):
        raise RequestError(400)
    if target.startswith("/") or target == "*":
        return target
    scheme, separator, rest = target.partition("://")
    authority, slash, path = rest.partition("/")
    if not separator or scheme.lower() not in ("http", "https") or (hosts and hosts[0] != authority):
        raise RequestError(400)
    return f"{slash or '/'}{path}"


def keeps_alive(minor: int, connection: str) -> bool:
    """Whether another request may follow, by the version and the Connection field."""
    options = [option.strip().lower() for option in connection.split(",")]
    return "keep-alive" in options if minor == 0 else "close" not in options
