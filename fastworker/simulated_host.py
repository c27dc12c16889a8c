"""What the Functions host does on both sides of an invocation, as far as a test needs it.

Used by testing.py: values into the envelope (protocol 2.2 to 2.4), the answer into what is written (4.2 to 4.6).
Rule: pure, and independent of envelope.py and outputs.py: it is what they are checked against.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastworker.bindings import RETURN, Binding
from fastworker.jsontext import encode_json

HTTP_FIELDS: Final = ("method", "url", "query", "headers", "params", "identities", "body", "json")


DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9:]+)?")

# Bindings whose .NET value is an object, so that it is nested as it is.
OBJECTS: Final = frozenset({"timertrigger", "eventgridtrigger"})


class HttpResponse(NamedTuple):
    """What the client of an http function gets. Header names are lower case."""

    status_code: int
    body: bytes
    headers: dict[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body parsed as JSON."""
        return json.loads(self.body)


# ---- the request ----------------------------------------------------------------------------------------------------


def build_envelope(
    function: str, bindings: Sequence[Binding], inputs: Mapping[str, Any], metadata: Mapping[str, Any]
) -> bytes:
    """The body that the host posts. Raises TypeError for a keyword that is no input of the function."""
    rest = dict(inputs)
    data: dict[str, Any] = {}
    for binding in bindings:
        if not binding.is_input:
            continue
        if binding.key == "httptrigger":
            fields: dict[str, Any] = {name: rest.pop(name) for name in HTTP_FIELDS if name in rest}
            data[binding.name] = _http_object(function, {**rest.pop(binding.name, {}), **fields})
        else:
            data[binding.name] = _data_value(binding, rest.pop(binding.name, None))
    if rest:
        names = ", ".join(repr(b.name) for b in bindings if b.is_input)
        raise TypeError(f"{function!r} has no input {', '.join(map(repr, rest))}; it has {names}")
    members = {name: _quoted(value) for name, value in metadata.items() if value is not None}
    system = {"MethodName": function, "UtcNow": "2026-01-02T10:00:05.1234567Z", "RandGuid": "0" * 32}
    return json.dumps({"Data": data, "Metadata": {**members, "sys": system}}).encode()


def _quoted(value: Any) -> Any:
    """A value by its .NET type (protocol 2.2): objects stay, everything else is JSON text in a string."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    plain = json.loads(encode_json(value, "input"))
    return plain if isinstance(plain, dict) else json.dumps(plain)


def _data_value(binding: Binding, value: Any) -> Any:
    if value is None:
        return "null"
    if binding.key == "blobtrigger" or binding.is_binary:
        if binding.is_batch:
            return _quoted([base64.b64encode(_content(v)).decode() for v in value])
        return _quoted(_content(value))
    if binding.key in OBJECTS:
        return _quoted(value)
    if binding.is_batch:
        return _quoted([_content(v).decode() for v in value])
    return _quoted(_content(value).decode())


def _content(value: Any) -> bytes:
    """A message or blob: text and bytes as they are, anything else as JSON."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else encode_json(value, "input")


def _http_object(function: str, fields: dict[str, Any]) -> dict[str, Any]:
    if "Url" in fields or "Method" in fields:
        return fields  # a whole request object, as the host writes it
    headers = {name: value if isinstance(value, list) else [value] for name, value in fields.get("headers", {}).items()}
    lower = {name.lower(): values for name, values in headers.items()}
    body = fields.get("body")
    if "json" in fields:
        body = encode_json(fields["json"], "json")
        if "content-type" not in lower:
            headers["Content-Type"] = ["application/json"]
    url = fields.get("url", f"http://localhost:7071/api/{function}")
    query = dict(fields.get("query", {}))
    if query and "?" not in url:
        url = f"{url}?{urlencode(query)}"
    joined: dict[str, str] = {}
    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    request = {
        "Url": url,
        "Method": fields.get("method", "GET" if body is None else "POST").upper(),
        "Query": joined,
        "Headers": headers,
        "Params": fields.get("params", {}),
        "Identities": fields.get("identities", []),
    }
    if body:
        data = body.encode() if isinstance(body, str) else bytes(body)
        content_type = (lower.get("content-type") or [""])[0].lower()
        is_binary = content_type.startswith(("application/octet-stream", "multipart/"))
        request["Body"] = base64.b64encode(data).decode() if is_binary else data.decode("utf-8", "replace")
    return request


# ---- the answer -----------------------------------------------------------------------------------------------------


def read_outputs(bindings: Sequence[Binding], answer: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """What is written by name, and what the `$return` output gets."""
    outputs: dict[str, Any] = {}
    returned = None
    sent = answer.get("Outputs") or {}
    for binding in bindings:
        if not binding.is_output:
            continue
        if binding.name == RETURN:
            returned = _written(binding, answer.get("ReturnValue"))
        elif binding.is_http_output:
            outputs[binding.name] = _named_http(sent.get(binding.name))
        elif sent.get(binding.name) is not None:
            outputs[binding.name] = _written(binding, sent[binding.name])
    return outputs, returned


def _written(binding: Binding, value: Any) -> Any:
    """One output's value where it arrives: text if it is UTF-8, else bytes; a list for several messages."""
    if isinstance(value, str) and not binding.is_binary:
        decoded = _from_base64(value)
        value = decoded if decoded is not None else value
    value = _with_dates(value)
    if binding.is_http_output:
        return _returned_http(value)
    if isinstance(value, bytes):
        return _readable(value)
    if isinstance(value, str) and binding.output_form == "collector" and value.lstrip()[:1] in {"{", "["}:
        value = json.loads(value)
    if binding.output_form == "collector" and value is not None:
        messages = [_message(v) for v in (value if isinstance(value, list) else [value])]
        return messages[0] if len(messages) == 1 else messages
    return value


def _from_base64(text: str) -> bytes | None:
    """.NET's Convert.FromBase64String (protocol 4.5)."""
    packed = re.sub(r"[ \t\r\n]", "", text)
    try:
        return base64.b64decode(packed, validate=True)
    except binascii.Error:
        return None


def _message(value: Any) -> str:
    """.NET's text of an element: objects indented, `True`, numbers as they are."""
    return value if isinstance(value, str) else str(value) if isinstance(value, bool) else json.dumps(value, indent=2)


def _with_dates(value: Any) -> Any:
    """What Newtonsoft makes of strings that look like dates (trap 26); within objects it writes them back as ISO."""
    if isinstance(value, list):
        return [_with_dates(v) for v in value]
    if not isinstance(value, str) or not DATE.fullmatch(value):
        return value
    try:
        return datetime.fromisoformat(value).strftime("%m/%d/%Y %H:%M:%S")
    except ValueError:
        return value


def _readable(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _named_http(value: Any) -> HttpResponse:
    """Protocol 4.3."""
    if isinstance(value, str):
        value = json.loads(value)
    members = {name.lower(): _with_dates(member) for name, member in value.items()}
    status = str(members.get("statuscode", 200))
    return _http(int(status) if status.isdigit() else 200, members.get("body"), members.get("headers"))


def _returned_http(value: Any) -> HttpResponse:
    """Protocol 4.4."""
    if isinstance(value, bytes):
        return HttpResponse(200, value, {})
    if isinstance(value, dict):
        members = {name.lower(): _with_dates(member) for name, member in value.items()}
        if "body" in members:
            status = members.get("statuscode", members.get("status", 200))
            return _http(int(status), members["body"], members.get("headers"))
    return _http(200, value, None)


def _http(status: int, body: Any, headers: Mapping[str, Any] | None) -> HttpResponse:
    text = "" if body is None else body if isinstance(body, str) else json.dumps(body, indent=2)
    fields = {"content-type": "text/plain; charset=utf-8"} if text else {}
    for name, value in (headers or {}).items():
        fields[name.lower()] = str(_with_dates(value)).strip()
    content_type = fields.get("content-type")
    if content_type is not None and "charset" not in content_type.lower():
        fields["content-type"] = f"{content_type}; charset=utf-8"
    return HttpResponse(status, text.encode(), fields)
