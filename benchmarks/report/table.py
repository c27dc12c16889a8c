"""The terminal's table of each scenario, by rich.

Rule: shows what Results says and computes nothing of its own.
"""

import statistics
from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.report import formats
from benchmarks.report.catalogue import Entry, entry
from benchmarks.report.results import Result, Results, Spread, common_members
from benchmarks.rows import FLOOR, OURS

# The floor with one in flight takes 16 us where both ends share a CPU, and 50 or more where they do not.
ONE_CPU_US = 35
SMALLEST = 1024


def show(results: Results, console: Console) -> None:
    """All scenarios, one table each, then what failed (marked * where some rounds did not) and what was absent."""
    for scenario in results.scenarios:
        mine = results.of(scenario)
        if mine:
            console.print(_table(results, mine, entry(scenario, mine)))
        for note in notes(results, scenario):
            console.print(f"  {escape(note)}", highlight=False)
        console.print()


def notes(results: Results, scenario: str) -> list[str]:
    """What has to be said below a table: who failed and why, and who was absent and why."""
    told = []
    for result in results.of(scenario):
        if result.trouble:
            where = f" ({formats.variant(result.variant)})" if result.variant else ""
            told.append(f"failed {result.contender}{where}: {result.trouble}")
    if scenario == "hop":
        told += floor_modes(results)
    absent = results.absent(scenario).items()
    return told + [f"absent {contender}: {reason}" for contender, reason in absent]


def floor_modes(results: Results) -> list[str]:
    """In which of its two modes the floor was in each round: with one in flight, the kernel at times puts both ends on
    one CPU, which saves the wake-up of another; and our ratio to it in either mode."""
    told = []
    for floor in results.of("hop", FLOOR):
        if floor.variant.get("in_flight") != 1 or floor.variant.get("payload") != SMALLEST:
            continue
        rounds = floor.values("p50_us")
        together = {number for number, p50 in rounds.items() if p50 < ONE_CPU_US}
        times = ", ".join(f"{p50:.0f}" for p50 in rounds.values())
        line = f"floor ({formats.variant(floor.variant)}): p50 of the rounds {times} us; "
        line += f"both ends on one CPU (below {ONE_CPU_US} us) in {len(together)} of {len(rounds)}"
        ours = results.find("hop", OURS, floor.variant)
        ratios = results.ratios(ours, "p50_us", FLOOR) if ours else {}
        for mode, inside in (("there", True), ("elsewhere", False)):
            known = [ratio for number, ratio in ratios.items() if (number in together) == inside]
            line += f"; {OURS} {mode} {statistics.median(known):.2f} x" if known else ""
        told.append(line)
    return told


def cell(metric: str, figure: Spread | None) -> str:
    """The median, without its unit: the column has it."""
    return "" if figure is None else formats.plain(metric, figure.median)


def spread_cell(figure: Spread | None) -> str:
    """How far the farthest round lies from the median."""
    if figure is None or not figure.median:
        return ""
    return f"±{max(figure.high - figure.median, figure.median - figure.low) / abs(figure.median):.0%}"


def ratio_cell(results: Results, result: Result, spec: Entry) -> str:
    """The ratio to the baseline; empty where there is none."""
    figure = results.ratio(result, spec.ratio, spec.baseline) if spec.ratio else None
    return "" if figure is None else f"{figure.median:.2f}"


def by_variant(mine: list[Result]) -> Iterator[tuple[str, list[Result]]]:
    """The results of each variant together, in the order in which the variants came; what all share is left out."""
    groups: dict[str, list[Result]] = {}
    same = common_members(mine)
    for result in mine:
        groups.setdefault(formats.variant(result.variant, same), []).append(result)
    yield from groups.items()


def _table(results: Results, mine: list[Result], spec: Entry) -> Table:
    looks = {"title_justify": "left", "caption_justify": "left", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    table = Table(title=spec.title, caption=spec.meaning, **looks)  # type: ignore[arg-type]
    table.add_column("contender", no_wrap=True)
    for metric in spec.metrics:
        table.add_column(formats.heading(metric), justify="right")
    table.add_column("spread", justify="right", style="dim")
    if spec.ratio:
        table.add_column(f"{formats.quantity_of(spec.ratio)} / {spec.baseline}", justify="right")
    for variant, group in by_variant(mine):
        table.add_section()
        if variant:
            table.add_row(f"[italic]{escape(variant)}[/]")
        for result in group:
            style = "bold" if result.contender == OURS else ""
            if not result.right:
                table.add_row(escape(result.contender), "[red]failed[/]")
                continue
            cells = [cell(metric, result.figure(metric)) for metric in spec.metrics]
            table.add_row(
                escape(result.contender) + (" [red]*[/]" if result.trouble else ""),
                *cells,
                spread_cell(result.figure(spec.ratio or spec.metrics[0])),
                *([ratio_cell(results, result, spec)] if spec.ratio else []),
                style=style,
            )
    return table
