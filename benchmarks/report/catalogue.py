"""The catalogue of scenarios: the title of each, what its figures mean, which metrics are listed, and beside what.

Read by table.py, page.py and the plots. Rule: pure data; a scenario that is not listed is still shown, by its metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report.results import Result
from benchmarks.rows import FLOOR, IDEAL


@dataclass(frozen=True)
class Entry:
    """One scenario. `ratio` is the metric that is set beside `baseline`'s."""

    title: str
    meaning: str
    metrics: tuple[str, ...] = ()
    ratio: str | None = None
    baseline: str = FLOOR
    more_is_better: bool = False


CATALOGUE: Final = {
    "hop": Entry(
        "The hop: from the host to the handler and back, no work in it",
        "Closed loop. Time from the request's first byte to the answer's last, as the host sees it; ratio: p50 over "
        "the C floor's in the same round.",
        ("p50_us", "p99_us", "p99_9_us", "per_second"),
        "p50_us",
    ),
    "capacity": Entry(
        "Capacity: requests per second at saturation",
        "Closed loop with enough in flight that nobody waits for the load side; ratio: over the C floor's in the same "
        "round, more is better.",
        ("per_second", "p50_us", "p99_us"),
        "per_second",
        more_is_better=True,
    ),
    "cpu": Entry(
        "CPU-heavy functions under an open load",
        "Requests are sent at their appointed times whether or not earlier ones are answered, and latency counts from "
        "that time; ratio: p99 over the ideal's, a central queue before as many servers, same arrivals, same work.",
        ("mean_ms", "p50_ms", "p99_ms", "p99_9_ms"),
        "p99_ms",
        IDEAL,
    ),
    "mix": Entry(
        "Short requests among long ones, on keep-alive connections",
        "Open load, 95 % short and 5 % long; a short request that lies behind a long one while another worker idles "
        "pays for it here; ratio: p99 of the short ones over the ideal's.",
        ("short_p50_ms", "short_p99_ms", "long_p50_ms", "long_p99_ms"),
        "short_p99_ms",
        IDEAL,
    ),
    "neighbour": Entry(
        "The spin beside a host on the same CPUs",
        "As many load processes as CPUs, each computing for some milliseconds (host ms) before each forwarded request. "
        "CPU: of all the server's processes, per request. FASTWORKER_SPIN in microseconds.",
        ("per_second", "cpu_us", "p50_us", "p99_us"),
        more_is_better=True,
    ),
    "workers": Entry(
        "How many workers",
        "Throughput and p99 over FASTWORKER_WORKERS.",
        ("per_second", "p50_ms", "p99_ms"),
        more_is_better=True,
    ),
    "faults": Entry(
        "Innocent requests while workers crash or overrun",
        "A closed loop of short requests, some of which kill their worker or never end. Lost: an innocent request "
        "whose connection broke or whose answer was not the right one. Calm: the same load before, without faults.",
        ("lost_per_1000", "lost", "faults", "answered", "p99_ms", "calm_p99_ms"),
    ),
    "deadline": Entry(
        "Deadlines, and a dead worker's replacement",
        "Soft and hard: how much later than its deadline an overrunning request was answered, seen by the client. "
        "Replacement: from the answer for a crash to the end of the next request, one worker.",
        ("median_ms", "max_ms", "min_ms"),
    ),
    "memory": Entry(
        "Memory of an app with numpy and a table of 200 MB",
        "After the load. Extra: what one more worker adds to the proportional set size of the whole tree. Private: "
        "what a worker shares with nobody.",
        ("extra_mb", "private_mb", "pss_mb", "total_mb"),
    ),
    "start": Entry(
        "Start: from exec to the first right answer",
        "The port is asked until it answers, every few milliseconds.",
        ("first_answer_ms",),
    ),
    "stream": Entry(
        "Streaming: the first byte, and each item",
        "Late: how long after it was made an item is read, with a pause between items. Per item: the time of each in a "
        "long answer without pauses. From async generators, and from ordinary ones (sync).",
        ("first_byte_ms", "late_p50_ms", "late_p99_ms", "item_us"),
    ),
    "uploads": Entry(
        "Uploads as the host frames them",
        "From the first byte sent to the last of the answer, CPU time of all processes, and how far their resident size"
        " rose; in chunks of 1,024 bytes, and with a length.",
        ("p50_ms", "cpu_ms", "peak_mb"),
    ),
    "threads": Entry(
        "A function of numpy, with FASTWORKER_THREADS and without",
        "A closed loop on as many workers as CPUs; off: BLAS starts a thread per CPU in each of them.",
        ("per_second", "p50_ms", "p99_ms"),
        more_is_better=True,
    ),
    "adapters": Entry(
        "The same app on its usual server and here",
        "Functions of 10 ms. Requests per second in a closed loop; p99 in an open loop at 80 % of what the CPUs can "
        "compute; innocents lost per 1,000 crashes of a worker; proportional set size of all processes after the load.",
        ("per_second", "p50_ms", "p99_ms", "lost_per_1000", "memory_mb"),
        more_is_better=True,
    ),
    "scale": Entry(
        "A day from 1 to 10,000 requests a second under published scaling rules (simulated)",
        "Service times and the start of the app are this server's, measured; one CPU and one worker an instance. Late: "
        "answered after more than a second. Hours over needed: instance hours over those of instances that never idle. "
        "Platform s: what the platform takes before anything starts, an assumption.",
        ("p50_ms", "p99_ms", "late_percent", "instance_hours", "hours_over_needed", "most_instances", "cold_start_ms"),
    ),
}


def entry(scenario: str, results: Sequence[Result]) -> Entry:
    """The entry of a scenario, with the metrics that its results really have."""
    known = CATALOGUE.get(scenario, Entry(scenario, ""))
    there = list(dict.fromkeys(name for result in results for row in result.right for name in row.metrics))
    metrics = tuple(name for name in known.metrics if name in there) or tuple(there)
    ratio = known.ratio if known.ratio in there else None
    return Entry(known.title, known.meaning, metrics, ratio, known.baseline, known.more_is_better)
