"""Plain HTTP for http-only functions (protocol section 3): forward, and the streaming proxy.

Used by front.py. Rule: the two differ from each other only where the protocol says so; both end in an Outcome.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from fastworker.devhost import HOST_VERSION
from fastworker.devhost.functions import Function
from fastworker.devhost.handler_client import HandlerConnectError
from fastworker.devhost.invocations import InvocationError, Invoker, Outcome
from fastworker.devhost.webserver import Request
from fastworker.hostrules.answers import AnswerError, HttpReply
from fastworker.hostrules.envelope import HttpRequest
from fastworker.hostrules.forwarded import EXPECT_WAIT_S, TRIES, forwarded_reply, forwarded_request

# Fields of one connection, which a proxy does not pass on.
HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}
)
PROXY_TRIES: Final = 10
PROXY_PAUSE_S: Final = 0.05
PROXY_IDLE_S: Final = 240.0
CLIENT_LOOK_S: Final = 0.1


async def forward(invoker: Invoker, function: Function, request: HttpRequest, raw_path: str) -> Outcome:
    """Buffered both ways; the client gets the handler's status, headers and body as they are (3.1)."""
    by_name = function.name if invoker.host.forwards_by_name else ""

    async def attempt(invocation_id: str, _: Mapping[str, Any] | None) -> Outcome:
        sent = forwarded_request(request, raw_path, invocation_id, HOST_VERSION, by_name=by_name)
        expects = any(name == "Expect" and value.lower() == "100-continue" for name, value in sent.headers)
        async with invoker.following(
            sent.method,
            sent.target,
            invoker.traces.headers(sent.headers),
            sent.body,
            tries=TRIES,
            expect_wait_s=EXPECT_WAIT_S if expects else 0.0,
        ) as response:
            body = await response.read()
        try:
            reply = forwarded_reply(response.status, response.reason, response.headers, body, method=sent.method)
        except AnswerError as error:
            raise AnswerError(str(error), too_late=True, reason=response.reason) from None
        return Outcome(function.name, invocation_id, reply=reply)

    parent = invoker.traces.parent(request.headers, {})
    return await invoker.run(function, attempt, f"{request.method} {raw_path}", parent=parent)


async def proxy(invoker: Invoker, function: Function, request: Request) -> Outcome:
    """Streamed both ways (3.2). Where the answer could not be begun the caller answers; one that broke off is cut."""

    async def attempt(invocation_id: str, _: Mapping[str, Any] | None) -> Outcome:
        passing = asyncio.create_task(_pass_on(invoker, request, invocation_id))
        leaving = asyncio.create_task(_client_leaves(request))
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            is_whole = passing.done() and passing.exception() is None
            if not is_whole and request.is_gone:  # a handler is not to blame for what its client does
                raise InvocationError("the client went away")
            return Outcome(function.name, invocation_id, reply=HttpReply(await passing))
        finally:
            passing.cancel()
            leaving.cancel()
            await asyncio.gather(passing, leaving, return_exceptions=True)

    parent = invoker.traces.parent(request.headers, {})
    outcome = await invoker.run(function, attempt, f"{request.method} {request.raw_path}", parent=parent)
    if request.begun and not outcome.ok:
        request.abort()  # or what is finished in good order here would look whole
    return outcome


async def _pass_on(invoker: Invoker, request: Request, invocation_id: str) -> int:
    """The handler's answer to the client, as it comes. Returns its status."""
    own = {"x-azure-functions-hostversion", "x-azure-functions-invocationid", "x-ms-invocation-id"}
    headers = [("Host", f"127.0.0.1:{invoker.handler.port}")]
    headers += [(name, value) for name, value in request.headers if name.lower() not in HOP | own]
    headers += [
        ("X-Forwarded-For", request.remote or "127.0.0.1"),
        ("X-Forwarded-Host", request.host),
        ("X-Forwarded-Proto", request.scheme),
        ("X-Azure-Functions-HostVersion", HOST_VERSION),
        ("X-Azure-Functions-InvocationId", invocation_id),
        ("x-ms-invocation-id", invocation_id),
    ]
    if request.chunked:
        headers.append(("Transfer-Encoding", "chunked"))
    headers = invoker.traces.headers(headers)
    for number in range(PROXY_TRIES + 1):
        try:
            body = _passed_body(request)
            async with invoker.client.request(
                invoker.handler_address, request.method, request.target, headers, body
            ) as response:
                passed = [(name, value) for name, value in response.headers if name.lower() not in HOP]
                await request.begin(response.status, response.reason, passed)
                pieces = aiter(response.pieces())
                while True:
                    async with asyncio.timeout(PROXY_IDLE_S):
                        piece = await anext(pieces, b"")
                    if not piece:
                        break
                    await request.write(piece)
                await request.end()
                return response.status
        except HandlerConnectError:
            if number == PROXY_TRIES:
                raise
            await asyncio.sleep(min(PROXY_PAUSE_S * (number + 1), 0.25))
    raise AssertionError("unreachable")


async def _passed_body(request: Request) -> AsyncIterator[bytes]:
    async for piece in request.pieces():
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if request.chunked else piece
    if request.chunked:
        yield b"0\r\n\r\n"


async def _client_leaves(request: Request) -> None:
    while not request.is_gone:
        await asyncio.sleep(CLIENT_LOOK_S)
