"""The terminal's table of each scenario, by rich.

Rule: shows what Results says and computes nothing of its own.
"""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.report import words
from benchmarks.report.results import OURS, Result, Results, Spread, common_members
from benchmarks.report.shown import Shown, shown


def show(results: Results, console: Console) -> None:
    """All scenarios, one table each, then what failed (marked * where some rounds did not) and what was absent."""
    for scenario in results.scenarios:
        mine = results.of(scenario)
        if mine:
            console.print(_table(results, mine, shown(scenario, mine)))
        for result in mine:
            if result.trouble:
                where = f"{result.contender} ({words.variant(result.variant)})" if result.variant else result.contender
                console.print(f"  [red]failed[/] {escape(where)}: {escape(result.trouble)}", highlight=False)
        for contender, reason in results.absent(scenario).items():
            console.print(f"  [yellow]absent[/] {escape(contender)}: {escape(reason)}", highlight=False)
        console.print()


def cell(metric: str, figure: Spread | None) -> str:
    """The median, without its unit: the column has it."""
    return "" if figure is None else words.plain(metric, figure.median)


def spread_cell(figure: Spread | None) -> str:
    """How far the farthest round lies from the median."""
    if figure is None or not figure.median:
        return ""
    return f"±{max(figure.high - figure.median, figure.median - figure.low) / abs(figure.median):.0%}"


def ratio_cell(results: Results, result: Result, spec: Shown) -> str:
    """The ratio to the baseline; empty where there is none."""
    figure = results.ratio(result, spec.ratio, spec.baseline) if spec.ratio else None
    return "" if figure is None else f"{figure.median:.2f}"


def by_variant(mine: list[Result]) -> Iterator[tuple[str, list[Result]]]:
    """The results of each variant together, in the order in which the variants came; what all share is left out."""
    groups: dict[str, list[Result]] = {}
    same = common_members(mine)
    for result in mine:
        groups.setdefault(words.variant(result.variant, same), []).append(result)
    yield from groups.items()


def _table(results: Results, mine: list[Result], spec: Shown) -> Table:
    looks = {"title_justify": "left", "caption_justify": "left", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    table = Table(title=spec.title, caption=spec.meaning, **looks)  # type: ignore[arg-type]
    table.add_column("contender", no_wrap=True)
    for metric in spec.metrics:
        table.add_column(words.heading(metric), justify="right")
    table.add_column("spread", justify="right", style="dim")
    if spec.ratio:
        table.add_column(f"{words.quantity_of(spec.ratio)} / {spec.baseline}", justify="right")
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
