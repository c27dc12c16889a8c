"""The metrics port: FASTWORKER_METRICS_PORT, for Prometheus and for probes.

Used by supervisor/run.py. Three paths, by GET or HEAD:

    /metrics    the page (telemetry/metrics.py)
    /livez      200 while this process turns its loop
    /readyz     200 while a worker is ready and the server is not stopping; else 503

Rule: of a request only method, path and `Accept` are looked at, in a head that listening.py bounds. Not with
httptools: the supervisor parses nothing that a client may shape at will; whatever this reader does not understand is
refused, and its connection closed.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

from fastworker.errors import PortInUseError
from fastworker.supervisor.listening import Bounds, Done, Listening

BOUNDS = Bounds(peers=16, request=8192, patience_s=3.0, idle_s=150.0)
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def open_metrics_listener(address: str, port: int) -> socket.socket:
    """Listens there; port 0 takes a free one.

    Raises:
        PortInUseError: the port is taken, or not ours to take; or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(BOUNDS.peers)
    except OSError as error:
        listener.close()
        reason = "another process listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise PortInUseError(
            f"cannot serve metrics on {address}:{port}: {reason}; free it, or set another FASTWORKER_METRICS_PORT "
            f"(or FASTWORKER_METRICS_ADDRESS)"
        ) from None
    return listener


class MetricsPort:
    """`page(accept, done)` has the page made, and calls `done(content_type, text)`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        page: Callable[[str, Callable[[str, str], None]], None],
        is_ready: Callable[[], bool],
    ) -> None:
        self._page = page
        self._is_ready = is_ready
        self._listening = Listening(loop, listener, self._answer, ends=b"\r\n\r\n", bounds=BOUNDS)

    def close(self) -> None:
        """The server has ended."""
        self._listening.close()

    def _answer(self, head: bytes, done: Done) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(_header(line) for line in lines)
        words = line.split(" ")
        if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0") or _has_body(headers):
            done(_response(400, "a request for /metrics, /livez or /readyz was expected\n", keep=False), False)
            return
        method, target, version = words
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"

        def answer(status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
            done(_response(status, text, kind, keep=keep, head_only=method == "HEAD"), keep)

        path = target.partition("?")[0]
        if method not in ("GET", "HEAD"):
            answer(405, "only GET and HEAD\n")
        elif path == "/metrics":
            self._page(headers.get("accept", ""), lambda kind, text: answer(200, text, kind))
        elif path == "/livez":
            answer(200, "live\n")
        elif path == "/readyz":
            ready = self._is_ready()
            answer(200 if ready else 503, "ready\n" if ready else "not ready\n")
        else:
            answer(404, "there are /metrics, /livez and /readyz\n")


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


def _has_body(headers: dict[str, str]) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _response(status: int, text: str, kind: str = "text/plain", *, keep: bool, head_only: bool = False) -> bytes:
    body = text.encode()
    lines = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *([] if keep else ["Connection: close"]),
        *(["Allow: GET, HEAD"] if status == 405 else []),
    ]
    head = "\r\n".join([*lines, "", ""]).encode()
    return head if head_only else head + body
