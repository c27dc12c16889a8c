"""The status socket: whoever runs this server, and root, can ask it what it is doing, and for three things to be done.

Used by supervisor/run.py. A stream socket in a folder that only its owner may enter; a request is a line, an answer a
line of JSON:

    status        the snapshot (telemetry/snapshot.py)
    reload        imports the app anew and rolls the workers, as SIGHUP
    retire SLOT   replaces the worker in that slot, as SIGTERM to it
    stack SLOT    what the worker in that slot is running, without harm to it

Rule: peers of another user are not answered, whatever the folder's rights are by now.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from fastworker.logs import log
from fastworker.supervisor.listening import Bounds, Done, Listening

BOUNDS = Bounds(peers=8, request=256)


class StatusSocket:
    """`verbs` are called with the rest of the line, and with `done`, which takes what is to be sent as JSON."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        folder: Path,
        verbs: Mapping[str, Callable[[str, Callable[[bytes], None]], None]],
    ) -> None:
        self._verbs = verbs
        self.path = folder / f"{os.getpid()}.sock"
        self._listening: Listening | None = None
        try:
            listener = _bound(self.path)
        except OSError as error:  # a file system that is read-only, or full: the server serves
            log.warning("status.unavailable", path=str(self.path), cause=os.strerror(error.errno or 0))
            return
        self._listening = Listening(loop, listener, self._answer, ends=b"\n", bounds=BOUNDS, admits=is_ours)

    def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _answer(self, request: bytes, done: Done) -> None:
        verb, _, rest = request.decode("latin-1").strip().partition(" ")
        known = self._verbs.get(verb)
        if known is None:
            done(refusal(f"no such request: {verb[:40]!r}; there are {', '.join(self._verbs)}") + b"\n", True)
        else:
            known(rest.strip(), lambda answer: done(answer + b"\n", True))


def refusal(detail: str) -> bytes:
    """The answer to what cannot be done."""
    return orjson.dumps({"error": detail})


def is_ours(connection: socket.socket) -> bool:
    """The peer is our own user, or root."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return uid in (0, os.geteuid())


def _bound(path: Path) -> socket.socket:
    folder = path.parent
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    entry = folder.lstat()
    if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != os.geteuid():
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))  # somebody was faster, in a folder that is everybody's
    folder.chmod(0o700)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # of a process with our pid, which was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(BOUNDS.peers)
    except OSError:
        listener.close()
        raise
    return listener
