"""The http functions of an app as the host sees them: routes, methods, keys, and who gets the client's own request.

Made by app.py at load; used by choice.py to find functions and by mixed_auth.py to tell who may run what.
Rule: what the host reads counts, and that is function.json: a decorator counts where there is no such file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastworker.config.app_files import UnreadableFileError, function_folders, function_json_of
from fastworker.config.config_files import ConfigFileError
from fastworker.config.host_json import HostJson
from fastworker.functions.build import Function
from fastworker.protocol.bindings import Binding, is_http_only
from fastworker.protocol.routing import have_one_route, is_reserved, sort_key


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """An http function of the host's.

    `methods` None means all. `is_plain`: its requests come in plain HTTP where the host forwards or proxies.
    `is_served`: the app has a handler for it. `needs_parameters`: the handler cannot do without its route's.
    `is_known`: its function.json could be read; if not, anything may stand there.
    """

    name: str
    template: str
    methods: tuple[str, ...] | None
    level: str
    is_plain: bool
    where: str
    is_served: bool = True
    needs_parameters: bool = False
    is_known: bool = True


def http_routes(functions: Mapping[str, Function], root: Path, host: HostJson) -> tuple[list[HttpRoute], list[str]]:
    """The host's http functions, and warnings where its file and the decorators differ."""
    found = []
    warnings = []
    for function in functions.values():
        written = _written(root / function.name / "function.json")
        needs = _needs_parameters(function)
        declared = _route(function.name, function.bindings, needs=needs)
        route = declared if written is None else _route(function.name, written, needs=needs)
        warnings += _difference(function, route, declared)
        if written is not None:
            warnings += _lost_outputs(function, written, root / function.name / "function.json")
        if route is not None:
            found.append(route)
    found += _without_handler(functions, root)
    found = _without_doubles(found)
    names = None if host.function_filter is None else {name.lower() for name in host.function_filter}
    return [
        route for route in found if not is_reserved(route.template) and (names is None or route.name.lower() in names)
    ], warnings


def _without_doubles(routes: Iterable[HttpRoute]) -> list[HttpRoute]:
    """Of two with one route and a method in common the host takes out the second by name; route_checks.py warns."""
    kept: list[HttpRoute] = []
    for route in sorted(routes, key=lambda route: sort_key(route.name)):
        if not any(have_one_route(route.template, route.methods, k.template, k.methods) for k in kept):
            kept.append(route)
    return kept


def routes_of_host_json(host: HostJson) -> list[HttpRoute]:
    """The functions that host.json makes (protocol 1.6): the host asks for their keys, and for no others."""
    return [
        HttpRoute(f"http-handler{number}", made.route, None, made.level.lower(), True, host.path, is_served=False)
        for number, made in enumerate(host.http_routes, 1)
    ]


def _written(path: Path) -> tuple[Binding, ...] | None:
    try:
        return function_json_of(path).bindings
    except (FileNotFoundError, ConfigFileError):
        return None


def _route(name: str, bindings: Iterable[Binding], *, needs: bool = False, is_served: bool = True) -> HttpRoute | None:
    bindings = list(bindings)
    trigger = next((binding for binding in bindings if binding.key == "httptrigger"), None)
    if trigger is None:
        return None
    template = str(trigger.properties.get("route") or name)
    level = trigger.properties.get("authLevel")
    return HttpRoute(
        name,
        template,
        trigger.allowed_methods,
        "function" if level is None else str(level).lower(),
        is_http_only(bindings),
        trigger.where,
        is_served,
        needs,
    )


def _needs_parameters(function: Function) -> bool:
    return any(name not in {b.name for b in function.bindings} for name, _ in function.http_arguments)


def _difference(function: Function, route: HttpRoute | None, declared: HttpRoute | None) -> list[str]:
    if route is None or declared is None:
        return []  # app.py tells of bindings that differ
    said = [
        f"{what} {getattr(route, field)!r}, the decorator {getattr(declared, field)!r}"
        for field, what in (("template", "route"), ("level", "authLevel"))
        if getattr(route, field) != getattr(declared, field)
    ]
    if _methods(route) != _methods(declared):
        said.append(f"methods {route.methods}, the decorator {declared.methods}")
    return [f"{route.where}: function {function.name!r}: the host reads {one}: run fastworker sync" for one in said]


def _lost_outputs(function: Function, written: Iterable[Binding], path: Path) -> list[str]:
    """Outputs that the decorators name and the host's function.json does not: what is set there goes nowhere."""
    theirs = {binding.name for binding in written if not binding.is_trigger and binding.direction != "in"}
    ours = [b for b in function.bindings if not b.is_trigger and b.direction != "in" and b.name not in theirs]
    there = ", ".join(repr(name) for name in sorted(theirs)) or "none"
    return [
        f"{path}: function {function.name!r}: the host reads no output {b.name!r} (there are: {there}), so that "
        f"{'every client gets an empty 204' if b.is_http_output else 'what is set there is lost'}: run fastworker sync"
        for b in ours
    ]


def _methods(route: HttpRoute) -> set[str] | None:
    return None if route.methods is None else {method.upper() for method in route.methods}


def _without_handler(functions: Mapping[str, Function], root: Path) -> list[HttpRoute]:
    """Functions that the host knows and the app does not: requests for them come here all the same."""
    names = {name.lower() for name in functions}
    found = []
    for path in function_folders(root):
        name = path.parent.name
        if name.lower() in names:
            continue
        try:
            route = _route(name, function_json_of(path).bindings, is_served=False)
        except UnreadableFileError:
            route = HttpRoute(name, "{*any}", None, "anonymous", True, f"{path}:1", is_served=False, is_known=False)
        except (FileNotFoundError, ConfigFileError):
            continue  # in error: the host does not load it (E-serve-byname-broken)
        if route is not None:
            found.append(route)
    return found
