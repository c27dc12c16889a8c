"""stream_sender.py and stream_writer.py on a pair of sockets: what goes out, when items are made, and that sources
are closed."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h11
import pytest

from fastworker.errors import ClientGoneError, DeadlineExceeded
from fastworker.protocol.jsontext import UnencodableError
from fastworker.protocol.messages import Response
from fastworker.protocol.plain_http import FileBody, Streaming, plain_answer
from fastworker.protocol.streams import Event, EventStream
from fastworker.streaming.stream_sender import send, send_async
from fastworker.streaming.stream_writer import COPIED, Outgoing


class Wire(Outgoing):
    """An Outgoing whose client is here, too. `rooms` counts how often there was no room for more."""

    def __init__(self, *, chunks: bool = True, head_only: bool = False) -> None:
        ours, self.client = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.setblocking(False)
        self.client.setblocking(False)
        self.loop = asyncio.new_event_loop()
        self.ours = ours
        self.rooms = 0
        self.ends_with_connection: bool | None = None
        self.received = b""
        super().__init__(ours, self.loop, chunks=chunks, head_only=head_only, on_begin=self._begins)

    def _begins(self, ends_with_connection: bool) -> bool:
        self.ends_with_connection = ends_with_connection
        return not ends_with_connection

    def wait(self) -> None:
        self.rooms += 1
        self.read()

    def read(self) -> bytes:
        """What has come since; all of it."""
        while True:
            try:
                data = self.client.recv(1 << 20)
            except BlockingIOError:
                return self.received
            if not data:
                return self.received
            self.received += data

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def turn(self) -> None:
        """Lets everything run that can."""
        for _ in range(20):
            self.run(asyncio.sleep(0))

    def close_all(self) -> None:
        self.close()
        self.ours.close()
        self.client.close()
        self.loop.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close_all()


def streaming(response: Any, **options: Any) -> Streaming:
    made = plain_answer(response if isinstance(response, Response) else Response(response, **options))
    assert isinstance(made, Streaming)
    return made


def parsed(data: bytes, method: str = "GET", *, ended: bool = False) -> tuple[h11.Response, bytes]:
    """A whole answer, as h11 reads it; nothing else comes behind it."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    http.send(h11.EndOfMessage())
    http.receive_data(data)
    if ended:
        http.receive_data(b"")
    response = http.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), event
        body += event.data
    assert http.trailing_data[0] == b""
    return response, body


class Counting:
    """Items that are counted as they are made; one may be an error to raise. `closed` counts the ends."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.made = 0
        self.closed = 0

    def next_item(self) -> Any:
        if self.made == len(self.items):
            return None
        self.made += 1
        item = self.items[self.made - 1]
        if isinstance(item, BaseException):
            raise item
        return item


class Source(Counting):
    """A sync iterator of them."""

    def __iter__(self) -> "Source":
        return self

    def __next__(self) -> Any:
        item = self.next_item()
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        self.closed += 1


class AsyncSource(Counting):
    """An async iterator of them. An item may be a future to wait for."""

    def __aiter__(self) -> "AsyncSource":
        return self

    async def __anext__(self) -> Any:
        item = self.next_item()
        if item is None:
            raise StopAsyncIteration
        return await item if asyncio.isfuture(item) else item

    async def aclose(self) -> None:
        self.closed += 1


def sent(wire: Wire, source: Source | AsyncSource, **options: Any) -> None:
    """Sends a source of either kind to its end, while the client reads."""
    if not isinstance(source, AsyncSource):
        send(wire, streaming(source, **options))
        return
    read_to_end(wire, wire.loop.create_task(send_async(wire, streaming(source, **options))))


def read_to_end(wire: Wire, task: "asyncio.Task[None]") -> None:
    """Reads for as long as something is sent."""
    while not task.done():
        wire.turn()
        wire.read()
    task.result()


both_kinds = pytest.mark.parametrize("kind", [Source, AsyncSource])


# -- what goes out ---------------------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("items", [[], [{"n": 1}], [{"n": n} for n in range(2000)]])
def test_a_stream_is_a_whole_answer_in_chunks(wire, kind, items):
    """Head, items, end; and the source is closed once."""
    source = kind(*items)
    sent(wire, source)
    response, body = parsed(wire.read())
    assert (response.status_code, dict(response.headers)[b"transfer-encoding"]) == (200, b"chunked")
    assert body == b"".join(b'{"n":%d}\n' % item["n"] for item in items)
    assert source.closed == 1
    assert wire.ends_with_connection is False


@both_kinds
def test_pieces_of_any_size_are_chunks(wire, kind):
    """Small ones are copied behind their head and large ones are not; an empty one would be the end."""
    pieces = [b"", b"x", b"", b"y" * (COPIED - 1), b"z" * COPIED, b"w" * (3 * COPIED), b""]
    sent(wire, kind(*pieces))
    assert parsed(wire.read())[1] == b"".join(pieces)


@both_kinds
def test_a_client_without_chunks_gets_the_bytes_alone(kind):
    """Up to the end of the connection, which its head announces."""
    wire = Wire(chunks=False)
    sent(wire, kind({"n": 1}, {"n": 2}))
    response, body = parsed(wire.read(), ended=True)
    assert body == b'{"n":1}\n{"n":2}\n'
    headers = dict(response.headers)
    assert headers[b"connection"] == b"close"
    assert b"transfer-encoding" not in headers
    assert wire.ends_with_connection is True
    wire.close_all()


@both_kinds
@pytest.mark.parametrize("options", [{}, {"content_type": "application/json"}])
def test_head_makes_no_item(kind, options):
    """Nobody wants them; the source is closed unused."""
    wire = Wire(head_only=True)
    source = kind({"n": 1})
    sent(wire, source, **options)
    response, body = parsed(wire.read(), "HEAD")
    assert (response.status_code, body) == (200, b"")
    assert (source.made, source.closed) == (0, 1)
    wire.close_all()


def test_the_head_of_events_does_not_wait_for_the_first(wire):
    """A browser knows that it is connected."""
    first = wire.loop.create_future()
    source = AsyncSource(first)
    task = wire.loop.create_task(send_async(wire, streaming(EventStream(source))))
    wire.turn()
    assert wire.read().endswith(b"\r\n\r\n")
    assert b"text/event-stream" in wire.received
    first.set_result(Event(data="x"))
    wire.run(task)
    assert parsed(wire.read())[1] == b"data: x\n\n"


def test_head_and_first_item_leave_in_one_write(wire):
    """One segment less."""
    steps = wire.piece(b"first")
    wire.begin(200, b"text/plain", ())
    assert wire.read() == b""
    assert list(steps) == []
    assert wire.read().endswith(b"\r\n\r\n5\r\nfirst\r\n")


# -- back-pressure ---------------------------------------------------------------------------------------------------


def test_an_item_is_asked_for_when_the_one_before_is_out(wire):
    """Sync: whenever there is no room, nothing is made that the client does not have but for one item."""
    size = 10_000
    source = Source(*[b"x" * size] * 50)
    ahead = []
    read = wire.read

    def reads_slowly() -> bytes:
        ahead.append(source.made - wire.received.count(b"x") // size)
        wire.received += wire.client.recv(2000)
        return wire.received

    wire.read = reads_slowly
    send(wire, streaming(source))
    assert wire.rooms > 50
    # What lies in the two socket buffers is out; it is some items, and no more however long the stream is.
    assert max(ahead) < 5
    wire.read = read
    assert parsed(wire.read())[1] == b"x" * size * 50


def test_an_async_stream_waits_for_room_and_lets_others_run(wire):
    """Nothing is made for a reader that does not read, and the loop turns."""
    source = AsyncSource(*[b"x" * 10_000] * 50)
    task = wire.loop.create_task(send_async(wire, streaming(source)))
    wire.turn()
    made = source.made
    assert made < 5
    wire.turn()
    assert source.made == made
    assert not task.done()
    read_to_end(wire, task)
    assert parsed(wire.read())[1] == b"x" * 500_000


def test_a_sync_source_in_an_async_handler_lets_others_run(wire):
    """Between two items, however quickly they are made."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = wire.loop.create_task(count())
    read_to_end(wire, wire.loop.create_task(send_async(wire, streaming(Source(*range(1, 101))))))
    assert turns >= 99
    counting.cancel()
    with pytest.raises(asyncio.CancelledError):
        wire.run(counting)


# -- every way out ---------------------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("before", [0, 1, 3])
def test_what_a_source_raises_comes_out_and_closes_it(wire, kind, before):
    """No end follows what is out."""
    source = kind(*[{"n": 1}] * before, ValueError("mine"))
    with pytest.raises(ValueError, match="mine"):
        sent(wire, source)
    assert source.closed == 1
    assert wire.begun == (before > 0)
    assert not wire.read().endswith(b"0\r\n\r\n")
    assert wire.received.count(b'{"n":1}') == before


@both_kinds
@pytest.mark.parametrize("before", [0, 2])
def test_an_item_that_cannot_be_encoded_closes_its_source(wire, kind, before):
    """And is named by its number; nothing is out if it was the first."""
    source = kind(*[{"n": 1}] * before, object(), {"n": 2})
    with pytest.raises(UnencodableError, match=rf"item {before}"):
        sent(wire, source)
    assert (source.made, source.closed) == (before + 1, 1)
    assert wire.begun == (before > 0)


@both_kinds
def test_a_client_that_has_gone_closes_the_source(wire, kind):
    """Found when the next item is sent."""
    source = kind({"n": 1}, {"n": 2})
    wire.client.close()
    with pytest.raises(ClientGoneError):
        if kind is Source:
            send(wire, streaming(source))
        else:
            out = streaming(source)
            wire.watch = lambda on_gone: None  # which would be told first
            wire.run(send_async(wire, out))
    assert wire.gone
    assert (source.made, source.closed) == (1, 1)


def test_a_deadline_while_there_is_no_room_closes_the_source(wire):
    """It strikes in the wait, outside of user code."""
    source = Source(*[b"x" * 100_000] * 10)

    def strikes() -> None:
        raise DeadlineExceeded

    wire.wait = strikes
    with pytest.raises(DeadlineExceeded):
        send(wire, streaming(source))
    assert (source.made, source.closed) == (1, 1)


@pytest.mark.parametrize("kind", [Source, AsyncSource])
def test_a_cancellation_while_there_is_no_room_closes_the_source(wire, kind):
    """Of either kind, in an async handler."""
    source = kind(*[b"x" * 100_000] * 10)
    task = wire.loop.create_task(send_async(wire, streaming(source)))
    wire.turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        wire.run(task)
    assert (source.made, source.closed) == (1, 1)


def test_a_client_that_goes_away_while_no_item_is_due_cancels(wire):
    """A silent stream would never find out by itself."""
    source = AsyncSource({"n": 1}, wire.loop.create_future())
    task = wire.loop.create_task(send_async(wire, streaming(source)))
    wire.turn()
    wire.client.close()
    with pytest.raises(asyncio.CancelledError):
        wire.run(task)
    assert wire.gone
    assert source.closed == 1


def test_another_request_is_no_end(wire):
    """It waits for its turn; from then on only sending tells."""
    due = wire.loop.create_future()
    task = wire.loop.create_task(send_async(wire, streaming(AsyncSource({"n": 1}, due))))
    wire.turn()
    wire.client.send(b"GET / HTTP/1.1\r\n\r\n")
    wire.turn()
    assert not task.done()
    due.set_result({"n": 2})
    wire.run(task)
    assert parsed(wire.read())[1] == b'{"n":1}\n{"n":2}\n'


def test_an_async_source_in_a_sync_handler_is_a_mistake_that_is_named(wire):
    """Before anything is out."""
    with pytest.raises(TypeError, match="async def"):
        send(wire, streaming(AsyncSource(1)))
    assert not wire.begun


# -- comments that keep a stream alive -------------------------------------------------------------------------------


def test_comments_come_while_nothing_else_does(wire):
    """Each a whole chunk, between two events."""
    due = wire.loop.create_future()
    task = wire.loop.create_task(send_async(wire, streaming(EventStream(AsyncSource(due), keep_alive=0.01))))
    while wire.read().count(b": keep-alive") < 3:
        wire.turn()
    due.set_result("x")
    wire.run(task)
    body = parsed(wire.read())[1]
    kept = body.count(b": keep-alive\n\n")
    assert kept >= 3
    assert body == b": keep-alive\n\n" * kept + b"data: x\n\n"


def test_no_comment_comes_behind_the_end(wire):
    """Although the source takes its time to close."""

    class Slow(AsyncSource):
        async def aclose(self) -> None:
            await asyncio.sleep(0.05)

    wire.run(send_async(wire, streaming(EventStream(Slow(1), keep_alive=0.01))))
    assert parsed(wire.read())[1] == b"data: 1\n\n"


def test_a_reader_that_does_not_read_gets_no_heap_of_comments(wire):
    """One that is half out is finished first, and the event comes behind it."""
    due = wire.loop.create_future()
    task = wire.loop.create_task(
        send_async(wire, streaming(EventStream(AsyncSource("x" * 3000, due), keep_alive=0.001)))
    )
    filled = 0
    while filled < 200:
        wire.turn()
        filled += 1
    due.set_result("end")
    read_to_end(wire, task)
    body = parsed(wire.read())[1]
    assert body.startswith(b"data: xxx")
    assert body.endswith(b"data: end\n\n")
    assert set(body.split(b"\n\n")[1:-2]) <= {b": keep-alive"}


# -- files -----------------------------------------------------------------------------------------------------------


def file_of(tmp_path: Path, data: bytes) -> FileBody:
    (tmp_path / "file").write_bytes(data)
    return FileBody(200, (), b"text/plain", tmp_path / "file")


@pytest.mark.parametrize("size", [0, 10, 300_000])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_file_goes_out_with_its_length(wire, tmp_path, size, kind):
    """From a handler of either kind."""
    body = file_of(tmp_path, b"x" * size)
    if kind == "sync":
        send(wire, body)
    else:
        read_to_end(wire, wire.loop.create_task(send_async(wire, body)))
    response, data = parsed(wire.read())
    assert dict(response.headers)[b"content-length"] == b"%d" % size
    assert data == b"x" * size


def test_head_of_a_file_has_its_length_and_no_byte(tmp_path):
    """The next answer is not out of step."""
    wire = Wire(head_only=True)
    send(wire, file_of(tmp_path, b"x" * 10))
    response, data = parsed(wire.read(), "HEAD")
    assert (dict(response.headers)[b"content-length"], data) == (b"10", b"")
    wire.close_all()


def test_a_file_that_is_not_there_fails_before_anything_is_out(wire, tmp_path):
    """It can still be answered."""
    with pytest.raises(FileNotFoundError):
        send(wire, FileBody(200, (), b"text/plain", tmp_path / "nothing"))
    assert not wire.begun


def test_a_file_that_shrinks_is_not_filled_up(wire, tmp_path):
    """Its length has been announced: the answer is cut."""
    body = file_of(tmp_path, b"x" * 300_000)

    def shrinks() -> None:
        (tmp_path / "file").write_bytes(b"x" * 10)
        wire.read()

    wire.wait = shrinks
    with pytest.raises(OSError, match="became shorter"):
        send(wire, body)
    assert wire.begun


def test_a_client_that_goes_away_ends_a_file(wire, tmp_path):
    """As any other body."""
    body = file_of(tmp_path, b"x" * 300_000)
    wire.wait = wire.client.close
    with pytest.raises(ClientGoneError):
        send(wire, body)
