"""The functions of an app: their folders, their function.json files, and what is wrong with them (protocol 7).

Read by app.py; used by everything that runs a function.
Rule: a broken function is taken out by itself, with the reason in `problem`; the others run.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from fastworker.devhost.appsettings import AppSettings
from fastworker.devhost.hostjson import HostJson
from fastworker.devhost.jsonfile import ConfigError, JsonFile, member, read_json
from fastworker.devhost.retry import RetryPolicy, read_retry
from fastworker.routing import is_reserved

RETURN: Final = "$return"
FUNCTION_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,127}")
BINDING_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}")
METHODS: Final = ("get", "post", "put", "delete", "patch", "head", "options")

TRIGGERS: Final = (
    *("httpTrigger", "queueTrigger", "blobTrigger", "timerTrigger", "serviceBusTrigger", "eventHubTrigger"),
    *("cosmosDBTrigger", "eventGridTrigger", "manualTrigger", "warmupTrigger", "sqlTrigger", "mysqlTrigger"),
    *("kafkaTrigger", "rabbitMQTrigger", "signalRTrigger", "webPubSubTrigger", "mcpToolTrigger", "daprTopicTrigger"),
    *("daprBindingTrigger", "daprServiceInvocationTrigger", "redisListTrigger", "redisStreamTrigger"),
    *("redisPubSubTrigger", "orchestrationTrigger", "activityTrigger", "entityTrigger", "mcpResourceTrigger"),
)
DATA: Final = (
    *("http", "queue", "blob", "table", "serviceBus", "eventHub", "cosmosDB", "eventGrid", "kafka", "rabbitMQ"),
    *("signalR", "signalRConnectionInfo", "sendGrid", "twilioSms", "sql", "mysql", "webPubSub", "durableClient"),
    *("webPubSubConnection", "webPubSubContext", "daprPublish", "daprInvoke", "daprState", "daprSecret", "redis"),
    *("assistantCreate", "assistantQuery", "textCompletion", "embeddings", "embeddingsStore"),
)
KNOWN: Final = {name.lower(): name for name in (*TRIGGERS, *DATA)}


@dataclass(frozen=True, slots=True)
class Binding:
    """One entry of `bindings`; its properties have `%NAME%` resolved already."""

    type: str
    direction: str
    name: str
    where: str
    data_type: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.type.lower()

    @property
    def is_trigger(self) -> bool:
        return self.key.endswith("trigger")

    @property
    def is_input(self) -> bool:
        return self.direction != "out"

    @property
    def is_output(self) -> bool:
        return self.direction != "in"

    @property
    def is_http_output(self) -> bool:
        return self.is_output and self.key == "http"

    def text(self, name: str, default: str = "") -> str:
        value = member(dict(self.properties), name)
        return default if value is None else value if isinstance(value, str) else json.dumps(value)

    @property
    def connection(self) -> str:
        return self.text("connection") or "AzureWebJobsStorage"


@dataclass(frozen=True, slots=True)
class Function:
    """A function; if `problem` is set, one that cannot run, and why."""

    name: str
    file: Path | None = None
    bindings: tuple[Binding, ...] = ()
    retry: RetryPolicy | None = None
    disabled: bool = False
    problem: str | None = None

    @property
    def trigger(self) -> Binding:
        return next(b for b in self.bindings if b.is_trigger)

    @property
    def inputs(self) -> list[Binding]:
        return [b for b in self.bindings if b.is_input]

    @property
    def outputs(self) -> list[Binding]:
        return [b for b in self.bindings if b.is_output]

    @property
    def is_http(self) -> bool:
        return self.problem is None and self.trigger.key == "httptrigger"

    @property
    def http_only(self) -> bool:
        """One that may get plain HTTP (protocol 1.7)."""
        return [b.key for b in self.inputs] == ["httptrigger"] and [b.key for b in self.outputs] == ["http"]

    @property
    def methods(self) -> tuple[str, ...] | None:
        """Upper case; None for all, for an empty list is none at all."""
        listed = member(dict(self.trigger.properties), "methods")
        return None if listed is None else tuple(str(method).upper() for method in listed)

    @property
    def route(self) -> str:
        """As written: the host takes no slash off."""
        return self.trigger.text("route") or self.name

    @property
    def auth_level(self) -> str:
        return self.trigger.text("authLevel", "function").lower()


def read_functions(root: Path, settings: AppSettings, host: HostJson) -> list[Function]:
    """The functions in the folders below `root`, or those that host.json's routes make (protocol 1.6)."""
    files = sorted(root.glob("*/function.json"))
    if host.http_routes:
        if files:
            raise ConfigError(f"{files[0]}:1: host.json has http routes, so there must be no function.json files")
        return [_routed(i, route, level, host) for i, (route, level) in enumerate(host.http_routes, 1)]
    found = [_read_function(path, settings, host) for path in files]
    return _without_doubles(found)


def _routed(number: int, route: str, level: str, host: HostJson) -> Function:
    where = f"{host.path}:1"
    trigger = {"route": route, "authLevel": level, "methods": list(METHODS)}
    bindings = (Binding("httpTrigger", "in", "req", where, "", trigger), Binding("http", "out", "res", where))
    return Function(f"http-handler{number}", host.path, bindings, host.retry)


def _read_function(path: Path, settings: AppSettings, host: HostJson) -> Function:
    name = path.parent.name
    try:
        file = read_json(path)
        if not FUNCTION_NAME.fullmatch(name) or name.lower() == "host":
            raise file.wrong((), f"{name!r} cannot be a function's name: a letter, then letters, digits, - and _")
        entries = member(file.document, "bindings")
        if not isinstance(entries, list):
            raise file.wrong(("bindings",), '"bindings" is an array of bindings')
        bindings = tuple(_binding(file, entry, settings) for entry in entries)
        _check_bindings(file, bindings)
        retry = read_retry(file, ("retry",), member(file.document, "retry")) or host.retry
        return Function(name, path, bindings, retry, _disabled(name, file.document, settings))
    except ConfigError as error:
        return Function(name, path, problem=str(error))


def _disabled(name: str, document: dict[str, Any], settings: AppSettings) -> bool:
    if settings.is_true(f"AzureWebJobs.{name}.Disabled"):
        return True
    value = member(document, "disabled")
    return settings.is_true(value) or value.lower() == "true" if isinstance(value, str) else value is True


def _binding(file: JsonFile, entry: Any, settings: AppSettings) -> Binding:
    if not isinstance(entry, dict):
        raise file.wrong(("bindings",), f"a binding is an object, not {json.dumps(entry)}")
    name, kind = member(entry, "name"), member(entry, "type")
    keys = ("bindings", name if isinstance(name, str) else "bindings")
    if not isinstance(name, str) or not isinstance(kind, str):
        raise file.wrong(keys, f'a binding needs "name" and "type", both strings: {json.dumps(entry)}')
    where = file.where("bindings", name)
    direction = str(member(entry, "direction") or "in").lower()
    if direction not in ("in", "out", "inout"):
        raise ConfigError(f'{where}: "direction" is in, out or inout, not {direction!r}')
    if kind.lower() not in KNOWN:
        near = get_close_matches(kind.lower(), KNOWN, 1)
        hint = f"did you mean {KNOWN[near[0]]!r}?" if near else "check its spelling"
        raise ConfigError(f"{where}: unknown binding type {kind!r}: {hint}")
    data_type = str(member(entry, "dataType") or "").lower()
    if data_type not in ("", "string", "binary", "stream"):
        raise ConfigError(f'{where}: "dataType" is string, binary or stream, not {data_type!r}')
    own = {k: v for k, v in entry.items() if k.lower() not in ("name", "type", "direction", "datatype")}
    return Binding(kind, direction, name, where, data_type, {k: _resolved(where, v, settings) for k, v in own.items()})


def _resolved(where: str, value: Any, settings: AppSettings) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return settings.expand(value)
    except KeyError as missing:
        raise ConfigError(
            f"{where}: %{missing.args[0]}% names no app setting: add it to Values in local.settings.json"
        ) from None


def _check_bindings(file: JsonFile, bindings: tuple[Binding, ...]) -> None:
    triggers = [b for b in bindings if b.is_trigger]
    if len(triggers) != 1:
        what = ", ".join(t.type for t in triggers) or "none"
        raise file.wrong(("bindings",), f"a function has one trigger, this one has: {what}")
    seen: set[str] = set()
    for binding in bindings:
        returned = binding.name == RETURN and binding.direction == "out"
        if not returned and not BINDING_NAME.fullmatch(binding.name):
            raise ConfigError(
                f"{binding.where}: {binding.name!r} cannot be a binding's name: a letter, then letters and digits "
                f"(no underscore), or {RETURN} for an output"
            )
        if binding.name.lower() in seen:
            raise ConfigError(f"{binding.where}: two bindings are named {binding.name!r}, ignoring case")
        seen.add(binding.name.lower())
    if triggers[0].key == "httptrigger" and is_reserved(triggers[0].text("route") or file.path.parent.name):
        raise ConfigError(
            f"{triggers[0].where}: a route may not begin with the letters admin or runtime, which are the host's own: "
            f"give it another"
        )
    script = member(file.document, "scriptFile")
    if isinstance(script, str) and script and not (file.path.parent / script).exists():
        raise file.wrong(("scriptFile",), f'"scriptFile" {script!r} does not exist; a custom handler needs none')


def _without_doubles(functions: list[Function]) -> list[Function]:
    """Of two functions with one route and a method in common, the second is in error (protocol 6.1)."""
    kept: list[Function] = []
    for function in functions:
        rival = next((other for other in kept if _clash(function, other)), None)
        if rival is None:
            kept.append(function)
            continue
        problem = f"{function.trigger.where}: route {function.route!r} with the same methods belongs to {rival.name!r}"
        kept.append(Function(function.name, function.file, function.bindings, problem=problem))
    return kept


def _clash(one: Function, other: Function) -> bool:
    if not one.is_http or not other.is_http or one.route.strip("/").lower() != other.route.strip("/").lower():
        return False
    return one.methods is None or other.methods is None or bool(set(one.methods) & set(other.methods))
