"""What fastworker set out to reach, and whether this run reached it.

Rule: pure; a target whose figures are not in the rows is "not measured", which is neither reached nor missed.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from benchmarks.report import words
from benchmarks.report.results import FLOOR, IDEAL, OURS, Result, Results

NO_SPIN: Final = f"{OURS}, no spin"
NAMES: Final = {"cpu": "cpu p99", "mix": "p99 of mix's short requests"}
NOT_PEERS: Final = frozenset({OURS, NO_SPIN, FLOOR, IDEAL})


class Target(NamedTuple):
    """One aim: `value` is None where it was not measured; else it should be at most, or at least, `limit`."""

    name: str
    limit: float
    at_least: bool
    value: float | None
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """None where it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g} {self.unit}".strip()


def targets(results: Results) -> list[Target]:
    """All of them, in the order of the issue that set them."""
    return [*_hop(results), *_capacity(results), *_ideal(results), *_rest(results)]


def _hop(results: Results) -> Iterator[Target]:
    for mine in _or_none(r for r in results.of("hop", OURS) if r.variant.get("in_flight") == 1):
        where = _where(mine)
        yield Target(f"hop p50 over the floor's{where}", 1.0, False, _ratio(results, mine, "p50_us", FLOOR))
        quiet = mine and results.find("hop", NO_SPIN, mine.variant)
        yield Target(f"hop p50 over the floor's, no spin{where}", 1.3, False, _ratio(results, quiet, "p50_us", FLOOR))
        nearest = max(
            ((ratio, peer) for peer in _peers(results, mine) if (ratio := _ratio(results, mine, "p50_us", peer))),
            default=(None, "Go, uvicorn and the Python peers"),
        )
        yield Target(f"hop p50 over that of the fastest other ({nearest[1]}){where}", 1.0, False, nearest[0])


def _capacity(results: Results) -> Iterator[Target]:
    mine = next(iter(results.of("capacity", OURS)), None)
    for other, limit in ((FLOOR, 0.7), ("go", 1.5), ("express", 8.0)):
        name = _called(results, mine, other)
        yield Target(f"capacity over that of {name or other}", limit, True, _ratio(results, mine, "per_second", name))


def _ideal(results: Results) -> Iterator[Target]:
    for scenario in ("cpu", "mix"):
        for mine in _or_none(r for r in results.of(scenario, OURS) if abs(_load(r) - 0.8) < 0.01):
            where = _where(mine)
            ratios = [_ratio(results, mine, metric, IDEAL) for metric in ("short_p99_ms", "p99_ms")]
            value = next((ratio for ratio in ratios if ratio is not None), None)
            yield Target(f"{NAMES[scenario]} over the ideal's at 80 % load{where}", 1.25, False, value)


def _rest(results: Results) -> Iterator[Target]:
    for mine in _or_none(results.of("faults", OURS)):
        where = _where(mine)
        yield Target(f"innocent requests lost{where}", 0, False, _worst(mine, "lost"))
    preloaded = [r for r in results.of("memory", OURS) if r.variant.get("preload")]
    value = preloaded[0].median("private_mb") if preloaded else None
    yield Target("private memory of one more worker, numpy app", 8, False, value, "MB")
    empty = [r for r in results.of("start", OURS) if r.variant.get("app") == "empty"]
    seconds = empty[0].time("first_answer") if empty else None
    yield Target("start of the empty app", 0.4, False, seconds and seconds.median, "s")


def _ratio(results: Results, mine: Result | None, metric: str, other: str | None) -> float | None:
    figure = results.ratio(mine, metric, other) if mine is not None and other is not None else None
    return None if figure is None else figure.median


def _or_none(results: Iterable[Result]) -> list[Result | None]:
    """The results, or one None: then the target is not measured."""
    known: list[Result | None] = [*results]
    return known or [None]


def _worst(mine: Result | None, metric: str) -> float | None:
    figure = None if mine is None else mine.figure(metric)
    return None if figure is None else figure.high


def _peers(results: Results, mine: Result | None) -> Iterable[str]:
    """Everybody who answered in the same variant: a user would pick them instead."""
    if mine is None:
        return []
    same = [r for r in results.of(mine.scenario) if r.key == mine.key and r.right]
    return [r.contender for r in same if r.contender not in NOT_PEERS and not r.contender.lower().startswith("express")]


def _called(results: Results, mine: Result | None, name: str) -> str | None:
    """The contender of that name, which may say more about itself (`express (node 20)`)."""
    if mine is None:
        return None
    names = [r.contender for r in results.of(mine.scenario) if r.key == mine.key]
    return next((one for one in names if one.lower() == name or one.lower().startswith((f"{name} ", f"{name},"))), None)


def _load(result: Result) -> float:
    load = result.variant.get("load")
    return float(load) if isinstance(load, int | float) else -1.0


def _where(result: Result | None) -> str:
    told = "" if result is None else words.variant(result.variant, frozenset({"processes", "load", "in_flight"}))
    return f", {told}" if told else ""
