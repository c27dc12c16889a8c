"""The envelope that the host posts: `{"Data": {...}, "Metadata": {...}}`, read lazily and into types.

build.py builds one decoder per handler argument at start-up; invocation.py calls them.
Rule: pure. What a string means is decided by the binding (bytes or text) and by the annotation, never by
trial: base64 may be valid JSON, and a message `1234` is text for a handler that asks for `str` (protocol,
section 2).
"""

import binascii
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from fastworker.errors import RequestError

T = TypeVar("T")

Json = bytes | bytearray | memoryview | str | msgspec.Raw
QUOTE: Final = ord('"')
NULL: Final = "null"

decode_str: Final = msgspec.json.Decoder(str).decode
decode_any: Final = msgspec.json.Decoder().decode
decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# What msgspec raises on text of the wrong shape; UnicodeError for invalid UTF-8, RecursionError for deep
# nesting.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeError, RecursionError, binascii.Error)


EMPTY: Final = msgspec.Raw(b"{}")


class Envelope(msgspec.Struct):
    """The request body of an invocation. Values are views into it (msgspec.Raw), or what their reader made of them."""

    Data: dict[str, Any]
    Metadata: msgspec.Raw = EMPTY


EnvelopeReader = Callable[[bytes | bytearray | memoryview], Envelope]


def envelope_reader(inputs: Mapping[str, Any]) -> EnvelopeReader:
    """How a function's envelopes are read, in one pass: its inputs by name, each with the type that it is read as.

    msgspec.Raw leaves a value undecoded until it is asked for; what the function does not know is left out. The
    reader raises RequestError (400), and the body must not change while the invocation lives.
    """
    make: Any = typing.TypedDict
    data = make("Data", dict(inputs), total=False)
    fields: list[tuple[str, Any, Any]] = [("Data", data, msgspec.NODEFAULT), ("Metadata", msgspec.Raw, EMPTY)]
    kind: Any = msgspec.defstruct("Envelope", fields, bases=(Envelope,))
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes | bytearray | memoryview) -> Envelope:
        try:
            return decode(body)  # type: ignore[no-any-return]
        except DECODE_ERRORS as exc:
            raise wrong("", exc) from None

    return read


def wrong(where: str, exc: Exception) -> RequestError:
    """The 400 for a value that does not decode: the path to it, what was expected, what came."""
    path, message = explain(exc)
    place = f"{where}{path}" if where else path.removeprefix(".")
    return RequestError(400, f"{place or 'the envelope'}: {message}")


def explain(exc: Exception) -> tuple[str, str]:
    """Path below the decoded value (like `.job[2]`) and message of a decoding error."""
    if isinstance(exc, RecursionError):
        return "", "the JSON is nested too deeply"
    if isinstance(exc, UnicodeError):
        return "", f"invalid UTF-8: {exc}"
    if isinstance(exc, binascii.Error):
        return "", f"expected base64: {exc}"
    message, _, path = str(exc).partition(" - at `$")
    if not isinstance(exc, msgspec.ValidationError):
        return "", f"expected JSON: {message}"
    return path.rstrip("`"), f"{message[:1].lower()}{message[1:]}"


# ---- one value of `Data` -----------------------------------------------------------------------------------


class Conversion(NamedTuple):
    """How the forms that a value can have become the annotated type.

    `from_text` takes the text of a message, `from_json` JSON text (of an object, a list, a number),
    `from_bytes` decoded base64. `optional` tells whether None fits the type.
    """

    from_text: Callable[[str], Any]
    from_json: Callable[[Json], Any]
    from_bytes: Callable[[bytes], Any]
    optional: bool


Decoder = Callable[[msgspec.Raw, Envelope], Any]

# Types whose JSON is a string: a message like `2026-01-02` is one without quotes.
STRING_LIKE: Final = (
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, decimal.Decimal, enum.Enum
)  # fmt: skip


def conversion(annotation: Any) -> Conversion:
    """How payloads become `annotation`. Raises TypeError for a type that msgspec cannot decode."""
    members, optional = _union_members(annotation)
    if annotation is Any:
        return Conversion(_same, _value, _same, True)
    if members == (str,):
        return Conversion(_same, _json_text, _utf8, optional)
    if members == (bytes,):
        return Conversion(str.encode, _json_bytes, _same, optional)
    _require_supported(annotation)
    decode = msgspec.json.Decoder(annotation).decode
    if str in members:
        # Text stays text; anything else has its own member in the union.
        return Conversion(_same, decode, _utf8, optional)
    if all(isinstance(m, type) and issubclass(m, STRING_LIKE) for m in members):

        def from_text(text: str) -> Any:
            return decode(text) if text[:1] == '"' else msgspec.convert(text, annotation, strict=False)

        return Conversion(from_text, _text_first(from_text), lambda data: from_text(_utf8(data)), optional)
    return Conversion(decode, decode, decode, optional)


def text_decoder(name: str, to: Conversion) -> Decoder:
    """For values that travel as text: a string holding the JSON text of a string, number or list; or an object."""
    from_text, from_json, _, optional = to

    def decode(raw: msgspec.Raw, envelope: Envelope) -> Any:
        try:
            if memoryview(raw)[0] != QUOTE:
                return from_json(raw) if bytes(raw) != b"null" else _missing(name, optional)
            text = decode_str(raw)
            if text[:1] == '"':
                return from_text(_unquoted(text))
            if text == NULL:
                return _missing(name, optional)
            return from_json(text)
        except DECODE_ERRORS as exc:
            raise wrong(f"Data.{name}", exc) from None

    return decode


def bytes_decoder(name: str, to: Conversion, *, is_trigger: bool) -> Decoder:
    """For values that travel as base64: blob triggers, and what has `dataType` binary."""
    from_bytes, optional = to.from_bytes, to.optional

    def decode(raw: msgspec.Raw, envelope: Envelope) -> Any:
        try:
            # An input that was not found is "null", which is also the base64 of three bytes nobody stores
            # (9e e9 65). A trigger was always found.
            if not is_trigger and _is_null(raw):
                return _missing(name, optional)
            return from_bytes(_from_base64(raw))
        except DECODE_ERRORS as exc:
            raise wrong(f"Data.{name}", exc) from None

    return decode


def batch_decoder(name: str, element: Conversion, *, binary: bool) -> Decoder:
    """For `cardinality: many`: one array of message texts, of objects, or (`dataType` binary) of base64."""
    from_text, from_json, from_bytes, _ = element

    def decode(raw: msgspec.Raw, envelope: Envelope) -> list[Any]:
        position = ""
        try:
            source: Json = raw
            while _is_string(source):  # quoted once by current hosts, twice by some extensions
                source = decode_str(source)
            values = []
            for index, item in enumerate(decode_list(source)):
                position = f"[{index}]"
                if memoryview(item)[0] != QUOTE:
                    values.append(from_json(item))
                elif binary:
                    values.append(from_bytes(_from_base64(item)))
                else:
                    values.append(from_text(decode_str(item)))
            return values
        except DECODE_ERRORS as exc:
            raise wrong(f"Data.{name}{position}", exc) from None

    return decode


def _is_null(raw: msgspec.Raw) -> bool:
    view = memoryview(raw)
    return view.nbytes <= len('"null"') and bytes(view).strip(b'"') == b"null"


def _is_string(source: Json) -> bool:
    if isinstance(source, str):
        return source[:1] == '"'
    return memoryview(source)[0] == QUOTE


def _unquoted(text: str) -> str:
    try:
        return decode_str(text)
    except msgspec.DecodeError:
        return text  # no JSON: text that happens to begin with a quote, kept as it is (protocol 2.2)


def _from_base64(raw: msgspec.Raw) -> bytes:
    """The bytes in a base64 string; the usual case decodes straight from the request, without a copy as text."""
    view = memoryview(raw)
    if view[0] == QUOTE:
        try:
            return binascii.a2b_base64(view[1:-1], strict_mode=True)
        except binascii.Error:
            pass  # JSON escapes, the quotes of early hosts, or no base64 at all
    text = decode_str(raw)
    if text[:1] == '"':
        text = decode_str(text)
    return binascii.a2b_base64(text, strict_mode=True)


def _missing(name: str, optional: bool) -> None:
    if not optional:
        raise RequestError(
            400,
            f"Data.{name}: expected a value, got null (not found): annotate it `... | None` if that may be",
        )


def _same(value: T) -> T:
    return value


def _utf8(data: bytes) -> str:
    return data.decode()


def _json_bytes(source: Json) -> bytes:
    return source.encode() if isinstance(source, str) else bytes(source)


def _json_text(source: Json) -> str:
    return source if isinstance(source, str) else str(source, "utf-8")


def _value(source: Json) -> Any:
    try:
        return decode_any(source)
    except msgspec.DecodeError:
        if isinstance(source, str):
            return source  # a date, which the host quotes once only
        raise


def _text_first(from_text: Callable[[str], Any]) -> Callable[[Json], Any]:
    return lambda source: from_text(_json_text(source))


def _union_members(annotation: Any) -> tuple[tuple[Any, ...], bool]:
    """The members of a union without None, and whether None was among them."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        members = typing.get_args(annotation)
        return tuple(m for m in members if m is not type(None)), type(None) in members
    return (annotation,), annotation is Any


def _require_supported(annotation: Any) -> None:
    """msgspec takes any class and fails at the first value; find out at start-up instead."""
    seen = msgspec.inspect.type_info(annotation)
    stack: list[Any] = [seen]
    visited: set[int] = set()
    while stack:
        info = stack.pop()
        if id(info) in visited:
            continue
        visited.add(id(info))
        if isinstance(info, msgspec.inspect.CustomType):
            if info.cls.__module__.startswith("azure.functions"):
                raise TypeError(
                    f"azure.functions.{info.cls.__name__} is for apps of azure.functions.FunctionApp: in a "
                    f"fastworker.App annotate str, bytes, a Struct, or fastworker.Request for http"
                )
            raise TypeError(f"{info.cls.__qualname__} is no type that msgspec can decode")
        for name in getattr(info, "__struct_fields__", ()):
            value = getattr(info, name)
            if isinstance(value, tuple):
                stack.extend(value)
            elif isinstance(value, msgspec.inspect.Type | msgspec.inspect.Field):
                stack.append(value)


# ---- `Metadata` --------------------------------------------------------------------------------------------


class RetryContext(msgspec.Struct, frozen=True):
    """`Metadata.RetryContext` (protocol 2.5); the defaults stand for "no policy"."""

    RetryCount: int = 0
    MaxRetryCount: int | None = None


class Metadata(Mapping[str, Any]):
    """The trigger's metadata, decoded member by member when asked for.

    Values come as the host's JSON says: objects as dicts, `"1"` as a number, dates as text; `get_as`
    converts. Names are found ignoring case, for the host compares them so. Raises RequestError (400) for
    what is no JSON.
    """

    __slots__ = ("_members", "_raw")

    def __init__(self, raw: msgspec.Raw) -> None:
        self._raw = raw
        self._members: dict[str, msgspec.Raw] | None = None

    def __getitem__(self, key: str) -> Any:
        return _metadata_value(key, self._find(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())

    def __repr__(self) -> str:
        return f"Metadata({dict(self)!r})"

    def get_as(self, key: str, type: Any, default: Any = None) -> Any:  # noqa: A002 - as in msgspec
        """The member `key` converted to `type`, or `default` if there is none or it is null."""
        try:
            raw = self._find(key)
        except KeyError:
            return default
        value = _metadata_value(key, raw)
        return default if value is None else convert_metadata(key, value, type)

    def _find(self, key: str) -> msgspec.Raw:
        members = self._decoded()
        if key in members:
            return members[key]
        lower = key.lower()
        for name, raw in members.items():
            if name.lower() == lower:
                return raw
        raise KeyError(key)

    def _decoded(self) -> dict[str, msgspec.Raw]:
        if self._members is None:
            try:
                source: Json = self._raw
                if _is_string(source):
                    source = decode_str(source)
                self._members = decode_members(source)
            except DECODE_ERRORS as exc:
                raise wrong("Metadata", exc) from None
        return self._members


class ElementMetadata(Metadata):
    """The metadata of one element of a batch: `MessageId` is that element of `MessageIdArray` (protocol 2.7)."""

    __slots__ = ("_index", "_whole")

    def __init__(self, whole: Metadata, index: int) -> None:
        super().__init__(whole._raw)
        self._whole = whole
        self._index = index

    def __getitem__(self, key: str) -> Any:
        values = self._whole.get(f"{key}Array")
        if isinstance(values, list) and self._index < len(values):
            return values[self._index]
        return self._whole[key]

    def get_as(self, key: str, type: Any, default: Any = None) -> Any:  # noqa: A002
        value = self.get(key)
        return default if value is None else convert_metadata(key, value, type)


def convert_metadata(key: str, value: Any, type: Any) -> Any:  # noqa: A002
    """A metadata value as `type`: numbers may come as text and text as numbers, dates without a zone are UTC."""
    if type is str and not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    try:
        converted = msgspec.convert(value, type, strict=False)
    except msgspec.ValidationError as exc:
        raise wrong(f"Metadata.{key}", exc) from None
    if isinstance(converted, datetime.datetime) and converted.tzinfo is None:
        return converted.replace(tzinfo=datetime.UTC)
    return converted


def _metadata_value(key: str, raw: msgspec.Raw) -> Any:
    try:
        if not _is_string(raw):
            return decode_any(raw)
        text = decode_str(raw)
    except DECODE_ERRORS as exc:
        raise wrong(f"Metadata.{key}", exc) from None
    try:
        return decode_any(text)
    except (msgspec.DecodeError, RecursionError):
        return text
