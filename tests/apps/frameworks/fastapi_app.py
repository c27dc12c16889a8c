"""The same endpoints in FastAPI's way: `def` and `async def` ones."""

from collections.abc import Iterator

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

app = FastAPI()


@app.get("/hello")
@app.head("/hello")
def hello(request: Request, name: str = "nobody") -> Response:
    return PlainTextResponse(f"hello {name}", headers={"X-Path": request.url.path})


@app.api_route("/echo", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers.get("content-type", "application/octet-stream"))


@app.post("/size")
async def size(request: Request) -> dict[str, int]:
    return {"size": len(await request.body())}


@app.get("/stream")
def stream() -> Response:
    def pieces() -> Iterator[str]:
        for n in range(20):
            yield f"piece {n}\n" * 50

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/large")
def large() -> Response:
    return Response(b"x" * 3_000_000)


@app.delete("/empty", status_code=204)
def empty() -> None:
    return None


@app.get("/moved")
def moved() -> Response:
    return RedirectResponse("/hello?name=moved")


@app.get("/cookies")
def cookies(request: Request) -> Response:
    response = JSONResponse(dict(request.cookies))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True, samesite="lax")
    return response


@app.get("/params/{word}")
def params(word: str, q: list[str] = Query([]), x_one: str | None = Header(None)) -> list[object]:  # noqa: B008
    return [word, q, x_one]


@app.get("/teapot")
def teapot() -> Response:
    return PlainTextResponse("short and stout", status_code=418)
