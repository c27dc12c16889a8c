"""The report as one Markdown page, as docs/ takes it, and the plots as PNGs beside it.

Called by __init__.py. Rule: shows what Results says, and computes nothing of its own.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import formats, style
from benchmarks.report.catalogue import Entry, entry
from benchmarks.report.results import Result, Results, Spread
from benchmarks.report.table import by_variant, notes, ratio_cell

INTRODUCTION = (
    "Ratios within this run are the result; absolute times are context, for they change with the machine and the "
    "minute. Figures are medians of the rounds, with the least and the greatest round in parentheses. What failed or "
    "was absent is named and has no figure."
)


def write(results: Results, plots: Sequence[style.Plot], folder: Path) -> list[Path]:
    """`report.md` and one PNG per plot, into `folder`; the paths of what was written."""
    written = []
    for plot in plots:
        path = folder / f"{plot.name}.png"
        style.save(plot.figure, path)
        written.append(path)
    page = folder / "report.md"
    page.write_text(markdown(results, plots), encoding="utf-8")
    return [page, *written]


def markdown(results: Results, plots: Sequence[style.Plot]) -> str:
    """The whole page."""
    machine = "".join(f"- {name}: {value}\n" for name, value in _flat(results.machine()))
    sections = "".join(_section(results, scenario, plots) for scenario in results.scenarios)
    return f"# Benchmarks: a run\n\n{INTRODUCTION}\n\n{machine}{sections}"


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    """What every row says about the machine."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _flat(member, f"{name} {key}".strip().replace("_", " "))
    elif value not in (None, "", []):
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _section(results: Results, scenario: str, plots: Sequence[style.Plot]) -> str:
    mine = results.of(scenario)
    spec = entry(scenario, mine)
    figures = "".join(f"![{plot.alt}]({plot.name}.png)\n\n" for plot in plots if plot.scenario == scenario)
    told = "".join(f"- {_text(note)}\n" for note in notes(results, scenario))
    return f"\n## {spec.title}\n\n{spec.meaning}\n\n{figures}{_table(results, mine, spec)}{told}"


def _text(value: str) -> str:
    """As one cell of a table, without markup of its own."""
    return " ".join(value.replace("|", "\\|").replace("<", "&lt;").split())


def _table(results: Results, mine: list[Result], spec: Entry) -> str:
    if not mine:
        return ""
    heads = ["contender", *map(formats.heading, spec.metrics)]
    if spec.ratio:
        heads.append(f"{formats.quantity_of(spec.ratio)} / {spec.baseline}")
    lines = [heads, ["---"] * len(heads)]
    for variant, group in by_variant(mine):
        if variant:
            lines.append([f"*{_text(variant)}*", *[""] * (len(heads) - 1)])
        for result in group:
            cells = [_figures(metric, result.figure(metric)) for metric in spec.metrics]
            ratio = [ratio_cell(results, result, spec)] if spec.ratio else []
            lines.append([_text(result.contender), *cells, *ratio] if result.right else [result.contender, "failed"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _figures(metric: str, figure: Spread | None) -> str:
    """The median, and the least and the greatest round behind it."""
    if figure is None:
        return ""
    value = formats.plain(metric, figure.median)
    spread = f" ({formats.number(figure.low)}..{formats.number(figure.high)})"
    return value if figure.low == figure.high else f"{value}{spread}"
