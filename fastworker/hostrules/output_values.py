"""How output values become messages, blobs and entities (protocol 4.6).

Used by the local host, by `invoke`, and by TestClient. Rule: pure; every odd rule of the host is kept, for it is what
the cloud will do.
"""

import struct
from datetime import UTC, tzinfo
from typing import Any

from fastworker.hostrules.answers import EXCERPT, AnswerError, shown
from fastworker.hostrules.dotnet_values import DateText, read_values, to_text, write_json
from fastworker.hostrules.newtonsoft import JsonError, looks_like_json


def messages(place: str, value: Any, zone: tzinfo = UTC) -> list[bytes]:
    """What a queue, a Service Bus queue or an event hub gets: one message, or one per element of an array.

    Text is parsed if it begins and ends as an object or an array does; a null within an array is an empty message.
    """
    if value is None:
        return []
    if isinstance(value, bytes):
        return [value]
    if type(value) is str and looks_like_json(value):
        value = _parsed(place, value, zone)
    return [to_text(item).encode("utf-8", "replace") for item in (value if isinstance(value, list) else [value])]


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
        if not -(2**63) <= value < 2**63:
            raise AnswerError(f"{place}: the integer {value} has more than 64 bits, and cannot be written to a blob")
        return struct.pack("<I", value & 0xFFFFFFFF)  # larger ones than 32 bits are cut
    if isinstance(value, float):
        return struct.pack("<d", value)
    return write_json(value).encode("utf-8", "replace")


def objects(place: str, value: Any, zone: tzinfo = UTC) -> list[dict[str, Any]]:
    """What Cosmos DB, a table or Event Grid gets: objects, one or several."""
    if value is None:
        return []
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if type(value) is str:
        value = _parsed(place, value, zone)
    items = value if isinstance(value, list) else [value]
    for item in items:
        if not isinstance(item, dict):
            raise AnswerError(f"{place}: takes objects, not {shown(item)}")
    return items


def _parsed(place: str, text: str, zone: tzinfo) -> Any:
    try:
        return read_values(text, zone=zone)
    except JsonError as error:
        excerpt = text[:EXCERPT]
        raise AnswerError(
            f"{place}: the host takes text like this for JSON, and it is none: {error}: {excerpt}"
        ) from None
