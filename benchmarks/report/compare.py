"""Two source trees in one run: what has really changed, and what is noise.

A run with `--against TREE` has the same server twice, in turns; what is compared is this tree's time over the other's
in the same round, so that a slow minute is both's. The rounds are drawn again and again, with replacement (a
bootstrap), and the median ratio is taken each time: where the bulk of these excludes 1, the change is real.

Rule: one run in twenty may cry wolf, not one variant in twenty: half of these 5 % go to the geometric mean of all
variants, and the variants share the other half.
"""

import math
import random
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.contenders.ours import AGAINST
from benchmarks.report import formats
from benchmarks.report.results import Result, Results
from benchmarks.rows import OURS

# The metrics that are compared, and whether more of them is better.
METRICS: Final = {"p50_us": False, "p99_us": False, "p99_ms": False, "per_second": True}
ALL: Final = "all variants"
FALSE_ALARMS: Final = 0.05
RESAMPLES: Final = 10_000
# The least number of rounds whose extremes hold the true median in 15 of 16 cases. Fewer cannot tell 95 %.
ENOUGH_ROUNDS: Final = 5

EXIT_SAME, EXIT_WORSE, EXIT_CANNOT_TELL = 0, 1, 2


class Verdict(Enum):
    """What became of one variant between the trees."""

    BETTER = "better"
    WORSE = "worse"
    NOISE = "noise"
    TOO_FEW = "too few rounds"
    FAILED = "failed"


@dataclass(frozen=True)
class Change:
    """One line of the comparison: this tree's metric over the other's, surely between `low` and `high`."""

    scenario: str
    variant: str
    metric: str
    verdict: Verdict
    rounds: int
    before: float = math.nan
    after: float = math.nan
    change: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""


def interval(
    ratios: Sequence[float], false_alarms: float, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The bootstrap confidence interval of the median ratio.

    `false_alarms` is the chance that it misses the true one. The seed makes the answer repeatable.
    """
    chance = random.Random(seed)
    drawn = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(resamples))
    cut = int(false_alarms / 2 * resamples)
    return drawn[cut], drawn[-1 - cut]


def others(results: Results) -> list[str]:
    """The other trees of a run."""
    return list(dict.fromkeys(row.contender for row in results.rows if row.contender.startswith(AGAINST)))


def compare(results: Results, other: str, resamples: int = RESAMPLES) -> list[Change]:
    """Every variant that both trees have in a scenario, and all of a scenario together, per metric."""
    changes: list[Change] = []
    for scenario in results.scenarios:
        mine = [result for result in results.of(scenario, OURS) if result.variant.get("in_flight") != "best"]
        for metric, more_is_better in METRICS.items():
            judged = [(result, results.ratios(result, metric, other)) for result in mine]
            able = [(result, ratios) for result, ratios in judged if ratios]
            if not able:
                continue
            share = FALSE_ALARMS / 2 / len(METRICS)
            if len(able) > 1:
                whole = _together(ratios for _, ratios in able)
                changes.append(_change(scenario, ALL, metric, whole, share, resamples, more_is_better))
            for result, ratios in able:
                name = formats.variant(result.variant, frozenset({"processes"}))
                change = _change(scenario, name, metric, ratios, share / len(able), resamples, more_is_better)
                changes.append(_with_times(results, result, other, change))
        changes += _failures(results, scenario, other)
    return changes


def exit_code(changes: Sequence[Change]) -> int:
    """1 for a regression or a new failure; 2 where nothing could be judged; else 0."""
    verdicts = {change.verdict for change in changes}
    if verdicts & {Verdict.WORSE, Verdict.FAILED}:
        return EXIT_WORSE
    return EXIT_SAME if verdicts & {Verdict.BETTER, Verdict.NOISE} else EXIT_CANNOT_TELL


def show(results: Results, console: Console) -> int:
    """Prints the comparison with each other tree of the run; the exit code, the worst of them. 0 without any."""
    code = EXIT_SAME
    for other in others(results):
        changes = compare(results, other)
        console.print(_table(changes, other))
        for note in dict.fromkeys(change.note for change in changes if change.note):
            console.print(f"  {note}", markup=False)
        console.print(_summary(changes))
        code = max(code, exit_code(changes), key=(EXIT_SAME, EXIT_CANNOT_TELL, EXIT_WORSE).index)
    return code


def _together(variants: Iterable[dict[int, float]]) -> dict[int, float]:
    """The geometric mean of all variants' ratios, of the rounds that have them all."""
    known = list(variants)
    common = set.intersection(*(set(ratios) for ratios in known))
    return {n: statistics.geometric_mean([ratios[n] for ratios in known]) for n in sorted(common)}


def _change(
    scenario: str,
    variant: str,
    metric: str,
    ratios: dict[int, float],
    false_alarms: float,
    resamples: int,
    more_is_better: bool,
) -> Change:
    values = list(ratios.values())
    change = statistics.median(values) if values else math.nan
    if len(values) < ENOUGH_ROUNDS:
        note = f"{ENOUGH_ROUNDS} or more rounds are needed for a verdict: --rounds {2 * ENOUGH_ROUNDS}"
        return Change(scenario, variant, metric, Verdict.TOO_FEW, len(values), change=change, note=note)
    low, high = interval(values, false_alarms, resamples=resamples)
    real = Verdict.BETTER if (low > 1) == more_is_better else Verdict.WORSE
    verdict = Verdict.NOISE if low <= 1 <= high else real
    return Change(scenario, variant, metric, verdict, len(values), change=change, low=low, high=high)


def _with_times(results: Results, result: Result, other: str, change: Change) -> Change:
    """The same with both trees' medians."""
    there = results.find(result.scenario, other, result.variant)
    before, after = there and there.median(change.metric), result.median(change.metric)
    return Change(**{**vars(change), "before": before or math.nan, "after": after or math.nan})


def _failures(results: Results, scenario: str, other: str) -> Iterator[Change]:
    """What this tree failed at and the other did not."""
    for result in results.of(scenario, OURS):
        there = results.find(scenario, other, result.variant)
        if result.failures and not (there and there.failures):
            name = formats.variant(result.variant, frozenset({"processes"}))
            yield Change(scenario, name, "", Verdict.FAILED, 0, note=f"failed: {result.trouble}")


COLOURS: Final = {
    Verdict.BETTER: "green",
    Verdict.WORSE: "bold red",
    Verdict.NOISE: "dim",
    Verdict.TOO_FEW: "yellow",
    Verdict.FAILED: "bold red",
}


def _table(changes: Sequence[Change], other: str) -> Table:
    table = Table(title=f"this tree over {other}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("scenario", "variant", "metric"):
        table.add_column(name)
    for name in ("rounds", "other", "this", "change", "surely between"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for change in changes:
        table.add_row(
            change.scenario,
            change.variant,
            formats.quantity_of(change.metric) if change.metric else "",
            str(change.rounds),
            "" if math.isnan(change.before) else formats.amount(change.metric, change.before),
            "" if math.isnan(change.after) else formats.amount(change.metric, change.after),
            "" if math.isnan(change.change) else f"{change.change - 1:+.1%}",
            "" if math.isnan(change.low) else f"{change.low - 1:+.1%} .. {change.high - 1:+.1%}",
            f"[{COLOURS[change.verdict]}]{change.verdict.value}[/]",
        )
    return table


def _summary(changes: Sequence[Change]) -> str:
    counts = {verdict: sum(1 for change in changes if change.verdict is verdict) for verdict in Verdict}
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
    meaning = {
        EXIT_SAME: "nothing is worse than before",
        EXIT_WORSE: "[bold red]something is worse than before[/]",
        EXIT_CANNOT_TELL: "[yellow]nothing can be told[/]",
    }[exit_code(changes)]
    return f"{told or 'nothing that both have'}: {meaning}."
