"""HTTP as a handler sees it: Request and Response.

Request is read from `Data.<trigger>` by the decoder that build.py builds; plain_http.py has the one that is read from
plain HTTP. Response is written by outputs.py and plain_http.py.
Rule: pure; every field of a Request is decoded when it is asked for.
"""

import binascii
import builtins
import mimetypes
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast
from urllib.parse import quote

import msgspec

from fastworker.errors import RequestError
from fastworker.protocol.envelope import (
    DECODE_ERRORS,
    NULL,
    QUOTE,
    Json,
    decode_str,
    explain,
    wrong,
)
from fastworker.protocol.forms import Form, read_form
from fastworker.protocol.header_rules import checked_content_type, checked_cookies, checked_headers, checked_status

if TYPE_CHECKING:
    import typing_extensions

    T = typing_extensions.TypeVar("T", default=Any)  # so that a type checker takes a plain `Request`
else:
    T = TypeVar("T")

# What JSON text of an object or array begins with, and no base64.
BEGINS_JSON: Final = b"{["
BACKSLASH: Final = b"\\"
# Of a body that is handed out piece by piece.
PIECE_SIZE = 256 * 1024
# A body from here on is not held as it came once it has been decoded.
LARGE = 1024 * 1024


class ClientError(RequestError):
    """The client of an http function sent a body or parameter of the wrong type: its answer is this, as a 400.

    Or 413, for a body that is too large.
    """

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(status, detail)


class HttpData(msgspec.Struct):
    """The request object in the envelope (protocol 2.4); `Body` is missing when the client sent none."""

    Url: str = ""
    Method: str = "GET"
    Query: msgspec.Raw = msgspec.Raw(b"{}")
    Headers: msgspec.Raw = msgspec.Raw(b"{}")
    Params: msgspec.Raw = msgspec.Raw(b"{}")
    Identities: msgspec.Raw = msgspec.Raw(b"[]")
    Body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_http = msgspec.json.Decoder(HttpData).decode
decode_object = msgspec.json.Decoder(dict[str, Any]).decode
decode_identities = msgspec.json.Decoder(list[dict[str, Any]]).decode


# What an http trigger's value is read as: an object, or (early hosts) a string with its JSON text.
HTTP_VALUE: Any = HttpData | str


def read_http(name: str, value: Any) -> HttpData:
    """The request object. `value` is an HTTP_VALUE, or the null that stands for none. Raises RequestError (400)."""
    try:
        return value if type(value) is HttpData else _decode_http(value)
    except DECODE_ERRORS as exc:
        raise wrong(f"Data.{name}", exc) from None


class Values(dict[str, str]):
    """Query or route parameters: a dict of strings, with conversion. Repeated ones are joined by a comma."""

    __slots__ = ("_lists", "_where")

    def __init__(self, where: str, members: Mapping[str, str], lists: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(members)
        self._where = where
        self._lists = lists

    def get_all(self, key: str) -> list[str]:
        """Every value of `key`, in order; empty if there is none.

        Told apart where the client's own query arrives (proxy mode); elsewhere the host has joined them.
        """
        if self._lists is not None:
            return [*self._lists.get(key, ())]
        return [self[key]] if key in self else []

    def get_as(self, key: str, type: Any, default: Any = None) -> Any:  # noqa: A002 - as in msgspec
        """The parameter as `type`, or `default` if there is none. A wrong one is the client's 400."""
        value = self.get(key)
        if value is None:
            return default
        try:
            return msgspec.convert(value, type, strict=False)
        except msgspec.ValidationError as exc:
            raise ClientError(f"{self._where} {key!r}: {explain(exc)[1]}") from None


class Headers(Mapping[str, str]):
    """Header fields, found ignoring case; several values of one name are joined by a comma."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = {name.lower(): values for name, values in fields.items()}

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._fields[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order; empty if there is none."""
        return list(self._fields.get(name.lower(), ()))


class BodyStream(Protocol):
    """A body in pieces, for `for` and for `async for`."""

    def __iter__(self) -> Iterator[builtins.bytes]: ...
    def __aiter__(self) -> AsyncIterator[builtins.bytes]: ...


class WholeBody:
    """The stream of a body that is here already."""

    def __init__(self, body: builtins.bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[builtins.bytes]:
        for start in range(0, len(self._body), PIECE_SIZE):
            yield self._body[start : start + PIECE_SIZE]

    def __aiter__(self) -> AsyncIterator[builtins.bytes]:
        return _AtOnce(iter(self))


class _AtOnce(AsyncIterator[builtins.bytes]):
    """An iterator as an async one that never waits; a generator that its reader leaves halfway would need a loop."""

    def __init__(self, pieces: Iterator[builtins.bytes]) -> None:
        self._pieces = pieces

    async def __anext__(self) -> builtins.bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class Request(Generic[T]):
    """The client's request. `Request[T]` has its body checked and converted to T before the handler runs."""

    # Of the class until they are asked for: most requests are asked for their body alone.
    _headers: Headers | None = None
    _query: Values | None = None
    _payload: builtins.bytes | str | msgspec.UnsetType | None = msgspec.UNSET
    _body: Any = msgspec.UNSET

    def __init__(self, name: str, data: HttpData) -> None:
        self._name = name
        self._data = data

    @property
    def method(self) -> str:
        """Upper case, whatever the client has sent."""
        return self._data.Method.upper()

    @property
    def url(self) -> str:
        """Scheme, host, path and query, as the client sent them to the host."""
        return self._data.Url

    @property
    def query(self) -> Values:
        """Query parameters; the host joins repeated ones by a comma."""
        if self._query is None:
            self._query = Values("query parameter", self._strings("Query", self._data.Query))
        return self._query

    @property
    def params(self) -> Values:
        """Route parameters; an optional one that was not given is left out."""
        return Values("route parameter", self._strings("Params", self._data.Params))

    @property
    def headers(self) -> Headers:
        """Header fields."""
        if self._headers is None:
            fields = {}
            for name, value in self._members("Headers", self._data.Headers).items():
                fields[name] = [str(v) for v in value] if isinstance(value, list) else [str(value)]
            self._headers = Headers(fields)
        return self._headers

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name."""
        pairs = (pair.partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return {name.strip(): value.strip().strip('"') for name, sep, value in pairs if sep}

    @property
    def identities(self) -> list[dict[str, Any]]:
        """Claims identities of the caller (protocol 2.4)."""
        try:
            return decode_identities(self._data.Identities)
        except DECODE_ERRORS as exc:
            raise wrong(f"Data.{self._name}.Identities", exc) from None

    @property
    def body(self) -> T:
        """The body as T. For a plain `Request`: JSON if the client says so, bytes if binary, else text.

        None if there is no body. Raises ClientError if it is no JSON.
        """
        if self._body is msgspec.UNSET:
            payload = self._payload_of()
            is_json = isinstance(payload, str) and "json" in self.headers.get("content-type", "")
            self._body = self.json() if is_json else payload
        return cast("T", self._body)

    @property
    def text(self) -> str:
        """The body as text; empty if there is none."""
        payload = self._payload_of()
        if isinstance(payload, builtins.bytes):
            try:
                return payload.decode()
            except UnicodeDecodeError as exc:
                raise ClientError(f"body: {explain(exc)[1]}") from None
        return payload or ""

    @property
    def bytes(self) -> builtins.bytes:
        """The body as bytes; empty if there is none.

        In an envelope only octet-stream and multipart bodies come undamaged (protocol 2.4).
        """
        payload = self._payload_of()
        return payload.encode() if isinstance(payload, str) else payload or b""

    def json(self, type: Any = Any) -> Any:  # noqa: A002 - reads like msgspec's own
        """The body parsed as JSON into `type`. Raises ClientError, which answers the client with a 400."""
        try:
            return msgspec.json.decode(self._payload_of() or b"", type=type)
        except DECODE_ERRORS as exc:
            raise wrong_body(exc) from None

    def stream(self) -> BodyStream:
        """The body in pieces of bytes, by `async for` or `for`.

        In proxy mode, and in a handler that calls this itself, each piece is read from the connection when it is
        asked for, so that a body may be larger than memory. Elsewhere the body is here before the handler runs.
        Whoever could stream and asks for the whole body after all waits for it in place, within the limits of size
        and time that hold for other bodies.
        """
        return WholeBody(self.bytes)

    def form(self) -> Form:
        """The body as form fields (url-encoded or multipart). Raises ClientError if it is no form."""
        try:
            return read_form(self.headers.get("content-type", ""), self.bytes)
        except ValueError as exc:
            raise ClientError(f"body: {exc}") from None

    def _payload_of(self, *, as_bytes: bool = False) -> builtins.bytes | str | None:
        """The body as it came: text, or bytes for the content types that the host sends as base64.

        `as_bytes`: who asks would encode text, so that it need not be decoded. Only for a body that has a type.
        """
        payload = self._payload
        if payload is msgspec.UNSET:
            payload = self._payload = self._read_payload(as_bytes)
        return payload

    def _read_payload(self, as_bytes: bool) -> builtins.bytes | str | None:
        raw = self._data.Body
        if raw is msgspec.UNSET:
            return None
        view = memoryview(raw)
        if len(view) > LARGE:
            self._let_envelope_go()
        try:
            if view[0] != QUOTE:  # no host sends anything but a string; a hand-written envelope has the body's text
                text = str(raw, "utf-8")
                return None if text == NULL else _base64(view) if is_base64(self._data) else text
            if view[1] in BEGINS_JSON or not is_base64(self._data):
                if as_bytes:
                    data = builtins.bytes(view[1:-1])
                    if BACKSLASH not in data and data.isascii():
                        return data  # stands there as it is
                return decode_str(raw)
            return _base64(view[1:-1])
        except DECODE_ERRORS as exc:
            raise wrong(f"Data.{self._name}.Body", exc) from None

    def _let_envelope_go(self) -> None:
        """All that is left of the envelope here are views, and one is enough to hold it whole."""
        data = self._data
        data.Query, data.Headers = data.Query.copy(), data.Headers.copy()
        data.Params, data.Identities = data.Params.copy(), data.Identities.copy()
        data.Body = msgspec.UNSET

    def _strings(self, member: str, raw: msgspec.Raw) -> dict[str, str]:
        values = self._members(member, raw).items()
        return {name: value if isinstance(value, str) else str(value) for name, value in values if value is not None}

    def _members(self, member: str, raw: msgspec.Raw) -> dict[str, Any]:
        try:
            source: Json = raw
            if memoryview(raw)[0] == QUOTE:  # early hosts: the text of an object
                source = decode_str(raw)
            return decode_object(source)
        except DECODE_ERRORS as exc:
            raise wrong(f"Data.{self._name}.{member}", exc) from None


def is_base64(data: HttpData) -> bool:
    """Whether the host has put the body there as base64, as it does for two content types (protocol 2.4)."""
    # Reading the headers costs more than everything else here; most requests show by a search of their
    # bytes that they are not of these two types.
    raw = bytes(data.Headers).lower()
    if b"octet-stream" not in raw and b"multipart" not in raw:
        return False
    content_type = Request[Any]("", data).headers.get("content-type", "").lower().strip()
    return content_type.startswith(("application/octet-stream", "multipart/"))


def _base64(text: memoryview) -> builtins.bytes:
    """Decoded from where it stands, and only where that has escapes from a string."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return binascii.a2b_base64(decode_str(b'"%b"' % bytes(text)), strict_mode=True)


def wrong_body(exc: Exception) -> ClientError:
    """The client's 400 for a body that does not decode."""
    path, message = explain(exc)
    return ClientError(f"body{path}: {message}")


class Response:
    """What the client of an http function gets.

    `body` is text, bytes, None, a Path (the file's content), an iterator or async iterator whose items are sent as
    they are made (streams.py has the forms), or anything else that JSON can hold. `headers` is a mapping or pairs;
    `cookies` a mapping of values or whole `Set-Cookie` lines. Headers that frame the message (`Content-Length`,
    `Transfer-Encoding`, `Connection`) are the server's own and are left out.

    Each is checked whenever it is set, and headers and cookies again when they are sent. Raises ValueError for a
    status that is none from 200 to 999, for a header's value with anything but tab and U+0020 to U+007E (the host
    sends no other), and for a cookie's value with a separator.
    """

    # Of the class until they are set: most responses have a body alone.
    body: Any = None
    status_code: int = 200
    headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None
    content_type: str | None = None
    cookies: Mapping[str, Any] | Iterable[str] | None = None

    # True of a foreign framework's response (adapters/), which knows its own form in plain HTTP.
    is_exact = False

    def __init__(
        self,
        body: Any = None,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        content_type: str | None = None,
        cookies: Mapping[str, str] | Iterable[str] | None = None,
    ) -> None:
        # Not the way through __setattr__: what is put here is checked here.
        if body is not None:
            _put(self, "body", body)
        if type(status_code) is not int or status_code != 200:
            _put(self, "status_code", checked_status(status_code))
        if headers is not None:
            _put(self, "headers", checked_headers(headers))
        if content_type is not None:
            _put(self, "content_type", checked_content_type(content_type))
        if cookies is not None:
            _put(self, "cookies", checked_cookies(cookies))

    def __setattr__(self, name: str, value: Any) -> None:
        check = _CHECKS.get(name)
        if check is None and not hasattr(type(self), name):
            raise AttributeError(f"a {type(self).__name__} has no attribute {name!r} that could be set")
        _put(self, name, value if check is None else check(value))

    @staticmethod
    def file(path: str | Path, *, content_type: str | None = None, download_as: str | None = None) -> "Response":
        """The content of a file; its type is guessed by its name. `download_as` makes a browser save it so.

        That the file cannot be read is told when it is sent: the handler's failure.
        """
        guessed = mimetypes.guess_type(str(path))[0] or "application/octet-stream"
        headers = None
        if download_as is not None:
            headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(download_as, safe='')}"}
        return Response(Path(path), content_type=content_type or guessed, headers=headers)

    @staticmethod
    def redirect(url: str, *, status_code: int = 302) -> "Response":
        """Sends the client to `url`; under `httpWorker` the host follows it itself instead (protocol 3.1).

        Raises ValueError for a status that is no redirection.
        """
        if not 300 <= status_code <= 399:
            raise ValueError(f"a redirection has a status from 300 to 399, not {status_code}")
        return Response(status_code=status_code, headers={"Location": quote(url, safe="%/:?#[]@!$&'()*+,;=~")})


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "status_code": checked_status,
    "headers": checked_headers,
    "content_type": checked_content_type,
    "cookies": checked_cookies,
}
_put: Final = object.__setattr__
