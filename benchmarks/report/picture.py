"""A finished plot: what it is called as a file, and what it says to who cannot see it.

Made by plots_*.py, collected by pictures.py, written by page.py.
"""

from typing import NamedTuple

from matplotlib.figure import Figure


class Picture(NamedTuple):
    """One plot of a scenario. `name` is its file's, without the ending; `alt` says in words what it shows."""

    name: str
    scenario: str
    alt: str
    figure: Figure
