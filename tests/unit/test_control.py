"""control.py: messages over a real socket pair, descriptors, full and dead peers."""

import os
from collections.abc import Iterator

import pytest

from fastworker.ipc import control
from fastworker.ipc.control import CAUSE_LIMIT, ControlSocket, control_pair

MESSAGES = [
    control.ForkWorker(3),
    control.AppReady(["order", "crunch"]),
    control.AppFailed(3, "no\nsuch module"),
    control.Forked(3, 4711),
    control.Exited(3, 4711, 139),
    control.WorkerReady(4711),
    control.WorkerFailed(3, "the start hook failed"),
    control.Want(10_000),
    control.Dropped(10_000),
    control.CloseConnection(10_000, True),
    control.Hold(10_000),
    control.Gone(10_000),
    control.Drop(10_000),
    control.Retire(),
]


@pytest.fixture
def ends() -> Iterator[tuple[ControlSocket, ControlSocket]]:
    ours, theirs = map(ControlSocket, control_pair())
    yield ours, theirs
    ours.close()
    theirs.close()


def received(end: ControlSocket) -> list[control.AnyMessage]:
    """Everything that is there now."""
    found = []
    while True:
        try:
            found.append(end.receive()[0])
        except BlockingIOError:
            return found


def test_every_message_arrives_as_it_was_sent(ends):
    """One packet each, in order, as the class it was."""
    ours, theirs = ends
    for message in MESSAGES:
        ours.send(message)
    found = received(theirs)
    assert found == MESSAGES
    assert [type(message) for message in found] == [type(message) for message in MESSAGES]


def test_nothing_is_there_until_something_is_sent(ends):
    """receive never blocks; wait tells when it is worth asking."""
    ours, theirs = ends
    with pytest.raises(BlockingIOError):
        theirs.receive()
    assert not theirs.wait(0)
    ours.send(control.Retire())
    assert theirs.wait(0)


def test_a_descriptor_rides_along(ends):
    """It is the same open file under a number of the receiver's, which a program started there does not inherit."""
    ours, theirs = ends
    read, write = os.pipe()
    ours.send(control.Hold(10_000), write)
    os.close(write)
    message, fd = theirs.receive()
    assert message == control.Hold(10_000)
    assert fd is not None
    assert not os.get_inheritable(fd)
    os.write(fd, b"through")
    os.close(fd)
    assert os.read(read, 10) == b"through"
    os.close(read)
    ours.send(control.Gone(1))
    assert theirs.receive() == (control.Gone(1), None)


def test_a_full_peer_is_queued_for_and_loses_nothing(ends):
    """More than the socket holds; order and descriptors survive until flush finds room."""
    ours, theirs = ends
    marker = os.memfd_create("marker")
    for number in range(2000):
        ours.send(control.Want(number), marker if number == 1999 else None)
    assert ours.backlog > 0
    found = received(theirs)
    while ours.backlog:
        ours.flush()
        while True:
            try:
                message, fd = theirs.receive()
            except BlockingIOError:
                break
            found.append(message)
    assert found == [control.Want(number) for number in range(2000)]
    assert fd is not None
    assert os.fstat(fd).st_ino == os.fstat(marker).st_ino
    os.close(fd)
    os.close(marker)


def test_a_dead_peer_is_an_end_of_file(ends):
    """Sending to it is no error, for its end is on the way; what it had said can still be read."""
    ours, theirs = ends
    theirs.send(control.WorkerReady(4711))
    theirs.close()
    ours.send(control.Retire())
    ours.send(control.Retire())
    assert ours.backlog == 0
    assert ours.wait(0)
    assert ours.receive() == (control.WorkerReady(4711), None)
    with pytest.raises(EOFError):
        ours.receive()


def test_a_peer_that_died_with_mail_unread_is_an_end_of_file(ends):
    """The kernel says ECONNRESET then, once."""
    ours, theirs = ends
    ours.send(control.Retire())
    theirs.close()
    with pytest.raises(EOFError):
        ours.receive()


def test_an_end_that_came_as_a_descriptor_is_one_like_any_other():
    """The zygote gets a worker's end this way."""
    ours, theirs = control_pair()
    end = ControlSocket.from_fd(os.dup(theirs.fileno()))
    theirs.close()
    supervisor = ControlSocket(ours)
    supervisor.send(control.Drop(5))
    assert end.receive() == (control.Drop(5), None)
    assert not os.get_blocking(end.fileno())
    end.close()
    supervisor.close()


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u65e5", "\U0001f600"])
def test_the_longest_cause_fits_in_one_packet(ends, letter):
    """The cause of a failed import is cut to CAUSE_LIMIT characters by its sender; they may be of any script."""
    ours, theirs = ends
    message = control.AppFailed(3, letter * CAUSE_LIMIT)
    ours.send(message)
    assert theirs.receive() == (message, None)
