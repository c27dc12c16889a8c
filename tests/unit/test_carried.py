"""Whatever a handler answers: the client gets exactly that, or the invocation fails here, with the place.

The judge is hostrules/, made from recordings of the real host, and knows nothing of the encoders. The tables
hold a row for each kind of answer that was recorded.
"""

import json
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastworker.hostrules.answers import HttpReply, accept, http_reply
from fastworker.hostrules.dotnet_values import parse_date
from fastworker.hostrules.output_values import objects
from fastworker.protocol.bindings import RETURN, Binding
from fastworker.protocol.dates import looks_like_date
from fastworker.protocol.jsontext import UnencodableError
from fastworker.protocol.messages import Response
from fastworker.protocol.outputs import output_encoder, render_answer
from fastworker.protocol.plain_http import plain_answer
from fastworker.protocol.streams import EventStream

FORMS = pytest.mark.parametrize("name", ["res", RETURN])


def client_gets(response: Any, name: str) -> HttpReply:
    """What the host makes of the encoder's output. Raises AnswerError for what it refuses."""
    encoded = output_encoder(Binding("http", "out", name))(response)
    returned, outputs = (encoded, {}) if name == RETURN else (None, {name: encoded})
    answer = accept(200, "application/json", render_answer(outputs, [], returned))
    return http_reply([SimpleNamespace(name=name, type="http", data_type=None)], answer)


def fields(reply: HttpReply) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.headers}


# ---- status -------------------------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("status", [200, 201, 204, 205, 299, 304, 404, 418, 499, 500, 599, 600, 999, HTTPStatus.GONE])
def test_final_statuses_arrive(name, status):
    """From 200 to 999, whether anybody has given them a name or not."""
    assert client_gets(Response("x", status_code=status), name).status == status
    response = Response("x")
    response.status_code = status
    assert client_gets(response, name).status == status
    assert plain_answer(response).status == status
    assert type(response.status_code) is int


@pytest.mark.parametrize("status", [-1, 0, 1, 99, 100, 101, 103, 199, 1000, 99999, 2**40, "404", "", 200.0, True, None])
def test_what_is_no_final_status_is_refused_where_it_is_set(status):
    """The host would send it raw, break the connection, or take 200 for it."""
    for make in (lambda: Response("x", status_code=status), lambda: EventStream([]).__setattr__("status_code", status)):
        with pytest.raises(ValueError, match="status_code is") as caught:
            make()
        assert repr(status) in str(caught.value)


# ---- headers and cookies --------------------------------------------------------------------------------------

VALUES = st.text(max_size=30) | st.text(st.characters(max_codepoint=0x17F), max_size=30)


@FORMS
@given(value=VALUES)
@example(value="a\tb ~")
@example(value="2020-01-02T03:04:05Z")
@example(value="\x7f")
@example(value="h\xe9")
def test_a_header_arrives_or_is_refused(name, value):
    """When it is set, when it is sent, and in plain HTTP all alike; the message names header and character."""
    try:
        response = Response("x", headers={"X-Name": value})
    except ValueError as error:
        assert "headers.X-Name" in str(error)
        assert any(not (c == "\t" or " " <= c <= "~") for c in value)
        later = Response("x", headers={})
        later.headers["X-Name"] = value
        for send in (lambda: client_gets(later, name), lambda: plain_answer(later)):
            with pytest.raises(UnencodableError, match=r"X-Name"):
                send()
    else:
        assert fields(client_gets(response, name)).get("x-name", "").strip(" ") == value.strip(" ")
        assert plain_answer(response).headers == ((b"X-Name", value.encode()),)


@FORMS
@pytest.mark.parametrize("header", ["", "X A", "X:A", "X\r\nB", "X\xe9", "(x)", "X\0", 5, None])
def test_what_is_no_token_names_no_header(name, header):
    """When it is set and when it is sent."""
    with pytest.raises(ValueError, match="cannot be the name of a header"):
        Response("x", headers=[(header, "1")])
    response = Response("x", headers=[])
    response.headers.append((header, "1"))
    with pytest.raises(UnencodableError, match="cannot be the name of a header"):
        client_gets(response, name)


@FORMS
@pytest.mark.parametrize(
    "header", ["Content-Length", "content-length", "Transfer-Encoding", "Connection", "Keep-Alive"]
)
def test_what_frames_the_message_is_not_the_apps(name, header):
    """The host would send it as it is, and the client's connection would break or hang."""
    reply = client_gets(Response("x", headers={header: "50", "X-A": "1"}), name)
    assert header.lower() not in fields(reply)
    assert fields(reply)["x-a"] == "1"
    assert (reply.body, reply.breaks) == (b"x", False)
    assert plain_answer(Response("x", headers={header: "50"})).headers == ()


@pytest.mark.parametrize(
    "cookies",
    [
        {"a": "1; Domain=evil"},
        {"a": "1,b=2"},
        {"a": "1\r\nX: y"},
        {"a": "\xe9"},
        {"a b": "1"},
        {"a=b": "1"},
        {"": "1"},
        ["a=1\r\nX: y"],
        "a=\x00",
        5,
        b"a=1",
    ],
)
def test_a_cookie_takes_no_separators(cookies):
    """Neither a second cookie nor an attribute comes out of a value; whole lines may have attributes."""
    with pytest.raises(ValueError, match="cookies"):
        Response("x", cookies=cookies)
    response = Response("x")
    with pytest.raises(ValueError, match="cookies"):
        response.cookies = cookies
    if isinstance(cookies, dict):
        changed = Response("x", cookies={})
        changed.cookies.update(cookies)
        with pytest.raises(UnencodableError, match="cookie"):
            client_gets(changed, "res")


@FORMS
@pytest.mark.parametrize(
    "cookies", [{"a": '{"b": 1}'.replace(",", "")}, {"a": "1"}, ["a=1; Path=/; HttpOnly"], "a=1; Secure"]
)
def test_a_cookie_arrives(name, cookies):
    """One, in an envelope."""
    assert fields(client_gets(Response("x", cookies=cookies), name))["set-cookie"].startswith("a=")


@pytest.mark.parametrize(
    ("field", "value"),
    [("headers", 5), ("headers", "X: 1"), ("headers", [5]), ("headers", [("a", "b", "c")]), ("content_type", 5)],
)
def test_a_field_of_another_type_is_refused_where_it_is_set(field, value):
    """With its name."""
    with pytest.raises(ValueError, match=field):
        Response("x", **{field: value})


def test_a_generators_headers_and_cookies_are_kept():
    """They come once, and are looked at more than once."""
    response = Response("x", headers=(pair for pair in [("X-A", "1")]), cookies=(line for line in ["a=1"]))
    assert fields(client_gets(response, "res")) == fields(client_gets(response, "res"))


# ---- content types and charsets -------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize(
    "content_type",
    [
        *("text/html", "text/html; charset=utf-8", 'text/html; charset="utf-8"', "text/html;charset=UTF-8"),
        *("text/html; charset=utf-16", "application/json", "image/png", "text/plain; a=b"),
    ],
)
@pytest.mark.parametrize("body", ["h\xe9 \u4e2d", "ascii", b"bytes", "h\xe9".encode(), {"a": "\xe9"}])
@pytest.mark.parametrize("as_header", [False, True])
def test_text_arrives_under_its_content_type(name, content_type, body, as_header):
    """As the client reads it by the charset that it is told."""
    given_ = {"headers": {"Content-Type": content_type}} if as_header else {"content_type": content_type}
    wide = "utf-16" in content_type
    try:
        reply = client_gets(Response(body, **given_), name)
    except UnencodableError:
        assert isinstance(body, bytes)
        assert wide
        return
    sent_type = fields(reply)["content-type"]
    assert sent_type.startswith(content_type)
    text = reply.body.decode("utf-16-le" if wide else "utf-8")
    if isinstance(body, bytes):
        assert reply.body == body
    else:
        assert text == (body if isinstance(body, str) else '{"a":"\xe9"}')


@FORMS
@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "us-ascii", "UTF-32", "latin1"])
@pytest.mark.parametrize("body", ["x", "\xe9", b"x", {"a": 1}])
@pytest.mark.parametrize("as_header", [False, True])
def test_a_charset_that_the_host_replaces_is_refused(name, charset, body, as_header):
    """With its name and the way out."""
    content_type = f'text/html; charset="{charset}"'
    given_ = {"headers": {"Content-Type": content_type}} if as_header else {"content_type": content_type}
    with pytest.raises(UnencodableError, match=charset.lower()):
        client_gets(Response(body, **given_), name)


# ---- dates ------------------------------------------------------------------------------------------------------

DATES = [
    *("2020-01-02T03:04:05", "2020-01-02T03:04:05Z", "2020-01-02T03:04:05z", "2020-01-02T03:04:05.1234567+05:30"),
    *("2020-01-02T03:04:05+02", "2020-01-02T03:04:05+0200", "2020-01-02T24:00:00", "0001-01-01T00:00:00"),
    *("9999-12-31T23:59:59", "/Date(0)/", "/Date(-1)/", "/Date(1577934245000+0200)/", "2020-02-29T00:00:00"),
]
NO_DATES = [
    *("2020-01-02T03:04:05 is the day", "2020-01-02T03:04:05Z\n", " 2020-01-02T03:04:05", "2020-01-02t03:04:05"),
    *("2020-01-02T03:04:05.12345678", "2020-01-02T03:04:60", "/Date(abc)/", "/Date()/", "2020-01-02 03:04:05"),
    *(
        "2020-13-01T00:00:00",
        "2020-02-30T00:00:00",
        "2021-02-29T00:00:00",
        "0000-01-01T00:00:00",
        "2020-01-02T24:00:01",
    ),
    *("2020-01-02T03:04:05.", "2020-01-02T03:04", "2020-01-02", "9999-12-31T24:00:00", f"/Date({'9' * 19})/", ""),
    "\u0662020-01-02T03:04:05",
]


@pytest.mark.parametrize("text", [*DATES, *NO_DATES])
def test_the_rule_for_dates_is_the_hosts(text):
    """Exactly: what is none is refused nowhere."""
    assert looks_like_date(text) == (text in DATES) == (parse_date(text) is not None)


PARTS = st.sampled_from(
    ["0001", "2020", "9999", "-", "01", "02", "12", "13", "29", "30", "T", "24", "23", ":", "00", "60"]
)
TAILS = st.sampled_from(
    ["", "Z", "z", ".1", ".1234567", ".12345678", "+02", "+0200", "+02:00", "-14:00", "\n", " ", "+2"]
)


@given(
    st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\Z").flatmap(
        lambda text: TAILS.map(lambda tail: text + tail)
    )
    | st.lists(PARTS, max_size=14).map("".join)
    | st.from_regex(r"/Date\(-?[0-9]{0,20}([+-][0-9]{1,4})?\)/")
)
def test_no_text_is_judged_otherwise_than_by_the_host(text):
    """Texts that are nearly dates."""
    assert looks_like_date(text) == (parse_date(text) is not None)


@FORMS
@given(
    body=st.text(max_size=45) | st.sampled_from([*DATES, *NO_DATES, "test", "1234", "true", '{"a":1}', "[1]", "null"])
)
def test_text_arrives_or_is_a_date(name, body):
    """Under a named output a date has no form that survives; as a return value everything does."""
    try:
        reply = client_gets(body, name)
    except UnencodableError:
        assert any(0xD800 <= ord(c) < 0xE000 for c in body) or (name == "res" and looks_like_date(body))
    else:
        assert reply.body.decode() == body


# ---- numbers --------------------------------------------------------------------------------------------------------

NUMBERS = [0, -0.0, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**64, -(2**63) - 1, 2**70, 10**30, 0.1, 1e15, 1e300, 5e-324, True]


@FORMS
@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_any_size_arrive(name, number):
    """As JSON: the host has them as text."""
    reply = client_gets({"n": number, "deep": [{"n": number}]}, name)
    assert json.loads(reply.body) == {"n": number, "deep": [{"n": number}]}
    assert json.loads(client_gets(number, name).body) == number


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("as_text", [False, True])
def test_numbers_of_any_size_stand_in_objects(number, as_text):
    """For Cosmos DB and its like, in JSON that is read by the host."""
    value = {"n": number}
    encoded = output_encoder(Binding("cosmosDB", "out", "out"))(json.dumps(value) if as_text else value)
    assert json.loads(render_answer({"out": encoded}, [], None))["Outputs"]["out"] == value


# ---- depth --------------------------------------------------------------------------------------------------------


class Node(msgspec.Struct):
    child: Any = None


def nested(kind: str, depth: int) -> Any:
    value: Any = {"end": 1}
    for _ in range(depth - 1):
        value = {"a": value} if kind == "dict" else {"a": [value]} if kind == "list" else Node(value)
    return value


@pytest.mark.parametrize("depth", [1, 60, 63, 64, 65, 100, 120, 125, 126, 127, 128, 200, 250, 253, 254, 255, 256, 300])
@pytest.mark.parametrize("kind", ["dict", "list", "struct"])
@pytest.mark.parametrize("form", ["value", "text", "response", "returned"])
def test_what_is_nested_arrives_or_is_refused(depth, kind, form):
    """Bodies are text to the host, however deep; objects for Cosmos DB and its like have a limit."""
    value = nested(kind, depth)
    try:
        if form in ("response", "returned"):
            assert client_gets(Response(value), "res" if form == "response" else RETURN).status == 200
            return
        given_ = msgspec.json.encode(value).decode() if form == "text" else value
        encoded = output_encoder(Binding("cosmosDB", "out", "out"))(given_)
        answer = render_answer({"out": encoded}, [], None)
    except UnencodableError as error:
        assert depth > 120
        assert "out" in str(error) or "body" in str(error)
    else:
        assert len(objects("out", accept(200, "application/json", answer).outputs["out"])) == 1
