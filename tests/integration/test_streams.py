"""Streams on a real connection: item by item, flat in memory, at the reader's pace, and over when nobody reads."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.harness import PATIENCE, Server, wait_for
from tests.memory import MIB, Peak
from tests.plain_client import PlainClient, TruncatedError, chunk, request_head
from tests.shapes import APP

Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(cwd=APP, app="function_app.py", workers=1, max_body="1MiB") as server:
        yield server.wait_ready()


@pytest.fixture
def client(server: Server) -> Iterator[PlainClient]:
    with PlainClient(server.port) as client:
        yield client


@pytest.fixture
def notes(server: Server) -> Callable[[str], bool]:
    """Whether the app has noted something since the test began."""
    began = len(server.stdout)
    return lambda text: f"note: {text}" in server.stdout[began:]


def ask(client: PlainClient, target: str) -> Iterator[bytes]:
    """The lines of a stream that has begun."""
    client.send(request_head("GET", target))
    assert client.begin().status == 200
    return client.lines()


def answers(server: Server) -> bool:
    with PlainClient(server.port) as other:
        return other.get("/api/text").status == 200


# -- as it is made ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["count", "count-async"])
def test_items_arrive_as_they_are_made(client: PlainClient, path: str) -> None:
    """The first one long before the last."""
    began = time.monotonic()
    came = [(line, time.monotonic() - began) for line in ask(client, f"/api/{path}?items=5&pause=0.1")]
    assert [line for line, _ in came] == [b'{"n":%d}' % n for n in range(5)]
    assert came[-1][1] >= 0.4
    assert came[0][1] < min(0.1 * PATIENCE, came[-1][1] / 2)


@pytest.mark.parametrize("path", ["count", "count-async", "array"])
def test_first_item_waits_for_no_other(client: PlainClient, path: str) -> None:
    """Of ten million items it comes as soon as of one."""
    began = time.monotonic()
    client.send(request_head("GET", f"/api/{path}?items=10000000"))
    client.begin()
    assert b'{"n":0}' in next(client.pieces())
    assert time.monotonic() - began < 0.2 * PATIENCE


def test_large_list_is_one_array_in_flat_memory(client: PlainClient, server: Server) -> None:
    """Three hundred thousand items, of which none is kept: as a list they are 80 MB."""
    [worker] = server.workers()
    peak = Peak(worker)
    client.send(request_head("GET", "/api/array?items=300000"))
    text = unchunked(client)
    assert text.startswith(b'[{"n":0},{"n":1},')
    assert text.endswith(b',{"n":299999}]')
    assert text.count(b",") == 299_999
    assert peak.growth() < 5 * MIB


def unchunked(client: PlainClient) -> bytes:
    """A chunked body, read without h11, which takes ten seconds for so many chunks."""
    data = bytearray()
    while not data.endswith(b"\r\n0\r\n\r\n"):
        more = client.socket.recv(1 << 20)
        assert more
        data += more
    place = data.index(b"\r\n\r\n") + 4
    pieces: list[bytearray] = []
    while True:
        end = data.index(b"\r\n", place)
        size = int(data[place:end], 16)
        if not size:
            assert end + 4 == len(data)
            return b"".join(pieces)
        place = end + 2 + size + 2
        assert data[place - 2 : place] == b"\r\n"
        pieces.append(data[end + 2 : place - 2])


def test_both_ways_at_once(client: PlainClient) -> None:
    """Each piece is answered before the next is sent."""
    client.send(request_head("POST", "/api/both-ways", [("Transfer-Encoding", "chunked")]))
    client.send(chunk(b"piece 0"))
    assert client.begin("POST").status == 200
    pieces = client.pieces()
    assert next(pieces) == b"PIECE 0"
    for number in range(1, 20):
        client.send(chunk(b"piece %d" % number))
        assert next(pieces) == b"PIECE %d" % number
    client.send(chunk(b""))
    assert list(pieces) == []
    assert client.quiet
    assert client.get("/api/text").status == 200


# -- server-sent events ----------------------------------------------------------------------------------------------


def test_events_have_the_form_of_the_standard(client: PlainClient) -> None:
    """Retry, id, data as JSON, lines of text, comments; nothing on the way collects or keeps them."""
    reply = client.get("/api/events")
    assert reply.header("content-type") == "text/event-stream"
    assert reply.header("cache-control") == "no-cache"
    assert reply.text.split("\n\n") == [
        "retry: 50",
        'id: 1\ndata: {"n":1}',
        "event: note\n: hi\ndata: two\ndata: lines",
        "data: plain",
        "",
    ]
    again = client.get("/api/events", [("Last-Event-ID", "41")])
    assert 'id: 42\ndata: {"n":42}' in again.text


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_comments_keep_a_silent_event_stream_alive(client: PlainClient, version: str) -> None:
    """Every 0.1 s of silence, and only then; each is a whole one between two events."""
    client.send(request_head("GET", "/api/events?pause=0.65", version=version))
    events = client.receive().text.split("\n\n")
    kept = events.count(": keep-alive")
    assert 2 <= kept <= 6
    assert events[:3] + events[-2:] == [
        "retry: 50",
        'id: 1\ndata: {"n":1}',
        "event: note\n: hi\ndata: two\ndata: lines",
        "data: plain",
        "",
    ]
    assert len(events) == 5 + kept


def test_busy_event_stream_needs_no_comments(client: PlainClient) -> None:
    """Nothing else came between the events."""
    assert b"keep-alive" not in client.get("/api/events?pause=0.01").body


# -- readers that are slow, or go away -------------------------------------------------------------------------------


def test_slow_reader_of_an_async_stream_blocks_only_itself(server: Server, client: PlainClient) -> None:
    """Its items wait, unmade; the one worker serves others meanwhile, and the slow one in the end."""
    [worker] = server.workers()
    with PlainClient(server.port, receive_buffer=4096) as slow:
        peak = Peak(worker)
        slow.send(request_head("GET", "/api/pieces?items=1000&size=100000"))
        slow.begin()
        for _ in range(50):
            began = time.monotonic()
            assert client.get("/api/text").status == 200
            assert client.get("/api/count-async").status == 200
            assert time.monotonic() - began < 0.5 * PATIENCE
        assert peak.growth() < 10 * MIB
    assert answers(server)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("count?items=100000&pause=0.01", "count was closed"),
        ("count-async?items=100000&pause=0.01", "count was cancelled"),
        ("count-async?items=100000", "count was cancelled|count was closed"),
        # No item is due: nothing but the end of the connection can tell.
        ("count-async?items=2&pause=30", "count was cancelled"),
    ],
)
@pytest.mark.parametrize("hard", [False, True])
def test_client_that_goes_away_ends_the_iterator(
    server: Server, notes: Callable[[str], bool], path: str, words: str, hard: bool
) -> None:
    """Its `finally` blocks run, and the worker is free again."""
    client = PlainClient(server.port)
    assert next(ask(client, f"/api/{path}")) == b'{"n":0}'
    if hard:
        client.reset()
    else:
        client.close()
    wait_for(lambda: any(map(notes, words.split("|"))), words, 3)
    assert not notes("count ended")
    assert answers(server)


def test_client_that_never_reads_and_goes_away_ends_the_iterator(server: Server, notes: Callable[[str], bool]) -> None:
    """Also while there is no room for the next item."""
    for path, words in (("count", "count was closed"), ("count-async", "count was closed|count was cancelled")):
        client = PlainClient(server.port, receive_buffer=4096)
        client.send(request_head("GET", f"/api/{path}?items=100000000"))
        client.begin()
        client.reset()
        wait_for(lambda words=words: any(map(notes, words.split("|"))), words, 3)
    assert answers(server)


def test_slow_reader_of_a_sync_stream_is_ended_by_the_deadline(serve: Serve) -> None:
    """It holds its worker, but no longer than any handler may; the worker lives on."""
    server = serve(cwd=APP, app="function_app.py", workers=1, deadline=0.5, grace=2)
    before = server.workers()
    with PlainClient(server.port, receive_buffer=4096) as slow:
        began = time.monotonic()
        slow.send(request_head("GET", "/api/pieces-sync?items=100000&size=100000"))
        slow.begin()
        wait_for(lambda: "note: pieces were closed" in server.stdout, "the end of the stream")
        assert 0.4 < time.monotonic() - began < 1.5 * PATIENCE
        assert answers(server)
        with pytest.raises(TruncatedError):
            list(slow.pieces())
    assert server.workers() == before


def test_a_stream_has_the_same_framing_each_time(server: Server) -> None:
    """Also where the head of the request is known from another connection, whose parser read it."""
    heads = []
    for _ in range(4):
        with PlainClient(server.port) as client:
            client.send(b"GET /api/count-async?items=3 HTTP/1.1\r\nHost: x\r\n\r\n")
            heads.append(client.begin().headers)
            assert len(b"".join(client.pieces()).splitlines()) == 3
    assert ("transfer-encoding", "chunked") in heads[0]
    assert heads == heads[:1] * 4
