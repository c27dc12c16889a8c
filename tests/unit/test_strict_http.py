"""http1.py beside a strict reader: what RFC 9112 says must be refused is refused, wherever the reads end."""

import h11
import pytest

from fastworker.protocol.http1 import HEAD_LIMIT, HTTP1Connection
from fastworker.protocol.http_request import Rejection, Request
from tests.http_vectors import VECTORS, Vector

NAMES = [vector.name for vector in VECTORS]


def verdict(*pieces: bytes) -> str:
    """What fastworker makes of it, in the words of the table."""
    connection = HTTP1Connection(1 << 20)
    events = [event for piece in pieces for event in connection.receive_data(piece)]
    served = sum(isinstance(event, Request) for event in events)
    refused = [event.status for event in events if isinstance(event, Rejection)]
    if refused:
        return f"{served} {refused[0]}"
    return f"{served} waits" if connection.mid_request else f"{served}"


def verdict_of_h11(data: bytes) -> str:
    """What h11 makes of it: an answer behind each request, until it has no more to say."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
    connection.receive_data(data)
    served = 0
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.EndOfMessage):
                served += 1
                if not connection.trailing_data[0]:
                    return f"{served}"
            elif event is h11.NEED_DATA:
                return f"{served} waits"
            elif event is h11.PAUSED:
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return f"{served}"
                if connection.their_state is h11.DONE:
                    connection.start_next_cycle()
    except h11.RemoteProtocolError:
        return f"{served} refused"


def agree(vector: Vector) -> bool:
    served, _, end = vector.ours.partition(" ")
    return vector.h11 in (vector.ours, f"{served} refused" if end.isdigit() else vector.ours)


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_a_request_is_served_or_refused_as_the_table_says(vector: Vector) -> None:
    """Both verdicts are what the table says they are, and a difference has its reason there."""
    assert verdict(vector.data) == vector.ours
    assert verdict_of_h11(vector.data) == vector.h11
    assert agree(vector) == (not vector.why)


@pytest.mark.parametrize("vector", [v for v in VECTORS if len(v.data) < HEAD_LIMIT], ids=lambda vector: vector.name)
def test_the_verdict_does_not_depend_on_where_the_reads_end(vector: Vector) -> None:
    """In one read, byte by byte, or in two halves."""
    data = vector.data
    assert verdict(*(data[place : place + 1] for place in range(len(data)))) == vector.ours
    for place in range(1, min(len(data), 300)):
        assert verdict(data[:place], data[place:]) == vector.ours


def test_the_table_has_every_kind_and_each_name_once():
    """Fewer vectors than the public collections have would prove less."""
    assert len(set(NAMES)) == len(NAMES) > 240
    assert len({vector.data for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"http://a", b"/"), (b"http://a?b", b"/?b"), (b"HTTPS://u@a:1/x/y?z", b"/x/y?z"), (b"/x", b"/x"), (b"*", b"*")],
)
def test_the_path_of_an_absolute_target_is_what_counts(target: bytes, path: bytes) -> None:
    """A server must take the absolute form (RFC 9112, 3.2.2)."""
    [request] = HTTP1Connection(9).receive_data(b"OPTIONS %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert isinstance(request, Request)
    assert request.target == path
