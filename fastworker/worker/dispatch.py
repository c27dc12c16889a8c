"""From a whole request to its answer: which function, until when, and run how.

Called by connection.py and turns.py for every request; runs invocations (invocation.py), `def` handlers inline on the
main thread (`run`), `async def` ones as tasks on the worker's loop (`start`).
Rule: knows no connection and moves no bytes. Everything that it refuses, it refuses before user code runs.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from fastworker.deadline import Deadline, deadline_from, grace_within_s, limit_of
from fastworker.entries import shown
from fastworker.errors import TelemetryError
from fastworker.functions.build import Function
from fastworker.functions.choice import READINESS, Choice
from fastworker.functions.invocation import (
    CUT_LATE,
    Invocation,
    Rejected,
    begin,
    begin_plain,
    run_async,
    run_sync,
    unsuccessful,
)
from fastworker.functions.loaded_app import LoadedApp, host_timeout_s
from fastworker.functions.mixed_auth import may_not_redirect
from fastworker.ipc.board import Board
from fastworker.ipc.counters import NO_FUNCTION, base_of
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.seat import Seat
from fastworker.logs import Capture, log, write_refusal
from fastworker.outcomes import NONE, REJECTED
from fastworker.protocol.answer import RETRY_AFTER, Answer, Streamed, problem
from fastworker.protocol.body_limit import envelope_limit
from fastworker.protocol.http_request import BodyPieces, Headers, Rejection, Request
from fastworker.protocol.known_heads import KnownHead
from fastworker.protocol.messages import LARGE
from fastworker.protocol.plain_http import Arriving, PlainRequest
from fastworker.protocol.route_template import Params
from fastworker.settings import Settings
from fastworker.streaming.stream_writer import Outgoing
from fastworker.worker.interrupt import MainThread
from fastworker.worker.surroundings import Surroundings

ALIVE = Answer(200, b'{"status":"ready"}', outcome=NONE)
# Somebody at a breakpoint has all the time in the world.
NO_LIMIT_S = 7 * 24 * 3600.0
ALLOW_POST = ((b"Allow", b"POST"),)
# As much of a path as a 404 repeats.
LONGEST_PATH = 100


# A function with its name, nanoseconds to its soft deadline and from there to the hard one, and where its counters are.
Target = tuple[Function | None, bytes, int, int, int]


class Call(msgspec.Struct, frozen=True, gc=False):
    """A request with its function and its deadline. `waited_ms`: how long it lay in its socket.

    `counters` is where those of its function begin (ipc/counters.py).
    `params` are the route's where plain HTTP comes, and None where an envelope does.
    """

    request: Request
    function: Function | None
    deadline: Deadline
    waited_ms: int
    name: bytes  # of the function, or what was asked for instead of one
    counters: int
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
    """The functions of one worker. `in_flight` are the async invocations, each by the task that runs it.

    `seat` is the main thread's. traced_dispatch.py has another way around each invocation, where traces are on.
    """

    # Whether anybody asks for the headers of an envelope's request.
    reads_headers = False

    def __init__(self, app: LoadedApp, settings: Settings, board: Board, seat: Seat) -> None:
        self.in_flight: dict[asyncio.Task[Answer | Streamed], Invocation] = {}
        self._board = board
        self._seat = seat
        # For what is no function: nothing runs, but an answer may have to be given by the supervisor.
        self._no_route: Target = (
            None,
            b"",
            int(settings.limits.server_s * 1e9),
            int(settings.grace * 1e9),
            NO_FUNCTION,
        )
        self._main_thread = MainThread()
        self._surroundings: Surroundings | None = None
        self._envelope_limit = envelope_limit(settings.max_body)
        targets: dict[str, Target] = {}
        ordered = app.names
        host_s = host_timeout_s(app.host, settings.limits)
        refuses = app.host.forwards_by_name and settings.on_mixed_auth == "refuse"
        fixed = may_not_redirect(app.routes) if refuses else frozenset()
        for function in app.functions.values():
            own_s, is_http = function.deadline_s, function.trigger.key == "httptrigger"
            limit = limit_of(own_s, settings.limits, host_timeout_s=host_s, is_http=is_http)
            seconds = limit.seconds if settings.debugpy is None else NO_LIMIT_S
            grace_s = grace_within_s(seconds, host_timeout_s=host_s, grace_s=settings.grace)
            name = function.name
            named = replace(function, limit_name=limit.name, may_redirect=name not in fixed)
            counters = base_of(ordered.index(name))
            targets[name] = (named, name.encode(), int(seconds * 1e9), int(grace_s * 1e9), counters)
        if settings.metrics_port is not None:
            self.run = self._run_measured  # type: ignore[method-assign]
        self._choice = Choice(app.host, app.routes, targets, self._no_route, settings)
        self.reads_in_pieces = self._reads_in_pieces if self._streams_requests(app) else None

    def listen(self, on_broken_import: Callable[[list[str]], object] | None = None) -> None:
        """From now on the supervisor's signal ends a `def` handler at its deadline; see `MainThread.listen`."""
        self._main_thread.listen(on_broken_import)

    def settle_in(self) -> None:
        """The start hooks have run: what this thread is like now is what every `def` handler will find."""
        self._surroundings = Surroundings()

    def capture_of(self, task: "asyncio.Task[Any]") -> Capture | None:
        """The log of the invocation that a task runs, or that must have started it, for there is no other."""
        invocation = self.in_flight.get(task)
        if invocation is None and len(self.in_flight) == 1:
            invocation = next(iter(self.in_flight.values()), None)
        return None if invocation is None else invocation.capture

    def call(self, request: Request, now_ns: int, waited_ms: int) -> Call:
        """What the request asks for. The clock of its deadline started when the host sent it."""
        target, params = self._choice.of(request)
        function, name, limit_ns, grace_ns, counters = target
        deadline = deadline_from(now_ns - waited_ms * 1_000_000, limit_ns, grace_ns)
        return Call(request, function, deadline, waited_ms, name or request.target[1:], counters, params)

    def target_of(self, known: KnownHead) -> tuple[Target, Params | None, bool]:
        """What requests with this head ask for, and whether the straight line may serve them; kept with the head.

        Neither method, target nor headers differ among them, but for ids, and nothing is decided by those.
        """
        request = known.request
        target, params = self._choice.of(request)
        function, method = target[0], request.method
        is_usual = function is not None and not function.is_async
        if params is None:
            is_usual = is_usual and method == b"POST"
        elif function is not None:
            is_usual = is_usual and method != b"HEAD" and not function.streams_request
        known.chosen = target, params, is_usual
        return target, params, is_usual

    def _streams_requests(self, app: LoadedApp) -> bool:
        return app.host.http_mode == "proxy" and any(f.streams_request for f in app.functions.values())

    def _reads_in_pieces(self, method: bytes, target: bytes, headers: Headers) -> bool:
        """Whether the body of such a request is its handler's to read, piece by piece."""
        if self._choice.is_envelope(method, target, headers):
            return False
        (function, *_), params = self._choice.plain(method, target)
        return params is not None and function is not None and function.streams_request

    def envelope_limit(self, method: bytes, target: bytes) -> int | None:
        """Bytes that an envelope for such a target may have; None where none is expected."""
        return None if self._choice.named(target) is None else self._envelope_limit

    def refusal(self, call: Call) -> Answer | None:
        """The answer to what runs no function; None if one is to run."""
        function, deadline = call.function, call.deadline
        if function is None:
            return self._without_function(call.request)
        if call.params is None and call.request.method != b"POST":
            detail = "an invocation comes by POST"
            self._tell(405, f"{detail}, and not by {shown(call.request.method)}", call)
            return problem(405, detail, function=function.name, headers=ALLOW_POST)
        if self._board.drain_ns and deadline.sent_ns >= self._board.drain_ns:
            self._tell(503, "the server is stopping", call)
            return problem(503, "the server is stopping", function=function.name, headers=RETRY_AFTER)
        if call.waited_ms and time.monotonic_ns() >= deadline.soft_ns:
            return self.never_started(call, call.waited_ms / 1000)
        return None

    def run(self, call: Call, plain: Plain | None) -> Answer | Streamed:
        """The answer of a sync handler, which runs right here. `plain` is there if `call.params` are."""
        soft_ns = call.deadline.soft_ns
        around = self._surroundings
        assert around is not None
        self._seat.inline(soft_ns)
        answer = around.copy().run(self._main_thread.run, soft_ns, self._run, self._late, call, plain)
        self._seat.inline(0)
        around.after()
        return answer

    def _run_measured(self, call: Call, plain: Plain | None) -> Answer | Streamed:
        """As `run`, where metrics are served: with the processor time that it took."""
        before_ns = time.thread_time_ns()
        answer = Service.run(self, call, plain)
        self._seat.counting.cpu(call.counters, time.thread_time_ns() - before_ns)
        return answer

    def _without_function(self, request: Request) -> Answer:
        path = request.target.partition(b"?")[0].decode("latin-1")
        if path == "/" and request.method in READINESS:
            return ALIVE
        invocation_id = request.invocation_id.decode("latin-1")
        # A client may ask for what it likes only where the host passes on its paths.
        write_refusal(
            404,
            "no function is there",
            invocation_id=invocation_id,
            path=request.target,
            is_clients=self._choice.forwards,
        )
        shown_path = path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]}..."
        return problem(404, f"no function at {shown_path!r}")  # and none is named: this may reach a client

    def _tell(self, status: int, reason: str, call: Call) -> None:
        assert call.function is not None
        write_refusal(status, reason, function=call.function.name, invocation_id=call.id, is_clients=True)

    def tell_rejected(self, rejection: Rejection) -> None:
        """Logs why what came could not be read as a request."""
        target = self._choice.named(rejection.target)
        function = None if target is None else target[0]
        write_refusal(
            rejection.status,
            rejection.detail,
            function="" if function is None else function.name,
            invocation_id=rejection.invocation_id.decode("latin-1"),
            path=rejection.target,
        )

    def start(
        self, call: Call, plain: Plain | None, loop: asyncio.AbstractEventLoop
    ) -> "Answer | asyncio.Task[Answer | Streamed]":
        """Starts an async handler on the loop that runs here; `outcome` tells how its task has ended.

        An answer, if the request is refused.
        """
        try:
            invocation = begin_call(call, plain)
        except Rejected as rejected:
            return self._refused(rejected)
        coroutine = self._run_async(invocation)
        around = self._surroundings
        assert around is not None
        # Not create_task, which has somebody look at its end: `outcome` does.
        task = asyncio.Task(coroutine, loop=loop, context=around.copy())
        timer = loop.call_later(
            invocation.deadline.remaining_s(time.monotonic_ns()), _cancel, invocation, coroutine, task
        )
        self.in_flight[task] = invocation
        task.add_done_callback(lambda _: timer.cancel())
        return task

    def outcome(self, task: "asyncio.Task[Answer | Streamed]") -> Answer | Streamed:
        """The answer of a task that has ended, in whatever way: user code may have cancelled it, or all tasks."""
        invocation = self.in_flight.pop(task)
        try:
            return task.result()
        except BaseException as error:  # user code; GeneratorExit, too, and a cancellation before the first step
            return unsuccessful(invocation, error)
        finally:
            invocation.error = None  # as in _run

    # -- what traces wrap ----------------------------------------------------------------------------------------

    _run_async = staticmethod(run_async)

    @staticmethod
    def _run(call: Call, plain: Plain | None) -> Answer | Streamed:
        try:
            invocation = begin_call(call, plain)
        except Rejected as rejected:
            return rejected.answer
        answer = run_sync(invocation)
        invocation.error = None  # its traceback holds the invocation: a cycle, and with it all that the handler held
        return answer

    @staticmethod
    def _late(call: Call, plain: Plain | None) -> Answer | Streamed:
        """The deadline struck outside of the handler: its request was decoded then, or its answer was on the way."""
        function = call.function
        assert function is not None
        detail = f"the deadline of {call.limit_s:g} s passed while the function ran"
        where = f"{function.limit_name}; its request was being decoded, or its answer made"
        write_refusal(504, f"{detail} ({where})", function=function.name, invocation_id=call.id)
        if plain is not None and plain.outgoing.begun:
            return CUT_LATE
        return problem(504, detail, function=function.name, invocation_id=call.id)

    @staticmethod
    def _refused(rejected: Rejected) -> Answer:
        """Of an async invocation that ended before its handler was called."""
        return rejected.answer

    def never_started(self, call: Call, waited_s: float) -> Answer:
        """The answer to a request whose deadline passed before its handler was called."""
        function = call.function
        assert function is not None
        waited = f"the request waited {waited_s:g} s for a free worker"
        detail = f"never started: {waited}, and the deadline is {call.limit_s:g} s"
        write_refusal(504, f"{detail} ({function.limit_name})", function=function.name, invocation_id=call.id)
        return problem(504, detail, function=function.name, invocation_id=call.id, outcome=REJECTED)

    def close(self, within_s: float, beat: Callable[[], None]) -> None:
        """The worker ends, and its stop hooks have run."""


def begin_call(call: Call, plain: Plain | None) -> Invocation:
    """The invocation that a call asks for. Raises Rejected."""
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


def make_service(app: LoadedApp, settings: Settings, inherited: Inherited, seat: Seat, slot: int) -> Service:
    """The functions of the worker in `slot`, traced or not.

    Raises TelemetryError if they cannot be traced, and FASTWORKER_TELEMETRY asks for it.
    """
    if inherited.spans is None:
        return Service(app, settings, inherited.board, seat)
    from fastworker.worker.traced_dispatch import TracedService  # noqa: PLC0415 - nobody else pays for it

    try:
        return TracedService(app, settings, inherited.board, seat, inherited.spans, slot)
    except TelemetryError as error:
        if settings.telemetry is not None:
            raise
        log.warning("telemetry.missing", slot=slot, detail=str(error))
        return Service(app, settings, inherited.board, seat)


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
