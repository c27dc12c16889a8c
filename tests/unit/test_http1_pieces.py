"""http1.py with bodies that are handed over as they come: the same pieces in all, whatever the cuts."""

from hypothesis import example, given
from hypothesis import strategies as st

from fastworker.protocol.http1 import HEAD_LIMIT, HTTP1Connection
from fastworker.protocol.http_request import BodyPieces, Rejection, Request
from tests.unit.test_http1 import BARE, CHUNKED, CONTINUE, OFFER, OFFER_CHUNKED, SIZED, STREAM, cut, fed

UPLOAD = b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
SIZED_UPLOAD = b"PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world"
EMPTY_UPLOAD = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
MIXED = SIZED + UPLOAD + CHUNKED + SIZED_UPLOAD + BARE + EMPTY_UPLOAD + BARE


def connection(max_body: int = 5) -> HTTP1Connection:
    """Uploads are larger than its limit."""
    return HTTP1Connection(max_body, lambda method, target, headers: target == b"/upload")


def taken(body: bytes | bytearray | BodyPieces) -> bytes:
    """What has come of a body."""
    return b"".join(body.pieces) if isinstance(body, BodyPieces) else bytes(body)


def summary(events: list[Request | Rejection]) -> list[tuple[bytes, bytes, bool] | int]:
    """Targets, bodies and whether they are whole; the status of a rejection."""
    return [
        event.status
        if isinstance(event, Rejection)
        else (event.target, taken(event.body), not isinstance(event.body, BodyPieces) or event.body.whole)
        for event in events
    ]


@given(st.sets(st.integers(1, len(MIXED) - 1)))
@example(set(range(1, len(MIXED))))
def test_a_stream_cut_into_any_pieces_gives_the_same_requests(places):
    """Whole requests and such in pieces, pipelined."""
    http = connection(max_body=11)
    events = [event for piece in cut(MIXED, places) for event in http.receive_data(piece)]
    hello = b"hello world"
    assert summary(events) == [
        (b"/order", hello, True),
        (b"/upload", hello, True),
        (b"/order", hello, True),
        (b"/upload", hello, True),
        (b"/?a=b", b"", True),
        (b"/upload", b"", True),
        (b"/?a=b", b"", True),
    ]
    assert not http.in_pieces
    assert not http.mid_request


def test_the_request_is_there_at_the_end_of_its_head():
    """And its body's pieces follow; until the last the connection is in its middle."""
    http = connection()
    head, _, body = UPLOAD.partition(b"\r\n\r\n")
    assert http.receive_data(head + b"\r\n\r") == []
    [request] = http.receive_data(b"\n")
    assert isinstance(request, Request)
    assert isinstance(request.body, BodyPieces)
    assert http.in_pieces
    for place in range(len(body)):
        assert not request.body.whole
        assert http.mid_request
        assert http.receive_data(body[place : place + 1]) == []
    assert request.body.whole
    assert taken(request.body) == b"hello world"
    assert not http.in_pieces
    assert not http.mid_request


def test_the_limit_is_for_what_is_held():
    """An upload of a thousand times the limit comes; what is not asked for in pieces is refused as ever."""
    http = connection(max_body=5)
    events = http.receive_data(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    assert summary(events) == [(b"/upload", b"x" * 5000, True)]
    assert summary(http.receive_data(b"POST /else HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")) == [413]


def test_the_head_has_its_limit_all_the_same():
    """As for any request, and so have trailers."""
    long = b"POST /upload HTTP/1.1\r\nHost: x\r\nX: %b\r\nContent-Length: 5\r\n\r\n" % (b"x" * HEAD_LIMIT)
    assert summary(connection().receive_data(long)) == [431]
    http = connection()
    assert len(http.receive_data(UPLOAD.replace(b"0\r\n\r\n", b"0\r\n"))) == 1
    events: list[Request | Rejection] = []
    for _ in range(40):
        events += http.receive_data(b"X: %b\r\n" % (b"x" * 10_000))
    assert len(events) == 1
    assert isinstance(events[0], Rejection)


@given(st.integers(0, 200))
def test_what_is_wrong_in_the_middle_of_a_body_is_told_once(place):
    """Behind the pieces that were right; the body never becomes whole."""
    data, http = UPLOAD.replace(b"6\r\n world", b"nonsense") + BARE, connection()
    events = [event for piece in cut(data, {place}) for event in http.receive_data(piece)]
    assert summary(events) == [(b"/upload", b"hello", False), 400]
    assert http.in_pieces
    assert http.receive_data(BARE) == []


def test_what_is_wrong_behind_the_body_is_another_requests_fault():
    """The upload itself was whole."""
    http = connection()
    assert summary(http.receive_data(UPLOAD + b"nonsense\r\n\r\n")) == [(b"/upload", b"hello world", True), 400]
    assert not http.in_pieces


def test_a_client_that_waits_for_continue_is_told_once():
    """As soon as its request is there."""
    http = connection()
    [request] = http.receive_data(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n%b\r\n" % CONTINUE)
    assert http.take_continue()
    assert not http.take_continue()
    assert http.receive_data(b"123456789") == []
    assert isinstance(request, Request)
    assert taken(request.body) == b"123456789"
    assert not http.take_continue()


def test_a_client_that_did_not_wait_is_not_told():
    """A part of its body is here."""
    http = connection()
    http.receive_data(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n%b\r\n1234" % CONTINUE)
    assert not http.take_continue()


def test_an_offer_to_upgrade_is_declined_in_pieces_as_well():
    """With its body, sized and in chunks."""
    http = connection()
    uploads = (OFFER + OFFER_CHUNKED).replace(b"/order", b"/upload")
    events = [event for place in range(len(uploads)) for event in http.receive_data(uploads[place : place + 1])]
    assert summary(events) == [(b"/upload", b"hello world", True)] * 2
    assert summary(connection().receive_data(uploads)) == [(b"/upload", b"hello world", True)] * 2


def test_who_asks_for_no_pieces_gets_none():
    """The same events as ever."""
    http = HTTP1Connection(1000, lambda method, target, headers: False)
    assert http.receive_data(STREAM) == fed(STREAM)
