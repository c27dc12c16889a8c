"""The host's end: whoever started this server is watched, for nobody else tells that it is gone.

Used by supervisor/run.py where a host has started it.
Rule: watches, and decides nothing. PR_SET_PDEATHSIG is no way: it goes by the thread that started us, and .NET starts
processes from threads that end.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from fastworker.ipc.processes import open_pidfd, parent_of

# Who may stand between the host and us (a start.sh in host.json), and lives on when the host is killed.
GO_BETWEENS = {"sh", "bash", "dash", "ash", "busybox", "zsh", "tini", "dumb-init", "timeout"}
MOST = 4


class Host:
    """Our parent, and if that is a shell or the like, its parent, too."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._pidfds: dict[int, int] = {}  # pidfd -> pid
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone: Callable[[str], None] | None = None
        pid = self._parent
        for _ in range(MOST):
            pidfd = open_pidfd(pid) if pid > 1 else None
            if pidfd is None:
                break
            self._pidfds[pidfd] = pid
            if _name(pid) not in GO_BETWEENS:
                break
            pid = parent_of(pid)

    def watch(self, loop: asyncio.AbstractEventLoop, gone: Callable[[str], None]) -> None:
        """`gone` is called once, with a line for the log, when the host has ended."""
        self._loop, self._gone = loop, gone
        for pidfd, pid in self._pidfds.items():
            loop.add_reader(pidfd, self._end, pid)
        self.look()

    def look(self) -> None:
        """Once in a while: without a pidfd, and for an end in front of our first look."""
        if os.getppid() != self._parent:
            self._end(self._parent)

    def _end(self, pid: int) -> None:
        gone, self._gone = self._gone, None
        if gone is None or self._loop is None:
            return
        for pidfd in self._pidfds:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        self._pidfds.clear()
        gone(f"process {pid}, which started this server, has ended; so does the server")


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
