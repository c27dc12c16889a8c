"""Request, as a handler reads it; vectors A 10 to 13."""

from typing import Any

import msgspec
import orjson
import pytest

from fastworker.errors import RequestError
from fastworker.functions.build import argument_decoder
from fastworker.protocol.bindings import Binding
from fastworker.protocol.envelope import envelope_reader
from fastworker.protocol.messages import HTTP_VALUE, ClientError, Request

read_envelope = envelope_reader({"req": HTTP_VALUE})


class Order(msgspec.Struct):
    id: int
    color: str = "red"


def read(annotation: Any = Request, **members: Any) -> Any:
    body = orjson.dumps({"Data": {"req": {"Url": "http://h/api/f?name=Mathew&name=Amy", "Method": "POST", **members}}})
    envelope = read_envelope(body)
    return argument_decoder(Binding("httpTrigger", "in", "req"), annotation)(envelope.Data["req"], envelope)


JSON = {"Content-Type": ["application/json"], "Cookie": ['a=1; b="2"; c'], "X-Many": ["1", "2"]}


def test_fields_of_a_request():
    """Vector A 10 among them: repeated query parameters come joined."""
    req = read(
        Query={"name": "Mathew,Amy"},
        Headers=JSON,
        Params={"id": "7", "rest": None},
        Identities=[{"AuthenticationType": None}],
    )
    assert (req.method, req.url) == ("POST", "http://h/api/f?name=Mathew&name=Amy")
    assert req.query == {"name": "Mathew,Amy"}
    assert req.params == {"id": "7"}
    assert req.params.get_as("id", int) == 7
    assert req.params.get_as("rest", int, 3) == 3
    assert req.headers["content-TYPE"] == "application/json"
    assert req.headers["x-many"] == "1, 2"
    assert req.headers.get_all("X-Many") == ["1", "2"]
    assert req.headers.get_all("nothing") == []
    assert sorted(req.headers) == ["content-type", "cookie", "x-many"]
    assert len(req.headers) == 3
    assert req.cookies == {"a": "1", "b": "2"}
    assert req.identities == [{"AuthenticationType": None}]


def test_vector_a11_json_body_is_text():
    """Never parsed by the host; parsed here when asked, or by the annotation."""
    req = read(Headers=JSON, Body='{"id":1}')
    assert (req.text, req.bytes, req.json(), req.body) == ('{"id":1}', b'{"id":1}', {"id": 1}, {"id": 1})
    assert req.json(Order) == Order(1)
    assert read(Request[Order], Body='{"id":1}').body == Order(1)
    assert read(Order, Body='{"id":1}') == Order(1)


@pytest.mark.parametrize("text", ["hello", "", "a\\b", 'say "x"', "line\n", "caf\u00e9", "\U0001f600", "\x00"])
def test_text_that_is_wanted_as_bytes_is_the_same_however_it_stands_in_the_envelope(text):
    """As it is, with escapes, or beyond ASCII: the UTF-8 of what the client sent."""
    req = read(Request[bytes], Headers=JSON, Body=text)
    assert (req.body, req.bytes, req.text) == (text.encode(), text.encode(), text)
    assert read(bytes, Headers=JSON, Body=text) == text.encode()


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "Application/Octet-Stream; x=y", "multipart/mixed"]
)
def test_vector_a12_binary_bodies_are_base64(content_type):
    """Decided by the content type, under any spelling of the header's name."""
    for name in ("Content-Type", "content-type"):
        req = read(Headers={name: [content_type]}, Body="AQID")
        assert req.bytes == req.body == b"\x01\x02\x03"
        assert req.text == "\x01\x02\x03"
    assert read(bytes, Headers={"Content-Type": [content_type]}, Body="AQID") == b"\x01\x02\x03"


def test_content_type_elsewhere_does_not_make_a_body_binary():
    """Only the Content-Type header counts."""
    assert read(Headers={"Accept": ["application/octet-stream"]}, Body="AQID").text == "AQID"


def test_vector_a13_no_body():
    """No member `Body`: nothing, unless a type is asked for."""
    req = read()
    assert (req.text, req.bytes, req.body) == ("", b"", None)
    assert read(Request[Order | None]).body is None
    with pytest.raises(ClientError, match="body: expected Order, got nothing"):
        read(Request[Order])


def test_plain_request_has_text_unless_the_client_says_json():
    """What `body` is without a type."""
    assert read(Headers={"Content-Type": ["text/plain"]}, Body="1234").body == "1234"
    assert read(str, Body="1234") == "1234"


def test_request_of_early_hosts_is_text():
    """Protocol 2.6: the whole object as text, and `Query` within it."""
    inner = orjson.dumps({"Url": "u", "Query": '{"a":"1"}', "Body": "x"}).decode()
    envelope = read_envelope(orjson.dumps({"Data": {"req": inner}}))
    req = argument_decoder(Binding("httpTrigger", "in", "req"), Request)(envelope.Data["req"], envelope)
    assert (req.query, req.text) == ({"a": "1"}, "x")


def test_body_that_came_as_an_object_is_its_text():
    """No host sends one, but hand-written envelopes do."""
    assert read(Request[Order], Body={"id": 1}).body == Order(1)


@pytest.mark.parametrize(
    ("members", "get", "message"),
    [
        ({"Url": 3}, None, r"Data\.req\.Url: expected `str`, got `int`"),
        ({"Headers": []}, lambda r: r.headers, r"Data\.req\.Headers: expected `object`, got `array`"),
        (
            {"Headers": {"Content-Type": ["application/octet-stream"]}, "Body": "?"},
            lambda r: r.bytes,
            r"Data\.req\.Body: expected base64",
        ),
    ],
)
def test_wrong_request_object_is_the_hosts_fault(members, get, message):
    """A plain 400, not one for the client."""
    with pytest.raises(RequestError, match=message) as caught:
        req = read(**members)
        get(req)
    assert not isinstance(caught.value, ClientError)


def test_binary_body_that_is_no_text_is_the_clients_fault():
    """Where the handler asks for text."""
    req = read(Headers={"Content-Type": ["application/octet-stream"]}, Body="/w==")
    with pytest.raises(ClientError, match="invalid UTF-8"):
        _ = req.text
    with pytest.raises(ClientError, match="invalid UTF-8"):
        read(Request[str], Headers={"Content-Type": ["application/octet-stream"]}, Body="/w==")


def test_url_encoded_form():
    """Fields, the last of each name; all of them in `lists`."""
    form = read(Headers={"Content-Type": ["application/x-www-form-urlencoded"]}, Body="a=1&b=%C3%A9&a=2&c=").form()
    assert form == {"a": "2", "b": "é", "c": ""}
    assert form.lists["a"] == ["1", "2"]


MULTIPART = (
    b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\nfirst\r\n'
    b'--xx\r\nContent-Disposition: form-data; name="f"; filename="x.bin"\r\n'
    b"Content-Type: image/png\r\n\r\n\xff\r\n\x00\r\n"
    b"--xx--\r\n"
)


def multipart(body: bytes, content_type: str = "multipart/form-data; boundary=xx") -> Any:
    encoded = msgspec.json.decode(msgspec.json.encode(body))
    return read(Headers={"Content-Type": [content_type]}, Body=encoded)


def test_multipart_form():
    """Fields and files, bytes untouched."""
    form = multipart(MULTIPART).form()
    assert form == {"a": "first"}
    assert form.files["f"] == [("x.bin", "image/png", b"\xff\r\n\x00")]


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"x", "multipart/form-data", "names no boundary"),
        (b"x", "multipart/form-data; boundary=xx", "body: "),
        (MULTIPART[:-9], "multipart/form-data; boundary=xx", "body: .*nexpected end"),
        (b"--xx\r\nno headers\r\n--xx--", "multipart/form-data; boundary=xx", "body: .*header"),
        (b"--xx\r\nA: b\r\n\r\nx\r\n--xx--", "multipart/form-data; boundary=xx", "body: .*Disposition"),
        (b"x", "application/octet-stream", "expected a form"),
    ],
)
def test_broken_form_is_the_clients_fault(body, content_type, message):
    """Never a crash."""
    with pytest.raises(ClientError, match=message):
        multipart(body, content_type).form()
