"""The process that writes the spans of invocations whose worker has died: by a crash, at the hard deadline, at the end.

Forked by supervisor/warden.py if traces are on, before there is an app; ends with the warden, or when that tells it to.
Rule: there is one such process, and each dead span is exported once. It imports nothing until there is one, so that
a server whose workers never die pays for a sleeping process only.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from fastworker.ipc import linux
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.running_spans import DeadSpan, RunningSpans
from fastworker.settings import Settings

LOOK_S: Final = 0.25
ENDING_LOOK_S: Final = 0.01


class Known(msgspec.Struct):
    """What a worker has written of its span (tracing.py). `times`: of its start, and of the end of its wait."""

    name: str = "invocation"
    kind: str = "server"
    attributes: dict[str, str | int | float | bool] = {}
    times: tuple[int, int] = (0, 0)
    state: str = ""


def main(inherited: Inherited, settings: Settings, parent: int) -> None:
    """The life of the writer, in a process of its own."""
    linux.die_with_parent(parent)
    linux.name_process("fastworker:span")
    spans, board = inherited.spans, inherited.board
    assert spans is not None
    write: Callable[[list[DeadSpan]], None] | None = None
    while True:
        if write is None and (spans.unwritten or (board.drain_ns and not spans.ending)):
            write = _writer(spans, settings)  # at a drain before it is known whether that cuts anything
        if spans.unwritten:
            assert write is not None
            found = list(spans.dead())
            write(found)
            for span in found:
                spans.written(span.row)
        elif spans.ending:
            return
        time.sleep(ENDING_LOOK_S if spans.ending else LOOK_S)


def known_of(data: bytes) -> Known:
    """What is known of a span. User code may have written across it: then nothing is."""
    try:
        return msgspec.json.decode(data, type=Known)
    except (msgspec.DecodeError, RecursionError):
        return Known()


def _writer(spans: RunningSpans, settings: Settings) -> Callable[[list[DeadSpan]], None]:
    from fastworker.telemetry.exporting import CountingExporter, exporters, resource_of  # noqa: PLC0415 - see the rule
    from fastworker.telemetry.tracing import finished_span  # noqa: PLC0415

    resource = resource_of(settings)
    counting = [CountingExporter(exporter, spans, spans.slots) for exporter in exporters(settings)]

    def write(found: list[DeadSpan]) -> None:
        made: list[Any] = [finished_span(span, known_of(span.known), resource) for span in found]
        for exporter in counting if made else ():
            exporter.export(made)

    return write
