"""Bars: one number per contender, lying, with its name at its side and its value at its end.

Rule: a bar begins at zero, or at 1 where it is a ratio; who failed has the word and no bar.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from benchmarks.report import formats, style
from benchmarks.report.results import Result, Results, Spread
from benchmarks.rows import FLOOR, OURS

BAR_IN = 0.27
SPACE_IN = 0.85


class Bar(NamedTuple):
    """One line: `figure` is None for who failed. A minor bar belongs to the one above it."""

    name: str
    figure: Spread | None
    text: str
    minor: bool = False


def draw(axes: Axes, bars: Sequence[Bar], *, log: bool = False) -> None:
    """The bars from zero, top first, with whiskers from the least to the greatest round.

    On a logarithmic axis, where there is no zero, dots stand for bars.
    """
    known = [bar.figure for bar in bars if bar.figure is not None]
    greatest = max((figure.high for figure in known), default=1.0)
    least = min((figure.low for figure in known if figure.low > 0), default=0.1)
    start = least * 0.6 if log else min(0.0, *(figure.low * 1.3 for figure in known)) if known else 0.0
    for place, bar in enumerate(bars):
        if bar.figure is None:
            _failed(axes, start, place)
            continue
        colour = style.PALE if bar.minor else style.bar_colour(bar.name)
        if log:
            axes.plot([start, bar.figure.median], [place, place], color=style.PALE, linewidth=1.2, zorder=1)
            axes.plot(bar.figure.median, place, "o", color=colour, markersize=8)
        else:
            axes.barh(place, bar.figure.median, height=0.68, color=colour)
        _whisker(axes, bar, place, max(bar.figure.high, 0.0))
    _names(axes, bars)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(start, greatest * 4)
        _log_ticks(axes, least, greatest)
    else:
        axes.set_xlim(start, greatest * 1.32 if greatest > 0 else 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def draw_ratios(axes: Axes, bars: Sequence[Bar]) -> None:
    """Ratios on a logarithmic axis: bars leave the baseline, which is 1, to the left and to the right."""
    known = [bar.figure for bar in bars if bar.figure is not None]
    least = min([1.0, *(figure.low for figure in known)])
    greatest = max([1.0, *(figure.high for figure in known)])
    for place, bar in enumerate(bars):
        if bar.figure is None:
            _failed(axes, 1.0, place)
            continue
        ends = sorted((1.0, bar.figure.median))
        axes.barh(place, ends[1] - ends[0], left=ends[0], height=0.68, color=style.bar_colour(bar.name))
        _whisker(axes, bar, place, max(bar.figure.high, 1.0))
    _names(axes, bars)
    axes.axvline(1, color=style.BLACK, linewidth=1.3, linestyle=(0, (4, 2)))
    axes.set_xscale("log")
    axes.set_xlim(least / 1.25, greatest * (greatest / least) ** 0.3 * 1.25)
    _log_ticks(axes, least, greatest)


def _failed(axes: Axes, start: float, place: int) -> None:
    at = (start, place)
    axes.annotate("failed", at, (4, 0), textcoords="offset points", va="center", color=style.RED, fontsize=9.5)


def _whisker(axes: Axes, bar: Bar, place: int, end: float) -> None:
    assert bar.figure is not None
    if bar.figure.low != bar.figure.high:
        axes.plot([bar.figure.low, bar.figure.high], [place, place], color="#222222", linewidth=1.3)
    text = axes.annotate(bar.text, (end, place), (6, 0), textcoords="offset points", va="center", fontsize=9.5)
    text.set_fontweight("bold" if bar.name.startswith(OURS) and not bar.minor else "normal")
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.0})  # lines behind it would cross it out


def _names(axes: Axes, bars: Sequence[Bar]) -> None:
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
    for label in axes.get_yticklabels():
        label.set_fontsize(9.5)
        if label.get_text().startswith(OURS):
            label.set_fontweight("bold")
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)


def _log_ticks(axes: Axes, least: float, greatest: float) -> None:
    ticks = style.log_ticks([least, greatest])
    axes.set_xticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    axes.minorticks_off()


def height(*counts: int) -> float:
    """The height in inches of axes above one another with so many bars each."""
    return sum(BAR_IN * max(count, 2) + SPACE_IN for count in counts)


def ordered(
    results: Sequence[Result], value: Callable[[Result], float | None], *, more_is_better: bool
) -> list[Result]:
    """Best first, and who has no value last."""
    known = [result for result in results if value(result) is not None]
    others = [result for result in results if value(result) is None]
    return sorted(known, key=lambda result: value(result) or 0.0, reverse=more_is_better) + others


def against_floor(
    results: Results,
    name: str,
    metric: str,
    title: str,
    detail: str,
    groups: Sequence[tuple[str, Sequence[Result]]],
    *,
    more_is_better: bool = False,
) -> style.Plot | None:
    """Bars of ratios to the floor, one set of axes per group; the absolute figure stands at the bar's end."""
    drawn: list[tuple[str, list[Bar]]] = []
    for heading, group in groups:
        ratios = {id(result): results.ratio(result, metric, FLOOR) for result in group}

        def median(result: Result, ratios: dict[int, Spread | None] = ratios) -> float | None:
            known = ratios[id(result)]
            return None if known is None else known.median

        bars = []
        for result in ordered(group, median, more_is_better=more_is_better):
            ratio, absolute = ratios[id(result)], result.median(metric)
            if ratio is not None and absolute is not None:
                bars.append(Bar(result.contender, ratio, f"{ratio.median:.2f}   {formats.amount(metric, absolute)}"))
            elif not result.right:
                bars.append(Bar(result.contender, None, ""))
        if any(bar.figure for bar in bars):
            drawn.append((heading, bars))
    if not drawn:
        return None
    figure, axes = style.new(0.6 + height(*(len(bars) for _, bars in drawn)), rows=len(drawn))
    for one, (name_of_group, bars) in zip(axes, drawn, strict=True):
        if more_is_better:
            draw(one, bars)
            one.axvline(1, color=style.BLACK, linewidth=1.3, linestyle=(0, (4, 2)))
        else:
            draw_ratios(one, bars)
        style.title(one, name_of_group)
    better = "more" if more_is_better else "less"
    axes[-1].set_xlabel(f"{formats.quantity_of(metric)}, over the floor's ({better} is better; dashed: the floor)")
    style.heading(figure, title, detail)
    scenario = groups[0][1][0].scenario
    return style.Plot(name, scenario, f"{title}, per contender, as ratios to the C floor", figure)


def panels(
    scenario: str, name: str, title: str, detail: str, sets: Sequence[tuple[str, str, Sequence[Bar]]]
) -> style.Plot | None:
    """Bars of several metrics above one another. A set is its title, its axis' label and its bars."""
    sets = [one for one in sets if any(bar.figure for bar in one[2])]
    if not sets:
        return None
    figure, axes = style.new(0.6 + height(*(len(bars) for _, _, bars in sets)), rows=len(sets))
    for one, (heading, label, bars) in zip(axes, sets, strict=True):
        values = [bar.figure.median for bar in bars if bar.figure]
        draw(one, bars, log=min(values) > 0 and max(values) / min(values) > 40)
        style.title(one, heading)
        one.set_xlabel(label)
    style.heading(figure, title, detail)
    return style.Plot(name, scenario, f"{title}: {'; '.join(heading for heading, _, _ in sets)}", figure)


def bars_of(results: Sequence[Result], metric: str, name: Callable[[Result], str]) -> list[Bar]:
    """A bar for each result that has the metric, or that failed."""
    bars = []
    for result in results:
        figure = result.figure(metric)
        if figure is not None or not result.right:
            bars.append(Bar(name(result), figure, "" if figure is None else formats.amount(metric, figure.median)))
    return bars


def pairs_of(
    results: Sequence[Result], metric: str, name: Callable[[Result], str], minor_metric: str, minor_name: str
) -> list[Bar]:
    """Two bars for each result: the metric, and below it, paler, what it is to be seen beside."""
    bars = []
    for result in results:
        bars += bars_of([result], metric, name)
        if result.right:
            bars += [bar._replace(minor=True) for bar in bars_of([result], minor_metric, lambda one: minor_name)]
    return bars
