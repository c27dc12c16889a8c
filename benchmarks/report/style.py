"""What all plots have in common: colours, marks, sizes, and how a figure becomes a file.

Used by bars.py, lines.py and figures.py.
Rule: no two contenders that one plot shows look the same to a colour-blind reader: colour, dash and mark together tell
them apart, and fastworker, the floor and the ideal always look the same.
"""

import itertools
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.rows import FLOOR, IDEAL, OURS

# Okabe and Ito's eight; yellow is left out, for it does not show on white.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#8A8A8A"
PALE = "#C9CED6"
RED = "#B00020"

WIDTH_IN = 8.3  # 830 px at 100 dots: what a README shows
DOTS = 200

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E6EA",
    "grid.linewidth": 0.8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


class Plot(NamedTuple):
    """A finished plot of a scenario. `name` is its file's, without the ending; `alt` says in words what it shows."""

    name: str
    scenario: str
    alt: str
    figure: Figure


class Style(NamedTuple):
    """How one contender is drawn."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]
    mark: str
    width: float


KNOWN = {
    OURS: Style(VERMILION, "-", "o", 2.6),
    FLOOR: Style(BLACK, (0, (4, 2)), "s", 1.6),
    IDEAL: Style(BLACK, (0, (1, 1.5)), "", 1.8),
    "go": Style(BLUE, "-", "^", 1.6),
    "express": Style(GREEN, "-", "D", 1.6),
    "uvicorn": Style(SKY, "-", "v", 1.6),
    "uvicorn+fastapi": Style(SKY, (0, (5, 1.5)), "<", 1.6),
    "gunicorn+uvicorn": Style(ORANGE, "-", "P", 1.6),
    "gunicorn+flask": Style(ORANGE, (0, (5, 1.5)), "X", 1.6),
    "granian": Style(PURPLE, "-", "h", 1.6),
    "azure-functions": Style(GREY, "-", "*", 1.6),
}
SPARE = tuple(
    Style(colour, dash, mark, 1.6)
    for dash, (colour, mark) in itertools.product(
        ((0, (3, 1, 1, 1)), (0, (2, 2))), ((PURPLE, ">"), (GREEN, "p"), (BLUE, "d"), (GREY, "H"), (ORANGE, "8"))
    )
)


def styles(contenders: Iterable[str]) -> dict[str, Style]:
    """A style for each: the known ones have their own, the others take the spare ones in turn."""
    spare = itertools.cycle(SPARE)
    return {name: KNOWN.get(name.lower()) or next(spare) for name in dict.fromkeys(contenders)}


def bar_colour(contender: str) -> str:
    """Bars are named at their side, so colour only says whose they are."""
    if contender == OURS or contender.startswith((f"{OURS} ", f"{OURS},")):
        return VERMILION
    return "#555555" if contender in (FLOOR, IDEAL) else "#7FA8C9"


def new(height_in: float, columns: int = 1, rows: int = 1, *, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a README, and its axes, row by row."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[call-arg, union-attr]
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    return figure, [axes for line in grid for axes in line]


def heading(figure: Figure, title: str, detail: str = "") -> None:
    """The title says what is shown; the lines below it, from where to where, and what is better."""
    lines = textwrap.wrap(detail, 118)
    height = float(figure.get_figheight())
    top_in = 0.34 + 0.19 * len(lines) + 0.08
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - top_in / height))  # type: ignore[call-arg, union-attr]
    figure.text(0.012, 1 - 0.08 / height, title, fontsize=13, fontweight="bold", va="top")
    figure.text(0.012, 1 - 0.36 / height, "\n".join(lines), fontsize=9.5, color="#444444", va="top")


def title(axes: Axes, text: str) -> None:
    """The title of one set of axes."""
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold")


def legend(figure: Figure, axes: Axes) -> None:
    """One legend below all axes, fastworker first and the baselines last."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda n: (not labels[n].startswith(OURS), labels[n] in (FLOOR, IDEAL)))
    figure.legend(
        [handles[n] for n in order], [labels[n] for n in order],
        loc="outside lower left", ncols=min(4, len(labels)), handlelength=3.2, columnspacing=1.6,
    )  # fmt: skip


def log_ticks(values: Iterable[float], most: int = 9) -> list[float]:
    """1, 2, 5, 10, ... as far as the values go, so that a log axis can be read; fewer where these are too many."""
    known = [value for value in values if value > 0]
    low, high = min(known) / 1.5, max(known) * 1.5
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [tick for power in range(-6, 12) for digit in digits if low <= (tick := digit * 10.0**power) <= high]
        if len(ticks) <= most:
            break
    return ticks


def save(figure: Figure, path: Path) -> None:
    """The figure as a PNG."""
    with mpl.rc_context(RC):
        figure.savefig(path, dpi=DOTS, format="png")
