"""One span for each invocation of a worker: its parent from the host's headers, current while the handler runs.

Made by worker/traced_dispatch.py after the fork, if traces are on; conventions.py says what a span is called and
says, exporting.py where it goes.
Rule: nothing here waits for a receiver but `close`, which is bounded. While a span runs, what is known of it is in
shared memory, so that the death of this process loses none.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode

from fastworker import __version__, logs
from fastworker.ipc.running_spans import MOST_KNOWN, DeadSpan, RunningSpans
from fastworker.settings import Settings
from fastworker.telemetry.conventions import CONSUMER, SERVER, Attributes
from fastworker.telemetry.dead_spans import Known
from fastworker.telemetry.exporting import CountingExporter, exporters, prepare, resource_of

__all__ = ["InvocationSpan", "Tracing", "finished_span", "ids_for_logs", "prepare"]

SCOPE: Final = "fastworker"
KINDS: Final = {SERVER: SpanKind.SERVER, CONSUMER: SpanKind.CONSUMER}
# The event that ends the wait for a free worker, and its attribute in seconds.
QUEUE_WAIT: Final = "queue_wait"
WAITED: Final = "fastworker.queue_wait.duration"
LONGEST_DESCRIPTION: Final = 1000
# For what a worker that ends has not sent yet.
CLOSE_S: Final = 2.0
# The same, where the receiver has not taken what came before.
FAILING_S: Final = 0.3
STEP_S: Final = 0.1


class InvocationSpan:
    """The span of one invocation. `context` is what the handler runs in."""

    __slots__ = ("_hard_ns", "_known", "_row", "_tracing", "context", "span")

    def __init__(self, tracing: "Tracing", span: trace.Span, context: otel_context.Context, hard_ns: int) -> None:
        self._tracing = tracing
        self._hard_ns = hard_ns
        self._known: dict[str, Any] = {}
        self._row: int | None = None
        self.span = span
        self.context = context

    @property
    def is_recorded(self) -> bool:
        """Not so if it was not sampled, or has ended."""
        return self.span.is_recording()

    def attach(self) -> None:
        """Makes the span current in the running context, which is this invocation's own."""
        otel_context.attach(self.context)

    def tell(self, attributes: Attributes, name: str = "") -> None:
        """More is known of it by now."""
        self.span.set_attributes(attributes)
        if name:
            self.span.update_name(name)
        self._known["name"] = name or self._known["name"]
        self._known["attributes"] |= attributes
        self._tracing.keep(self)

    def end(self, status: int, failure: str | None = None, error: BaseException | None = None) -> None:
        """The invocation is over; `failure` tells why, if it has failed. A second call does nothing."""
        if not self.is_recorded:
            return
        span = self.span
        if status:
            span.set_attribute("http.response.status_code", status)
        if failure is not None:
            if error is not None:
                span.record_exception(error)
            span.set_attribute("error.type", str(status) if error is None else type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR, failure[:LONGEST_DESCRIPTION]))
        self._tracing.forget(self)
        span.end()


class Tracing:
    """Of one worker."""

    def __init__(self, settings: Settings, spans: RunningSpans, slot: int) -> None:
        """Raises TelemetryError."""
        self._spans = spans
        self._slot = slot
        self._rows = spans.free_rows(slot)
        self._lock = threading.Lock()
        self._provider: TracerProvider | None = None
        self._exporters: list[CountingExporter] = []
        self._ended = _Ended()
        if isinstance(trace.get_tracer_provider(), TracerProvider):
            logs.log.info("telemetry.own", detail="the app has made a TracerProvider at its import: spans go there")
        else:
            self._provide(settings)
        self._tracer = trace.get_tracer(SCOPE, __version__)
        self._fields = frozenset(propagate.get_global_textmap().fields)

    def _provide(self, settings: Settings) -> None:
        provider = TracerProvider(
            sampler=sampler_of(settings),  # None: as the standard variables say
            resource=resource_of(settings),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._ended)
        for exporter in exporters(settings):
            counting = CountingExporter(exporter, self._spans, self._slot)
            self._exporters.append(counting)
            provider.add_span_processor(BatchSpanProcessor(counting))
        trace.set_tracer_provider(provider)
        self._provider = provider

    # -- one invocation --------------------------------------------------------------------------------------------

    def begin(
        self,
        name: str,
        kind: str,
        attributes: Attributes,
        headers: list[tuple[bytes, bytes]],
        *,
        sent_ns: int,
        hard_ns: int,
    ) -> InvocationSpan:
        """A span from `sent_ns` on (monotonic), whose parent is in the headers that the host has sent, if anywhere."""
        carrier = {
            lower: value.decode("latin-1")
            for header, value in headers
            if (lower := header.decode("latin-1").lower()) in self._fields
        }
        parent = propagate.extract(carrier, otel_context.Context()) if carrier else otel_context.Context()
        now_ns = time.time_ns()
        waited_ns = max(0, time.monotonic_ns() - sent_ns)
        start_ns = now_ns - waited_ns
        span = self._tracer.start_span(name, parent, KINDS[kind], attributes, start_time=start_ns)
        found = InvocationSpan(self, span, trace.set_span_in_context(span, parent), hard_ns)
        if span.is_recording():
            span.add_event(QUEUE_WAIT, {WAITED: waited_ns / 1e9}, now_ns)
            parent_id = trace.get_current_span(parent).get_span_context().span_id
            state = span.get_span_context().trace_state.to_header()
            found._known = {
                "name": name,
                "kind": kind,
                "attributes": {**attributes},
                "times": [start_ns, now_ns],
                "parent": parent_id,
                "state": state,
            }
            self.keep(found)
        return found

    def keep(self, found: InvocationSpan) -> None:
        """What is known of a span, for the case that this process dies."""
        if found._row is None:
            with self._lock:
                if not self._rows:  # what a predecessor has left there may have been written by now
                    self._rows = self._spans.free_rows(self._slot)
                if not self._rows:
                    return  # more at once than there are rows: should the worker die, this one is lost
                found._row = self._rows.pop()
        own, known = found.span.get_span_context(), found._known
        ids = own.trace_id, own.span_id, known["parent"]
        self._spans.begin(found._row, known["times"][0], found._hard_ns, ids, packed(known, MOST_KNOWN))

    def forget(self, found: InvocationSpan) -> None:
        """The span ends in order."""
        row, found._row = found._row, None
        if row is not None:
            self._spans.end(row)
            with self._lock:
                self._rows.append(row)

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self, within_s: float, beat: Callable[[], None]) -> None:
        """Sends what is not sent yet, for as long as that may take; what is left then is lost, and counted."""
        if self._provider is None:
            return
        most_s = CLOSE_S if not any(exporter.is_failing for exporter in self._exporters) else FAILING_S
        until = time.monotonic() + min(within_s, most_s)
        sender = threading.Thread(target=self._provider.shutdown, daemon=True)
        sender.start()
        while sender.is_alive() and time.monotonic() < until:
            sender.join(STEP_S)
            beat()
        for exporter in self._exporters:
            if sender.is_alive():
                exporter.shutdown()  # it may be waiting to try once more
            exporter.lose(max(0, self._ended.count - exporter.seen))


class _Ended(SpanProcessor):
    """Counts the spans that have been given to the exporters."""

    def __init__(self) -> None:
        self.count = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.count += span.context is not None and span.context.trace_flags.sampled


def sampler_of(settings: Settings) -> Sampler | None:
    """Under a host, and where OTEL_TRACES_SAMPLER does not say otherwise, a parent that is not sampled decides nothing.

    With Application Insights the host sends flags of 00 for each request whose client has sent none (recorded of
    4.1037): they say that its own Activity is not recorded, not that nobody wants this trace.
    """
    if not settings.under_host or "OTEL_TRACES_SAMPLER" in settings.otel:
        return None
    return ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON)


def packed(known: dict[str, Any], most: int) -> bytes:
    """As JSON of `most` bytes; the longest attributes are left out if it would be longer."""
    data = orjson.dumps(known)
    attributes = dict(known["attributes"])
    while len(data) > most and attributes:
        del attributes[max(attributes, key=lambda name: len(str(attributes[name])))]
        data = orjson.dumps({**known, "attributes": attributes, "state": ""})
    return data if len(data) <= most else b"{}"


def finished_span(dead: DeadSpan, known: Known, resource: Resource) -> ReadableSpan:
    """The span of an invocation whose worker has died, as that would have ended it."""
    sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    state = trace.TraceState.from_header([known.state]) if known.state else None
    own = trace.SpanContext(dead.trace_id, dead.span_id, is_remote=False, trace_flags=sampled, trace_state=state)
    parent = trace.SpanContext(dead.trace_id, dead.parent_id, is_remote=True, trace_flags=sampled, trace_state=state)
    attributes: Attributes = {**known.attributes, "error.type": "deadline_hard" if dead.status == 504 else "crashed"}
    if known.attributes.get("faas.trigger") == "http":
        attributes["http.response.status_code"] = dead.status
    started_ns, taken_ns = known.times
    return ReadableSpan(
        known.name,
        own,
        parent if dead.parent_id else None,
        resource,
        attributes,
        [
            Event(QUEUE_WAIT, {WAITED: max(0, taken_ns - started_ns) / 1e9}, taken_ns),
            Event("worker_died", {"fastworker.cause": dead.cause}, dead.end_ns),
        ],
        kind=KINDS.get(known.kind, SpanKind.SERVER),
        status=Status(StatusCode.ERROR, dead.cause),
        start_time=dead.start_ns,
        end_time=max(dead.start_ns, dead.end_ns),
        instrumentation_scope=InstrumentationScope(SCOPE, __version__),
    )


def ids_for_logs() -> dict[str, str]:
    """Of the current span, as members of a JSON log line."""
    own = trace.get_current_span().get_span_context()
    if not own.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(own.trace_id), "span_id": trace.format_span_id(own.span_id)}
