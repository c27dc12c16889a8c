"""ASGI applications on fastworker's streaming paths: each request a call of the application, nothing collected.

Made by detection.py for an application, and by web_extension.py for single functions.
Rule: at most one piece of a body waits here in each direction; the ASGI specification's order of messages is enforced.

    request.stream() --receive()--> application --send()--> one piece --> the connection
"""

import asyncio
import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from fastworker.adapters.exact_response import BODILESS, ExactResponse, content_length
from fastworker.adapters.web_request import WebRequest, root_path, web_request
from fastworker.errors import AppLoadError
from fastworker.logs import log, write_traceback
from fastworker.protocol.messages import Request, Response, WholeBody

Message = MutableMapping[str, Any]
Application = Callable[..., Awaitable[None]]

VERSION: Final = {"version": "3.0", "spec_version": "2.4"}
# Calls whose response has been given and that still run (background tasks): the loop holds tasks weakly.
_RUNNING: Final[set["asyncio.Task[None]"]] = set()
# For an application to end its lifespan when the worker stops.
SHUTDOWN_S: Final = 10.0
# For an application to end by itself after its client has gone away; then its call is cancelled.
LEAVE_S: Final = 5.0


class AsgiApp:
    """An ASGI application as a handler of http requests. `prefix` is the host's route prefix."""

    def __init__(self, application: Application, prefix: str = "") -> None:
        """Made before workers are forked."""
        _import_early()
        self.prefix = prefix
        self._application = application
        self._lifespan = Lifespan(application)

    async def __call__(self, req: Request[Any], members: Mapping[str, Any] | None = None) -> Response:
        """Answers one request; `members` are more of its scope."""
        found = web_request(req)
        headers = dict(found.headers)
        if b"sec-websocket-key" in headers:
            return Response(
                "WebSocket connections do not reach this application: the Functions host passes none on",
                status_code=501,
            )
        scope = http_scope(found, self.prefix)
        if members is not None:
            scope.update(members)
        if self._lifespan.state is not None:
            scope["state"] = self._lifespan.state.copy()
        return await respond(self._application, scope, req)

    @property
    def has_def_endpoints(self) -> bool:
        """Whether some endpoint runs in a thread: two would share one core of this worker, while another one idles."""
        return _has_def_endpoints(self._application)

    async def startup(self) -> None:
        """Runs the application's lifespan until it is ready. Raises AppLoadError if it says that it failed."""
        await self._lifespan.startup()

    async def shutdown(self) -> None:
        """Ends the lifespan."""
        await self._lifespan.shutdown()


def _import_early() -> None:
    """What anyio, under Starlette and others, would import with the first request of each worker: 15 modules."""
    if "anyio" in sys.modules:
        with contextlib.suppress(ImportError):  # another layout than that of today
            importlib.import_module("anyio._backends._asyncio")


def _has_def_endpoints(value: Any) -> bool:
    """Whether Django, Starlette or FastAPI runs some endpoint in a thread."""
    if type(value).__module__.partition(".")[0] == "django":
        return True
    todo = list(getattr(value, "routes", None) or ())
    while todo:
        route = todo.pop()
        todo += list(getattr(route, "routes", None) or ())
        endpoint = getattr(route, "endpoint", None)
        while isinstance(endpoint, functools.partial):
            endpoint = endpoint.func
        own = str(getattr(endpoint, "__module__", "")).partition(".")[0] not in ("fastapi", "starlette")
        if own and inspect.isfunction(endpoint) and not inspect.iscoroutinefunction(endpoint):
            return True
    return False


def http_scope(found: WebRequest, prefix: str) -> dict[str, Any]:
    """The connection scope of a request (ASGI specification, "HTTP Connection Scope")."""
    return {
        "type": "http",
        "asgi": VERSION,
        "http_version": found.http_version,
        "method": found.method,
        "scheme": found.scheme,
        "path": found.decoded_path.decode("utf-8", "replace"),
        "raw_path": found.path,
        "query_string": found.query,
        "root_path": root_path(found.decoded_path, prefix),
        "headers": found.headers,
        "client": found.client,
        "server": found.server,
        "extensions": {},
    }


async def respond(application: Application, scope: dict[str, Any], request: Request[Any]) -> ExactResponse:
    """Calls the application with one request; returns as soon as its response has begun.

    Raises what the application raises before that, and RuntimeError if it ends without a response.
    """
    call = _Call(request, scope["method"] == "HEAD")
    task = asyncio.get_running_loop().create_task(_run(application, scope, call))
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)
    try:
        await call.begun(task)
    except BaseException:
        call.disconnect()
        call.cancel(task)
        # A thread of the application's goes on whatever it is told. Until it ends this invocation does, too: the worker
        # takes no other one meanwhile, and the hard deadline holds.
        await asyncio.wait((task,))
        raise
    try:
        return call.response(task)
    except BaseException:  # what the application says is no response that can be sent
        call.disconnect()
        raise


async def _run(application: Application, scope: dict[str, Any], call: "_Call") -> None:
    """The application's call. What it raises behind its first bytes has no other place than the log."""
    try:
        anyio = sys.modules.get("anyio")
        if anyio is None:
            await application(scope, call.receive, call.send)
        else:
            with anyio.CancelScope() as call.cancel_scope:
                await application(scope, call.receive, call.send)
    except Exception as error:  # user code
        if not call.has_begun:
            raise
        if _is_of(error, ClientLeftError):
            return  # nobody is there to be failed
        write_traceback("the ASGI application failed behind the start of its response", error)
        call.failed()


class ClientLeftError(OSError):
    """What `send` raises when nobody reads any more (ASGI specification, "Disconnected Client")."""


def _is_of(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether an exception is of a kind, or was raised while one of it was handled."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


class _Call:
    """One request and its response, between the application and the connection."""

    def __init__(self, request: Request[Any], is_head: bool) -> None:
        self.has_begun = False
        self.cancel_scope: Any = None
        self._is_head = is_head
        self._pieces = request.stream()
        self._reader: Any = None
        self._body_read = False
        self._start: Message | None = None
        self._queue: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue(1)
        self._first: tuple[bytes, bool] | None = None
        self._complete = False
        self._failed = False
        self._gone = asyncio.Event()

    # -- the application's side ------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The next piece of the request's body; behind the last one the client's going away, or the end."""
        if not self._body_read and not self._gone.is_set():
            try:
                piece = await self._piece()
            except ConnectionError:
                self._gone.set()
                return {"type": "http.disconnect"}
            if piece is not None:
                return {"type": "http.request", "body": bytes(piece), "more_body": True}
            if not self._gone.is_set():
                self._body_read = True
                return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _piece(self) -> bytes | None:
        """The next piece of the body; None behind the last one, and when nobody reads the response any more."""
        if self._reader is None:
            self._reader = aiter(self._pieces)
        if isinstance(self._pieces, WholeBody):
            return await anext(self._reader, None)
        getting: asyncio.Future[bytes | None] = asyncio.ensure_future(anext(self._reader, None))
        leaving = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait((getting, leaving), return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else None
        finally:
            # Behind the response's end the connection is the next request's.
            getting.cancel()
            leaving.cancel()

    async def send(self, message: Message) -> None:
        """Takes the application's next message. Raises RuntimeError for one out of order, OSError when nobody reads."""
        kind = message["type"]
        if self._start is None:
            if kind in ("http.response.debug", "http.response.early_hint"):
                return
            if kind != "http.response.start":
                raise RuntimeError(f"expected the ASGI message 'http.response.start', but got {kind!r}")
            self._start = message
            return
        if kind == "http.response.trailers":
            return  # nobody on the way would pass them on
        if kind != "http.response.body":
            raise RuntimeError(f"expected the ASGI message 'http.response.body', but got {kind!r}")
        if self._complete:
            raise RuntimeError("the response is complete, but the application sent another 'http.response.body'")
        more = bool(message.get("more_body", False))
        self._complete = not more
        if self._gone.is_set():
            raise ClientLeftError("the client went away before the end of the response")
        await self._put((bytes(message.get("body", b"")), more))

    async def _put(self, piece: tuple[bytes, bool]) -> None:
        putting = asyncio.ensure_future(self._queue.put(piece))
        leaving = asyncio.ensure_future(self._gone.wait())
        try:
            if self._queue.empty():
                await putting
                return
            await asyncio.wait((putting, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not putting.done():
                raise ClientLeftError("the client went away before the end of the response")
        finally:
            putting.cancel()
            leaving.cancel()

    # -- the connection's side -------------------------------------------------------------------------------------

    async def begun(self, task: "asyncio.Task[None]") -> None:
        """Until the first piece of the response's body is here. Raises what the application raised before."""
        getting = asyncio.ensure_future(self._queue.get())
        try:
            await asyncio.wait((getting, task), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                task.result()
                raise RuntimeError("the ASGI application ended without a response")
            self._first = getting.result()
            self.has_begun = True
        finally:
            getting.cancel()

    def response(self, task: "asyncio.Task[None]") -> ExactResponse:
        """The response, with what is still to come as its body."""
        assert self._start is not None and self._first is not None
        headers = [(bytes(name), bytes(value)) for name, value in self._start.get("headers", ())]
        length = content_length(headers)
        data, more = self._first
        if not more:
            self._gone.set()
            is_bodiless = self._is_head or self._start["status"] in BODILESS
            if is_bodiless or length is None or length == len(data):
                return ExactResponse(self._start["status"], headers, data, length if is_bodiless else None)
            raise RuntimeError(f"the application promised {length} bytes (Content-Length) and sent {len(data)}")
        rest = _Rest(self, task, self._pieces_from(data, length, task))
        return ExactResponse(self._start["status"], headers, rest, length)

    async def _pieces_from(
        self, data: bytes, length: int | None, task: "asyncio.Task[None]"
    ) -> AsyncGenerator[bytes, None]:
        sent, more = 0, True
        while True:
            sent += len(data)
            if length is not None and sent > length:
                raise RuntimeError(f"the application promised {length} bytes (Content-Length) and sent more")
            if data:
                yield data
            if not more:
                break
            data, more = await self._next(task)
        if length is not None and sent != length:
            raise RuntimeError(f"the application promised {length} bytes (Content-Length) and sent {sent}")
        self.disconnect()

    async def _next(self, task: "asyncio.Task[None]") -> tuple[bytes, bool]:
        if not self._queue.empty():
            return self._queue.get_nowait()
        getting = asyncio.ensure_future(self._queue.get())
        try:
            await asyncio.wait((getting, task), return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
            if self._failed:
                raise RuntimeError("the ASGI application failed in the middle of its response")
            raise RuntimeError("the ASGI application ended in the middle of its response")
        finally:
            getting.cancel()

    @property
    def is_complete(self) -> bool:
        """The application has sent its last piece."""
        return self._complete

    def cancel(self, task: "asyncio.Task[None]") -> None:
        """Ends the application's waiting; by anyio where that is in use, which leaves no thread of its own alone."""
        (task if self.cancel_scope is None else self.cancel_scope).cancel()

    def disconnect(self) -> None:
        """Nobody reads any more, or everything has been read: the application hears of it."""
        self._gone.set()

    def failed(self) -> None:
        """The application has raised behind the start of its response."""
        self._failed = True


class _Rest:
    """What is still to come of a response. The application is told of the end even if nobody asked for any of it
    (HEAD, or a client that left): a generator that was never begun would close without a word."""

    def __init__(self, call: _Call, task: "asyncio.Task[None]", pieces: AsyncGenerator[bytes, None]) -> None:
        self._call = call
        self._task = task
        self._pieces = pieces

    def __aiter__(self) -> "_Rest":
        return self

    def __anext__(self) -> Awaitable[bytes]:
        return self._pieces.__anext__()

    async def aclose(self) -> None:
        """An application that goes on sending hears that nobody reads, and is ended if it does not listen."""
        await self._pieces.aclose()
        is_over = self._call.is_complete
        self._call.disconnect()
        if not is_over:
            asyncio.get_running_loop().call_later(LEAVE_S, self._call.cancel, self._task)


class Lifespan:
    """An application's lifespan in one worker (ASGI specification, "Lifespan Protocol").

    `state` is what the application put into the scope's `state` at its start; None if it knows no lifespan.
    """

    def __init__(self, application: Application) -> None:
        self.state: dict[str, Any] | None = None
        self._application = application
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises AppLoadError with the application's words if its start failed."""
        loop = asyncio.get_running_loop()
        state: dict[str, Any] = {}
        self._requests: asyncio.Queue[Message] = asyncio.Queue()
        self._started: asyncio.Future[Message] = loop.create_future()
        self._stopped: asyncio.Future[Message] = loop.create_future()
        self._requests.put_nowait({"type": "lifespan.startup"})
        scope = {"type": "lifespan", "asgi": VERSION, "state": state}
        self._task = loop.create_task(self._run(scope))
        await asyncio.wait((self._started, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not self._started.done():
            error = self._task.exception()
            log.debug("asgi.no_lifespan", detail=f"the application takes no part in lifespan: {error!r}")
            self._task = None
            return
        message = self._started.result()
        if message["type"] == "lifespan.startup.failed":
            text = str(message.get("message") or "it gave no reason").strip()
            log.error("asgi.lifespan", detail=text)
            raise AppLoadError("the ASGI application", [f"its lifespan failed: {text.splitlines()[-1]}"])
        self.state = state

    async def shutdown(self) -> None:
        """Tells the application, and waits until it is done, for at most SHUTDOWN_S seconds."""
        if self._task is None or self._task.done():
            return
        self._requests.put_nowait({"type": "lifespan.shutdown"})
        done, _ = await asyncio.wait((self._stopped, self._task), timeout=SHUTDOWN_S)
        if not done:
            log.warning("asgi.shutdown", detail=f"the lifespan did not end within {SHUTDOWN_S:g} s")
        elif self._stopped.done() and self._stopped.result()["type"] == "lifespan.shutdown.failed":
            log.error("asgi.shutdown", detail=f"the lifespan failed: {self._stopped.result().get('message')}")
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._task

    async def _run(self, scope: dict[str, Any]) -> None:
        await self._application(scope, self._requests.get, self._send)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind.startswith("lifespan.startup.") and not self._started.done():
            self._started.set_result(message)
        elif kind.startswith("lifespan.shutdown.") and not self._stopped.done():
            self._stopped.set_result(message)
        else:
            raise RuntimeError(f"the ASGI message {kind!r} is out of order in a lifespan")
