"""The same endpoints in Litestar's way."""

from collections.abc import AsyncIterator

from litestar import Litestar, MediaType, Request, delete, get, post, route
from litestar.response import Redirect, Response, Stream


@get("/hello", media_type=MediaType.TEXT)
async def hello(request: Request, name: str = "nobody") -> Response[str]:  # type: ignore[type-arg]
    return Response(f"hello {name}", headers={"X-Path": request.url.path})


@route("/echo", http_method=["GET", "POST", "PUT", "DELETE", "PATCH"], status_code=200)
async def echo(request: Request) -> Response[bytes]:  # type: ignore[type-arg]
    return Response(await request.body(), media_type=request.headers.get("content-type", "application/octet-stream"))


@post("/size", status_code=200)
async def size(request: Request) -> dict[str, int]:  # type: ignore[type-arg]
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return {"size": total}


@get("/stream", media_type=MediaType.TEXT)
async def stream() -> Stream:
    async def pieces() -> AsyncIterator[str]:
        for n in range(20):
            yield f"piece {n}\n" * 50

    return Stream(pieces())


@get("/large", media_type="application/octet-stream")
async def large() -> bytes:
    return b"x" * 3_000_000


@delete("/empty")
async def empty() -> None:
    return None


@get("/moved", status_code=302)
async def moved() -> Redirect:
    return Redirect("/hello?name=moved")


@get("/cookies")
async def cookies(request: Request) -> Response[dict[str, str]]:  # type: ignore[type-arg]
    response = Response(dict(request.cookies))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True, samesite="lax")
    return response


@get("/params/{word:str}")
async def params(request: Request, word: str) -> list[object]:  # type: ignore[type-arg]
    return [word, request.query_params.getall("q", []), request.headers.get("x-one")]


@get("/teapot", status_code=418, media_type=MediaType.TEXT)
async def teapot() -> str:
    return "short and stout"


app = Litestar([hello, echo, size, stream, large, empty, moved, cookies, params, teapot])
