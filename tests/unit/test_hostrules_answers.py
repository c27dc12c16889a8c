"""Answers to envelopes and what becomes of them: what host 4.1037 made of them, by kind (parts A and B)."""

import json
from typing import NamedTuple

import pytest

from fastworker.hostrules.answers import (
    AnswerError,
    NothingError,
    accept,
    check_named_outputs,
    http_reply,
    output_values,
    redirect,
)
from fastworker.hostrules.output_values import blob, messages, objects

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"


class Output(NamedTuple):
    """An output binding, as far as the rules ask for it."""

    name: str
    type: str = "http"
    data_type: str | None = None


RES = (Output("res"),)
RET = (Output("$return"),)
UPPER = (Output("res", "HTTP"),)


def reply(outputs, document, accept_header=""):
    """(status, body, content type, other headers) that the client gets; or the error."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    answer = accept(200, "application/json", body)
    check_named_outputs(outputs, answer)
    found = http_reply(outputs, answer, accept_header)
    headers = {name.lower(): value for name, value in found.headers}
    return found.status, found.body, headers.pop("content-type", None), headers


# ---- accepting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        # A-a-trailing, A-a-two, A-a-lenient, A-a-ctrl, A-a-nul, A-a-utf16, A-a-ct-*, B-186
        (b'{"ReturnValue":"x"} zzz', "application/json"),
        (b'{"ReturnValue":"x"}{"ReturnValue":"y"}', "text/json"),
        (b"{ReturnValue: 'x', /* c */} // end", "application/json"),
        (b'{"ReturnValue":"y","returnvalue":"x"}', "Application/JSON; Charset=UTF-8"),
        (b'\0{"ReturnValue":\0"x"}', "*/*"),
        (b'\xef\xbb\xbf{"ReturnValue":"x"}', 'application/json; charset="utf-8"'),
        ('{"ReturnValue":"x"}'.encode("utf-16"), "application/json"),
        ('{"ReturnValue":"x"}'.encode("utf-16-le"), "application/json; charset=utf-16"),
    ],
)
def test_answers_that_are_accepted(body, kind):
    """Newtonsoft's leniency, text behind the document, byte order marks, three media types."""
    assert accept(200, kind, body).return_value == "x"


@pytest.mark.parametrize("body", [b"", b"  \n ", b"\xef\xbb\xbf", b"null", b"undefined", b"/* x */"])
def test_answers_that_hang(body):
    """A-g-*: trap 1, and everything else that holds no value."""
    with pytest.raises(NothingError):
        accept(200, "application/json", body)


def test_an_empty_answer_hangs_whatever_its_type():
    """A-g-empty-noct, A-g-204; text that is null fails at once (A-g-logs)."""
    for kind in ("", "text/plain"):
        with pytest.raises(NothingError):
            accept(204, kind, b"")
        with pytest.raises(AnswerError):
            accept(200, kind, b"null")


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        # vectors C 34 to 36, A-a-ct-*, A-l-*
        (200, "text/plain", b"{}"),
        (200, "", b"{}"),
        (200, "application/problem+json", b"{}"),
        (404, "application/json", b"{}"),
        (304, "application/json", b"{}"),
        (200, "application/json", b"{"),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"ReturnValue":"\xff"}'),
        (200, "application/json", b'{"Outputs":[]}'),
        (200, "application/json", b'{"Logs":"a"}'),
        (200, "application/json", b'{"Logs":[{}]}'),
        (200, "application/json", b'{"ReturnValue":' + b"[" * 300 + b"]" * 300 + b"}"),
    ],
)
def test_answers_that_fail(status, kind, body):
    """Another status or type, no JSON, no object, wrong members, too deep."""
    with pytest.raises(AnswerError):
        accept(status, kind, body)


def test_log_lines():
    """A-l-*: null as `[null]`, scalars in JSON's spelling, dates as they are written."""
    lines = accept(200, "application/json", b'{"Logs":["a",1,true,null,"2020-01-02T03:04:05Z","l1\\nl2"]}').logs
    assert lines == ("a", "1", "true", "[null]", "2020-01-02T03:04:05Z", "l1\nl2")


# ---- the response ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "status", "body", "kind"),
    [
        # protocol 4.3, A-s-*, A-b-*, vectors C 28 to 31
        ({"statusCode": 201, "body": "x"}, 201, "x", TEXT),
        ({"statusCode": " 404 "}, 404, "", TEXT),
        ({"statusCode": "+201", "body": "x"}, 201, "x", TEXT),
        ({"statusCode": 0, "body": "x"}, 0, "x", TEXT),
        ({"statusCode": -1, "body": "x"}, -1, "x", TEXT),
        ({"statusCode": 99999, "body": "x"}, 99999, "x", TEXT),
        *(({"statusCode": wrong, "body": "x"}, 200, "x", TEXT)
          for wrong in ("abc", "201.0", 201.0, "0xC9", "2e2", True, None, 2**31, "2020-01-02T03:04:05Z", "")),
        ({"status": 404, "body": "x"}, 200, "x", TEXT),
        ({"statusCode": 204, "body": "x"}, 204, "", TEXT),
        ({"statusCode": 205, "body": "x"}, 205, "", TEXT),
        ({"statusCode": 304}, 304, "", TEXT),
        ({"body": {"a": [1, True]}}, 200, '{\n  "a": [\n    1,\n    true\n  ]\n}', TEXT),
        ({"body": True}, 200, "True", TEXT),
        ({"body": 1.0}, 200, "1", TEXT),
        ({"body": "aGk="}, 200, "aGk=", TEXT),
        ({"body": None}, 200, "", TEXT),
        ({"Body": "1", "body": "2"}, 200, "2", TEXT),
        ({"body": "2020-01-02T03:04:05.5+05:30"}, 200, "01/01/2020 21:34:05", TEXT),
        ({}, 200, "", TEXT),
        ('{"statusCode":202,"body":"x"}', 202, "x", TEXT),
    ],
)  # fmt: skip
def test_named_http_output(value, status, body, kind):
    """Whole numbers only; objects indented; a type even without a body."""
    assert reply(RES, {"Outputs": {"res": value}}) == (status, body.encode(), kind, {})


@pytest.mark.parametrize(
    "value",
    ["text", "", "null", None, 3, [], {"statusCode": [201]}, {"statusCode": {}}, {"headers": "X"}, {"headers": []}],
)
def test_malformed_named_output_fails_before_anything_is_written(value):
    """A-o-*, A-q-resbad, B-162, B-169; also one that is nested 65 levels deep (A-d2-named-64)."""
    deep = {"body": json.loads("[" * 64 + "]" * 64)}
    for wrong in (value, deep):
        answer = accept(200, "application/json", json.dumps({"Outputs": {"res": wrong}}).encode())
        with pytest.raises(AnswerError) as info:
            check_named_outputs(RES, answer)
        assert not info.value.too_late


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        # A-h-*, A-hdr-*
        ({"X-A": "1", "x-a": "2"}, {"x-a": "1"}),
        ({"X-A": 1.5, "X-B": True}, {"x-a": "1.5", "x-b": "True"}),
        ({"X-A": []}, {"x-a": "[]"}),
        ({"X-A": {}}, {"x-a": "{}"}),
        ({"X-A": "a\tb"}, {"x-a": "a\tb"}),
        ({"X-A": "2020-01-02T03:04:05Z"}, {"x-a": "01/02/2020 03:04:05"}),
        ({"Content-Length": "0"}, {"content-length": "0"}),
        ({}, {}),
        (None, {}),
        *(({"X-A": wrong}, None) for wrong in (None, ["1", "2"], {"a": 1}, "h\xe9", "a\r\nb", "\x01", "\x7f", "\x80")),
        *(({name: "1"}, None) for name in ("", "X A", "X-\xe9", "X:A")),
        ({"Content-Length": "abc"}, None),
        ({"Content-Type": "text/pl\xe9in"}, None),
    ],
)
def test_headers_of_a_response(given, sent):
    """Turned into text; what Kestrel does not send is a 500 that comes after everything else was done."""
    document = {"Outputs": {"res": {"body": "x", "headers": given}}}
    if sent is not None:
        assert reply(RES, document) == (200, b"x", TEXT, sent)
        return
    with pytest.raises(AnswerError) as info:
        reply(RES, document)
    assert info.value.too_late


def test_content_type_takes_the_last_of_doubles():
    """A-h-ctdup; and UTF-16 decides how the text is written (A-h-ctutf16)."""
    headers = {"Content-Type": "text/html", "content-type": "text/css"}
    assert reply(RES, {"Outputs": {"res": {"body": "x", "headers": headers}}})[2] == "text/css; charset=utf-8"
    headers = {"content-type": "a/b; charset=utf-16"}
    assert reply(RES, {"Outputs": {"res": {"body": "\xe9", "headers": headers}}})[1] == b"\xe9\0"


@pytest.mark.parametrize(
    ("value", "status", "body", "kind"),
    [
        # protocol 4.4, A-ret-*, A-ret2-*
        ("hello", 200, b"hello", TEXT),
        ("aGVsbG8=", 200, b"hello", None),
        ("2020-01-02T03:04:05Z", 200, b"01/02/2020 03:04:05", TEXT),
        ('{"a":1}', 200, b'{\n  "a": 1\n}', TEXT),
        ('{"statusCode":201,"body":"x"}', 201, b"x", TEXT),
        ('"quoted"', 200, b"quoted", TEXT),
        ("12345", 200, b"12345", TEXT),
        ("[1,", 200, b"[1,", TEXT),
        (True, 200, b"True", TEXT),
        ([1, "x"], 200, b'[\n  1,\n  "x"\n]', TEXT),
        ({"statusCode": 201}, 200, b'{\n  "statusCode": 201\n}', TEXT),
        ({"status": 404, "body": "x"}, 404, b"x", TEXT),
        ({"status": 404, "STATUSCODE": "201", "Body": "x"}, 201, b"x", TEXT),
        ({"status": 201.0, "body": "x"}, 200, b"x", TEXT),
        ({"body": {"a": 1, "b": [1]}}, 200, b'{"a":1,"b":[1]}', TEXT),
        ({"body": [1]}, 200, b"System.Collections.Generic.List`1[System.Object]", TEXT),
        ({"body": "aGk="}, 200, b"aGk=", TEXT),
        ({"body": "x", "headers": "X"}, 200, b"x", TEXT),
        (json.loads("[" * 200 + "]" * 200), 200, None, TEXT),
        (None, 204, b"", None),
    ],
)
def test_http_return_value(value, status, body, kind):
    """Bytes by base64, JSON in text, an object with a body, and everything else as text."""
    found = reply(RET, {"ReturnValue": value})
    assert (found[0], found[2]) == (status, kind)
    assert body is None or found[1] == body


@pytest.mark.parametrize(
    ("outputs", "document", "status", "body", "kind"),
    [
        (RES, {"Outputs": {"res": {"statusCode": "204"}}}, 204, b"", TEXT),  # 28
        (RES, {"outputs": {"res": {"STATUSCODE": 201, "Body": "x"}}}, 201, b"x", TEXT),  # 30
        (RES, {"Outputs": {"RES": {"body": "x"}}}, 200, b"{}", TEXT),  # 31
        (RES, {}, 204, b"", None),  # 32
        (RET, {"ReturnValue": "aGVsbG8="}, 200, b"hello", None),  # 41
        (RET, {"ReturnValue": {"status": 404, "body": "x"}}, 404, b"x", TEXT),  # 42
        (RES, {"Outputs": {"res": {"body": "x", "headers": {"content-type": "text/html"}}}}, 200, b"x",
         "text/html; charset=utf-8"),  # 44
    ],
)  # fmt: skip
def test_vectors_of_http_responses(outputs, document, status, body, kind):
    """Vectors C 28 to 32, C 41, C 42 and C 44 of the protocol page; 29 is an error."""
    assert reply(outputs, document) == (status, body, kind, {})
    with pytest.raises(AnswerError):
        reply(RES, {"Outputs": {"res": "SomeBlah"}})


def test_headers_of_a_return_value():
    """A-ret-resp-harr, A-ret2-hobj: lists and objects come out as the names of .NET's types; only null fails."""
    headers = {"X-A": ["1", "2"], "X-B": {"a": 1}, "X-C": 5}
    assert reply(RET, {"ReturnValue": {"body": "x", "headers": headers}})[3] == {
        "x-a": "System.Collections.Generic.List`1[System.Object]",
        "x-b": "System.Dynamic.ExpandoObject",
        "x-c": "5",
    }
    with pytest.raises(AnswerError):
        reply(RET, {"ReturnValue": {"body": "x", "headers": {"X-A": None}}})
    with pytest.raises(AnswerError, match="64 levels"):
        reply(RET, {"ReturnValue": {"body": json.loads("[" * 64 + "]" * 64)}})


@pytest.mark.parametrize(
    ("value", "accepted", "expected"),
    [
        # A-ret-resp-neg*, A-ret2-neg*
        ({"body": {"a": 1}, "enableContentNegotiation": True}, "image/png", (200, b'{"a":1}', JSON, {})),
        ({"body": "x", "enableContentNegotiation": True}, "application/json", (200, b'"x"', JSON, {})),
        ({"body": {"a": 1}, "enableContentNegotiation": "true"}, "", (200, b'{"a":1}', TEXT, {})),
        ({"body": {"a": 1}, "enableContentNegotiation": True, "headers": {"Content-Type": "text/plain"}}, "",
         (406, b"", "text/plain", {})),
    ],
)  # fmt: skip
def test_content_negotiation(value, accepted, expected):
    """JSON, or 406 if the given type contradicts."""
    assert reply(RET, {"ReturnValue": value}, accepted) == expected


@pytest.mark.parametrize(
    ("outputs", "document", "expected"),
    [
        # protocol 4.2, A-rv-*, A-rvo-*, A-no-*, A-up-*, A-2h-*
        (RES, {"ReturnValue": "aGk="}, (200, b"aGk=", TEXT)),
        (RES, {"ReturnValue": ""}, (200, b"", TEXT)),
        (RES, {"ReturnValue": {"a": 1}}, (200, b'{"a":1}', JSON)),
        (RES, {"ReturnValue": {"res": {"status": 404, "body": "x"}}}, (404, b"x", TEXT)),
        (RES, {"ReturnValue": {"res": None}}, (200, b'{"res":null}', JSON)),
        (RES, {"ReturnValue": {"res": "text"}, "Outputs": {"res": {"body": "o"}}}, (200, b"text", TEXT)),
        (RES, {"ReturnValue": {"res": None}, "Outputs": {"res": {"body": "o"}}}, (200, b'{"res":null}', JSON)),
        (RES, {"ReturnValue": {"RES": "x"}, "Outputs": {"res": {"body": "o"}}}, (200, b"o", TEXT)),
        (RES, {"ReturnValue": 5, "Outputs": {"res": {"body": "o"}}}, (200, b"o", TEXT)),
        (RES, {"Outputs": {}}, (200, b"{}", TEXT)),
        (RES, {}, (204, b"", None)),
        ((), {"ReturnValue": True}, (200, b"true", JSON)),
        ((), {"ReturnValue": "2020-01-02T03:04:05Z"}, (200, b'"2020-01-02T03:04:05Z"', JSON)),
        ((), {"ReturnValue": {"statusCode": 201, "body": "x"}}, (200, b'{"statusCode":201,"body":"x"}', JSON)),
        ((), {"Outputs": {"res": {"body": "x"}}}, (204, b"", None)),
        (RET, {"Outputs": {"$return": "x", "res": {"body": "x"}}}, (204, b"", None)),
        (UPPER, {"Outputs": {"res": {"status": 404, "body": "x"}}}, (404, b"x", TEXT)),
        (UPPER, {"Outputs": {"res": "aGVsbG8="}}, (200, b"hello", None)),
        (UPPER, {"Outputs": {}}, (204, b"", None)),
        ((Output("a"), Output("b")), {"Outputs": {"a": {"body": "1"}}}, (200, b"{}", TEXT)),
        ((Output("a"), Output("b")), {"Outputs": {"a": {"body": "1"}, "b": {"body": "2"}}}, (200, b"2", TEXT)),
        ((Output("$return", "queue"),), {"ReturnValue": "to queue 2"}, (200, b'"toqueue2"', JSON)),
    ],
)
def test_which_value_becomes_the_response(outputs, document, expected):
    """The last http output that is written; else what the function returns."""
    assert reply(outputs, document)[:3] == expected


# ---- the other outputs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data_type", "document", "value"),
    [
        # vectors C 37 to 40, 43; A-q-*, B-213 to B-218
        (None, {"Outputs": {"out": "test"}}, b"\xb5\xeb-"),
        (None, {"Outputs": {"out": "hello"}}, "hello"),
        ("Binary", {"Outputs": {"out": "dGVzdA=="}}, "dGVzdA=="),
        (None, {"Outputs": {"out": ["test"]}}, ["test"]),
        (None, {"Outputs": {"OUT": "x", "out": None}}, None),
        (None, {"ReturnValue": {"out": "test"}}, "test"),
        (None, {"ReturnValue": {"out": "new"}, "Outputs": {"out": "hello"}}, "new"),
        (None, {"ReturnValue": "text!", "Outputs": {"out": "hello"}}, "hello"),
    ],
)
def test_value_of_an_output(data_type, document, value):
    """Base64 is undone but for `binary`, and not within a ReturnValue that is an object."""
    outputs = [Output("res"), Output("out", "queue", data_type)]
    assert output_values(outputs, accept(200, "application/json", json.dumps(document).encode())).get("out") == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        # protocol 4.6, A-qv-*, A-dq-*, B-038 to B-146
        ("hello", ["hello"]),
        (b"\xff", [b"\xff"]),
        ({"a": 1}, ['{\n  "a": 1\n}']),
        (["x", "test", 1, 2.5, True, None, {"a": 1}, ["n", 1]],
         ["x", "test", "1", "2.5", "True", "", '{\n  "a": 1\n}', '[\n  "n",\n  1\n]']),
        ('[1,/*c*/2]', ["1", "2"]),
        ('{"d":"2026-01-02T03:04:05.120+02:00"}', ['{\n  "d": "2026-01-02T01:04:05.12+00:00"\n}']),
        ("[]", []),
        ("[not json", ["[not json"]),
        ("{bad json", ["{bad json"]),
        (" {}\n", ["{}"]),
        (-0.0, ["-0"]),
        (2**31, ["2147483648"]),
        (None, []),
        ("", [""]),
    ],
)  # fmt: skip
def test_messages(value, written):
    """One, or one per element; text is parsed if both of its ends look like JSON."""
    assert messages("out", value) == [one if isinstance(one, bytes) else one.encode() for one in written]


@pytest.mark.parametrize("text", ["{bad}", "[bad]", '{"a":1}{"b":2}'])
def test_text_that_only_looks_like_json_fails(text):
    """B-120, B-130."""
    with pytest.raises(AnswerError, match="takes text like this for JSON"):
        messages("out", text)
    with pytest.raises(AnswerError):
        objects("docs", text)


@pytest.mark.parametrize(
    ("value", "content"),
    [
        # protocol 4.6, vector C 45, B-080 to B-151
        ("\xe9\u2028", "\xe9\u2028".encode()),
        (7, b"\7\0\0\0"),
        (-1, b"\xff" * 4),
        (12345678901, b"5\x1c\xdc\xdf"),
        (2**63 - 1, b"\xff" * 4),
        (1.5, b"\0\0\0\0\0\0\xf8?"),
        (True, b"\1"),
        ({"f": 1.0, "u": "\xe9<\u2028"}, '{"f":1.0,"u":"\xe9<\\u2028"}'.encode()),
        ([["a"], [1]], b'[["a"],[1]]'),
        ("", b""),
        (None, None),
    ],
)
def test_blobs(value, content):
    """Numbers as raw bytes, cut to 32 bits; JSON compact."""
    assert blob("b", value) == content


def test_what_a_blob_cannot_take():
    """B-084, B-098: integers beyond 64 bits, and dates."""
    date = accept(200, "application/json", b'{"ReturnValue":"2026-01-02T03:04:05Z"}').return_value
    for value in (2**64, date):
        with pytest.raises(AnswerError):
            blob("b", value)
    assert messages("out", date) == [b"01/02/2026 03:04:05"]


def test_objects_for_collectors_of_objects():
    """Cosmos DB, tables and Event Grid take objects, or their JSON."""
    assert objects("docs", '[{"a":1},{"b":2}]') == [{"a": 1}, {"b": 2}]
    assert objects("docs", b'{"a":1}') == [{"a": 1}]
    assert objects("docs", None) == []
    with pytest.raises(AnswerError, match="takes objects"):
        objects("docs", [1])


def test_redirects_that_the_host_follows():
    """A-a-redir-*: 300 to 303 as a GET, 307 and 308 again, fifty times at most, never without a Location."""
    kept = {status: redirect(status, "/x", 0) for status in range(300, 310)}
    assert {status: to.keeps_body for status, to in kept.items() if to} == {
        300: False, 301: False, 302: False, 303: False, 307: True, 308: True,
    }  # fmt: skip
    assert redirect(302, "", 0) is None
    assert redirect(302, "/x", 49) is not None
    assert redirect(302, "/x", 50) is None
