"""The answer to an envelope (protocol section 4): is it accepted, what does the client get, what do outputs get.

Used by invocations.py; how non-http outputs are written is in written.py.
Rule: pure. AnswerError says what was wrong with the answer and what the host makes of it.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastworker.devhost.functions import RETURN, Binding, Function
from fastworker.devhost.netvalues import DateText, compact, from_base64, indented, parse_answer, to_text

JSON_TYPES: Final = ("application/json", "text/json")
TEXT_TYPE: Final = "text/plain; charset=utf-8"
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_BREAK: Final = re.compile(r"[\r\n\0]")
EXCERPT: Final = 200


class AnswerError(Exception):
    """The answer makes the invocation fail; the message tells the handler's author why."""


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
    """What the client of an http function gets."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str | None = None


NO_CONTENT: Final = HttpReply(204)
FAILED: Final = HttpReply(500)


# ---- accepting it ------------------------------------------------------------------------------------------


def accept(status: int, content_type: str, body: bytes) -> Answer:
    """Raises AnswerError or NothingError (protocol 4.1)."""
    if not 200 <= status < 300:
        raise AnswerError(f"the handler answered {status}, and only 2xx counts: {excerpt(body)}")
    if not body:
        raise NothingError(f"the handler answered {status} with an empty body")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in JSON_TYPES:
        raise AnswerError(
            f"the answer has content type {content_type or 'none'!r}, and must have application/json: {excerpt(body)}"
        )
    try:
        document = parse_answer(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise AnswerError(f"the answer is not UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the answer is no JSON ({error}): {excerpt(body)}") from None
    if document is None:
        raise NothingError(f"the handler answered {status} with the JSON null")
    if not isinstance(document, dict):
        raise AnswerError(f"the answer must be a JSON object with Outputs, Logs and ReturnValue: {excerpt(body)}")
    members = {name.lower(): value for name, value in document.items()}
    outputs = members.get("outputs")
    if outputs is not None and not isinstance(outputs, dict):
        raise AnswerError(f"Outputs must be an object by binding name, not {compact(outputs)[:EXCERPT]}")
    return Answer(outputs, _logs(members.get("logs")), members.get("returnvalue"))


def _logs(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise AnswerError(f"Logs must be an array of strings, not {compact(value)[:EXCERPT]}")
    for item in value:
        if isinstance(item, dict | list):
            raise AnswerError(f"Logs must hold strings, not {compact(item)[:EXCERPT]}")
    # As Newtonsoft turns scalars into strings: `true` stays in lower case here.
    return tuple(json.dumps(item) if isinstance(item, bool) else str(item) for item in value if item is not None)


def excerpt(body: bytes) -> str:
    """The start of a body, on one line, for a message."""
    text = " ".join(body[: EXCERPT * 2].decode("utf-8", "replace").split())
    return f"{text[:EXCERPT]}..." if len(text) > EXCERPT else text or "(empty body)"


# ---- which output gets which value -------------------------------------------------------------------------


def output_values(function: Function, answer: Answer) -> dict[str, Any]:
    """By output name: the value to write, base64 undone (4.5), ReturnValue in its place (4.2). No http outputs."""
    found: dict[str, Any] = {}
    sent = answer.outputs or {}
    for binding in function.outputs:
        if binding.name != RETURN and not binding.is_http_output and sent.get(binding.name) is not None:
            found[binding.name] = _guessed(binding, sent[binding.name])
    returned = answer.return_value
    by_return = next((b for b in function.outputs if b.name == RETURN), None)
    if returned is None:
        return found
    if by_return is not None:
        if not by_return.is_http_output:
            found[RETURN] = _guessed(by_return, returned)
    elif isinstance(returned, dict):
        names = {b.name for b in function.outputs if not b.is_http_output}
        found |= {name: value for name, value in returned.items() if name in names and value is not None}
    return found


def _guessed(binding: Binding, value: Any) -> Any:
    if isinstance(value, str) and binding.data_type != "binary":
        decoded = from_base64(value)
        return value if decoded is None else decoded
    return value


# ---- the http response -------------------------------------------------------------------------------------


def http_reply(function: Function, answer: Answer) -> HttpReply:
    """What the client of an http function gets (protocol 4.2 to 4.4). Raises AnswerError: the client sees 500."""
    named = next((b for b in function.outputs if b.is_http_output and b.name != RETURN), None)
    returned = next((b for b in function.outputs if b.is_http_output and b.name == RETURN), None)
    if returned is not None:
        return NO_CONTENT if answer.return_value is None else _returned(_guessed(returned, answer.return_value))
    if named is None:
        plain = answer.return_value
        return NO_CONTENT if plain is None or isinstance(plain, dict) else HttpReply(200, *_text_body(plain))
    by_return = answer.return_value if isinstance(answer.return_value, dict) else {}
    if named.name in by_return:
        return _returned(by_return[named.name])
    if answer.outputs is None:
        return NO_CONTENT
    if named.type != "http":  # trap: only the lower-case spelling gets these rules
        value = answer.outputs.get(named.name)
        return NO_CONTENT if value is None else _returned(_guessed(named, value))
    if named.name not in answer.outputs:
        return HttpReply(200, b"{}", (("Content-Type", TEXT_TYPE),))
    return _named(named.name, answer.outputs[named.name])


def _text_body(value: Any) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    if isinstance(value, bytes):
        return value, ()
    text = indented(value)
    return text.encode("utf-8", "replace"), (("Content-Type", TEXT_TYPE),) if text else ()


def _named(name: str, value: Any) -> HttpReply:
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            value = parse_answer(value)
    if not isinstance(value, dict):
        raise AnswerError(
            f"Outputs.{name} is an http response and must be an object with statusCode, body and headers, "
            f"not {compact(value)[:EXCERPT]}"
        )
    members = {key.lower(): item for key, item in value.items()}
    status = _status(members.get("statuscode"))
    body, kind = _text_body(members.get("body"))
    return HttpReply(status, body, _headers(f"Outputs.{name}", members.get("headers"), kind))


def _returned(value: Any) -> HttpReply:
    if isinstance(value, bytes):
        return HttpReply(200, value)
    if isinstance(value, str) and not isinstance(value, DateText):
        with contextlib.suppress(ValueError, RecursionError):
            value = parse_answer(value)
    members = {key.lower(): item for key, item in value.items()} if isinstance(value, dict) else {}
    if "body" not in members:
        return HttpReply(200, *_text_body(value))
    status = _status(members.get("statuscode", members.get("status")))
    content = members["body"]
    if isinstance(content, list):
        content = "Newtonsoft.Json.Linq.JArray"  # what the host really sends (4.4)
    body, kind = _text_body(compact(content) if isinstance(content, dict) else content)
    return HttpReply(status, body, _headers("ReturnValue", members.get("headers"), kind))


def _status(value: Any) -> int:
    """A number, also as text; anything else is 200 (protocol 4.3)."""
    try:
        status = int(to_text(value))
    except ValueError:
        return 200
    return status if 100 <= status <= 999 else 200


def _headers(place: str, headers: Any, default: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    if headers is None:
        return default
    if not isinstance(headers, dict):
        raise AnswerError(f"{place}.headers must be an object, not {compact(headers)[:EXCERPT]}")
    found: list[tuple[str, str]] = []
    for name, value in headers.items():
        if value is None or isinstance(value, list):
            raise AnswerError(f"{place}.headers.{name} must be one text, not {compact(value)} (trap 21)")
        text = compact(value) if isinstance(value, dict) else to_text(value)
        if not HEADER_NAME.fullmatch(name) or HEADER_BREAK.search(text):
            raise AnswerError(f"{place}.headers.{name}: {text!r} cannot be sent as an HTTP header")
        if name.lower() == "content-type" and "charset" not in text.lower():
            text += "; charset=utf-8"
        found.append((name, text))
    if not any(name.lower() == "content-type" for name, _ in found):
        found = [*default, *found]
    return tuple(found)
