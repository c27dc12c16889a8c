"""Plain HTTP: the request of a function that the host forwards or proxies (protocol section 3), and its answer.

Used by invocation.py in place of envelope.py and outputs.py, for functions whose bindings are http only.
Rule: pure. A handler cannot tell the shapes apart but by what an envelope cannot carry.
"""

import binascii
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast
from urllib.parse import unquote_plus

import msgspec
import orjson

from fastworker.protocol.answer import JSON, Answer
from fastworker.protocol.headers import FRAMING, cookie_lines, given_content_type, header_bytes, header_pairs
from fastworker.protocol.http_request import Request as HttpRequest
from fastworker.protocol.jsontext import BUFFERS, encode_json, to_bytes
from fastworker.protocol.messages import BodyStream, Headers, Request, Response, Values, WholeBody
from fastworker.protocol.outputs import COMMON
from fastworker.protocol.streams import BYTES, TEXT, EventItems, EventStream, Items, is_stream

T = TypeVar("T")

# The content type has its own place.
LEFT_OUT: Final = FRAMING | {"content-type"}
# Statuses whose answer has no body by definition.
BODILESS: Final = frozenset({204, 205, 304})
# Content types, beside text/*, whose body is text for a handler that asks for no type.
TEXTUAL: Final = ("json", "xml", "x-www-form-urlencoded", "javascript", "yaml", "graphql")

# Types of the claims that .NET takes for a name and for a role.
SOAP_CLAIMS: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
ID_CLAIM: Final = f"{SOAP_CLAIMS}/nameidentifier"
NAME_CLAIM: Final = f"{SOAP_CLAIMS}/name"
ROLE_CLAIM: Final = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"

TEXT_BYTES: Final = TEXT.encode()


class PlainRequest(Request[T]):
    """The client's request as it came; `arriving` is its body where that is read on demand."""

    def __init__(self, http: HttpRequest, params: Mapping[str, str | None], arriving: "Arriving | None" = None) -> None:
        self._http = http
        self._params = params
        self._arriving = arriving

    @property
    def method(self) -> str:
        """Upper case, whatever the client has sent."""
        return self._http.method.decode("ascii").upper()

    @property
    def url(self) -> str:
        """Scheme, host, path and query, as the client sent them to the host as far as the host tells."""
        headers = self.headers
        scheme = headers.get("x-forwarded-proto", "http").partition(",")[0].strip()
        host = (headers.get("x-forwarded-host") or headers.get("host", "")).partition(",")[0].strip()
        return f"{scheme}://{host}{self._http.target.decode('latin-1')}"

    @property
    def query(self) -> Values:
        """Query parameters. The forwarding host joins repeated ones by a comma, the proxying one keeps them."""
        if self._query is None:
            lists: dict[str, list[str]] = {}
            text = self._http.target.partition(b"?")[2].decode("latin-1")
            is_quoted = "%" in text or "+" in text
            for pair in text.split("&") if text else ():
                name, _, value = pair.partition("=")
                if is_quoted:
                    name, value = unquote_plus(name), unquote_plus(value)
                if pair:
                    lists.setdefault(name, []).append(value)
            self._query = Values("query parameter", {name: ",".join(v) for name, v in lists.items()}, lists)
        return self._query

    @property
    def params(self) -> Values:
        """Route parameters; an optional one that was not given is left out."""
        return Values("route parameter", {name: value for name, value in self._params.items() if value is not None})

    @property
    def headers(self) -> Headers:
        """Header fields."""
        if self._headers is None:
            fields: dict[str, list[str]] = {}
            for name, value in self._http.headers:
                fields.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
            self._headers = Headers(fields)
        return self._headers

    @property
    def identities(self) -> list[dict[str, Any]]:
        """The caller by `X-MS-CLIENT-PRINCIPAL`, of App Service or Static Web Apps, in the envelope's form."""
        header = self.headers.get("x-ms-client-principal")
        if header is None:
            return []
        try:
            principal = orjson.loads(binascii.a2b_base64(header))
            return [_identity(principal)]
        except (ValueError, KeyError, TypeError, AttributeError):
            return []  # whoever wrote it, it was not the platform

    @property
    def body(self) -> T:
        """The body as T. For a plain `Request`: JSON if the client says so, text for text types, else bytes.

        None if there is no body. Raises ClientError if it is no JSON.
        """
        if self._body is msgspec.UNSET:
            payload = self._payload_of()
            kind = self.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
            if payload is None:
                self._body = None
            elif "json" in kind:
                self._body = self.json()
            elif kind.startswith("text/") or kind.endswith(TEXTUAL):
                self._body = self.text
            else:
                self._body = payload
        return cast("T", self._body)

    def stream(self) -> BodyStream:
        """The body in pieces, each read when it is asked for; but all of it, if it has been read before as a whole."""
        if self._arriving is not None and self._payload is msgspec.UNSET:
            return self._arriving
        return WholeBody(self.bytes)

    def _read_payload(self, as_bytes: bool) -> bytes | None:
        if self._arriving is not None:
            return self._arriving.read_all() or None
        data = bytes(cast("bytes", self._http.body))
        self._http.body = b""  # two copies are enough
        return data or None


def _identity(principal: dict[str, Any]) -> dict[str, Any]:
    """A principal as the host tells it in an envelope (protocol 2.4). Raises KeyError for what is none."""
    if "identityProvider" in principal:
        kind, name_claim, role_claim = principal["identityProvider"], NAME_CLAIM, ROLE_CLAIM
        claims = [(ID_CLAIM, principal["userId"]), (NAME_CLAIM, principal["userDetails"])]
        claims += [(ROLE_CLAIM, role) for role in principal["userRoles"]]
    else:
        kind = principal.get("auth_typ")
        name_claim, role_claim = principal.get("name_typ") or NAME_CLAIM, principal.get("role_typ") or ROLE_CLAIM
        claims = [(claim["typ"], claim["val"]) for claim in principal["claims"]]
    return {
        "AuthenticationType": kind,
        "IsAuthenticated": bool(kind),
        "Name": next((value for claim, value in claims if claim == name_claim), None),
        "NameClaimType": name_claim,
        "RoleClaimType": role_claim,
        "Claims": [{"Type": claim, "Value": value} for claim, value in claims],
    }


class Arriving(BodyStream, Protocol):
    """A body that is still on its way (request_body.py)."""

    def read_all(self) -> bytes:
        """What has not been handed out yet; waits for it in place."""


class Streaming(msgspec.Struct, frozen=True, gc=False):
    """An answer whose body is made while it is sent. `source` is an iterator or async iterator.

    `items_for` tells how its items become bytes, given the first of them; `at_once` that the head need not wait for it.
    `is_typed`: the content type does not depend on it. `length` in bytes, if it is known.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    source: Any
    items_for: Callable[[Any], Items]
    at_once: bool = False
    is_typed: bool = True
    keep_alive_s: float | None = None
    length: int | None = None


class FileBody(msgspec.Struct, frozen=True, gc=False):
    """An answer whose body is a file, by its path or as an open descriptor (which is closed when it has been sent)."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    content_type: bytes
    path: Path | int


def text_answer(text: str) -> Answer:
    """The answer of a handler that returned text and nothing else. Raises UnencodableError."""
    return Answer(200, to_bytes(text, "the response's body"), TEXT_BYTES)


def plain_answer(response: Response) -> Answer | Streaming | FileBody:
    """The answer for what the handler gave. Raises UnencodableError."""
    if response.is_exact:
        return response.in_plain_http()  # type: ignore[attr-defined, no-any-return]
    status, body = response.status_code, response.body
    is_bare = response.headers is None and response.cookies is None and response.content_type is None
    if is_bare and type(body) is str and status not in BODILESS:
        return Answer(status, to_bytes(body, "the response's body"), TEXT_BYTES)
    pairs = [pair for pair in header_pairs(response) if str(pair[0]).lower() not in LEFT_OUT]
    pairs += [("Set-Cookie", line) for line in cookie_lines(response)]
    headers = header_bytes(pairs, "the response's headers")
    given = given_content_type(response)
    kind = _content_type(given)
    if status in BODILESS:
        return Answer(status, b"", b"", headers)
    if body is None:
        return Answer(status, b"", kind, headers)
    if isinstance(body, str):
        return Answer(status, to_bytes(body, "the response's body"), kind or TEXT_BYTES, headers)
    if isinstance(body, BUFFERS):
        return Answer(status, body if isinstance(body, bytes) else bytes(body), kind or BYTES.encode(), headers)
    if isinstance(body, Path):
        return FileBody(status, headers, kind or BYTES.encode(), body)
    if type(body) in COMMON or not is_stream(body):
        return Answer(status, encode_json(body, "the response's body"), kind or JSON, headers)
    if isinstance(response, EventStream):
        return Streaming(status, headers, body, lambda _: EventItems(), at_once=True, keep_alive_s=response.keep_alive)
    return Streaming(status, headers, body, lambda first: Items(given, first), is_typed=given is not None)


def _content_type(given: str | None) -> bytes:
    return b"" if given is None else header_bytes([("Content-Type", given)], "the response's content type")[0][1]
