"""The HTTP front: routes, methods, keys, disabled functions, and the answers for clients (protocol 6.1).

Started by session.py; hands over to invocations.py, forwarding.py and admin.py.
Rule: decides in the host's order: no route 404, key 401, disabled 404, then run.
"""

import hmac
import secrets
from typing import TYPE_CHECKING, Final

from aiohttp import web

from fastworker.devhost.admin import admin
from fastworker.devhost.answers import HttpReply
from fastworker.devhost.envelope import HttpRequest, TriggerData
from fastworker.devhost.forwarding import forward, proxy
from fastworker.devhost.functions import Function
from fastworker.devhost.jsonfile import ConfigError
from fastworker.routing import RouteError, RouteTable

if TYPE_CHECKING:
    from fastworker.devhost.app import RunningApp

BODY_LIMIT: Final = 104_857_600
BARE: Final = "fastworker-no-content-type"
HOME_PAGE: Final = """<!doctype html><title>Functions</title>
<h1>Your functions are up and running</h1><p>The local host of fastworker; see the terminal for their addresses.</p>
"""


class Keys:
    """The master key and one for all functions. Without `enforced`, everybody is let in, as `func start` does."""

    def __init__(self, enforced: bool) -> None:
        self.enforced = enforced
        self.master = secrets.token_urlsafe(24)
        self.function = secrets.token_urlsafe(24)

    def level(self, request: web.Request) -> str | None:
        """What the caller's key is good for: `admin`, `function` or nothing."""
        key = (request.headers.get("x-functions-key") or request.query.get("code") or "").encode()
        if hmac.compare_digest(key, self.master.encode()):
            return "admin"
        return "function" if hmac.compare_digest(key, self.function.encode()) else None

    def allow(self, needed: str, level: str | None) -> bool:
        return not self.enforced or needed == "anonymous" or level == "admin" or level == needed == "function"


class Router:
    """The http functions of an app by route, in the order of their names. Raises ConfigError as the host gives up."""

    def __init__(self, functions: list[Function], prefix: str) -> None:
        self._prefix = prefix.strip("/")
        self._routes: RouteTable[Function] = RouteTable(prefix)
        for function in functions:
            if function.is_http:
                try:
                    self._routes.add(function.name, function.route, function.methods, function)
                except RouteError as error:
                    raise ConfigError(
                        f"{function.trigger.where}: function {function.name!r}: {error} (the host serves no "
                        f"function at all of an app that has such a route)"
                    ) from None

    def find(self, method: str, raw_path: str) -> tuple[Function, dict[str, str | None]] | None:
        return self._routes.find(method, raw_path)

    def url(self, base: str, function: Function) -> str:
        return "/".join(part for part in (base, self._prefix, function.route) if part)


class Front:
    """One aiohttp application for all generations of the app: `app` is the one that runs, or None."""

    def __init__(self, keys: Keys, cors: tuple[str, ...] = (), body_limit: int = BODY_LIMIT) -> None:
        self.keys = keys
        self.cors = cors
        self.app: RunningApp | None = None
        self.web = web.Application(client_max_size=body_limit)
        self.web.router.add_route("*", "/{path:.*}", self._handle)
        self.web.on_response_prepare.append(self._last_touches)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if request.method == "OPTIONS" and self._origin(request) and "Access-Control-Request-Method" in request.headers:
            return web.Response(status=204)
        if path.lower().startswith(("/admin/", "/runtime/webhooks/")):
            return await admin(self, request)
        if self.app is None or self.app.stopped:
            return web.Response(status=503, text="Function host is not running.")
        found = self.app.router.find(request.method, path)
        if found is None:
            return self._no_route(path)
        function, params = found
        level = self.keys.level(request)
        if not self.keys.allow(function.auth_level, level):
            return bare(web.Response(status=401))
        if function.disabled and not (self.keys.enforced and level == "admin"):
            return bare(web.Response(status=404))
        return await self._run(self.app, function, params, request, level)

    def _no_route(self, path: str) -> web.Response:
        if path != "/":
            return bare(web.Response(status=404))
        if self.app is not None and self.app.settings.is_true("AzureWebJobsDisableHomepage"):
            return web.Response(status=204)
        return web.Response(text=HOME_PAGE, content_type="text/html")

    async def _run(
        self,
        app: "RunningApp",
        function: Function,
        params: dict[str, str | None],
        request: web.Request,
        level: str | None,
    ) -> web.StreamResponse:
        if function.http_only and app.host.shape == "proxy":
            outcome, response = await proxy(app.invoker, function, request)
            return response or bare(web.Response(status=502 if not outcome.ok else 500))
        whole = await as_http_request(request, params, level if self.keys.enforced else None)
        if function.http_only and app.host.shape in ("raw", "raw-by-name"):
            outcome = await forward(app.invoker, function, whole, request.rel_url.raw_path)
        else:
            why = f"{request.method} {request.rel_url.raw_path}"
            outcome = await app.invoker.invoke(function, TriggerData(whole), why)
        return as_response(outcome.reply or HttpReply(204))

    def _origin(self, request: web.Request) -> str | None:
        origin = request.headers.get("Origin")
        if origin and ("*" in self.cors or origin in self.cors):
            return "*" if "*" in self.cors else origin
        return None

    async def _last_touches(self, request: web.Request, response: web.StreamResponse) -> None:
        """Headers that aiohttp adds by itself, and those of CORS."""
        if BARE in response.headers:
            del response.headers[BARE]
            response.headers.popall("Content-Type", None)
        origin = self._origin(request)
        if origin:
            response.headers["Access-Control-Allow-Origin"] = origin
            for header in ("Method", "Headers"):
                asked = request.headers.get(f"Access-Control-Request-{header}")
                if asked:
                    response.headers[f"Access-Control-Allow-{header.rstrip('s')}s"] = asked


async def as_http_request(request: web.Request, params: dict[str, str | None], level: str | None) -> HttpRequest:
    """A body counts only if the client gave its length (protocol 2.4, 3.1)."""
    length = request.headers.get("Content-Length", "0")
    body = await request.read() if length.isdigit() and int(length) > 0 else None
    url = f"{request.scheme}://{request.host}{request.raw_path}"
    headers = tuple((name, value) for name, value in request.headers.items())
    return HttpRequest(request.method, url, headers, params, body, level)


def as_response(reply: HttpReply) -> web.Response:
    response = web.Response(status=reply.status, reason=reply.reason, body=reply.body)
    for name, value in reply.headers:
        response.headers.add(name, value)
    return response if any(name.lower() == "content-type" for name, _ in reply.headers) else bare(response)


def bare(response: web.Response) -> web.Response:
    """Without the content type that aiohttp would make up."""
    response.headers.popall("Content-Type", None)
    response.headers[BARE] = "1"
    return response
