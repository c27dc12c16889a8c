"""Route templates as ASP.NET reads and matches them (protocol 6.1): which the host's router is made of.

Used by routing.py, and by build.py for the names of a route's parameters; constraints are route_constraint.py's.
Rule: pure. Whatever the host refuses is refused here, and matching takes time in proportion to the path.
"""

from dataclasses import dataclass
from typing import Final

from fastworker.protocol.route_constraint import Constraint, ConstraintError, constraint

Params = dict[str, str | None]

# Characters that .NET leaves alone when it ignores case, though Unicode has capitals in ASCII for them.
UNCASED: Final = frozenset("\u0131\u017f")
NOT_IN_NAMES: Final = frozenset("/{}?*")


class RouteError(ValueError):
    """A template that ASP.NET cannot parse: one of them stops every function of the app."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text of a segment; `upper` is for comparisons."""

    text: str
    upper: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """`{name}`, with whatever stands in the braces. `rest`: it takes everything up to the path's end."""

    name: str
    rest: bool = False
    default: str | None = None
    optional: bool = False
    constraints: tuple[Constraint, ...] = ()

    @property
    def is_tame(self) -> bool:
        """Whether no value that passes can mean anything but itself in a path."""
        return any(one.is_tame for one in self.constraints)

    @property
    def is_exact(self) -> bool:
        """Whether the constraints take exactly what the host's take."""
        return all(one.is_exact for one in self.constraints)


Part = Text | Parameter
Segment = tuple[Part, ...]


class Route:
    """A template, with its prefix. `match` gives the parameters of a path, or None.

    Example: `Route("api/items/{id:int}").match("/api/items/7")` is `{"id": "7"}`.
    Raises RouteError for a template that stops the host.
    """

    def __init__(self, template: str) -> None:
        self.template = template
        self.segments = _Parser(template).segments()
        self.parameters = [part for segment in self.segments for part in segment if isinstance(part, Parameter)]
        # (position, text) of segments that are nothing but text: most routes fail there.
        self._texts = [
            (index, segment[0].upper)
            for index, segment in enumerate(self.segments)
            if len(segment) == 1 and isinstance(segment[0], Text)
        ]
        last = self._alone(self.segments[-1]) if self.segments else None
        self._rest = last if last is not None and last.rest else None
        self._most = len(self.segments) - 1 if self._rest else len(self.segments)
        self._least = self._most
        while self._least and self._may_be_absent(self.segments[self._least - 1]):
            self._least -= 1
        self._constrained = [parameter for parameter in self.parameters if parameter.constraints]

    @property
    def doubts(self) -> list[str]:
        """Why some path may fit here that does not in the host."""
        return [one.doubt for parameter in self.parameters for one in parameter.constraints if one.doubt]

    def match(self, path: str) -> Params | None:
        """`path` is decoded, with the prefix; see routing.decoded_path."""
        return self.match_segments(path, *split(path))

    def match_segments(self, path: str, segments: list[str], uppers: list[str]) -> Params | None:
        """The same for a path that has been split already: its segments, and these in capitals."""
        count = len(segments)
        if count < self._least or (count > self._most and self._rest is None):
            return None
        for index, text in self._texts:
            if uppers[index] != text:
                return None
        if "" in segments and "" in segments[: self._most + 1]:
            return None
        params: Params = {}
        for index in range(min(count, self._most)):
            segment = self.segments[index]
            if len(segment) > 1:
                if not _match_mixed(segment, segments[index], uppers[index], params):
                    return None
            elif isinstance(segment[0], Parameter):
                params[segment[0].name] = segments[index]
        if self._rest is not None and count > self._most:
            params[self._rest.name] = _behind(path, self._most) or self._rest.default
        return self._completed(params)

    def _completed(self, params: Params) -> Params | None:
        if len(params) != len(self.parameters):
            for parameter in self.parameters:
                params.setdefault(parameter.name, parameter.default)
        for parameter in self._constrained:
            value = params[parameter.name]
            if not (value is None and parameter.optional) and not all(one.fits(value) for one in parameter.constraints):
                return None
        return params

    @staticmethod
    def _alone(segment: Segment) -> Parameter | None:
        only = segment[0] if len(segment) == 1 else None
        return only if isinstance(only, Parameter) else None

    def _may_be_absent(self, segment: Segment) -> bool:
        only = self._alone(segment)
        return only is not None and (only.optional or only.default is not None)


def split(path: str) -> tuple[list[str], list[str]]:
    """The segments of a path that begins with a slash, as they are and in capitals; one slash at the end is nothing."""
    segments = path[1:].split("/")
    if segments[-1] == "":
        segments.pop()
    if path.isascii():
        return segments, path[1:].upper().split("/")
    return segments, [capitals(segment) for segment in segments]


def capitals(text: str) -> str:
    """For .NET's comparison that ignores case: character by character, never longer than before."""
    if text.isascii():
        return text.upper()
    return "".join(c if c in UNCASED or len(c.upper()) != 1 else c.upper() for c in text)


def _behind(path: str, segments: int) -> str:
    """What stands behind the first `segments` segments and their slash."""
    position = 0
    for _ in range(segments + 1):
        position = path.index("/", position) + 1
    return path[position:]


# ---- segments of several parts -----------------------------------------------------------------------------


def _match_mixed(segment: Segment, text: str, upper: str, params: Params) -> bool:
    """Matches from the right, as the host does: each text is looked for as far right as may be.

    A parameter takes at least one character. One that is optional, at the end behind a dot, may be absent with it.
    """
    last = segment[-1]
    if not (isinstance(last, Parameter) and last.optional):
        return _match_parts(segment, len(segment), text, upper, params)
    if _match_parts(segment, len(segment), text, upper, params):
        return True
    return not text.endswith(".") and _match_parts(segment, len(segment) - 2, text, upper, params)


def _match_parts(segment: Segment, count: int, text: str, upper: str, params: Params) -> bool:
    found: Params = {}
    end = len(text)
    waiting: Parameter | None = None
    for index in range(count - 1, -1, -1):
        part = segment[index]
        if isinstance(part, Parameter):
            waiting = part
            continue
        limit = end - 1 if waiting is not None else end
        if limit <= 0:
            return False
        at = upper.rfind(part.upper, 0, limit)
        if at < 0 or (index == len(segment) - 1 and at + len(part.upper) != len(text)):
            return False
        if waiting is not None:
            found[waiting.name] = text[at + len(part.upper) : end]
            waiting = None
        end = at
    if waiting is not None:
        if end == 0:
            return False
        found[waiting.name] = text[:end]
    elif end != 0:
        return False
    if "" in found.values():
        return False
    params.update(found)
    return True


# ---- parsing -----------------------------------------------------------------------------------------------


class _Parser:
    """Reads a template once, from left to right."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._names: set[str] = set()

    def segments(self) -> list[Segment]:
        text = self._template
        if text.startswith("~/"):
            text = text[2:]
        elif text.startswith("/"):
            text = text[1:]
        elif text.startswith("~"):
            raise self._error("begins with '~'", "write it without")
        found: list[Segment] = []
        position = 0
        while position < len(text):
            if text[position] == "/":
                raise self._error("has an empty segment between slashes", "write one slash, and none at the beginning")
            parts, position = self._segment(text, position)
            found.append(self._checked(parts))
            position += 1
        for segment in found[:-1]:
            if any(isinstance(part, Parameter) and part.rest for part in segment):
                raise self._error("has a catch-all before its end", "let it be the last segment")
        return found

    def _segment(self, text: str, position: int) -> tuple[list[Part], int]:
        parts: list[Part] = []
        while position < len(text) and text[position] != "/":
            part: Part
            if text[position] == "{" and text[position + 1 : position + 2] != "{":
                part, position = self._parameter(text, position)
            else:
                part, position = self._literal(text, position)
            parts.append(part)
        return parts, position

    def _literal(self, text: str, position: int) -> tuple[Text, int]:
        start = position
        while position < len(text) and text[position] != "/":
            if text[position] in "{}":
                if text[position + 1 : position + 2] == text[position]:
                    position += 1
                elif text[position] == "{" and position + 1 < len(text):
                    break
                else:
                    raise self._braces()
            position += 1
        found = text[start:position].replace("}}", "}").replace("{{", "{")
        if "?" in found:
            raise self._error(
                f"has a '?' in {found!r}", "a question mark begins the query, and belongs in a parameter only"
            )
        return Text(found, capitals(found)), position

    def _parameter(self, text: str, start: int) -> tuple[Parameter, int]:
        position = start + 1
        while True:
            if text[position : position + 1] == "{":
                if text[position + 1 : position + 2] != "{":
                    if position + 1 >= len(text):
                        raise self._braces()
                    raise self._error("has a single brace within a parameter", "double it: '{{' and '}}'")
                position += 1
            elif text[position : position + 1] == "}":
                if text[position + 1 : position + 2] != "}":
                    position += 1
                    break
                position += 1
            position += 1
            if position >= len(text):
                raise self._braces()
        inside = text[start + 1 : position - 1].replace("}}", "}").replace("{{", "{")
        return self._named(inside), position

    def _named(self, inside: str) -> Parameter:
        name, rest, optional, texts, default = _split_parameter(inside)
        if rest and inside.endswith("?"):
            raise self._error(f"has the catch-all {{{inside}}}, which cannot be optional", "leave out the '?'")
        if optional and default is not None:
            raise self._error(f"has {{{inside}}}, optional and with a default", "leave out one of them")
        if not name or NOT_IN_NAMES & set(name):
            raise self._error(
                f"has a parameter named {name!r}", "a name is not empty, and has none of the characters / { } ? *"
            )
        if capitals(name) in self._names:
            raise self._error(f"has two parameters named {name!r}", "rename one; names are compared ignoring case")
        self._names.add(capitals(name))
        try:
            constraints = tuple(constraint(text) for text in texts)
        except ConstraintError as exc:
            raise RouteError(f"the route {self._template!r}: {exc}") from None
        return Parameter(name, rest, default, optional, constraints)

    def _checked(self, parts: list[Part]) -> Segment:
        for index, part in enumerate(parts):
            if not isinstance(part, Parameter) or len(parts) == 1:
                continue
            before = parts[index - 1] if index else None
            if part.rest:
                raise self._error(f"has the catch-all {part.name!r} beside other text", "give it a segment of its own")
            if isinstance(before, Parameter):
                raise self._error(
                    f"has {before.name!r} and {part.name!r} with nothing between them", "put a text or a slash there"
                )
            if part.optional and (index != len(parts) - 1 or before is None or before.text != "."):
                raise self._error(
                    f"has the optional {part.name!r} beside other text",
                    "only a single '.' may stand before it, at the end",
                )
        return tuple(parts)

    def _braces(self) -> RouteError:
        return self._error("has braces that do not fit together", "each '{' needs its '}'; '{{' and '}}' are text")

    def _error(self, what: str, mend: str) -> RouteError:
        return RouteError(f"the route {self._template!r} {what}: {mend}")


def _split_parameter(inside: str) -> tuple[str, bool, bool, list[str], str | None]:
    """Name, catch-all, optional, the texts of constraints, default: of what stands in a parameter's braces."""
    stars = 2 if inside.startswith("**") else 1 if inside.startswith("*") else 0
    optional = inside.endswith("?") and len(inside) > stars
    text = inside[stars : -1 if optional else None]
    # A delimiter at the very beginning belongs to the name.
    ends = [at for at in (text.find(":", 1), text.find("=", 1)) if at > 0]
    end = min(ends, default=len(text))
    texts, position = _constraint_texts(text, end)
    default = text[position + 1 :] if text[position : position + 1] == "=" else None
    return text[:end], stars > 0, optional and not stars, texts, default


def _constraint_texts(text: str, position: int) -> tuple[list[str], int]:
    """The constraints that begin at `position`, and where they end.

    A closing parenthesis ends its arguments only before `:`, `=` or the end; a `:` or `=` in arguments is one of
    theirs as long as a closing parenthesis follows.
    """
    texts: list[str] = []
    while text[position : position + 1] == ":":
        start = position = position + 1
        while position < len(text) and text[position] not in ":=(":
            position += 1
        if text[position : position + 1] == "(":
            position = _behind_arguments(text, position + 1)
        if position > start:
            texts.append(text[start:position])
    return texts, position


def _behind_arguments(text: str, position: int) -> int:
    while position < len(text):
        if text[position] == ")" and text[position + 1 : position + 2] in ("", ":", "="):
            return position + 1
        if text[position] in ":=":
            closing = text.find(")", position + 1)
            if closing < 0:
                return position
            # As in ASP.NET, which does not look whether that one is the last.
            position = closing
        position += 1
    return position
