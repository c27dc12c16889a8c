"""The three shapes in which the host calls an http-only function, behind one way to ask: as the function's client.

Rule: everything that the real host does to a request or an answer on the way (protocol 2.4, 3 and 4.3) happens here,
so that a test's body is the same for all three.
"""

import json
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, Self
from urllib.parse import parse_qsl, quote, urlencode

from fastworker.devhost.forwarding import HOP
from fastworker.functions.loaded_app import LoadedApp, load_app
from fastworker.protocol.routing import RouteTable, decoded_path
from fastworker.testing_host import HttpResponse, build_envelope, read_outputs
from tests.harness import APPS
from tests.plain_client import PlainClient, Reply

APP: Final = APPS / "plain"
PREFIX: Final = "api"
AGENT: Final = "Azure-Functions-Host/4.1037.0.0"
VERSION: Final = ("X-Azure-Functions-HostVersion", "4.1037.0.0")

Pairs = Iterable[tuple[str, str]]


class Shape(Protocol):
    """`ask` is what the client of the function app gets for its request; the connection is the host's."""

    connection: PlainClient

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Pairs = ()) -> Reply: ...


class _Asking:
    def __init__(self, port: int) -> None:
        self.connection = PlainClient(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


class Proxied(_Asking):
    """enableProxyingHttpRequest: path, query and body go through as they are; bodies come chunked (3.2)."""

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Pairs = ()) -> Reply:
        own = [
            *headers,
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Host", "app.example"),
            ("X-Forwarded-Proto", "https"),
            VERSION,
            ("X-Azure-Functions-InvocationId", str(uuid.uuid4())),
        ]
        return self.connection.request(method, f"/{PREFIX}/{path}", body, own, chunked=True)


class Forwarded(_Asking):
    """enableForwardingHttpRequest: the path encoded anew, repeated query keys joined, a length (3.1)."""

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Pairs = ()) -> Reply:
        raw, _, query = path.partition("?")
        target = f"/{PREFIX}/{quote(decoded_path(raw), safe='/%:@!$&()*+,;=~-._')}"
        if query:
            target += f"?{urlencode(joined_query(query))}"
        own = [
            *headers,
            ("User-Agent", AGENT),
            VERSION,
            ("X-Azure-Functions-InvocationId", str(uuid.uuid4())),
        ]
        reply = self.connection.request(method, target, body or None, own)
        kept = [(name, value) for name, value in reply.headers if name not in HOP]
        return reply._replace(headers=kept)


class Enveloped(_Asking):
    """Neither: an envelope to the function's name, found by the host's own routing, and the answer unpacked."""

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Pairs = ()) -> Reply:
        app, routes = _routes()
        raw, _, query = path.partition("?")
        found = routes.find(method, f"/{PREFIX}/{raw}")
        if found is None:
            return Reply(404, [], b"")  # the host's own
        name, params = found
        function = app.functions[name]
        lists: dict[str, list[str]] = {}
        for key, value in [*headers, ("X-Forwarded-Host", "app.example"), ("X-Forwarded-Proto", "https")]:
            lists.setdefault(key, []).append(value)
        url = f"https://app.example/{PREFIX}/{path}"
        fields: dict[str, Any] = {"method": method, "url": url, "headers": lists, "params": params}
        if body:
            fields["body"] = body
        envelope = build_envelope(name, function.bindings, {**fields, "query": joined_query(query)}, {})
        own = [
            VERSION,
            ("X-Azure-Functions-InvocationId", str(uuid.uuid4())),
            ("User-Agent", AGENT),
            ("Content-Type", "application/json; charset=utf-8"),
        ]
        reply = self.connection.request("POST", f"/{name}", envelope, own, chunked=True)
        if reply.status != 200:  # the host throws the answer away; what it was is the test's to look at
            return reply._replace(status=500)
        outputs, _ = read_outputs(function.bindings, json.loads(reply.body))
        response: HttpResponse = outputs[function.http_output or ""]
        return Reply(response.status_code, list(response.headers.items()), response.body)


SHAPES: Final[Mapping[str, type[_Asking]]] = {"envelope": Enveloped, "forward": Forwarded, "proxy": Proxied}


def joined_query(query: str) -> dict[str, str]:
    """Repeated keys joined by a comma, as the host's own Query has them."""
    joined: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


@cache
def _routes() -> tuple[LoadedApp, RouteTable[str]]:
    app = load_app(str(Path(APP)), app_root=None)
    routes: RouteTable[str] = RouteTable(PREFIX)
    for function in app.functions.values():
        routes.add(function.name, function.route, function.trigger.allowed_methods, function.name)
    return app, routes
