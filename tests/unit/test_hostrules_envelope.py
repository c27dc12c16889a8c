"""Clients' requests as envelopes: what host 4.1037 made of them, by kind (parts A and B of the recordings)."""

import base64
import json

import pytest

from fastworker.hostrules.envelope import (
    BindingData,
    EnvelopeError,
    HttpRequest,
    TriggerData,
    binding_data,
    build_envelope,
    envelope_headers,
    http_object,
    in_chunks,
    trace_headers,
)
from fastworker.hostrules.http_headers import header_lists, respaced_type, with_charset
from fastworker.hostrules.principals import KeyUse, PrincipalError, principal_identity
from fastworker.hostrules.urls import (
    BadTargetError,
    envelope_url,
    joined_query,
    last_query,
    percent_decoded,
    request_path,
    without_dots,
)

SYSTEM = {"MethodName": "f", "UtcNow": "2026-01-02T10:00:05.1234567Z", "RandGuid": "g"}


def metadata(url="http://h/api/f", body=None, params=None, **headers):
    """The Metadata of an http function, without `Query`, `Headers` and `sys` if they are the host's own."""
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    request = HttpRequest("POST", url, fields, params or {}, body)
    data = binding_data(TriggerData(request), SYSTEM, trigger_name="req")
    found = json.loads(build_envelope({}, data))["Metadata"]
    return {name: value for name, value in found.items() if not isinstance(value, dict) or name not in OWN}


OWN = ("Query", "Headers", "sys")


@pytest.mark.parametrize(
    ("body", "members"),
    [
        # A-post-json-lenient, A-post-dates, A-post-numbers, A-post-nonbmp, A-post-bom, A-b2-depth-*
        ("{'a':1, /* c */ b: 'x', c: NaN, d: undefined, }", {"a": '"1"', "b": '"x"', "c": '"NaN"'}),
        ('{"z":"2020-01-02T03:04:05+02:00","in":{"z":"2020-01-02T03:04:05Z"}}',
         {"z": '"01/02/2020 01:04:05"', "in": {"z": "2020-01-02T03:04:05Z"}}),
        ('{"a":1.0,"b":1e400,"c":true,"d":null,"e":[1]}', {"a": '"1"', "b": '"Infinity"', "c": '"True"'}),
        ('{"s":"\\ud800","u":"\\u2028"}', {"s": '"\ufffd"', "u": '"\\u2028"'}),
        ('\ufeff{"a":1}', {"a": '"1"'}),
        ('{"a":1,"A":2,"a":3}', {"a": '"2"'}),
        ('{"REQ":1,"mytrigger":2,"triggers":3}', {"triggers": '"3"'}),
        ('{"d":' + "[" * 63 + "]" * 63 + ',"e":1}', {"e": '"1"'}),
        ('{"d":' + "[" * 64 + "]" * 64 + ',"e":1}', {}),
        ("[1]", {}),
        ("no json", {}),
    ],
)  # fmt: skip
def test_members_of_a_json_body(body, members):
    """Read by Newtonsoft, whatever the content type; scalars become text first."""
    assert metadata(body=body.encode()) == members


@pytest.mark.parametrize(
    ("query", "joined", "last"),
    [
        # A-q-repeat, A-q-comma, A-q2-*, D-027 to D-032
        ("a=1&a=2&A=3", {"a": "1,2,3"}, {"a": "3"}),
        ("A=1&a=2", {"a": "1,2"}, {"a": "2"}),
        ("a=1,2&a=3", {"a": "1,2,3"}, {"a": "3"}),
        ("a=1&a=2&a=", {"a": "1,2"}, {"a": ""}),
        ("flag&x=1&=y&&", {"flag": "", "x": "1", "": "y"}, {"flag": "", "x": "1", "": "y"}),
        ("+a=1&b+=2", {" a": "1", "b ": "2"}, {" a": "1", "b ": "2"}),
        ("f=%FF&g=%C3%28&h=%zz&i=%C3%A9&j=%2F", {"f": "%FF", "g": "%C3(", "h": "%zz", "i": "\xe9", "j": "/"}, None),
    ],
)
def test_repeated_parameters(query, joined, last):
    """`Data` joins them, `Metadata` and expressions have the last."""
    assert joined_query(query) == joined
    assert last_query(query) == (last or joined)


def test_the_later_of_body_query_and_route_wins():
    """A-q-json-clash, A-q-three: under the first spelling; `code` is in `Query` only, the trigger's name nowhere."""
    body = b'{"id":"b","m":1}'
    found = metadata("http://h/api/f?ID=q&n=2&CODE=k&req=4", body, {"n": "r", "gone": None})
    assert found == {"id": '"q"', "m": '"1"', "n": '"r"'}


def test_a_members_name_may_be_one_of_the_hosts():
    """A-q-query-name, A-post-syskey: then the host's own object has no place, or another name."""
    request = HttpRequest("GET", "http://h/api/f?Query=1&headers=2&sys=3&$sys=4")
    found = json.loads(build_envelope({}, binding_data(TriggerData(request), SYSTEM, trigger_name="req")))["Metadata"]
    assert found == {"Query": '"1"', "headers": '"2"', "sys": '"3"', "$sys": SYSTEM}


def test_a_route_parameter_named_like_the_trigger_fails_the_call():
    """A-r-trig, A-r2-req."""
    with pytest.raises(EnvelopeError, match="name of the trigger"):
        metadata(params={"REQ": "1"})


def test_members_of_a_message_replace_its_metadata():
    """B-018, B-512, B-514: under the key that was there; `sys`, too; arrays and nulls replace nothing."""
    message = '{"id":"zz","SYS":"text","DequeueCount":[1],"PopReceipt":null,"o":{"a":1.0}}'
    data = binding_data(TriggerData(message, {"Id": "5f3c", "DequeueCount": 1, "PopReceipt": "p"}), SYSTEM)
    assert json.loads(build_envelope({}, data))["Metadata"] == {
        "Id": '"zz"', "DequeueCount": "1", "PopReceipt": '"p"', "sys": '"text"', "o": {"a": 1.0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "members"),
    [
        ('{"a":1,"":"empty"}', {"a": '"1"', "": '"empty"'}),  # B-018
        (' {"a":1}\u2003\n', {"a": '"1"'}),
        ('/* c */{"a":1}', {}),  # B-024: text that does not begin and end like JSON is not read
        ('{"a":1} // c', {}),
        ('[{"a":1}]', {}),
        ("{a:'x',}", {"a": '"x"'}),  # B-015
        ("{bad}", {}),
    ],
)
def test_members_of_a_queue_message(message, members):
    """Read where the message begins and ends like an object or array, and then as Newtonsoft reads it."""
    found = json.loads(build_envelope({}, binding_data(TriggerData(message), SYSTEM)))["Metadata"]
    assert {name: value for name, value in found.items() if name != "sys"} == members


def test_sys_stands_last_for_http_and_first_before_a_messages_members():
    """The order of the members is the host's."""
    request = HttpRequest("POST", "http://h/api/f?q=1", (("Host", "h"),), {"r": "2"}, b'{"b":0}')
    of_http = json.loads(build_envelope({}, binding_data(TriggerData(request), SYSTEM)))["Metadata"]
    assert list(of_http) == ["b", "q", "r", "Query", "Headers", "sys"]
    of_queue = json.loads(build_envelope({}, binding_data(TriggerData('{"b":0}', {"Id": "1"}), SYSTEM)))["Metadata"]
    assert list(of_queue) == ["Id", "sys", "b"]


def test_nulls_and_names_ending_in_trigger_are_left_out():
    """Vector A 8."""
    data = BindingData([("myTrigger", "x"), ("b", None), ("c", 1)])
    assert build_envelope({}, data) == b'{"Data":{},"Metadata":{"c":"1"}}'


@pytest.mark.parametrize(
    ("written", "url"),
    [
        # A-r-enc*, A-r-dot*, A-r2-*
        ("/api/r/7/a%20b%2Fc%3Fd+e", "/api/r/7/a%20b%2Fc%3Fd+e"),
        ("/api/r/7/%252F", "/api/r/7/%2F"),
        ("/api/%65cho", "/api/echo"),
        ("/api/r/7/%zz", "/api/r/7/%25zz"),
        ("/api/r/7/100%25", "/api/r/7/100%25"),
        ("/api/r/7/%FF", "/api/r/7/%FF"),
        ("/api/r/7/a%5Cb", "/api/r/7/a%5Cb"),
        ("/api/catch/a/%2e%2e/b", "/api/catch/b"),
        ("/api/r/7/.", "/api/r/7/"),
        ("/api/catch/a%2Fb/c%20d//e/", "/api/catch/a%2Fb/c%20d//e/"),
    ],
)
def test_the_url_is_written_anew(written, url):
    """Its path decoded and encoded again, its query as it came."""
    assert envelope_url(f"http://h:1{written}?a=%41") == f"http://h:1{url}?a=%41"


def test_paths_as_kestrel_reads_them():
    """Decoded but for %2F; NUL and raw bytes are refused; dot segments are resolved, doubled slashes stay."""
    assert request_path("/a%2fb/%C3%A9/%41//c") == "/a%2fb/\xe9/A//c"
    for bad in ("/a%00b", "/\xe9"):
        with pytest.raises(BadTargetError):
            request_path(bad)
    assert [without_dots(path) for path in ("/a/..", "/../a", "/a/./b/..", "/..", "/a..b/.c")] == [
        "/", "/a", "/a/", "/", "/a..b/.c",
    ]  # fmt: skip
    assert percent_decoded("%E2%82%AC%E2%82%F0%9F%98%80%ED%A0%80") == "\u20ac%E2%82\U0001f600%ED%A0%80"


def test_headers_in_the_order_of_kestrel():
    """A-h-order, A-h-repeat, A-h-empty, A-h-conn: known ones first, names ignoring case, values cut."""
    sent = [("Zeta", "1"), ("host", "h"), ("x-a", "1"), ("Content-Length", "1"), ("X-A", "2"), ("accept", " a/b\t")]
    assert list(header_lists(sent).items()) == [
        ("Accept", ["a/b"]), ("Host", ["h"]), ("Content-Length", ["1"]), ("Zeta", ["1"]), ("x-a", ["1", "2"]),
    ]  # fmt: skip
    assert header_lists([("Connection", "keep-alive, X")]) == {"Connection": ["keep-alive"]}
    assert header_lists([("Connection", "Upgrade")]) == {"Connection": ["Upgrade"]}


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        # A-post-octet*, A-post-multipart*, A-post-bom, A-post-utf16, A-b2-utf16be, A-b2-utf32, A-post-latin1
        (b"\1\2\3", "Application/OCTET-STREAM; x=y", "AQID"),
        (b"x", "multipart/mixed; boundary=B", "eA=="),
        (b'\xef\xbb\xbf{"a":1}', "application/json", '{"a":1}'),
        (b"\xff\xfeh\0\xe9\0", "text/plain; charset=utf-16", "h\xe9"),
        (b"\xfe\xff\0h", "", "h"),
        (b"\xff\xfe\0\0h\0\0\0", "", "h"),
        (b"h\xe9", "text/plain; charset=iso-8859-1", "h\ufffd"),
        (b"", "text/plain", None),
        (None, "text/plain", None),
    ],
)
def test_body_of_a_request(body, kind, text):
    """Base64 for two kinds of types, else text by its mark; `Method` as the client wrote it."""
    members = http_object(HttpRequest("get", "http://h/api/f", (("content-type", kind),), {}, body))
    assert members.get("Body") == text
    assert members["Method"] == "get"


def test_identities():
    """A-k-*, A-ai-principal*: App Service's first, then the key's, else the anonymous one."""
    principal = {"auth_typ": "aad", "claims": [{"typ": "name", "val": "Ann"}], "name_typ": "name", "role_typ": "roles"}
    header = base64.b64encode(json.dumps(principal).encode()).decode()
    request = HttpRequest("GET", "http://h/", (("X-MS-CLIENT-PRINCIPAL", header),), key=KeyUse("admin"))
    assert [i["AuthenticationType"] for i in http_object(request)["Identities"]] == ["WebJobsAuthLevel"]
    seen = http_object(HttpRequest(**{**fields_of(request), "sees_principal": True}))["Identities"]
    assert [(i["AuthenticationType"], i["Name"]) for i in seen] == [("aad", "Ann"), ("WebJobsAuthLevel", None)]
    assert [c["Value"] for c in seen[1]["Claims"]] == ["Admin", "true", "master"]
    (anonymous,) = http_object(HttpRequest("GET", "http://h/"))["Identities"]
    assert (anonymous["IsAuthenticated"], anonymous["Claims"]) == (False, [])


def test_principal_of_static_web_apps():
    """Both schemas are read; base64 that is none is a 500."""
    principal = {"identityProvider": "github", "userId": "1", "userDetails": "ann", "userRoles": ["anonymous", "x"]}
    found = principal_identity(base64.b64encode(json.dumps(principal).encode()).decode())
    assert found is not None
    assert (found["AuthenticationType"], found["Name"]) == ("github", "ann")
    assert [claim["Value"] for claim in found["Claims"]] == ["1", "ann", "anonymous", "x"]
    for bad in ("!!", "e30x", base64.b64encode(b"{").decode()):
        with pytest.raises(PrincipalError):
            principal_identity(bad)


def fields_of(request):
    return {name: getattr(request, name) for name in ("method", "url", "headers", "params", "body", "key")}


def test_how_an_envelope_is_sent():
    """A-get-plain, A-ct-get, A-ai-trace, A-b2-100mb: order, framing, chunks of 1,024 bytes."""
    names = [name for name, _ in envelope_headers("4.1", "id")]
    assert names[2:] == ["User-Agent", "Transfer-Encoding", "Content-Type"]
    assert [name for name, _ in envelope_headers("4.1", "id", 7)][2:] == [
        "User-Agent",
        "Content-Type",
        "Content-Length",
    ]
    client = [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"), ("tracestate", "v=x"), ("baggage", "b=1")]
    assert trace_headers(client, "t" * 32, "s" * 16) == [
        ("traceparent", f"00-{'a' * 32}-{'s' * 16}-01"), ("tracestate", "v=x"), ("baggage", "b = 1"),
    ]  # fmt: skip
    assert trace_headers([], "t" * 32, "s" * 16) == [("traceparent", f"00-{'t' * 32}-{'s' * 16}-00")]
    pieces = list(in_chunks(b"x" * 2050))
    assert [piece[:5] for piece in pieces] == [b"400\r\n", b"400\r\n", b"2\r\nxx", b"0\r\n\r\n"]


@pytest.mark.parametrize(
    ("given", "sent", "encoding"),
    [
        # A-h-ct*, A-h3-ct-*
        ("text/html", "text/html; charset=utf-8", "utf-8"),
        ("text/html; charset=iso-8859-1", "text/html; charset=utf-8", "utf-8"),
        ("text/html; charset=utf-16", "text/html; charset=utf-16", "utf-16-le"),
        ('text/html; Charset="UTF-8"', 'text/html; Charset="UTF-8"', "utf-8"),
        ('a/b; charset="us-ascii"; c=d', 'a/b; charset="utf-8"; c=d', "utf-8"),
        ("blah", "blah; charset=utf-8", "utf-8"),
        ("", "text/plain; charset=utf-8", "utf-8"),
    ],
)
def test_charset_of_a_response(given, sent, encoding):
    """UTF-16 is honoured, every other charset becomes UTF-8."""
    assert with_charset(given) == (sent, encoding)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        # D-020, D-021, D-141, D-142
        ('Multipart/Form-Data;Boundary="a b";charset=UTF-8', 'Multipart/Form-Data; Boundary="a b"; charset=UTF-8'),
        ('Text/HTML ;Charset="UTF-8"', 'Text/HTML; Charset="UTF-8"'),
        ("text/plain", "text/plain"),
        ("not a type;;", None),
        ("text", None),
    ],
)
def test_content_types_as_dotnet_writes_them(given, written):
    """None for one that it cannot parse."""
    assert respaced_type(given) == written
