"""From a whole request to its answer: which function, until when, and run how.

Called by exchange.py for every request; runs invocations (invoke.py) inline, as tasks or in threads.
Rule: knows no connection and moves no bytes. Everything that it refuses, it refuses before user code runs.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import msgspec

from fastworker.answer import RETRY_AFTER, Answer, Streamed, problem
from fastworker.app import Function, LoadedApp
from fastworker.bindings import is_http_only
from fastworker.board import Board, Seat
from fastworker.body_limit import envelope_limit
from fastworker.deadline import Deadline, deadline_from, grace_within_s, limit_s
from fastworker.http1 import BodyPieces, Request
from fastworker.interrupt import MainThread, OtherThread
from fastworker.invoke import CUT, Invocation, Rejected, begin, begin_plain, expire, run_async, run_sync
from fastworker.messages import LARGE
from fastworker.outgoing import Outgoing
from fastworker.plain import Arriving, PlainRequest
from fastworker.routing import RouteTable
from fastworker.settings import Settings

ALIVE = Answer(200, b'{"status":"ready"}')
# Somebody at a breakpoint has all the time in the world.
NO_LIMIT_S = 7 * 24 * 3600.0
ALLOW_POST = ((b"Allow", b"POST"),)
# The host asks so whether anybody is there (protocol 1.5).
READINESS = (b"GET", b"HEAD")


# A function with its name, and nanoseconds to its soft deadline and from there to the hard one.
Target = tuple[Function | None, bytes, int, int]


class Call(msgspec.Struct, frozen=True, gc=False):
    """A request with its function and its deadline. `waited_ms`: how long it lay in its socket.

    `params` are the route's where plain HTTP comes, and None where an envelope does.
    """

    request: Request
    function: Function | None
    deadline: Deadline
    waited_ms: int
    name: bytes  # of the function, or what was asked for instead of one
    params: dict[str, str | None] | None = None

    @property
    def id(self) -> str:
        return self.request.invocation_id.decode("latin-1")

    @property
    def limit_s(self) -> float:
        return (self.deadline.soft_ns - self.deadline.sent_ns) / 1e9


class Plain(NamedTuple):
    """The connection's side of an invocation in plain HTTP: its answer, and its body if that is still on its way."""

    outgoing: Outgoing
    arriving: Arriving | None


class Service:
    """The functions of one worker. `in_flight` are the invocations that run beside others."""

    def __init__(self, app: LoadedApp, settings: Settings, board: Board, seat: Seat) -> None:
        self.in_flight: set[asyncio.Future[Answer | Streamed]] = set()
        self._functions = app.functions
        self._board = board
        self._seat = seat
        # For what is no function: nothing runs, but an answer may have to be given by the supervisor.
        self._no_route: Target = (None, b"", int(settings.deadline * 1e9), int(settings.grace * 1e9))
        self._main_thread = MainThread()
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="fastworker")
        self._routes: dict[bytes, Target] = {}
        self._envelope_limit = envelope_limit(settings.max_body)
        host = app.host
        self._plain: RouteTable[Target] = RouteTable("" if host.forwards_by_name else host.route_prefix)
        host_s = app.host.function_timeout_s
        for function in app.functions.values():
            seconds = limit_s(
                own_s=function.deadline_s,
                server_s=settings.deadline,
                host_timeout_s=host_s,
                grace_s=settings.grace,
            )
            if settings.debugpy is not None:
                seconds = NO_LIMIT_S
            grace_s = grace_within_s(seconds, host_timeout_s=host_s, grace_s=settings.grace)
            target = (function, function.name.encode(), int(seconds * 1e9), int(grace_s * 1e9))
            if host.http_shape == "envelope" or not is_http_only(function.bindings):
                self._routes[b"/" + target[1]] = target
            else:
                route = function.name if host.forwards_by_name else function.route
                allowed = function.trigger.allowed_methods
                self._plain.add(function.name, route, allowed, target)
        self.reads_in_pieces = self._reads_in_pieces if self._streams_requests(app) else None

    def listen(self) -> None:
        """From now on the supervisor's signal ends an inline handler at its deadline."""
        self._main_thread.listen()

    def call(self, request: Request, now_ns: int, waited_ms: int) -> Call:
        """What the request asks for. The clock of its deadline started when the host sent it."""
        target, params = self._routes.get(request.target), None
        if target is None or (self._plain and _is_clients(request)):
            target, params = self._find_plain(request.method, request.target, request.invocation_id)
        function, name, limit_ns, grace_ns = target
        deadline = deadline_from(now_ns - waited_ms * 1_000_000, limit_ns, grace_ns)
        return Call(request, function, deadline, waited_ms, name or request.target[1:], params)

    def _find_plain(
        self, method: bytes, target: bytes, invocation_id: bytes
    ) -> tuple[Target, dict[str, str | None] | None]:
        """The function whose route fits, if there are such. What the host asks for itself has no invocation id."""
        path = target.partition(b"?")[0]
        if not self._plain or (path == b"/" and not invocation_id and method in READINESS):
            return self._no_route, None
        return self._plain.find(method.decode("ascii"), path.decode("latin-1")) or (self._no_route, None)

    def _streams_requests(self, app: LoadedApp) -> bool:
        return app.host.http_shape == "proxy" and any(f.streams_request for f in app.functions.values())

    def _reads_in_pieces(self, method: bytes, target: bytes) -> bool:
        """Whether the body of such a request is its handler's to read, piece by piece."""
        if target in self._routes:
            return False
        (function, *_), params = self._find_plain(method, target, b"")
        return params is not None and function is not None and function.streams_request

    def envelope_limit(self, method: bytes, target: bytes) -> int | None:
        """Bytes that an envelope for such a target may have; None where none is expected."""
        return self._envelope_limit if target in self._routes else None

    def answer(
        self, call: Call, loop: asyncio.AbstractEventLoop, plain: Plain | None = None
    ) -> "Answer | Streamed | asyncio.Future[Answer | Streamed]":
        """The answer, or a future that is in flight until it has it. `plain` is there if `call.params` are.

        A sync handler runs inline, right here; while async ones are in flight in a thread, so that these go on.
        """
        function, deadline = call.function, call.deadline
        if function is None:
            return self._without_function(call.request)
        if plain is None and call.request.method != b"POST":
            return problem(405, "an invocation comes by POST", function=function.name, headers=ALLOW_POST)
        if self._board.drain_ns and deadline.sent_ns >= self._board.drain_ns:
            return problem(503, "the server is stopping", function=function.name, headers=RETRY_AFTER)
        if call.waited_ms and time.monotonic_ns() >= deadline.soft_ns:
            return problem(
                504,
                f"never started: the request waited {call.waited_ms / 1000:g} s for a free worker, and the deadline "
                f"is {call.limit_s:g} s",
                function=function.name,
                invocation_id=call.id,
            )
        if function.is_async or self.in_flight:
            try:
                return self._start(_begin(call, plain), loop)
            except Rejected as rejected:
                return rejected.answer
        self._seat.inline(deadline.soft_ns)
        answer = self._main_thread.run(deadline.soft_ns, _run, _late, call, plain)
        self._seat.inline(0)
        return answer

    def _without_function(self, request: Request) -> Answer:
        path = request.target.partition(b"?")[0].decode("latin-1")
        if path == "/" and request.method in READINESS:
            return ALIVE
        names = ", ".join(sorted(self._functions))
        return problem(404, f"no function at {path!r}; there are: {names}", function=path[1:])

    def _start(self, invocation: Invocation, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[Answer | Streamed]":
        future: asyncio.Future[Answer | Streamed]
        interrupt: Callable[[], object]
        if invocation.function.is_async:
            coroutine = run_async(invocation)
            future = loop.create_task(coroutine)
            interrupt = partial(_cancel, invocation, coroutine, future)
        else:
            runner = OtherThread()
            late = partial(expire, invocation)
            future = loop.run_in_executor(self._threads, runner.run, partial(run_sync, invocation), late)
            interrupt = runner.interrupt
        timer = loop.call_later(invocation.deadline.remaining_s(time.monotonic_ns()), interrupt)
        self.in_flight.add(future)
        future.add_done_callback(self.in_flight.discard)
        future.add_done_callback(lambda _: timer.cancel())
        return future


def _is_clients(request: Request) -> bool:
    """Whether it is surely no envelope, though its path is a function's name: a client could pass for the host else.

    Without a route prefix a client may ask for any path; the proxying host says on whose behalf it does (protocol 3.2).
    """
    return request.method != b"POST" or any(name.lower() == b"x-forwarded-host" for name, _ in request.headers)


def _begin(call: Call, plain: Plain | None) -> Invocation:
    assert call.function is not None
    traceparent = call.request.traceparent
    trace = None if traceparent is None else traceparent.decode("latin-1")
    if plain is None:
        body = call.request.body
        assert not isinstance(body, BodyPieces)  # reads_in_pieces says so of plain HTTP only
        if len(body) > LARGE:
            call.request.body = b""  # the envelope holds it as long as it is needed
        return begin(
            call.function,
            body,
            invocation_id=call.id,
            deadline=call.deadline,
            traceparent=trace,
            max_body=call.request.max_body,
        )
    assert call.params is not None
    request: PlainRequest[Any] = PlainRequest(call.request, call.params, plain.arriving)
    return begin_plain(
        call.function, request, plain.outgoing, invocation_id=call.id, deadline=call.deadline, traceparent=trace
    )


def _run(call: Call, plain: Plain | None) -> Answer | Streamed:
    try:
        return run_sync(_begin(call, plain))
    except Rejected as rejected:
        return rejected.answer


def _late(call: Call, plain: Plain | None) -> Answer | Streamed:
    """The deadline struck outside of the handler, while its request was decoded or its answer was on the way."""
    assert call.function is not None
    if plain is not None and plain.outgoing.begun:
        return CUT
    detail = f"the deadline of {call.limit_s:g} s passed while the function ran"
    return problem(504, detail, function=call.function.name, invocation_id=call.id)


def _cancel(
    invocation: Invocation,
    coroutine: Coroutine[Any, Any, Answer | Streamed],
    future: "asyncio.Future[Answer | Streamed]",
) -> None:
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        # Cancelled now, it would never run, and so never answer; its first step is due in this turn of the loop.
        future.get_loop().call_soon(_cancel, invocation, coroutine, future)
        return
    invocation.expired = True
    future.cancel()
