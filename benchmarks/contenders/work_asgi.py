"""The functions of work.py as a plain ASGI app, for uvicorn and gunicorn."""

import os
import signal
import time
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """/work burns a millisecond, /crash kills its worker."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    until = time.perf_counter() + 0.001
    while time.perf_counter() < until:
        pass
    body = b'{"Outputs":{},"Logs":[],"ReturnValue":null}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
