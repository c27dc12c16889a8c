"""Rows as results: rounds put together, medians, spreads, and ratios to what stands beside them.

Fed by rows.py's rows; read by table.py, the plots and compare.py.
Rule: pure; and a round counts only if every answer in it was right, so that a failure is never a number.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.rows import Row

ABSENT = "absent: "

Variant = tuple[tuple[str, Any], ...]


class Spread(NamedTuple):
    """The median of the rounds, and the least and greatest of them."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Result:
    """One contender in one variant of a scenario: all its rounds."""

    scenario: str
    contender: str
    variant: Mapping[str, Any]
    right: Sequence[Row]
    failures: Sequence[str]

    @property
    def key(self) -> Variant:
        """The variant as something to compare and to look up."""
        return variant_key(self.variant)

    def values(self, metric: str) -> dict[int, float]:
        """The metric by round."""
        return {row.round: row.metrics[metric] for row in self.right if metric in row.metrics}

    def figure(self, metric: str) -> Spread | None:
        """The metric over the rounds; None if no round has it."""
        return spread_of(self.values(metric).values())

    def median(self, metric: str) -> float | None:
        """The metric's median; None if no round has it."""
        figure = self.figure(metric)
        return None if figure is None else figure.median

    @property
    def trouble(self) -> str | None:
        """What went wrong, in words, or None."""
        if not self.failures:
            return None
        count = len(self.failures) + len(self.right)
        first = self.failures[0]
        return f"failed: {first}" if not self.right else f"{len(self.failures)} of {count} rounds failed: {first}"


def spread_of(values: Iterable[float]) -> Spread | None:
    """Median and spread; None for no values."""
    known = list(values)
    return Spread(statistics.median(known), min(known), max(known), len(known)) if known else None


def variant_key(variant: Mapping[str, Any]) -> Variant:
    """A variant's members in order of their names."""
    return tuple(sorted(variant.items()))


def common_members(results: Iterable[Result]) -> frozenset[str]:
    """The members of the variant that are the same in all results: they tell nothing apart."""
    known = [result.variant for result in results]
    names = {name for variant in known for name in variant}
    return frozenset(name for name in names if all(v.get(name) == known[0].get(name) for v in known))


class Results:
    """Every result of a run, by scenario."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        right: dict[tuple[str, Variant, str], list[Row]] = {}
        failures: dict[tuple[str, Variant, str], list[str]] = {}
        variants: dict[Variant, Mapping[str, Any]] = {}  # with their members in the order in which they were written
        self._absent: dict[str, dict[str, str]] = {}
        for row in self.rows:
            if not row.ok and (row.failure or "").startswith(ABSENT):
                self._absent.setdefault(row.scenario, {})[row.contender] = (row.failure or "").removeprefix(ABSENT)
                continue
            key = (row.scenario, variant_key(row.variant), row.contender)
            variants.setdefault(key[1], row.variant)
            right.setdefault(key, [])
            failures.setdefault(key, [])
            if row.ok:
                right[key].append(row)
            else:
                failures[key].append(row.failure or "no reason was given")
        self._results = {
            key: Result(key[0], key[2], variants[key[1]], tuple(rows), tuple(failures[key]))
            for key, rows in right.items()
        }

    @property
    def scenarios(self) -> list[str]:
        """The scenarios that have rows, in the order in which they ran."""
        return list(dict.fromkeys(row.scenario for row in self.rows))

    def of(self, scenario: str, contender: str | None = None) -> list[Result]:
        """A scenario's results, or one contender's of them, in the order of the rows."""
        return [
            result for (name, _, who), result in self._results.items() if name == scenario and contender in (None, who)
        ]

    def find(self, scenario: str, contender: str, variant: Mapping[str, Any]) -> Result | None:
        """One result by its exact variant."""
        return self._results.get((scenario, variant_key(variant), contender))

    def absent(self, scenario: str) -> dict[str, str]:
        """The contenders that could not be had, each with the reason."""
        return self._absent.get(scenario, {})

    def machine(self) -> Mapping[str, Any]:
        """The machine of the first row that tells it: one run is one machine."""
        return next((row.machine for row in self.rows if row.machine), {})

    def ratios(self, result: Result, metric: str, baseline: str) -> dict[int, float]:
        """The metric over the baseline's in the same round, by round: what a slow minute does to both cancels."""
        base = self.find(result.scenario, baseline, result.variant)
        below = {} if base is None else base.values(metric)
        return {n: value / below[n] for n, value in result.values(metric).items() if below.get(n)}

    def ratio(self, result: Result, metric: str, baseline: str) -> Spread | None:
        """Median and spread of the ratios; None where there is nothing to compare with."""
        return spread_of(self.ratios(result, metric, baseline).values())
