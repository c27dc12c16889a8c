"""How .NET and Newtonsoft turn values into text and back: dates, numbers, JSON, base64 (protocol 2.2, 4.1, 4.5).

Used by everything in this folder that reads or writes a value. A JSON value is a Python value, a date among them a
DateText. Rule: one function per rule of the host; nothing depends on the time zone of this machine.
"""

import base64
import binascii
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from uuid import UUID

from fastworker.hostrules.newtonsoft import CONFIG_DEPTH, read_json

# Of DateTimeParser: what stands around the fixed places is checked with it, to the last character.
ISO_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,7}))?(?:([Zz])|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
MICROSOFT_DATE: Final = re.compile(r"/Date\((-?[0-9]{1,19})(?:([+-])([0-9]{2})([0-9]{2})?)?\)/")
BASE64_SPACE: Final = re.compile(r"[ \t\r\n]")
BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
ESCAPED: Final = re.compile('[\x00-\x1f"\\\\\x85\u2028\u2029\ud800-\udfff]')
SHORT_ESCAPES: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}

TICKS_A_SECOND: Final = 10_000_000
MAX_TICKS: Final = 3_155_378_975_999_999_999  # the last tick of the year 9999
EPOCH: Final = datetime(1, 1, 1)
UNIX_TICKS: Final = 621_355_968_000_000_000
# Above this many digits before the point a double is written with an exponent.
MAX_PLAIN_DIGITS: Final = 17


class DateText(str):
    """A string that Newtonsoft has parsed as a date (trap 26); itself the text as it came.

    `ticks` are the tenths of microseconds since the year 1; `zone` is the text that stands for it in JSON.
    """

    __slots__ = ("ticks", "zone")
    ticks: int
    zone: str

    def __new__(cls, text: str, ticks: int, zone: str = "") -> "DateText":
        self = super().__new__(cls, text)
        self.ticks = ticks
        self.zone = zone
        return self

    @property
    def _moment(self) -> datetime:
        return EPOCH + timedelta(seconds=self.ticks // TICKS_A_SECOND)

    @property
    def invariant(self) -> str:
        """By ToString, as it reaches queues, http bodies and headers: `01/02/2020 03:04:05`."""
        return self._moment.strftime("%m/%d/") + f"{self._moment.year:04d}" + self._moment.strftime(" %H:%M:%S")

    @property
    def iso(self) -> str:
        """Within JSON: trailing zeros of the fraction dropped, the zone as `Z`, `+02:00` or nothing."""
        fraction = f"{self.ticks % TICKS_A_SECOND:07d}".rstrip("0")
        text = f"{self._moment.year:04d}" + self._moment.strftime("-%m-%dT%H:%M:%S")
        return f"{text}.{fraction}{self.zone}" if fraction else f"{text}{self.zone}"


def parse_date(text: str, zone: tzinfo = UTC) -> DateText | None:
    """What Newtonsoft takes for a date; None for any other text. One with an offset is moved to `zone`, the host's.

    >>> parse_date("2020-01-02T03:04:05.100+05:30").iso
    '2020-01-01T21:34:05.1+00:00'
    """
    if text[:1] == "/":
        match = MICROSOFT_DATE.fullmatch(text)
        if match is None:
            return None
        ticks = UNIX_TICKS + int(match[1]) * 10_000
        if not 0 <= ticks <= MAX_TICKS:
            return None
        return _local(text, ticks, zone) if match[2] else DateText(text, ticks, "Z")
    if not 19 <= len(text) <= 40 or text[10] != "T":
        return None
    match = ISO_DATE.fullmatch(text)
    return None if match is None else _iso_date(text, match, zone)


def _iso_date(text: str, match: re.Match[str], zone: tzinfo) -> DateText | None:
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction = int((match[7] or "").ljust(7, "0"))
    if hour > 24 or (hour == 24 and (minute or second or fraction)):
        return None
    try:
        moment = datetime(year, month, day, hour % 24, minute, second)
    except ValueError:
        return None
    ticks = _ticks(moment) + fraction + (24 * 3600 * TICKS_A_SECOND if hour == 24 else 0)
    if ticks > MAX_TICKS:
        return None
    if match[9] is None:
        return DateText(text, ticks, "Z" if match[8] else "")
    offset = (int(match[10]) * 60 + int(match[11] or 0)) * 60 * TICKS_A_SECOND
    moved = ticks + (offset if match[9] == "-" else -offset)
    if not 0 <= moved <= MAX_TICKS:
        return DateText(text, min(max(moved, 0), MAX_TICKS), "+00:00")
    return _local(text, moved, zone)


def _ticks(moment: datetime) -> int:
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * TICKS_A_SECOND


def _local(text: str, ticks: int, zone: tzinfo) -> DateText:
    """A moment of UTC, moved to the host's zone."""
    moment = (EPOCH + timedelta(seconds=ticks // TICKS_A_SECOND)).replace(tzinfo=UTC)
    try:
        offset = moment.astimezone(zone).utcoffset() or timedelta()
    except OverflowError:
        offset = timedelta()
    minutes = int(offset.total_seconds()) // 60
    shown = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    moved = ticks + int(offset.total_seconds()) * TICKS_A_SECOND
    return DateText(text, min(max(moved, 0), MAX_TICKS), shown)


def read_values(text: str, *, max_depth: int = CONFIG_DEPTH, trailing: bool = False, zone: tzinfo = UTC) -> Any:
    """JSON as the host's readers of values take it: strings that are dates become DateText. Raises JsonError."""
    return read_json(text, max_depth=max_depth, trailing=trailing, string=lambda s: parse_date(s, zone) or s)


def as_string(value: Any) -> Any:
    """A date back to the text that it was, for members that the host reads as strings."""
    return str(value) if isinstance(value, DateText) else value


# ---- text -----------------------------------------------------------------------------------------------------------


def to_text(value: Any) -> str:
    """A value by .NET's ToString, as queues and http bodies get it: `True`, `1.5`, JSON indented."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, DateText):
        return value.invariant
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, dict | list):
        return write_json(value, indented=True)
    return str(value)


def float_text(value: float) -> str:
    """A double by ToString("R"): `1`, `0.1`, `1E+20`, `-0`, `Infinity`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return f"{sign}0"
    digits, exponent = _shortest(abs(value))
    point = exponent + 1  # how many digits stand before it
    if not -4 < point <= MAX_PLAIN_DIGITS:
        mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
        return f"{sign}{mantissa}E{point - 1:+03d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    whole, rest = digits[:point].ljust(point, "0"), digits[point:]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def _shortest(value: float) -> tuple[str, int]:
    """The digits of the shortest text that is this double, and its exponent."""
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, rest = mantissa.partition(".")
    digits = (whole + rest).lstrip("0")
    shift = len(whole) - 1 if whole != "0" else len(digits) - len(rest) - 1
    return digits.rstrip("0"), shift + int(exponent or 0)


# ---- JSON -----------------------------------------------------------------------------------------------------------


def write_json(value: Any, *, indented: bool = False) -> str:
    """JSON as Newtonsoft writes it: U+0085, U+2028 and U+2029 escaped, NaN as a string, `1.0`, dates as ISO.

    >>> write_json({"a": 1e2, "b": float("inf")})
    '{"a":100.0,"b":"Infinity"}'
    """
    return "".join(_pieces(value, "\n" if indented else ""))


def _pieces(value: Any, newline: str) -> list[str]:
    if isinstance(value, Mapping):
        members = [(f"{json_string(str(name))}:{' ' if newline else ''}", item) for name, item in value.items()]
        return _container("{", "}", members, newline)
    if isinstance(value, list | tuple):
        return _container("[", "]", [("", item) for item in value], newline)
    return [json_scalar(value)]


def _container(opening: str, closing: str, members: list[tuple[str, Any]], newline: str) -> list[str]:
    if not members:
        return [opening, closing]
    inner = f"{newline}  " if newline else ""
    pieces = [opening]
    for prefix, item in members:
        pieces += [inner, prefix, *_pieces(item, inner), ","]
    pieces[-1] = newline
    pieces.append(closing)
    return pieces


def json_scalar(value: Any) -> str:
    """A value that is no object and no array, as JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, DateText):
        return f'"{value.iso}"'
    if isinstance(value, str):
        return json_string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = float_text(value)
        if not math.isfinite(value):
            return f'"{text}"'
        return text if any(mark in text for mark in ".E") else f"{text}.0"
    if isinstance(value, bytes | bytearray | memoryview):
        return f'"{base64.b64encode(value).decode()}"'
    if isinstance(value, datetime):
        return f'"{iso_moment(value)}"'
    if isinstance(value, UUID):
        return f'"{value}"'
    raise TypeError(f"no JSON for {type(value).__name__}")


def iso_moment(value: datetime) -> str:
    """A datetime within JSON, with the fraction's trailing zeros dropped."""
    fraction = f"{value.microsecond:06d}".rstrip("0")
    offset = value.strftime("%z")
    zone = "" if not offset else f"{offset[:3]}:{offset[3:5]}"
    return value.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{fraction}" if fraction else "") + zone


def json_string(text: str) -> str:
    """A string as JSON, as Newtonsoft escapes it; lone surrogates become U+FFFD, as in UTF-8."""
    return f'"{ESCAPED.sub(_escape, text)}"' if ESCAPED.search(text) else f'"{text}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"


def depth_of(value: Any) -> int:
    """How many objects and arrays are nested in one another: 0 for a scalar, 1 for `{}`."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [member for item in level for member in (item.values() if isinstance(item, dict) else item)]
    return depth


# ---- base64 and text in bytes ---------------------------------------------------------------------------------------


def from_base64(text: str) -> bytes | None:
    """.NET's Convert.FromBase64String: None where that would throw (protocol 4.5). Spare bits do not matter."""
    packed = BASE64_SPACE.sub("", text)
    if not BASE64.fullmatch(packed):
        return None
    try:
        return base64.b64decode(packed)
    except (binascii.Error, ValueError):
        return None


def wire(value: Any) -> str:
    """The JSON text of a member of `Data` or `Metadata` (protocol 2.2): bytes, dates, objects plain, else quoted."""
    if isinstance(value, Mapping):
        return write_json(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return json_scalar(value)
    if isinstance(value, datetime):
        return json_scalar(value.replace(microsecond=0))
    return json_string(write_json(value))
