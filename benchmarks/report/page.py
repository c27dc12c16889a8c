"""The report as one HTML file that needs nothing beside it, and the plots as PNGs.

Called by __init__.py. Rule: everything from a row is escaped, and the page loads nothing from anywhere.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from benchmarks.report import look, words
from benchmarks.report.picture import Picture
from benchmarks.report.results import OURS, Result, Results, Spread
from benchmarks.report.shown import Shown, shown
from benchmarks.report.table import by_variant, ratio_cell
from benchmarks.report.targets import Target, targets

STYLE: Final = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.25rem; margin: 2.6rem 0 .3rem; }
p.what { color: #444c56; margin: .2rem 0 1rem; max-width: 46rem; }
nav a { margin-right: .9rem; white-space: nowrap; } a { color: #0a58a8; }
figure { margin: 1.2rem 0; } img { width: 100%; max-width: 830px; height: auto; display: block; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; margin: .8rem 0; }
.wide { overflow-x: auto; }
th, td { padding: .22rem .7rem; text-align: right; border-bottom: 1px solid #e3e6ea; white-space: nowrap; }
th { color: #444c56; font-weight: 600; } th:first-child, td:first-child { text-align: left; white-space: normal; }
tr.variant td { padding-top: .9rem; font-style: italic; color: #444c56; border-bottom: 1px solid #b9c0c8; }
tr.ours td { font-weight: 700; background: #fdf1e8; }
td .spread { color: #67707a; font-weight: 400; font-size: .92em; }
.failed, .missed { color: #b00020; } .reached { color: #00694e; } .absent { color: #67707a; }
details { margin: .8rem 0; } summary { cursor: pointer; color: #444c56; } ul.trouble { font-size: .9rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .86rem; }
dt { color: #67707a; } dd { margin: 0; overflow-wrap: anywhere; }
"""


def write(results: Results, pictures: Sequence[Picture], folder: Path) -> list[Path]:
    """`report.html` and one PNG per plot, into `folder`; the paths of what was written."""
    written = []
    for picture in pictures:
        look.settle(picture.figure)
        path = folder / f"{picture.name}.png"
        look.save(picture.figure, path)
        written.append(path)
    page = folder / "report.html"
    page.write_text(html(results, pictures), encoding="utf-8")
    return [page, *written]


def html(results: Results, pictures: Sequence[Picture]) -> str:
    """The whole page."""
    sections = "".join(_section(results, scenario, pictures) for scenario in results.scenarios)
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in results.scenarios)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>fastworker: benchmarks</title><style>{STYLE}</style></head><body>\n"
        "<h1>fastworker: benchmarks</h1>\n"
        '<p class="what">Ratios within this run are the result; absolute times are context, for they change with the '
        "machine and the minute. Figures are medians of the rounds, with the least and the greatest round in "
        "parentheses. What failed or was absent is named and has no figure.</p>\n"
        f"<nav>{links}</nav>\n{_machine(results.machine())}\n{_targets(targets(results))}\n{sections}</body></html>\n"
    )


def _machine(machine: Any) -> str:
    """What every row says about the machine, flattened."""
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _flat(machine))
    return f"<details open><summary>Machine and versions</summary><dl>{pairs}</dl></details>" if pairs else ""


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _flat(member, f"{name} {key}".strip().replace("_", " "))
    elif value not in (None, "", []):
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _targets(aims: Sequence[Target]) -> str:
    words_of = {True: '<span class="reached">reached</span>', False: '<span class="missed">missed</span>'}
    measured = [aim for aim in aims if aim.reached is not None]
    if not measured:
        return ""
    lines = "".join(
        f"<tr><td>{escape(aim.name)}</td><td>{escape(aim.wanted)}</td>"
        f"<td>{words.plain('', aim.value or 0)} {escape(aim.unit)}</td><td>{words_of[bool(aim.reached)]}</td></tr>"
        for aim in measured
    )
    missing = [aim.name for aim in aims if aim.reached is None]
    rest = f'<p class="absent">Not measured: {escape("; ".join(missing))}.</p>' if missing else ""
    return (
        '<h2 id="targets">Targets</h2><div class="wide"><table><tr><th>what</th><th>wanted</th><th>this run</th>'
        f"<th></th></tr>{lines}</table></div>{rest}"
    )


def _section(results: Results, scenario: str, pictures: Sequence[Picture]) -> str:
    mine = results.of(scenario)
    spec = shown(scenario, mine)
    figures = "".join(_figure(picture) for picture in pictures if picture.scenario == scenario)
    return (
        f'<h2 id="{escape(scenario)}">{escape(spec.title)}</h2>\n<p class="what">{escape(spec.meaning)}</p>\n'
        f"{figures}{_troubles(results, scenario, mine)}{_table(results, mine, spec)}\n"
    )


def _figure(picture: Picture) -> str:
    plot: Figure = picture.figure
    data = base64.b64encode(look.svg(plot)).decode()
    return f'<figure><img alt="{escape(picture.alt)}" src="data:image/svg+xml;base64,{data}"></figure>\n'


def _troubles(results: Results, scenario: str, mine: Sequence[Result]) -> str:
    lines = [
        f'<li class="failed"><b>{escape(result.contender)}</b> ({escape(words.variant(result.variant))}): '
        f"{escape(result.trouble)}</li>"
        for result in mine
        if result.trouble
    ]
    lines += [
        f'<li class="absent"><b>{escape(contender)}</b> is absent: {escape(reason)}</li>'
        for contender, reason in results.absent(scenario).items()
    ]
    return f'<ul class="trouble">{"".join(lines)}</ul>\n' if lines else ""


def _table(results: Results, mine: list[Result], spec: Shown) -> str:
    if not mine:
        return ""
    heads = ["contender", *map(words.heading, spec.metrics)]
    if spec.ratio:
        heads.append(f"{words.quantity_of(spec.ratio)} / {spec.baseline}")
    lines = []
    for variant, group in by_variant(mine):
        if variant:
            lines.append(f'<tr class="variant"><td colspan="{len(heads)}">{escape(variant)}</td></tr>')
        for result in group:
            lines.append(_line(results, result, spec, len(heads)))
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    open_ = " open" if len(lines) <= 24 else ""
    return (
        f'<details{open_}><summary>All figures</summary><div class="wide"><table><tr>{head}</tr>'
        f"{''.join(lines)}</table></div></details>"
    )


def _line(results: Results, result: Result, spec: Shown, columns: int) -> str:
    ours = ' class="ours"' if result.contender == OURS else ""
    name = f"<td>{escape(result.contender)}{'' if not result.trouble or not result.right else ' *'}</td>"
    if not result.right:
        return f'<tr{ours}>{name}<td class="failed" colspan="{columns - 1}">failed</td></tr>'
    cells = "".join(f"<td>{_figures(metric, result.figure(metric))}</td>" for metric in spec.metrics)
    ratio = f"<td>{ratio_cell(results, result, spec)}</td>" if spec.ratio else ""
    return f"<tr{ours}>{name}{cells}{ratio}</tr>"


def _figures(metric: str, figure: Spread | None) -> str:
    """The median, and the least and the greatest round behind it."""
    if figure is None:
        return ""
    value = words.plain(metric, figure.median)
    if figure.low == figure.high:
        return value
    return f'{value} <span class="spread">({words.number(figure.low)}..{words.number(figure.high)})</span>'
