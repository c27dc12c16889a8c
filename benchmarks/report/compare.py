"""Two runs of the hop: what has really changed, and what is noise.

`python -m benchmarks compare A.json B.json`; each is a rows.jsonl, or the folder of a run. What is compared is
fastworker's time over the floor's in the same round, so that a slower machine or minute is no change. The rounds of
each run are drawn again and again, with replacement (a bootstrap), and the change of the median ratio is taken each
time: where the bulk of these changes excludes "none", the change is real.

Rule: one run in twenty may cry wolf, not one variant in twenty: half of these 5 % go to the geometric mean of all
variants, and the variants share the other half.
"""

import math
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks import rows
from benchmarks.report import words
from benchmarks.report.results import FLOOR, OURS, Results, Variant

HOP: Final = "hop"
METRICS: Final = ("p50_us", "p99_us")
FALSE_ALARMS: Final = 0.05
RESAMPLES: Final = 10_000

# The least number of rounds whose extremes hold the true median in 15 of 16 cases. Fewer cannot tell 95 %.
ENOUGH_ROUNDS: Final = 5

COMMAND: Final = f"python -m benchmarks hop --contenders {FLOOR},{OURS} --rounds {2 * ENOUGH_ROUNDS}"

EXIT_SAME, EXIT_WORSE, EXIT_CANNOT_TELL = 0, 1, 2


class Verdict(Enum):
    """What became of one variant between the runs."""

    BETTER = "better"
    WORSE = "worse"
    NOISE = "noise"
    TOO_FEW = "too few rounds"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True)
class Change:
    """One line of the comparison. Ratios are fastworker's over the floor's; `change` is B's ratio over A's.

    `low` and `high` enclose the change, so sure as the family of comparisons needs it.
    """

    variant: str
    metric: str
    verdict: Verdict
    rounds: tuple[int, int]
    before: float = math.nan
    after: float = math.nan
    change: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""


def interval(
    before: Sequence[float], after: Sequence[float], false_alarms: float, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """The change of the median from `before` to `after` as a factor, with its bootstrap confidence interval.

    `false_alarms` is the chance that the interval misses the true change. The seed makes the answer repeatable.
    """
    chance = random.Random(seed)
    drawn = sorted(
        statistics.median(chance.choices(after, k=len(after)))
        / statistics.median(chance.choices(before, k=len(before)))
        for _ in range(resamples)
    )
    cut = int(false_alarms / 2 * resamples)
    change = statistics.median(after) / statistics.median(before)
    return change, drawn[cut], drawn[-1 - cut]


def compare(before: Results, after: Results, resamples: int = RESAMPLES) -> list[Change]:
    """Every variant of the hop that fastworker has in either run, and all of them together, per metric."""
    ours = dict.fromkeys(result.key for run in (before, after) for result in run.of(HOP, OURS))
    changes: list[Change] = []
    for metric in METRICS:
        judged = {key: (_ratios(before, key, metric), _ratios(after, key, metric)) for key in ours}
        able = {key: pair for key, pair in judged.items() if min(map(len, pair)) >= ENOUGH_ROUNDS}
        share = FALSE_ALARMS / 2 / len(METRICS)
        if len(able) > 1:
            together = tuple(_together(pair[side] for pair in able.values()) for side in (0, 1))
            changes.append(_change("all variants", metric, (together[0], together[1]), share, resamples))
        for key, pair in judged.items():
            if not any(_has(run, key, metric) for run in (before, after)) and not _failed(after, key):
                continue  # too few requests for such a percentile, in both
            changes.append(_judge(before, after, key, metric, pair, share / max(1, len(able)), resamples))
    return changes


def exit_code(changes: Sequence[Change]) -> int:
    """1 for a regression or a new failure; 2 where nothing could be judged; else 0."""
    verdicts = {change.verdict for change in changes}
    if verdicts & {Verdict.WORSE, Verdict.FAILED}:
        return EXIT_WORSE
    return EXIT_SAME if verdicts & {Verdict.BETTER, Verdict.NOISE} else EXIT_CANNOT_TELL


def run(before: Path, after: Path, console: Console | None = None) -> int:
    """The command: prints the comparison, returns the exit code. Raises RowsError for what cannot be read."""
    console = console or Console()
    first, second = Results(rows.read(before)), Results(rows.read(after))
    changes = compare(first, second)
    for warning in _other_conditions(first, second):
        console.print(f"[yellow]{warning}[/]")
    if not changes:
        console.print(f"Neither run has rows of fastworker's {HOP}; nothing to compare.")
        return EXIT_CANNOT_TELL
    console.print(_table(changes))
    for note in dict.fromkeys(f"{change.verdict.value}: {change.note}" for change in changes if change.note):
        console.print(f"  {note}", markup=False)
    code = exit_code(changes)
    console.print(_summary(changes, code))
    return code


def _ratios(run: Results, key: Variant, metric: str) -> dict[int, float]:
    result = run.find(HOP, OURS, dict(key))
    return {} if result is None else run.ratios(result, metric, FLOOR)


def _has(run: Results, key: Variant, metric: str) -> bool:
    result = run.find(HOP, OURS, dict(key))
    return result is not None and result.figure(metric) is not None


def _failed(run: Results, key: Variant) -> bool:
    result = run.find(HOP, OURS, dict(key))
    return result is not None and bool(result.failures)


def _together(variants: Iterable[dict[int, float]]) -> dict[int, float]:
    """The geometric mean of all variants' ratios, of the rounds that have them all."""
    known = list(variants)
    common = set.intersection(*(set(ratios) for ratios in known))
    return {n: statistics.geometric_mean([ratios[n] for ratios in known]) for n in sorted(common)}


def _judge(
    before: Results,
    after: Results,
    key: Variant,
    metric: str,
    pair: tuple[dict[int, float], dict[int, float]],
    false_alarms: float,
    resamples: int,
) -> Change:
    was, now = (run.find(HOP, OURS, dict(key)) for run in (before, after))
    known = now or was
    name = words.variant(known.variant, frozenset({"processes"})) if known else ""
    counts = (len(pair[0]), len(pair[1]))
    if now is not None and now.failures:
        return Change(name, metric, Verdict.FAILED, counts, note=f"B: {now.trouble}")
    if was is None or now is None or not all(counts):
        absent = [side for side, there in zip("AB", counts, strict=True) if not there]
        return Change(name, metric, Verdict.MISSING, counts, note=f"no ratio to the floor in {' and '.join(absent)}")
    return _change(name, metric, pair, false_alarms, resamples)


def _change(
    name: str,
    metric: str,
    pair: tuple[dict[int, float], dict[int, float]],
    false_alarms: float,
    resamples: int,
) -> Change:
    before, after = (list(ratios.values()) for ratios in pair)
    counts = (len(before), len(after))
    if min(counts) < ENOUGH_ROUNDS:
        known = (statistics.median(before), statistics.median(after)) if all(counts) else (math.nan, math.nan)
        return Change(name, metric, Verdict.TOO_FEW, counts, *known, note=f"{ENOUGH_ROUNDS} or more are needed in each")
    change, low, high = interval(before, after, false_alarms, resamples=resamples)
    verdict = Verdict.WORSE if low > 1 else Verdict.BETTER if high < 1 else Verdict.NOISE
    return Change(name, metric, verdict, counts, statistics.median(before), statistics.median(after), change, low, high)


def _other_conditions(before: Results, after: Results) -> list[str]:
    """What makes two runs hard to compare: another machine, kernel or interpreter."""
    first, second = before.machine(), after.machine()
    return [
        f"A and B differ in {name}: {first.get(name)} and {second.get(name)}; "
        "ratios to the floor bear that better than times, but not wholly."
        for name in ("cpu", "cpus", "kernel", "python")
        if first.get(name) != second.get(name)
    ]


COLOURS: Final = {
    Verdict.BETTER: "green",
    Verdict.WORSE: "bold red",
    Verdict.NOISE: "dim",
    Verdict.TOO_FEW: "yellow",
    Verdict.FAILED: "bold red",
    Verdict.MISSING: "yellow",
}


def _table(changes: Sequence[Change]) -> Table:
    title = "fastworker's hop over the floor's: B beside A"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("variant", "metric"):
        table.add_column(name)
    for name in ("rounds", "A", "B", "change", "surely between"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for change in changes:
        known = not math.isnan(change.change)
        table.add_row(
            change.variant,
            words.quantity_of(change.metric),
            f"{change.rounds[0]} / {change.rounds[1]}",
            "" if math.isnan(change.before) else f"{change.before:.3f}",
            "" if math.isnan(change.after) else f"{change.after:.3f}",
            f"{change.change - 1:+.1%}" if known else "",
            f"{change.low - 1:+.1%} .. {change.high - 1:+.1%}" if known else "",
            f"[{COLOURS[change.verdict]}]{change.verdict.value}[/]",
        )
    return table


def _summary(changes: Sequence[Change], code: int) -> str:
    counts = {verdict: sum(1 for change in changes if change.verdict is verdict) for verdict in Verdict}
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
    meaning = {
        EXIT_SAME: "no regression of the hop",
        EXIT_WORSE: "[bold red]the hop is worse than before[/]",
        EXIT_CANNOT_TELL: f"[yellow]nothing can be told; run both as `{COMMAND}`[/]",
    }[code]
    if counts[Verdict.FAILED]:
        meaning = "[bold red]rounds of B failed, and what fails is not fast[/]"
    return f"{told}: {meaning}."
