"""Whatever a client, a message or a handler can make long costs time in proportion to its length, and not more.

Operations are counted, not seconds: the interpreter's lines and calls, for what is written in Python. What C code does
in one call (a regular expression, a copy) shows in no count, so CPU time is looked at beside it, and only where there
is enough of it to be sure.
"""

import contextlib
import itertools
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import pytest

from fastworker.config.host_json import read_host_json
from fastworker.devhost import arguments, visitors
from fastworker.hostrules import (
    answers,
    blob_paths,
    dotnet_values,
    envelope,
    expressions,
    http_headers,
    newtonsoft,
    principals,
    schedules,
    timespan,
    urls,
)
from fastworker.protocol import headers as answer_headers
from fastworker.protocol.body_limit import decoded_size
from fastworker.protocol.envelope import Metadata
from fastworker.protocol.forms import read_form
from fastworker.protocol.http1 import HTTP1Connection
from fastworker.protocol.http_request import Request as HttpRequest
from fastworker.protocol.messages import HttpData, Request, Response
from fastworker.protocol.plain_http import PlainRequest
from fastworker.protocol.routing import RouteTable

SMALL, LARGE = 1024, 64 * 1024
# A count that grows with the length grows 64 times; with its square, 4,096 times.
MOST_TIMES = 64 * 4
# CPU seconds below which a measurement says nothing.
SURE_S = 0.25

PATTERNS = [
    *"aA0 \t\r\n\0.,:;=&%+-*/\\\"'(){}[]<>|#?@_~^$!\u00e9\ud800",
    *("\r\n", "a=", "a=b&", "a=b; ", "%4", "%41", "%2F", "../", "//", "a/", ",a", '"\\', '\\"', "\\u0000", "{a", "{}"),
    *("[[", "[1,", '{"a":', "1e", "--", "--x\r\n", "\r\n--", "a: b\r\n", "0:", "0.", "/*", "*/", "//\n", "aA-", "=;"),
    *("a-", "a."),
]
# Reading byte by byte is slow as it is, and some readers are told a length only.
FEW = ["a", "\n", "\r\n", "a: b\r\n"]
BY_LENGTH = ("chunks", "pipelined", "pipelined 1.0", "upgrades", "parts", "many headers")


def plain(target: bytes = b"/", *fields: tuple[bytes, bytes], body: bytes = b"") -> PlainRequest[Any]:
    return PlainRequest(HttpRequest(b"GET", target, list(fields), body, True, b"", None), {})


def from_envelope(**members: Any) -> Request[Any]:
    raw: dict[str, Any] = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in members.items()}
    return Request("req", HttpData(**raw))


def latin(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def http(*pieces: bytes) -> None:
    connection = HTTP1Connection(1 << 20)
    for piece in pieces:
        connection.receive_data(piece)
    connection.close()


def byte_by_byte(data: bytes) -> None:
    http(*(data[at : at + 1] for at in range(len(data))))


def table(*routes: str) -> RouteTable[str]:
    made: RouteTable[str] = RouteTable("")
    for number, route in enumerate(routes):
        made.add(f"f{number}", route, (), route)
    return made


ROUTES = table(
    "files/{a}-{b}-{c}-{d}/x", "f/{name}.{ext?}", "n/{id:int}/{*rest}", "g/{x:regex(^[a-z]+-[a-z]+$)}", "a/b/c"
)
HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

READERS: dict[str, Callable[[str], object]] = {
    # -- the wire
    "http1 target": lambda t: http(b"GET /" + utf8(t) + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    "http1 line": lambda t: http(utf8(t), b"\r\n\r\n"),
    "http1 header": lambda t: http(HEAD + b"X: " + utf8(t) + b"\r\n\r\n"),
    "http1 headers": lambda t: http(HEAD + utf8(t) + b"\r\n\r\n"),
    "http1 Host": lambda t: http(b"GET / HTTP/1.1\r\nHost: " + utf8(t) + b"\r\n\r\n"),
    "http1 bytes of a head": lambda t: byte_by_byte(HEAD + b"X: " + utf8(t) + b"\r\n\r\n"),
    "http1 bytes of a line": lambda t: byte_by_byte(b"GET /" + utf8(t)),
    "http1 bytes of a body": lambda t: byte_by_byte(HEAD + b"Content-Length: %d\r\n\r\n" % len(t) + utf8(t)),
    "http1 chunks": lambda t: http(CHUNKED + b"1\r\nx\r\n" * (len(t) // 6) + b"0\r\n\r\n"),
    "http1 bytes of chunks": lambda t: byte_by_byte(CHUNKED + b"1\r\nx\r\n" * (len(t) // 6)),
    "http1 chunk extension": lambda t: http(CHUNKED + b"1;" + utf8(t) + b"\r\nx\r\n0\r\n\r\n"),
    "http1 trailers": lambda t: http(CHUNKED + b"0\r\n" + utf8(t) + b"\r\n\r\n"),
    "http1 pipelined": lambda t: http(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * (len(t) // 28)),
    "http1 pipelined 1.0": lambda t: http(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * (len(t) // 42)),
    "http1 upgrades": lambda t: http(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n" * (len(t) // 64)
    ),
    # -- routes
    **{
        f"route {prefix}": (lambda t, prefix=prefix: ROUTES.find("GET", prefix + t))
        for prefix in ("/", "/files/", "/f/", "/n/1/", "/n/", "/g/", "/a/")
    },
    "route and more": lambda t: ROUTES.find("GET", "/files/" + t + "/y"),
    # -- a client's request
    "query": lambda t: dict(plain(b"/?" + latin(t)).query),
    "query values": lambda t: plain(b"/?" + latin(t)).query.get_all("a"),
    "url": lambda t: plain(b"/" + latin(t), (b"Host", latin(t)), (b"X-Forwarded-Host", latin(t))).url,
    "cookies": lambda t: plain(b"/", (b"Cookie", latin(t))).cookies,
    "many headers": lambda t: dict(plain(b"/", *[(b"X", b"a")] * (len(t) // 8)).headers),
    "principal": lambda t: plain(b"/", (b"X-MS-CLIENT-PRINCIPAL", latin(t))).identities,
    "content type": lambda t: plain(b"/", (b"Content-Type", latin(t)), body=b"{}").body,
    "json body": lambda t: plain(b"/", body=utf8(t)).json(),
    "url-encoded form": lambda t: read_form("application/x-www-form-urlencoded", latin(t)),
    "multipart form": lambda t: read_form("multipart/form-data; boundary=x", utf8(t)),
    "multipart headers": lambda t: read_form(
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Disposition: form-data; name=" + utf8(t) + b"\r\n\r\n\r\n--x--",
    ),
    "multipart parts": lambda t: read_form(
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * (len(t) // 64) + b"--x--",
    ),
    "form's content type": lambda t: read_form("multipart/form-data; " + t, b""),
    "boundary": lambda t: read_form("multipart/form-data; boundary=" + t, utf8(t)),
    # -- an envelope
    "envelope query": lambda t: dict(from_envelope(Query={"a": t}).query),
    "envelope cookies": lambda t: from_envelope(Headers={"Cookie": [t.replace("\ud800", "?")]}).cookies,
    "envelope body": lambda t: from_envelope(Body=t.replace("\ud800", "?")).json(),
    "envelope size": lambda t: decoded_size(msgspec.Raw(b'"' + utf8(t) + b'"'), binary=False),
    "metadata": lambda t: len(Metadata(msgspec.Raw(utf8(t)))),
    # -- what a handler gives
    "header value": lambda t: answer_headers.header_bytes([("X", t)], "x"),
    "header name": lambda t: answer_headers.header_bytes([(t, "x")], "x"),
    "cookie": lambda t: answer_headers.cookie_lines(Response(cookies={"a": t})),
    # -- the local host
    "visitor's Host": lambda t: visitors.why_refused([("Host", t), ("Origin", t)], "127.0.0.1"),
    "host's JSON": newtonsoft.read_json,
    "host's JSON text": lambda t: newtonsoft.read_json('{"a":"' + t + '"}'),
    "host's values": dotnet_values.read_values,
    "date": lambda t: dotnet_values.parse_date("2020-01-01T00:00:00." + t),
    "base64": dotnet_values.from_base64,
    "answer": lambda t: answers.accept(200, "application/json", utf8(t)),
    "request body": lambda t: envelope.request_body(utf8(t), t),
    "charset": http_headers.with_charset,
    "media type": lambda t: http_headers.respaced_type("a/b" + t),
    "client's principal": principals.principal_identity,
    "time span": timespan.parse_time_span,
    "path": lambda t: urls.request_path("/" + t),
    "dots": lambda t: urls.without_dots("/" + t),
    "forwarded path": lambda t: urls.forwarded_path("/" + t),
    "forwarded query": urls.forwarded_query,
    "joined query": urls.joined_query,
    "envelope's URL": lambda t: urls.envelope_url("http://localhost/" + t),
    "expression": expressions.parse,
    "blob path": lambda t: blob_paths.BlobPath("c/{a}-{b}-{c}-{d}/x").match("c/" + t),
    "blob path and more": lambda t: blob_paths.BlobPath("c/{a}{b}.{c}").match("c/" + t + "/y"),
    "path of a blob": blob_paths.BlobPath,
    "schedule": schedules.Schedule,
    "variables": lambda t: arguments.expand(t, {"a": "b"}),
    "host.json": lambda t: read_host_json("host.json", utf8(t), {}),
}


def repeated(pattern: str, size: int) -> str:
    return (pattern * (size // len(pattern) + 1))[:size]


def run(reader: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(Exception):  # refused is as good as read
        reader(text)


def cpu_seconds(reader: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    run(reader, text)
    return time.process_time() - began


def operations(reader: Callable[[str], object], text: str, most: int) -> int:
    """Lines and calls of Python, C functions included; no more than `most` are counted."""
    count = 0

    class TooManyError(BaseException):
        pass

    def step(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += 1
        if count > most:
            sys.settrace(None)
            sys.setprofile(None)
            raise TooManyError
        return step

    before = sys.gettrace(), sys.getprofile()
    with contextlib.suppress(TooManyError):
        try:
            sys.settrace(step)
            sys.setprofile(step)
            run(reader, text)
        finally:
            sys.setprofile(before[1])
            sys.settrace(before[0])
    return count


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", READERS)
def test_time_grows_no_faster_than_the_input(name: str) -> None:
    """64 times the input: at most 4 times 64 the operations, and not 4,096 times the CPU time."""
    reader = READERS[name]
    slow = []
    for pattern in FEW[:1] if name.endswith(BY_LENGTH) else FEW if "bytes of" in name else PATTERNS:
        large = repeated(pattern, LARGE)
        took = cpu_seconds(reader, large)
        if took > SURE_S:
            least = max(min(cpu_seconds(reader, repeated(pattern, LARGE // 4)) for _ in range(2)), 1e-4)
            if took / least > 10:  # 4 times the length: 4 if linear, 16 if not
                slow.append((pattern, f"{least:.3f} s, then {took:.3f} s"))
                continue
        few = operations(reader, repeated(pattern, SMALL), 1_000_000)
        many = operations(reader, repeated(pattern, SMALL * 8), few * 8 * 4 + 1000)
        if many > few * 8 * 4 + 1000:
            slow.append((pattern, f"{few} operations, then over {many}"))
    assert slow == []


def test_the_measure_finds_what_is_not_linear():
    """One that is quadratic in Python, one in C; and none that is linear."""

    def in_python(text: str) -> None:
        for end in range(len(text)):
            for _ in itertools.islice(text, 0, end, 64):
                pass

    few = operations(in_python, "a" * SMALL, 1_000_000)
    assert operations(in_python, "a" * SMALL * 8, few * 32 + 1000) > few * 32
