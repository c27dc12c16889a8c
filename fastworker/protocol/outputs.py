"""What a handler set, in the form that arrives byte for byte; and the answer's JSON.

build.py builds one encoder per output binding at start-up; invocation.py calls them.
Rule: pure. The host guesses base64, splits arrays, re-indents objects, re-formats what looks like a date and
writes numbers as raw bytes (protocol 4.3 to 4.6): per binding type and `dataType`, the form is chosen that
survives all this, and what has no such form is refused with the way out, rather than damaged.
"""

import binascii
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from fastworker.protocol.answer import PROBLEM
from fastworker.protocol.bindings import RETURN, Binding
from fastworker.protocol.dates import looks_like_date
from fastworker.protocol.headers import (
    FRAMING,
    cookie_lines,
    given_content_type,
    header_name,
    header_pairs,
    header_text,
)
from fastworker.protocol.jsontext import BUFFERS, UnencodableError, encode_json, to_bytes
from fastworker.protocol.messages import Response
from fastworker.protocol.streams import END, JSON, EventItems, EventStream, Items, is_stream

Encoder = Callable[[Any], Any]

# A body and its content type, if one is to be set.
Body = tuple[str | bytes | None, str | None]

PROBLEM_TYPE: Final = PROBLEM.decode()

# Made once: `isinstance(x, A | B)` makes a union each time, which costs half a microsecond.
SEVERAL: Final = (list, tuple, set, frozenset)
COMMON: Final = frozenset({str, bytes, dict, list})

# An output that writes nothing; told from None, which is a JSON value.
NOTHING: Final = object()

CHARSET: Final = re.compile(r'(;\s*charset\s*=\s*"?)([^";\s]*)', re.IGNORECASE)

# The host reads 256 levels of an answer, of which two are around an output; orjson writes as many.
DEEPEST: Final = 254

RAW_HTTP: Final = "set customHandler.enableForwardingHttpRequest in host.json (for a function with http bindings only)"


def output_encoder(binding: Binding) -> Encoder:
    """How values reach this output binding, or the trigger that takes the return value.

    The encoder raises UnencodableError; None in is NOTHING out.
    """
    if binding.is_trigger:
        return _returned_to_trigger
    place = "ReturnValue" if binding.name == RETURN else f"Outputs.{binding.name}"
    if binding.is_http_output:
        return _http_return(place) if binding.name == RETURN else _http_named(place)
    if binding.output_form == "object":
        return _objects(place, binding.type)
    if binding.output_form == "stream":
        return _stream(place, binding.is_binary)
    return _collector(place, binding.is_binary)


def render_answer(outputs: dict[str, Any], logs: list[str], return_value: Any) -> bytes:
    """The body of the answer (protocol 4). Raises UnencodableError for text that is no Unicode."""
    try:
        return orjson.dumps({"Outputs": outputs, "Logs": logs, "ReturnValue": return_value})
    except TypeError:
        pass
    for name, value in outputs.items():
        encode_json(value, f"Outputs.{name}")
    encode_json(return_value, "ReturnValue")
    # So it is the log lines, and they must not fail an invocation that went well.
    readable = [line.encode("utf-8", "backslashreplace").decode() for line in logs]
    return orjson.dumps({"Outputs": outputs, "Logs": readable, "ReturnValue": return_value})


def _returned_to_trigger(value: Any) -> Any:
    """What a trigger takes back is JSON as it is: the host guesses no base64 there (protocol 4.2)."""
    return NOTHING if value is None else orjson.Fragment(_shallow(encode_json(value, "ReturnValue"), "ReturnValue"))


def _shallow(data: bytes, place: str) -> bytes:
    """`data`, unless it is nested deeper than the host reads. Raises UnencodableError."""
    if data.count(b"{") + data.count(b"[") > DEEPEST:
        try:
            orjson.dumps(orjson.loads(data))  # whose own limit is the same
        except (TypeError, ValueError):
            raise UnencodableError(
                f"{place}: nested more than {DEEPEST} levels deep, which the host does not read"
            ) from None
    return data


# ---- queue, Service Bus, Event Hubs and others that take messages ------------------------------------------


def _collector(place: str, binary: bool) -> Encoder:
    def encode(value: Any) -> Any:
        if value is None:
            return NOTHING
        if type(value) is str and not binary:  # one message of text, by far the usual
            return base64_fragment(to_bytes(value, place))
        if isinstance(value, SEVERAL):
            messages = [message for message in value if message is not None]
            if len(messages) > 1:
                return [_element(message, f"{place}[{i}]") for i, message in enumerate(messages)]
            if not messages:
                return NOTHING
            value = messages[0]
        if not binary:
            return base64_fragment(to_bytes(value, place))
        text = _text_only(to_bytes(value, place), place)
        # As a bare string, JSON text would be parsed and written anew; as an element it stays as it is.
        return [text] if text.lstrip()[:1] in {"{", "["} else text

    return encode


def _element(value: Any, place: str) -> str:
    """One of several messages: always text, for the host leaves the strings of an array alone, but for dates."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = to_bytes(value, place).decode()
        except UnicodeDecodeError:
            raise UnencodableError(
                f"{place}: bytes that are not UTF-8 cannot be one of several messages; send one message per "
                f"invocation, or encode them as text"
            ) from None
    return _undated(text, place, "send it as the only message, or inside JSON")


def _stream(place: str, binary: bool) -> Encoder:
    def encode(value: Any) -> Any:
        if value is None:
            return NOTHING
        data = to_bytes(value, place)
        return _text_only(data, place) if binary else base64_fragment(data)

    return encode


def _text_only(data: bytes, place: str) -> str:
    """For `dataType: binary`, where the host decodes nothing: only text arrives as it is."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UnencodableError(
            f'{place}: with "dataType": "binary" the host stores the base64 text instead of these bytes; '
            f"leave dataType out of this output binding"
        ) from None
    return _undated(text, place, "leave dataType out of this output binding")


def _undated(text: str, place: str, way_out: str) -> str:
    if looks_like_date(text):
        raise UnencodableError(f"{place}: the host would re-format {text!r}, it takes for a date; {way_out}")
    return text


# ---- Cosmos DB, tables, Event Grid -------------------------------------------------------------------------


def _objects(place: str, type_name: str) -> Encoder:
    def encode(value: Any) -> Any:
        if value is None:
            return NOTHING
        data = to_bytes(value, place)
        if data.lstrip()[:1] not in {b"{", b"["}:
            raise UnencodableError(
                f"{place}: {type_name} takes an object, a list of objects, or their JSON text, not "
                f"{type(value).__name__}"
            )
        if not isinstance(value, (str, *BUFFERS)):
            return orjson.Fragment(_shallow(data, place))
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError as exc:
            raise UnencodableError(f"{place}: the text is no JSON: {exc}") from None
        return orjson.Fragment(_shallow(data, place))  # as it is: an integer of any size stays one

    return encode


# ---- http --------------------------------------------------------------------------------------------------


def _http_named(place: str) -> Encoder:
    def encode(value: Any) -> dict[str, Any]:
        if type(value) is str and not looks_like_date(value):
            return {"statusCode": 200, "body": value}
        response = value if isinstance(value, Response) else as_response(value)
        body, content_type = response.body, response.content_type
        if type(body) is not str or content_type is not None or looks_like_date(body):
            body, content_type = _http_body(response, place)
        if type(body) is bytes:
            raise UnencodableError(
                f"{place}.body: the host cannot pass on bytes here; name the http output {RETURN!r} (status 200 and "
                f"no headers then), or {RAW_HTTP}"
            )
        members: dict[str, Any] = {"statusCode": response.status_code}
        if body is not None:
            members["body"] = body
        if response.headers is not None or content_type is not None or response.cookies is not None:
            members["headers"] = _http_headers(response, content_type, place)
        return members

    return encode


def _http_return(place: str) -> Encoder:
    def encode(value: Any) -> Any:
        response = value if isinstance(value, Response) else as_response(value)
        body, content_type = _http_body(response, place, may_be_bytes=_is_bare(response))
        if isinstance(body, bytes):
            if not _is_bare(response):
                raise UnencodableError(
                    f"{place}.body: the host passes on bytes with status 200 and without headers only; leave those "
                    f"out, or {RAW_HTTP}"
                )
            return base64_fragment(body)
        # Inside an object with a member `body`, no text is taken for base64.
        members: dict[str, Any] = {"statusCode": response.status_code, "body": "" if body is None else body}
        if response.headers is not None or content_type is not None or response.cookies is not None:
            members["headers"] = _http_headers(response, content_type, place)
        return members

    return encode


def as_response(value: Any) -> Response:
    """What a handler's plain return value means: nothing is 204 (the host would say `200 {}`), the rest 200."""
    return Response(status_code=204) if value is None else Response(value)


def problem_response(status: int, body: dict[str, Any]) -> Response:
    """A problem (RFC 9457) as the client of an http function gets it."""
    return Response(body, status_code=status, content_type=PROBLEM_TYPE)


def _is_bare(response: Response) -> bool:
    return response.status_code == 200 and not response.headers and not response.cookies and not response.content_type


def _http_body(response: Response, place: str, *, may_be_bytes: bool = False) -> Body:
    """The body as text where that keeps every byte, else as bytes; and its content type, if one is set."""
    body, content_type = response.body, response.content_type
    if body is None:
        return None, content_type
    if isinstance(body, Path):
        body = body.read_bytes()
    elif type(body) not in COMMON and is_stream(body):
        body, content_type = joined(response, place)
    if isinstance(body, BUFFERS):
        data = bytes(body)
        if may_be_bytes:
            return data, content_type
        # The host writes text anew, in the encoding that the content type names.
        encoding = _encoding(content_type or given_content_type(response), place)
        try:
            body = data.decode(encoding)
        except UnicodeDecodeError:
            return data, content_type
    elif not isinstance(body, str):
        return encode_json(body, f"{place}.body").decode(), given_content_type(response) or JSON
    if looks_like_date(body):
        if may_be_bytes:
            return body.encode(), content_type
        raise UnencodableError(
            f"{place}.body: the host would re-format {body!r}, which it takes for a date; send it as JSON, or "
            f"{RAW_HTTP}"
        )
    return body, content_type


def joined(response: Response, place: str) -> tuple[bytes, str]:
    """A stream's items in one piece, and its content type: an envelope carries no stream, but all of its bytes."""
    source: Iterator[Any] = response.body
    first = next(source, END)
    items = EventItems() if isinstance(response, EventStream) else Items(given_content_type(response), first)
    pieces = [] if first is END else [items.encode(first)]
    pieces += map(items.encode, source)
    return b"".join([*pieces, items.end()]), items.content_type


def _http_headers(response: Response, content_type: str | None, place: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in header_pairs(response):
        lower = header_name(name, f"{place}.headers").lower()
        if lower in FRAMING:  # the host would send them as they are, and break the client's connection
            continue
        first = names.setdefault(lower, name)
        text = _undated_header(value, f"{place}.headers.{name}")
        if first in headers and lower == "set-cookie":
            raise _one_cookie(place)
        headers[first] = f"{headers[first]}, {text}" if first in headers else text
    if content_type is not None:
        name = names.get("content-type", "content-type")
        headers[name] = _undated_header(content_type, f"{place}.content_type")
    if content_type is not None or "content-type" in names:
        _encoding(headers[names.get("content-type", "content-type")], f"{place}.content_type")
    lines = cookie_lines(response)
    if lines:
        if len(lines) > 1 or "set-cookie" in names:
            raise _one_cookie(place)
        headers["Set-Cookie"] = _undated_header(lines[0], f"{place}.cookies")
    return headers


def _encoding(content_type: str | None, place: str) -> str:
    """In which the host writes a body of text: UTF-8, or UTF-16. Raises UnencodableError for other charsets."""
    found = None if content_type is None or "=" not in content_type else CHARSET.search(content_type)
    if found is None:
        return "utf-8"
    named = found[2].lower()
    if named == "utf-16":
        return "utf-16-le"
    if named != "utf-8":
        raise UnencodableError(
            f"{place}: the host would replace the charset {named!r} by utf-8, in which it sends text; leave it out, or "
            f"{RAW_HTTP}"
        )
    return named


def _one_cookie(place: str) -> UnencodableError:
    return UnencodableError(f"{place}.headers: the host passes on one Set-Cookie only; for more, {RAW_HTTP}")


def _undated_header(value: Any, place: str) -> str:
    text = header_text(value, place)
    # The host would re-format a date; a leading space stops it, and HTTP ignores one there.
    return f" {text}" if looks_like_date(text) else text


# ---- forms shared by all -----------------------------------------------------------------------------------


def base64_fragment(data: bytes) -> orjson.Fragment:
    """A JSON string with the base64 of `data`, which the host decodes again; it needs no escaping."""
    return orjson.Fragment(b'"%b"' % binascii.b2a_base64(data, newline=False))
