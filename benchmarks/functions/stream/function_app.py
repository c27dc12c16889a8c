"""Items as they are made, served by fastworker as plain HTTP (host.json: enableProxyingHttpRequest)."""

import fastworker as fw
from benchmarks.functions.stream import items

app = fw.App()


@app.route("items/{count}/{pause_us}", methods=["GET"], auth_level="anonymous")
async def stream(req: fw.Request) -> fw.Response:
    """From an async generator."""
    count, pause_us = int(req.params["count"]), int(req.params["pause_us"])
    return fw.Response(items.some_async(count, pause_us), content_type="application/x-ndjson")


@app.route("items-sync/{count}/{pause_us}", methods=["GET"], auth_level="anonymous")
def stream_sync(req: fw.Request) -> fw.Response:
    """From an ordinary generator."""
    count, pause_us = int(req.params["count"]), int(req.params["pause_us"])
    return fw.Response(items.some(count, pause_us), content_type="application/x-ndjson")
