"""The same endpoints in Flask's way."""

from collections.abc import Iterator

from flask import Flask, Response, jsonify, redirect, request

app = Flask(__name__)


@app.get("/hello")
def hello() -> Response:
    return Response(
        f"hello {request.args.get('name', 'nobody')}", mimetype="text/plain", headers={"X-Path": request.path}
    )


@app.route("/echo", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def echo() -> Response:
    return Response(request.get_data(), content_type=request.headers.get("content-type", "application/octet-stream"))


@app.post("/size")
def size() -> Response:
    total = 0
    while piece := request.stream.read(65536):
        total += len(piece)
    return jsonify(size=total)


@app.get("/stream")
def stream() -> Response:
    def pieces() -> Iterator[str]:
        for n in range(20):
            yield f"piece {n}\n" * 50

    return Response(pieces(), mimetype="text/plain")


@app.get("/large")
def large() -> Response:
    return Response(b"x" * 3_000_000)


@app.delete("/empty")
def empty() -> tuple[str, int]:
    return "", 204


@app.get("/moved")
def moved() -> object:
    return redirect("/hello?name=moved")


@app.get("/cookies")
def cookies() -> Response:
    response = jsonify(dict(request.cookies))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True, samesite="lax")
    return response


@app.get("/params/<word>")
def params(word: str) -> Response:
    return jsonify([word, request.args.getlist("q"), request.headers.get("x-one")])


@app.get("/teapot")
def teapot() -> tuple[str, int]:
    return "short and stout", 418
