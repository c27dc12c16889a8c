"""The ASGI bridge by itself: messages in their order, bodies piece by piece, clients that leave, and lifespans."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread
import pytest

from fastworker.adapters.asgi import AsgiApp, Lifespan
from fastworker.adapters.exact_response import ExactResponse
from fastworker.errors import AppLoadError
from fastworker.protocol.answer import Answer
from fastworker.protocol.http_request import Request as HttpRequest
from fastworker.protocol.plain_http import PlainRequest, Streaming

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def request_of(
    target: bytes = b"/x", method: bytes = b"GET", body: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None
) -> PlainRequest[Any]:
    fields = [(b"Host", b"inner:1"), *(headers or [])]
    return PlainRequest(HttpRequest(method, target, fields, body, True, b"", None), {})


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [*headers]}


def piece(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def answer_of(application: Any, request: PlainRequest[Any] | None = None, prefix: str = "") -> ExactResponse:
    response = await AsgiApp(application, prefix)(request or request_of())
    assert isinstance(response, ExactResponse)
    return response


def test_the_scope_tells_what_the_client_asked_for() -> None:
    """Scheme, host and client by the proxy's headers; the prefix as root_path, in the client's spelling."""
    seen: dict[str, Any] = {}

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        seen.update(scope)
        await send(start())
        await send(piece(b""))

    headers = [
        (b"X-Forwarded-Host", b"app.example"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-For", b"1.2.3.4:567"),
        (b"X-A", b"\xe9"),
    ]
    asyncio.run(answer_of(application, request_of(b"/API/a%20b?q=1&q=2", headers=headers), "api"))
    assert {name: seen[name] for name in ("type", "method", "scheme", "path", "raw_path", "query_string")} == {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": "/API/a b",
        "raw_path": b"/API/a%20b",
        "query_string": b"q=1&q=2",
    }
    assert (seen["root_path"], seen["server"], seen["client"]) == ("/API", ("app.example", 443), ("1.2.3.4", 567))
    assert (b"host", b"app.example") in seen["headers"] and (b"x-a", b"\xe9") in seen["headers"]


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [(b"/api/x", "api", "/api"), (b"/apix", "api", ""), (b"/api", "api", "/api"), (b"/x", "", ""), (b"/", "api", "")],
)
def test_the_prefix_is_the_root_path_only_where_it_stands(path: bytes, prefix: str, expected: str) -> None:
    """`/apix` is not below `/api`."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await send(start(200, (b"x-root", scope["root_path"].encode())))
        await send(piece(b""))

    response = asyncio.run(answer_of(application, request_of(path), prefix))
    assert dict(response.raw_headers)[b"x-root"] == expected.encode()


def test_a_whole_response_keeps_headers_and_bytes_and_says_its_length_once() -> None:
    """What frames the message is the server's own."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        message = await receive()
        assert message == {"type": "http.request", "body": b"in", "more_body": True}
        assert (await receive()) == {"type": "http.request", "body": b"", "more_body": False}
        await send(
            start(201, (b"content-length", b"3"), (b"connection", b"close"), (b"set-cookie", b"a"), (b"x", b"1"))
        )
        await send(piece(b"out"))

    answer = asyncio.run(answer_of(application, request_of(body=b"in", method=b"POST"))).in_plain_http()
    assert answer == Answer(201, b"out", b"", ((b"set-cookie", b"a"), (b"x", b"1")))


async def _items(response: ExactResponse) -> list[bytes]:
    streaming = response.in_plain_http()
    assert isinstance(streaming, Streaming)
    return [item async for item in streaming.source]


def test_a_response_in_pieces_holds_one_piece_at_a_time() -> None:
    """The application waits with the next one until the one before has been taken."""
    sent: list[int] = []

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await send(start())
        for n in range(5):
            await send(piece(b"%d" % n, more=n < 4))
            sent.append(n)

    async def run() -> None:
        response = await answer_of(application)
        streaming = response.in_plain_http()
        assert isinstance(streaming, Streaming)
        for n in range(5):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(sent) <= n + 2
            assert await anext(streaming.source) == b"%d" % n
        with pytest.raises(StopAsyncIteration):
            await anext(streaming.source)

    asyncio.run(run())


@pytest.mark.parametrize("length", [b"2", b"9"])
def test_a_length_that_is_not_kept_is_the_applications_failure(length: bytes) -> None:
    """Whole or in pieces: the client would wait for bytes, or take them for the next answer."""

    async def whole(scope: Any, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-length", length)))
        await send(piece(b"abcd"))

    async def pieces(scope: Any, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-length", length)))
        await send(piece(b"ab", more=True))
        await send(piece(b"cd"))

    with pytest.raises(RuntimeError, match="promised"):
        asyncio.run(answer_of(whole))

    async def run() -> None:
        await _items(await answer_of(pieces))

    with pytest.raises(RuntimeError, match="promised"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([piece(b"x")], "expected the ASGI message 'http.response.start'"),
        ([start(), start()], "expected the ASGI message 'http.response.body'"),
        ([start(), piece(b""), piece(b"")], "the response is complete"),
        ([], "ended without a response"),
        ([start()], "ended without a response"),
    ],
)
def test_messages_out_of_order_are_refused(messages: list[Any], said: str) -> None:
    """Where the application can see it, and the client gets a 500 if nothing is out yet."""
    raised: list[str] = []

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send(message)
        except RuntimeError as error:
            raised.append(str(error))
            raise

    async def run() -> None:
        try:
            await answer_of(application)
        except RuntimeError as error:
            raised.append(str(error))
        await asyncio.sleep(0)

    asyncio.run(run())
    assert any(said in text for text in raised)


def test_trailers_early_hints_and_debug_messages_are_passed_over() -> None:
    """Nobody on the way would pass them on."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        assert scope["extensions"] == {}
        await send({"type": "http.response.early_hint", "links": []})
        await send(start())
        await send({"type": "http.response.trailers", "headers": []})
        await send(piece(b"x"))

    assert asyncio.run(answer_of(application)).body == b"x"


def test_an_application_that_fails_before_its_response_fails_the_invocation() -> None:
    """With its own exception."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        asyncio.run(answer_of(application))


def test_a_client_that_leaves_is_told_to_the_application() -> None:
    """`receive` gives http.disconnect, and `send` raises OSError."""
    seen: list[Any] = []

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(piece(b"1", more=True))
        seen.append((await receive())["type"])
        try:
            await send(piece(b"2", more=True))
            await send(piece(b"3", more=True))
        except OSError:
            seen.append("OSError")

    async def run() -> None:
        response = await answer_of(application)
        streaming = response.in_plain_http()
        assert isinstance(streaming, Streaming)
        assert await anext(streaming.source) == b"1"
        await streaming.source.aclose()
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert seen == ["http.disconnect", "OSError"]


def test_background_work_goes_on_behind_the_response() -> None:
    """A response is out as soon as it is complete; what the application does then is its own."""
    done: list[str] = []

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await send(start())
        await send(piece(b"x"))
        await asyncio.sleep(0)
        done.append("later")

    async def run() -> None:
        response = await answer_of(application)
        assert response.body == b"x"
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert done == ["later"]


def test_the_answer_to_head_tells_a_length_and_has_no_body() -> None:
    """The application's own length, whatever it sent."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-length", b"1234")))
        await send(piece(b""))

    answer = asyncio.run(answer_of(application, request_of(method=b"HEAD"))).in_plain_http()
    assert isinstance(answer, Streaming) and answer.length == 1234


def test_a_websocket_is_refused_with_the_reason() -> None:
    """The host passes none on: it would hang."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        raise AssertionError("not called")

    headers = [(b"Sec-WebSocket-Key", b"x")]
    response = asyncio.run(AsgiApp(application)(request_of(headers=headers)))
    assert response.status_code == 501 and "WebSocket" in response.body


# ---- lifespan --------------------------------------------------------------------------------------------------


def test_the_state_of_the_lifespan_is_in_every_request() -> None:
    """A copy each time, as the specification has it; the shutdown is told."""
    seen: list[Any] = []

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["db"] = "open"
            assert (await receive())["type"] == "lifespan.startup"
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            seen.append("closed")
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(dict(scope["state"]))
        scope["state"]["db"] = "changed"
        await send(start())
        await send(piece(b""))

    async def run() -> None:
        app = AsgiApp(application)
        await app.startup()
        await app(request_of())
        await app(request_of())
        await app.shutdown()

    asyncio.run(run())
    assert seen == [{"db": "open"}, {"db": "open"}, "closed"]


def test_a_lifespan_that_fails_says_why() -> None:
    """The worker cannot start then."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(AppLoadError, match="its lifespan failed: no database"):
        asyncio.run(Lifespan(application).startup())


def test_an_application_without_a_lifespan_is_served() -> None:
    """It raises for a scope that it does not know."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"

    async def run() -> None:
        lifespan = Lifespan(application)
        await lifespan.startup()
        assert lifespan.state is None
        await lifespan.shutdown()

    asyncio.run(run())


# ---- odd responses -----------------------------------------------------------------------------------------------


def test_a_response_that_nobody_asks_for_ends_its_application() -> None:
    """HEAD, or a client that left before the first piece: the application hears of it, and no task is left."""
    seen: list[Any] = []

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            for _ in range(10):
                await send(piece(b"x", more=True))
        except OSError:
            seen.append((await receive())["type"])

    async def run() -> None:
        streaming = (await answer_of(application, request_of(method=b"HEAD"))).in_plain_http()
        assert isinstance(streaming, Streaming)
        await streaming.source.aclose()
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert seen == ["http.disconnect"]


def test_a_304_may_tell_the_length_of_what_it_does_not_send() -> None:
    """As HEAD (RFC 9110, 15.4.5)."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await send(start(304, (b"content-length", b"5"), (b"etag", b"a")))
        await send(piece(b""))

    answer = asyncio.run(answer_of(application)).in_plain_http()
    assert isinstance(answer, Answer) and (answer.status, answer.body) == (304, b"")


def test_a_response_that_cannot_be_sent_fails_and_leaves_no_task() -> None:
    """A header that would be another one."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await send(start(200, (b"x-a", b"1\r\nX-Evil: 1")))
        await send(piece(b"x", more=True))
        await send(piece(b"x", more=True))

    async def run() -> None:
        with pytest.raises(ValueError, match=r"X-Evil|header"):
            await answer_of(application)
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_an_invocation_that_is_cancelled_lasts_as_long_as_a_thread_of_its_application() -> None:
    """Else its worker would take another request beside the thread, and nobody would end that at its deadline."""
    begun, go = threading.Event(), threading.Event()

    def compute() -> None:
        begun.set()
        go.wait()

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await anyio.to_thread.run_sync(compute)

    async def run() -> None:
        invocation = asyncio.ensure_future(answer_of(application))
        while not begun.is_set():
            await asyncio.sleep(0)
        invocation.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not invocation.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await invocation

    asyncio.run(run())
