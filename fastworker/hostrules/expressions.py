"""Binding expressions: `{name}` in queue names and blob paths, filled in from the binding data (protocol 7).

Rule: pure, the moment and new GUIDs are passed in; linear in the text. What has no value is an ExpressionError, as the
host says it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from fastworker.hostrules.dotnet_values import to_text

DATE_FORMAT: Final = "yyyy-MM-ddTHH-mm-ssK"
NET_DATE: Final = re.compile(r"yyyy|yy|MMMM|MMM|MM|M|dddd|ddd|dd|d|HH|H|hh|h|mm|m|ss|s|f{1,7}|tt|K|zzz|'[^']*'|\\.")
STRFTIME: Final = {
    "yyyy": "%Y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "dddd": "%A",
    "ddd": "%a",
    "dd": "%d",
    "HH": "%H",
    "hh": "%I",
    "mm": "%M",
    "ss": "%S",
    "tt": "%p",
}
SINGLE: Final = {"M": "%m", "d": "%d", "H": "%H", "h": "%I", "m": "%M", "s": "%S"}
GUID_FORMATS: Final = {"": "{0}", "d": "{0}", "n": "{1}", "b": "{{{0}}}", "p": "({0})"}


class ExpressionError(Exception):
    """A binding expression has no value, or its template cannot be read."""


class Name(NamedTuple):
    """`{text}` of a template."""

    text: str


class Data(Protocol):
    """The binding data, by names that ignore case."""

    def get(self, name: str) -> Any: ...
    def __contains__(self, name: str) -> bool: ...
    def items(self) -> list[tuple[str, Any]]: ...


def parse(template: str) -> list[str | Name]:
    """The pieces of a template: literal text, in which `{{` and `}}` are braces, and names. Raises ExpressionError."""
    pieces: list[str | Name] = []
    literal: list[str] = []
    at = 0
    while at < len(template):
        character = template[at]
        if character in "{}" and template[at : at + 2] == character * 2:
            literal.append(character)
            at += 2
        elif character == "{":
            end = template.find("}", at)
            if end < 0:
                raise ExpressionError(f"{template!r}: a {{ has no }}")
            pieces += ["".join(literal), Name(template[at + 1 : end].strip())]
            literal = []
            at = end + 1
        elif character == "}":
            raise ExpressionError(f"{template!r}: a }} has no {{ before it")
        else:
            literal.append(character)
            at += 1
    return [*pieces, "".join(literal)]


def resolve(template: str, data: Data, now: datetime, new_guid: Callable[[], UUID]) -> str:
    """The template with every `{expression}` filled in. Raises ExpressionError."""
    return "".join(
        piece if isinstance(piece, str) else _value(piece.text, data, now, new_guid) for piece in parse(template)
    )


def _value(expression: str, data: Data, now: datetime, new_guid: Callable[[], UUID]) -> str:
    name, _, form = expression.partition(":")
    lower = name.lower()
    if lower in ("rand-guid", "sys.randguid"):
        return _guid(form, new_guid())
    if lower in ("datetime", "sys.utcnow") and "datetime" not in data:
        return format_date(now, form or DATE_FORMAT)
    value = _looked_up(name, data)
    if isinstance(value, dict | list):
        raise ExpressionError(f"{{{expression}}} is an object, and a name cannot be made of it")
    if isinstance(value, datetime):
        return ""  # InsertionTime and its like are empty in names, whatever the format (B-504, B-505)
    return to_text(value)


def _looked_up(path: str, data: Data) -> Any:
    if path in data:
        return data.get(path)  # None is an optional route parameter that is absent: empty (B-507)
    first, *rest = path.split(".")
    if first not in data:
        names = ", ".join(sorted(known for known, _ in data.items()))
        raise ExpressionError(f"no value for {{{path}}}; the trigger gives: {names}")
    value = data.get(first)
    ignores_case = first.lower() != "query"
    for name in rest:
        value = _member(value, name, ignores_case=ignores_case)
        if value is None:
            raise ExpressionError(f"no value for {{{path}}}: there is no {name!r} in it")
    return value


def _member(value: Any, name: str, *, ignores_case: bool) -> Any:
    if not isinstance(value, Mapping):
        return None
    if not ignores_case or name in value:
        return value.get(name)
    return next((item for key, item in value.items() if key.lower() == name.lower()), None)


def _guid(form: str, guid: UUID) -> str:
    if form.lower() not in GUID_FORMATS:
        raise ExpressionError(f"no GUID format {form!r}: D, N, B or P")
    return GUID_FORMATS[form.lower()].format(guid, guid.hex)


def format_date(moment: datetime, form: str) -> str:
    """A .NET format string, as far as names use one; the moment is UTC."""

    def part(match: re.Match[str]) -> str:
        text = match[0]
        if text[0] == "f":
            return f"{moment.microsecond * 10:07d}"[: len(text)]
        if text[0] in "'\\":
            return text.strip("'\\")
        if text in SINGLE:
            return moment.strftime(SINGLE[text]).lstrip("0") or "0"
        return {"K": "Z", "zzz": "+00:00"}.get(text) or moment.strftime(STRFTIME[text])

    return NET_DATE.sub(part, form)
