"""WSGI applications (PEP 3333) on the path of `def` handlers: one call of the application for each request.

Made by detection.py. A body is read when the application asks for it, and its response is sent while it is made.
Rule: `close()` of the application's iterable is called whatever happens.
"""

import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fastworker.adapters.exact_response import BODILESS, ExactResponse, content_length
from fastworker.adapters.web_request import WebRequest, root_path, web_request
from fastworker.protocol.messages import Request

Environ = dict[str, Any]
BLOCK_SIZE = 64 * 1024


class WsgiApp:
    """A WSGI application as a handler of http requests. `prefix` is the host's route prefix."""

    def __init__(self, application: Callable[..., Iterable[bytes]], prefix: str = "") -> None:
        self.prefix = prefix
        self._application = application

    def __call__(self, req: Request[Any], members: Mapping[str, Any] | None = None) -> ExactResponse:
        """Answers one request; `members` are more of its environ.

        Raises what the application raises before its response has begun.
        """
        found = web_request(req)
        start = _StartResponse()
        result = self._application({**environ_of(found, self.prefix, req), **(members or {})}, start)
        try:
            return _response(result, start, is_head=found.method == "HEAD")
        except BaseException:
            _close(result)
            raise


def environ_of(found: WebRequest, prefix: str, request: Request[Any]) -> Environ:
    """The environ of a request."""
    path = found.decoded_path.decode("latin-1")
    script = root_path(found.decoded_path, prefix)
    environ: Environ = {
        "REQUEST_METHOD": found.method,
        "SCRIPT_NAME": script,
        "PATH_INFO": path[len(script) :],
        "REMOTE_ADDR": found.client[0],
        "REMOTE_PORT": str(found.client[1]),
        "QUERY_STRING": found.query.decode("latin-1"),
        "SERVER_NAME": found.server[0],
        "SERVER_PORT": str(found.server[1]),
        "SERVER_PROTOCOL": f"HTTP/{found.http_version}",
        "SERVER_SOFTWARE": "fastworker",
        "REQUEST_URI": (target := found.target.decode("latin-1")),
        "RAW_URI": target,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": found.scheme,
        "wsgi.input": BodyFile(iter(request.stream())),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    for name, value in found.headers:
        if b"_" in name:
            continue  # would pass for another header's name
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


class BodyFile:
    """`wsgi.input`: the request's body as a file that is read while it comes in."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that is left if it is negative; less only at the end."""
        found = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            found.append(bytes(piece))
            length += len(piece)
        data = b"".join(found)
        cut = length if size < 0 else size
        self._rest = data[cut:]
        return data[:cut]

    def readline(self, size: int = -1) -> bytes:
        """Up to the next line's end, or `size` bytes of it."""
        found: list[bytes] = []
        length = 0
        while b"\n" not in self._rest and (size < 0 or length + len(self._rest) < size):
            found.append(self._rest)
            length += len(self._rest)
            self._rest = bytes(next(self._pieces, b""))
            if not self._rest:
                break
        end = self._rest.find(b"\n") + 1 or len(self._rest)
        if size >= 0:
            end = min(end, size - length)
        found.append(self._rest[:end])
        self._rest = self._rest[end:]
        return b"".join(found)

    def readlines(self, hint: int = -1) -> list[bytes]:
        """The lines that are left."""
        lines = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line


class FileWrapper:
    """`wsgi.file_wrapper`: an open file as a body; one of the file system is sent by the kernel alone."""

    def __init__(self, filelike: Any, block_size: int = BLOCK_SIZE) -> None:
        self.filelike = filelike
        self._block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        while block := self.filelike.read(self._block_size):
            yield block

    def descriptor(self) -> tuple[int, int] | None:
        """The open file and its size, if it is a regular one that has not been read from."""
        try:
            fd = self.filelike.fileno()
            found = os.fstat(fd)
            is_whole = stat.S_ISREG(found.st_mode) and self.filelike.tell() == 0
        except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
            return None
        return (fd, found.st_size) if is_whole else None


class _StartResponse:
    """The callable that the application starts its response with; gives it `write`, for old ones."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        """Raises the application's own error if bytes are out already, and AssertionError for a second start."""
        if exc_info is not None:
            try:
                if self.written:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a traceback in its own frame is a cycle
        elif self.status is not None:
            raise AssertionError("start_response was called twice without exc_info")
        self.status = int(status.partition(" ")[0])
        self.headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return self.written.append


def _response(result: Iterable[bytes], start: _StartResponse, *, is_head: bool) -> ExactResponse:
    if isinstance(result, FileWrapper) and start.status is not None and not start.written and not is_head:
        found = result.descriptor()
        if found is not None and content_length(start.headers) in (None, found[1]):
            body = os.dup(found[0])
            _close(result)
            return ExactResponse(start.status, start.headers, body, None)
    pieces = iter(result)
    # The application may start its response as late as with its first piece.
    first = [*start.written, *([piece] if (piece := next(pieces, None)) is not None else [])]
    if start.status is None:
        raise RuntimeError("the WSGI application ended without calling start_response")
    length = content_length(start.headers)
    is_whole = isinstance(result, list | tuple) and len(result) <= 1
    is_bodiless = is_head or start.status in BODILESS
    if is_whole:
        data = b"".join(first)
        if not is_bodiless and length is not None and length != len(data):
            raise RuntimeError(f"the application promised {length} bytes (Content-Length) and gave {len(data)}")
        _close(result)
        return ExactResponse(start.status, start.headers, data, length if is_bodiless else None)
    if is_bodiless:
        _close(result)
        return ExactResponse(start.status, start.headers, iter(()), length)
    return ExactResponse(start.status, start.headers, _pieces(first, pieces, result, start, length), length)


def _pieces(
    first: list[bytes], rest: Iterator[bytes], result: Iterable[bytes], start: _StartResponse, length: int | None
) -> Iterator[bytes]:
    """The body, `write`n pieces in their place. Raises RuntimeError if it is not as long as promised."""
    sent = 0
    start.written.clear()
    try:
        for piece in first:
            sent += len(piece)
            if piece:
                yield piece
        for piece in rest:
            for data in (*start.written, piece):
                sent += len(data)
                if length is not None and sent > length:
                    raise RuntimeError(f"the application promised {length} bytes (Content-Length) and gave more")
                if data:
                    yield data
            start.written.clear()
        if length is not None and sent != length:
            raise RuntimeError(f"the application promised {length} bytes (Content-Length) and gave {sent}")
    finally:
        _close(result)


def _close(result: Any) -> None:
    close = getattr(result, "close", None)
    if close is not None:
        close()
