"""The HTTP front: routes, methods, keys, disabled functions, and the answers for clients (protocol 6.1).

Started by session.py; hands over to invocations.py, forwarding.py and admin.py.
Rule: decides in the host's order: no route 404, key 401, disabled 404, then run.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fastworker.devhost.admin import admin, is_admin_path
from fastworker.devhost.config_error import ConfigError
from fastworker.devhost.forwarding import forward, proxy
from fastworker.devhost.functions import Function
from fastworker.devhost.keys import Keys
from fastworker.devhost.visitors import guarded
from fastworker.devhost.webserver import Request, Response
from fastworker.hostrules.answers import HttpReply
from fastworker.hostrules.envelope import HttpRequest, TriggerData
from fastworker.hostrules.principals import KeyUse
from fastworker.hostrules.urls import BadTargetError, request_path
from fastworker.protocol.routing import RouteError, RouteTable

if TYPE_CHECKING:
    from fastworker.devhost.app import RunningApp

BODY_LIMIT: Final = 104_857_600
# So long a request waits for an app that is being read and started.
CHANGE_S: Final = 120.0
HOME_PAGE: Final = """<!doctype html><title>Functions</title>
<h1>Your functions are up and running</h1><p>The local host of fastworker; see the terminal for their addresses.</p>
"""


class Router:
    """The http functions of an app by route, in the order of their names. Raises ConfigError as the host gives up."""

    def __init__(self, functions: list[Function], prefix: str) -> None:
        self._functions = [function for function in functions if function.is_http]
        self._prefix = prefix.strip("/")
        self._routes: RouteTable[Function] = RouteTable(prefix)
        for function in self._functions:
            try:
                self._routes.add(function.name, function.route, function.methods, function)
            except RouteError as error:
                raise ConfigError(
                    f"{function.trigger.where}: function {function.name!r}: {error} (the host serves no "
                    f"function at all of an app that has such a route)"
                ) from None

    @property
    def has_prefix(self) -> bool:
        return bool(self._prefix)

    def find(self, method: str, raw_path: str) -> tuple[Function, dict[str, str | None]] | None:
        return self._routes.find(method, raw_path)

    def why_not(self, raw_path: str) -> str:
        """For the terminal: why no function takes a request for this path, as far as can be told."""
        methods = sorted({method for function in self._functions for method in function.methods or ()})
        taken = [(method, found[0].name) for method in methods if (found := self.find(method, raw_path))]
        if taken:
            names = sorted({name for _, name in taken})
            return f"{' and '.join(names)} takes {', '.join(method for method, _ in taken)} only (the host answers 404)"
        if self._prefix and not raw_path.lower().startswith(f"/{self._prefix.lower()}/"):
            return f"no function has this route: routes begin with /{self._prefix}/"
        routes = [self.url("", function) for function in self._functions]
        near = get_close_matches(raw_path, routes, 1)
        return f"no function has this route{f'; did you mean {near[0]}?' if near else ''}"

    def base(self, base: str) -> str:
        """Where routes begin."""
        return f"{base}/{self._prefix}" if self._prefix else base

    def url(self, base: str, function: Function) -> str:
        return "/".join([self.base(base), *([function.route] if function.route else [])])


class Front:
    """The handler of the web server, for all generations of the app: `app` is the one that runs, or None."""

    def __init__(
        self, keys: Keys, cors: tuple[str, ...] = (), *, address: str = "127.0.0.1", cors_credentials: bool = False
    ) -> None:
        self.cors_credentials = cors_credentials
        self.keys = keys
        self._address = address
        self.cors = cors
        self.app: RunningApp | None = None
        self.is_down = False
        self.changed = asyncio.Event()

    async def running(self) -> "RunningApp | None":
        """The app; a request that comes while the next one is read and started waits for it, as at the host."""
        if self.app is None and not self.is_down:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHANGE_S):
                    await self.changed.wait()
        return None if self.app is None or self.app.stopped else self.app

    def show(self, app: "RunningApp | None", *, is_down: bool = False) -> None:
        """The app that requests go to from now on; None while there is none, or for good if the host `is_down`."""
        self.app, self.is_down = app, is_down
        if app is None and not is_down:
            self.changed.clear()
        else:
            self.changed.set()

    async def handle(self, request: Request) -> Response | None:
        """The answer to a request; None when it has been sent in pieces."""
        response = await self._answer(request)
        if response is not None and not request.begun:
            self._last_touches(request, response)
        return response

    async def _answer(self, request: Request) -> Response | None:
        if request.method == "OPTIONS" and self._is_preflight(request):
            return Response(204)
        try:
            path = request_path(request.raw_path)
        except BadTargetError:
            request.keep_alive = False
            return Response(400)
        is_own = path.lower().startswith(("/admin/", "/runtime/webhooks/"))
        if is_own and not (self.app and self._is_functions(self.app, request)):
            return await guarded(request, self._address, self.cors, partial(admin, self, request))
        app = await self.running()
        if app is None:
            return Response(503, text="Function host is not running.")
        found = app.router.find(request.method, request.raw_path)
        if found is None:
            return self._no_route(app, request, path)
        function, params = found
        use = self.keys.use(request, function) if self.keys.enforced else None
        if not self.keys.allow(function.auth_level, use):
            self._tell(app, request, 401, f"{function.name} needs a key of level {function.auth_level}")
            return Response(401)
        if function.disabled and not (use and use.level == "admin"):
            self._tell(app, request, 404, f"{function.name} is disabled by a setting")
            return Response(404)
        if function.problem is not None:
            app.invoker.refuse(function, f"{request.method} {request.raw_path}", function.problem)
            return Response(500)
        return await self._throttled(app, self._run(app, function, params, request, use))

    async def _throttled(self, app: "RunningApp", run: Coroutine[Any, Any, Response | None]) -> Response | None:
        """`extensions.http` limits what is in flight and what runs (E-thr-*); 0 and below -1 fail every call."""
        limits = app.host.http
        outstanding, concurrent = limits.max_outstanding, limits.max_concurrent
        if any(limit == 0 or limit < -1 for limit in (outstanding, concurrent)):
            run.close()
            return Response(500)
        if outstanding > 0 and app.outstanding >= outstanding:
            run.close()
            return Response(429, headers=[("X-FUNCTION-SCALEOUT", "1")])
        app.outstanding += 1
        try:
            if concurrent > 0:
                async with app.turns:
                    return await run
            return await run
        finally:
            app.outstanding -= 1

    def _is_functions(self, app: "RunningApp", request: Request) -> bool:
        """A function may take what the host's own paths leave over: below an empty prefix, or one like them."""
        own = is_admin_path(request.raw_path)
        return not own and app.router.find(request.method, request.raw_path) is not None

    def _no_route(self, app: "RunningApp", request: Request, path: str) -> Response:
        if path != "/":
            self._tell(app, request, 404, app.router.why_not(request.raw_path))
            return Response(404)
        if (app.settings.get("AzureWebJobsDisableHomepage") or "").lower() == "true":
            return Response(204)
        return Response(text=HOME_PAGE, content_type="text/html")

    async def _run(
        self,
        app: "RunningApp",
        function: Function,
        params: dict[str, str | None],
        request: Request,
        use: KeyUse | None,
    ) -> Response | None:
        if function.http_only and app.host.http_mode == "proxy":
            outcome = await proxy(app.invoker, function, request)
            return None if request.begun else Response(502 if not outcome.ok else 500)
        scheme = _scheme(app, request)
        if scheme is None:
            return Response(500)
        whole = await as_http_request(
            request,
            params,
            use,
            scheme=scheme,
            sees_principal=app.settings.is_true("WEBSITE_AUTH_ENABLED"),
        )
        if function.http_only and app.host.http_mode == "forward":
            outcome = await forward(app.invoker, function, whole, request.raw_path)
        else:
            outcome = await app.invoker.invoke(function, TriggerData(whole), f"{request.method} {request.raw_path}")
        return as_response(outcome.reply or HttpReply(204))

    def _tell(self, app: "RunningApp", request: Request, status: int, why: str) -> None:
        """A line for a request that reaches no function: nobody else would tell of it."""
        app.invoker.console.warn(f"{request.method} {request.raw_path}: {status}: {why}")

    def _is_preflight(self, request: Request) -> bool:
        """Core Tools answers preflights by its list of origins, and the host itself on Linux Consumption."""
        if not request.header("Access-Control-Request-Method"):
            return False
        in_container = self.app is not None and self.app.settings.get("CONTAINER_NAME")
        return bool(self._origin(request) or (in_container and request.header("Origin")))

    def _origin(self, request: Request) -> str | None:
        origin = request.header("Origin")
        if origin and ("*" in self.cors or origin in self.cors):
            return "*" if "*" in self.cors else origin
        return None

    def _last_touches(self, request: Request, response: Response) -> None:
        """Headers of CORS, and those of Application Insights."""
        if self.app is not None:
            response.headers.extend(self.app.host.http.custom_headers)
        if self.app is not None and self.app.invoker.circumstances.insights:
            response.headers.append(("Request-Context", "appId="))
        origin = self._origin(request)
        if origin:
            if self.cors_credentials:
                origin = request.header("Origin") or origin
                response.headers.append(("Access-Control-Allow-Credentials", "true"))
            response.headers.append(("Access-Control-Allow-Origin", origin))
            for header in ("Method", "Headers"):
                asked = request.header(f"Access-Control-Request-{header}")
                if asked:
                    response.headers.append((f"Access-Control-Allow-{header.rstrip('s')}s", asked))


def _scheme(app: "RunningApp", request: Request) -> str | None:
    """`X-Forwarded-Proto` counts on Linux Consumption only; None for one that the host answers with 500."""
    forwarded = request.header("X-Forwarded-Proto") if app.settings.get("CONTAINER_NAME") else ""
    if forwarded and not forwarded.isalpha():
        return None
    return forwarded.lower() or request.scheme


async def as_http_request(
    request: Request,
    params: dict[str, str | None],
    key: KeyUse | None,
    *,
    scheme: str = "http",
    sees_principal: bool = False,
) -> HttpRequest:
    """A body counts only if the client gave its length (protocol 2.4, 3.1)."""
    body = await request.read() if request.content_length and not request.chunked else None
    url = f"{scheme}://{request.host}{request.target}"
    return HttpRequest(request.method, url, tuple(request.headers), params, body, key, sees_principal)


def as_response(reply: HttpReply) -> Response:
    return Response(
        reply.status,
        body=reply.body,
        headers=reply.headers,
        reason=reply.reason,
        chunked=reply.chunked,
        breaks=reply.breaks,
    )
