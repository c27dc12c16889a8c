"""What a request says in the terms of ASGI and WSGI: path, prefix, scheme, client and headers as the client sent them.

Used by asgi.py and wsgi.py.
Rule: the host's forwarding headers are believed, for only the host (or a reverse proxy) talks to this server.
"""

from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from fastworker.protocol.messages import Request
from fastworker.protocol.plain_http import PlainRequest

# The server listens there alone: whoever asks without a proxy's header is on this machine.
LOOPBACK: Final = ("127.0.0.1", 0)


class WebRequest(NamedTuple):
    """`path` is percent-encoded, without the query; `server` and `client` are (address, port)."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    scheme: str
    server: tuple[str, int]
    client: tuple[str, int]
    http_version: str = "1.1"

    @property
    def target(self) -> bytes:
        """Path and query as they came."""
        return self.path + b"?" + self.query if self.query else self.path

    @property
    def decoded_path(self) -> bytes:
        """The path with its percent-encoding undone."""
        return unquote_to_bytes(self.path)


def web_request(request: Request[Any]) -> WebRequest:
    """The request, whichever shape it came in."""
    if isinstance(request, PlainRequest):
        http = request._http
        path, _, query = http.target.partition(b"?")
        headers = [(name.lower(), value) for name, value in http.headers]
        scheme = request.headers.get("x-forwarded-proto", "http").partition(",")[0].strip() or "http"
    else:
        parts = urlsplit(request.url)
        path, query, scheme = parts.path.encode(), parts.query.encode(), parts.scheme
        names = request.headers
        headers = [(name.encode(), v.encode("latin-1", "replace")) for name in names for v in names.get_all(name)]
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(headers)}
    forwarded_host = found.get("x-forwarded-host", "").partition(",")[0].strip()
    host = forwarded_host or found.get("host", "localhost")
    if forwarded_host:  # the proxying host sends its own address as Host (protocol 3.2)
        headers = [(n, forwarded_host.encode("latin-1") if n == b"host" else v) for n, v in headers]
    return WebRequest(
        method=request.method.upper(),
        path=path or b"/",
        query=query,
        headers=headers,
        scheme=scheme,
        server=_address(host, 443 if scheme == "https" else 80) or ("localhost", 80),
        client=_address(found.get("x-forwarded-for", "").partition(",")[0].strip(), 0) or LOOPBACK,
    )


def root_path(path: bytes, prefix: str) -> str:
    """The part of the path that is the host's route prefix, in the client's spelling; empty if it is not there."""
    if not prefix:
        return ""
    length = len(prefix) + 1
    text = path.decode("latin-1")
    is_below = text[:length].lower() == f"/{prefix}".lower() and text[length : length + 1] in ("", "/")
    return text[:length] if is_below else ""


def _address(text: str, default_port: int) -> tuple[str, int] | None:
    """Of `1.2.3.4:80`, `[::1]:80`, `::1` or a name."""
    if not text:
        return None
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, port = text.split(":")
    else:
        host, port = text, ""
    return host, int(port) if port.isdigit() else default_port
