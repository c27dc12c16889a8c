"""linux.py: the numbers that the kernel gives, checked against what was done to a real connection."""

import os
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fastworker.ipc import linux
from tests.harness import wait_for


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a loopback connection: client, server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield client, server


def readable(connection: socket.socket) -> None:
    """Returns once something has arrived."""
    waiter = select.poll()
    waiter.register(connection, select.POLLIN)
    assert waiter.poll(5000)


def test_a_connection_counts_its_bytes(pair):
    """Both directions, from its first byte on, read or not; acknowledged or not."""
    client, server = pair
    before = linux.tcp_info(server)
    assert (before.received, before.written) == (0, 0)
    client.sendall(b"x" * 1000)
    readable(server)
    server.sendall(b"y" * 70)
    server.sendall(b"y" * 7)
    after = linux.tcp_info(server)
    assert (after.received, after.written) == (1000, 77)
    assert after.idle_ms < 1000


def test_bytes_that_the_client_has_no_room_for_count_as_written(pair):
    """They are in the kernel's hands: nobody may send them again."""
    _, server = pair
    server.setblocking(False)
    total = 0
    with pytest.raises(BlockingIOError):
        while True:
            total += server.send(b"z" * 100_000)
    assert total > 0
    assert linux.tcp_info(server).written == total


def test_unread_bytes_are_those_that_nobody_has_taken(pair):
    """By number, as the supervisor knows its connections."""
    client, server = pair
    assert linux.unread_bytes(server.fileno()) == 0
    client.sendall(b"x" * 300)
    readable(server)
    assert linux.unread_bytes(server.fileno()) == 300
    server.recv(100)
    assert linux.unread_bytes(server.fileno()) == 200


def test_an_entry_of_an_epoll_is_disarmed_from_its_event_to_the_next_arming():
    """Only one-shot entries that have fired; those that wait, and those of another kind, are armed."""
    flags = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
    ours, theirs = socket.socketpair()
    idle, idle_theirs = socket.socketpair()
    with ours, theirs, idle, idle_theirs, select.epoll() as epoll:
        epoll.register(ours, flags)
        epoll.register(idle, flags)
        epoll.register(theirs, select.EPOLLIN)
        assert linux.disarmed(epoll.fileno()) == set()
        theirs.send(b"x")
        assert linux.disarmed(epoll.fileno()) == set()
        assert [number for number, _ in epoll.poll(1, 1)] == [ours.fileno()]
        assert linux.disarmed(epoll.fileno()) == {ours.fileno()}
        epoll.modify(ours, flags)
        assert linux.disarmed(epoll.fileno()) == set()


def test_resident_bytes_are_those_of_a_process():
    """Ours are many; a process that is gone has none."""
    assert linux.resident_bytes(os.getpid()) > 5 * 2**20
    assert linux.resident_bytes(2**22 + 1) == 0  # beyond the largest pid there can be


def test_the_descriptor_limit_is_what_the_kernel_then_says(monkeypatch):
    """The soft limit becomes the hard one; where that is endless, a number all the same."""
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    assert linux.raise_descriptor_limit() == 4096
    assert limits[-1] == (4096, 4096)
    assert linux.raise_descriptor_limit() == 4096
    assert len(limits) == 2
    limits.append((1024, resource.RLIM_INFINITY))
    assert linux.raise_descriptor_limit() == 1 << 20
    assert limits[-1] == (1 << 20, 1 << 20)


def test_pipes_are_known_by_what_they_are():
    """Both ends under one inode; files and sockets are none."""
    before = linux.open_pipes()
    ends = os.pipe()
    try:
        new = {pipe: fds for pipe, fds in linux.open_pipes().items() if pipe not in before}
        assert new == {os.fstat(ends[0]).st_ino: sorted(ends)}
    finally:
        for end in ends:
            os.close(end)


def test_a_descriptor_above_the_limit_leaves_the_limit_as_it_is():
    """What the app or the operator has set is what programs that a handler starts will find."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    file = os.memfd_create("file")
    linux.lower_descriptor_limit(700)
    try:
        above = linux.duplicate_at(file, 800)
        another = linux.duplicate_at(file, 800)
        below = linux.duplicate_at(file, 600)
        assert linux.soft_descriptor_limit() == 700
    finally:
        linux.lower_descriptor_limit(before[0])
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    assert (above, another, below) == (800, 801, 600)
    for fd in (above, another, below):
        assert not os.get_inheritable(fd)
    for fd in (file, above, another, below):
        os.close(fd)


@pytest.mark.parametrize("closed", [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_standard_descriptors_that_were_closed_lead_nowhere(closed):
    """The others stay what they are; what is opened next has another number."""
    code = f"""
import os
from fastworker.ipc import linux
from tests.harness import wait_for
marks = [os.dup(number) for number in range(3)]
closed = {closed}
for number in closed:
    os.close(number)
linux.keep_streams_taken()
for number in range(3):
    expected = os.stat(os.devnull) if number in closed else os.fstat(marks[number])
    assert os.path.samestat(os.fstat(number), expected), number
assert os.open(os.devnull, os.O_RDONLY) > 2
os._exit(5)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, stdin=subprocess.PIPE, capture_output=True)
    assert done.returncode == 5, done.stderr


def test_a_process_that_wants_a_cpu_and_has_none_is_counted_as_queued():
    """Two that compute on one CPU: what one of them runs the other one waits."""
    one_cpu = sorted(os.sched_getaffinity(0))[:1]
    code = (
        f"import os, time; os.sched_setaffinity(0, {one_cpu}); end = time.monotonic() + 10\n"
        "while time.monotonic() < end: pass"
    )
    rivals = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        wait_for(lambda: all(linux.queued_seconds(rival.pid) > 0.05 for rival in rivals), "both to have waited")
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()
    assert linux.queued_seconds(rivals[0].pid) == 0


def test_memory_is_kept_where_the_c_library_can_and_nobody_has_decided(monkeypatch):
    """Both thresholds, and neither where a variable of glibc's is set."""
    told = []
    monkeypatch.setattr(linux._libc, "mallopt", lambda *pair: told.append(pair), raising=False)
    for name in linux.MALLOC_VARIABLES:
        linux.keep_freed_memory({name: "1"})
    assert told == []
    linux.keep_freed_memory({})
    assert told == [(linux.M_TRIM_THRESHOLD, linux.KEPT), (linux.M_MMAP_THRESHOLD, linux.KEPT // 2)]
