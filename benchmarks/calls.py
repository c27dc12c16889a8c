"""The invocations that are measured: what the host posts for each, and what a right answer means.

Used by contenders/ (the check before timing) and load.py (the bytes of the request). Rule: an answer is judged by what
the host would make of it (docs/protocol.md, 4), not by its bytes: contenders may format their JSON as they like.
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from benchmarks.functions.work import burn

ORDER_ENVELOPE: Final = Path(__file__).parents[1] / "docs" / "examples" / "order" / "envelope.json"

Answer = dict[str, Any]

HOST_VERSION: Final = "4.1037.0.0"
BLANK_ID: Final = "00000000-5d0b-4a37-b0a9-000000000000"
# .NET's JSON writer flushes every 1024 characters, each flush becoming a chunk.
CHUNK: Final = 1024


AGENT: Final = f"Azure-Functions-Host/{HOST_VERSION}"
# What reaches the handler of a client's `POST` of text (docs/protocol.md, 3.1 and 3.2; the former recorded).
FORWARDED: Final = {"User-Agent": AGENT, "Accept": "*/*", "Content-Type": "text/plain"}
PROXIED: Final = {
    "x-ms-invocation-id": BLANK_ID,
    "User-Agent": "curl/8.5.0",
    "Accept": "*/*",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Host": "example.test",
    "X-Forwarded-Proto": "https",
    "Content-Type": "text/plain",
}


class WrongAnswerError(Exception):
    """A contender answered something else than what was asked for."""


class Plain(NamedTuple):
    """A client's request that the host hands on as plain HTTP (forwarded or proxied), with the headers that arrive."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Call:
    """One kind of invocation: an `envelope`, or a `plain` request.

    `problem` says what is wrong with an answer (an object, or the text of a plain one), or None.

    Under load, answers must have the very bytes of the one that was checked before; not `exact` means that the status
    will do (answers that tell the time). A `lenient` call is right with any answer at all, of any status: for requests
    that are meant to fail.
    """

    name: str
    function: str
    envelope: bytes
    problem: Callable[[Any], str | None]
    exact: bool = True
    lenient: bool = False
    plain: Plain | None = None

    def check(self, status: int, body: bytes) -> None:
        """Raises WrongAnswerError, naming what came."""
        if self.lenient:
            return
        problem: str | None
        if status != 200:
            problem = f"status {status}"
        elif self.plain is not None:
            problem = self.problem(body.decode(errors="replace"))
        else:
            try:
                answer = json.loads(body)
                problem = self.problem(answer) if isinstance(answer, dict) else "the answer is no object"
            except ValueError as exc:
                problem = f"the answer is no JSON: {exc}"
        if problem is not None:
            raise WrongAnswerError(f"{self.name}: {problem}; it answered {body[:300]!r}")

    def request(self, port: int) -> bytes:
        """What the host sends (docs/protocol.md, 2.1 and 3): its headers in its order, envelopes in chunks."""
        host = {"X-Azure-Functions-HostVersion": HOST_VERSION, "X-Azure-Functions-InvocationId": BLANK_ID}
        if self.plain is not None:
            method, target, headers, body = self.plain
            headers = {"Host": f"127.0.0.1:{port}", **host, **headers}
            if body or method == "POST":
                headers["Content-Length"] = str(len(body))
        else:
            method, target = "POST", f"/{self.function}"
            headers = {"Host": f"127.0.0.1:{port}", **host, "User-Agent": AGENT}
            headers |= {"Content-Type": "application/json; charset=utf-8", "Transfer-Encoding": "chunked"}
            body = b"".join(chunks(self.envelope))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


def chunks(body: bytes) -> Iterator[bytes]:
    """A body in chunks as the host cuts it, and the last one."""
    for start in range(0, len(body), CHUNK):
        piece = body[start : start + CHUNK]
        yield b"%X\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def order() -> Call:
    """The documentation's example: an http request becomes a queue message."""
    envelope = ORDER_ENVELOPE.read_bytes().strip()
    text = json.loads(envelope)["Data"]["req"]["Body"]

    def problem(answer: Answer) -> str | None:
        outputs = answer.get("Outputs") or {}
        if not _is_http(outputs.get("res"), "Order complete"):
            return "Outputs.res is not 200 'Order complete'"
        return None if is_text(outputs.get("message"), text) else "Outputs.message is not the order"

    return Call("order", "order", envelope, problem)


def echo(size: int) -> Call:
    """An http body of `size` bytes, of which the length comes back."""
    return Call(
        f"echo {size}",
        "echo",
        _http_envelope("echo", "x" * size),
        lambda answer: (
            None
            if _is_http((answer.get("Outputs") or {}).get("res"), str(size))
            else f"Outputs.res is not 200 with the text '{size}'"
        ),
    )


def plain_echo(size: int, mode: str) -> Call:
    """A client's POST of `size` bytes, `forwarded` or `proxied` by the host; the length of its body comes back."""
    headers = FORWARDED if mode == "forwarded" else PROXIED
    return plain(f"{mode} echo {size}", "echo", Plain("POST", "/api/echo", headers, b"x" * size), str(size))


def plain(name: str, function: str, request: Plain, text: str) -> Call:
    """A plain request that is rightly answered with `text` and nothing else."""
    return Call(
        name, function, b"", lambda answer: None if answer == text else f"the answer is not {text!r}", plain=request
    )


def job(function: str, number: int, problem: Callable[[Any], str | None] = lambda answer: None) -> Call:
    """An invocation of a function with a manual trigger `job`. Without `problem`, status and bytes alone are judged."""
    return Call(function, function, _envelope(function, {"job": str(number)}), problem)


def http(function: str, query: dict[str, str], text: str) -> Call:
    """An http invocation with a query, rightly answered with 200 and `text` by its http output, whatever its name."""

    def problem(answer: Answer) -> str | None:
        found = [*(answer.get("Outputs") or {}).values(), answer.get("ReturnValue")]
        return None if any(_is_http(one, text) for one in found) else f"no output is 200 {text!r}"

    return Call(function, function, _http_envelope(function, "", query), problem)


def message(function: str, name: str, value: str, problem: Callable[[Any], str | None]) -> Call:
    """An invocation by a queue message; `value` is what the envelope has for it."""
    metadata = {"DequeueCount": "1", "Id": '"00000000-0000-4000-8000-000000000002"', "PopReceipt": '"AgAAAAMAAAAAAAAA"'}
    return Call(function, function, _envelope(function, {name: value}, metadata), problem)


def fault(function: str) -> Call:
    """An invocation that is meant to go wrong: any answer will do, and none."""
    return replace(job(function, 0), lenient=True)


def work(ms: float, rounds_per_ms: int) -> Call:
    """`ms` milliseconds of real work."""
    return _digest("work", ms, burn(ms, rounds_per_ms))


def wait(ms: float, rounds_per_ms: int) -> Call:
    """`ms` milliseconds, half of them waiting."""
    return _digest("wait", ms, burn(ms / 2, rounds_per_ms))


def users(function: str, envelope: bytes) -> Call:
    """A user's own envelope, whose right answer nobody knows here: 200 and an object it must be."""
    return Call(function, function, envelope, lambda answer: None, exact=False)


def _digest(function: str, ms: float, digest: bytes) -> Call:
    wanted = base64.b64encode(digest).decode()
    return Call(
        f"{function} {ms:g} ms",
        function,
        _envelope(function, {"job": f"{ms:g}"}),
        lambda answer: None if answer.get("ReturnValue") == wanted else f"ReturnValue is not {wanted!r}",
    )


def _is_http(value: Any, body: str) -> bool:
    if not isinstance(value, dict):
        return False
    members = {name.lower(): member for name, member in value.items()}
    return str(members.get("statuscode", 200)) == "200" and str(members.get("body")) == body


def is_text(value: Any, text: str) -> bool:
    """Whether the host would write that text to a queue, re-indented or not."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):  # no base64: the host takes it as it is
            value = base64.b64decode(value, validate=True).decode()
        return bool(value == text or json.loads(value) == json.loads(text))
    return bool(value == json.loads(text))


def _http_envelope(function: str, body: str, query: dict[str, str] | None = None) -> bytes:
    """An anonymous POST as the host describes it (protocol 2.4)."""
    length = str(len(body.encode()))
    headers = {"Accept": "*/*", "Host": "localhost:7071", "User-Agent": "curl/8.5.0", "Content-Type": "text/plain"}
    headers["Content-Length"] = length
    request = {
        "Url": f"http://localhost:7071/api/{function}" + (f"?{urlencode(query)}" if query else ""),
        "Method": "POST",
        "Query": query or {},
        "Headers": {name: [value] for name, value in headers.items()},
        "Params": {},
        "Identities": [],
        "Body": body,
    }
    return _envelope(function, {"req": request}, {"Query": query or {}, "Headers": headers})


def _envelope(function: str, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> bytes:
    system = {"MethodName": function, "UtcNow": "2026-01-02T10:00:05.1234567Z"}
    system["RandGuid"] = "2c0a9d61-6d0e-4c5f-9a54-0b7f4f1c8e10"
    whole = {"Data": data, "Metadata": {**(metadata or {}), "sys": system}}
    return json.dumps(whole, separators=(",", ":")).encode()
