"""function.json as the Functions host reads it (protocol 7): bindings, retry policy, and what puts a function in error.

Used by serve (app.py), dev, sync and invoke. Rule: pure; what Newtonsoft and the host's enums take is taken, and a
mistake is told with file, line and column.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from fastworker.config.config_files import ConfigFileError, JsonFile, find_key, member, net_text, shown
from fastworker.config.retry import RetryError, RetryPolicy, read_retry
from fastworker.protocol.bindings import Binding, Direction

# The host's enums, which it reads by name in any case, or by number.
DIRECTIONS: Final = ("in", "out", "inout")
DATA_TYPES: Final = ("undefined", "string", "binary", "stream")
CARDINALITIES: Final = ("one", "many")
SOURCES: Final = ("config", "attributes")
AUTH_LEVELS: Final = ("anonymous", "user", "function", "system", "admin")

# Spellings of the members that are read here or by the local host; others are kept as they are.
MEMBERS: Final = {
    name.lower(): name
    for name in (
        *("authLevel", "methods", "route", "webHookType", "queueName", "connection", "path", "source", "schedule"),
        *("runOnStartup", "useMonitor", "topicName", "subscriptionName", "isSessionsEnabled", "accessRights"),
        *("eventHubName", "consumerGroup", "databaseName", "containerName", "collectionName", "tableName"),
        *("partitionKey", "rowKey", "take", "filter", "topicEndpointUri", "topicKeySetting"),
    )
}


@dataclass(frozen=True, slots=True)
class FunctionJson:
    """What a function.json says. `script_file` is "" if it names none; `file` finds places for later complaints.

    `indexing_problem` is what the host finds after it has mapped the function's route: it answers each call with 500.
    """

    file: JsonFile
    bindings: tuple[Binding, ...]
    retry: RetryPolicy | None = None
    script_file: str = ""
    warnings: tuple[str, ...] = ()
    indexing_problem: str | None = None


def read_function_json(path: str, data: bytes) -> FunctionJson:
    """Raises ConfigFileError for what puts the function in error."""
    file = JsonFile(path, data)
    entries = file.document.get("bindings")
    if (entries is None and "bindings" not in file.document) or entries == []:
        other = find_key(file.document, "bindings")
        hint = f'; the key is spelt "bindings", not "{other}"' if other not in (None, "bindings") else ""
        raise file.wrong(("bindings",), f'"bindings" must be an array of at least one binding{hint}')
    if not isinstance(entries, list):
        raise file.wrong(("bindings",), f'"bindings" must be an array of bindings, not {shown(entries)}')
    bindings = tuple(_binding(file, i, entry) for i, entry in enumerate(entries))
    script = member(file.document, "scriptFile")
    warnings = []
    if member(file.document, "disabled") not in (None, False):
        warnings.append(
            f'{file.where(find_key(file.document, "disabled") or "")}: "disabled" here does nothing; the setting '
            f"AzureWebJobs.NAME.Disabled=true disables a function"
        )
    return FunctionJson(
        file,
        bindings,
        _retry(file),
        "" if script is None else net_text(script),
        tuple(warnings),
        _source_problem(file),
    )


def _source_problem(file: JsonFile) -> str | None:
    """What is wrong with `configurationSource`. Raises ConfigFileError for what the host's enum does not have (E-518).

    The other value of the enum is one that the host cannot index for a custom handler (E-516).
    """
    source = member(file.document, "configurationSource")
    if source is None or str(source).lower() == SOURCES[0]:
        return None
    key = find_key(file.document, "configurationSource") or ""
    wrong = file.wrong((key,), f'"configurationSource" {shown(source)} is not for custom handlers; leave it out')
    if str(source).lower() in SOURCES:
        return str(wrong)
    raise wrong


def from_json(members: Mapping[str, Any], where: str) -> Binding:
    """The binding of members that did not come from a file. Raises ConfigFileError."""
    file = JsonFile(where, json.dumps({"bindings": [members]}).encode())
    return replace(_binding(file, 0, file.document["bindings"][0]), where=where)


def _retry(file: JsonFile) -> RetryPolicy | None:
    key = find_key(file.document, "retry")
    policy = None if key is None else file.document[key]
    if policy is None or key is None:
        return None
    if not isinstance(policy, dict):
        raise file.wrong((key,), f'"retry" is an object, not {shown(policy)}')
    try:
        return read_retry(
            {name: net_text(value) for name, value in policy.items() if not isinstance(value, dict | list)}
        )
    except RetryError as error:
        raise file.wrong((key, find_key(policy, error.key) or ""), str(error)) from None


def _binding(file: JsonFile, number: int, entry: Any) -> Binding:
    at = ("bindings", number)
    if not isinstance(entry, dict):
        raise file.wrong(at, f"a binding is an object, not {shown(entry)}")
    reader = _Entry(file, at, entry)
    kind = net_text(member(entry, "type"))
    if not kind:
        raise file.wrong(at, 'a binding needs a "type", a text')
    name = member(entry, "name")
    if not isinstance(name, str) or not name:
        raise file.wrong(at, f'a binding needs a "name", a text, not {shown(name)}')
    properties: dict[str, Any] = {
        str(MEMBERS.get(key.lower(), key)): value
        for key, value in entry.items()
        if key.lower() not in ("type", "name", "direction", "datatype", "cardinality")
    }
    if kind.lower() == "httptrigger":
        properties |= reader.of_http_trigger(properties)
    data_type = reader.choice("dataType", DATA_TYPES, empty=None)
    return Binding(
        type=kind,
        direction=cast("Direction", reader.choice("direction", DIRECTIONS, empty=None) or "in"),
        name=name,
        where=file.where(*at, find_key(entry, "name") or ""),
        data_type=None if data_type == "undefined" else data_type,
        cardinality=reader.choice("cardinality", CARDINALITIES, empty=None),
        properties=properties,
    )


class _Entry:
    """One binding's members."""

    def __init__(self, file: JsonFile, at: tuple[str | int, ...], entry: Mapping[str, Any]) -> None:
        self._file = file
        self._at = at
        self._entry = entry

    def wrong(self, name: str, message: str) -> ConfigFileError:
        return self._file.wrong((*self._at, find_key(self._entry, name) or ""), message)

    def choice(self, name: str, allowed: tuple[str, ...], empty: str | None) -> str | None:
        """A member of an enum; None if it is absent. An empty one is wrong for a direction only."""
        key = find_key(self._entry, name)
        if key is None:
            return empty
        value = self._entry[key]
        if value in (None, "") and name != "direction":
            return empty
        text = net_text(value) if not isinstance(value, dict | list) else ""
        if text.lower() in allowed:
            return text.lower()
        if text.isdecimal() and int(text) < len(allowed):
            return allowed[int(text)]
        raise self.wrong(name, f'"{name}" is one of {", ".join(allowed)}, not {shown(value)}')

    def of_http_trigger(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Its own members, as the host understands them."""
        found: dict[str, Any] = {}
        if "authLevel" in properties:
            found["authLevel"] = self.choice("authLevel", AUTH_LEVELS, "function")
        methods = properties.get("methods")
        if methods is not None:
            if not isinstance(methods, list):
                raise self.wrong("methods", f'"methods" is an array of texts, not {shown(methods)}')
            found["methods"] = [net_text(method) for method in methods if method is not None]
        return found
