"""Processes as the supervisor handles them: what a child must shed, how one is ended, how one has ended.

Called by supervisor/run.py, zygotes.py, warden.py and zygote/run.py.
Rule: nothing here waits, and no signal reaches a process that is not meant: a pid may be another's a moment after its
process has been waited for, a pidfd never is.
"""

import contextlib
import os
import select
import signal
from collections.abc import Container
from pathlib import Path

from fastworker.ipc import linux

# Of pidfd_send_signal(2), since Linux 6.9: the signal goes to the process group that the process leads.
PIDFD_SIGNAL_PROCESS_GROUP = 4
# What an operator may send to the supervisor.
OPERATORS_SIGNALS = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1),
    *(signal.SIGTTIN, signal.SIGTTOU),
)
# Ignored by every Python, which restores them in what subprocess starts.
PYTHONS_OWN = {signal.SIGPIPE, signal.SIGXFSZ}


def own_signals() -> None:
    """Sets the mask and the dispositions that a server relies on.

    A parent may have blocked or ignored any signal, and both go through exec(2) into all that is started from here.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, *PYTHONS_OWN}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def shed_supervisor(pipes_before: Container[int], soft_limit: int, *keep: int) -> None:
    """In a fresh warden: of the supervisor's descriptors only `keep`, none of its signal handlers, and its old limit.

    `pipes_before` are the pipes that the supervisor had before the fork. libuv makes a new one in every forked
    process, and closes it by its numbers in every process forked from there: they must stay what libuv takes them
    for, or the app is given these numbers and loses its files at each worker's fork.
    """
    signal.set_wakeup_fd(-1)
    for number in OPERATORS_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    libuvs = [fd for pipe, ends in linux.open_pipes().items() if pipe not in pipes_before for fd in ends]
    low = 3
    for fd in sorted([*keep, *libuvs]):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, linux.raise_descriptor_limit())
    linux.lower_descriptor_limit(soft_limit)


class Process:
    """One process: signalled, and known to have ended, whoever its parent is and whether or not that one tells.

    `pidfd` is ours from now on. Without one (an old kernel, a filter of system calls, no descriptor free) all works by
    the pid, for as long as the parent has not said that it is gone.
    """

    def __init__(self, pid: int, pidfd: int | None) -> None:
        self.pid = pid
        self._pidfd = pidfd

    @classmethod
    def of_child(cls, pid: int) -> "Process":
        """A child of this process that has not been waited for: its pid cannot be another's yet."""
        return cls(pid, open_pidfd(pid))

    def fileno(self) -> int | None:
        """Readable once the process has ended; None if that cannot be watched so."""
        return self._pidfd

    @property
    def ended(self) -> bool:
        """It runs no more, be it waited for or not."""
        if self._pidfd is None:
            return _state(self.pid) in ("Z", "X", "")
        waiter = select.poll()
        waiter.register(self._pidfd, select.POLLIN)
        return bool(waiter.poll(0))

    def status(self) -> int | None:
        """As waitpid(2) would tell it, while its parent has not called that; None afterwards, and while it runs."""
        if not self._is_unreaped():
            return None
        try:
            words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return int(words[49]) if words[0] in "ZX" and self._is_unreaped() else None

    def signal(self, number: int) -> None:
        """Sends it, unless the process has ended, or runs as somebody whom we may send nothing."""
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return
            except OSError:
                pass  # not allowed: by its user, or by a filter that knows only older calls
            else:
                return
        if self._is_unreaped():
            with contextlib.suppress(OSError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kills it, and what it has started in the process group that it leads."""
        self.signal(signal.SIGKILL)
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL, None, PIDFD_SIGNAL_PROCESS_GROUP)
            except ProcessLookupError:
                return  # nobody is left there
            except OSError:
                pass  # a kernel or a filter that does not know the flag, or nobody whom we may kill
            else:
                return
        if self._is_unreaped():
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Forgets it."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _is_unreaped(self) -> bool:
        """Its pid is still its own."""
        if self._pidfd is None:
            return _state(self.pid) != ""
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/self/fdinfo/{self._pidfd}").read_text().splitlines():
                if line.startswith("Pid:"):
                    return int(line.split()[1]) > 0
        return False


def open_pidfd(pid: int) -> int | None:
    """A pidfd of a process that is our parent, ourselves or our child; None where that cannot be had."""
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None


def parent_of(pid: int) -> int:
    """0 if there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def children_of(pid: int) -> list[int]:
    """The processes whose parent is `pid`, those that have ended and are not waited for included."""
    return [found for found, parent, _ in _all() if parent == pid]


def kill(pid: int) -> None:
    """Only of a child that has not been waited for, or of one in a group whose leader has not: no other has its pid."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def end_group(leader: int) -> None:
    """Kills what is left of the process group of `leader`, which has ended and is not yet waited for."""
    with contextlib.suppress(OSError):
        for pid, _, group in _all():
            if group == leader and pid != leader and not is_tracker(pid):
                kill(pid)


def is_tracker(pid: int) -> bool:
    """Whether it is a resource tracker (multiprocessing's, loky's), which removes shared memory that is left behind.

    It ends by itself, a moment after those whom it works for, and must not be killed meanwhile: what is left in
    /dev/shm is memory lost to the machine.
    """
    try:
        return b"resource_tracker import main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def how_it_ended(status: int | None) -> str:
    """What waitpid said, for people; None: nobody has said it."""
    if status is None:
        return "ended, and nobody could say how"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}" + (", as the out-of-memory killer does" if name == "SIGKILL" else "")


def _all() -> list[tuple[int, int, int]]:
    """Every process of this machine (or container): pid, parent, process group."""
    found: list[tuple[int, int, int]] = []
    try:
        names = os.listdir("/proc")
    except OSError:  # no descriptor is free: whoever asks asks again
        return found
    for name in names:
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                words = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                found.append((int(name), int(words[1]), int(words[2])))
    return found


def _state(pid: int) -> str:
    """The letter that ps shows; empty for a process that does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
