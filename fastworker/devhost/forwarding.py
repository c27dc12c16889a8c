"""Plain HTTP for http-only functions (protocol section 3): forward, and the streaming proxy.

Used by front.py. Rule: the two differ from each other only where the protocol says so; both end in an Outcome.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web
from yarl import URL

from fastworker.devhost import HOST_VERSION, USER_AGENT
from fastworker.devhost.answers import HttpReply
from fastworker.devhost.envelope import HttpRequest
from fastworker.devhost.functions import Function
from fastworker.devhost.invocations import InvocationError, Invoker, Outcome
from fastworker.routing import decoded_path

HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}
)
CONTENT_HEADERS: Final = frozenset(
    {"content-encoding", "content-language", "content-location", "content-md5", "content-range", "expires", "allow"}
)
PROXY_TRIES: Final = 10
PROXY_PAUSE_S: Final = 0.05
PROXY_IDLE_S: Final = 240.0


async def forward(invoker: Invoker, function: Function, request: HttpRequest, raw_path: str) -> Outcome:
    """Buffered both ways; the client gets the handler's status, headers and body as they are (3.1)."""
    by_name = invoker.host.shape == "raw-by-name"
    path = f"/{function.name}" if by_name else quote(decoded_path(raw_path), safe="/%:@!$&'()*+,;=~-._")
    query = urlencode(request.query)
    url = URL(f"{invoker.handler_url}{path}{'?' if query else ''}{query}", encoded=True)

    async def attempt(invocation_id: str, _: Mapping[str, Any] | None) -> Outcome:
        if any(k.lower() == "transfer-encoding" for k, _ in request.headers):
            raise InvocationError("the client sent a body without Content-Length, which the host cannot forward")
        async with invoker.session.request(
            request.method,
            url,
            headers=_forwarded_headers(request, invocation_id),
            data=request.body,
            allow_redirects=by_name,
        ) as response:
            body = await response.read()
            headers = tuple((k, v) for k, v in response.headers.items() if k.lower() not in HOP | {"content-length"})
            reply = HttpReply(response.status, body, headers, response.reason)
            return Outcome(function.name, invocation_id, reply=reply)

    return await invoker.run(function, attempt, f"{request.method} {raw_path}")


def _forwarded_headers(request: HttpRequest, invocation_id: str) -> list[tuple[str, str]]:
    headers = [
        (name, value)
        for name, value in request.headers
        if name.lower() not in (HOP - {"host"}) | CONTENT_HEADERS | {"content-length", "expect", "user-agent"}
    ]
    agent = request.header("user-agent")
    return [
        *headers,
        ("User-Agent", f"{agent} {USER_AGENT}" if agent else USER_AGENT),
        ("X-Azure-Functions-HostVersion", HOST_VERSION),
        ("X-Azure-Functions-InvocationId", invocation_id),
    ]


async def proxy(
    invoker: Invoker, function: Function, request: web.Request
) -> tuple[Outcome, web.StreamResponse | None]:
    """Streamed both ways (3.2). The response is None when it could not be begun."""
    sent: list[web.StreamResponse] = []

    async def attempt(invocation_id: str, _: Mapping[str, Any] | None) -> Outcome:
        response = await _connected(invoker, request, invocation_id)
        async with response:
            out = web.StreamResponse(status=response.status, reason=response.reason)
            for name, value in response.headers.items():
                if name.lower() not in HOP:
                    out.headers.add(name, value)
            sent.append(out)
            await out.prepare(request)
            async for chunk in response.content.iter_any():
                await out.write(chunk)
            await out.write_eof()
        return Outcome(function.name, invocation_id, reply=HttpReply(response.status))

    outcome = await invoker.run(function, attempt, f"{request.method} {request.rel_url.raw_path}")
    return outcome, sent[0] if sent else None


async def _connected(invoker: Invoker, request: web.Request, invocation_id: str) -> aiohttp.ClientResponse:
    """Connection errors are tried again up to ten times, as long as no body has been read."""
    url = URL(f"{invoker.handler_url}{request.raw_path}", encoded=True)
    own = {"x-azure-functions-hostversion", "x-azure-functions-invocationid", "x-ms-invocation-id"}
    headers = [(k, v) for k, v in request.headers.items() if k.lower() not in HOP | own]
    headers += [
        ("X-Forwarded-For", request.remote or "127.0.0.1"),
        ("X-Forwarded-Host", request.host),
        ("X-Forwarded-Proto", request.scheme),
        ("X-Azure-Functions-HostVersion", HOST_VERSION),
        ("X-Azure-Functions-InvocationId", invocation_id),
        ("x-ms-invocation-id", invocation_id),
    ]
    timeout = aiohttp.ClientTimeout(total=None, sock_read=PROXY_IDLE_S)
    for number in range(PROXY_TRIES + 1):
        body = request.content.iter_any() if request.body_exists else None
        try:
            return await invoker.session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False, timeout=timeout
            )
        except aiohttp.ClientConnectorError:
            if number == PROXY_TRIES:
                raise
            await asyncio.sleep(min(PROXY_PAUSE_S * (number + 1), 0.25))
    raise AssertionError("unreachable")
