"""An ASGI application that makes a span of its own."""

from typing import Any

from opentelemetry import trace

tracer = trace.get_tracer("application")


async def application(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    with tracer.start_as_current_span("in-application"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"hello"})
