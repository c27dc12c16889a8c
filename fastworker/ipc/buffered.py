"""How many bytes of request bodies the whole server holds, and may hold.

Each worker counts what it holds in a word of its own on the board; http1.py asks before a body grows further.
Rule: no lock and no message. A sum that is a moment old lets through one read (1 MiB) a worker more, and no more.
"""

from pathlib import Path

from fastworker.cpus import memory_bytes
from fastworker.ipc.seat import Seat

# The rest is for the app itself, and for what a body is decoded into.
SHARE = 4


class Buffered:
    """The budget as one worker sees it; `limit` is in bytes, for all workers together."""

    def __init__(self, seat: Seat, limit: int) -> None:
        self.limit = limit
        self._seat = seat

    def change(self, by: int) -> bool:
        """So many bytes more are held here, or fewer; False if the server holds more than it may now."""
        self._seat.hold(by)
        return by <= 0 or self._seat.board.buffered <= self.limit


def default_limit(cgroup_root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self/cgroup")) -> int:
    """A quarter of the memory that the cgroup allows, or of the machine's where that is less."""
    return memory_bytes(cgroup_root, proc) // SHARE
