"""Functions with http bindings only: the same app in all three shapes (tests/integration/test_plain.py and others)."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

import fastworker as fw

app = fw.App()
FILE = Path(__file__)


def note(text: str) -> None:
    """Tells the test, by way of the log."""
    print(f"note: {text}", flush=True)


class Order(msgspec.Struct):
    id: int
    quantity: int = 1


# -- one request, one answer -----------------------------------------------------------------------------------------


@app.route("describe/{name?}")
def describe(req: fw.Request) -> dict[str, Any]:
    return {
        "method": req.method,
        "path": req.url.partition("?")[0].partition("//")[2].partition("/")[2],
        "query": dict(req.query),
        "header": req.headers.get("x-test"),
        "cookies": req.cookies,
        "params": dict(req.params),
        "body": req.body,
        "text": req.text,
    }


@app.route("repeated")
def repeated(req: fw.Request) -> list[str]:
    return req.query.get_all("a")


@app.route("items/{category:alpha}/{id:int?}")
def item(req: fw.Request, category: str, id: int = 7) -> dict[str, Any]:  # noqa: A002 - a route's usual name
    return {"category": category, "id": id}


@app.route("files/{*path}")
def files(req: fw.Request, path: str = "") -> str:
    return path


@app.route("order", methods=["POST"])
def order(req: fw.Request[Order]) -> fw.Response:
    return fw.Response({"id": req.body.id, "total": req.body.quantity * 2}, status_code=201)


@app.route("form", methods=["POST"])
def form(req: fw.Request) -> dict[str, Any]:
    fields = req.form()
    return {"fields": fields, "files": {k: [len(f.content) for f in v] for k, v in fields.files.items()}}


@app.route("nothing")
def nothing(req: fw.Request) -> None:
    return None


@app.route("text")
def text(req: fw.Request) -> fw.Response:
    return fw.Response("Grüße", headers={"X-One": "1"}, cookies={"a": "1"})


@app.route("moved")
def moved(req: fw.Request) -> fw.Response:
    return fw.Response.redirect("/api/text?x=ü")


@app.route("fails")
def fails(req: fw.Request) -> None:
    raise ValueError("the password is 12345")


@app.route("dies")
def dies(req: fw.Request) -> None:
    os._exit(1)


@app.route("busy")
def busy(req: fw.Request) -> str:
    until = time.monotonic() + float(req.query.get("seconds", "30"))
    while time.monotonic() < until:
        pass
    return "done"


@app.function(deadline=1.0)
@app.route("overruns")
def overruns(req: fw.Request) -> None:
    while True:
        pass


@app.route("async-busy")
async def async_busy(req: fw.Request) -> str:
    await asyncio.sleep(0.01)
    until = time.monotonic() + float(req.query.get("seconds", "0.5"))
    while time.monotonic() < until:
        pass
    return "done"


@app.route("nap")
async def nap(req: fw.Request) -> str:
    await asyncio.sleep(float(req.query.get("seconds", "1")))
    return "rested"


# -- what an envelope cannot carry -----------------------------------------------------------------------------------


@app.route("binary")
def binary(req: fw.Request) -> fw.Response:
    return fw.Response(bytes(range(256)), content_type="image/png")


@app.route("cookies")
def cookies(req: fw.Request) -> fw.Response:
    return fw.Response("two", cookies={"a": "1", "b": "2"})


@app.route("inject")
def inject(req: fw.Request) -> fw.Response:
    return fw.Response("x", headers={"X-Evil": req.query["value"]})


@app.route("source")
def source(req: fw.Request) -> fw.Response:
    return fw.Response.file(FILE, content_type="text/plain; charset=utf-8")


@app.route("lost-file")
def lost_file(req: fw.Request) -> fw.Response:
    return fw.Response.file(FILE.with_name("is-not-there"))


@app.route("any-file")
def any_file(req: fw.Request) -> fw.Response:
    return fw.Response.file(req.query["path"])


@app.route("echo", methods=["POST"])
def echo(req: fw.Request) -> bytes:
    return req.bytes


@app.route("large")
def large(req: fw.Request) -> str:
    return "x" * int(req.query["size"])


@app.route("length", methods=["POST"])
def length(req: fw.Request) -> dict[str, int]:
    return {"length": len(req.bytes)}


@app.route("worker")
def worker(req: fw.Request) -> int:
    return os.getpid()


# -- streams ---------------------------------------------------------------------------------------------------------


@app.route("count")
def count(req: fw.Request) -> Iterator[Any]:
    try:
        for n in range(int(req.query.get("items", "3"))):
            yield {"n": n}
            time.sleep(float(req.query.get("pause", "0")))
        note("count ended")
    except GeneratorExit:
        note("count was closed")
        raise
    except fw.DeadlineExceeded:
        note("count ran too long")
        raise


@app.route("busy-stream")
async def busy_stream(req: fw.Request) -> AsyncIterator[str]:
    yield "before"
    until = time.monotonic() + float(req.query["seconds"])
    while time.monotonic() < until:
        pass
    yield "after"


@app.route("count-async")
async def count_async(req: fw.Request) -> AsyncIterator[Any]:
    try:
        for n in range(int(req.query.get("items", "3"))):
            yield {"n": n}
            await asyncio.sleep(float(req.query.get("pause", "0")))
        note("count ended")
    except GeneratorExit:
        note("count was closed")
        raise
    except asyncio.CancelledError:
        note("count was cancelled")
        raise


@app.route("array")
def array(req: fw.Request) -> fw.Response:
    return fw.Response(({"n": n} for n in range(int(req.query.get("items", "3")))), content_type="application/json")


@app.route("pieces")
async def pieces(req: fw.Request) -> fw.Response:
    size = int(req.query.get("size", "1000"))

    async def made() -> AsyncIterator[bytes]:
        for _ in range(int(req.query.get("items", "3"))):
            yield b"x" * size

    return fw.Response(made())


@app.route("pieces-sync")
def pieces_sync(req: fw.Request) -> Iterator[bytes]:
    try:
        for _ in range(int(req.query.get("items", "3"))):
            yield b"x" * int(req.query.get("size", "1000"))
    except GeneratorExit:
        note("pieces were closed")
        raise


@app.route("events")
async def events(req: fw.Request) -> fw.EventStream:
    first = int(req.headers.get("last-event-id", "0")) + 1

    async def made() -> AsyncIterator[Any]:
        yield fw.Event(data={"n": first}, id=first)
        yield fw.Event(data="two\nlines", event="note", comment="hi")
        await asyncio.sleep(float(req.query.get("pause", "0")))
        yield "plain"

    return fw.EventStream(made(), keep_alive=0.1, retry=50)


@app.route("events-sync")
def events_sync(req: fw.Request) -> fw.EventStream:
    return fw.EventStream([{"n": 1}, {"n": 2}])


@app.route("spoiled")
def spoiled(req: fw.Request) -> Iterator[Any]:
    """Fails at the item that is asked for, in the way that is asked for."""
    for n in range(int(req.query["at"])):
        yield {"n": n}
    match req.query["how"]:
        case "raise":
            raise ValueError("in the middle")
        case "unencodable":
            yield object()
        case "die":
            os._exit(1)
        case "spin":
            while True:
                pass
        case "stubborn":
            while True:
                with contextlib.suppress(BaseException):
                    time.sleep(60)


@app.route("upload", methods=["POST", "PUT"])
async def upload(req: fw.Request) -> dict[str, int]:
    total = most = 0
    async for chunk in req.stream():
        total += len(chunk)
        most = max(most, len(chunk))
    return {"total": total, "most": most}


@app.route("upload-sync", methods=["POST"])
def upload_sync(req: fw.Request) -> dict[str, int]:
    return {"total": sum(map(len, req.stream()))}


@app.route("upload-late", methods=["POST"])
async def upload_late(req: fw.Request) -> dict[str, int]:
    await asyncio.sleep(float(req.query.get("pause", "0.5")))
    return {"total": sum([len(chunk) async for chunk in req.stream()])}


@app.route("upload-part", methods=["POST"])
async def upload_part(req: fw.Request) -> str:
    async for chunk in req.stream():
        return f"had enough after {len(chunk) > 0}"
    return "nothing"


@app.route("upload-part-stream", methods=["POST"])
async def upload_part_stream(req: fw.Request) -> AsyncIterator[str]:
    async for chunk in req.stream():
        yield f"had enough after {len(chunk) > 0}"
        return


@app.route("upload-either", methods=["POST"])
async def upload_either(req: fw.Request) -> dict[str, int]:
    """Could stream, and asks for the whole body."""
    if "stream" in req.query:
        return {"total": sum([len(chunk) async for chunk in req.stream()])}
    return {"total": len(req.bytes)}


@app.route("upload-order", methods=["POST"])
async def upload_order(req: fw.Request[Order]) -> int:
    """Has the word `stream` in it, and asks for a typed body."""
    [] if req.body.id else req.stream()
    return req.body.id


@app.route("upload-whole", methods=["POST"])
async def upload_whole(req: fw.Request) -> dict[str, int]:
    """Has the word `stream` in it, and asks for the whole body."""
    json.stream = None  # type: ignore[attr-defined]
    return {"total": len(req.bytes)}


@app.route("both-ways", methods=["POST"])
async def both_ways(req: fw.Request) -> AsyncIterator[bytes]:
    async for chunk in req.stream():
        yield bytes(chunk).upper()
