"""Between TestClient's plain values and the host's rules: values into an envelope, an answer into what is written.

Used by testing.py. Rule: what the host does stands in hostrules/; here is only what a test may write shorter.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from fastworker.hostrules import output_values as written
from fastworker.hostrules.answers import HttpReply, accept, check_named_outputs, http_reply, output_values
from fastworker.hostrules.dotnet_values import json_string, to_text, wire, write_json
from fastworker.hostrules.envelope import HttpRequest, TriggerData, binding_data, http_object
from fastworker.protocol.bindings import RETURN, Binding
from fastworker.protocol.jsontext import encode_json

HTTP_FIELDS: Final = ("method", "url", "query", "headers", "params", "identities", "body", "json")
SYSTEM_TIME: Final = "2026-01-02T10:00:05.1234567Z"

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
    data: dict[str, str] = {}
    trigger = TriggerData(None, {name: _metadata_value(value) for name, value in metadata.items()})
    trigger_name = ""
    for binding in (b for b in bindings if b.is_input):
        value: Any
        if binding.key == "httptrigger":
            fields: dict[str, Any] = {name: rest.pop(name) for name in HTTP_FIELDS if name in rest}
            value, members = _http_value(function, {**rest.pop(binding.name, {}), **fields})
            data[binding.name] = write_json(members)
        else:
            value = _data_value(binding, rest.pop(binding.name, None))
            data[binding.name] = wire(value)
        if binding.is_trigger:
            trigger_name = binding.name
            trigger = TriggerData(value, trigger.metadata)
    if rest:
        names = ", ".join(repr(b.name) for b in bindings if b.is_input)
        raise TypeError(f"{function!r} has no input {', '.join(map(repr, rest))}; it has {names}")
    system = {"MethodName": function, "UtcNow": SYSTEM_TIME, "RandGuid": "0" * 32}
    known = binding_data(trigger, system, trigger_name=trigger_name)
    told = {
        name: wire(value) for name, value in known.items() if value is not None and not name.lower().endswith("trigger")
    }
    return f'{{"Data":{_object(data)},"Metadata":{_object(told)}}}'.encode()


def _object(members: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json_string(name)}:{text}" for name, text in members.items()) + "}"


def _plain(value: Any) -> Any:
    """A value that encode_json takes (a Struct, say), as plain JSON."""
    return json.loads(encode_json(value, "input"))


def _metadata_value(value: Any) -> Any:
    return value if isinstance(value, bytes | datetime) else _plain(value)


def _data_value(binding: Binding, value: Any) -> Any:
    """The value as .NET has it (protocol 2.2)."""
    if value is None:
        return None
    if binding.key in OBJECTS:
        return _plain(value)
    as_bytes = binding.key == "blobtrigger" or binding.is_binary
    if binding.is_batch:
        return [_content(item) if as_bytes else _content(item).decode() for item in value]
    return _content(value) if as_bytes else _content(value).decode()


def _content(value: Any) -> bytes:
    """A message or blob: text and bytes as they are, anything else as JSON."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else encode_json(value, "input")


def _http_value(function: str, fields: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The request, and the trigger's value in the envelope; a whole request object is taken as it is."""
    if "Url" in fields or "Method" in fields:
        return None, fields
    headers = [
        (name, str(one))
        for name, value in fields.get("headers", {}).items()
        for one in (value if isinstance(value, list) else [value])
    ]
    body = fields.get("body")
    if "json" in fields:
        body = encode_json(fields["json"], "json")
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
    url = fields.get("url", f"http://localhost:7071/api/{function}")
    query = dict(fields.get("query", {}))
    if query and "?" not in url:
        url = f"{url}?{urlencode(query)}"
    method = fields.get("method", "GET" if body is None else "POST").upper()
    data = None if not body else body.encode() if isinstance(body, str) else bytes(body)
    request = HttpRequest(method, url, tuple(headers), fields.get("params", {}), data)
    members = http_object(request)
    members["Identities"] = fields.get("identities", [])
    return request, members


# ---- the answer -----------------------------------------------------------------------------------------------------


def read_outputs(bindings: Sequence[Binding], answer: Mapping[str, Any] | bytes) -> tuple[dict[str, Any], Any]:
    """What is written by name, and what the `$return` output gets. `answer` is the handler's JSON."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    accepted = accept(200, "application/json", body)
    outputs = [binding for binding in bindings if binding.is_output]
    check_named_outputs(outputs, accepted)
    found = {
        name: _arrived(next(b for b in outputs if b.name == name), value)
        for name, value in output_values(outputs, accepted).items()
    }
    for binding in outputs:
        if binding.is_http_output:
            found[binding.name] = _response(http_reply(outputs, accepted))
    returned = found.pop(RETURN, None)
    return found, returned


def _response(reply: HttpReply) -> HttpResponse:
    # As a client reads them, without the blanks around a value.
    return HttpResponse(reply.status, reply.body, {name.lower(): value.strip() for name, value in reply.headers})


def _arrived(binding: Binding, value: Any) -> Any:
    """One output's value where it arrives: text if it is UTF-8, else bytes; a list for several messages."""
    if binding.output_form == "collector":
        messages = [_readable(message) for message in written.messages(binding.name, value)]
        return messages[0] if len(messages) == 1 else messages
    if binding.output_form == "object":
        return value if isinstance(value, dict | list) else _readable(value) if isinstance(value, bytes) else value
    content = written.blob(binding.name, value) if not isinstance(value, dict | list) else to_text(value).encode()
    return None if content is None else _readable(content)


def _readable(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
