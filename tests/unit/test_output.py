"""Writing where nobody reads: bounded, counted, and without touching the descriptor."""

import errno
import fcntl
import os
import socket
import time

import pytest

from fastworker import output


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(output, "_outputs", {})
    monkeypatch.setattr(output, "_impatient_pid", 0)
    monkeypatch.setattr(output, "PATIENCE_S", 0.05)


@pytest.fixture(params=["pipe", "socket", "old kernel, pipe", "old kernel, socket", "old kernel, no /proc"])
def channel(request, monkeypatch):
    """A reading and a writing end."""
    if "old" in request.param:

        def unable(*_):
            raise OSError(errno.EOPNOTSUPP, "")

        monkeypatch.setattr(os, "pwritev", unable)
    if "/proc" in request.param:
        original = os.open

        def no_proc(path, *rest):
            if str(path).startswith("/proc"):
                raise OSError(errno.ENOENT, "")
            return original(path, *rest)

        monkeypatch.setattr(os, "open", no_proc)
    if "socket" in request.param:
        ours, theirs = socket.socketpair()
        ends = (ours.detach(), theirs.detach())
    else:
        ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def everything(fd):
    """What can be read now."""
    os.set_blocking(fd, False)
    data = b""
    try:
        while piece := os.read(fd, 1 << 20):
            data += piece
    except BlockingIOError:
        pass
    return data


def test_lines_arrive_whole_and_in_order(channel):
    """The usual case; and nothing is told."""
    for i in range(100):
        output.write(channel[1], b"line %d\n" % i)
    assert everything(channel[0]).splitlines() == [b"line %d" % i for i in range(100)]


def test_what_has_no_room_is_counted_and_told_later(channel):
    """Every line arrived, or is in the count; the reader's end of a cut line is ended; flags stay as they are."""
    before = fcntl.fcntl(channel[1], fcntl.F_GETFL)
    began = time.monotonic()
    for i in range(3000):
        output.write(channel[1], b"%d %s\n" % (i, b"x" * 300))
    assert time.monotonic() - began < 5
    got = everything(channel[0])
    output.write(channel[1], b"again\n")
    output.write(channel[1], b"and again\n")
    rest = everything(channel[0])
    told = [line for line in rest.splitlines() if b"output.dropped" in line]
    assert len(told) == 1
    count = int(told[0].partition(b"lines=")[2].split()[0])
    whole = [line for line in got.splitlines() if line.endswith(b"x" * 300)]
    assert len(whole) + count == 3000
    assert rest.endswith(b"\nagain\nand again\n")
    assert fcntl.fcntl(channel[1], fcntl.F_GETFL) == before


def test_the_patience_is_for_a_reader_and_not_for_a_line(channel, monkeypatch):
    """A process waits once for a reader that stands still; and the supervisor never."""
    waits = []
    monkeypatch.setattr(output, "_wait", lambda fd, seconds: waits.append(seconds) or time.sleep(seconds))
    for _ in range(3000):
        output.write(channel[1], b"x" * 500 + b"\n")
    assert len(waits) in (1, 2)
    everything(channel[0])
    output.never_wait()
    for _ in range(3000):
        output.write(channel[1], b"x" * 500 + b"\n")
    assert len(waits) in (1, 2)


def test_a_reader_that_comes_back_loses_nothing(channel):
    """A line larger than the channel goes on when there is room."""
    import threading  # noqa: PLC0415 - only here

    read = []
    size = 1 << 20
    reader = threading.Thread(target=lambda: read.extend(iter_all(channel[0], size + 1)))
    reader.start()
    output.write(channel[1], b"y" * size + b"\n")
    reader.join(10)
    assert sum(map(len, read)) == size + 1


def iter_all(fd, size):
    while size > 0:
        piece = os.read(fd, 65536)
        size -= len(piece)
        yield piece


def test_nobody_who_reads_and_nothing_that_takes_it(tmp_path):
    """A closed pipe, a closed descriptor, a full disk: silence, and no count that nobody will hear."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    output.write(write_end, b"x\n")
    os.close(write_end)
    output.write(write_end, b"x\n")
    full = os.open("/dev/full", os.O_WRONLY)
    output.write(full, b"x\n")
    os.close(full)
    assert sum(each.dropped for each in output._outputs.values()) == 0
    with (tmp_path / "file").open("wb", buffering=0) as file:
        output.write(file.fileno(), b"to a file\n")
    assert (tmp_path / "file").read_bytes() == b"to a file\n"
