"""The whole distribution of latencies: by percentile on a log axis, and as cumulative shares.

Reads the rows' histograms. Rule: a line ends where fewer than ten requests lie beyond it; what comes after is chance.
"""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.histogram import decoded
from benchmarks.report import look, words
from benchmarks.report.picture import Picture
from benchmarks.report.results import Result

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
BEYOND = 10
MOST_POINTS = 300
FIRST_SHARE = 0.05


class Curve(NamedTuple):
    """A contender's distribution: shares of the requests (0 to 1), and the times within which they were answered."""

    contender: str
    shares: list[float]
    times_ms: list[float]


class Panel(NamedTuple):
    """One variant's curves."""

    title: str
    curves: Sequence[Curve]


def panel(title: str, results: Sequence[Result]) -> Panel:
    """The curves of those results that have a histogram."""
    curves = [found for result in results if (found := curve(result)) is not None]
    return Panel(title, [one for one in curves if len(one.shares) > 1])


def curve(result: Result) -> Curve | None:
    """The histograms of all rounds as one; None where there are none."""
    encoded = [row.histogram for row in result.right if row.histogram]
    if not encoded:
        return None
    whole = decoded(encoded[0])
    for more in encoded[1:]:
        whole.add(decoded(more))
    count = whole.get_total_count()
    last = 1 - BEYOND / count if count > 2 * BEYOND else 0.5
    shares, times_ms = [0.0], [whole.get_min_value() / 1e6]
    for step in whole.get_recorded_iterator():
        share = step.total_count_to_this_value / count
        if share > last:
            break
        if share - shares[-1] > MOST_POINTS**-1 * min(1.0, 4 * (1 - share)):  # what a line cannot show is left out
            shares.append(share)
            times_ms.append(step.value_iterated_to / 1e6)
    return Curve(result.contender, shares, times_ms)


def by_percentile(
    scenario: str, panels: Sequence[Panel], title: str, detail: str, *, share_y: bool = False
) -> Picture | None:
    """Latency over the percentile, both on log axes: a tail is seen as long as it is."""
    drawn = [one for one in panels if one.curves]
    if not drawn:
        return None
    figure, axes = look.new(4.9, columns=len(drawn), share_y=share_y)
    looks = look.styles(curve.contender for _, curves in drawn for curve in curves)
    times: list[float] = []
    for one, (name, curves) in zip(axes, drawn, strict=True):
        far = max(1 / (1 - curve.shares[-1]) for curve in curves)
        times = times if share_y else []
        for curve in curves:
            # The very fastest are nobody's concern, and would take half of the axis.
            first = next(n for n, share in enumerate(curve.shares) if share >= FIRST_SHARE)
            shares = curve.shares[first:]
            times += curve.times_ms[first:]
            style = looks[curve.contender]
            one.plot([1 / (1 - share) for share in shares], curve.times_ms[first:], color=style.colour,
                     linestyle=style.dash, linewidth=style.width, label=curve.contender,
                     marker=style.mark, markersize=5, markevery=_near(shares),
                     zorder=3 if style.width > 2 else 2)  # fmt: skip
        one.set_xscale("log")
        ticks = [percentile for percentile in PERCENTILES if 100 / (100 - percentile) <= far * 1.2]
        one.set_xticks([100 / (100 - percentile) for percentile in ticks], [f"{percentile:g}" for percentile in ticks])
        one.set_xlim(1 / (1 - FIRST_SHARE), far * 1.1)
        one.minorticks_off()
        look.title(one, name)
        one.set_xlabel("percentile")
        _time_axis(one, times, vertical=True)
        one.set_ylim(min(times) / 1.15, max(times) * 1.15)
    for one in axes[1:]:
        one.set_ylabel("")
    _finish(figure, axes, drawn, title, detail)
    return Picture(f"{scenario}-percentiles", scenario, f"{title}: latency by percentile, per contender", figure)


def cumulative(scenario: str, panels: Sequence[Panel], title: str, detail: str) -> Picture | None:
    """The share of requests that are answered within a time."""
    drawn = [one for one in panels if one.curves]
    if not drawn:
        return None
    figure, axes = look.new(4.4, columns=len(drawn), share_y=True)
    looks = look.styles(curve.contender for _, curves in drawn for curve in curves)
    for one, (name, curves) in zip(axes, drawn, strict=True):
        for curve in curves:
            style = looks[curve.contender]
            one.plot(curve.times_ms, [100 * share for share in curve.shares], color=style.colour,
                     linestyle=style.dash, linewidth=style.width, label=curve.contender, marker=style.mark,
                     markersize=5, markevery=_near(curve.shares), zorder=3 if style.width > 2 else 2)  # fmt: skip
        _time_axis(one, [time for curve in curves for time in curve.times_ms], vertical=False)
        one.set_ylim(0, 101)
        look.title(one, name)
    axes[0].set_ylabel("% of requests answered within")
    _finish(figure, axes, drawn, title, detail)
    return Picture(f"{scenario}-cdf", scenario, f"{title}: cumulative share of requests over latency", figure)


def _near(shares: Sequence[float]) -> list[int]:
    """Marks stand at the percentiles of the axis, and nowhere else."""
    wanted = [percentile / 100 for percentile in PERCENTILES if percentile / 100 <= shares[-1]]
    return [min(range(len(shares)), key=lambda n: abs(shares[n] - share)) for share in wanted]


def _time_axis(axes: Axes, times_ms: Sequence[float], *, vertical: bool) -> None:
    ticks = look.log_ticks(times_ms, most=8 if vertical else 5)
    names = [words.duration(tick / 1000) for tick in ticks]
    if vertical:
        axes.set_yscale("log")
        axes.set_yticks(ticks, names)
        axes.set_ylabel("latency")
    else:
        axes.set_xscale("log")
        axes.set_xticks(ticks, names)
        axes.set_xlabel("latency")
    axes.minorticks_off()


def _finish(figure: Figure, axes: Sequence[Axes], drawn: Sequence[Panel], title: str, detail: str) -> None:
    fullest = max(range(len(drawn)), key=lambda n: len(drawn[n].curves))
    look.legend(figure, axes[fullest])
    look.heading(figure, title, detail)
