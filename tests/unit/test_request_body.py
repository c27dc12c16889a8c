"""request_body.py: pieces of a body, read when they are asked for and not before."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from fastworker.errors import ClientGoneError, RequestError
from fastworker.protocol.http_request import BodyPieces
from fastworker.streaming.request_body import ArrivingBody


class Upload:
    """A body on a pair of sockets. `reads` counts how often the connection was asked; `.` ends the body."""

    def __init__(self, *, max_body: int = 1000, read_timeout_s: float = 10) -> None:
        self.ours, self.client = socket.socketpair()
        self.ours.setblocking(False)
        self.loop = asyncio.new_event_loop()
        self.pieces = BodyPieces()
        self.reads = 0
        self.body = ArrivingBody(
            self.pieces, self.ours.fileno(), self._read, self.loop, max_body=max_body, read_timeout_s=read_timeout_s
        )

    def _read(self) -> bool:
        self.reads += 1
        try:
            data = self.ours.recv(4)
        except BlockingIOError:
            return False
        if not data:
            raise ClientGoneError
        if data.strip(b"."):
            self.pieces.pieces.append(data.strip(b"."))
        self.pieces.whole = data.endswith(b".")
        return True

    async def next(self) -> bytes | None:
        """The next piece, by `async for`; None at the end."""
        async for piece in self.body:
            return piece
        return None

    def turn(self) -> None:
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    def close(self) -> None:
        self.ours.close()
        self.client.close()
        self.loop.close()


@pytest.fixture
def upload() -> Iterator[Upload]:
    upload = Upload()
    yield upload
    upload.close()


def test_nothing_is_read_that_nobody_has_asked_for(upload):
    """What has come lies in the connection, and its client waits."""
    upload.client.send(b"aaaabbbbcccc.")
    assert upload.reads == 0
    pieces = iter(upload.body)
    assert next(pieces) == b"aaaa"
    assert upload.reads == 1
    assert next(pieces) == b"bbbb"
    assert upload.reads == 2
    assert upload.loop.run_until_complete(upload.next()) == b"cccc"
    assert upload.reads == 3
    assert list(pieces) == []


def test_what_came_with_the_head_is_handed_out_first(upload):
    """Without a look at the connection."""
    upload.pieces.pieces.append(b"first")
    upload.client.send(b"more.")
    pieces = iter(upload.body)
    assert (next(pieces), upload.reads) == (b"first", 0)
    assert list(pieces) == [b"more"]


def test_a_whole_body_asks_for_nothing(upload):
    """Behind its end the next request may lie there."""
    upload.pieces.pieces.append(b"all")
    upload.pieces.whole = True
    upload.client.send(b"GET ")
    assert list(upload.body) == [b"all"]
    assert list(upload.body) == []
    assert upload.body.read_all() == b""
    assert upload.reads == 0


def test_an_async_reader_lets_others_run_until_something_comes(upload):
    """And is woken by it; the connection is watched only meanwhile."""
    task = upload.loop.create_task(upload.next())
    upload.turn()
    assert (task.done(), upload.reads) == (False, 1)
    upload.turn()
    assert upload.reads == 1
    upload.client.send(b"late")
    assert upload.loop.run_until_complete(task) == b"late"
    assert upload.loop.remove_reader(upload.ours.fileno()) is False


def test_an_async_reader_that_is_cancelled_watches_no_more(upload):
    """Its connection is another request's soon."""
    task = upload.loop.create_task(upload.next())
    upload.turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        upload.loop.run_until_complete(task)
    assert upload.loop.remove_reader(upload.ours.fileno()) is False


def test_a_sync_reader_waits_in_place(upload):
    """For as long as it takes."""
    feeder = threading.Timer(0.02, lambda: upload.client.send(b"late."))
    feeder.start()
    assert list(upload.body) == [b"late"]
    feeder.join()
    assert upload.reads < 10


@pytest.mark.parametrize("way", ["for", "async for", "read_all"])
def test_a_client_that_goes_away_is_told_of(upload, way):
    """Behind what had come before."""
    upload.client.send(b"half")
    upload.client.close()
    if way == "for":
        pieces = iter(upload.body)
        assert next(pieces) == b"half"
        with pytest.raises(ClientGoneError):
            next(pieces)
    elif way == "async for":
        assert upload.loop.run_until_complete(upload.next()) == b"half"
        with pytest.raises(ClientGoneError):
            upload.loop.run_until_complete(upload.next())
    else:
        with pytest.raises(ClientGoneError):
            upload.body.read_all()


def test_the_whole_body_is_all_that_is_left(upload):
    """Each piece is handed out once."""
    upload.client.send(b"aaaabbbbcccc.")
    assert next(iter(upload.body)) == b"aaaa"
    assert upload.body.read_all() == b"bbbbcccc"
    assert upload.body.read_all() == b""


def test_the_whole_body_has_the_limit_of_other_bodies():
    """413 as soon as it is over; a stream has none."""
    upload = Upload(max_body=8)
    upload.client.send(b"aaaabbbbcccc.")
    with pytest.raises(RequestError) as refused:
        upload.body.read_all()
    assert refused.value.status == 413
    assert upload.reads == 3
    upload.close()


def test_the_whole_body_has_the_time_of_other_bodies():
    """408 when it is over."""
    upload = Upload(read_timeout_s=0.01)
    upload.client.send(b"aaaa")
    with pytest.raises(RequestError) as refused:
        upload.body.read_all()
    assert refused.value.status == 408
    upload.close()
