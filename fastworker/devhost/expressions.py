"""Binding expressions (protocol 7): `{name}` in paths and names, and blob path patterns.

Used by outputs.py, inputs.py and blob_trigger.py. Rule: pure, but for the clock and new GUIDs.
"""

import re
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from fastworker.hostrules.dotnet_values import to_text
from fastworker.hostrules.envelope import BindingData

EXPRESSION: Final = re.compile(r"\{([^{}]+)\}")
DATE_FORMAT: Final = "yyyy-MM-ddTHH-mm-ssK"
NET_DATE: Final = re.compile(r"yyyy|yy|MMM|MM|dd|HH|hh|mm|ss|fff|tt|K|zzz")
STRFTIME: Final = {
    "yyyy": "%Y",
    "yy": "%y",
    "MMM": "%b",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "hh": "%I",
    "mm": "%M",
    "ss": "%S",
    "tt": "%p",
    "K": "Z",
    "zzz": "+00:00",
}
GUID_FORMATS: Final = {"": "{0}", "d": "{0}", "n": "{1}", "b": "{{{0}}}", "p": "({0})"}


class ExpressionError(Exception):
    """A binding expression has no value, as the host would say it."""


def resolve(template: str, data: BindingData) -> str:
    """The template with every `{expression}` filled in. Raises ExpressionError."""
    return EXPRESSION.sub(lambda match: _value(match[1].strip(), data), template)


def _value(expression: str, data: BindingData) -> str:
    name, _, form = expression.partition(":")
    lower = name.lower()
    if lower in ("rand-guid", "sys.randguid"):
        return _guid(form)
    if lower in ("datetime", "sys.utcnow") and "datetime" not in data:
        return format_date(datetime.now(UTC), form or DATE_FORMAT)
    value = _looked_up(name, data)
    if value is None:
        names = ", ".join(sorted(known for known, _ in data.items()))
        raise ExpressionError(f"no value for {{{expression}}}; the trigger gives: {names}")
    if isinstance(value, datetime):
        return format_date(value, form or DATE_FORMAT)
    return to_text(value)


def _looked_up(path: str, data: BindingData) -> Any:
    first, *rest = path.split(".")
    value = data.get(path) if path in data else data.get(first)
    if path in data:
        return value
    for name in rest:
        if not isinstance(value, dict):
            return None
        value = next((item for key, item in value.items() if key.lower() == name.lower()), None)
    return value


def _guid(form: str) -> str:
    guid = uuid.uuid4()
    if form.lower() not in GUID_FORMATS:
        raise ExpressionError(f"no GUID format {form!r}: D, N, B or P")
    return GUID_FORMATS[form.lower()].format(guid, guid.hex)


def format_date(moment: datetime, form: str) -> str:
    """A .NET format string, as far as paths use one."""

    def part(match: re.Match[str]) -> str:
        if match[0] == "fff":
            return f"{moment.microsecond // 1000:03d}"
        return moment.strftime(STRFTIME[match[0]])

    return NET_DATE.sub(part, form)


def path_pattern(path: str) -> re.Pattern[str]:
    """A blob trigger's path, without its container, as a pattern with one group per `{name}`."""
    pieces: list[str] = []
    position = 0
    for match in EXPRESSION.finditer(path):
        pieces.append(re.escape(path[position : match.start()]))
        # The last name takes the rest, slashes too; those before it as little as they can.
        last = not EXPRESSION.search(path, match.end())
        pieces.append(f"(?P<{_group(match[1])}>.+{'' if last else '?'})")
        position = match.end()
    return re.compile("".join(pieces) + re.escape(path[position:]))


def _group(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ExpressionError(f"{{{name}}} in a blob trigger's path must be a plain name")
    return name
