"""The envelope request (protocol section 2): trigger, inputs and binding data into `Data` and `Metadata`.

Used by invocations.py. Rule: pure, but for the clock and the GUID of `sys`.
"""

import base64
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from fastworker.devhost.netvalues import to_text, wire

ANONYMOUS: Final[dict[str, Any]] = {
    "AuthenticationType": None,
    "IsAuthenticated": False,
    "Actor": None,
    "BootstrapContext": None,
    "Claims": [],
    "Label": None,
    "Name": None,
    "NameClaimType": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "RoleClaimType": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
}
CLAIMS: Final = "http://schemas.microsoft.com/2017/07/functions/claims"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A client's request as it reached the front. `body` is None where the host has none to pass on (2.4)."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    params: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    key_level: str | None = None

    @property
    def query(self) -> dict[str, str]:
        """Repeated keys are joined by a comma."""
        joined: dict[str, str] = {}
        for name, value in parse_qsl(self.url.partition("?")[2], keep_blank_values=True):
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        return joined

    @property
    def header_lists(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in self.headers:
            first = next((known for known in found if known.lower() == name.lower()), name)
            found.setdefault(first, []).append(value)
        return found

    def header(self, name: str) -> str:
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")


@dataclass(frozen=True, slots=True)
class TriggerData:
    """What made a function run: the trigger's value as .NET has it, and its binding data by name."""

    value: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def request(self) -> HttpRequest | None:
        return self.value if isinstance(self.value, HttpRequest) else None


def data_member(value: Any) -> Any:
    """A value of `Data`, as it stands in the envelope."""
    return http_object(value) if isinstance(value, HttpRequest) else wire(value)


def http_object(request: HttpRequest) -> dict[str, Any]:
    """The http trigger's value (protocol 2.4)."""
    members: dict[str, Any] = {
        "Url": request.url,
        "Method": request.method.upper(),
        "Query": request.query,
        "Headers": request.header_lists,
        "Params": dict(request.params),
        "Identities": [_identity(request.key_level)],
    }
    if request.body:
        kind = request.header("content-type").lower().strip()
        binary = kind.startswith(("application/octet-stream", "multipart/"))
        text = base64.b64encode(request.body).decode() if binary else request.body.decode("utf-8", "replace")
        members["Body"] = text
    return members


def _identity(level: str | None) -> dict[str, Any]:
    if level is None:
        return ANONYMOUS
    claims = [("authlevel", level.capitalize()), ("keyid", "default" if level == "function" else "master")]
    return {
        **ANONYMOUS,
        "AuthenticationType": "WebJobsAuthLevel",
        "IsAuthenticated": True,
        "Claims": [{"Type": f"{CLAIMS}/{name}", "Value": value} for name, value in claims],
    }


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

    def merge_json(self, text: str) -> None:
        """The members of a JSON object: objects as they are, scalars as text, arrays and nulls not at all."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return
        for name, value in document.items() if isinstance(document, dict) else ():
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


def binding_data(function: str, trigger: TriggerData) -> BindingData:
    """Everything of protocol 2.3: the trigger's metadata, the members of its JSON, parameters, and `sys`."""
    system = {"MethodName": function, "UtcNow": utc_now(), "RandGuid": str(uuid.uuid4())}
    data = BindingData([*trigger.metadata.items(), ("sys", system)])
    request = trigger.request
    if request is not None:
        _add_http(data, request)
    elif isinstance(trigger.value, str):
        data.merge_json(trigger.value)
    elif isinstance(trigger.value, dict) and "data" in trigger.value and "eventType" in trigger.value:
        data.put("data", trigger.value["data"])  # an Event Grid event
    return data


def _add_http(data: BindingData, request: HttpRequest) -> None:
    if request.body:
        data.merge_json(request.body.decode("utf-8", "replace"))
    for name, value in request.query.items():
        if name.lower() != "code":
            data.put(name, value)
    for name, parameter in request.params.items():
        if parameter is not None:
            data.put(name, parameter)
    if "Query" not in data:
        data.put("Query", request.query)
    if "Headers" not in data:
        data.put("Headers", {name: ",".join(values) for name, values in request.header_lists.items()})


def build_envelope(inputs: Mapping[str, Any], data: BindingData, retry: Mapping[str, Any] | None = None) -> bytes:
    """The body of `POST /{FunctionName}`: compact UTF-8 JSON. `inputs` has the trigger first."""
    metadata = {
        name: wire(value) for name, value in data.items() if value is not None and not name.lower().endswith("trigger")
    }
    if retry is not None:
        metadata["RetryContext"] = dict(retry)
    document = {"Data": {name: data_member(value) for name, value in inputs.items()}, "Metadata": metadata}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def utc_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
