"""ASGI and WSGI applications for tests on a real socket: streams, clients that leave, and what comes behind an answer.

They print what happens to them; a line on standard output is what a test waits for.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route


def say(text: str) -> None:
    print(text, flush=True)


async def both_ways(request: Request) -> Response:
    """Each piece of the request is answered in upper case before the next one is there."""

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in request.stream():
            if piece:
                yield piece.upper()

    return StreamingResponse(pieces())


async def endless(request: Request) -> Response:
    """Until the client leaves; the generator's own cleaning up is run."""

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.005)
        finally:
            say("endless ended")

    return StreamingResponse(pieces())


async def waits_for_the_end(request: Request) -> Response:
    """One piece, and then nothing until the client leaves."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        while not await request.is_disconnected():
            await asyncio.sleep(0.005)
        say("it has left")

    return StreamingResponse(pieces())


async def upload(request: Request) -> Response:
    total = 0
    try:
        async for piece in request.stream():
            total += len(piece)
    except ClientDisconnect:
        say("upload broken off")
        raise
    return PlainTextResponse(str(total))


async def unread(request: Request) -> Response:
    """Answers without a look at the body."""
    return PlainTextResponse("not interested", status_code=413)


async def behind(request: Request) -> Response:
    """Work that goes on behind the answer, and another one while the client waits for nothing."""

    async def later() -> None:
        await anyio.sleep(0.05)
        say("done behind the answer")

    return PlainTextResponse("answered", background=BackgroundTask(later))


async def produced(request: Request) -> Response:
    """As fast as somebody takes it; says how far it came when it is cut."""
    count = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal count
        try:
            while count < 1000:
                count += 1
                yield b"y" * 100_000
        finally:
            say(f"produced {count}")

    return StreamingResponse(pieces())


async def fails_late(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"good"
        raise LookupError("too late to tell")

    return StreamingResponse(pieces())


async def nothing(request: Request) -> Response:
    return Response(status_code=204)


async def known_length(request: Request) -> Response:
    return JSONResponse({"method": request.method, "db": request.state.db})


class Passed(BaseHTTPMiddleware):
    """Starlette's middleware reads `receive` on its own account, behind the answer too."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-passed"] = "yes"
        return response


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    if os.environ.get("WIRE_LIFESPAN") == "fails":
        raise RuntimeError("no database at all")
    say("lifespan begins")
    yield {"db": "open"}
    say("lifespan ends")


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route(f"/{endpoint.__name__.replace('_', '-')}", endpoint, methods=["GET", "POST"])
        for endpoint in (
            *(both_ways, endless, waits_for_the_end, upload, unread, behind, produced, fails_late, nothing),
            known_length,
        )
    ],
)
passed = Starlette(routes=app.routes, lifespan=lifespan)
passed.add_middleware(Passed)


async def says_failed(scope: Any, receive: Any, send: Any) -> None:
    """Says by the specification's message that it cannot start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the licence has expired"})


async def hints(scope: Any, receive: Any, send: Any) -> None:
    """Extensions that nobody has offered it, all around its response; then messages behind the end."""
    if scope["type"] != "http":
        raise ValueError("http only")
    await send({"type": "http.response.early_hint", "links": [b"</x>; rel=preload"]})
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": b"hinted"})
    await send({"type": "http.response.trailers", "headers": [(b"x-t", b"1")]})
    try:
        await send({"type": "http.response.body", "body": b"more"})
    except RuntimeError as error:
        say(f"refused: {error}")
    say(f"then {(await receive())['type']}, {(await receive())['type']}")


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Old and new ways of PEP 3333."""
    path = environ["PATH_INFO"]
    if path == "/write":
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"written, ")
        return [b"returned"]
    if path == "/file":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        file = open(environ["HTTP_X_FILE"], "rb")  # noqa: SIM115 - the server closes it
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 4096)
        return wrapped
    if path == "/input":
        first = environ["wsgi.input"].read(5)
        say(f"first {first!r}")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [first + environ["wsgi.input"].read()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return _pieces()


def _pieces() -> Iterator[bytes]:
    try:
        for number in range(2000):
            yield b"z" * 1000 + b"%d\n" % number
            time.sleep(0.002)
    finally:
        say("iterable closed")
