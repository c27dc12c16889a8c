"""connections.py, over real loopback connections and a real epoll: numbers, holders, and connections that got lost."""

import os
import select
import socket
from collections.abc import Iterator

import pytest

from fastworker.ipc.board import Board
from fastworker.ipc.connections import FIRST_NUMBER, MOST_CONNECTIONS, Audit, Connections, Held, Range, number_range
from fastworker.ipc.seat import LoopSeat, Seat

NUMBERS = Range(700, 4)
LIVE = {0: None, 1: None}


class Server:
    """The supervisor's half, with the clients, and room for two workers on the board."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.shared = select.epoll()
        self.board = Board(2, NUMBERS.first, NUMBERS.size)
        self.seats = [Seat(self.board, slot, pid=slot + 1) for slot in range(2)]
        self.connections = Connections(self.shared, NUMBERS)
        self.clients: dict[int, socket.socket] = {}

    def connect(self) -> int:
        client = socket.create_connection(self.listener.getsockname())
        number = self.connections.adopt(self.listener.accept()[0])
        self.clients[number] = client
        return number

    def events(self) -> list[int]:
        """What a free worker would get now; each event is given once."""
        return [number for number, _ in self.shared.poll(0, 100)]

    def request(self, number: int, data: bytes = b"GET") -> None:
        """Sends it, and waits until it has arrived."""
        self.clients[number].sendall(data)
        connection = self.connections.get(number)
        assert connection is not None
        waiter = select.poll()
        waiter.register(connection, select.POLLIN)
        assert waiter.poll(5000)

    def take_silently(self, number: int) -> None:
        """As a worker that is killed before it has written to the board."""
        self.request(number)
        assert self.events() == [number]

    def audit(self) -> Audit:
        return Audit(self.shared, self.board, self.connections, LIVE)

    def beat(self) -> None:
        for seat in self.seats:
            seat.beat()

    def close(self) -> None:
        self.connections.close_all()
        self.shared.close()
        self.listener.close()
        for client in self.clients.values():
            client.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1024, Range(512, 512)),
        (4096, Range(2048, 2048)),
        (FIRST_NUMBER + 2047, Range(6023, 6024)),
        (FIRST_NUMBER + 2048, Range(FIRST_NUMBER, 2048)),
        (20_000, Range(FIRST_NUMBER, 10_000)),
        (1 << 20, Range(FIRST_NUMBER, MOST_CONNECTIONS)),
    ],
)
def test_the_numbers_fit_under_the_limit_of_open_files(limit, expected):
    """High ones where there is room; else the upper half, so that the app keeps the lower one."""
    assert number_range(limit) == expected
    assert expected.first + expected.size <= limit


# -- the supervisor's half -------------------------------------------------------------------------------------------


def test_an_accepted_connection_gets_a_number_and_is_armed(server):
    """Non-blocking, without Nagle's delay, closed by exec; one event per arming, given to one poller."""
    number = server.connect()
    assert number == NUMBERS.first
    connection = server.connections.get(number)
    assert connection is not None
    assert not os.get_blocking(number)
    assert not os.get_inheritable(number)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert server.events() == []
    server.request(number)
    assert server.events() == [number]
    assert server.events() == []
    server.connections.arm(number)
    assert server.events() == [number]


def test_numbers_run_out_and_come_back(server):
    """Full is full; a closed connection makes room, and its number is the next one's."""
    numbers = [server.connect() for _ in range(NUMBERS.size)]
    assert numbers == list(range(NUMBERS.first, NUMBERS.first + NUMBERS.size))
    assert server.connections.full
    assert server.connections.open_numbers() == numbers
    server.connections.begin_close(numbers[2])
    server.connections.shut(numbers[2])
    assert not server.connections.full
    server.clients[numbers[2]].close()
    assert server.connect() == numbers[2]


def test_a_worker_that_asks_for_one_connection_gets_others_before_it(server):
    """It will want them, too; what it holds already it does not get again, and what is closing nobody gets."""
    numbers = [server.connect() for _ in range(3)]
    assert server.connections.lend(numbers[1], 0) == [numbers[2], numbers[0], numbers[1]]
    later = server.connect()
    server.connections.begin_close(numbers[0])
    assert server.connections.lend(later, 0) == [later]
    assert server.connections.lend(later, 1) == [numbers[2], numbers[1], later]


def test_what_is_lent_at_once_is_limited(server, monkeypatch):
    """A control socket has room for so many messages, and no more."""
    monkeypatch.setattr("fastworker.ipc.connections.LENT_AT_ONCE", 2)
    numbers = [server.connect() for _ in range(4)]
    assert server.connections.lend(numbers[0], 0) == [numbers[3], numbers[0]]
    assert server.connections.lend(numbers[1], 0) == [numbers[2], numbers[1]]


def test_a_number_is_free_only_when_every_holder_has_dropped_it(server):
    """A worker that still has it open would write into the next connection."""
    number = server.connect()
    server.connections.lend(number, 0)
    server.connections.lend(number, 1)
    closing = server.connections.begin_close(number)
    assert closing is not None
    assert closing[1] == {0, 1}
    server.connections.shut(number)
    server.connections.dropped(number, 0)
    assert len(server.connections) == 1
    assert is_open(number)
    assert server.connect() == number + 1
    server.connections.dropped(number, 1)
    assert len(server.connections) == 1
    assert not is_open(number)


def test_the_last_drop_does_not_free_what_is_not_shut_yet(server):
    """While a client still talks, the connection lingers under its number."""
    number = server.connect()
    server.connections.lend(number, 0)
    server.connections.begin_close(number)
    server.connections.dropped(number, 0)
    assert is_open(number)
    assert len(server.connections) == 1
    server.connections.shut(number)
    assert not is_open(number)


def test_a_dead_worker_holds_nothing_any_more(server):
    """Whatever it held is dropped at once; what others hold stays theirs."""
    one = server.connect()
    server.connections.lend(one, 0)
    server.connections.begin_close(one)
    server.connections.shut(one)
    two = server.connect()
    for slot in (0, 1):
        assert server.connections.lend(two, slot) == [two]
    server.connections.begin_close(two)
    server.connections.shut(two)
    server.connections.forget_holder(0)
    assert (is_open(one), is_open(two)) == (False, True)


def test_a_connection_that_ends_is_out_of_service_at_once(server):
    """No event, no more requests on it, no second end; the client sees the end when it is shut."""
    number = server.connect()
    server.connections.lend(number, 0)
    server.request(number)
    assert server.connections.begin_close(number) is not None
    assert server.events() == []
    assert server.connections.get(number) is None
    assert server.connections.open_numbers() == []
    assert server.connections.begin_close(number) is None
    server.connections.shut(number)
    assert server.clients[number].recv(1) == b""
    assert server.connections.begin_close(99) is None
    server.connections.dropped(99, 0)  # of a connection long gone: no error


def test_a_connection_moves_away_from_a_number_that_an_app_uses(server):
    """Its request makes an event under the new number; the old one is nobody's until the refusing worker has ended."""
    old = server.connect()
    server.connections.lend(old, 0)
    server.connections.lend(old, 1)
    server.take_silently(old)
    assert server.connections.move(old, 1, old + 2) == {0}
    assert server.events() == [old + 2]
    assert server.connections.open_numbers() == [old + 2]
    connection = server.connections.get(old + 2)
    assert connection is not None
    assert connection.recv(9) == b"GET"
    connection.send(b"hello")
    assert server.clients[old].recv(9) == b"hello"
    assert server.connections.blocked_by(1) == [old]
    server.connections.dropped(old, 0)
    assert server.connect() == old + 1
    server.connections.forget_holder(1)
    assert server.connections.blocked_by(1) == []
    assert not is_open(old)


def test_a_connection_that_cannot_move_stays(server):
    """No number is left for it, or it is closing anyway."""
    number = server.connect()
    assert server.connections.move(number, 0, NUMBERS.first + NUMBERS.size) is None
    assert server.connections.open_numbers() == [number]
    server.connections.lend(number, 0)
    server.connections.begin_close(number)
    server.connections.shut(number)
    assert server.connections.move(number, 0, number + 1) == set()
    assert not is_open(number)


# -- a worker's half -------------------------------------------------------------------------------------------------


@pytest.fixture
def held(server) -> Iterator[Held]:
    held = Held(server.shared)
    yield held
    for number in range(NUMBERS.first, NUMBERS.first + 200):
        held.drop(number)


def test_a_descriptor_moves_to_the_connections_number(server, held):
    """The one it came under is closed; the connection answers under the new one, non-blocking."""
    number = server.connect()
    came = os.dup(number)
    place = number + 100
    connection = held.place(came, place)
    assert connection is not None
    assert (connection.fileno(), connection.gettimeout()) == (place, 0.0)
    assert held.get(place) is connection
    assert not is_open(came)
    assert not os.get_inheritable(place)
    connection.send(b"hello")
    assert server.clients[number].recv(9) == b"hello"
    held.drop(place)
    held.drop(place)
    assert not is_open(place)
    assert held.get(place) is None


def test_a_number_that_the_app_uses_itself_is_left_to_it(server, held):
    """The app's own file stays open and is not touched; nothing is left behind elsewhere, and the next one is named."""
    number = server.connect()
    place = number + 100
    app = os.memfd_create("app")
    os.dup2(app, place)
    came = os.dup(number)
    assert held.place(came, place) == place + 1
    assert held.get(place) is None
    assert os.fstat(place).st_ino == os.fstat(app).st_ino
    assert not is_open(came)
    assert not is_open(place + 1)
    os.close(place)
    os.close(app)


def test_a_worker_arms_what_the_supervisor_registered(server, held):
    """Under the very same number; once the supervisor has taken it out of service, arming does nothing."""
    number = server.connect()
    server.take_silently(number)
    held.arm(number)
    assert server.events() == [number]
    server.connections.begin_close(number)
    held.arm(number)
    assert server.events() == []


def test_arming_what_the_app_has_closed_fails(server, held):
    """The worker is of no use any more then; nothing must look as if all were well."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        held.arm(server.connect() + 1)


# -- connections that got lost ---------------------------------------------------------------------------------------


def test_an_audit_proves_nothing_while_a_loop_lets_a_connection_go(server):
    """Its row is empty and it is not armed yet, which may last while other threads keep the interpreter."""
    number = server.connect()
    loop_seat = LoopSeat(server.board, 0, pid=1)
    loop_seat.letting(True)
    server.take_silently(number)
    audit = server.audit()
    for _ in range(5):
        server.beat()
        assert audit.step(LIVE) is None
    server.connections.arm(number)
    loop_seat.letting(False)
    for _ in range(3):
        server.beat()
        lost = audit.step(LIVE)
    assert not lost


def test_an_audit_finds_a_connection_that_a_dead_worker_had_taken(server):
    """Its event was given out, its row is empty: after two turns of every live worker it is known to be lost."""
    lost, idle = server.connect(), server.connect()
    server.take_silently(lost)
    audit = server.audit()
    assert audit.step(LIVE) is None
    assert not audit.finished
    server.beat()
    assert audit.step(LIVE) is None
    assert audit.step(LIVE) is None
    server.beat()
    assert audit.step(LIVE) == {lost}
    assert audit.finished
    server.connections.arm(lost)
    assert server.events() == [lost]
    assert idle in server.connections.open_numbers()


def test_an_audit_of_a_server_at_rest_finds_nothing(server):
    """All are armed: there is nothing to look at twice."""
    server.connect()
    audit = server.audit()
    assert audit.finished
    assert audit.step(LIVE) == set()


def test_an_audit_waits_for_every_live_worker(server):
    """One that has not turned may just have taken it; one in user code, or dead, cannot have."""
    lost = server.connect()
    server.take_silently(lost)
    audit = server.audit()
    server.seats[0].beat()
    assert audit.step(LIVE) is None
    server.seats[1].inline(1)
    assert audit.step(LIVE) is None
    server.seats[0].beat()
    assert audit.step(LIVE) == {lost}
    audit = server.audit()
    server.seats[1].inline(0)
    server.seats[0].beat()
    assert audit.step(LIVE) is None
    assert audit.step({0: None}) is None
    server.seats[0].beat()
    assert audit.step({0: None}) == {lost}


def test_an_audit_is_not_deceived_by_a_request_that_was_there_before(server):
    """Armed and taken again without a byte more: its new owner shows at the third look."""
    number = server.connect()
    server.take_silently(number)  # its last owner is about to arm it; the next request has come already
    audit = server.audit()
    server.connections.arm(number)
    assert server.events() == [number]  # another has taken it, and not said so yet
    server.beat()
    assert audit.step(LIVE) is None
    server.seats[1].take(number, 1)
    server.beat()
    assert audit.step(LIVE) == set()
    assert audit.finished


def test_an_audit_leaves_alone_what_a_worker_owns(server):
    """Before the first look, or on the board by the second one."""
    early, late = server.connect(), server.connect()
    server.take_silently(early)
    server.seats[0].take(early, 1)
    server.take_silently(late)
    audit = server.audit()
    server.seats[1].take(late, 1)
    server.beat()
    assert audit.step(LIVE) == set()
    assert audit.finished


def test_an_audit_leaves_alone_what_is_armed_again(server):
    """It had been between two steps of a live worker."""
    number = server.connect()
    server.take_silently(number)
    audit = server.audit()
    server.connections.arm(number)
    connection = server.connections.get(number)
    assert connection is not None
    connection.recv(99)
    server.beat()
    assert audit.step(LIVE) == set()


@pytest.mark.parametrize("moved", ["a request came", "an answer went"])
def test_an_audit_looks_again_at_what_has_moved(server, moved):
    """Armed and taken again between the looks shows the same picture; the bytes tell. Then two more looks."""
    lost, moving = server.connect(), server.connect()
    server.take_silently(lost)
    server.take_silently(moving)
    audit = server.audit()
    connection = server.connections.get(moving)
    assert connection is not None
    if moved == "a request came":
        connection.recv(99)
        server.request(moving)
    else:
        connection.send(b"HTTP/1.1 200 OK")
    server.beat()
    assert audit.step(LIVE) is None
    server.beat()
    assert audit.step(LIVE) == {lost}
    assert not audit.finished
    server.beat()
    assert audit.step(LIVE) == {moving}
    assert audit.finished


def test_an_audit_forgets_what_ends_meanwhile(server):
    """A connection that is closed between the looks is nobody's loss."""
    number = server.connect()
    server.take_silently(number)
    audit = server.audit()
    server.connections.begin_close(number)
    server.beat()
    assert audit.step(LIVE) == set()
