"""The metrics page: a snapshot and the counters as Prometheus text, or as OpenMetrics 1.0.

Used by supervisor/status.py for supervisor/metrics_port.py; docs/metrics.md lists the names.
Rule: pure. Labels are names of functions, words of ours, and numbers of slots: their number is bounded, and nothing
that a client sends becomes one. What has not changed since the last look is not written anew.
"""

import platform
from collections.abc import Iterable, Sequence
from typing import Final

from fastworker.telemetry.snapshot import Histogram, Snapshot, function_of, outcomes_of

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
UNNAMED: Final = ""

STATES: Final = ("forking", "starting", "ready", "retiring")


def content_type(accept: str) -> str:
    """What a scraper wants, of the two that there are."""
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return OPENMETRICS if "application/openmetrics-text" in wanted else TEXT


class Page:
    """The page in one format. It keeps the text of each function until the function's counters change."""

    def __init__(self, content_type: str, *, with_cpu: bool) -> None:
        self._is_open = content_type == OPENMETRICS
        self._with_cpu = with_cpu
        self._texts: dict[str, tuple[list[int], list[str]]] = {}

    def render(self, snapshot: Snapshot, functions: dict[str, list[int]], more: str = "") -> str:
        """The page; `more` are families of the app's own, in the same format and without an end."""
        parts = [self._of(name, words) for name, words in sorted(functions.items()) if name != UNNAMED]
        columns = list(zip(*parts, strict=True)) if parts else [()] * 4
        families = [
            self._family("invocations", "counter", "Invocations that have ended.", columns[0]),
            self._family(
                "invocation_duration_seconds", "histogram", "From the worker's turn to the answer.", columns[1]
            ),
            self._family("queue_wait_seconds", "histogram", "How long requests lay in their sockets.", columns[2]),
        ]
        if self._with_cpu:
            help_text = "Processor time of the threads that ran def handlers."
            families.append(self._family("invocation_cpu_seconds", "histogram", help_text, columns[3]))
        families += self._of_server(snapshot, functions.get(UNNAMED))
        return "".join(families) + more + ("# EOF\n" if self._is_open else "")

    def _of(self, name: str, words: list[int]) -> list[str]:
        kept = self._texts.get(name)
        if kept is not None and kept[0] is words:
            return kept[1]
        counted = function_of(name, words, with_cpu=self._with_cpu)
        label = f'function="{_escaped(name)}"'
        outcomes = "".join(
            f'fastworker_invocations_total{{{label},outcome="{outcome}"}} {count}\n'
            for outcome, count in counted.outcomes.items()
        )
        if not counted.duration.count and not counted.queue_wait.count:  # it has never been asked for
            texts = [outcomes, "", "", ""]
            self._texts[name] = words, texts
            return texts
        texts = [
            outcomes,
            _histogram("fastworker_invocation_duration_seconds", label, counted.duration),
            _histogram("fastworker_queue_wait_seconds", label, counted.queue_wait),
            "" if counted.cpu is None else _histogram("fastworker_invocation_cpu_seconds", label, counted.cpu),
        ]
        self._texts[name] = words, texts
        return texts

    def _of_server(self, snapshot: Snapshot, unnamed: list[int] | None) -> list[str]:
        by_state = dict.fromkeys(STATES, 0)
        for worker in snapshot.workers:
            by_state[worker.state] = by_state.get(worker.state, 0) + 1
        refused = {} if unnamed is None else outcomes_of(unnamed)
        resident = {str(worker.slot): worker.resident_bytes for worker in snapshot.workers}
        build = f'version="{_escaped(snapshot.fastworker)}",python="{platform.python_version()}"'
        return [
            self._numbers(
                "unnamed_requests", "counter", "Requests that name no function, by how they ended.", "outcome", refused
            ),
            self._numbers("workers", "gauge", "Worker processes.", "state", by_state),
            self._numbers(
                "worker_busy_seconds", "counter", "Time in which a worker ran handlers.", "worker", snapshot.busy_s
            ),
            self._numbers("worker_restarts", "counter", "Workers that have ended.", "cause", snapshot.restarts),
            self._numbers("worker_resident_bytes", "gauge", "Resident set, shared pages too.", "worker", resident),
            self._one("in_flight", "gauge", "Requests in workers' hands.", snapshot.in_flight),
            self._one("connections", "gauge", "Open connections.", snapshot.connections),
            self._one("supervisor_cpu_seconds", "counter", "Processor time of the supervisor.", snapshot.cpu_s),
            self._one("start_time_seconds", "gauge", "When the server began.", snapshot.time - snapshot.uptime_s),
            *(
                [self._numbers("spans", "counter", "Spans of traces.", "fate", snapshot.spans)]
                if snapshot.spans
                else []
            ),
            self._family("build_info", "gauge", "Versions.", [f"fastworker_build_info{{{build}}} 1\n"]),
        ]

    def _numbers(
        self, name: str, kind: str, help_text: str, label: str, values: "dict[str, int] | dict[int, float]"
    ) -> str:
        full = f"fastworker_{name}{'_total' if kind == 'counter' else ''}"
        lines = [f'{full}{{{label}="{key}"}} {_number(value)}\n' for key, value in values.items()]
        return self._family(name, kind, help_text, lines)

    def _one(self, name: str, kind: str, help_text: str, value: float) -> str:
        full = f"fastworker_{name}{'_total' if kind == 'counter' else ''}"
        return self._family(name, kind, help_text, [f"{full} {_number(value)}\n"])

    def _family(self, name: str, kind: str, help_text: str, lines: Iterable[str]) -> str:
        """OpenMetrics names a family of counters without the ending that its lines have, and knows units and infos."""
        shown = f"fastworker_{name}"
        if not self._is_open:
            shown += "_total" if kind == "counter" else ""
            return f"# HELP {shown} {help_text}\n# TYPE {shown} {kind}\n{''.join(lines)}"
        unit = next((f"# UNIT {shown} {unit}\n" for unit in ("seconds", "bytes") if shown.endswith(f"_{unit}")), "")
        if name == "build_info":
            shown, kind = shown.removesuffix("_info"), "info"
        return f"# TYPE {shown} {kind}\n{unit}# HELP {shown} {help_text}\n{''.join(lines)}"


def _histogram(name: str, label: str, histogram: Histogram) -> str:
    total, lines = 0, []
    for bound, count in zip(_shown(histogram.bounds), histogram.counts, strict=False):
        total += count
        lines.append(f'{name}_bucket{{{label},le="{bound}"}} {total}\n')
    total += histogram.counts[-1]
    lines.append(f'{name}_bucket{{{label},le="+Inf"}} {total}\n')
    lines.append(f"{name}_sum{{{label}}} {_number(histogram.sum)}\n{name}_count{{{label}}} {total}\n")
    return "".join(lines)


_BOUNDS: dict[int, list[str]] = {}


def _shown(bounds: Sequence[float]) -> list[str]:
    """Bounds as OpenMetrics wants them: always with a point."""
    known = _BOUNDS.get(id(bounds))
    if known is None:
        known = _BOUNDS[id(bounds)] = [repr(float(bound)) for bound in bounds]
    return known


def _number(value: float) -> str:
    return repr(round(value, 9)) if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
