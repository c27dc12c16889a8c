"""The budget of all bodies: who counts what, and that it all comes back."""

import gc
import weakref
from pathlib import Path

import pytest

from fastworker.ipc.board import Board
from fastworker.ipc.buffered import Buffered, default_limit
from fastworker.ipc.seat import Seat
from fastworker.protocol.http1 import COUNTED, HTTP1Connection
from fastworker.protocol.http_request import Rejection, Request

MIB = 1 << 20


@pytest.fixture
def board() -> Board:
    return Board(slots=2, first_number=100, connections=4)


def connection(board: Board, slot: int, limit: int) -> HTTP1Connection:
    return HTTP1Connection(100 * MIB, budget=Buffered(Seat(board, slot, pid=1), limit))


def head(length: int) -> bytes:
    return b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


def test_a_body_counts_as_it_grows_until_it_is_released(board: Board) -> None:
    """Whole or not; the sum is over all workers, and small bodies are in none."""
    one, other = connection(board, 0, 9 * MIB), connection(board, 1, 9 * MIB)
    assert one.receive_data(head(3 * MIB) + bytes(MIB)) == []
    assert one.receive_data(bytes(MIB)) == []
    assert board.buffered == 2 * MIB
    assert other.receive_data(head(2 * MIB) + bytes(MIB)) == []
    assert board.buffered == 3 * MIB
    [request] = one.receive_data(bytes(MIB))
    assert isinstance(request, Request)
    assert board.buffered == 4 * MIB
    one.release()
    assert board.buffered == MIB
    other.close()
    assert board.buffered == 0
    assert len(one.receive_data(head(COUNTED) + bytes(COUNTED))) == 1
    assert board.buffered == 0


def test_what_goes_over_the_budget_is_refused_and_given_back(board: Board) -> None:
    """503 for what would fit at another time, 413 for what never will; the others go on."""
    one, other = connection(board, 0, 3 * MIB), connection(board, 1, 3 * MIB)
    one.receive_data(head(2 * MIB) + bytes(MIB))
    other.receive_data(head(50 * MIB) + bytes(MIB))
    assert other.receive_data(bytes(MIB)) == []
    [refused] = other.receive_data(bytes(MIB))
    assert isinstance(refused, Rejection)
    assert refused.status == 503
    assert board.buffered == MIB
    [request] = one.receive_data(bytes(MIB))
    assert isinstance(request, Request)
    one.release()
    [refused] = connection(board, 1, 3 * MIB).receive_data(head(50 * MIB) + bytes(4 * MIB))
    assert isinstance(refused, Rejection)
    assert refused.status == 413
    assert board.buffered == 0


def test_bodies_behind_one_another_count_together(board: Board) -> None:
    """A client may send the next request while the first is answered; both are held until then."""
    http = connection(board, 0, 9 * MIB)
    whole = head(MIB) + bytes(MIB)
    assert [len(http.receive_data(whole[:MIB])), len(http.receive_data(whole[MIB:]))] == [0, 1]
    assert [len(http.receive_data(whole[:MIB])), len(http.receive_data(whole[MIB:]))] == [0, 1]
    assert board.buffered == 2 * MIB
    http.release()
    assert board.buffered == 0


def test_what_a_dead_worker_held_is_free(board: Board) -> None:
    """Its slot may stay empty for as long as the pool likes."""
    one, other = connection(board, 0, 9 * MIB), connection(board, 1, 9 * MIB)
    for http in (one, other):
        http.receive_data(head(3 * MIB) + bytes(MIB))
    assert board.last_of(0).buffered == MIB
    assert board.buffered == board.worker(1).buffered == MIB


@pytest.mark.parametrize("sent", [b"", b"GET /a", head(5) + b"abc", head(9) + b"123456789", b"nonsense\r\n\r\n"])
def test_a_dropped_connection_is_freed_without_the_collector(sent: bytes) -> None:
    """Its parser holds it; whoever drops it closes it, and then nothing does."""

    class Watched(HTTP1Connection):
        __slots__ = ("__weakref__",)

    gc.collect()
    gc.disable()
    try:
        http = Watched(MIB)
        http.receive_data(sent)
        gone = weakref.ref(http)
        http.close()
        del http
        assert gone() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_budget_is_a_quarter_of_what_the_cgroup_allows(tmp_path: Path) -> None:
    """Version 1 or 2, the least of it and its ancestors; without a limit, of the machine's memory."""
    proc = tmp_path / "cgroup"
    proc.write_text("4:memory:/a/b\n0::/a/b\n")
    machine = default_limit(tmp_path / "none", proc)
    (tmp_path / "v2" / "a" / "b").mkdir(parents=True)
    (tmp_path / "v2" / "a" / "memory.max").write_text("400000000\n")
    (tmp_path / "v2" / "a" / "b" / "memory.max").write_text("max\n")
    (tmp_path / "v1" / "memory" / "a" / "b").mkdir(parents=True)
    (tmp_path / "v1" / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (tmp_path / "v1" / "memory" / "a" / "b" / "memory.limit_in_bytes").write_text("200000000\n")
    assert default_limit(tmp_path / "v2", proc) == 100_000_000
    assert default_limit(tmp_path / "v1", proc) == 50_000_000
    assert machine > 100_000_000
