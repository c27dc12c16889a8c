"""How .NET writes and reads values: the rules behind the protocol's traps (2.2, 4.5, 4.6).

Used by envelope.py, answers.py and written.py. Rule: pure; one function per rule.
"""

import base64
import binascii
import json
import math
import re
import uuid
from datetime import date, datetime
from typing import Any, Final

ISO_DATE: Final = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}(?::\d{2})?)(\.\d{1,7})?(Z|[+-]\d{2}:?\d{2})?")
BASE64_SPACE: Final = re.compile(r"[ \t\r\n]")


class DateText(str):
    """A string of an answer that Newtonsoft has parsed as a date (trap 26); itself the text as it came."""


def from_base64(text: str) -> bytes | None:
    """.NET's Convert.FromBase64String: None where that would throw (protocol 4.5)."""
    try:
        return base64.b64decode(BASE64_SPACE.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        return None


def parse_answer(text: str) -> Any:
    """JSON as the host's reader takes it: strings that look like ISO dates become DateText. Raises ValueError."""
    return _with_dates(json.loads(text))


def _with_dates(value: Any) -> Any:
    if isinstance(value, str):
        return DateText(value) if ISO_DATE.fullmatch(value) and _is_date(value) else value
    if isinstance(value, list):
        return [_with_dates(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_dates(item) for name, item in value.items()}
    return value


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def to_text(value: Any) -> str:
    """A scalar by .NET's ToString, as queues and http bodies get it: `True`, `1.5`, dates re-formatted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, DateText):
        return datetime.fromisoformat(value[:19]).strftime("%m/%d/%Y %H:%M:%S")
    if isinstance(value, float):
        return _float_text(value)
    return str(value)


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "-∞"}.get(value, "NaN")
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    mantissa, sign, exponent = repr(value).upper().partition("E")
    return mantissa if not sign else f"{mantissa}E{int(exponent):+03d}"


def indented(value: Any) -> str:
    """JSON as Newtonsoft's Formatting.Indented writes it; a scalar as its text."""
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return to_text(value)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def wire(value: Any) -> Any:
    """A value as a member of `Data` or `Metadata` (protocol 2.2): bytes, dates and objects plain, the rest quoted."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.replace(microsecond=0).isoformat()
    if isinstance(value, dict):
        return json.loads(json.dumps(value, default=_plain))
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
