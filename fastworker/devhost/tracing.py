"""The host's own spans, where traces are on: one for each run of a function, one for each message and blob it writes.

Made by app.py; used by invocations.py and outputs.py. A message or blob that this very host has written continues the
trace of the function that it was written for, so that HTTP -> queue -> function -> blob is one tree.
Rule: off unless the variables say so that turn on the handler's (settings.py); nothing here changes what a run does.
"""

import atexit
import contextlib
import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastworker.devhost.console import Console

SERVICE: Final = "fastworker dev"
# Of what was written and nobody has taken yet.
MOST_KEPT: Final = 10_000
CLOSE_S: Final = 1.0
Header = tuple[str, str]


class HostTraces:
    """No traces."""

    is_on = False

    def headers(self, given: Iterable[Header]) -> list[Header]:
        """`given`, with the running span's in place of the client's."""
        return list(given)

    def parent(self, client: Iterable[Header], metadata: Mapping[str, Any]) -> Any:
        """What a run continues: its client's trace, or that of the function whose message or blob it gets."""

    @contextlib.contextmanager
    def run(self, function: str, invocation_id: str, trigger: str, parent: Any) -> Iterator["Run"]:
        """Around one run of a function."""
        yield Run()

    @contextlib.contextmanager
    def write(self, kind: str, place: str) -> Iterator["Write"]:
        """Around the writing of one message or blob."""
        yield Write()


class Run:
    """One run."""

    def end(self, error: str | None, status: int) -> None:
        """How it has ended; `status` is its client's, 0 if it has none."""


class Write:
    """One message or blob."""

    def keep(self, key: str) -> None:
        """What a trigger will know it by: the message's id, the blob's path."""


NO_TRACES: Final = HostTraces()


def traces_of(settings: Mapping[str, str], console: Console) -> HostTraces:
    """As the app's settings say, which are the host's as well as the handler's."""
    from fastworker.settings import traces_wanted  # noqa: PLC0415 - the handler's own; nothing else here knows it

    if traces_wanted(settings) is None:
        return NO_TRACES
    try:
        from opentelemetry.sdk import trace  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError:
        console.warn("no traces of the host: pip install 'fastworker-functions[otel]'")
        return NO_TRACES
    for name, value in settings.items():
        if name.startswith("OTEL_") and name != "OTEL_SERVICE_NAME":
            os.environ.setdefault(name, value)  # OpenTelemetry reads nothing else
    return _otel_traces()


@functools.cache
def _otel_traces() -> HostTraces:
    """One for this process: the app may be started many times."""
    from opentelemetry import context, propagate, trace  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    atexit.register(_close, provider)
    tracer = provider.get_tracer("fastworker.dev")
    kept: OrderedDict[str, Any] = OrderedDict()
    fields = propagate.get_global_textmap().fields
    kinds = {"httptrigger": trace.SpanKind.SERVER, "queuetrigger": trace.SpanKind.CONSUMER}

    class OtelRun(Run):
        def __init__(self, span: trace.Span) -> None:
            self._span = span

        def end(self, error: str | None, status: int) -> None:
            if status:
                self._span.set_attribute("http.response.status_code", status)
            if error is not None:
                self._span.set_status(trace.Status(trace.StatusCode.ERROR, error[:1000]))

    class OtelWrite(Write):
        def keep(self, key: str) -> None:
            kept[key] = context.get_current()
            while len(kept) > MOST_KEPT:
                kept.popitem(last=False)

    class OtelTraces(HostTraces):
        is_on = True

        def headers(self, given: Iterable[Header]) -> list[Header]:
            own: dict[str, str] = {}
            propagate.inject(own)
            return [*((name, value) for name, value in given if name.lower() not in fields), *own.items()]

        def parent(self, client: Iterable[Header], metadata: Mapping[str, Any]) -> Any:
            found = kept.get(str(metadata.get("Id"))) or kept.get(f"blob {metadata.get('BlobTrigger')}")
            carrier = {name.lower(): value for name, value in client}
            return found or propagate.extract(carrier, context.Context())

        @contextlib.contextmanager
        def run(self, function: str, invocation_id: str, trigger: str, parent: Any) -> Iterator[Run]:
            attributes = {"faas.name": function, "faas.invocation_id": invocation_id}
            kind = kinds.get(trigger, trace.SpanKind.INTERNAL)
            token = context.attach(parent or context.Context())
            try:
                with tracer.start_as_current_span(f"host: {function}", kind=kind, attributes=attributes) as span:
                    yield OtelRun(span)
            finally:
                context.detach(token)

        @contextlib.contextmanager
        def write(self, kind: str, place: str) -> Iterator[Write]:
            if kind == "queue":
                name, span_kind = f"send {place}", trace.SpanKind.PRODUCER
                attributes = {
                    "messaging.system": "azure_queue_storage",
                    "messaging.operation.name": "send",
                    "messaging.operation.type": "send",
                    "messaging.destination.name": place,
                }
            else:
                name, span_kind, attributes = f"write {place}", trace.SpanKind.CLIENT, {}
            with tracer.start_as_current_span(name, kind=span_kind, attributes=attributes):
                yield OtelWrite()

    return OtelTraces()


def _close(provider: Any) -> None:
    """Sends what is left, but waits for no receiver that is down."""
    sender = threading.Thread(target=provider.shutdown, daemon=True)
    sender.start()
    sender.join(CLOSE_S)
