"""Items as they are made, as a bare ASGI app: what a stream costs without a framework. Async generators only."""

from typing import Any

import orjson

from benchmarks.functions.stream import items

HEADERS = [(b"content-type", b"application/x-ndjson")]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """ASGI 3."""
    if scope["type"] != "http":
        return
    _, prefix, name, count, pause_us = scope["path"].split("/")
    if (prefix, name) != ("api", "items"):
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async for item in items.some_async(int(count), int(pause_us)):
        await send({"type": "http.response.body", "body": orjson.dumps(item) + b"\n", "more_body": True})
    await send({"type": "http.response.body", "body": b""})
