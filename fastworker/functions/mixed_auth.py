"""Who could be run through whom: functions that need a key which the host has not asked for (docs/security.md).

A forwarding host looks for a function by the client's path, asks for *its* key, and then sends a path that it has
written anew: encoded `?`, `#`, `\\` and `%` come out as something else, and `..` that appear so are resolved. The
handler chooses by that path. Used by app.py for serve, and by sync to choose the mode.
Rule: pure, and errs on the side of refusing: what is not proven to be unreachable counts as reachable.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from fastworker.errors import MixedAuthError
from fastworker.functions.http_routes import HttpRoute
from fastworker.protocol.route_template import Parameter, Route, Segment, Text
from fastworker.protocol.routing import sort_key, with_prefix

# .NET's AuthorizationLevel, by name and by number.
LEVELS: Final = {
    "anonymous": 0,
    "user": 1,
    "function": 2,
    "system": 3,
    "admin": 4,
    "0": 0,
    "1": 1,
    "2": 2,
    "3": 3,
    "4": 4,
}
# A character that the host's rewriting makes something else of.
WILD: Final = frozenset("\\?#%")


MixedAuth = Literal["refuse", "allow", "warn"]


class Reach(NamedTuple):
    """`protected` could be run by whoever may run `weaker`."""

    weaker: HttpRoute
    protected: HttpRoute


def reachable(routes: Iterable[HttpRoute], prefix: str) -> list[Reach]:
    """Every pair of which it is not proven that no request for `weaker` runs `protected`, which needs more."""
    plain = [route for route in routes if route.is_plain]
    served = [route for route in plain if route.is_served]
    return [
        Reach(weaker, protected)
        for protected in served
        for weaker in plain
        if _level(weaker, weaker=True) < _level(protected) and _may_become(weaker, protected, prefix)
    ]


def may_not_redirect(routes: Sequence[HttpRoute]) -> frozenset[str]:
    """Functions under `httpWorker` whose redirections the host would follow to one that needs more than they do."""
    plain = [route for route in routes if route.is_plain and route.is_served]
    most = max(map(_level, plain), default=0)
    return frozenset(route.name for route in plain if _level(route, weaker=True) < most)


def _level(route: HttpRoute, *, weaker: bool = False) -> int:
    return LEVELS.get(route.level, 0 if weaker else 4)


def _may_become(weaker: HttpRoute, protected: HttpRoute, prefix: str) -> bool:
    """Whether a path that fits `weaker` may come out as one by which `protected` is found."""
    if not weaker.is_known:
        return True
    from_route, to_route = Route(with_prefix(prefix, weaker.template)), Route(with_prefix(prefix, protected.template))
    if not _share_a_method(weaker, protected, from_route):
        return False
    if not all(_is_tame(segment) for segment in from_route.segments):
        return True  # `\..\..\` in its parameter leads anywhere
    # Every path that fits comes out as itself, but perhaps for blanks around a value: what has lost them may fit a
    # function before `weaker` by name. One behind it comes in only if our constraint refuses what the host's has taken.
    if not from_route.parameters:
        return False
    is_exact = all(parameter.is_exact for parameter in from_route.parameters)
    if is_exact and sort_key(protected.name) > sort_key(weaker.name):
        return False
    return _may_meet(from_route.segments, to_route.segments)


def _share_a_method(weaker: HttpRoute, protected: HttpRoute, route: Route) -> bool:
    if weaker.methods is None or protected.methods is None:
        return True
    # In ASP.NET a parameter of this name has the methods for its constraint, and may do without when it is optional.
    if any(parameter.name.lower() == "httpmethod" for parameter in route.parameters):
        return True
    return bool({m.upper() for m in weaker.methods} & {m.upper() for m in protected.methods})


def _is_tame(segment: Segment) -> bool:
    for part in segment:
        if isinstance(part, Parameter) and not part.is_tame:
            return False
        if isinstance(part, Text) and not _is_itself(part.text):
            return False
    return True


def _is_itself(text: str) -> bool:
    return (
        not WILD & set(text)
        and text not in (".", "..")
        and text == text.strip()
        and text.isprintable()
        and text == unicodedata.normalize("NFC", text)
    )


def _may_meet(one: Sequence[Segment], other: Sequence[Segment]) -> bool:
    """Whether some path may fit both, looking at their texts alone."""
    for a, b in zip(one, other, strict=False):
        if _takes_the_rest(a) or _takes_the_rest(b):
            return True
        if len(a) == len(b) == 1 and isinstance(a[0], Text) and isinstance(b[0], Text) and a[0].upper != b[0].upper:
            return False
    longer = one[len(other) :] or other[len(one) :]
    return all(_may_be_absent(segment) for segment in longer)


def _takes_the_rest(segment: Segment) -> bool:
    return isinstance(segment[0], Parameter) and segment[0].rest


def _may_be_absent(segment: Segment) -> bool:
    part = segment[0]
    return (
        len(segment) == 1 and isinstance(part, Parameter) and (part.rest or part.optional or part.default is not None)
    )


# ---- at load -----------------------------------------------------------------------------------------------


class Forwarding(Protocol):
    """What host.json says of plain HTTP (protocol 1.7)."""

    @property
    def http_mode(self) -> str: ...
    @property
    def http_mode_key(self) -> str | None: ...
    @property
    def route_prefix(self) -> str: ...
    @property
    def forwards_by_name(self) -> bool: ...


def check_levels(routes: Sequence[HttpRoute], host: Forwarding, host_json: str, choice: MixedAuth) -> list[str]:
    """Raises MixedAuthError if the host forwards and a function could be run without its key.

    With another `choice` than "refuse" it is a warning that is returned.
    """
    if host.http_mode == "envelope" or host.forwards_by_name:
        return []
    found = reachable(routes, host.route_prefix)
    if not found:
        return []
    one = found[0]
    key = host.http_mode_key or host.http_mode
    short = (
        f"{one.protected.name!r} ({one.protected.level}) could be run without its key through {one.weaker.name!r} "
        f"({one.weaker.level})"
    )
    if choice != "refuse":
        then = "FASTWORKER_MIXED_AUTH=allow lets it" if choice == "allow" else "serve refuses that under a host"
        return [f"{host_json}: {short}, for {key} makes the host forward requests: {then} (docs/security.md)"]
    raise MixedAuthError(
        f"{host_json}: {key} makes the host forward requests. It asks for the key of the function that it finds by the "
        f"client's path, and then sends a path that it has written anew, by which another one may be found. These "
        f"could be run without the key that they need:\n{table(found, host.route_prefix)}\nChoose one of these (see "
        f"docs/security.md):\n{ways_out(routes, key)}\nrefused to forward to this app: {short}"
    )


# ---- what is said of it ------------------------------------------------------------------------------------


def table(found: Sequence[Reach], prefix: str) -> str:
    """One line for each protected function, with one of those that lead to it."""
    lines = []
    for name in dict.fromkeys(reach.protected.name for reach in found):
        reaches = [reach for reach in found if reach.protected.name == name]
        through = ", ".join(
            f"{reach.weaker.name} ({reach.weaker.level}, {with_prefix(prefix, reach.weaker.template)})"
            for reach in reaches[:3]
        )
        more = f" and {len(reaches) - 3} more" if len(reaches) > 3 else ""
        protected = reaches[0].protected
        lines.append(f"  {name} ({protected.level}, {protected.where}) through {through}{more}")
    return "\n".join(lines)


def ways_out(routes: Iterable[HttpRoute], key: str) -> str:
    """What to do about it, the way that changes least first. `key` is what makes the host forward."""
    plain = [route for route in routes if route.is_plain and route.is_served]
    ways = [
        "one auth_level for all of them",
        "a second output binding (a queue, say) on each protected function: the host then sends it envelopes, whose "
        "path is the name of the function that it has chosen",
    ]
    if not any(route.needs_parameters for route in plain):
        ways.append(
            "the section httpWorker in place of customHandler: as fast, and its path is that name, too (no handler "
            "here needs its route's parameters, which httpWorker does not bring)"
        )
    ways.append(f"envelopes for all: remove {key}")
    ways.append("FASTWORKER_MIXED_AUTH=allow, if the network in front of the app lets in only who may run everything")
    return "\n".join(f"  - {way}" for way in ways)
