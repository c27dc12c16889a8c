"""How output values become messages, blobs and entities (protocol 4.6).

Used by outputs.py. Rule: pure; every odd rule of the host is kept, for it is what the cloud will do.
"""

import json
import struct
from typing import Any

from fastworker.devhost.answers import EXCERPT, AnswerError
from fastworker.devhost.netvalues import DateText, compact, indented, parse_answer, to_text


def messages(place: str, value: Any) -> list[bytes]:
    """What a queue, a Service Bus queue or an event hub gets: one message, or one per element of an array."""
    if value is None:
        return []
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, str) and not isinstance(value, DateText) and value.lstrip()[:1] in ("{", "["):
        value = _parsed(place, value)
    items = [item for item in value if item is not None] if isinstance(value, list) else [value]
    return [indented(item).encode("utf-8", "replace") for item in items]


def blob(place: str, value: Any) -> bytes | None:
    """What a blob gets: numbers as raw bytes (trap 25), objects and arrays as compact JSON; None writes nothing."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, DateText):
        raise AnswerError(f"{place}: the host takes {str(value)!r} for a date, and cannot write one to a blob")
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, int):
        return struct.pack("<i", value) if -(2**31) <= value < 2**31 else struct.pack("<q", value)
    if isinstance(value, float):
        return struct.pack("<d", value)
    return compact(value).encode("utf-8", "replace")


def objects(place: str, value: Any) -> list[dict[str, Any]]:
    """What Cosmos DB, a table or Event Grid gets: objects, one or several."""
    if value is None:
        return []
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        value = _parsed(place, value)
    items = value if isinstance(value, list) else [value]
    for item in items:
        if not isinstance(item, dict):
            raise AnswerError(f"{place}: takes objects, not {json.dumps(item)[:EXCERPT]}")
    return items


def _parsed(place: str, text: str) -> Any:
    try:
        return parse_answer(text)
    except (ValueError, RecursionError) as error:
        shown = to_text(text)[:EXCERPT]
        raise AnswerError(f"{place}: the host takes text that starts like this for JSON, {error}: {shown}") from None
