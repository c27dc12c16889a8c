"""The Service of a worker whose invocations are traced: one span around each, whatever way it ends.

Made by dispatch.py where traces are on, and by nobody else; telemetry/tracing.py makes the spans.
Rule: an invocation's answer is the same with a span as without. A span ends before its answer is sent (a stream's
behind its last piece), in the thread that has run the handler.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from fastworker.errors import ClientGoneError, DeadlineExceeded, RequestError, one_line
from fastworker.functions.build import Function
from fastworker.functions.invocation import Invocation, Rejected, run_async, run_sync
from fastworker.functions.loaded_app import LoadedApp
from fastworker.ipc.board import Board
from fastworker.ipc.running_spans import RunningSpans
from fastworker.ipc.seat import Seat
from fastworker.logs import log
from fastworker.protocol.answer import Answer, Streamed
from fastworker.protocol.envelope import Envelope, Metadata
from fastworker.protocol.messages import Response, read_http
from fastworker.settings import Settings
from fastworker.streaming.stream_writer import Outgoing
from fastworker.telemetry.conventions import Attributes, Described, describe, http_request, trigger_data
from fastworker.telemetry.tracing import InvocationSpan, Tracing, ids_for_logs
from fastworker.worker.dispatch import Call, Plain, Service, begin_call


class _Noted(threading.local):
    """What passes by in this thread: the envelope that is read, the status of the http output that is made."""

    envelope: Envelope | None = None
    status = 0


class _Traced:
    """An invocation with its span; `status` is its client's, if it has one, and 0 while there is none."""

    __slots__ = ("call", "error", "function", "outgoing", "span", "status")

    def __init__(self, call: Call, function: Function, outgoing: Outgoing | None, span: InvocationSpan) -> None:
        self.call = call
        self.function = function
        self.outgoing = outgoing
        self.span = span
        self.error: BaseException | None = None
        self.status = 0


class TracedService(Service):
    """As Service, with spans."""

    reads_headers = True  # they say whose trace it is

    def __init__(
        self, app: LoadedApp, settings: Settings, board: Board, seat: Seat, spans: RunningSpans, slot: int
    ) -> None:
        """Raises TelemetryError."""
        self._noted = _Noted()
        watched = {name: self._watched(function) for name, function in app.functions.items()}
        super().__init__(replace(app, functions=watched), settings, board, seat)
        self._tracing = Tracing(settings, spans, slot)
        self._described: dict[str, Described] = {
            name: describe(name, f.trigger.key, f.trigger.properties, app.host.route_prefix, settings.site)
            for name, f in app.functions.items()
        }
        self._inline: _Traced | None = None  # what the main thread is in
        self._starting: _Traced | None = None  # what is about to start on the loop
        self._by_task: dict[asyncio.Task[Answer | Streamed], _Traced] = {}
        log.trace_ids = ids_for_logs

    def _watched(self, function: Function) -> Function:
        """The function, with a look at its envelope and at the status of its http output."""
        noted, read = self._noted, function.read_envelope

        def read_envelope(body: bytes | bytearray | memoryview) -> Envelope:
            noted.envelope = read(body)
            return noted.envelope

        encoders = dict(function.encoders)
        if function.http_output is not None:
            encode = encoders[function.http_output]

            def encode_http(value: Any) -> Any:
                noted.status = value.status_code if isinstance(value, Response) else 204 if value is None else 200
                return encode(value)

            encoders[function.http_output] = encode_http
        return replace(function, read_envelope=read_envelope, encoders=encoders)

    # -- refused before it began -----------------------------------------------------------------------------------

    def refusal(self, call: Call) -> Answer | None:
        answer = super().refusal(call)
        # A 504 is told by `never_started`; a 405 is no invocation.
        if answer is not None and call.function is not None and answer.status == 503:
            self._begin(call, None).span.end(503, "the server is stopping")
        return answer

    def never_started(self, call: Call, waited_s: float) -> Answer:
        answer = super().never_started(call, waited_s)
        self._begin(call, None).span.end(answer.status, f"never started: it waited {waited_s:g} s for a free worker")
        return answer

    # -- `def` handlers --------------------------------------------------------------------------------------------

    def _run(self, call: Call, plain: Plain | None) -> Answer | Streamed:  # type: ignore[override]
        self._inline = None
        traced = self._inline = self._begin(call, plain)
        traced.span.attach()
        try:
            invocation = begin_call(call, plain)
        except Rejected as rejected:
            traced.error, traced.status = rejected.error, self._noted.status
            return self._end(traced, rejected.answer)
        self._tell_envelope(traced)
        answer = run_sync(invocation)
        traced.error, traced.status = invocation.error, self._noted.status
        invocation.error = None  # as in the base
        return self._end(traced, answer)

    def _late(self, call: Call, plain: Plain | None) -> Answer | Streamed:  # type: ignore[override]
        answer = super()._late(call, plain)
        if self._inline is not None:
            self._inline.error = DeadlineExceeded()
            self._end(self._inline, answer)
        return answer

    # -- `async def` handlers --------------------------------------------------------------------------------------

    def start(
        self, call: Call, plain: Plain | None, loop: asyncio.AbstractEventLoop
    ) -> "Answer | asyncio.Task[Answer | Streamed]":
        traced = self._starting = self._begin(call, plain)
        task = super().start(call, plain, loop)
        if isinstance(task, asyncio.Task):
            self._tell_envelope(traced)
            self._by_task[task] = traced
        return task

    def _refused(self, rejected: Rejected) -> Answer:  # type: ignore[override]
        traced = self._starting
        assert traced is not None
        traced.error, traced.status = rejected.error, self._noted.status
        self._end(traced, rejected.answer)
        return rejected.answer

    def _run_async(self, invocation: Invocation) -> Coroutine[Any, Any, Answer | Streamed]:
        assert self._starting is not None
        return self._run_in_span(self._starting, invocation)

    async def _run_in_span(self, traced: _Traced, invocation: Invocation) -> Answer | Streamed:
        traced.span.attach()
        try:
            return await run_async(invocation)
        finally:
            # Nobody else has run here since the answer was encoded.
            traced.error, traced.status = invocation.error, self._noted.status

    def outcome(self, task: "asyncio.Task[Answer | Streamed]") -> Answer | Streamed:
        answer = super().outcome(task)
        self._end(self._by_task.pop(task), answer)
        return answer

    # -- one span --------------------------------------------------------------------------------------------------

    def _begin(self, call: Call, plain: Plain | None) -> _Traced:
        function, request = call.function, call.request
        assert function is not None
        self._noted.envelope, self._noted.status = None, 0
        described = self._described[function.name]
        name, attributes = described.name, {**described.attributes}
        if call.id:
            attributes["faas.invocation_id"] = call.id
        if call.params is not None:
            found = self._of_request(call)
            attributes |= found
            name = _http_name(found, described)
        span = self._tracing.begin(
            name,
            described.kind,
            attributes,
            request.headers,
            sent_ns=call.deadline.sent_ns,
            hard_ns=call.deadline.hard_ns,
        )
        return _Traced(call, function, None if plain is None else plain.outgoing, span)

    def _of_request(self, call: Call) -> Attributes:
        fields = {name.lower(): value.decode("latin-1") for name, value in call.request.headers}
        return http_request(
            call.request.method.decode("latin-1"),
            call.request.target.decode("latin-1"),
            fields.get(b"x-forwarded-proto", ""),
            fields.get(b"x-forwarded-host") or fields.get(b"host", ""),
            fields.get(b"user-agent", ""),
        )

    def _tell_envelope(self, traced: _Traced) -> None:
        """What an envelope says of its trigger, once it has been read."""
        envelope, self._noted.envelope = self._noted.envelope, None
        if envelope is None or not traced.span.is_recorded:
            return
        function = traced.function
        described = self._described[function.name]
        try:
            if described.is_http:
                data = read_http(function.trigger.name, envelope.Data.get(function.trigger.name, b"{}"))
                url = urlsplit(data.Url)
                found = http_request(data.Method, url.path, url.scheme, url.netloc)
                traced.span.tell(found, _http_name(found, described))
            elif found := trigger_data(described.key, Metadata(envelope.Metadata)):
                traced.span.tell(found)
        except (RequestError, ValueError):
            pass  # no URL, no metadata: nothing to tell

    def _end(self, traced: _Traced, answer: Answer | Streamed) -> Answer | Streamed:
        """Tells how it has ended."""
        if not traced.span.is_recorded:
            return answer
        status, is_cut = traced.status, False
        if isinstance(answer, Streamed):
            assert traced.outgoing is not None
            status, is_cut = traced.outgoing.status, not answer.complete
        elif answer.status != 200 or traced.outgoing is not None or not status:
            status = answer.status
        is_http = self._described[traced.function.name].is_http
        error = traced.error
        failure = None
        if isinstance(error, ClientGoneError):
            traced.span.span.add_event("client_gone")
        elif is_cut or status >= 500 or (status != 200 and not is_http):
            failure = self._described_failure(traced, error, status)
        traced.span.end(status if is_http else 0, failure, error)
        traced.error = None  # its traceback holds the invocation
        return answer

    def _described_failure(self, traced: _Traced, error: BaseException | None, status: int) -> str:
        if isinstance(error, DeadlineExceeded):
            return f"the deadline of {traced.call.limit_s:g} s passed while the function ran"
        return f"answered {status}" if error is None else one_line(error)

    def close(self, within_s: float, beat: Callable[[], None]) -> None:
        self._tracing.close(within_s, beat)


def _http_name(found: Attributes, described: Described) -> str:
    method = found["http.request.method"]
    return f"{'HTTP' if method == '_OTHER' else method} {described.name}"
