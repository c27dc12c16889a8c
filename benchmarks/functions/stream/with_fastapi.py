"""Items as they are made, by FastAPI's StreamingResponse; JSON by orjson, as its documentation recommends for speed."""

from collections.abc import AsyncIterator, Iterator

import orjson
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from benchmarks.functions.stream import items

NDJSON = "application/x-ndjson"
app = FastAPI(openapi_url=None)


@app.get("/api/items/{count}/{pause_us}")
async def stream(count: int, pause_us: int) -> StreamingResponse:
    """From an async generator."""

    async def lines() -> AsyncIterator[bytes]:
        async for item in items.some_async(count, pause_us):
            yield orjson.dumps(item) + b"\n"

    return StreamingResponse(lines(), media_type=NDJSON)


@app.get("/api/items-sync/{count}/{pause_us}")
async def stream_sync(count: int, pause_us: int) -> StreamingResponse:
    """From an ordinary generator, which runs in FastAPI's threads."""

    def lines() -> Iterator[bytes]:
        for item in items.some(count, pause_us):
            yield orjson.dumps(item) + b"\n"

    return StreamingResponse(lines(), media_type=NDJSON)
