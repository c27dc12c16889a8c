"""Made-up rows of the benchmark suite, seeded, for the tests of its report. They exist in tests only."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.rows import Row, absent, failed

MACHINE: dict[str, Any] = {
    "cpu": "made up", "cpus": 2, "kernel": "0.0", "python": "3.11.7", "commit": "0000000", "versions": {"uvicorn": "0"},
}  # fmt: skip
PEERS = {"fastworker": 0.5, "go": 1.3, "express": 4.4, "uvicorn": 2.2, "uvicorn+fastapi": 5.5, "gunicorn+uvicorn": 2.3,
         "gunicorn+flask": 5.2, "granian": 1.7, "azure-functions": 12.0}  # fmt: skip


def row(scenario: str, contender: str, variant: dict[str, Any], number: int, **rest: Any) -> Row:
    return Row(scenario=scenario, contender=contender, variant=variant, round=number, machine=MACHINE, **rest)


OTHER = "fastworker at 1234567"


def hop_rows(
    *, rounds: int, seed: int, factor: float = 1.0, noise: float = 0.03, in_flight: Sequence[int] = (1, 4, 16, 64)
) -> list[Row]:
    """Two trees, the first one's every time being `factor` times the other's; the machine is slower in some rounds."""
    chance = random.Random(seed)
    rows = []
    for number in range(rounds):
        mood = chance.uniform(0.8, 1.6)
        for lanes in in_flight:
            variant: dict[str, Any] = {"payload": 1024, "in_flight": lanes, "processes": 2}
            other = 30.0 * lanes**0.7 * mood
            for name, base in ((OTHER, other), ("fastworker", other * factor)):
                p50 = base * chance.gauss(1, noise)
                metrics = {
                    "p50_us": p50,
                    "p99_us": 3 * base * chance.gauss(1, 2 * noise),
                    "per_second": lanes * 1e6 / p50,
                }
                rows.append(row("hop", name, variant, number, metrics=metrics))
    return rows


def whole_run() -> list[Row]:
    """Rows of every scenario."""
    return [one for number in range(3) for one in _round(number, random.Random(number))]


def _round(number: int, chance: random.Random) -> Iterator[Row]:
    for payload in (1024, 65536, 1048576):
        for lanes in (1, 4, 16, 64):
            variant: dict[str, Any] = {"payload": payload, "in_flight": lanes, "processes": 2}
            for name, factor in {"floor": 1.0, **PEERS}.items():
                if name == "express" and payload == 1048576:
                    yield failed("hop", name, "status 413", variant=variant, round_=number)
                    continue
                p50 = 60 * factor * (1 + payload / 2e5) * lanes**0.7 * chance.gauss(1, 0.05)
                metrics = {"p50_us": p50, "p99_us": 2.8 * p50, "p99_9_us": 7 * p50, "per_second": lanes * 1e6 / p50}
                yield row("hop", name, variant, number, metrics=metrics)
    yield absent("hop", "granian-2", "no such interpreter on this machine")
    for name, factor in {"floor": 1.0, **PEERS}.items():
        rate = 92_000 / (factor if name != "fastworker" else 1.35) * chance.gauss(1, 0.04)
        yield row("capacity", name, {"in_flight": "best", "processes": 2}, number, metrics={"per_second": rate})
    yield from _loads(number, chance)
    yield from _faults(number, chance)
    yield from _processes(number, chance)


def _loads(number: int, chance: random.Random) -> Iterator[Row]:
    peers = [name for name in PEERS if name not in ("go", "express")]
    for scenario, sizes in (("cpu", ({"ms": 1}, {"ms": 10}, {"ms": 100})), ("mix", ({},))):
        for members in sizes:
            for load in (0.5, 0.8, 0.95):
                variant = {**members, "load": load, "processes": 2}
                ideal = float(members.get("ms", 20)) * (1 + 2 * load / (1.02 - load) / 4)
                for place, name in enumerate(["ideal", *peers]):
                    p99 = ideal * (1 + 0.35 * place * load**2) * chance.gauss(1, 0.02)
                    metrics = {"mean_ms": p99 / 3, "p50_ms": p99 / 4, "p99_ms": p99, "p99_9_ms": 1.6 * p99}
                    if scenario == "mix":
                        metrics |= {"short_p50_ms": p99 / 9, "short_p99_ms": p99 / 2, "long_p99_ms": 2 * p99}
                    yield row(scenario, name, variant, number, metrics=metrics)
    for function in ("work", "wait"):
        for workers in (1, 2, 3, 4):
            rate = 90 * (min(workers, 2) if function == "work" else workers) * chance.gauss(1, 0.02)
            metrics = {"per_second": rate, "p99_ms": 900 / rate * 10}
            yield row("workers", "fastworker", {"function": function, "workers": workers}, number, metrics=metrics)


def _faults(number: int, chance: random.Random) -> Iterator[Row]:
    for fault in ("crash", "overrun"):
        variant: dict[str, Any] = {"fault": fault, "processes": 4, "in_flight": 16}
        for name, lost in (("fastworker", 0.0), ("gunicorn+uvicorn", 6250.0), ("uvicorn --workers", 5970.0)):
            if fault == "overrun" and name != "fastworker":
                yield failed("faults", name, "no answer within 10 s", variant=variant, round_=number)
                continue
            calm = 20 * chance.gauss(1, 0.1)
            metrics = {"lost_per_1000": lost, "lost": lost / 5, "faults": 200.0, "answered": 9000.0 - lost,
                       "p99_ms": calm * (1 + lost / 400), "calm_p99_ms": calm}  # fmt: skip
            yield row("faults", name, variant, number, metrics=metrics)


def _processes(number: int, chance: random.Random) -> Iterator[Row]:
    late = (("soft", "fastworker", 1.2), ("hard", "fastworker", 2.5))
    replaced = (("replacement", "fastworker", 6.0), ("replacement", "gunicorn+uvicorn", 700.0))
    for kind, name, middle in late + replaced:
        metrics = {"median_ms": middle * chance.gauss(1, 0.1), "max_ms": 3 * middle, "min_ms": middle / 3}
        yield row("deadline", name, {"kind": kind}, number, metrics=metrics)
    ours, flask = (("fastworker", True, 4.4), ("fastworker", False, 231.0)), (("gunicorn+flask", True, 21.0),)
    for name, preload, extra in (*ours, *flask):
        metrics = {"extra_mb": extra, "private_mb": extra * 1.05, "pss_mb": extra + 70, "total_mb": 4 * extra + 230}
        yield row("memory", name, {"preload": preload}, number, metrics=metrics)
    for app, extra in (("empty", 0.0), ("numpy", 140.0)):
        for name, middle in (("fastworker", 260.0), ("uvicorn", 330.0), ("gunicorn+uvicorn", 480.0)):
            first = (middle + extra) * chance.gauss(1, 0.03)
            yield row("start", name, {"app": app}, number, metrics={"first_answer_ms": first})
    yield failed("stream", "fastworker", "status 404", variant={"body": "sync"}, round_=number)
    for body in ("async", "sync"):
        metrics = {"first_byte_ms": 1.4, "late_p50_ms": 0.2, "late_p99_ms": 0.5, "item_us": 41.0}
        yield row("stream", "uvicorn+fastapi", {"body": body}, number, metrics=metrics)
