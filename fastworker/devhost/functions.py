"""The functions of an app: their folders, their function.json files, and what is wrong with them (protocol 7).

Read by app.py; used by everything that runs a function.
Rule: a broken function is taken out by itself, with the reason in `problem`; the others run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fastworker.config.app_files import function_folders, function_json_of
from fastworker.config.binding_checks import indexing_problems, loading_problems, name_warnings
from fastworker.config.config_files import ConfigFileError, member, net_text
from fastworker.config.function_json import FunctionJson
from fastworker.config.retry import RetryPolicy
from fastworker.devhost.appsettings import AppSettings
from fastworker.devhost.config_error import ConfigError
from fastworker.devhost.hostjson import HostJson
from fastworker.functions.trigger_checks import check_trigger
from fastworker.hostrules.functions import RETURN, function_name_problem, is_disabled, twins
from fastworker.protocol import bindings as shared
from fastworker.protocol.bindings import is_http_only
from fastworker.protocol.routing import is_reserved

__all__ = ["RETURN", "Binding", "Function", "read_functions"]

METHODS: Final = ("get", "post", "put", "delete", "patch", "head", "options")
# Where the host fills in no settings (E-route-rpctset-*, E-fmore-authpercent).
LITERAL: Final = ("route", "authLevel", "methods")


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
        value = member(self.properties, name)
        return default if value is None or isinstance(value, dict | list) else net_text(value)

    @property
    def connection(self) -> str:
        return self.text("connection") or "AzureWebJobsStorage"


@dataclass(frozen=True, slots=True)
class Function:
    """A function; if `problem` is set, one that cannot run, and why.

    The host finds some problems only after it has mapped the route: such a function `keeps_route`, and each call of it
    is answered with 500 instead of 404 (E-478, E-516).
    """

    name: str
    file: Path | None = None
    bindings: tuple[Binding, ...] = ()
    retry: RetryPolicy | None = None
    disabled: bool = False
    problem: str | None = None
    warnings: tuple[str, ...] = ()
    keeps_route: bool = False
    # Left out by host.json's `functions`: listed, and never run (B-493).
    left_out: bool = False

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
        has_route = self.problem is None or self.keeps_route
        return has_route and not self.left_out and self.trigger.key == "httptrigger"

    @property
    def http_only(self) -> bool:
        """One that may get plain HTTP (protocol 1.7)."""
        return is_http_only(self.bindings)  # type: ignore[arg-type]  # it asks for keys and directions alone

    @property
    def methods(self) -> tuple[str, ...] | None:
        """Upper case; None for all, for an empty list is none at all."""
        listed = self.methods_as_written
        return None if listed is None else tuple(method.upper() for method in listed)

    @property
    def methods_as_written(self) -> tuple[str, ...] | None:
        listed = member(self.trigger.properties, "methods")
        return None if listed is None else tuple(str(method) for method in listed)

    @property
    def route(self) -> str:
        """As written: the host takes no slash off."""
        return self.trigger.text("route") or self.name

    @property
    def auth_level(self) -> str:
        return self.trigger.text("authLevel", "function").lower()


def read_functions(root: Path, settings: AppSettings, host: HostJson) -> list[Function]:
    """The functions in the folders below `root`, or those that host.json's routes make (protocol 1.6).

    Raises ConfigError for what stops the whole host.
    """
    files = function_folders(root)
    if host.http_routes:
        if files:
            raise ConfigError(f"{files[0]}:1: host.json has http routes, so there must be no function.json files")
        return [_routed(i, route, level, host) for i, (route, level) in enumerate(host.http_routes, 1)]
    found = _without_doubles([_read_function(path, settings, host) for path in files])
    _refuse_twins(found)
    if host.function_filter is None:
        return found
    kept = {name.lower() for name in host.function_filter}
    return [replace(f, left_out=f.name.lower() not in kept) for f in found]


def _routed(number: int, route: str, level: str, host: HostJson) -> Function:
    where = f"{host.path}:1"
    trigger = {"route": route, "authLevel": level, "methods": list(METHODS)}
    bindings = (Binding("httpTrigger", "in", "req", where, "", trigger), Binding("http", "out", "res", where))
    return Function(f"http-handler{number}", Path(host.path), bindings, host.retry)


def _read_function(path: Path, settings: AppSettings, host: HostJson) -> Function:
    name = path.parent.name
    try:
        file = function_json_of(path)
    except ConfigFileError as error:
        return Function(name, path, problem=str(error))
    wrong = function_name_problem(name)
    problems = [f"{path}:1: {wrong}"] if wrong else loading_problems(file.bindings)
    triggers = [b for b in file.bindings if b.is_trigger]
    if not problems and not triggers:
        problems.append(f"{file.file.where('bindings')}: a function has one trigger, this one has none")
    bindings = []
    for binding in file.bindings:
        known, missing = _resolved(binding, settings)
        bindings.append(known)
        if missing and binding.is_trigger:
            problems.append(
                f"{binding.where}: %{missing}% names no app setting: add it to Values in local.settings.json"
            )
    disabled = is_disabled(name, settings.values)
    if problems:
        return Function(name, path, tuple(map(_local, bindings)), problem=problems[0])
    problem, warnings = _trigger_checked(file, next(b for b in bindings if b.is_trigger), name, settings)
    unindexed = [file.indexing_problem] if file.indexing_problem is not None else indexing_problems(file.bindings)
    late = problem is None and bool(unindexed)
    return Function(
        name,
        path,
        tuple(map(_local, bindings)),
        file.retry or host.retry,
        disabled,
        unindexed[0] if late else problem,
        warnings,
        keeps_route=late,
    )


def _trigger_checked(
    file: FunctionJson, trigger: shared.Binding, name: str, settings: AppSettings
) -> tuple[str | None, tuple[str, ...]]:
    """What puts the function in error, and warnings. Raises ConfigError for what ends the whole host."""
    check = check_trigger(trigger)
    if check.stops_host:
        raise ConfigError(f"{trigger.where}: function {name!r}: {check.problem}")
    if check.problem is not None:
        return f"{trigger.where}: {check.problem}", ()
    if trigger.key == "httptrigger" and is_reserved(str(trigger.properties.get("route") or name)):
        return (
            f"{trigger.where}: a route may not begin with the letters admin or runtime, which are the host's own: "
            f"give it another"
        ), ()
    connection = str(trigger.properties.get("connection") or "")
    if trigger.key in ("queuetrigger", "blobtrigger") and connection and not settings.has_connection(connection):
        return (
            f"{trigger.where}: connection {connection!r} names no app setting: add {connection} to Values in "
            f"local.settings.json, a connection string or UseDevelopmentStorage=true"
        ), ()
    told = (*file.warnings, *name_warnings(file.bindings))
    return None, (*told, *(f"{trigger.where}: function {name!r}: {line}" for line in check.warnings))


def _resolved(binding: shared.Binding, settings: AppSettings) -> tuple[shared.Binding, str | None]:
    """The binding with settings filled in, and the first one that is missing: it stays as written (E-qonoset)."""
    missing: str | None = None
    properties = {}
    for key, value in binding.properties.items():
        properties[key] = value
        if isinstance(value, str) and key not in LITERAL:
            try:
                properties[key] = settings.expand(value)
            except KeyError as error:
                missing = missing or str(error.args[0])
    return replace(binding, properties=properties), missing


def _local(binding: shared.Binding) -> Binding:
    members = dict(binding.properties)
    if binding.cardinality is not None:
        members["cardinality"] = binding.cardinality
    return Binding(binding.type, binding.direction, binding.name, binding.where, binding.data_type or "", members)


def _refuse_twins(functions: list[Function]) -> None:
    """Folders that differ in case only: the host survives them with one route only (E-twins-*)."""
    by_name = {function.name: function for function in functions}
    for first, second in twins(by_name):
        one, other = by_name[first], by_name[second]
        both_broken = one.problem is not None and other.problem is not None
        if both_broken or (one.is_http and other.is_http):
            raise ConfigError(
                f"{other.file}:1: the folders {first!r} and {second!r} differ in case only, and the host, which takes "
                f"them for one function, does not start: rename one"
            )


def _without_doubles(functions: list[Function]) -> list[Function]:
    """Of two functions with one route and a method in common, the second is in error (protocol 6.1)."""
    kept: list[Function] = []
    for function in functions:
        rival = next((other for other in kept if _clash(function, other)), None)
        if rival is None:
            kept.append(function)
            continue
        problem = f"{function.trigger.where}: route {function.route!r} with the same methods belongs to {rival.name!r}"
        kept.append(replace(function, problem=problem, keeps_route=False))
    return kept


def _clash(one: Function, other: Function) -> bool:
    """Templates as texts, methods in their case (E-same-route-*)."""
    if not one.is_http or not other.is_http or one.route.strip("/").lower() != other.route.strip("/").lower():
        return False
    first, second = one.methods_as_written, other.methods_as_written
    return first is None or second is None or bool(set(first) & set(second))
