"""What a forwarding, proxying or httpWorker host does between a client and the handler, as far as it decides who runs.

A model for tests, from the recordings (fwd-paths, pathconfusion-*, fwd-framing, coretools-*, D038, D051, D959): the
host finds a function, asks for its key, and sends a request whose path, headers and framing are its own.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from fastworker.functions.http_routes import HttpRoute
from fastworker.functions.mixed_auth import LEVELS
from fastworker.protocol.http_request import Request
from fastworker.protocol.routing import RouteTable, decoded_path

ID = b"7b4f3a0e-5d0b-4a37-b0a9-0d7d6a1f2c11"
AGENT = b"Azure-Functions-Host/4.1037.0.0"
VERSION = (b"X-Azure-Functions-HostVersion", b"4.1037.0.0")
UNRESERVED = re.compile(r"%(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aA]|5[fF]|6[1-9a-fA-F]|7[0-9aA]|7[eE])")


class Mode(NamedTuple):
    """host.json, as fastworker.functions.mixed_auth.Forwarding has it, and how the server was started."""

    http_mode: str
    http_mode_key: str | None = "customHandler.enableForwardingHttpRequest"
    route_prefix: str = "api"
    under_host: bool = True
    core_tools: bool = False
    disabled: frozenset[str] = frozenset()
    knows_proxying: bool = True  # False: an old host, for which the switch does not exist

    @property
    def forwards_by_name(self) -> bool:
        return self.http_mode_key == "httpWorker"


class Client(NamedTuple):
    """A client's request; `key` is the level that it has a key for."""

    method: str
    path: str
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""
    is_chunked: bool = False
    key: str = "anonymous"


def written_anew(path: str) -> str:
    """The path that System.Uri makes of a decoded one, as it stands in the request line."""
    path = re.split(r"[?#]", path)[0].replace("\\", "/")
    path = UNRESERVED.sub(lambda escape: chr(int(escape[0][1:], 16)), path)
    path = re.sub(r"%(?![0-9a-fA-F]{2})", "%25", path)
    return quote(decoded_path_of_dots(path), safe="/%:@!$&'()*+,;=~-._[]")


def decoded_path_of_dots(path: str) -> str:
    """Dot segments resolved; escapes stay."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[1:][-1:], kept[max(len(kept) - 1, 1) :]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept) or "/"


class ForwardingHost:
    """`send` gives the function that the host has chosen and the request that it makes of a client's."""

    def __init__(self, mode: Mode, routes: Iterable[HttpRoute]) -> None:
        self.mode = mode
        self._table: RouteTable[HttpRoute] = RouteTable(mode.route_prefix)
        for route in routes:
            self._table.add(route.name, route.template, route.methods, route)

    def send(self, client: Client) -> tuple[HttpRoute, Request] | None:
        """None if the client is answered by the host itself: 404, 401, or a failure of its own."""
        found = self._table.find(client.method, client.path)
        if found is None:
            return None
        route = found[0]
        if LEVELS[client.key] < LEVELS[route.level]:
            return None
        if route.name.lower() in self.mode.disabled and client.key != "admin":
            return None
        mode = self.mode
        is_proxied = mode.http_mode == "proxy" and mode.knows_proxying
        if not route.is_plain or not (is_proxied or mode.http_mode == "forward"):
            return route, self.envelope(route.name)
        if is_proxied:
            return route, self._proxied(client)
        if client.is_chunked:
            return None  # 500: there is no content object
        target = f"/{route.name}" if mode.forwards_by_name else written_anew(decoded_path(client.path))
        return route, self._forwarded(client, target)

    def envelope(self, name: str) -> Request:
        """The envelope for a function: none of it is the client's choice but what is inside the JSON."""
        own = [
            (b"Host", b"127.0.0.1:4711"),
            VERSION,
            (b"X-Azure-Functions-InvocationId", ID),
            (b"User-Agent", AGENT),
        ]
        kind = (b"Content-Type", b"application/json; charset=utf-8")
        if self.mode.core_tools:
            own += [kind, (b"Content-Length", b"2")]
        else:
            own += [(b"Transfer-Encoding", b"chunked"), kind]
        return Request(b"POST", b"/" + name.encode(), own, b"{}", True, ID, None)

    def _forwarded(self, client: Client, target: str) -> Request:
        """A client's lines of one name are joined, the host's value behind them; its content headers come last."""
        joined: dict[bytes, tuple[bytes, list[bytes]]] = {}
        content: dict[bytes, bytes] = {}
        for name, value in (*client.headers, VERSION, (b"X-Azure-Functions-InvocationId", ID)):
            if name.lower() in (b"content-type", b"content-length", b"transfer-encoding", b"user-agent"):
                content[name.lower()] = value
            else:
                joined.setdefault(name.lower(), (name, []))[1].append(value)
        headers = [(name, b", ".join(values)) for name, values in joined.values()]
        agent = content.get(b"user-agent")
        headers.append((b"User-Agent", AGENT if agent is None else agent + b" " + AGENT))
        if client.body:
            headers.append((b"Content-Length", str(len(client.body)).encode()))
            if b"content-type" in content:
                headers.append((b"Content-Type", content[b"content-type"]))
        elif client.method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
            headers.append((b"Content-Length", b"0"))
        identity = {name.lower(): value for name, value in headers}[b"x-azure-functions-invocationid"]
        return Request(client.method.encode(), target.encode(), headers, client.body, True, identity, None)

    def _proxied(self, client: Client) -> Request:
        own = {b"x-azure-functions-invocationid", b"x-azure-functions-hostversion", b"x-ms-invocation-id", b"host"}
        framing = {b"content-length", b"transfer-encoding"}
        headers = [(name, value) for name, value in client.headers if name.lower() not in own | framing]
        headers += [
            (b"Host", b"127.0.0.1:4711"),
            (b"X-Forwarded-For", b"::1"),
            (b"X-Forwarded-Host", b"app.example"),
            (b"X-Forwarded-Proto", b"https"),
            VERSION,
            (b"X-Azure-Functions-InvocationId", ID),
            (b"x-ms-invocation-id", ID),
        ]
        if client.is_chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
        elif client.body:
            headers.append((b"Content-Length", str(len(client.body)).encode()))
        return Request(client.method.encode(), client.path.encode(), headers, client.body, True, ID, None)
