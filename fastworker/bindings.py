"""Bindings: what ties a handler's arguments to the outside, as declared by decorators or by function.json.

Made by declarations.py and read from disk by app.py; understood by plan.py (decoders, encoders, checks).
Rule: knows the protocol's names and shapes (protocol, sections 1.7 and 7), and no user code.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

RETURN = "$return"

Direction = Literal["in", "out", "inout"]

# What a function with http bindings only gets (protocol 1.7).
HttpShape = Literal["envelope", "forward", "proxy"]

# How a value travels in an output (protocol 4.3 to 4.6). "collector" splits arrays into messages, "object"
# takes objects only, "stream" writes one value.
OutputForm = Literal["collector", "stream", "object", "http"]


class Kind(NamedTuple):
    """What is known about a binding type: its spelling, its directions, how outputs of it are written."""

    type: str
    directions: frozenset[str]
    output: OutputForm


def _kinds(output: OutputForm, directions: Iterable[str], *types: str) -> dict[str, Kind]:
    return {t.lower(): Kind(t, frozenset(directions), output) for t in types}


# Keys are lower case: the host compares types ignoring case.
KINDS: Final[dict[str, Kind]] = {
    **_kinds(
        "collector",
        ["in"],
        *(
            "httpTrigger",
            "queueTrigger",
            "blobTrigger",
            "timerTrigger",
            "serviceBusTrigger",
            "eventHubTrigger",
        ),
        *(
            "cosmosDBTrigger",
            "eventGridTrigger",
            "manualTrigger",
            "warmupTrigger",
            "sqlTrigger",
            "mysqlTrigger",
        ),
        *("kafkaTrigger", "rabbitMQTrigger", "signalRTrigger", "webPubSubTrigger", "redisPubSubTrigger"),
        *("redisListTrigger", "redisStreamTrigger", "daprBindingTrigger", "daprServiceInvocationTrigger"),
        *(
            "daprTopicTrigger",
            "mcpToolTrigger",
            "mcpResourceTrigger",
            "orchestrationTrigger",
            "activityTrigger",
        ),
        *(
            "entityTrigger",
            "durableClient",
            "signalRConnectionInfo",
            "webPubSubConnection",
            "webPubSubContext",
        ),
        *("daprState", "daprSecret", "assistantQuery", "textCompletion", "embeddings"),
    ),
    **_kinds("collector", ["out"], "queue", "serviceBus", "eventHub", "kafka", "rabbitMQ", "signalR"),
    **_kinds("collector", ["out"], "webPubSub", "sendGrid", "twilioSms", "daprPublish", "daprInvoke"),
    **_kinds("object", ["out"], "eventGrid", "assistantCreate", "embeddingsStore"),
    **_kinds("object", ["in", "out"], "cosmosDB", "table", "sql", "mysql", "redis"),
    **_kinds("stream", ["in", "out", "inout"], "blob"),
    **_kinds("http", ["out"], "http"),
}

FUNCTION_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,127}")
BINDING_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}")


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding of a function. `properties` are function.json's own members (`queueName`, `path`, ...).

    `where` is the `file:line` it was declared at, for messages.
    """

    type: str
    direction: Direction
    name: str
    where: str = field(default="", compare=False)
    data_type: str | None = None
    cardinality: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The type for comparisons."""
        return self.type.lower()

    @property
    def is_trigger(self) -> bool:
        return self.type.lower().endswith("trigger")

    @property
    def is_input(self) -> bool:
        """Whether the host sends a value for it: it counts as input-side (protocol 1.7)."""
        return self.direction != "out"

    @property
    def is_output(self) -> bool:
        return self.direction != "in"

    @property
    def is_http_output(self) -> bool:
        return self.is_output and self.key == "http"

    @property
    def methods(self) -> tuple[str, ...]:
        """Of an http trigger: those that reach it, as written; none means all."""
        listed = self.properties.get("methods") or ()
        return tuple(str(method) for method in listed) if isinstance(listed, list | tuple) else (str(listed),)

    @property
    def allowed_methods(self) -> tuple[str, ...] | None:
        """The same for routing: None means all, and an empty list none."""
        return None if self.properties.get("methods") is None else self.methods

    @property
    def is_binary(self) -> bool:
        """Whether the host was told to treat the value as bytes; a stream is one it has read to its end."""
        return self.data_type is not None and self.data_type.lower() in {"binary", "stream"}

    @property
    def is_batch(self) -> bool:
        return self.cardinality is not None and self.cardinality.lower() == "many"

    @property
    def output_form(self) -> OutputForm:
        kind = KINDS.get(self.key)
        return kind.output if kind else "collector"


def to_json(binding: Binding) -> dict[str, Any]:
    """The binding as a member of function.json's `bindings`."""
    members: dict[str, Any] = {
        "type": binding.type,
        "direction": binding.direction,
        "name": binding.name,
        **binding.properties,
    }
    if binding.data_type is not None:
        members["dataType"] = binding.data_type
    if binding.cardinality is not None:
        members["cardinality"] = binding.cardinality
    return members


def from_json(members: Any, where: str) -> Binding:
    """The binding that a member of function.json's `bindings` declares. Raises ValueError saying what is wrong."""
    if not isinstance(members, dict):
        raise ValueError(f"a binding is an object, not {json.dumps(members)}")
    rest = dict(members)
    for name in ("type", "name"):
        if not isinstance(rest.get(name), str):
            raise ValueError(f'a binding needs a "{name}", a string: {json.dumps(members)}')
    direction = rest.pop("direction", "in")
    if direction not in {"in", "out", "inout"}:
        raise ValueError(f'"direction" is one of "in", "out", "inout", not {json.dumps(direction)}')
    for name, allowed in (("dataType", ("string", "binary", "stream")), ("cardinality", ("one", "many"))):
        value = rest.get(name)
        if value is not None and (not isinstance(value, str) or value.lower() not in allowed):
            raise ValueError(f'"{name}" is one of {", ".join(allowed)}, not {json.dumps(value)}')
    return Binding(
        type=rest.pop("type"),
        direction=direction,
        name=rest.pop("name"),
        where=where,
        data_type=rest.pop("dataType", None),
        cardinality=rest.pop("cardinality", None),
        properties=rest,
    )


def name_problems(bindings: Iterable[Binding], extra_types: Iterable[str] = ()) -> list[str]:
    """What is wrong with a function's bindings, looking at them alone: names, types, directions, triggers."""
    problems = []
    seen: dict[str, Binding] = {}
    triggers = []
    known = KINDS.keys() | {t.lower() for t in extra_types}
    for binding in bindings:
        first = seen.setdefault(binding.name.lower(), binding)
        if first is not binding:
            problems.append(
                f"{binding.where}: two bindings are named {binding.name!r} (the other: {first.where}); names are "
                f"compared ignoring case, rename one"
            )
        if binding.is_trigger:
            triggers.append(binding)
        problems += _name_problems_of_one(binding)
        problems += _type_problems(binding, known)
    if len(triggers) > 1:
        named = ", ".join(f"{t.name!r} ({t.type}, {t.where})" for t in triggers)
        problems.append(f"{triggers[1].where}: a function has one trigger, this one has {named}: keep one")
    return problems


def _name_problems_of_one(binding: Binding) -> list[str]:
    name = binding.name
    if name == RETURN:
        if binding.direction == "out":
            return []
        return [f"{binding.where}: {RETURN!r} is for outputs only; name it after its argument"]
    if BINDING_NAME.fullmatch(name):
        return []
    suggestion = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    suggestion = suggestion[:1].lower() + suggestion[1:]
    if "_" in name and BINDING_NAME.fullmatch(suggestion):
        return [
            f"{binding.where}: the binding name {name!r} has an underscore, which the host refuses: call it "
            f"{suggestion!r}, here and in the handler's arguments"
        ]
    return [
        f"{binding.where}: the binding name {name!r} is illegal: a letter, then up to 127 letters and digits (or "
        f"{RETURN!r} for an output)"
    ]


def _type_problems(binding: Binding, known: Iterable[str]) -> list[str]:
    kind = KINDS.get(binding.key)
    if kind is None:
        if binding.key in known:
            return []
        near = get_close_matches(binding.key, list(known), n=1)
        hint = f"did you mean {KINDS[near[0]].type!r}?" if near and near[0] in KINDS else "check its spelling"
        return [
            f"{binding.where}: binding {binding.name!r}: unknown binding type {binding.type!r}: {hint} (a new "
            f"extension's type is made known by fastworker.App(extra_binding_types=[...]))"
        ]
    if binding.direction not in kind.directions:
        allowed = " or ".join(sorted(kind.directions))
        return [
            f"{binding.where}: binding {binding.name!r}: a {kind.type} binding has direction {allowed}, not "
            f"{binding.direction!r}"
        ]
    if kind.output == "http" and binding.type != "http":
        return [f'{binding.where}: the type {binding.type!r} must be spelt "http" (protocol 4.3)']
    return []


def is_http_only(bindings: Iterable[Binding]) -> bool:
    """Whether a function is one that the host may hand raw HTTP (protocol 1.7)."""
    bindings = list(bindings)
    inputs = [b.key for b in bindings if b.is_input]
    outputs = [b.key for b in bindings if b.is_output]
    return inputs == ["httptrigger"] and outputs == ["http"]


# ---- function.json and host.json ---------------------------------------------------------------------------


class ConfigFileError(ValueError):
    """A host.json or function.json is broken; the message starts with file and line."""


def read_function_json(path: Path) -> list[Binding]:
    """The bindings of a function.json. Raises ConfigFileError, and FileNotFoundError if there is none."""
    text, document = _read_json(path)
    entries = document.get("bindings")
    if not isinstance(entries, list):
        raise ConfigFileError(f'{path}:1: "bindings" must be an array of bindings')
    bindings = []
    position = max(text.find('"bindings"'), 0)
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        found = text.find(json.dumps(name), position) if isinstance(name, str) else -1
        position = max(found, position)
        where = f"{path}:{text.count(chr(10), 0, position) + 1}"
        try:
            bindings.append(from_json(entry, where))
        except ValueError as exc:
            raise ConfigFileError(f"{where}: {exc}") from None
    return bindings


def read_function_document(path: Path) -> dict[str, Any]:
    """All members of a function.json. Raises ConfigFileError, and FileNotFoundError if there is none."""
    return _read_json(path)[1]


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What host.json says that matters to a handler; the defaults are the host's for an app without the file.

    `function_timeout_s` is None when there is no limit or host.json does not set one. `http_shape` tells
    what an http-only function gets (protocol 1.7), and `http_shape_key` the host.json key that decided it.
    """

    function_timeout_s: float | None = None
    http_shape: HttpShape = "envelope"
    http_shape_key: str | None = None
    route_prefix: str = "api"

    @property
    def forwards_by_name(self) -> bool:
        """Plain HTTP comes to `/{FunctionName}`, whatever the client's path was (protocol 3.1)."""
        return self.http_shape == "forward" and self.http_shape_key == "httpWorker"


def read_host_json(root: Path) -> HostConfig:
    """host.json of an app's root folder. Raises ConfigFileError naming file and line; a missing file is defaults."""
    path = root / "host.json"
    try:
        text, document = _read_json(path)
    except FileNotFoundError:
        return HostConfig()
    try:
        shape, shape_key = _http_shape(document)
        return HostConfig(
            function_timeout_s=parse_time_span_s(document.get("functionTimeout")),
            http_shape=shape,
            http_shape_key=shape_key,
            route_prefix=_route_prefix(document),
        )
    except _WrongMemberError as exc:
        found = text.find(json.dumps(exc.key))
        line = text.count("\n", 0, max(found, 0)) + 1
        raise ConfigFileError(f"{path}:{line}: {exc}") from None


class _WrongMemberError(ValueError):
    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


TIME_SPAN: Final = re.compile(r"(-)?(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?")


def parse_time_span_s(text: Any) -> float | None:
    """Seconds of `functionTimeout`: a .NET time span, or None for no limit (absent, or -1)."""
    if text is None or (isinstance(text, int | str) and text in {-1, "-1"}):
        return None
    match = TIME_SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _WrongMemberError(
            "functionTimeout",
            f'"functionTimeout" is a time span like "00:05:00", or -1: not {json.dumps(text)}',
        )
    sign, days, hours, minutes, seconds, fraction = match.groups()
    span_s = (int(days or 0) * 24 + int(hours)) * 3600 + int(minutes) * 60 + int(seconds or 0)
    total_s = span_s + float(f"0.{fraction or 0}")
    return None if sign else total_s


# Profiles of newer hosts that pass everything through, without a prefix (protocol 1.6).
PROXYING_PROFILES: Final = frozenset({"mcp-custom-handler", "web-app-custom-handler"})


def _has_proxying_profile(document: dict[str, Any]) -> bool:
    return str(document.get("configurationProfile", "")).lower() in PROXYING_PROFILES


def _http_shape(document: dict[str, Any]) -> tuple[HttpShape, str | None]:
    if _has_proxying_profile(document):
        return "proxy", "configurationProfile"
    custom = _section(document, "customHandler")
    if custom is not None:  # wins over httpWorker (protocol 1.1)
        if custom.get("enableProxyingHttpRequest") is True:
            return "proxy", "customHandler.enableProxyingHttpRequest"
        if custom.get("enableForwardingHttpRequest") is True:
            return "forward", "customHandler.enableForwardingHttpRequest"
        return "envelope", None
    if _section(document, "httpWorker") is not None:
        return "forward", "httpWorker"
    return "envelope", None


def _route_prefix(document: dict[str, Any]) -> str:
    http = _section(_section(document, "extensions") or {}, "http") or {}
    prefix = http.get("routePrefix", "" if _has_proxying_profile(document) else "api")
    if not isinstance(prefix, str):
        raise _WrongMemberError("routePrefix", f'"routePrefix" is a string, not {json.dumps(prefix)}')
    return prefix


def _section(document: dict[str, Any], key: str) -> dict[str, Any] | None:
    section = document.get(key)
    if section is None or isinstance(section, dict):
        return section
    raise _WrongMemberError(key, f'"{key}" is an object, not {json.dumps(section)}')


# The host reads its files with Newtonsoft, which skips comments: a file it accepts must not stop us.
COMMENT: Final = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def _read_json(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        raw = path.read_text("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigFileError(f"{path}:1: is not UTF-8: {exc}") from None
    except OSError as exc:
        if isinstance(exc, FileNotFoundError | NotADirectoryError):
            raise FileNotFoundError(str(path)) from None
        raise ConfigFileError(f"{path}:1: cannot be read: {exc.strerror}") from None
    text = COMMENT.sub(lambda m: m[1] or re.sub(r"[^\n]", " ", m[0]), raw)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ConfigFileError(f"{path}:{exc.lineno}: not JSON: {exc.msg} at column {exc.colno}") from None
    except RecursionError:
        raise ConfigFileError(f"{path}:1: nested too deeply") from None
    if not isinstance(document, dict):
        raise ConfigFileError(f"{path}:1: must hold an object")
    return text, cast("dict[str, Any]", document)
