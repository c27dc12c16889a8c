"""http1.py: bytes in, whole requests out, whatever the cuts; what cannot be a request is refused once."""

import itertools
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastworker.protocol.http1 import HEAD_LIMIT, HTTP1Connection
from fastworker.protocol.http_request import Rejection, Request

MAX_BODY = 1000

SIZED = b"POST /order HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nContent-Length: 11\r\n\r\nhello world"
CHUNKED = (
    b"POST /order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;note=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: late\r\n\r\n"
)
BARE = b"GET /?a=b HTTP/1.1\r\nHost: x\r\nAccept: a\r\nAccept: b\r\n\r\n"
OFFER = (
    b"POST /order HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
    b"Content-Length: 11\r\n\r\nhello world"
)
OFFER_CHUNKED = (
    b"POST /order HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"b\r\nhello world\r\n0\r\n\r\n"
)
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
STREAM = SIZED + CHUNKED + BARE + OFFER + b"\r\n" + OFFER_CHUNKED + BARE + LAST

UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
CONTINUE = b"Expect: 100-continue\r\n"


def fed(*pieces: bytes, max_body: int = MAX_BODY) -> list[Request | Rejection]:
    """All events of one connection that receives `pieces`."""
    connection = HTTP1Connection(max_body)
    return [event for piece in pieces for event in connection.receive_data(piece)]


def cut(data: bytes, places: set[int]) -> list[bytes]:
    """`data` in pieces, cut at `places`; none of them is empty."""
    edges = [0, *sorted(place for place in places if 0 < place < len(data)), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def only(events: list[Request | Rejection]) -> Request:
    [event] = events
    assert isinstance(event, Request)
    return event


def rejected(events: list[Request | Rejection]) -> int:
    """The status of the one Rejection, which must be the last event."""
    assert [type(event) for event in events].count(Rejection) == 1
    last = events[-1]
    assert isinstance(last, Rejection)
    return last.status


def test_requests_come_out_as_they_were_sent():
    """Pipelined requests keep their order, method, target, headers, body and keep-alive; trailers say nothing."""
    sized, chunked, bare, offer, offer_chunked, _, last = fed(STREAM)
    headers = [(b"Host", b"x"), (b"X-Empty", b""), (b"Content-Length", b"11")]
    assert sized == Request(b"POST", b"/order", headers, b"hello world", True, b"", None)
    headers = [(b"Host", b"x"), (b"Transfer-Encoding", b"chunked")]
    assert chunked == Request(b"POST", b"/order", headers, b"hello world", True, b"", None)
    assert bare == Request(
        b"GET", b"/?a=b", [(b"Host", b"x"), (b"Accept", b"a"), (b"Accept", b"b")], b"", True, b"", None
    )
    assert (offer.body, offer.keep_alive) == (b"hello world", True)
    assert [name for name, _ in offer.headers] == [b"Host", b"Connection", b"HTTP2-Settings", b"Content-Length"]
    assert offer_chunked.body == b"hello world"
    assert last == Request(b"GET", b"/last", [(b"Host", b"x"), (b"Connection", b"close")], b"", False, b"", None)


def test_a_stream_cut_at_any_byte_gives_the_same_events():
    """Where one read ends and the next begins means nothing."""
    whole = fed(STREAM)
    assert len(whole) == 7
    for place in range(1, len(STREAM)):
        assert fed(*cut(STREAM, {place})) == whole


@given(st.sets(st.integers(1, len(STREAM) - 1)))
@example(set(range(1, len(STREAM))))
def test_a_stream_cut_into_any_pieces_gives_the_same_events(places):
    """Not even byte by byte."""
    assert fed(*cut(STREAM, places)) == fed(STREAM)


@given(st.binary(max_size=MAX_BODY), st.lists(st.integers(1, 400), max_size=6), st.sets(st.integers(1, 1500)))
def test_a_body_is_the_same_sized_or_in_chunks(body, sizes, places):
    """Chunks of any size, read in pieces of any size, are the body."""
    head = b"PUT /x HTTP/1.1\r\nHost: x\r\n"
    chunks: list[bytes] = []
    rest = body
    for size in sizes:
        chunks, rest = [*chunks, rest[:size]], rest[size:]
    framed = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, rest] if chunk)
    sized = only(fed(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)))
    chunked = only(fed(*cut(head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n", places)))
    assert bytes(sized.body) == bytes(chunked.body) == body  # type: ignore[arg-type]


def test_nothing_comes_out_before_the_last_byte():
    """A request is whole or not there; until then the connection is in its middle, and after it no more."""
    for request in (SIZED, CHUNKED, BARE, OFFER, OFFER_CHUNKED):
        connection = HTTP1Connection(MAX_BODY)
        assert not connection.mid_request
        assert connection.receive_data(request[:-1]) == []
        assert connection.mid_request
        only(connection.receive_data(request[-1:]))
        assert not connection.mid_request


def test_the_last_of_several_invocation_ids_counts():
    """The host adds its own behind a client's; each request has its own, or none."""
    id_header = b"X-Azure-Functions-InvocationId: client\r\nx-azure-functions-invocationid: host\r\n"
    with_id, without = fed(b"GET / HTTP/1.1\r\nHost: x\r\n%bTraceParent: 00-1\r\n\r\n" % id_header + BARE)
    assert isinstance(with_id, Request)
    assert isinstance(without, Request)
    assert (with_id.invocation_id, with_id.traceparent) == (b"host", b"00-1")
    assert (without.invocation_id, without.traceparent) == (b"", None)


def test_http10_closes_unless_asked_to_stay():
    """The connection's life is what the version and the client say."""
    assert not only(fed(b"GET / HTTP/1.0\r\n\r\n")).keep_alive
    assert only(fed(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")).keep_alive


# -- what is refused -----------------------------------------------------------------------------------------------


def test_headers_over_the_limit_are_refused_when_they_are_whole():
    """One read may bring all of them, and the end of the head with them."""
    assert rejected(fed(b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"x" * HEAD_LIMIT))) == 431
    assert rejected(fed(b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * HEAD_LIMIT))) == 431
    assert rejected(fed(b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"A: b\r\n" * 15_000))) == 431


def test_headers_over_the_limit_are_refused_behind_another_request():
    """One read may bring the end of one request, and all of the next one's endless head."""
    long = b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"x" * HEAD_LIMIT)
    assert rejected(fed(BARE + long)) == 431
    assert rejected(fed(SIZED[:-5], SIZED[-5:] + long)) == 431


@pytest.mark.parametrize(
    "start", [b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X" * 9]
)
def test_headers_that_never_end_are_refused_before_they_fill_the_memory(start):
    """A target, a name or a value that goes on and on is cut off at the limit, whole or not."""
    connection = HTTP1Connection(MAX_BODY)
    events = connection.receive_data(start)
    sent = 0
    while not events and sent < 3 * HEAD_LIMIT:
        events += connection.receive_data(b"x" * 1000)
        sent += 1000
    assert rejected(events) == 431
    assert sent > HEAD_LIMIT - 1000


def test_a_body_does_not_count_as_headers():
    """A small head with a large body behind it, in one read or in many, is no 431."""
    body = b"x" * (3 * HEAD_LIMIT)
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    assert only(fed(request, max_body=len(body))).body == body
    assert only(fed(*cut(request, set(range(0, len(request), 5000))), max_body=len(body))).body == body


def test_many_requests_in_one_read_do_not_add_up_to_a_long_head():
    """The limit is per request, also for the one of which only a part has come."""
    many = BARE * (3 * HEAD_LIMIT // len(BARE))
    assert len(fed(many + BARE[:20], BARE[20:])) == 3 * HEAD_LIMIT // len(BARE) + 1


def test_trailers_that_never_end_are_refused():
    """What follows the last chunk is held in memory as well, so it has a limit as well."""
    connection = HTTP1Connection(MAX_BODY)
    events = connection.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
    for _ in range(40):
        events += connection.receive_data(b"x" * 10_000)
    assert len(events) == 1
    assert isinstance(events[0], Rejection)


def test_a_body_over_the_limit_is_refused_by_its_length():
    """Before any of it is read; a body of exactly the limit is welcome."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    assert rejected(fed(head % (MAX_BODY + 1))) == 413
    assert len(only(fed(head % MAX_BODY + b"x" * MAX_BODY)).body) == MAX_BODY  # type: ignore[arg-type]


def test_a_body_over_the_limit_is_refused_by_its_chunks():
    """Once the chunks add up to too much; chunks of exactly the limit are welcome."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"1f4\r\n" + b"x" * 500 + b"\r\n"
    end = b"0\r\n\r\n"
    assert len(only(fed(head + chunk + chunk + end)).body) == MAX_BODY  # type: ignore[arg-type]
    assert rejected(fed(head + chunk + chunk + b"1\r\nx\r\n" + end)) == 413
    assert rejected(fed(head, chunk, chunk, b"1\r\nx\r\n", end)) == 413


@pytest.mark.parametrize("order", [1, -1])
def test_a_request_with_both_length_and_chunks_is_refused(order):
    """Two readers could disagree on where it ends (request smuggling)."""
    framing = [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"][::order]
    assert rejected(fed(b"POST / HTTP/1.1\r\nHost: x\r\n" + b"".join(framing) + b"\r\n0\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: x\r\nFolded: a\r\n b\r\n\r\n",
        b"CONNECT example:443 HTTP/1.1\r\nHost: x\r\n\r\nsecret",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(data):
    """HTTP/2, TLS, wrong lengths, folded headers, tunnels, answers: one 400, and nothing more."""
    assert rejected(fed(data, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "refused",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * HEAD_LIMIT + b"\r\n\r\n",
        b"CONNECT example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        # More digits than int() takes: whatever fails inside of a callback of the parser ends the connection, too.
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"0" * 5000 + b"1\r\n\r\n",
    ],
)
def test_nothing_comes_after_a_rejection(refused):
    """What follows is not to be trusted, be it in the same read or in the next one."""
    assert rejected(fed(BARE + refused + BARE, BARE, BARE)) >= 400


# -- Expect: 100-continue ------------------------------------------------------------------------------------------


def test_a_client_that_waits_for_continue_is_told_once():
    """Asked for by the head, when the body has not come yet."""
    connection = HTTP1Connection(MAX_BODY)
    assert connection.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n%b\r\n" % CONTINUE) == []
    assert connection.take_continue()
    assert not connection.take_continue()
    assert only(connection.receive_data(b"body")).body == b"body"
    assert not connection.take_continue()


def test_a_client_that_did_not_wait_is_not_told():
    """Its body is here, whole or in part, or there is none to come; the next request asks anew."""
    connection = HTTP1Connection(MAX_BODY)
    for body in (b"body", b"bo"):
        connection.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n%b\r\n%b" % (CONTINUE, body))
        assert not connection.take_continue()
    connection.receive_data(b"dyPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n%b\r\n" % CONTINUE)
    assert not connection.take_continue()
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n%b%b\r\n" % (CONTINUE, UPGRADE))
    assert connection.take_continue()


@pytest.mark.parametrize("order", [1, -1])
def test_a_client_is_not_told_to_go_on_with_a_body_that_is_refused(order):
    """The 413 is the answer to its question, in whatever order its headers came."""
    connection = HTTP1Connection(MAX_BODY)
    headers = [CONTINUE, b"Content-Length: 9999\r\n"][::order]
    assert rejected(connection.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\n%b\r\n" % b"".join(headers))) == 413
    assert not connection.take_continue()


# -- offers of another protocol ------------------------------------------------------------------------------------


def test_an_offer_to_upgrade_does_not_change_the_version():
    """A client of HTTP/1.0 does not know keep-alive, whatever it offers."""
    assert not only(fed(b"GET / HTTP/1.0\r\n%b\r\n" % UPGRADE)).keep_alive


def test_an_offer_to_upgrade_is_under_the_limits():
    """An offer is no way around 413 and 431."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\n%b" % UPGRADE
    assert rejected(fed(head + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))) == 413
    assert rejected(fed(head + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001)) == 413
    assert rejected(fed(head + b"X: %b\r\n\r\n" % (b"x" * HEAD_LIMIT))) == 431


def test_any_number_of_offers_in_one_read_is_served():
    """A client may offer with each of its pipelined requests; that must not be a stack as deep as they are many."""
    offers = b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % UPGRADE * 1000
    assert len(offers) < HEAD_LIMIT
    try:
        events = fed(offers)
    except RecursionError:
        pytest.fail("one stack frame for each offer", pytrace=False)
    assert len(events) == 1000


# -- whatever comes ------------------------------------------------------------------------------------------------

WORDS = [
    *(b"GET", b"POST", b"CONNECT", b"PRI", b" ", b" / ", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\r", b"\n", b"\r\n\r\n"),
    *(b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"Connection: ", b"upgrade", b"close", b"Upgrade: h2c"),
    *(b"Expect: 100-continue", b"0", b"5", b"fffffffffffffffff", b"-1", b":", b";", b"\0", b"\xff", BARE, SIZED, OFFER),
    *(
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        b"0\r\n\r\n",
        CHUNKED,
        LAST,
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n",
        b"x" * 999,
    ),
]


@settings(max_examples=300)
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=9)), max_size=30), st.sets(st.integers(1, 900)))
def test_garbage_never_raises(words, places):
    """Any bytes in any pieces give requests, then at most one Rejection, then nothing."""
    events = fed(*cut(b"".join(words), places), *words)
    kinds = [type(event) for event in events]
    assert kinds.count(Rejection) == (kinds[-1:] == [Rejection])


def test_the_hosts_chunks_cost_no_call_each():
    """100 MiB come in 102,402 chunks: what a chunk costs in Python counts a hundred thousand times."""

    def python_calls(data: bytes) -> int:
        calls = 0

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal calls
            calls += event == "call"

        connection = HTTP1Connection(1 << 20)
        sys.setprofile(count)
        try:
            [request] = connection.receive_data(data)
        finally:
            sys.setprofile(None)
        assert isinstance(request, Request)
        assert len(request.body) == 100 * 1024  # type: ignore[arg-type]
        return calls

    head = b"POST /order HTTP/1.1\r\nHost: x\r\n"
    sized = python_calls(head + b"Content-Length: 102400\r\n\r\n" + b"x" * 102400)
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    assert python_calls(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 100 + b"0\r\n\r\n") <= sized + 3
