"""JSON text of whatever a handler hands out: orjson first, msgspec for what orjson does not know.

Used by outputs.py. Struct, dataclass, datetime, UUID, Decimal, enum, numpy scalars and arrays, sets and
tuples, and pydantic's models encode without the user's help; NaN and infinities are refused, for JSON has
none. Rule: pure; the path to a culprit is looked for only after encoding failed.
"""

import dataclasses
import math
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Final

import msgspec
import orjson

# orjson and msgspec give up at about this depth themselves; a search must end, too, if a value contains
# itself.
DEEPEST: Final = 300


# Made once: `isinstance(x, A | B)` makes a union each time, which costs half a microsecond.
BUFFERS: Final = (bytes, bytearray, memoryview)


class UnencodableError(Exception):
    """A value cannot go to the host; the message names the path to it, its type and what is wrong."""


def encode_json(value: Any, place: str) -> bytes:
    """`value` as compact JSON. Raises UnencodableError naming the path from `place` on."""
    try:
        text = _dumps(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as exc:
        raise UnencodableError(_explain(value, place, exc)) from exc
    # Encoders write NaN as null, without a word; so only a text with a null in it can hide one.
    if b"null" in text and _has_nan(value):
        _refuse_nan(value, place)
    return text


def to_bytes(value: Any, place: str) -> bytes:
    """What arrives: the UTF-8 of text, bytes as they are, compact JSON of everything else."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as exc:
            raise UnencodableError(f"{place}: the text (of type str) is no Unicode: {exc}") from None
    if isinstance(value, BUFFERS):
        return bytes(value)
    return encode_json(value, place)


def _dumps(value: Any) -> bytes:
    # With numpy's option orjson imports numpy where it is installed: 100 ms, in the middle of an invocation.
    options = orjson.OPT_UTC_Z | (orjson.OPT_SERIALIZE_NUMPY if "numpy" in sys.modules else 0)
    try:
        return orjson.dumps(value, _default, options)
    except TypeError as exc:
        if "64-bit" in str(exc):  # the host carries integers of any size
            return _msgspec_encode(value)
        if "Dict key must" not in str(exc):
            raise
        return orjson.dumps(value, _default, options | orjson.OPT_NON_STR_KEYS)


def _default(value: Any) -> Any:
    """What orjson does not know: containers made plain, and everything else by msgspec (Structs, Decimal, bytes)."""
    plain = _plain(value)
    return orjson.Fragment(_msgspec_encode(value)) if plain is None else plain


def _enc_hook(value: Any) -> Any:
    """What msgspec does not know."""
    plain = _plain(value)
    if plain is None:
        raise TypeError(f"type {type(value).__qualname__} is not JSON serializable")
    return plain


_msgspec_encode: Final = msgspec.json.Encoder(enc_hook=_enc_hook).encode


def _plain(value: Any) -> Any:
    """A container or number of a library as Python's own; None if it is neither."""
    if type(value).__module__ == "numpy":
        # orjson takes most arrays itself; here come those of strings or odd strides, and what is in a Struct.
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set | Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return list(value)
    dump = getattr(value, "model_dump", None)
    if not callable(dump) or isinstance(value, type):
        return None
    try:
        return dump(mode="json")  # pydantic: its own rules for dates and the like
    except TypeError:
        return dump()


def _explain(value: Any, place: str, cause: Exception) -> str:
    """Which part of `value` does not encode: the first that fails, then the first within it that fails."""
    for _ in range(DEEPEST):
        for piece, child in _children(value):
            try:
                _dumps(child)
            except (TypeError, ValueError, RecursionError, OverflowError) as exc:
                value, place, cause = child, place + piece, exc
                break
        else:
            return f"{place}: a value of type {_type_name(value)} cannot be encoded as JSON: {cause}"
    return f"{place[:200]}...: nested too deeply, or contains itself"


def _has_nan(value: Any) -> bool:
    """Whether there is a float that JSON cannot hold; without paths, for large values with an honest null in them."""
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, float):
            if not math.isfinite(current):
                return True
        elif isinstance(current, list | tuple):
            stack.extend(current)
        elif isinstance(current, dict):
            stack.extend(current.values())
        elif type(current).__module__ == "numpy":
            stack.append(current.tolist())
        elif not isinstance(current, str | int | None):
            stack.extend(child for _, child in _children(current))
    return False


def _refuse_nan(value: Any, place: str) -> None:
    stack = [(value, place)]
    while stack:
        current, where = stack.pop()
        if type(current).__module__ == "numpy":
            current = current.tolist()
        if isinstance(current, float):
            if not math.isfinite(current):
                raise UnencodableError(f"{where}: a value of type float is {current}, which JSON cannot hold")
        elif not isinstance(current, str | int | None):
            stack.extend((child, where + piece) for piece, child in _children(current))


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a container, each with its piece of the path; nothing for a single value."""
    if isinstance(value, Mapping):
        yield from ((f".{key}", child) for key, child in value.items())
    elif isinstance(value, msgspec.Struct):
        yield from ((f".{name}", getattr(value, name)) for name in value.__struct_fields__)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value))
    elif not isinstance(value, str):
        plain = _plain(value)
        if isinstance(plain, list):
            yield from ((f"[{index}]", child) for index, child in enumerate(plain))
        elif isinstance(plain, Mapping):
            yield from ((f".{key}", child) for key, child in plain.items())


def _type_name(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
