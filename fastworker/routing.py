"""Routes as ASP.NET templates (protocol 6.1), matched ignoring case.

Used by service.py for functions that get plain HTTP, and by the local host's front.
Rule: pure, and knows nothing but templates and paths.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")

GUID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|"
    r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}|\([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)",
    re.IGNORECASE,
)
PARAMETER: Final = re.compile(r"\{(\*{0,2})([^{}:=?]+)((?::(?:[^{}()=?]|\([^()]*\))+)*)(?:=([^{}]*))?(\?)?\}")
SPECIFICITY: Final = {"literal": 0, "constrained": 1, "plain": 2, "rest": 3}


class RouteError(ValueError):
    """A route template that cannot be understood."""


def _number(text: str, low: int, high: int) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None and low <= int(text) <= high


def _float(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE) is not None


SIMPLE: Final[dict[str, Callable[[str], bool]]] = {
    "int": lambda text: _number(text, -(2**31), 2**31 - 1),
    "long": lambda text: _number(text, -(2**63), 2**63 - 1),
    "alpha": lambda text: re.fullmatch(r"[A-Za-z]*", text) is not None,
    "bool": lambda text: text.lower() in ("true", "false"),
    "guid": lambda text: GUID.fullmatch(text) is not None,
    "float": _float,
    "double": _float,
    "decimal": _float,
    "datetime": lambda text: re.match(r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}", text) is not None,
    "required": lambda text: text != "",
    "file": lambda text: "." in text.rpartition("/")[2],
    "nonfile": lambda text: "." not in text.rpartition("/")[2],
}

WITH_ARGUMENTS: Final = frozenset({"regex", "length", "minlength", "maxlength", "min", "max", "range"})


def constraint(text: str) -> Callable[[str], bool]:
    """One `:name` or `:name(arguments)`. Raises RouteError for one that does not exist."""
    match = re.fullmatch(r"(\w+)(?:\((.*)\))?", text)
    if match is None:
        raise RouteError(f"the constraint {text!r} cannot be read")
    name, given = match[1].lower(), match[2]
    if given is None and name in SIMPLE:
        return SIMPLE[name]
    if name not in WITH_ARGUMENTS and name not in SIMPLE:
        raise RouteError(f"there is no route constraint {name!r}")
    try:
        if name == "regex":
            pattern = re.compile(given.replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
            return lambda value: pattern.search(value) is not None
        numbers = [int(part) for part in (given or "").split(",")]
    except (re.error, ValueError, AttributeError):  # also of a simple one that was given any
        raise RouteError(f"the constraint {text!r} has the wrong arguments") from None
    low, high = numbers[0], numbers[-1]
    if name == "length":
        return lambda value: low <= len(value) <= high
    if name in ("minlength", "maxlength"):
        return lambda value: len(value) >= low if name == "minlength" else len(value) <= high
    least = low if name != "max" else -(2**63)
    most = high if name != "min" else 2**63
    return lambda value: _number(value, least, most)


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    rest: bool
    default: str | None
    optional: bool
    checks: tuple[Callable[[str], bool], ...]


class Route:
    """A template. `match` gives the parameters of a path, or None; `order` sorts the more specific first."""

    def __init__(self, template: str) -> None:
        self.template = template.strip("/")
        self.parameters: list[Parameter] = []
        segments = self.template.split("/") if self.template else []
        self.order = tuple(self._rank(segment) for segment in segments)
        self._pattern = re.compile("".join(self._segment(s) for s in segments) + "/?", re.IGNORECASE)

    def match(self, path: str) -> dict[str, str | None] | None:
        """`path` is decoded, without the prefix."""
        found = self._pattern.fullmatch("/" + path.strip("/") if path.strip("/") else "")
        if found is None:
            return None
        params: dict[str, str | None] = {}
        for number, parameter in enumerate(self.parameters):
            value = found[f"p{number}"]
            value = value if value else parameter.default
            if value is None and not parameter.optional and not parameter.rest:
                return None
            if value is not None and not all(check(value) for check in parameter.checks):
                return None
            params[parameter.name] = value
        return params

    @staticmethod
    def _rank(segment: str) -> int:
        if "{" not in segment:
            return SPECIFICITY["literal"]
        if "{*" in segment:
            return SPECIFICITY["rest"]
        return SPECIFICITY["constrained" if ":" in segment else "plain"]

    def _segment(self, segment: str) -> str:
        pieces: list[str] = []
        position = 0
        whole = PARAMETER.fullmatch(segment)
        for match in PARAMETER.finditer(segment):
            pieces.append(self._literal(segment[position : match.start()]))
            pieces.append(self._parameter(match, alone=whole is not None))
            position = match.end()
        pieces.append(self._literal(segment[position:]))
        text = "".join(pieces)
        skippable = whole is not None and (whole[1] or whole[5] or whole[4] is not None)
        return f"(?:/{text})?" if skippable else f"/{text}"

    def _literal(self, text: str) -> str:
        if re.search(r"[{}]", text.replace("{{", "").replace("}}", "")):
            raise RouteError(f"the route {self.template!r} has braces that do not fit together")
        return re.escape(text.replace("{{", "{").replace("}}", "}"))

    def _parameter(self, match: re.Match[str], *, alone: bool) -> str:
        stars, name, constraints, default, optional = match.groups()
        texts = re.findall(r":((?:[^:()]|\([^()]*\))+)", constraints or "")
        checks = tuple(constraint(text) for text in texts)
        number = len(self.parameters)
        self.parameters.append(Parameter(name.strip(), bool(stars), default, bool(optional), checks))
        if stars:
            return f"(?P<p{number}>.*)"
        return f"(?P<p{number}>[^/]+)" if alone else f"(?P<p{number}>[^/]+?)"


class RouteTable(Generic[T]):
    """Targets by prefix, route and method; of several routes that fit, the more specific one counts."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.strip("/")
        self._rows: list[tuple[Route, frozenset[str], T]] = []

    def add(self, template: str, methods: Collection[str], target: T) -> Route:
        """`methods` in any case; none means all. Raises RouteError for a template that cannot be understood."""
        route = Route(template)
        self._rows.append((route, frozenset(method.upper() for method in methods), target))
        self._rows.sort(key=lambda row: row[0].order)
        return route

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str | None]] | None:
        """The target for a path as it stands in the request line, and its parameters.

        A method that is not listed is as good as another path: the host says 404, never 405.
        """
        path = decoded_path(raw_path).strip("/")
        if self._prefix:
            if not re.match(re.escape(self._prefix) + "(/|$)", path, re.IGNORECASE):
                return None
            path = path[len(self._prefix) :]
        for route, methods, target in self._rows:
            params = route.match(path)
            if params is not None and (not methods or method.upper() in methods):
                return target, params
        return None

    def __bool__(self) -> bool:
        return bool(self._rows)


def decoded_path(raw: str) -> str:
    """The path of a request line, decoded; an encoded slash stays encoded, as in ASP.NET."""
    return unquote(raw.replace("%2f", "%252F").replace("%2F", "%252F"))
