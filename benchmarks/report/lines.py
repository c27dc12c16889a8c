"""Figures over a knob: p99 over the load beside the ideal, throughput and p99 over workers or settings.

Rule: the knob is the axis, every other member of the variant makes a set of axes; nothing is averaged away.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes

from benchmarks.report import formats, style
from benchmarks.report.results import Result, Results, Spread, common_members
from benchmarks.rows import IDEAL

# Members that are the same for a whole run, and say nothing in a title.
SILENT = frozenset({"processes"})


def against_ideal(
    results: Results, scenario: str, metric: str, knob: str, title: str, detail: str
) -> style.Plot | None:
    """The ratio to the ideal over the load; the ideal itself is the line at 1."""
    mine = [result for result in results.of(scenario) if result.contender != IDEAL and knob in result.variant]
    facets = _facets(mine, knob)

    def ratio(result: Result) -> Spread | None:
        return results.ratio(result, metric, IDEAL)

    facets = {name: group for name, group in facets.items() if any(ratio(result) for result in group)}
    if not facets:
        return None
    figure, axes = style.new(4.6, columns=len(facets), share_y=True)
    looks = style.styles(result.contender for result in mine)
    seen: list[float] = [1.0]
    for one, (name, group) in zip(axes, facets.items(), strict=True):
        seen += _lines(one, group, knob, ratio, looks)
        one.axhline(1, color=style.BLACK, linewidth=1.6, linestyle=(0, (1, 1.5)), label="the ideal")
        style.title(one, name)
        _knob_axis(one, group, knob)
    axes[0].set_ylabel(f"{formats.quantity_of(metric)} over the ideal's")
    _ratio_axis(axes[0], seen)
    style.legend(figure, axes[0])
    style.heading(figure, title, detail)
    return style.Plot(scenario, scenario, f"{title}: ratio to the ideal queue over {knob}", figure)


def over_knob(
    results: Results, scenario: str, knob: str, metrics: Sequence[str], title: str, detail: str
) -> style.Plot | None:
    """Several metrics over a knob: one row of axes per metric, one column per rest of the variant."""
    mine = [result for result in results.of(scenario) if knob in result.variant]
    metrics = [metric for metric in metrics if any(result.figure(metric) for result in mine)]
    facets = _facets(mine, knob)
    if not facets or not metrics:
        return None
    figure, axes = style.new(0.9 + 2.5 * len(metrics), columns=len(facets), rows=len(metrics))
    looks = style.styles(result.contender for result in mine)
    for row, metric in enumerate(metrics):
        for column, (name, group) in enumerate(facets.items()):
            one = axes[row * len(facets) + column]
            _lines(one, group, knob, lambda result, metric=metric: result.figure(metric), looks)  # type: ignore[misc]
            one.set_ylim(bottom=0)
            _knob_axis(one, group, knob)
            if row == 0:
                style.title(one, name)
            if row < len(metrics) - 1:
                one.set_xlabel("")
            if column == 0:
                unit = formats.unit_of(metric)
                one.set_ylabel("requests per second" if unit == "/s" else f"{formats.quantity_of(metric)}, {unit}")
    if len({result.contender for result in mine}) > 1:
        style.legend(figure, axes[0])
    style.heading(figure, title, detail)
    return style.Plot(
        scenario, scenario, f"{title}: {', '.join(map(formats.quantity_of, metrics))} over {knob}", figure
    )


def over_a_day(results: Results, scenario: str, title: str, detail: str) -> style.Plot | None:
    """Instances and p99 of each controller over the hours of a simulated day, of the first start of the platform."""
    mine = [result for result in results.of(scenario) if result.right and "platform_s" in result.variant]
    mine = [result for result in mine if result.variant["platform_s"] == mine[0].variant["platform_s"]]
    if not mine:
        return None
    figure, axes = style.new(6.4, rows=2)
    for one, (label, column) in zip(axes, (("instances", 2), ("p99, ms", 3)), strict=True):
        for result, look in zip(mine, style.SPARE, strict=False):
            slots = result.right[0].settings["slots"]
            name = f"{result.variant['controller']}, {result.variant['trigger']}"
            hours, values = [slot[0] for slot in slots], [max(slot[column], 0.5) for slot in slots]
            one.plot(hours, values, color=look.colour, linestyle=look.dash, linewidth=1.6, label=name)
        if column == 2:
            busy = mine[0].right[0].metrics["service_ms"] / 1000
            needed = [(slot[0], max(slot[1] * busy, 0.5)) for slot in mine[0].right[0].settings["slots"]]
            one.plot(*zip(*needed, strict=True), color=style.BLACK, linestyle=(0, (1, 1.5)), label="needed")
        one.set_yscale("log")
        one.set_ylabel(label)
    axes[-1].set_xlabel("hour of the day")
    style.legend(figure, axes[0])
    style.heading(figure, title, detail)
    return style.Plot(scenario, scenario, f"{title}: instances and p99 over the hours", figure)


def _facets(results: Iterable[Result], knob: str) -> dict[str, list[Result]]:
    """The results by everything in their variant but the knob."""
    facets: dict[str, list[Result]] = {}
    known = list(results)
    silent = common_members(known) | SILENT | {knob}
    for result in known:
        facets.setdefault(formats.variant(result.variant, silent), []).append(result)
    return facets


def _lines(
    axes: Axes,
    group: Sequence[Result],
    knob: str,
    value: Callable[[Result], Spread | None],
    looks: dict[str, style.Style],
) -> list[float]:
    """One line per contender, with whiskers from the least to the greatest round; the values that were drawn."""
    drawn: list[float] = []
    lines: dict[str, list[tuple[Any, Spread]]] = {}
    for result in group:
        figure = value(result)
        if figure is not None:
            lines.setdefault(result.contender, []).append((result.variant[knob], figure))
    for contender, points in lines.items():
        points.sort(key=lambda point: point[0])
        look = looks[contender]
        at = [place for place, _ in points]
        axes.plot(at, [figure.median for _, figure in points], color=look.colour, linestyle=look.dash,
                  marker=look.mark, markersize=6, linewidth=look.width, label=contender,
                  zorder=3 if look.width > 2 else 2)  # fmt: skip
        axes.vlines(at, [figure.low for _, figure in points], [figure.high for _, figure in points],
                    color=look.colour, linewidth=1, alpha=0.55)  # fmt: skip
        drawn += [edge for _, figure in points for edge in (figure.low, figure.high)]
    return drawn


def _knob_axis(axes: Axes, group: Sequence[Result], knob: str) -> None:
    places = sorted({result.variant[knob] for result in group})
    share = all(isinstance(place, float) and place <= 1 for place in places)
    axes.set_xticks(places, [f"{place:.0%}" if share else f"{place:g}" for place in places])
    axes.minorticks_off()
    axes.set_xlabel({"load": "load, of capacity", "in_flight": "requests in flight"}.get(knob, knob.replace("_", " ")))


def _ratio_axis(axes: Axes, seen: Sequence[float]) -> None:
    if max(seen) > 8:
        axes.set_yscale("log")
        ticks = style.log_ticks(seen)
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(min(0.8, min(seen) * 0.9), max(seen) * 1.3)
    else:
        axes.set_ylim(0, max(seen) * 1.1)
