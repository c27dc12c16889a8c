"""What an app's routes come to in the host, found at load: routes that stop every function, and those that surprise.

Used by app.py for serve, sync and dev. Rule: a problem or warning names the file and line, and says how to mend it.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import Final, Protocol

from fastworker.protocol.bindings import Binding
from fastworker.protocol.routing import RouteError, RouteTable, have_one_route, is_reserved, sort_key, with_prefix

LEVELS: Final = ("anonymous", "function", "admin", "user", "system")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


class HttpFunction(Protocol):
    """A function, as far as its route goes."""

    @property
    def name(self) -> str: ...
    @property
    def trigger(self) -> Binding: ...
    @property
    def route(self) -> str: ...


def without_leading_slash(bindings: Iterable[Binding], warn: Callable[[str], None]) -> list[Binding]:
    """The bindings of decorators; a slash before a route, as other frameworks have it, is taken off with a hint."""
    found = []
    for binding in bindings:
        route = binding.properties.get("route")
        if binding.key == "httptrigger" and isinstance(route, str) and route.startswith("/") and len(route) > 1:
            warn(
                f"{binding.where}: the route {route!r} is taken for {route[1:]!r}: with the slash before it the host "
                f"would serve no function at all; write it without"
            )
            found.append(replace(binding, properties={**binding.properties, "route": route[1:]}))
        else:
            found.append(binding)
    return found


def http_problems(bindings: Iterable[Binding], warn: Callable[[str], None]) -> list[str]:
    """Levels and methods of http triggers that nobody can have meant."""
    problems = []
    for binding in bindings:
        if binding.key != "httptrigger":
            continue
        level = str(binding.properties.get("authLevel") or "function").lower()
        if level not in LEVELS:
            problems.append(
                f"{binding.where}: auth_level {level!r}{_meant(level, LEVELS)}: write anonymous (everybody), function "
                f"(a key of the function or the host) or admin (the master key)"
            )
        for method in binding.methods:
            if method.upper() in METHODS:
                continue
            meant = _meant(method.upper(), METHODS)
            known = f"methods are {', '.join(METHODS)}, in a list"
            if meant or not method.isalpha():
                problems.append(f"{binding.where}: the method {method!r} is none of HTTP's{meant}: {known}")
            else:
                warn(f"{binding.where}: the method {method!r} is rarely seen; {known}")
    return problems


def _meant(word: str, words: tuple[str, ...]) -> str:
    near = get_close_matches(word, words, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def route_problems(functions: Iterable[HttpFunction], prefix: str) -> list[str]:
    """Whatever makes the host answer 503 for every function of the app."""
    http = [function for function in functions if function.trigger.key == "httptrigger"]
    problems = []
    for function in http:
        try:
            RouteTable[None](prefix).add(function.name, function.route, None, None)
        except RouteError as exc:
            problems.append(
                f"{function.trigger.where}: function {function.name!r}: {exc} (the host serves no function at all of "
                f"an app that has such a route)"
            )
    return problems


def route_warnings(functions: Iterable[HttpFunction], prefix: str) -> list[str]:
    """Routes that the host takes, and that do not do what they look like."""
    warnings = []
    by_name = {}
    table: RouteTable[None] = RouteTable(prefix)
    for function in functions:
        if function.trigger.key != "httptrigger":
            continue
        where = f"{function.trigger.where}: function {function.name!r}"
        if is_reserved(function.route):
            warnings.append(
                f"{where}: its route {function.route!r} begins with the letters admin or runtime, which are the "
                f"host's own: it takes this function out (404); give it another route"
            )
            continue
        by_name[function.name] = function
        route = table.add(function.name, function.route, function.trigger.allowed_methods, None)
        warnings += [f"{where}: {doubt}" for doubt in route.doubts]
        if prefix and function.route.lower().startswith(f"{prefix.lower()}/"):
            warnings.append(
                f"{where}: its route repeats the prefix, its address is {with_prefix(prefix, function.route)}: write "
                f"{function.route[len(prefix) + 1 :]!r}, for the host puts host.json's routePrefix before it"
            )
    doubles = _doubles(by_name.values())
    for name, before in doubles:
        warnings.append(
            f"{by_name[name].trigger.where}: function {name!r} has the same route as {before!r} "
            f"({by_name[before].trigger.where}) and a method in common: the host takes it out (404); rename its route"
        )
    for name, before in [pair for pair in table.hidden() if pair[0] not in dict(doubles)]:
        function, other = by_name[name], by_name[before]
        warnings.append(
            f"{function.trigger.where}: no request reaches function {name!r} ({with_prefix(prefix, function.route)}): "
            f"the host takes the first one by name whose route fits, and that is {before!r} "
            f"({with_prefix(prefix, other.route)}, {other.trigger.where}); rename one, or narrow that route"
        )
    return warnings


def _doubles(functions: Iterable[HttpFunction]) -> list[tuple[str, str]]:
    """(function, the one before it by name) where both have one route, but for case and outer slashes."""
    kept: list[HttpFunction] = []
    found = []
    for function in sorted(functions, key=lambda function: sort_key(function.name)):
        other = next((other for other in kept if _clash(function, other)), None)
        if other is None:
            kept.append(function)
        else:
            found.append((function.name, other.name))
    return found


def _clash(one: HttpFunction, other: HttpFunction) -> bool:
    return have_one_route(one.route, one.trigger.allowed_methods, other.route, other.trigger.allowed_methods)
