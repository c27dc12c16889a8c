"""The asking side of the status socket: which server is meant, and its answers.

Used by top.py; the answering side is supervisor/status_socket.py, the document telemetry/snapshot.py.
Rule: whatever is not as expected is an error that says what to do; nothing is guessed.
"""

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from fastworker.errors import FastworkerError
from fastworker.ipc.processes import parent_of
from fastworker.telemetry.snapshot import VERSION, Snapshot
from fastworker.telemetry.status_folder import folder_of

PATIENCE_S = 10.0


class StatusError(FastworkerError):
    """There is no server to ask, or its answer cannot be used."""

    exit_code = 2


class _Head(msgspec.Struct):
    version: int | None = None
    error: str | None = None


class StatusClient:
    """A connection to the status socket at `path`.

    Raises:
        StatusError: nobody answers there, or with a version of the status that this fastworker does not know.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise StatusError(f"cannot reach the server at {path}: {error.strerror}") from None
        self._lines = self._socket.makefile("rb")

    def status(self) -> Snapshot:
        """What the server is doing and has counted."""
        return snapshot_of(self._line("status"))

    def ask(self, request: str) -> dict[str, Any]:
        """The answer to a request such as `reload`; what cannot be done is in its member `error`."""
        answer: dict[str, Any] = msgspec.json.decode(self._line(request))
        return answer

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _line(self, request: str) -> bytes:
        try:
            self._socket.sendall(request.encode() + b"\n")
            line = self._lines.readline()
        except TimeoutError:
            raise StatusError(f"the server at {self._path} has not answered for {PATIENCE_S:g} s") from None
        except OSError:
            line = b""
        if not line:
            raise StatusError(f"the server at {self._path} has ended, or does not answer this user")
        return line


def snapshot_of(line: bytes) -> Snapshot:
    """Reads the answer to `status`.

    Raises:
        StatusError: it is of another version, or none.
    """
    try:
        head = msgspec.json.decode(line, type=_Head)
        if head.version == VERSION:
            return msgspec.json.decode(line, type=Snapshot)
    except msgspec.DecodeError as error:
        raise StatusError(f"the server's status cannot be read: {error}") from None
    if head.error:
        raise StatusError(f"the server refuses: {head.error}")
    raise StatusError(
        f"the server sends version {head.version} of its status, and this fastworker reads version {VERSION}: "
        "use the fastworker that the server runs with"
    )


def find_server(target: str | None, runtime_folder: str | None) -> Path:
    """The socket of the server that is meant: by a pid (of `serve`, or of the `dev` above it), a folder, or alone.

    Raises:
        StatusError: there is none, or more than one.
    """
    folder = folder_of(runtime_folder)
    _refuse_foreign(folder)
    running = _running(folder)
    if target is None:
        return _only(running, folder, f"no server of this user runs (looked in {folder})")
    if target.isdecimal():
        pid = int(target)
        owner = _owner(pid)
        if owner is None:
            raise StatusError(f"no process has the pid {pid}")
        if owner != os.geteuid() and pid not in running:
            raise StatusError(f"process {pid} belongs to another user (uid {owner}): run top as that user")
        found = [pid] if pid in running else [server for server in running if _is_below(server, pid)]
        return _only(found, folder, f"process {pid} is no fastworker server and has none below it (looked in {folder})")
    place = Path(target)
    if not place.is_dir():
        raise StatusError(f"{target!r} is neither a pid nor a folder")
    found = [server for server in running if _runs_in(server, place)]
    return _only(found, folder, f"no server of this user runs in {place} (looked in {folder})")


def _refuse_foreign(folder: Path) -> None:
    """In a folder that is everybody's, another user may have made it, and would answer in a server's place."""
    with contextlib.suppress(FileNotFoundError):
        owner = folder.lstat().st_uid
        if owner != os.geteuid():
            raise StatusError(f"{folder} belongs to another user (uid {owner}): run top as that user, or remove it")


def _only(pids: list[int], folder: Path, none: str) -> Path:
    if not pids:
        raise StatusError(none)
    if len(pids) > 1:
        raise StatusError(f"several servers run: give one of the pids {', '.join(map(str, sorted(pids)))}")
    return folder / f"{pids[0]}.sock"


def _running(folder: Path) -> list[int]:
    """The pids of servers that listen; a server that was killed leaves its socket behind."""
    pids: list[int] = []
    with contextlib.suppress(OSError):
        for path in folder.glob("*.sock"):
            if path.stem.isdecimal():
                with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                    probe.connect(str(path))
                    pids.append(int(path.stem))
    return pids


def _owner(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def _is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        pid = parent_of(pid)
        if pid == ancestor:
            return True
    return False


def _runs_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").samefile(folder)
    except OSError:
        return False
