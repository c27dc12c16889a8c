"""Processes as the supervisor handles them: what a child must shed, how one is ended, how one has ended.

Called by supervisor.py.
Rule: by pid or process group only, and never a process that is not a descendant.
"""

import contextlib
import os
import signal
from collections.abc import Container

from fastworker import linux


def shed_supervisor(pipes_before: Container[int], soft_limit: int, *keep: int) -> None:
    """In a fresh zygote: of the supervisor's descriptors only `keep`, none of its signal handlers, and its old limit.

    `pipes_before` are the pipes that the supervisor had before the fork. libuv makes a new one in every forked
    process, and closes it by its numbers in every process forked from there: they must stay what libuv takes them
    for, or the app is given these numbers and loses its files at each worker's fork.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    libuvs = [fd for pipe, ends in linux.open_pipes().items() if pipe not in pipes_before for fd in ends]
    low = 3
    for fd in sorted([*keep, *libuvs]):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, linux.raise_descriptor_limit())
    linux.lower_descriptor_limit(soft_limit)


def kill_group(pid: int) -> None:
    """A worker leads a process group, so that what it has started ends with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def kill_and_wait(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def how_it_ended(status: int) -> str:
    """What waitpid said, for people."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}" + (", as the out-of-memory killer does" if name == "SIGKILL" else "")
