"""The functions as a bare ASGI app: no framework, JSON by orjson. Served by uvicorn, gunicorn + uvicorn and granian.

Rule: as light as an engineer would still keep it: whole bodies, one dictionary of functions, no middleware. What
computes does so on the loop, as in most ASGI apps; waiting is awaited.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from benchmarks.functions.work import burn

Data = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def order(data: Data) -> dict[str, Any]:
    """The documentation's: an http request becomes a queue message."""
    outputs = {"res": {"statusCode": 200, "body": "Order complete"}, "message": data["req"]["Body"]}
    return {"Outputs": outputs, "Logs": ["order processed"], "ReturnValue": None}


async def echo(data: Data) -> dict[str, Any]:
    """The length of the http body, as text."""
    length = str(len(data["req"]["Body"].encode()))
    return {"Outputs": {"res": {"statusCode": 200, "body": length}}, "Logs": [], "ReturnValue": None}


async def work(data: Data) -> dict[str, Any]:
    """Computes for `job` milliseconds."""
    return _returned(burn(orjson.loads(data["job"])))


async def wait(data: Data) -> dict[str, Any]:
    """Waits and computes, for half of `job` milliseconds each."""
    ms = orjson.loads(data["job"])
    await asyncio.sleep(ms / 2000)
    return _returned(burn(ms / 2))


def _returned(value: bytes) -> dict[str, Any]:
    return {"Outputs": {}, "Logs": [], "ReturnValue": base64.b64encode(value).decode()}


FUNCTIONS = {f"/{function.__name__}": function for function in (order, echo, work, wait)}
JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    function = FUNCTIONS.get(scope["path"])
    body = await _body(receive)
    status, kind = 200, JSON
    if function is not None:
        answer = orjson.dumps(await function(orjson.loads(body)["Data"]))
    elif scope["path"] == "/api/echo":  # plain HTTP: the length of the body
        answer, kind = b"%d" % len(body), TEXT
    else:
        status, answer = 404, b"{}"
    headers = [kind, (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _body(receive: Receive) -> bytes:
    message = await receive()
    if not message.get("more_body"):
        return bytes(message["body"])
    pieces = [message["body"]]
    while message.get("more_body"):
        message = await receive()
        pieces.append(message["body"])
    return b"".join(pieces)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{event}.complete"})
        if event == "shutdown":
            return
