"""The envelope request: trigger, inputs and binding data into `Data` and `Metadata` (protocol section 2).

Used by the local host, by `invoke` and by TestClient. Rule: pure; the clock and the GUID of `sys` are handed in.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final

from fastworker.hostrules.dotnet_values import json_string, read_values, to_text, wire, write_json
from fastworker.hostrules.http_headers import header_lists, header_value
from fastworker.hostrules.newtonsoft import JsonError, decode, looks_like_json
from fastworker.hostrules.principals import PRINCIPAL_HEADER, KeyUse, identities
from fastworker.hostrules.urls import envelope_url, joined_query, last_query

CONTENT_TYPE: Final = "application/json; charset=utf-8"
# The host writes its body in pieces of at most this many bytes.
CHUNK_BYTES: Final = 1024
TRACEPARENT: Final = re.compile("00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
BINARY_TYPES: Final = ("application/octet-stream", "multipart/")


class EnvelopeError(ValueError):
    """The host cannot make the envelope: the invocation fails, and the handler is not called."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A client's request as it reached the host. `body` is None where the host has none to pass on (protocol 2.4).

    `url` is absolute, its path and query as the client wrote them; `headers` stand in the client's order.
    `sees_principal` tells whether App Service authentication is on (`WEBSITE_AUTH_ENABLED`).
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    params: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    key: KeyUse | None = None
    sees_principal: bool = False

    @property
    def raw_query(self) -> str:
        return self.url.partition("?")[2]

    @property
    def query(self) -> dict[str, str]:
        """Repeated keys are joined by a comma."""
        return joined_query(self.raw_query)

    @property
    def header_lists(self) -> dict[str, list[str]]:
        return header_lists(self.headers)

    def header(self, name: str) -> str:
        return header_value(self.headers, name)


@dataclass(frozen=True, slots=True)
class TriggerData:
    """What made a function run: the trigger's value as .NET has it, and its binding data by name."""

    value: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def request(self) -> HttpRequest | None:
        return self.value if isinstance(self.value, HttpRequest) else None


def http_object(request: HttpRequest) -> dict[str, Any]:
    """The http trigger's value (protocol 2.4). Raises PrincipalError."""
    members: dict[str, Any] = {
        "Url": envelope_url(request.url),
        "Method": request.method,
        "Query": request.query,
        "Headers": request.header_lists,
        "Params": dict(request.params),
        "Identities": identities(request.key, request.header(PRINCIPAL_HEADER) if request.sees_principal else ""),
    }
    if request.body:
        members["Body"] = request_body(request.body, request.header("content-type"))
    return members


def request_body(body: bytes, content_type: str) -> str:
    """`Body`: base64 for octet-stream and multipart, else text by its byte order mark, whatever the charset says."""
    if content_type.lower().strip().startswith(BINARY_TYPES):
        return base64.b64encode(body).decode()
    return decode(body)


# ---- binding data ---------------------------------------------------------------------------------------------------


class BindingData:
    """The names that binding expressions and `Metadata` can use: looked up and replaced ignoring case."""

    def __init__(self, members: Iterable[tuple[str, Any]] = ()) -> None:
        self._members: dict[str, tuple[str, Any]] = {}
        for name, value in members:
            self.put(name, value)

    def put(self, name: str, value: Any) -> None:
        """A later value replaces an earlier one, under the name that came first (protocol 2.3)."""
        known = self._members.get(name.lower())
        self._members[name.lower()] = (known[0] if known else name, value)

    def merge_json(self, text: str, zone: tzinfo = UTC, *, but: str = "") -> None:
        """The members of a JSON object: objects as they are, scalars as text, arrays and nulls not at all."""
        try:
            document = read_values(text, zone=zone)
        except JsonError:
            return
        for name, value in document.items() if isinstance(document, dict) else ():
            if but and name.lower() == but:
                continue
            if isinstance(value, dict):
                self.put(name, value)
            elif not isinstance(value, list | None):
                self.put(name, to_text(value))

    def get(self, name: str) -> Any:
        found = self._members.get(name.lower())
        return found[1] if found else None

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._members

    def items(self) -> list[tuple[str, Any]]:
        return list(self._members.values())


def binding_data(
    trigger: TriggerData, system: Mapping[str, Any], *, trigger_name: str = "", zone: tzinfo = UTC
) -> BindingData:
    """Everything of protocol 2.3. `system` is the value of `sys`: MethodName, UtcNow and RandGuid.

    `trigger_name` is the name of the trigger's binding: an http function's members and parameters of that name are
    left out. Raises EnvelopeError for a route parameter of that name.
    """
    request = trigger.request
    if request is not None:
        return _http_data(request, trigger.metadata, system, trigger_name.lower(), zone)
    if isinstance(trigger.value, dict | list) and "data" in trigger.metadata:
        return BindingData([*trigger.metadata.items(), ("sys", system)])  # Event Grid
    data = BindingData([*trigger.metadata.items(), ("sys", system)])
    if isinstance(trigger.value, str) and looks_like_json(trigger.value):
        data.merge_json(trigger.value, zone)
    return data


def _http_data(
    request: HttpRequest, metadata: Mapping[str, Any], system: Mapping[str, Any], trigger_name: str, zone: tzinfo
) -> BindingData:
    data = BindingData(metadata.items())
    if request.body:
        data.merge_json(decode(request.body), zone, but=trigger_name)
    query = last_query(request.raw_query)
    for name, value in query.items():
        if name.lower() not in ("code", trigger_name):
            data.put(name, value)
    for name, parameter in request.params.items():
        if trigger_name and name.lower() == trigger_name:
            raise EnvelopeError(f"the route parameter {name!r} has the name of the trigger: rename one of them")
        if parameter is not None or name not in data:
            data.put(name, parameter)  # an optional one that is absent is empty in names (B-507)
    if "Query" not in data:
        data.put("Query", query)
    if "Headers" not in data:
        data.put("Headers", {name: ",".join(values) for name, values in request.header_lists.items()})
    data.put("$sys" if "sys" in data else "sys", system)
    return data


# ---- the envelope ---------------------------------------------------------------------------------------------------


def build_envelope(inputs: Mapping[str, Any], data: BindingData, retry: Mapping[str, Any] | None = None) -> bytes:
    """The body of `POST /{FunctionName}`: compact UTF-8 JSON. `inputs` has the trigger first.

    Values are .NET's: bytes, text, numbers, dicts for objects, an HttpRequest for the http trigger's.
    """
    metadata = {
        name: wire(value) for name, value in data.items() if value is not None and not name.lower().endswith("trigger")
    }
    if retry is not None:
        metadata["RetryContext"] = write_json(retry)
    members = {name: data_member(value) for name, value in inputs.items()}
    return f'{{"Data":{_object(members)},"Metadata":{_object(metadata)}}}'.encode()


def data_member(value: Any) -> str:
    """The JSON text of a member of `Data`."""
    return write_json(http_object(value)) if isinstance(value, HttpRequest) else wire(value)


def _object(members: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json_string(name)}:{text}" for name, text in members.items()) + "}"


def envelope_headers(
    version: str, invocation_id: str, length: int | None = None, trace: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """The headers behind `Host`, in the host's order. `length` is given under Core Tools only: else it is chunked.

    `trace` is what `trace_headers` gives where Application Insights is configured; without it there is none.
    """
    headers = [
        ("X-Azure-Functions-HostVersion", version),
        ("X-Azure-Functions-InvocationId", invocation_id),
        ("User-Agent", f"Azure-Functions-Host/{version}"),
    ]
    if length is None:
        return [*headers, ("Transfer-Encoding", "chunked"), *trace, ("Content-Type", CONTENT_TYPE)]
    return [*headers, *trace, ("Content-Type", CONTENT_TYPE), ("Content-Length", str(length))]


def trace_headers(client: Iterable[tuple[str, str]], trace_id: str, span_id: str) -> list[tuple[str, str]]:
    """What .NET adds with Application Insights: a span of its own, in the client's trace if there is one."""
    headers = list(client)
    match = TRACEPARENT.fullmatch(header_value(headers, "traceparent").strip())
    trace, flags = (match[1], match[2]) if match else (trace_id, "00")
    found = [("traceparent", f"00-{trace}-{span_id}-{flags}")]
    if match and header_value(headers, "tracestate"):
        found.append(("tracestate", header_value(headers, "tracestate")))
    pairs = [part.partition("=") for part in header_value(headers, "baggage").split(",") if "=" in part]
    if pairs:
        found.append(("baggage", ", ".join(f"{name.strip()} = {value.strip()}" for name, _, value in pairs)))
    return found


def in_chunks(body: bytes) -> Iterator[bytes]:
    """The body as it is sent: chunks of at most 1,024 bytes, and the last, empty one."""
    for start in range(0, len(body), CHUNK_BYTES):
        piece = body[start : start + CHUNK_BYTES]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"
