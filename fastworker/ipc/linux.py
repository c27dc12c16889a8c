"""The few kernel interfaces that Python has no name for: prctl, TCP_INFO, FIONREAD, an epoll's fdinfo.

Called by supervisor/run.py, zygote/run.py, worker/run.py and connections.py.
Rule: thin; a function here makes one call and gives its numbers a name, and decides nothing.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import socket
import stat
import struct
import termios
from collections.abc import Mapping
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36

# Of mallopt(3). Enough for some copies of a body of 1 MB.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT = 8 * 2**20
MALLOC_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")

# What epoll keeps of a one-shot entry that has fired: its private bits, and none of EPOLLIN and the like.
ARMED_BITS = select.EPOLLIN | select.EPOLLRDHUP


def die_with_parent(parent_pid: int) -> None:
    """SIGKILL for this process when its parent ends; leaves at once if that happened before the call."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def adopt_orphans() -> None:
    """Descendants whose parent died become children of this process, so that it can wait for them."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def keep_freed_memory(environ: Mapping[str, str]) -> None:
    """Memory that is freed stays in this process and in those that it forks, up to KEPT bytes each.

    By default glibc returns what is free beyond some hundred KB, and takes it again, page by page, for the next
    request: of a body of 1 MB that was nine tenths of the cost. Does nothing with another C library, or where the user
    has set one of its variables.
    """
    if any(name in environ for name in MALLOC_VARIABLES):
        return
    with contextlib.suppress(AttributeError):
        _libc.mallopt(M_TRIM_THRESHOLD, KEPT)
        _libc.mallopt(M_MMAP_THRESHOLD, KEPT // 2)


def name_process(name: str) -> None:
    """The name that ps and top show for this process (at most 15 bytes)."""
    _prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def _prctl(option: int, argument: object) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"prctl({option}): {os.strerror(errno)}")


class TcpInfo(NamedTuple):
    """What the kernel knows of a connection: ms since data last came, and bytes in and out since it began."""

    idle_ms: int
    received: int
    written: int


# Of struct tcp_info (linux/tcp.h): last_data_recv, bytes_received, notsent_bytes, bytes_sent, bytes_retrans.
_TCP_INFO = struct.Struct("=52xI72xQ8xI52xQQ")
_SOL_TCP, _TCP_INFO_NAME = socket.IPPROTO_TCP, socket.TCP_INFO


def tcp_info(connection: socket.socket) -> TcpInfo:
    """One getsockopt (1.2 us). `written` counts every byte ever given to the socket, sent or still queued."""
    idle_ms, received, not_sent, sent, resent = _TCP_INFO.unpack_from(
        connection.getsockopt(_SOL_TCP, _TCP_INFO_NAME, _TCP_INFO.size)
    )
    return TcpInfo(idle_ms, received, sent - resent + not_sent)


def queued_seconds(pid: int) -> float:
    """How long the threads of a process have waited for a CPU; 0 when it is gone, or the kernel does not count that."""
    waited_ns = 0
    with contextlib.suppress(OSError, IndexError, ValueError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as schedstat:
                waited_ns += int(schedstat.read().split()[1])
    return waited_ns / 1e9


def cpu_seconds(pid: int) -> float:
    """User and system time of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as status:
            words = status.read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def unread_bytes(fd: int) -> int:
    """Bytes that have arrived on a connection and that nobody has read."""
    answer = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(answer, "little")


def disarmed(epoll_fd: int) -> set[int]:
    """The descriptors in an epoll whose one-shot has fired and that nobody has armed again (proc(5), fdinfo)."""
    found = set()
    with open(f"/proc/self/fdinfo/{epoll_fd}") as lines:
        for line in lines:
            if line.startswith("tfd:"):
                words = line.split()
                if not int(words[3], 16) & ARMED_BITS:
                    found.add(int(words[1]))
    return found


def open_pipes() -> dict[int, list[int]]:
    """The pipes that this process has open: inode -> descriptors."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            status = os.fstat(int(name))
            if stat.S_ISFIFO(status.st_mode):
                found.setdefault(status.st_ino, []).append(int(name))
    return found


def keep_streams_taken() -> None:
    """The numbers 0, 1 and 2 lead nowhere where they are closed: else the next descriptor would be given one of them.

    Whatever is written to stdout or stderr would go into a control socket, or a client's connection.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one


def soft_descriptor_limit() -> int:
    """How many files this process may have open now; programs that it starts inherit that."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def lower_descriptor_limit(soft: int) -> None:
    """Sets the soft limit of open files, the hard one as it is. What is open under higher numbers stays so."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def duplicate_at(fd: int, number: int) -> int:
    """The first free descriptor from `number` on becomes another one for `fd`, whatever the limit of open files is.

    The kernel looks at the limit only when it gives out a number, so it is raised for that moment and no longer:
    programs that a handler starts are to find the limit that the server was started with, or that the app has set.

    Raises:
        OSError, ValueError: the app has lowered the hard limit, too, and this process may not raise it; or no number
            is left.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if number < soft:
        with contextlib.suppress(OSError):  # none is free below the soft limit
            return int(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, number))
    room = max(hard, number + 1)  # beyond a hard limit that the app has lowered, if this process may
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
    try:
        return int(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, number))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def epolls() -> set[int]:
    """The descriptors of this process that are epolls."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists them
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                found.add(int(name))
    return found


def raise_descriptor_limit() -> int:
    """The soft limit of open files becomes the hard one; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 1 << 20)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class MainThread(NamedTuple):
    """How the main thread of a process is: the letter that ps shows, and how often it has been switched out."""

    state: str
    switches: int


def main_thread(pid: int) -> MainThread:
    """What proc(5) tells; an empty state when the process is gone or cannot be looked at."""
    state, switches = "", 0
    with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/status") as lines:
        for line in lines:
            if line.startswith("State:"):
                state = line.split()[1]
            elif "ctxt_switches:" in line:
                switches += int(line.split()[1])
    return MainThread(state, switches)


def resident_bytes(pid: int) -> int:
    """The resident set of a process, shared pages included; 0 when it is gone."""
    try:
        fd = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)  # a file object is four system calls more
        try:
            return int(os.read(fd, 256).split()[1]) * resource.getpagesize()
        finally:
            os.close(fd)
    except (OSError, IndexError):
        return 0
