"""Bytes onto stdout and stderr of the server, which other processes share and whose reader may stand still.

Used by logs.py for every line, and by what `print` writes. What gets no room within `PATIENCE_S` is dropped and
counted, and the count goes out with the next piece that gets through.
Rule: no write blocks without limit, none raises, and none changes the descriptor: its flags belong to all who share it.
"""

import errno
import os
import select
import socket
import stat
import time
from typing import Final

# How long a process waits for a reader that stands still; after that not at all, until it reads again.
PATIENCE_S: Final = 1.0
# The same for one that reads, but slowly, from the first byte of a piece to its last.
LONGEST_S: Final = 10.0
# What a pipe takes whole or not at all (pipe(7)).
ATOMIC: Final = select.PIPE_BUF
NEW_LINE: Final = 10
# The kernel or the file cannot write without waiting: another way has to be found.
UNABLE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE})


class _Output:
    """What one descriptor still owes its reader."""

    __slots__ = ("dropped", "in_line", "stalled")

    def __init__(self) -> None:
        self.dropped = 0  # lines, since the last that was told
        self.in_line = False  # the last byte that went out did not end a line
        self.stalled = False  # nobody reads: the patience of this process is used up


_outputs: Final[dict[int, _Output]] = {}
# The process that must not wait at all. Its children, which are other processes, may.
_impatient_pid = 0


def never_wait() -> None:
    """This process drops at once what gets no room: the supervisor, which everything waits for."""
    global _impatient_pid  # noqa: PLW0603 - a fact of the process
    _impatient_pid = os.getpid()


def write(fd: int, data: bytes) -> None:
    """Write `data`, or drop it (or its rest) and count its lines. Never raises OSError."""
    output = _outputs.get(fd)
    if output is None:
        output = _outputs[fd] = _Output()
    notice = b""
    if output.dropped:
        # What is missing is told where it is missing, and only together with what has room again.
        end = b"\n" if output.in_line else b""
        notice = b'%bWARNING output.dropped lines=%d reason="nobody read the output"\n' % (end, output.dropped)
        data = notice + data
    sent = _write_now(fd, data)
    if sent < 0:  # whoever reads is gone, or the disk is full: nobody will ask for what is missing
        output.dropped = 0
        return
    if sent:
        output.in_line = data[sent - 1] != NEW_LINE
    if sent == len(data):
        output.dropped = 0
        output.stalled = False
        return
    if sent >= len(notice):
        output.dropped = 0
    _write_rest(fd, data[max(sent, len(notice)) :], output)


def _write_rest(fd: int, rest: bytes, output: _Output) -> None:
    """Wait for room as long as this process has patience."""
    if not output.stalled and _impatient_pid != os.getpid():
        now = time.monotonic()
        until, last = now + PATIENCE_S, now + LONGEST_S
        while (now := time.monotonic()) < min(until, last):
            _wait(fd, until - now)
            sent = _write_now(fd, rest)
            if sent < 0:
                return
            if sent:
                output.in_line = rest[sent - 1] != NEW_LINE
                rest = rest[sent:]
                until = now + PATIENCE_S
                if not rest:
                    return
    output.stalled = True
    output.dropped += _lines(rest)


def _lines(data: bytes) -> int:
    return data.count(b"\n") or 1


def _wait(fd: int, seconds: float) -> None:
    waiter = select.poll()
    waiter.register(fd, select.POLLOUT)
    waiter.poll(seconds * 1000)


def _write_now(fd: int, data: bytes) -> int:
    """How many bytes went out without waiting; 0 if there is no room, -1 if there never will be."""
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return os.write(fd, data)
        try:
            return os.pwritev(fd, [data], -1, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno not in UNABLE:
                raise
        return _write_otherwise(fd, data, mode)
    except BlockingIOError:
        return 0
    except OSError:
        return -1


def _write_otherwise(fd: int, data: bytes, mode: int) -> int:
    """For kernels before 6.4, whose pipes, sockets and terminals know no single write that does not wait."""
    if stat.S_ISSOCK(mode):
        if socket.getdefaulttimeout() is None:  # else Python would change the flags of the descriptor
            with socket.socket(fileno=os.dup(fd)) as connection:
                return connection.send(data, socket.MSG_DONTWAIT)
    else:
        try:
            # The same pipe with flags of its own.
            own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            pass  # no /proc, no descriptor left, or somebody else's pipe
        else:
            try:
                return os.write(own, data)
            finally:
                os.close(own)
    waiter = select.poll()
    waiter.register(fd, select.POLLOUT)
    if not waiter.poll(0):
        return 0
    return os.write(fd, data[:ATOMIC])
