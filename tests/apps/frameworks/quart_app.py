"""The same endpoints in Quart's way."""

from collections.abc import AsyncIterator

from quart import Quart, Response, jsonify, redirect, request

app = Quart(__name__)


@app.get("/hello")
async def hello() -> Response:
    return Response(
        f"hello {request.args.get('name', 'nobody')}", mimetype="text/plain", headers={"X-Path": request.path}
    )


@app.route("/echo", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def echo() -> Response:
    return Response(
        await request.get_data(), content_type=request.headers.get("content-type", "application/octet-stream")
    )


@app.post("/size")
async def size() -> Response:
    total = 0
    async for piece in request.body:
        total += len(piece)
    return jsonify(size=total)


@app.get("/stream")
async def stream() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for n in range(20):
            yield f"piece {n}\n".encode() * 50

    return Response(pieces(), mimetype="text/plain")


@app.get("/large")
async def large() -> Response:
    return Response(b"x" * 3_000_000)


@app.delete("/empty")
async def empty() -> tuple[str, int]:
    return "", 204


@app.get("/moved")
async def moved() -> object:
    return redirect("/hello?name=moved")


@app.get("/cookies")
async def cookies() -> Response:
    response = jsonify(dict(request.cookies))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True, samesite="lax")
    return response


@app.get("/params/<word>")
async def params(word: str) -> Response:
    return jsonify([word, request.args.getlist("q"), request.headers.get("x-one")])


@app.get("/teapot")
async def teapot() -> tuple[str, int]:
    return "short and stout", 418
