"""Who has a port: for the message that it is taken.

Used by session.py. Rule: best effort, by /proc; never raises.
"""

import contextlib
from pathlib import Path
from typing import Final

LISTEN: Final = "0A"


def owner_of_port(port: int) -> str:
    """`command (pid N) has it`, or what is known instead."""
    inode = _listener_inode(port)
    if inode is not None:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if any(fd.readlink().name == f"socket:[{inode}]" for fd in (process / "fd").iterdir()):
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    return f"{command[:80]} (pid {process.name}) has the port"
    return "another process has the port"


def _listener_inode(port: int) -> str | None:
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    return fields[9]
    return None
