"""The handler's answer to an envelope: is it accepted, and what does the client of an http function get (protocol 4).

Used by the local host, by `invoke`, and by TestClient. How other outputs are written is in output_values.py.
Rule: pure. AnswerError says what was wrong with the answer and what the host makes of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Final, Protocol

from fastworker.hostrules.dotnet_values import (
    as_string,
    depth_of,
    from_base64,
    json_scalar,
    read_values,
    to_text,
    write_json,
)
from fastworker.hostrules.http_headers import TOKEN, is_sendable, with_charset, without_doubles
from fastworker.hostrules.newtonsoft import ANSWER_DEPTH, CONFIG_DEPTH, EmptyJsonError, JsonError, decode

RETURN: Final = "$return"
JSON_TYPES: Final = ("application/json", "text/json")
TEXT_TYPE: Final = "text/plain; charset=utf-8"
JSON_TYPE: Final = "application/json; charset=utf-8"
LIST_NAME: Final = "System.Collections.Generic.List`1[System.Object]"
OBJECT_NAME: Final = "System.Dynamic.ExpandoObject"
EXCERPT: Final = 200
MAX_INT: Final = 2**31 - 1


class OutputBinding(Protocol):
    """What is asked of an output binding."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def data_type(self) -> str | None: ...


class AnswerError(Exception):
    """The answer makes the invocation fail; the message tells the handler's author why.

    `too_late` is one that comes when outputs are written already and the invocation counts as succeeded: only the
    client sees it, as a 500 with `reason`.
    """

    def __init__(self, message: str, *, too_late: bool = False, reason: str | None = None) -> None:
        super().__init__(message)
        self.too_late = too_late
        self.reason = reason


class NothingError(Exception):
    """A 2xx without a result: the host waits on until functionTimeout (trap 1)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An accepted answer. `outputs` is None where the answer has none, which is not the same as empty."""

    outputs: Mapping[str, Any] | None
    logs: tuple[str, ...] = ()
    return_value: Any = None


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What the client of an http function gets.

    `chunked` tells that the host sends the body in chunks, without a length. With `breaks` the answer cannot be sent
    whole, and the client's connection is cut.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str | None = None
    chunked: bool = False
    breaks: bool = False


NO_CONTENT: Final = HttpReply(204)
FAILED: Final = HttpReply(500)


# ---- accepting it ---------------------------------------------------------------------------------------------------


def accept(status: int, content_type: str, body: bytes, zone: tzinfo = UTC) -> Answer:
    """Raises AnswerError or NothingError (protocol 4.1). `zone` is the host's: dates with an offset are moved to it."""
    if not 200 <= status < 300:
        raise AnswerError(
            f"the handler answered {status}, and only 2xx counts; its body is shown here only, the host drops it: "
            f"{excerpt(body)}"
        )
    if not body:
        raise NothingError(f"the handler answered {status} with an empty body")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (*JSON_TYPES, "*/*"):
        raise AnswerError(
            f"the answer has content type {content_type or 'none'!r}, and must have application/json: {excerpt(body)}"
        )
    try:
        document = read_values(_text(body, content_type), max_depth=ANSWER_DEPTH, trailing=True, zone=zone)
    except UnicodeDecodeError as error:
        raise AnswerError(f"the answer is not UTF-8: {error.reason} at byte {error.start}") from None
    except EmptyJsonError:
        raise NothingError(f"the handler answered {status} without a JSON value") from None
    except JsonError as error:
        raise AnswerError(f"the answer is no JSON ({error}): {excerpt(body)}") from None
    if document is None:
        raise NothingError(f"the handler answered {status} with the JSON null")
    if not isinstance(document, dict):
        raise AnswerError(f"the answer must be a JSON object with Outputs, Logs and ReturnValue: {excerpt(body)}")
    members = {name.lower(): value for name, value in document.items()}
    outputs = members.get("outputs")
    if outputs is not None and not isinstance(outputs, dict):
        raise AnswerError(f"Outputs must be an object by binding name, not {shown(outputs)}")
    return Answer(outputs, _logs(members.get("logs")), members.get("returnvalue"))


def _text(body: bytes, content_type: str) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return decode(body, errors="strict")
    charset = with_charset(content_type)[1] if "charset" in content_type.lower() else "utf-8"
    return body.decode(charset)


def _logs(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise AnswerError(f"Logs must be an array of strings, not {shown(value)}")
    for item in value:
        if isinstance(item, dict | list):
            raise AnswerError(f"Logs must hold strings, not {shown(item)}")
    # As Newtonsoft reads scalars as strings: `true` stays in lower case, dates stay as they are written.
    return tuple(_log_line(item) for item in value)


def _log_line(item: Any) -> str:
    if item is None:
        return "[null]"
    return str(as_string(item)) if isinstance(item, str) else json_scalar(item).strip('"')


def excerpt(body: bytes) -> str:
    """The start of a body, on one line, for a message."""
    text = " ".join(body[: EXCERPT * 2].decode("utf-8", "replace").split())
    return f"{text[:EXCERPT]}..." if len(text) > EXCERPT else text or "(empty body)"


def shown(value: Any) -> str:
    """The start of a value, as JSON, for a message."""
    return write_json(value)[:EXCERPT]


# ---- which output gets which value ----------------------------------------------------------------------------------


def is_http(binding: OutputBinding) -> bool:
    return binding.type.lower() == "http"


def is_named_http(binding: OutputBinding) -> bool:
    """Whether the rules of 4.3 hold for it: the type must be spelt in lower case."""
    return binding.type == "http" and binding.name != RETURN


def output_values(outputs: Iterable[OutputBinding], answer: Answer) -> dict[str, Any]:
    """By output name: the value to write, base64 undone (4.5), ReturnValue in its place (4.2). No http outputs."""
    others = [binding for binding in outputs if not is_http(binding)]
    values = merged_values(outputs, answer)
    return {binding.name: values[binding.name] for binding in others if values.get(binding.name) is not None}


def merged_values(outputs: Iterable[OutputBinding], answer: Answer) -> dict[str, Any]:
    """Every output's value before it is written: of `Outputs`, then of a ReturnValue that is an object (4.2)."""
    bindings = {binding.name: binding for binding in outputs}
    sent = answer.outputs or {}
    found = {
        name: _guessed(binding, sent[name])
        for name, binding in bindings.items()
        if name != RETURN and not is_named_http(binding) and sent.get(name) is not None
    }
    returned = answer.return_value
    if returned is not None and RETURN in bindings:
        found[RETURN] = _guessed(bindings[RETURN], returned)
    elif isinstance(returned, dict):
        found |= {name: value for name, value in returned.items() if name in bindings}
    return found


def _guessed(binding: OutputBinding, value: Any) -> Any:
    if type(value) is str and (binding.data_type or "").lower() != "binary":
        decoded = from_base64(value)
        return value if decoded is None else decoded
    return value


# ---- the http response ----------------------------------------------------------------------------------------------


def http_reply(outputs: Iterable[OutputBinding], answer: Answer, accept_header: str = "") -> HttpReply:
    """What the client of an http function gets (protocol 4.2 to 4.4). Raises AnswerError: the client sees 500.

    `accept_header` is the client's: it counts where the host negotiates the content.
    """
    bindings = list(outputs)
    values = merged_values(bindings, answer)
    for binding in reversed([b for b in bindings if is_http(b)]):  # of several the last one counts
        if binding.name in values:
            if values[binding.name] is None:
                break
            return _by_convention(values[binding.name], accept_header)
        if is_named_http(binding) and answer.outputs is not None:
            return _named(binding.name, answer.outputs)
        if binding.name == RETURN:
            return NO_CONTENT
    # No http output was written: what the function returns is the response (4.2).
    returned = values.get(RETURN, answer.return_value)
    return NO_CONTENT if returned is None else negotiated(returned, accept_header)


def check_named_outputs(outputs: Iterable[OutputBinding], answer: Answer) -> None:
    """The host reads named http outputs before it writes anything. Raises AnswerError for a malformed one."""
    for binding in outputs:
        if is_named_http(binding) and answer.outputs is not None and binding.name in answer.outputs:
            _response_members(binding.name, answer.outputs[binding.name])


def _named(name: str, outputs: Mapping[str, Any]) -> HttpReply:
    """Protocol 4.3."""
    if name not in outputs:
        return _text_reply(200, "{}", {})
    members = _response_members(name, outputs[name])
    text = to_text(members.get("body"))
    return _text_reply(_status(members.get("statuscode")), text, members.get("headers"), f"Outputs.{name}")


def _response_members(name: str, value: Any) -> dict[str, Any]:
    """The members of a response object by lower-case name; of doubled ones the last counts. Raises AnswerError."""
    place = f"Outputs.{name}"
    if type(value) is str:
        try:
            value = read_values(value)
        except JsonError as error:
            raise AnswerError(f"{place} is an http response, and its text is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise AnswerError(
            f"{place} is an http response and must be an object with statusCode, body and headers, not {shown(value)}"
        )
    if depth_of(value) > CONFIG_DEPTH:
        raise AnswerError(f"{place} is nested more than {CONFIG_DEPTH} levels deep, which the host does not read")
    members = {key.lower(): item for key, item in value.items()}
    if isinstance(members.get("statuscode"), dict | list):
        raise AnswerError(f"{place}.statusCode must be a number, not {shown(members['statuscode'])}")
    if not isinstance(members.get("headers"), dict | None):
        raise AnswerError(f"{place}.headers must be an object, not {shown(members['headers'])}")
    return members


def _by_convention(value: Any, accept_header: str) -> HttpReply:
    """Protocol 4.4: bytes, text that may be JSON, an object with a body, or any other value."""
    if isinstance(value, bytes):
        return HttpReply(200, value, chunked=True)
    if type(value) is str:
        try:
            value = read_values(value)
        except JsonError:
            return _text_reply(200, value, {})
    if not isinstance(value, dict):
        return _text_reply(200, to_text(value), {})
    if depth_of(value) > CONFIG_DEPTH:
        raise AnswerError(f"the response is nested more than {CONFIG_DEPTH} levels deep, which the host does not read")
    members = {key.lower(): item for key, item in value.items()}
    if "body" not in members:
        return _text_reply(200, to_text(value), {})
    status = _status(members.get("statuscode", members.get("status")))
    headers = members.get("headers")
    headers = {name: _dotnet_text(item) for name, item in headers.items()} if isinstance(headers, dict) else {}
    body = members["body"]
    if members.get("enablecontentnegotiation") is True:
        return negotiated(body, accept_header, status, headers)
    text = write_json(body) if isinstance(body, dict) else to_text(_dotnet_text(body))
    return _text_reply(status, text, headers, "ReturnValue")


def _dotnet_text(value: Any) -> Any:
    """Lists and objects as .NET names their types where it turns them into text."""
    return LIST_NAME if isinstance(value, list) else OBJECT_NAME if isinstance(value, dict) else value


def _status(value: Any) -> int:
    """A whole number, also as text with blanks and a sign; anything else is 200 (protocol 4.3)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return 200
    text = str(as_string(value)).strip(" \t\r\n")
    if not text.lstrip("+-").isdecimal() or not text.isascii() or len(text.lstrip("0+-")) > 10:
        return 200
    try:
        status = int(text)
    except ValueError:
        return 200
    return status if -MAX_INT - 1 <= status <= MAX_INT else 200


def negotiated(
    value: Any, accept_header: str, status: int = 200, headers: Mapping[str, Any] | None = None
) -> HttpReply:
    """A value by ASP.NET's formatters: text as text unless the client asks for JSON, all else as compact JSON."""
    headers = headers or {}
    if any(name.lower() == "content-type" for name in headers):
        named = next(to_text(item) for name, item in headers.items() if name.lower() == "content-type")
        if named.partition(";")[0].strip().lower() not in JSON_TYPES:
            return HttpReply(406, headers=(("Content-Type", named),))
    if type(value) is str and not _asks_for_json(accept_header):
        return _text_reply(status, value, headers, "ReturnValue")
    body = write_json(value).encode()
    return _checked(status, body, {"Content-Type": JSON_TYPE, **headers}, "ReturnValue", chunked=False)


def _asks_for_json(accept_header: str) -> bool:
    first = accept_header.partition(",")[0].partition(";")[0].strip().lower()
    return first in (*JSON_TYPES, "application/*")


def _text_reply(status: int, text: str, headers: Mapping[str, Any] | None, place: str = "") -> HttpReply:
    texts = {}
    for name, value in (headers or {}).items():
        if value is None:
            raise AnswerError(f"{place}.headers.{name} is null, and must be one text", too_late=True)
        texts[name] = to_text(value)
    given = next((value for name, value in reversed(texts.items()) if name.lower() == "content-type"), "")
    content_type, encoding = with_charset(given)
    fields = {"Content-Type": content_type}
    fields |= {name: value for name, value in texts.items() if name.lower() != "content-type"}
    return _checked(status, text.encode(encoding, "replace"), fields, place, chunked=bool(text))


def _checked(status: int, body: bytes, headers: Mapping[str, Any], place: str, *, chunked: bool) -> HttpReply:
    """What Kestrel refuses to send is a 500 that comes after everything else (protocol 4.3)."""
    found = []
    for name, value in without_doubles({name: to_text(value) for name, value in headers.items()}).items():
        if not is_sendable(name, value):
            what = f"{value!r}" if TOKEN.fullmatch(name) else "its name"
            raise AnswerError(f"{place}.headers.{name}: {what} cannot be sent as an HTTP header", too_late=True)
        found.append((name, value))
    length = next((value for name, value in found if name.lower() == "content-length"), None)
    if length is not None and not length.strip().isdecimal():
        raise AnswerError(f"{place}.headers: Content-Length {length!r} is no number", too_late=True)
    breaks = 100 <= status < 200 and bool(body)
    if status in (204, 205, 304):
        body = b""
    return HttpReply(status, body, tuple(found), chunked=chunked and length is None, breaks=breaks)


# ---- how it is sent -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Redirect:
    """The request to send next; `keeps_body` tells whether it is the same one again, or a GET without a body."""

    location: str
    keeps_body: bool


MAX_REDIRECTS: Final = 50


def redirect(status: int, location: str, followed: int) -> Redirect | None:
    """Whether the host follows the handler's redirect (protocol 1.7); `followed` counts those before."""
    if followed >= MAX_REDIRECTS or not location or status not in (300, 301, 302, 303, 307, 308):
        return None
    return Redirect(location, status in (307, 308))
