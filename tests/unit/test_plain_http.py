"""plain_http.py: the request as a handler reads it in plain HTTP, and its answer on the way out."""

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest

from fastworker.errors import RequestError
from fastworker.functions.invocation import _plain_answer
from fastworker.hostrules.principals import principal_identity
from fastworker.protocol.answer import Answer
from fastworker.protocol.http_request import Request as HttpRequest
from fastworker.protocol.jsontext import UnencodableError
from fastworker.protocol.messages import ClientError, Response
from fastworker.protocol.plain_http import FileBody, PlainRequest, Streaming, plain_answer
from fastworker.protocol.streams import END, Event, EventStream


class Order(msgspec.Struct):
    id: int


def request(
    target: str = "/api/x",
    body: bytes | bytearray = b"",
    method: bytes = b"POST",
    params: dict[str, str | None] | None = None,
    **headers: str | list[str],
) -> PlainRequest[Any]:
    """A request; header names with underscores for dashes."""
    fields = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return PlainRequest(HttpRequest(method, target.encode(), fields, body, True, b"id-1", None), params or {})


# -- the request -----------------------------------------------------------------------------------------------------


def test_repeated_query_keys_are_kept_and_also_joined():
    """Joined for a handler that serves envelopes, too; apart for one that asks."""
    query = request("/api/x?a=1&b=%C3%BC+x&a=2,3&empty=&a=").query
    assert query == {"a": "1,2,3,", "b": "ü x", "empty": ""}
    assert query.get_all("a") == ["1", "2,3", ""]
    assert query.get_all("b") == ["ü x"]
    assert query.get_all("nothing") == []
    assert request().query == {}


def test_query_values_convert_or_are_the_clients_fault():
    """As in an envelope."""
    query = request("/api/x?n=7&m=x").query
    assert (query.get_as("n", int), query.get_as("no", int, 3)) == (7, 3)
    with pytest.raises(ClientError, match="query parameter 'm'"):
        query.get_as("m", int)


def test_headers_are_found_ignoring_case_and_may_have_many_values():
    """All of one name, whatever its spelling."""
    headers = request(X_Many=["1", "2"], x_many="3", Content_Type="text/plain").headers
    assert headers["x-MANY"] == "1, 2, 3"
    assert headers.get_all("X-Many") == ["1", "2", "3"]
    assert headers.get("nothing") is None
    assert "CONTENT-TYPE" in headers
    assert sorted(headers) == ["content-type", "x-many"]


def test_cookies_are_by_name():
    """Of one header or of several."""
    assert request(Cookie='a=1; b="2"; c').cookies == {"a": "1", "b": "2"}
    assert request().cookies == {}


def test_parameters_that_were_not_given_are_left_out():
    """As in an envelope, where they are null."""
    params = request(params={"id": "7", "rest": None}).params
    assert params == {"id": "7"}
    assert params.get_as("id", int) == 7
    with pytest.raises(ClientError, match="route parameter 'id'"):
        request(params={"id": "x"}).params.get_as("id", int)


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"Host": "127.0.0.1:7"}, "http://127.0.0.1:7/api/x?a=1"),
        (
            {"Host": "h", "X_Forwarded_Host": "app.example", "X_Forwarded_Proto": "https"},
            "https://app.example/api/x?a=1",
        ),
        ({"Host": "h", "X_Forwarded_Host": "a, b", "X_Forwarded_Proto": "https, http"}, "https://a/api/x?a=1"),
        ({}, "http:///api/x?a=1"),
    ],
)
def test_url_is_the_clients_as_far_as_the_host_tells(headers, url):
    """The proxying host says whom the client has asked; of several the first is the client's."""
    assert request("/api/x?a=1", **headers).url == url


ROLE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
APP_SERVICE = {"auth_typ": "aad", "claims": [{"typ": "n", "val": "Ann"}, {"typ": "r", "val": "x"}], "name_typ": "n"}
B2C = {"auth_typ": "aadb2c", "name_typ": None, "claims": [{"typ": "emails", "val": "a@b"}, {"typ": "tfp", "val": "p"}]}
STATIC_WEB_APP = {"identityProvider": "github", "userId": "1", "userDetails": "ann", "userRoles": ["anonymous", "x"]}


@pytest.mark.parametrize(
    ("principal", "kind", "name", "values"),
    [
        (APP_SERVICE, "aad", "Ann", ["Ann", "x"]),
        (B2C, "aadb2c", None, ["a@b", "p"]),
        (STATIC_WEB_APP, "github", "ann", ["1", "ann", "anonymous", "x"]),
    ],
)
def test_identities_have_the_envelopes_form(principal, kind, name, values):
    """Both schemas of the header that the platform sets."""
    (identity,) = request(X_MS_CLIENT_PRINCIPAL=base64.b64encode(orjson.dumps(principal)).decode()).identities
    assert (identity["AuthenticationType"], identity["IsAuthenticated"], identity["Name"]) == (kind, True, name)
    assert [claim["Value"] for claim in identity["Claims"]] == values
    assert identity["RoleClaimType"] == ROLE
    assert hostrules_identity(principal)["Claims"] == [
        claim | rest for claim, rest in zip(identity["Claims"], hostrules_identity(principal)["Claims"], strict=True)
    ]


def hostrules_identity(principal):
    """The same by the host's rules."""
    found = principal_identity(base64.b64encode(orjson.dumps(principal)).decode())
    assert found is not None
    return found


@pytest.mark.parametrize("value", ["", "?", "e30=", "W10=", "bnVsbA==", base64.b64encode(b'{"claims": [1]}').decode()])
def test_identities_that_the_platform_has_not_written_are_none(value):
    """Not base64, no JSON, no claims."""
    assert request(X_MS_CLIENT_PRINCIPAL=value).identities == []
    assert request().identities == []


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("Application/Problem+JSON; charset=utf-8", b"[1]", [1]),
        ("text/plain", "Grüße".encode(), "Grüße"),
        ("TEXT/HTML; charset=utf-8", b"<p>", "<p>"),
        ("application/xml", b"<a/>", "<a/>"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        ("application/x-www-form-urlencoded", b"a=1", "a=1"),
        ("application/octet-stream", b"\xff\0", b"\xff\0"),
        ("image/png", b"\x89PNG", b"\x89PNG"),
        ("multipart/form-data; boundary=x", b"--x--", b"--x--"),
        (None, b"text", "text"),
        ("application/json", b"", None),
        ("image/png", b"", None),
    ],
)
def test_a_body_is_what_its_content_type_says(content_type, body, expected):
    """For a handler that asks for no type; nothing is None."""
    headers = {} if content_type is None else {"Content_Type": content_type}
    assert request(body=body, **headers).body == expected
    assert request(body=bytearray(body), **headers).body == expected


def test_a_body_can_be_read_in_every_way():
    """As bytes, text, JSON or a type, in any order."""
    req = request(body=b'{"id": 3}', Content_Type="image/png")
    assert (req.bytes, req.text, req.json(), req.json(Order)) == (b'{"id": 3}', '{"id": 3}', {"id": 3}, Order(3))
    assert list(req.stream()) == [b'{"id": 3}']
    assert (request().bytes, request().text, list(request().stream())) == (b"", "", [])


def test_a_body_that_does_not_decode_is_the_clients_fault():
    """As JSON, as text, as a type."""
    with pytest.raises(ClientError, match="body"):
        _ = request(body=b"{", Content_Type="application/json").body
    with pytest.raises(ClientError, match="body"):
        _ = request(body=b"\xff").text
    with pytest.raises(RequestError, match=r"body\.id"):
        request(body=b'{"id": "x"}').json(Order)


def test_a_form_is_read():
    """With the content type of the header."""
    form = request(body=b"a=1&a=2", Content_Type="application/x-www-form-urlencoded").form()
    assert (form["a"], form.lists["a"]) == ("2", ["1", "2"])
    with pytest.raises(ClientError):
        request(body=b"a=1", Content_Type="text/plain").form()


# -- the answer ------------------------------------------------------------------------------------------------------


def answer(*arguments: Any, **options: Any) -> Answer:
    made = plain_answer(Response(*arguments, **options))
    assert isinstance(made, Answer)
    return made


@pytest.mark.parametrize(
    ("body", "content_type", "data"),
    [
        ("Grüße", b"text/plain; charset=utf-8", "Grüße".encode()),
        ("", b"text/plain; charset=utf-8", b""),
        (b"\xff", b"application/octet-stream", b"\xff"),
        (bytearray(b"\xff"), b"application/octet-stream", b"\xff"),
        (memoryview(b"\xff"), b"application/octet-stream", b"\xff"),
        ({"a": 1}, b"application/json", b'{"a":1}'),
        ([1, None], b"application/json", b"[1,null]"),
        (Order(3), b"application/json", b'{"id":3}'),
        (7, b"application/json", b"7"),
        (False, b"application/json", b"false"),
        (None, b"", b""),
    ],
)
def test_a_body_has_a_type_and_keeps_every_byte(body, content_type, data):
    """By default; a type that was given is kept, by argument or as a header, and named once."""
    assert answer(body) == Answer(200, data, content_type, ())
    assert answer(body, content_type="image/png").content_type == b"image/png"
    own = answer(body, headers={"content-type": "image/png", "X-A": "1"})
    assert (own.content_type, own.headers) == (b"image/png", ((b"X-A", b"1"),))
    assert type(own.body) is bytes


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("body", ["text", {"a": 1}, None, iter([1])])
def test_statuses_without_a_body_have_none(status, body):
    """By definition, whatever the handler gave; their headers stay."""
    made = answer(body, status_code=status, headers={"ETag": '"1"'}, cookies={"a": "1"})
    assert made == Answer(status, b"", b"", ((b"ETag", b'"1"'), (b"Set-Cookie", b"a=1")))


def test_headers_that_frame_the_message_are_the_servers_own():
    """Two lengths, or a length and chunks, would be request smuggling the other way round."""
    headers = {"Content-Length": "3", "Transfer-Encoding": "chunked", "connection": "close", "Upgrade": "x", "TE": "x"}
    assert answer("text", headers={**headers, "Keep-Alive": "x", "Trailer": "x", "Content-Encoding": "br"}).headers == (
        (b"Content-Encoding", b"br"),
    )


def test_several_cookies_are_several_lines():
    """Beside one that is a header."""
    made = answer("x", headers=[("Set-Cookie", "c=3")], cookies={"a": "1", "b": "2"})
    assert made.headers == ((b"Set-Cookie", b"c=3"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2"))


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-A": "a\r\nX-B: b"}},
        {"headers": {"X-A\r\nX-B": "b"}},
        {"headers": {"X-A: b\r\nX-B": "b"}},
        {"headers": [("X-A", "a\nb")]},
        {"headers": {"X-A": "a\0b"}},
        {"headers": {"X-A": None}},
        {"headers": {"": "x"}},
        {"headers": {"X A": "x"}},
        {"headers": {"X-A": "€"}},
        {"headers": {5: "x"}},
        {"cookies": {"a": "1\r\nX-B: b"}},
        {"cookies": ["a=1\nb"]},
        {"cookies": {"a\r\nX-B": "1"}},
        {"content_type": "text/plain\r\nX-B: b"},
        {"headers": {"Content-Type": "text/plain\r\nX-B: b"}},
    ],
)
@pytest.mark.parametrize("body", ["x", {"a": 1}, None, iter([1]), Path("x")])
def test_what_would_end_its_line_is_refused(options, body):
    """Header injection, in names, values, cookies and content types, for every kind of body."""
    with pytest.raises(ValueError, match="cannot be"):
        Response(body, **options)
    response = Response(body)
    for name, value in options.items():  # what has changed behind the response's back
        object.__setattr__(response, name, value)
    with pytest.raises(UnencodableError, match="cannot be"):
        plain_answer(response)


def test_a_value_that_no_json_can_hold_is_named():
    """The path to the culprit."""
    with pytest.raises(UnencodableError, match=r"the response's body\.a\[0\]"):
        answer({"a": [object()]})
    with pytest.raises(UnencodableError, match="no Unicode"):
        answer("\ud800")


def test_a_redirect_leads_to_a_place_that_any_client_can_read():
    """Encoded once: what is encoded already stays."""
    made = plain_answer(Response.redirect("/ü x?a=%20#b", status_code=307))
    assert made == Answer(307, b"", b"", ((b"Location", b"/%C3%BC%20x?a=%20#b"),))
    assert b"\r" not in plain_answer(Response.redirect("/a\r\nX-B: b")).headers[0][1]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="300 to 399"):
        Response.redirect("/", status_code=200)


def test_a_file_is_left_to_the_kernel():
    """With its type by its name; a browser may be told to save it."""
    made = plain_answer(Response.file("/tmp/a.html"))
    assert made == FileBody(200, (), b"text/html", Path("/tmp/a.html"))
    assert plain_answer(Response(Path("x"))) == FileBody(200, (), b"application/octet-stream", Path("x"))
    saved = plain_answer(Response.file("x.unknown", download_as='ü"\r\n.txt'))
    assert isinstance(saved, FileBody)
    assert saved.headers == ((b"Content-Disposition", b"attachment; filename*=UTF-8''%C3%BC%22%0D%0A.txt"),)


def test_an_iterator_streams_and_an_event_stream_at_once():
    """The head of events need not wait for the first of them."""
    source = iter([{"n": 1}])
    made = plain_answer(Response(source, status_code=201, headers={"X-A": "1"}))
    assert isinstance(made, Streaming)
    assert (made.status, made.headers, made.source) == (201, ((b"X-A", b"1"),), source)
    assert (made.at_once, made.keep_alive_s) == (False, None)
    assert made.items_for({"n": 1}).encode({"n": 1}) == b'{"n":1}\n'
    assert made.items_for("x").content_type == "text/plain; charset=utf-8"
    events = plain_answer(EventStream(source, keep_alive=3))
    assert isinstance(events, Streaming)
    assert (events.at_once, events.keep_alive_s) == (True, 3)
    assert events.items_for(END).encode(Event(data=1)) == b"data: 1\n\n"
    assert events.items_for(END).content_type == "text/event-stream"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirection_that_the_host_would_follow_to_a_stronger_function_is_refused(status):
    """Under httpWorker, where it goes to any name without asking for a key."""
    function = SimpleNamespace(http_output="res", return_to="res", may_redirect=False, outs=())
    invocation = SimpleNamespace(function=function, arguments={})
    with pytest.raises(UnencodableError, match="under httpWorker"):
        _plain_answer(invocation, Response("", status_code=status, headers={"Location": "/secret"}))  # type: ignore[arg-type]
    function.may_redirect = True
    assert _plain_answer(invocation, Response("", status_code=status)).status == status  # type: ignore[arg-type]
