"""Forwarded requests and Event Grid's webhook: what host 4.1037 did, by kind (parts D and G of the recordings)."""

import json

import pytest

from fastworker.hostrules import event_grid
from fastworker.hostrules.answers import AnswerError
from fastworker.hostrules.blob_paths import blob_url, container_and_blob
from fastworker.hostrules.envelope import HttpRequest, binding_data, build_envelope
from fastworker.hostrules.forwarded import ForwardError, forwarded_reply, forwarded_request

HOST = ("Host", "h:1")


def forwarded(path="/api/f", method="GET", headers=(HOST,), body=None, **options):
    request = HttpRequest(method, f"http://h:1{path}", tuple(headers), {}, body)
    return forwarded_request(request, path.partition("?")[0], "id", "4.1", **options)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        # D-026 to D-051
        ("/api/f?a=1&b=x&a=2", "/api/f?a=1,2&b=x"),
        ("/api/f?flag&x=1&=y&&", "/api/f?flag=&x=1&=y"),
        ("/api/f?x=%20a+b%2Bc%26d%3D%C3%A4&k%20y=~!*'()-._", "/api/f?x=%20a%20b%2Bc%26d%3D%C3%A4&k%20y=~!*%27()-._"),
        ("/api/f?x=%zz&y=%c3%28&z=100%", "/api/f?x=%25zz&y=%25c3(&z=100%25"),
        ("/api/f?", "/api/f"),
        ("/api/f?x=1#frag", "/api/f?x=1%23frag"),
        ("/API/F/MixedCase", "/API/F/MixedCase"),
        ("/api/f/a%20b%2Fc%25d%3Fe%23f", "/api/f/a%20b%2Fc%25d"),
        ("/api/f/a!$&'()*+,;=:@-._~b", "/api/f/a!$&'()*+,;=:@-._~b"),
        ("/api/f/a/../b/./c", "/api/f/b/c"),
        ("/api/f/a\\b", "/api/f/a/b"),
        ("/api/files/..%5Csecret", "/api/secret"),
        ("/api/f/a%zzb%c3%28", "/api/f/a%25zzb%c3("),
        ("/api/f/%2520", "/api/f/%20"),
    ],
)
def test_target_of_a_forwarded_request(path, target):
    """The decoded path, read again as a URI; the query written anew."""
    assert forwarded(path).target == target


def test_http_worker_is_asked_by_the_functions_name():
    """D-052, D-054."""
    assert forwarded("/api/items/7?a=1&a=2", by_name="item").target == "/item?a=1,2"


def test_headers_of_a_forwarded_request():
    """D-003: known ones first, joined by a comma (cookies by a semicolon), the host's own behind the client's."""
    sent = forwarded(
        headers=[
            *(("user-agent", "me/1"), ("X-B", "1"), HOST, ("Cookie", "a=1"), ("cookie", "b=2"), ("x-b", "2")),
            *(("X-Azure-Functions-InvocationId", "mine"), ("Content-Disposition", "inline"), ("Allow", "GET")),
        ]
    )
    assert list(sent.headers) == [
        HOST,
        ("User-Agent", "me/1 Azure-Functions-Host/4.1"),
        ("Cookie", "a=1; b=2"),
        ("X-B", "1, 2"),
        ("X-Azure-Functions-InvocationId", "mine, id"),
        ("X-Azure-Functions-HostVersion", "4.1"),
    ]


@pytest.mark.parametrize(
    ("method", "body", "headers", "framing"),
    [
        # D-010 to D-022, D-055 to D-061
        ("POST", b"x", [("Content-Type", "A/B;c=d")], [("Content-Length", "1"), ("Content-Type", "A/B; c=d")]),
        ("GET", b"x", [], [("Content-Length", "1")]),
        ("POST", None, [("Content-Type", "a/b")], [("Content-Length", "0")]),
        ("PROPFIND", None, [], [("Content-Length", "0")]),
        *((method, None, [], []) for method in ("GET", "HEAD", "DELETE", "OPTIONS")),
    ],
)
def test_framing_of_a_forwarded_request(method, body, headers, framing):
    """A length for every method that may have a body; the type only with one."""
    sent = forwarded(method=method, body=body, headers=[HOST, *headers])
    names = ("content-length", "content-type")
    assert [field for field in sent.headers if field[0].lower() in names] == framing


def test_standard_methods_are_sent_in_capitals():
    """D-061: `get` arrives as GET, a made-up method as it is."""
    assert [forwarded(method=method).method for method in ("get", "Foo")] == ["GET", "Foo"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([HOST, ("Transfer-Encoding", "chunked")], None),
        ([], None),
        ([HOST, ("X-U", "\xe9")], None),
        ([HOST, ("Content-Type", "not a type;;")], b"x"),
    ],
)
def test_requests_that_cannot_be_forwarded(headers, body):
    """D-009, D-017, D-020, D-411."""
    with pytest.raises(ForwardError):
        forwarded(method="POST", headers=headers, body=body)


@pytest.mark.parametrize(
    ("headers", "passed"),
    [
        # D-142 to D-153
        ([("set-cookie", "a=1"), ("Set-Cookie", "b=2")], [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
        ([("X-A", "1"), ("x-a", "2")], [("X-A", "1"), ("X-A", "2")]),
        ([("Allow", "GET, HEAD"), ("X-E", "")], [("Allow", "GET"), ("Allow", "HEAD")]),
        ([("Location", "/x y?q=\xe4")], [("Location", "/x%20y?q=%C3%A4")]),
        ([("Content-Type", "Text/HTML ;Charset=x")], [("Content-Type", "Text/HTML; Charset=x")]),
        ([("Content-Type", "not a type;;")], [("Content-Type", "not a type;;")]),
        ([("Transfer-Encoding", "chunked"), ("Trailer", "X-T")], [("Trailer", "X-T")]),
        ([("Connection", "close"), ("Cache-Control", "a, b")], [("Connection", "close"), ("Cache-Control", "a, b")]),
        ([("X-T", "a\tb")], [("X-T", "a\tb")]),
    ],
)
def test_headers_of_a_forwarded_answer(headers, passed):
    """Copied, known ones in .NET's spelling and order, lists split, the framing replaced by the length."""
    reply = forwarded_reply(200, "OK", headers, b"abc")
    assert list(reply.headers) == [("Content-Length", "3"), *passed]


@pytest.mark.parametrize(
    ("status", "method", "headers", "body", "length"),
    [
        # D-129 to D-137, D-180, D-204
        (204, "GET", [], b"", None),
        (204, "GET", [("Content-Length", "0")], b"", None),
        (304, "GET", [], b"", "0"),
        (304, "GET", [("Content-Length", "10")], b"", "10"),
        (200, "HEAD", [("Content-Length", "500")], b"", "500"),
        (200, "GET", [("Content-Length", "abc")], b"xy", "2"),
        (205, "GET", [("Content-Length", "0")], b"", "0"),
    ],
)
def test_length_of_a_forwarded_answer(status, method, headers, body, length):
    """The body's, but for answers that have none."""
    reply = forwarded_reply(status, "R", headers, body, method=method)
    assert dict(reply.headers).get("Content-Length") == length


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        # D-155, D-156, D-202, D-203
        (200, [("X-U", "\xfc")], b""),
        (200, [("X-C", "a\x01b")], b""),
        (200, [("Content-Length", "1"), ("Content-Length", "2")], b"x"),
        (200, [("Content-Length", "1"), ("Transfer-Encoding", "chunked")], b"x"),
        (204, [], b"x"),
    ],
)
def test_answers_that_become_a_500(status, headers, body):
    """Kestrel does not send them; the invocation has succeeded all the same."""
    with pytest.raises(AnswerError) as info:
        forwarded_reply(status, "OK", headers, body)
    assert info.value.too_late


def test_reason_is_passed_on_in_ascii():
    """D-125, D-126."""
    assert forwarded_reply(200, "gr\xfc", [], b"").reason == "gr?"
    assert forwarded_reply(200, "", [], b"").reason is None


# ---- Event Grid -----------------------------------------------------------------------------------------------------

EVENT = {"id": "e1", "eventType": "T", "eventTime": "2026-01-02T03:04:05.6789012Z", "data": {"n": 1.0, "b": 10**20}}
CLOUD = {"specversion": "1.0", "id": "c1", "type": "t", "source": "/s", "data_base64": "AAEC"}


def webhook(body, kind="Notification", method="POST", is_batch=False, **headers):
    fields = [("aeg-event-type", kind)] if kind else []
    fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return event_grid.webhook(method, tuple(fields), data, is_batch=is_batch)


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        # G-33 to G-54
        ([EVENT], {"kind": "Unsubscribe"}, 202),
        ([EVENT], {"kind": "Other"}, 400),
        (CLOUD, {"kind": ""}, 400),
        (b"", {"method": "GET"}, 400),
        (b"", {"method": "OPTIONS", "kind": ""}, 200),
        (b"[{", {}, 500),
        ([1], {}, 500),
        (b"", {}, 500),
        ([EVENT], {"Content_Type": "application/x-www-form-urlencoded"}, 500),
    ],
)
def test_requests_that_call_nothing(body, options, status):
    """The header decides, before anybody looks at the events."""
    meant = webhook(body, **options)
    assert isinstance(meant, event_grid.WebhookReply)
    assert (meant.status, meant.body) == (status, b"")


@pytest.mark.parametrize("data", [{"validationCode": "C-1"}, '{"validationCode":"C-1"}'])
def test_subscription_is_validated_without_a_call(data):
    """G-36, and as CloudEvents subscriptions send it."""
    body = {"data": data}
    for document in (body, [body]):
        meant = webhook(document, "SubscriptionValidation")
        assert isinstance(meant, event_grid.WebhookReply)
        assert (meant.status, meant.body) == (200, b'{"validationResponse":"C-1"}')
    assert webhook([{}], "subscriptionvalidation").status == 500


def envelope_of(trigger):
    return json.loads(build_envelope({"event": trigger.value}, binding_data(trigger, {})))


@pytest.mark.parametrize("body", [[EVENT, CLOUD], [EVENT], EVENT, []])
def test_a_call_for_each_event(body):
    """G-01 to G-08: the event as it was sent, `data` in Metadata as far as there is one."""
    calls = webhook(body).triggers
    assert len(calls) == (len(body) if isinstance(body, list) else 1)
    for trigger, event in zip(calls, body if isinstance(body, list) else [body], strict=True):
        envelope = envelope_of(trigger)
        assert envelope["Data"]["event"] == event
        assert envelope["Metadata"].get("data") == event.get("data")


def test_one_call_for_a_batch():
    """G-09 to G-16: strings that hold arrays."""
    (trigger,) = webhook([EVENT, CLOUD], is_batch=True).triggers
    envelope = envelope_of(trigger)
    assert json.loads(envelope["Data"]["event"]) == [EVENT, CLOUD]
    assert json.loads(envelope["Metadata"]["data"]) == [EVENT["data"], None]
    assert webhook([], is_batch=True).triggers == []


def test_data_that_is_no_object():
    """G-04, G-05: text and arrays are JSON within a string."""
    for data, told in (("text", '"text"'), ([1, 2], "[1,2]")):
        (trigger,) = webhook([{"id": "1", "data": data}]).triggers
        assert envelope_of(trigger)["Metadata"]["data"] == told


def test_answers_to_the_sender():
    """G-46, G-65."""
    assert event_grid.no_function("EG").body == b"cannot find function: 'EG'"
    assert event_grid.replied("eg", failed=True).body == b"Exception while executing function: Functions.eg"
    assert event_grid.replied("eg", failed=False).status == 202


# ---- blobs by their URL ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "container", "name"),
    [
        ("images/a/cat.jpg", "images", "a/cat.jpg"),
        ("images", "images", ""),
        ("https://acct.blob.core.windows.net/images/a/my%20cat.jpg?sv=1&sig=x", "images", "a/my cat.jpg"),
        ("HTTP://127.0.0.1:10000/devstoreaccount1/images/cat.jpg", "images", "cat.jpg"),
        ("http://azurite:10000/devstoreaccount1/images/cat.jpg", "images", "cat.jpg"),
        ("http://[::1]/acct/images/cat.jpg", "images", "cat.jpg"),
        ("https://acct.blob.core.windows.net/", "", ""),
        ("http://h:port/x/y", "", ""),
    ],
)
def test_a_blob_may_be_named_by_its_url(path, container, name):
    """`{data.url}` of Event Grid's events: with the account in the host's name, or in the path as emulators have it."""
    assert container_and_blob(path) == (container, name)


def test_the_development_stores_urls_name_their_blobs():
    """Whatever the name holds."""
    for name in ("cat.jpg", "a b/%41?#.txt", "\xe9"):
        assert container_and_blob(blob_url("images", name)) == ("images", name)
