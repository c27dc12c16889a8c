"""host.json as the host understands it (protocol 1.1 and 1.6), with its overrides from the environment.

Read by app.py; used by arguments.py, process.py, front.py and the triggers.
Rule: all defaults of the host are in this file.
"""

import copy
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from fastworker.devhost.appsettings import AppSettings
from fastworker.devhost.jsonfile import ConfigError, JsonFile, member, read_json, seconds
from fastworker.devhost.retry import RetryPolicy, read_retry

Shape = Literal["envelope", "raw-by-name", "raw", "proxy"]

OVERRIDE: Final = "azurefunctionsjobhost__"
PROFILES: Final = ("", "default", "mcp-custom-handler", "web-app-custom-handler")
# functionTimeout of a local host and of every plan but Consumption (protocol 5.1).
DEFAULT_TIMEOUT_S: Final = 1800.0
# The SDK polls at most this far apart when it runs for development; in the cloud one minute.
LOCAL_MAX_POLL_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Description:
    """The process to start."""

    executable: str
    worker_path: str = ""
    arguments: tuple[str, ...] = ()
    worker_arguments: tuple[str, ...] = ()
    working_directory: str = ""
    worker_directory: str = ""
    stderr_for_errors_only: bool = True


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """`extensions.queues`."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    visibility_timeout_s: float = 0.0
    max_dequeue_count: int = 5
    max_polling_s: float = LOCAL_MAX_POLL_S
    encoding: Literal["base64", "none"] = "base64"


@dataclass(frozen=True, slots=True)
class HostJson:
    """What host.json asks for. `shape` is what http-only functions get (protocol 1.7)."""

    path: Path
    description: Description
    shape: Shape = "envelope"
    init_timeout_s: float = 30.0
    function_timeout_s: float | None = DEFAULT_TIMEOUT_S
    port: int | None = None
    route_prefix: str = "api"
    retry: RetryPolicy | None = None
    queues: QueueOptions = field(default_factory=QueueOptions)
    max_blob_tries: int = 5
    http_routes: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def follows_redirects(self) -> bool:
        """The host follows the handler's redirects unless forwarding is on (protocol 1.7)."""
        return self.shape not in ("raw", "proxy")


def read_host_json(root: Path, settings: AppSettings) -> HostJson:
    """Raises ConfigError naming file and line."""
    path = root / "host.json"
    try:
        file = read_json(path)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: does not exist: this is no function app; name its folder, or make one: fastworker new DIR"
        ) from None
    file.document = _with_overrides(file.document, settings)
    document = file.document
    if member(document, "version") != "2.0":
        raise file.wrong(("version",), f'"version" must be "2.0", not {json.dumps(member(document, "version"))}')
    warnings: list[str] = []
    name, section = _handler_section(file, warnings)
    profile = _profile(file)
    http = _object(file, ("extensions", "http"))
    prefix = member(http, "routePrefix")
    if prefix is not None and not isinstance(prefix, str):
        raise file.wrong(("routePrefix",), f'"routePrefix" is a string, not {json.dumps(prefix)}')
    routes = _routes(file, section)
    if profile:
        prefix, routes = prefix or "", routes or (("{*route}", "function"),)
    return HostJson(
        path=path,
        description=_description(file, name, section),
        shape="proxy" if profile else _shape(file, name, section),
        init_timeout_s=_init_timeout(file, section),
        function_timeout_s=_function_timeout(file),
        port=_port(file, section),
        route_prefix="api" if prefix is None else prefix.strip("/"),
        retry=read_retry(file, ("retry",), member(document, "retry")),
        queues=_queues(file),
        max_blob_tries=int(_number(file, ("extensions", "blobs", "poisonBlobThreshold"), 5, 1, 1000)),
        http_routes=routes,
        warnings=tuple(warnings),
    )


# ---- overrides ---------------------------------------------------------------------------------------------


def _with_overrides(document: dict[str, Any], settings: AppSettings) -> dict[str, Any]:
    """`AzureFunctionsJobHost__a__b=x` replaces member a.b; an array may be one JSON text (protocol 1.1)."""
    changed = copy.deepcopy(document)
    for name, value in settings.values.items():
        normal = name.replace(":", "__")
        if not normal.lower().startswith(OVERRIDE):
            continue
        *parents, last = normal[len(OVERRIDE) :].split("__")
        place = changed
        for parent in parents:
            key = _existing_key(place, parent)
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[_existing_key(place, last)] = _overriding_value(value)
    return changed


def _existing_key(place: dict[str, Any], key: str) -> str:
    return next((known for known in place if known.lower() == key.lower()), key)


def _overriding_value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


# ---- sections ----------------------------------------------------------------------------------------------


def _object(file: JsonFile, keys: tuple[str, ...]) -> dict[str, Any]:
    place = file.document
    for depth, key in enumerate(keys, 1):
        place = member(place, key)
        if place is None:
            return {}
        if not isinstance(place, dict):
            raise file.wrong(keys[:depth], f'"{key}" is an object, not {json.dumps(place)}')
    return place


def _handler_section(file: JsonFile, warnings: list[str]) -> tuple[str, dict[str, Any]]:
    custom = member(file.document, "customHandler")
    old = member(file.document, "httpWorker")
    if custom is not None:
        if old is not None:
            warnings.append(f"{file.where('httpWorker')}: customHandler is used, httpWorker is ignored")
        return "customHandler", _object(file, ("customHandler",))
    if old is not None:
        return "httpWorker", _object(file, ("httpWorker",))
    raise file.wrong((), 'has no "customHandler" section, so there is no handler to start; fastworker sync adds one')


def _description(file: JsonFile, name: str, section: dict[str, Any]) -> Description:
    description = member(section, "description")
    if not isinstance(description, dict):
        raise file.wrong((name,), f'{name} has no "description" of the process (the host: Missing worker Description.)')
    executable = _text(file, description, "defaultExecutablePath")
    if not executable.strip():
        raise file.wrong((name, "description"), '"defaultExecutablePath" must name the program to start')
    only = member(description, "useStdErrorStreamForErrorsOnly")
    return Description(
        executable=executable,
        worker_path=_text(file, description, "defaultWorkerPath"),
        arguments=_texts(file, description, "arguments"),
        worker_arguments=_texts(file, description, "workerArguments"),
        working_directory=_text(file, description, "workingDirectory"),
        worker_directory=_text(file, description, "workerDirectory"),
        stderr_for_errors_only=only is not False,
    )


def _text(file: JsonFile, place: dict[str, Any], key: str) -> str:
    value = member(place, key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise file.wrong(("description", key), f'"{key}" is a string, not {json.dumps(value)}')
    return value


def _texts(file: JsonFile, place: dict[str, Any], key: str) -> tuple[str, ...]:
    value = member(place, key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise file.wrong(("description", key), f'"{key}" is an array of strings, not {json.dumps(value)}')
    return tuple(value)


def _shape(file: JsonFile, name: str, section: dict[str, Any]) -> Shape:
    if name == "httpWorker":
        return "raw-by-name"  # knows `description` only
    switches: list[tuple[str, Shape]] = [("enableProxyingHttpRequest", "proxy"), ("enableForwardingHttpRequest", "raw")]
    for key, shape in switches:
        value = member(section, key)
        if value is not None and not isinstance(value, bool):
            raise file.wrong((name, key), f'"{key}" is true or false, not {json.dumps(value)}')
        if value:
            return shape
    return "envelope"


def _profile(file: JsonFile) -> str:
    profile = member(file.document, "configurationProfile") or ""
    if not isinstance(profile, str) or profile.lower() not in PROFILES:
        known = ", ".join(PROFILES[1:])
        raise file.wrong(("configurationProfile",), f'"configurationProfile" is one of {known}, not {profile!r}')
    return "" if profile.lower() == "default" else profile.lower()


def _routes(file: JsonFile, section: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """`customHandler.http.routes`: functions without function.json (protocol 1.6)."""
    http = member(section, "http") or {}
    level = member(http, "defaultAuthorizationLevel") or "function"
    found = []
    for entry in member(http, "routes") or ():
        route = member(entry, "route") if isinstance(entry, dict) else None
        if not isinstance(route, str):
            raise file.wrong(("customHandler", "routes"), f'a route is {{"route": "..."}}, not {json.dumps(entry)}')
        if re.search(r"\s|//|\{\}", route) or route.count("{") != route.count("}"):
            raise file.wrong(("customHandler", route), f"the route {route!r} has spaces, //, {{}} or unbalanced braces")
        found.append((route, str(member(entry, "authorizationLevel") or level).lower()))
    return tuple(found)


# ---- values ------------------------------------------------------------------------------------------------


def _init_timeout(file: JsonFile, section: dict[str, Any]) -> float:
    value = member(section, "initializationTimeout")
    return 30.0 if value is None else max(seconds(file, ("customHandler", "initializationTimeout"), value), 0.025)


def _function_timeout(file: JsonFile) -> float | None:
    value = member(file.document, "functionTimeout")
    if value is None:
        return DEFAULT_TIMEOUT_S
    if value in (-1, "-1"):
        return None
    limit = seconds(file, ("functionTimeout",), value)
    if limit < 0:
        return None
    if limit < 1:
        raise file.wrong(("functionTimeout",), f'"functionTimeout" is at least one second, not {json.dumps(value)}')
    return limit


def _port(file: JsonFile, section: dict[str, Any]) -> int | None:
    value = member(section, "port")
    if value is None:
        return None
    if not str(value).isdigit() or not 1 <= int(value) <= 65535:
        raise file.wrong(("customHandler", "port"), f'"port" is a port number from 1, not {json.dumps(value)}')
    return int(value)


def _number(file: JsonFile, keys: tuple[str, ...], default: float, least: float, most: float) -> float:
    value = member(_object(file, keys[:-1]), keys[-1])
    if value is None:
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not least <= number <= most:
        raise file.wrong(keys, f'"{keys[-1]}" is a number from {least:g} to {most:g}, not {json.dumps(value)}')
    return number


def _queues(file: JsonFile) -> QueueOptions:
    keys = ("extensions", "queues")
    options = _object(file, keys)
    batch = int(_number(file, (*keys, "batchSize"), 16, 1, 32))
    visibility = member(options, "visibilityTimeout")
    polling = member(options, "maxPollingInterval")
    encoding = member(options, "messageEncoding") or "base64"
    if not isinstance(encoding, str) or encoding.lower() not in ("base64", "none"):
        raise file.wrong((*keys, "messageEncoding"), f'"messageEncoding" is base64 or none, not {json.dumps(encoding)}')
    return QueueOptions(
        batch_size=batch,
        new_batch_threshold=int(_number(file, (*keys, "newBatchThreshold"), max(batch // 2, 1), 0, 1000)),
        visibility_timeout_s=0.0 if visibility is None else seconds(file, (*keys, "visibilityTimeout"), visibility),
        max_dequeue_count=int(_number(file, (*keys, "maxDequeueCount"), 5, 1, 1000)),
        max_polling_s=LOCAL_MAX_POLL_S if polling is None else _polling(file, (*keys, "maxPollingInterval"), polling),
        encoding="none" if encoding.lower() == "none" else "base64",
    )


def _polling(file: JsonFile, keys: tuple[str, ...], value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) / 1000  # older documents give milliseconds
    return max(seconds(file, keys, value), 0.1)
