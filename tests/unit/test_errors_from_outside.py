"""What the kernel may say to the supervisor, the warden and the zygote: the rows of the table in docs/design.md.

Each row injects the error where it would come, and checks what becomes of it: never the end of the server.
"""

import errno
import fcntl
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastworker.ipc import control, linux
from fastworker.ipc.board import Board
from fastworker.ipc.connections import Connections, Range
from fastworker.ipc.control import PACKET_BAD, PASSING, PEER_GONE, ControlSocket, FromWorker, StrayMessage
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.processes import Process
from fastworker.ipc.seat import Seat
from fastworker.ipc.stack_dump import StackDumps
from fastworker.settings import Settings
from fastworker.supervisor import acceptor as acceptor_module
from fastworker.supervisor import crash_recovery as rescue
from fastworker.supervisor import workers, zygotes
from fastworker.supervisor.acceptor import OF_ONE_CLIENT, Acceptor
from fastworker.supervisor.crash_recovery import Rescue
from fastworker.supervisor.crash_rules import Death
from fastworker.supervisor.totals import Totals
from fastworker.supervisor.workers import Worker, Workers
from fastworker.supervisor.zygotes import Zygotes

NUMBERS = Range(720, 8)
EVERY = sorted(errno.errorcode)
# What Python makes a BlockingIOError of.
NOTHING_THERE = (errno.EAGAIN, errno.EALREADY, errno.EINPROGRESS)


def failing(code: int) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return call


class Loop:
    """Remembers what is to be called; nothing here turns."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}
        self.later: list[tuple[float, Any]] = []
        self.stopped = False

    def add_reader(self, fd: int, callback: Any, *arguments: Any) -> None:
        self.readers[fd] = (callback, arguments)

    def remove_reader(self, fd: int) -> bool:
        return self.readers.pop(fd, None) is not None

    def call_later(self, seconds: float, callback: Any, *arguments: Any) -> None:
        self.later.append((seconds, callback))

    def stop(self) -> None:
        self.stopped = True


class Listener:
    """accept(2) fails as often as `codes` say; then nobody is there."""

    def __init__(self, *codes: int) -> None:
        self.codes = [*codes]

    def accept(self) -> Any:
        code = self.codes.pop(0) if self.codes else errno.EAGAIN
        raise OSError(code, os.strerror(code))

    def fileno(self) -> int:
        return 3

    def setblocking(self, _: bool) -> None:
        pass


class Half:
    """The supervisor's half of the connections, with a real epoll and real clients."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.shared = select.epoll()
        self.board = Board(2, NUMBERS.first, NUMBERS.size)
        self.connections = Connections(self.shared, NUMBERS)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.clients: list[socket.socket] = []
        self.told: list[tuple[int, control.AnyMessage]] = []
        self.pictures = StackDumps()
        self.acceptor = self.acceptor_of(self.listener)
        inherited = Inherited(self.shared, self.board, self.pictures)
        self.rescue = Rescue(inherited, self.connections, self.acceptor, Totals(self.board))

    def acceptor_of(self, listener: Any) -> Acceptor:
        tell = lambda slot, message: self.told.append((slot, message))  # noqa: E731
        return Acceptor(self.loop, listener, self.connections, self.board, tell)  # type: ignore[arg-type]

    def connect(self) -> int:
        self.clients.append(socket.create_connection(self.listener.getsockname()))
        select.select([self.listener], [], [], 5)
        self.acceptor._accept()
        return max(self.connections.open_numbers(), default=0)

    def close(self) -> None:
        self.connections.close_all()
        for client in self.clients:
            client.close()
        self.listener.close()
        self.shared.close()
        os.close(self.pictures.read_fd)
        os.close(self.pictures.write_fd)


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Iterator[Half]:
    for module in (acceptor_module, rescue, workers, zygotes):
        for level in ("warning", "error"):
            monkeypatch.setattr(module.log, level, lambda *_, **__: None)
    half = Half()
    yield half
    half.close()


class Epoll:
    """The shared epoll, with one call that fails."""

    def __init__(self, shared: select.epoll, call: str, code: int) -> None:
        self._shared = shared
        setattr(self, call, failing(code))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shared, name)


# -- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", EVERY)
def test_no_error_of_accept_ends_the_server(half, code):
    """It is one client's, and the next is looked at; or it is the machine's, and accepting pauses."""
    listener = Listener(code)
    acceptor = half.acceptor_of(listener)
    acceptor._accept()
    assert listener.codes == []
    paused = [callback for _, callback in half.loop.later]
    assert paused == ([] if code in (*OF_ONE_CLIENT, *NOTHING_THERE) else [acceptor.start])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOMEM, errno.EPERM, errno.EEXIST])
def test_a_connection_that_the_epoll_does_not_take_is_closed(half, code):
    """The client hears it at once; whoever comes next waits in the backlog for a moment."""
    half.connections._shared = Epoll(half.shared, "register", code)
    half.connect()
    assert half.connections.open_numbers() == []
    assert half.clients[0].recv(1) == b""
    assert len(half.loop.later) == 1


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EINVAL, errno.EBADF])
def test_a_connection_that_gets_no_number_is_closed(half, code, monkeypatch):
    """Somebody has lowered the limit of open files, perhaps."""
    monkeypatch.setattr(fcntl, "fcntl", failing(code))
    half.connect()
    assert half.connections.open_numbers() == []
    assert len(half.loop.later) == 1


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOMEM, errno.EBADF])
def test_a_dead_workers_connection_that_cannot_be_armed_is_closed(half, code):
    """Nobody would ever hear of it again."""
    number = half.connect()
    seat = Seat(half.board, 1, 4711)
    seat.take(number, 1 << 60)
    half.clients[0].sendall(b"x")
    select.select([half.connections.get(number)], [], [], 5)
    half.connections._shared = Epoll(half.shared, "modify", code)
    half.rescue.settle(number, Death("its worker died"))
    assert half.board.owner(number) is None
    assert half.connections.open_numbers() == []


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EBADF, errno.ENOMEM])
def test_a_connection_that_is_not_in_the_epoll_any_more_can_still_be_closed(half, code):
    """An app may take anything out of the epoll, which it shares."""
    number = half.connect()
    half.connections._shared = Epoll(half.shared, "unregister", code)
    half.acceptor.close(number, linger=False)
    assert half.clients[0].recv(1) == b""
    assert len(half.connections) == 0


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM])
@pytest.mark.parametrize("call", ["unread_bytes", "tcp_info"])
def test_a_dead_workers_connection_of_which_nothing_can_be_known_is_closed(half, call, code, monkeypatch):
    """To answer without knowing what is out already could be a second answer."""
    number = half.connect()
    Seat(half.board, 1, 4711).take(number, 1 << 60)
    monkeypatch.setattr(linux, call, failing(code))
    half.rescue.settle(number, Death("its worker died"))
    assert half.connections.open_numbers() == []


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_an_audit_that_cannot_read_the_epoll_is_made_later(half, code, monkeypatch):
    """Nothing is forgotten meanwhile: what is nobody's is found once it can be read."""
    number = half.connect()
    half.clients[0].sendall(b"x")
    assert half.shared.poll(5, 1)
    readable = linux.disarmed
    monkeypatch.setattr(linux, "disarmed", failing(code))
    half.rescue.begin_audit([])
    half.rescue.go_on([])
    monkeypatch.setattr(linux, "disarmed", readable)
    for _ in range(4):
        half.rescue.go_on([])
    assert half.shared.poll(5, 1) == [(number, select.EPOLLIN)]


@pytest.mark.parametrize("free", [-1, 0, 5, NUMBERS.first - 1, NUMBERS.first + NUMBERS.size, 1 << 70])
def test_a_connection_is_moved_only_to_a_number_of_connections(half, free):
    """A worker says what is free, and it may say anything."""
    number = half.connect()
    assert half.connections.move(number, 0, free) is None
    assert half.connections.open_numbers() == [number]


# -- control sockets -------------------------------------------------------------------------------------------------


class Wire:
    """A control socket's socket, whose calls fail."""

    def __init__(self, *codes: int) -> None:
        self.codes = [*codes]
        self.sent: list[bytes] = []

    def setblocking(self, _: bool) -> None:
        pass

    def sendmsg(self, buffers: list[bytes], _: Any) -> None:
        if self.codes:
            failing(self.codes.pop(0))()
        self.sent += buffers

    def recvmsg(self, *_: Any) -> Any:
        failing(self.codes.pop(0))()


@pytest.mark.parametrize("code", EVERY)
def test_a_message_that_cannot_be_sent_now_is_sent_later(code):
    """Whatever hinders it, but for the peer's end and a packet that can never be sent."""
    wire = Wire(code)
    end = ControlSocket(wire)  # type: ignore[arg-type]
    end.send(control.Retire())
    first = len(wire.sent)
    end.flush()
    end.send(control.Gone(1))
    if code in PEER_GONE or code in PACKET_BAD:
        assert (first, len(wire.sent)) == (0, 1)
    else:
        assert (first, len(wire.sent)) == (0, 2)
    assert end.backlog == 0


@pytest.mark.parametrize("code", EVERY)
def test_receiving_says_nothing_there_or_nobody_there(code):
    """No other exception comes out of it."""
    end = ControlSocket(Wire(code))  # type: ignore[arg-type]
    with pytest.raises(BlockingIOError if code in (*PASSING, *NOTHING_THERE) else EOFError):
        end.receive()


STRAY = [b"hello", b"\0", b"\xc1", b"\x81\xa4type\xa5Nobdy", b"x" * 60_000, b"\xde\xff\xff", b"\x92\x01"]


@pytest.mark.parametrize("packet", [*STRAY, control._encoder.encode(control.Exited(1, 2, 3))])
def test_what_is_no_message_of_a_workers_costs_that_worker_only(half, packet):
    """Any bytes, and messages that only others may send."""
    ours, theirs = control.control_pair()
    killed: list[int] = []
    book = Workers(half.loop, half.board, None, failing(1), failing(1), failing(1))  # type: ignore[arg-type]
    worker = book._workers[0] = Worker(0, 0, ControlSocket(ours, FromWorker))
    worker.process = Process(1 << 22, None)
    half.loop.add_reader(ours.fileno(), None)
    worker.process.signal = killed.append  # type: ignore[method-assign, assignment]
    theirs.send(packet)
    book.hear(worker)
    assert killed == [9]
    assert worker.death is not None
    assert "wrote into" in worker.death.detail
    assert half.loop.readers.keys() & {ours.fileno()} == set()
    ours.close()
    theirs.close()


def test_a_stray_message_is_told_with_its_beginning():
    """So that whoever wrote it may know it again."""
    ours, theirs = control.control_pair()
    theirs.send(b"hello")
    end = ControlSocket(ours, FromWorker)
    with pytest.raises(StrayMessage, match="5 bytes: b'hello'"):
        end.receive()
    end.close()
    theirs.close()


# -- processes -------------------------------------------------------------------------------------------------------


def zygotes_of(half: Half) -> tuple[Zygotes, list[tuple[int, str, bool]]]:
    gone: list[tuple[int, str, bool]] = []
    inherited = Inherited(half.shared, half.board, half.pictures)
    tell = lambda *facts: gone.append(facts)  # noqa: E731
    return Zygotes(inherited, Settings(port=0), 1024, failing(1), lambda *_: None, tell), gone  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOMEM, errno.ENOSYS, errno.EPERM])
def test_a_warden_that_cannot_be_forked_leaves_nothing_open(half, code, monkeypatch):
    """The supervisor tries again; each try would cost two descriptors."""
    family, _ = zygotes_of(half)
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", failing(code))
    with pytest.raises(OSError, match=os.strerror(code)):
        family.fork_warden()
    assert os.listdir("/proc/self/fd") == before
    assert not family.has_warden


def warden_of(half: Half, family: Zygotes) -> ControlSocket:
    """The supervisor's side believes that it has forked one; here is its end."""
    ours, theirs = control.control_pair()
    family._control = ControlSocket(ours, control.FromWarden)
    family._warden = Process(1 << 22, None)
    family.watch(half.loop)  # type: ignore[arg-type]
    return ControlSocket(theirs, control.ToWarden)


def test_a_zygote_that_cannot_be_forked_is_told_as_unborn(half):
    """So that a reload keeps the code from before, and a start is tried again."""
    family, gone = zygotes_of(half)
    warden = warden_of(half, family)
    family.start(7)
    message, fd = warden.receive()
    assert message == control.ForkZygote(7)
    assert fd is not None
    os.close(fd)
    warden.send(control.ZygoteFailed(7, "no memory"))
    family._hear_warden()
    assert gone == [(7, "cannot be forked: no memory", True)]
    warden.close()
    family.stop_all()
    family.end_warden()


def test_a_warden_that_ends_takes_its_unborn_along_and_another_is_wanted(half):
    """What is asked meanwhile waits for the next one."""
    family, gone = zygotes_of(half)
    warden = warden_of(half, family)
    family.start(0)
    warden.close()
    family._hear_warden()
    assert gone == [(0, "its parent ended before it was forked", False)]
    assert not family.has_warden
    assert half.loop.stopped
    family.start(1)
    following = warden_of(half, family)
    message, fd = following.receive()
    assert message == control.ForkZygote(1)
    os.close(fd or 0)
    following.close()
    family.stop_all()
    family.end_warden()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_socketpair_that_cannot_be_made_is_the_callers_to_deal_with(half, code, monkeypatch):
    """A zygote is unborn then, and a worker a failed start; see supervisor/run.py."""
    family, _ = zygotes_of(half)
    warden = warden_of(half, family)
    monkeypatch.setattr(zygotes, "control_pair", failing(code))
    monkeypatch.setattr(workers, "control_pair", failing(code))
    with pytest.raises(OSError, match=os.strerror(code)):
        family.start(0)
    book = Workers(half.loop, half.board, family, failing(1), failing(1), failing(1))  # type: ignore[arg-type]
    with pytest.raises(OSError, match=os.strerror(code)):
        book.fork(0, 0)
    assert book.slots() == []
    warden.close()
    family.stop_all()
    family.end_warden()


@pytest.mark.parametrize("pidfd", [True, False])
@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.ESRCH])
def test_a_signal_that_cannot_be_sent_is_no_error(code, pidfd, monkeypatch):
    """Its target has ended, or has become somebody else's by a set-uid program."""
    monkeypatch.setattr("fastworker.ipc.processes.os.kill", failing(code))
    monkeypatch.setattr("fastworker.ipc.processes.os.killpg", failing(code))
    monkeypatch.setattr("fastworker.ipc.processes.signal.pidfd_send_signal", failing(code))
    process = Process(os.getpid(), os.pidfd_open(os.getpid()) if pidfd else None)
    process.signal(15)
    process.kill_group()
    assert not process.ended
    assert process.status() is None
    process.close()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM, errno.EMFILE])
def test_a_process_without_a_pidfd_is_known_by_its_pid(code, monkeypatch):
    """An old kernel, or a filter of system calls: slower to notice, and otherwise the same."""
    monkeypatch.setattr("fastworker.ipc.processes.os.pidfd_open", failing(code))
    process = Process.of_child(os.getpid())
    assert process.fileno() is None
    assert not process.ended
    assert Process.of_child(1 << 22).ended


def test_a_worker_that_floods_us_is_heard_by_turns_and_one_that_reads_nothing_is_ended(half, monkeypatch):
    """Neither the time nor the memory of the supervisor is a worker's to take."""
    monkeypatch.setattr(workers, "HEARD_AT_ONCE", 8)
    monkeypatch.setattr(workers, "MOST_UNREAD", 20)
    ours, theirs = control.control_pair()
    heard: list[control.AnyMessage] = []

    def answer(worker: Worker, message: control.AnyMessage) -> None:
        heard.append(message)
        while worker.control.backlog <= len(heard):  # an answer for each, once its socket is full
            worker.control.send(control.Gone(1))

    book = Workers(half.loop, half.board, None, answer, failing(1), failing(1))  # type: ignore[arg-type]
    worker = book._workers[0] = Worker(0, 0, ControlSocket(ours, FromWorker))
    half.loop.add_reader(ours.fileno(), None)
    for _ in range(60):
        theirs.send(control._encoder.encode(control.Want(1)))
    book.hear(worker, most=8)
    assert len(heard) == 8
    assert worker.death is None
    for _ in range(8):
        book.hear(worker, most=8)
    assert 20 <= len(heard) <= 22
    assert worker.death is not None
    ours.close()
    theirs.close()
