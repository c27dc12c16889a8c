"""The endpoints that every framework's app in this folder has, in Starlette's way."""

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route


async def hello(request: Request) -> Response:
    return PlainTextResponse(
        f"hello {request.query_params.get('name', 'nobody')}", headers={"X-Path": request.url.path}
    )


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers.get("content-type", "application/octet-stream"))


async def size(request: Request) -> Response:
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return JSONResponse({"size": total})


async def stream(request: Request) -> Response:
    async def pieces():  # type: ignore[no-untyped-def]
        for n in range(20):
            yield f"piece {n}\n" * 50

    return StreamingResponse(pieces(), media_type="text/plain")


async def large(request: Request) -> Response:
    return Response(b"x" * 3_000_000, background=BackgroundTask(lambda: None))


async def empty(request: Request) -> Response:
    return Response(status_code=204)


async def moved(request: Request) -> Response:
    return RedirectResponse("/hello?name=moved")


async def cookies(request: Request) -> Response:
    response = JSONResponse(dict(request.cookies))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True, samesite="lax")
    return response


async def params(request: Request) -> Response:
    return JSONResponse([request.path_params["word"], request.query_params.getlist("q"), request.headers.get("x-one")])


async def teapot(request: Request) -> Response:
    return PlainTextResponse("short and stout", status_code=418)


ALL = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
app = Starlette(
    routes=[
        Route("/hello", hello),
        Route("/echo", echo, methods=ALL),
        Route("/size", size, methods=["POST"]),
        Route("/stream", stream),
        Route("/large", large),
        Route("/empty", empty, methods=["DELETE"]),
        Route("/moved", moved),
        Route("/cookies", cookies),
        Route("/params/{word}", params),
        Route("/teapot", teapot),
    ]
)
