"""The one rule by which a request finds its function, the host's: for serve's plain HTTP and for dev's front.

Templates are route_template.py's; dispatch.py and devhost/front.py hold a table each.
Rule: pure. The first function *by name* whose template, constraints and methods fit is chosen, however specific the
others are; whether it is disabled, or needs a key, is looked at afterwards, and the next one is not tried.
"""

import re
from collections.abc import Collection
from typing import Final, Generic, NamedTuple, TypeVar

from fastworker.protocol.route_template import Parameter, Params, Route, RouteError, Text, capitals, split

T = TypeVar("T")

__all__ = ["Route", "RouteError", "RouteTable", "decoded_path", "is_reserved", "sort_key", "with_prefix"]

ESCAPES: Final = re.compile(r"(?:%[0-9a-fA-F]{2})+")
PLAIN_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+")
DOT_SEGMENTS: Final = re.compile(r"/\.\.?(?:/|$)")


class _Row(NamedTuple, Generic[T]):
    name: str
    route: Route
    methods: frozenset[str] | None
    target: T


class RouteTable(Generic[T]):
    """Targets by prefix, function name, route and methods."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._rows: list[_Row[T]] = []

    def add(self, name: str, template: str, methods: Collection[str] | None, target: T) -> Route:
        """A function's route below the prefix; `methods` in any case, None means all, and an empty list none.

        Raises RouteError for a template that the host cannot parse.
        """
        route = Route(with_prefix(self.prefix, template))
        allowed = None if methods is None else frozenset(capitals(method) for method in methods)
        self._rows.append(_Row(name, route, allowed, target))
        self._rows.sort(key=lambda row: sort_key(row.name))
        return route

    def find(self, method: str, raw_path: str) -> tuple[T, Params] | None:
        """The target for a path as it stands in the request line, and its parameters.

        A method that is not listed is as good as another path: the host says 404, never 405.
        """
        path = decoded_path(raw_path)
        if not path.startswith("/"):
            return None
        segments, uppers = split(path)
        method = method.upper()
        for row in self._rows:
            if row.methods is None or method in row.methods:
                params = row.route.match_segments(path, segments, uppers)
                if params is not None:
                    return row.target, params
        return None

    def hidden(self) -> list[tuple[str, str]]:
        """(function, the one before it by name) for functions that no request can reach because of the other."""
        found = []
        for index, row in enumerate(self._rows):
            for before in self._rows[:index]:
                if _covers(before, row):
                    found.append((row.name, before.name))
                    break
        return found

    def literal_paths(self) -> list[str]:
        """The paths, in ASCII and without escapes, of routes that have no parameters."""
        paths = []
        for row in self._rows:
            texts = [segment[0] for segment in row.route.segments if len(segment) == 1]
            path = "/" + "/".join(part.text for part in texts if isinstance(part, Text))
            if not row.route.parameters and PLAIN_PATH.fullmatch(path):
                paths.append(path)
        return paths

    def __bool__(self) -> bool:
        return bool(self._rows)


def sort_key(name: str) -> str:
    """The host's order of functions: ordinal, ignoring case, so that `-` < digits < letters < `_`."""
    return capitals(name)


def with_prefix(prefix: str, template: str) -> str:
    """The whole template: the host joins the two as they are."""
    return f"{prefix}/{template}" if prefix else template


def is_reserved(template: str) -> bool:
    """Whether the host keeps such a route for itself, by its letters, so that `administrator` is in error, too."""
    return template.strip("/").lower().startswith(("admin", "runtime"))


def have_one_route(
    one: str, methods: Collection[str] | None, other: str, other_methods: Collection[str] | None
) -> bool:
    """Whether the host takes out the second of two functions: one text but for case and outer slashes, and methods that
    overlap, compared as they are written."""
    if one.strip("/").lower() != other.strip("/").lower():
        return False
    return methods is None or other_methods is None or bool(set(methods) & set(other_methods))


def _covers(before: "_Row[T]", row: "_Row[T]") -> bool:
    """Whether every request for `row` fits `before`; False also where that takes more than a look to tell."""
    if before.methods is not None and (row.methods is None or not row.methods <= before.methods):
        return False
    wide, narrow = before.route.segments, row.route.segments
    for index, segment in enumerate(wide):
        part, other = segment[0], narrow[index] if index < len(narrow) else ()
        if len(segment) > 1:
            return False
        if isinstance(part, Text):
            if len(other) != 1 or not isinstance(other[0], Text) or other[0].upper != part.upper:
                return False
            continue
        if part.constraints:
            return False
        if part.rest:
            return True
        may_be_absent = part.optional or part.default is not None
        needed = not other or (len(other) == 1 and isinstance(other[0], Parameter) and _may_be_more_or_less(other[0]))
        if needed and not may_be_absent:
            return False
        if len(other) == 1 and isinstance(other[0], Parameter) and other[0].rest:
            return False
    return len(narrow) <= len(wide)


def _may_be_more_or_less(parameter: Parameter) -> bool:
    return parameter.rest or parameter.optional or parameter.default is not None


# ---- paths -------------------------------------------------------------------------------------------------


def decoded_path(raw: str) -> str:
    """The path of a request line as the host reads it, before it looks for a route.

    Escapes are decoded once, but for `%2F` and for bytes that are not UTF-8, which stay as they are written; then
    `.` and `..` are resolved. Empty segments stay.
    """
    path = ESCAPES.sub(_decoded, raw) if "%" in raw else raw
    return _without_dots(path) if "/." in path and DOT_SEGMENTS.search(path) else path


def _decoded(match: re.Match[str]) -> str:
    text = match[0]
    data = bytes.fromhex(text.replace("%", ""))
    if b"/" not in data:
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    pieces: list[str] = []
    index = 0
    while index < len(data):
        size = 1 if data[index] < 0x80 else 2 if data[index] < 0xE0 else 3 if data[index] < 0xF0 else 4
        try:
            if data[index] == 0x2F:
                raise ValueError
            pieces.append(data[index : index + size].decode())
        except ValueError:
            size = 1
            pieces.append(text[3 * index : 3 * index + 3])
        index += size
    return "".join(pieces)


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for index, segment in enumerate(segments):
        if segment in (".", ".."):
            if segment == ".." and len(kept) > 1:
                kept.pop()
            if index == len(segments) - 1:
                kept.append("")
        else:
            kept.append(segment)
    return "/".join(kept) or "/"
