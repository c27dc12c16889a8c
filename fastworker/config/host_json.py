"""host.json as the Functions host understands it (protocol 1.1, 1.6, 1.7), with its overrides from the environment.

Used by serve (app.py), dev, sync and invoke. Rule: pure; the host's defaults are here and nowhere else, and every
mistake that would stop the host is in `problems`, told as the host would, with the place.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from fastworker.config.config_files import ConfigFileError, JsonFile, Node, configuration, net_text, shown, unread_keys
from fastworker.config.host_json_keys import KNOWN, NOT_OBEYED
from fastworker.config.retry import RetryError, RetryPolicy, read_retry
from fastworker.config.typed_values import TypedValues
from fastworker.protocol.routing import Route, RouteError

# What a function with http bindings only gets (protocol 1.7).
HttpMode = Literal["envelope", "forward", "proxy"]

PROFILES: Final = ("default", "mcp-custom-handler", "web-app-custom-handler")
LOG_LEVELS: Final = ("trace", "debug", "information", "warning", "error", "critical", "none")
LOG_MODES: Final = ("never", "always", "debugonly")
AUTH_LEVELS: Final = ("anonymous", "function", "admin", "user", "system")
# functionTimeout of a local host and of every plan but Consumption (protocol 5.1).
DEFAULT_TIMEOUT_S: Final = 1800.0
CONSUMPTION_TIMEOUT_S: Final = 300.0
CONSUMPTION_MAXIMUM_S: Final = 600.0
# One minute more is the timeout of an HTTP client, which .NET bounds.
LONGEST_TIMEOUT_S: Final = 24 * 86400 + 20 * 3600 + 31 * 60 + 23.647 - 60
NO_HANDLER: Final = 'has no "customHandler" section, so there is no handler to start; fastworker sync adds one'


class Description(NamedTuple):
    """`customHandler.description`: the process to start (protocol 1.1)."""

    executable: str = ""
    worker_path: str = ""
    arguments: tuple[str, ...] = ()
    worker_arguments: tuple[str, ...] = ()
    working_directory: str = ""
    worker_directory: str = ""
    stderr_for_errors_only: bool = True


class QueueOptions(NamedTuple):
    """`extensions.queues`; `max_polling_s` is None where host.json does not say."""

    batch_size: int = 16
    new_batch_threshold: int | None = None
    visibility_timeout_s: float = 0.0
    max_dequeue_count: int = 5
    max_polling_s: float | None = None
    encoding: Literal["base64", "none"] = "base64"

    def threshold(self, cores: int) -> int:
        """Messages in work at which no further batch is taken: half a batch for each core of the host (B-313)."""
        return self.batch_size // 2 * cores if self.new_batch_threshold is None else self.new_batch_threshold


class HttpOptions(NamedTuple):
    """`extensions.http`; -1 is no limit."""

    max_outstanding: int = -1
    max_concurrent: int = -1
    custom_headers: tuple[tuple[str, str], ...] = ()


class ConcurrencyOptions(NamedTuple):
    """What host.json itself says of how many functions run at once; None where it leaves that to the default."""

    is_dynamic: bool = False
    batch_size: int | None = None
    service_bus_calls: int | None = None


class HttpRoute(NamedTuple):
    """`customHandler.http.routes`: a function without function.json (protocol 1.6)."""

    route: str
    level: str


@dataclass(frozen=True, slots=True)
class HostJson:
    """What host.json says; the defaults are the host's for an app without the file.

    `function_timeout_s` is None when there is no limit or host.json does not set one (then `sets_timeout` is False).
    `http_mode` tells what an http-only function gets (protocol 1.7), and `http_mode_key` the key that decided it.
    `problems` stop the host, `lacks` too, but a handler that runs already can do without what is lacking; `warnings`
    are surprises and keys that nobody reads; `not_obeyed` are keys that the host reads and the local host does not.
    `plan_problems` are the warnings about what stops the host on one plan only.
    `has_handler` is False where there is no section of a handler (which is in `lacks`, too).
    """

    path: str = "host.json"
    description: Description = field(default_factory=Description)
    function_timeout_s: float | None = None
    sets_timeout: bool = False
    init_timeout_s: float = 30.0
    http_mode: HttpMode = "envelope"
    http_mode_key: str | None = None
    route_prefix: str = "api"
    port: int | None = None
    retry: RetryPolicy | None = None
    http: HttpOptions = field(default_factory=HttpOptions)
    queues: QueueOptions = field(default_factory=QueueOptions)
    concurrency: ConcurrencyOptions = field(default_factory=ConcurrencyOptions)
    max_blob_tries: int = 5
    max_blobs_at_once: int | None = None
    function_filter: tuple[str, ...] | None = None
    http_routes: tuple[HttpRoute, ...] = ()
    problems: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    has_handler: bool = True
    warnings: tuple[str, ...] = ()
    not_obeyed: tuple[str, ...] = ()
    plan_problems: tuple[str, ...] = ()

    @property
    def forwards_by_name(self) -> bool:
        """Plain HTTP comes to `/{FunctionName}`, whatever the client's path was (protocol 3.1)."""
        return self.http_mode == "forward" and self.http_mode_key == "httpWorker"

    @property
    def local_timeout_s(self) -> float | None:
        """functionTimeout where no plan has a say: half an hour, unless host.json sets another; None is no limit."""
        return self.function_timeout_s if self.sets_timeout else DEFAULT_TIMEOUT_S

    @property
    def follows_redirects(self) -> bool:
        """The host follows the handler's redirects unless forwarding is on (protocol 1.7)."""
        return self.http_mode == "envelope" or self.forwards_by_name


def read_host_json(path: str, data: bytes | None, environ: Mapping[str, str]) -> HostJson:
    """host.json and its overrides. `data` is None for a missing file. Never raises: see `problems` and `lacks`.

    `environ` is the host's environment, app settings included.
    """
    file: JsonFile | None = None
    if data is not None:
        try:
            file = JsonFile(path, data)
        except ConfigFileError as error:
            return HostJson(path=path, problems=(str(error),))
    reader = _Reader(path, configuration(file, environ), environ)
    if file is not None:
        reader.check_version(file)
        return reader.read()
    missing = f"{path}: does not exist: this is no function app; name its folder, or make one: fastworker new DIR"
    return replace(reader.read(), lacks=(missing,))


class _Reader(TypedValues):
    """host.json's sections, one method each."""

    def __init__(self, path: str, root: Node, environ: Mapping[str, str]) -> None:
        super().__init__(root)
        self._path = path
        given = {name.upper(): value for name, value in environ.items()}
        # CONTAINER_NAME alone, by which the host knows that plan, is set in many a container of a developer, too.
        self._in_container = bool(given.get("CONTAINER_NAME")) and not given.get("WEBSITE_INSTANCE_ID")
        self._consumption = self._in_container and given.get("WEBSITE_SKU", "").lower() == "dynamic"
        self.lacks: list[str] = []
        self.has_handler = True
        self.warnings: list[str] = []
        self.plan_problems: list[str] = []

    def read(self) -> HostJson:
        name, section = self._handler()
        shape, shape_key, profile = self._shape(name, section)
        timeout_s, sets_timeout = self._function_timeout()
        queues = self._queues()
        self._others()
        self.warnings += unread_keys(self.root, KNOWN)
        prefix = self.root.at("extensions", "http", "routePrefix")
        return HostJson(
            path=self._path,
            description=self._description(name, section),
            function_timeout_s=timeout_s,
            sets_timeout=sets_timeout,
            init_timeout_s=self._init_timeout(section),
            http_mode=shape,
            http_mode_key=shape_key,
            route_prefix=self._prefix(prefix, "" if profile else "api"),
            port=self._port(section),
            retry=self._retry(),
            http=self._http(),
            queues=queues,
            concurrency=self._concurrency(queues),
            max_blob_tries=self.number("extensions", "blobs", "poisonBlobThreshold", default=5, least=1),
            max_blobs_at_once=self.number("extensions", "blobs", "maxDegreeOfParallelism", default=0, least=1) or None,
            function_filter=self._filter(),
            http_routes=self._routes(section, profile),
            problems=tuple(self.problems),
            lacks=tuple(self.lacks),
            has_handler=self.has_handler,
            warnings=(*self.warnings, *self.plan_problems),
            plan_problems=tuple(self.plan_problems),
            not_obeyed=tuple(".".join(keys) for keys in NOT_OBEYED if (n := self.root.at(*keys)) and n.exists),
        )

    def check_version(self, file: JsonFile) -> None:
        """The version is read from the file alone, its key in this very case (protocol 1.1)."""
        version = file.document.get("version")
        text = net_text(version) if not isinstance(version, dict | list) else shown(version)
        if text == "":
            other = next((key for key in file.document if key.lower() == "version"), None)
            hint = f'; the key is spelt "version", not "{other}"' if other not in (None, "version") else ""
            self.lacks.append(f'{file.where("version")}: "version": "2.0" is missing, and the host needs it{hint}')
        elif text != "2.0" or isinstance(version, float):
            self.wrong(file.where("version"), f'"version" must be the text "2.0", not {shown(version)}')

    # ---- the handler -------------------------------------------------------------------------------------------------

    def _handler(self) -> tuple[str, Node | None]:
        custom, old = (self._section(name) for name in ("customHandler", "httpWorker"))
        if custom is not None:
            if old is not None:
                self.warnings.append(f"{old.where}: customHandler is used, httpWorker is ignored")
            return "customHandler", custom
        if old is not None:
            return "httpWorker", old
        self.has_handler = False
        self.lacks.append(f"{self._path}:1: {NO_HANDLER}")
        return "customHandler", None

    def _section(self, name: str) -> Node | None:
        """A section, None if it is absent or null."""
        node = self.root.at(name)
        return None if node is None or (node.value == "" and not node.children) else node

    def _description(self, name: str, section: Node | None) -> Description:
        if section is None:
            return Description()
        node = section.at("description")
        if node is None or not node.children:
            where = node.where if node is not None else section.where
            self.lacks.append(
                f'{where}: {name} needs a "description" of the process, an object (the host: Missing worker '
                f"Description.)"
            )
            return Description()
        keys = (name, "description")
        executable = self.text(*keys, "defaultExecutablePath")
        named = node.at("defaultExecutablePath")
        if not executable.strip() and not (named is not None and named.children):
            self.lacks.append(f'{node.where}: "defaultExecutablePath" must name the program to start')
        only = (name, "description", "useStdErrorStreamForErrorsOnly")
        return Description(
            executable=executable,
            worker_path=self.text(*keys, "defaultWorkerPath"),
            arguments=self.texts(node.at("arguments")),
            worker_arguments=self.texts(node.at("workerArguments")),
            working_directory=self.text(*keys, "workingDirectory"),
            worker_directory=self.text(*keys, "workerDirectory"),
            stderr_for_errors_only=self.flag(*only, default=True),
        )

    def _shape(self, name: str, section: Node | None) -> tuple[HttpMode, str | None, str]:
        profile = self.choice(("configurationProfile",), ("", *PROFILES), "default")
        profile = "" if profile in ("", "default") else profile
        if name == "httpWorker":
            found: tuple[HttpMode, str | None] = ("forward", "httpWorker")
        else:
            proxying = self.flag(name, "enableProxyingHttpRequest", default=False)
            forwarding = self.flag(name, "enableForwardingHttpRequest", default=False)
            in_http = self.flag(name, "http", "enableProxying", default=False)
            found = (
                ("proxy", f"{name}.enableProxyingHttpRequest")
                if proxying
                else ("proxy", f"{name}.http.enableProxying")
                if in_http
                else ("forward", f"{name}.enableForwardingHttpRequest")
                if forwarding
                else ("envelope", None)
            )
        return ("proxy", "configurationProfile", profile) if profile else (*found, "")

    def _init_timeout(self, section: Node | None) -> float:
        if section is None:
            return 30.0
        keys = (section.key, "initializationTimeout")
        limit: float | None = self.span(*keys, default=None)
        node = self.value(*keys)
        if limit is not None and limit <= 0 and node is not None:
            self.wrong(node.where, f'"initializationTimeout" must be greater than zero, not {shown(node.value)}')
            return 30.0
        return 30.0 if limit is None else limit

    def _port(self, section: Node | None) -> int | None:
        if section is None:
            return None
        return self.number(section.key, "port", default=0, least=1, most=65535) or None

    def _routes(self, section: Node | None, profile: str) -> tuple[HttpRoute, ...]:
        if section is None:
            return ()
        level = self.choice((section.key, "http", "defaultAuthorizationLevel"), AUTH_LEVELS, "function")
        found = []
        for entry in section.at("http", "routes") or ():
            keys = (section.key, "http", "routes", entry.key)
            route = self.value(*keys, "route")
            if route is None or route.value is None:
                self.wrong(entry.where, f'a route is {{"route": "..."}}, not {shown(entry.value)}')
                continue
            problem = _route_problem(route.value)
            if problem is None and any(map(str.isspace, route.value)):
                problem = f"the route {route.value!r} has a space, which this list does not take"
            if problem is not None:
                self.wrong(route.where, problem)
                continue
            found.append(HttpRoute(route.value, self.choice((*keys, "authorizationLevel"), AUTH_LEVELS, level)))
        if profile and not found:
            found = [HttpRoute("{*route}", level)]
        return tuple(found)

    # ---- the host ----------------------------------------------------------------------------------------------------

    def _function_timeout(self) -> tuple[float | None, bool]:
        node = self.value("functionTimeout")
        most_s = CONSUMPTION_MAXIMUM_S if self._consumption else LONGEST_TIMEOUT_S
        if node is None or not node.value:
            return (CONSUMPTION_TIMEOUT_S, True) if self._consumption else (None, False)
        if node.value.strip() == "-1" and not self._consumption:
            self._warn_of_consumption(node, math.inf)
            return None, True
        if node.value.strip() == "-1":
            self.wrong(
                node.where, '"functionTimeout" -1 (no limit) is not for the Consumption plan: 10 minutes at most'
            )
            return None, False
        limit: float | None = self.span("functionTimeout", default=None)
        if limit is None:
            return None, False
        if not 1 <= limit <= most_s:
            most = "10 minutes (Consumption plan)" if self._consumption else "24 days"
            self.wrong(
                node.where, f'"functionTimeout" is from 1 second to {most}, or -1 for no limit, not {shown(node.value)}'
            )
            return None, False
        self._warn_of_consumption(node, limit)
        if limit >= 86400:
            self.warnings.append(f'{node.where}: "functionTimeout" {shown(node.value)} is {limit / 86400:g} days')
        return limit, True

    def _warn_of_consumption(self, node: Node, limit_s: float) -> None:
        if self._in_container and limit_s > CONSUMPTION_MAXIMUM_S:
            self.plan_problems.append(
                f'{node.where}: "functionTimeout" {shown(node.value)} stops the host on the Consumption plan, which '
                f"CONTAINER_NAME in the environment may stand for: 10 minutes at most"
            )

    def _prefix(self, node: Node | None, default: str) -> str:
        if node is None or node.value is None:
            return default
        prefix = node.value
        if prefix != prefix.strip("/") or "//" in prefix:
            self.wrong(
                node.where,
                f'"routePrefix" is {prefix!r}: with a slash at its begin or end, or two in a row, the host serves no '
                f"function at all; write {'/'.join(part for part in prefix.split('/') if part)!r}",
            )
        elif prefix and (problem := _route_problem(prefix)):
            self.wrong(node.where, f'"routePrefix": {problem}')
        return prefix

    def _retry(self) -> RetryPolicy | None:
        node = self.root.at("retry")
        if node is None or not node.children:
            return None
        try:
            return read_retry({child.key: child.value or "" for child in node})
        except RetryError as error:
            inner = node.at(error.key) or node
            self.wrong(inner.where, str(error))
            return None

    def _http(self) -> HttpOptions:
        keys = ("extensions", "http")
        headers = self.root.at(*keys, "customHeaders") or ()
        self.flag(*keys, "dynamicThrottlesEnabled", default=False)
        return HttpOptions(
            max_outstanding=self.number(*keys, "maxOutstandingRequests", default=-1),
            max_concurrent=self.number(*keys, "maxConcurrentRequests", default=-1),
            custom_headers=tuple((child.key, child.value) for child in headers if child.value is not None),
        )

    def _queues(self) -> QueueOptions:
        keys = ("extensions", "queues")
        polling: float | None = self.span(*keys, "maxPollingInterval", default=None)
        node = self.value(*keys, "maxPollingInterval")
        if polling is not None and polling < 0.1 and node is not None:
            self.wrong(node.where, f'"maxPollingInterval" is at least 00:00:00.1, not {shown(node.value)}')
        encoding = self.choice((*keys, "messageEncoding"), ("none", "base64"), "base64")
        threshold = self.number(*keys, "newBatchThreshold", default=-1, least=0)
        return QueueOptions(
            batch_size=self.number(*keys, "batchSize", default=16, least=1, most=32),
            new_batch_threshold=threshold if threshold >= 0 else None,
            visibility_timeout_s=self.span(*keys, "visibilityTimeout", default=0.0),
            max_dequeue_count=self.number(*keys, "maxDequeueCount", default=5, least=1),
            max_polling_s=polling,
            encoding="none" if encoding == "none" else "base64",
        )

    def _concurrency(self, queues: QueueOptions) -> ConcurrencyOptions:
        batch, calls = ("extensions", "queues", "batchSize"), ("extensions", "serviceBus", "maxConcurrentCalls")
        return ConcurrencyOptions(
            is_dynamic=self.flag("concurrency", "dynamicConcurrencyEnabled", default=False),
            batch_size=queues.batch_size if self.value(*batch) else None,
            service_bus_calls=self.number(*calls, default=0, least=1) or None,
        )

    def _filter(self) -> tuple[str, ...] | None:
        node = self.root.at("functions")
        listed = self.texts(node)
        return listed or None

    def _others(self) -> None:
        """Sections that the local host does not obey, but whose mistakes stop the host."""
        for name, least_s in (("lockPeriod", 15.0), ("listenerLockPeriod", 15.0)):
            span = self.span("singleton", name, default=least_s)
            node = self.value("singleton", name)
            if node is not None and not least_s <= span <= 60.0:
                self.wrong(node.where, f'"{name}" is from 15 to 60 seconds, not {shown(node.value)}')
        for level in self.root.at("logging", "logLevel") or ():
            self.choice(("logging", "logLevel", level.key), LOG_LEVELS, "information")
        self.choice(("logging", "fileLoggingMode"), LOG_MODES, "debugonly")
        self.flag("concurrency", "snapshotPersistenceEnabled", default=False)


def _route_problem(template: str) -> str | None:
    """What ASP.NET cannot parse in a template, None if it can."""
    try:
        Route(template)
    except RouteError as error:
        return str(error)
    return None
