"""Where spans go: exporters by the standard variables, the resource that they share, and the count of what was lost.

Used by tracing.py in each worker, and by dead_spans.py.
Rule: a receiver that is down, slow or wrong costs spans, which are counted, and nothing else: no invocation waits for
it, no end of a process hangs on it, and the log has one line a minute of it.
"""

import contextlib
import functools
import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from fastworker.errors import TelemetryError
from fastworker.ipc.running_spans import RunningSpans
from fastworker.logs import log
from fastworker.settings import Settings
from fastworker.telemetry import conventions

GROUP: Final = "opentelemetry_traces_exporter"
# `OTEL_TRACES_EXPORTER=otlp` by protocol.
OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
INSTANCE_ID: Final = "service.instance.id"
TELL_EVERY_S: Final = 60.0
# They would write of each batch that is lost. What they say last is the cause in our own line.
_TALKATIVE: Final = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "azure.monitor.opentelemetry")


def prepare(settings: Settings) -> None:
    """Looks up all that takes long (installed packages are searched), so that processes forked from here need not.

    What is wrong is told by those.
    """
    with contextlib.suppress(TelemetryError):
        exporters(settings)
    _standard_resource()


def exporters(settings: Settings) -> list[SpanExporter]:
    """As the settings and the standard variables have them. Raises TelemetryError."""
    if settings.traces == "azure-monitor":
        return [_azure_monitor()]
    names = settings.otel.get("OTEL_TRACES_EXPORTER", "otlp")
    return [_exporter(name.strip(), settings) for name in names.split(",") if name.strip()]


def _exporter(name: str, settings: Settings) -> SpanExporter:
    protocol = ""
    if name == "otlp":
        protocol = settings.otel.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or settings.otel.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
        )
        if protocol not in OTLP:
            raise TelemetryError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r}: expected one of {', '.join(OTLP)}")
        name = OTLP[protocol]
    try:
        return _exporter_class(name)()
    except TelemetryError:
        raise
    except Exception as error:  # what it makes of its own variables
        raise TelemetryError(f"the exporter {name!r} cannot be made: {type(error).__name__}: {error}") from error


@functools.cache
def _exporter_class(name: str) -> Callable[[], SpanExporter]:
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        package = f"opentelemetry-exporter-{name.replace('_', '-')}"
        raise TelemetryError(f"no exporter named {name!r} is installed: pip install {package}")
    return found.load()  # type: ignore[no-any-return]


def _azure_monitor() -> SpanExporter:
    try:
        from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise TelemetryError(
            "FASTWORKER_TELEMETRY='azure-monitor' needs the extra: pip install 'fastworker-functions[azure-monitor]'"
        ) from error
    try:
        # Nothing is kept on disk for a receiver that is down: the folder would be all workers' and outlive them.
        return AzureMonitorTraceExporter(disable_offline_storage=True)
    except Exception as error:  # a connection string that is none
        raise TelemetryError(f"the exporter for Azure Monitor cannot be made: {error}") from error


def resource_of(settings: Settings) -> Resource:
    """Who the server is. What the standard variables say wins over what Azure's tell."""
    standard = _standard_resource()
    ours: dict[str, Any] = dict(conventions.resource(settings.site, settings.app_name))
    if not str(standard.attributes.get("service.name", "")).startswith("unknown_service"):
        del ours["service.name"]
    named = {**standard.attributes, **{k: v for k, v in ours.items() if k == "service.name"}}
    named["process.pid"] = os.getpid()
    if INSTANCE_ID in named and INSTANCE_ID not in settings.otel.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        named[INSTANCE_ID] = str(uuid.uuid4())  # each process is one
    return Resource({**ours, **named}, standard.schema_url)


@functools.cache
def _standard_resource() -> Resource:
    return Resource.create()


class CountingExporter(SpanExporter):
    """Hands spans on, and counts those that are taken and those that are lost. `seen` are both together."""

    def __init__(self, exporter: SpanExporter, spans: RunningSpans, slot: int) -> None:
        self._exporter = exporter
        self._spans = spans
        self._slot = slot
        self._pid = os.getpid()  # a child that user code forks has its own copy of this, and no part in the count
        self._told_s = -TELL_EVERY_S
        self._untold = 0
        self.seen = 0
        self.is_failing = False
        self._cause = _last_word()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Never raises."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # theirs, whatever it is
            result = SpanExportResult.FAILURE
            logging.getLogger(_TALKATIVE[0]).error("%s: %s", type(error).__name__, error)
        if os.getpid() == self._pid:
            self.seen += len(spans)
            self.is_failing = result is not SpanExportResult.SUCCESS
            if result is SpanExportResult.SUCCESS:
                self._spans.count(self._slot, exported=len(spans))
            else:
                self.lose(len(spans))
        return result

    def lose(self, count: int) -> None:
        """So many spans are given up."""
        self._spans.count(self._slot, dropped=count)
        self._untold += count
        now_s = time.monotonic()
        if count and now_s - self._told_s >= TELL_EVERY_S:
            log.warning("telemetry.dropped", spans=self._untold, cause=self._cause() or "the receiver is not in time")
            self._told_s, self._untold = now_s, 0

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _last_word() -> Callable[[], str]:
    """Keeps the libraries' lines of failed exports out of the log; gives what the last one said."""
    last = ""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            nonlocal last
            last = record.getMessage().partition("\n")[0][:300]

    keep = Keep(logging.WARNING)
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        logger.handlers = [keep]
        logger.propagate = False
    return lambda: last
