"""What a run found: the terminal's tables, a page and plots, and the comparison of two runs.

`show` and `write` work from a run's rows.jsonl alone, and so on an old run, too: `python -m benchmarks.report DIR`.
`compare.show` sets two source trees of one run beside each other. Rule: nothing here measures.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.report import compare, table
from benchmarks.report.results import Results
from benchmarks.rows import Row, read

__all__ = ["compare", "console", "show", "write"]

FILE_WIDTH = 160


def console() -> Console:
    """The terminal; into a file or a pipe, tables are as wide as they need."""
    return Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)


def show(rows: Sequence[Row], console: Console) -> None:
    """The tables of all scenarios, in the terminal."""
    table.show(Results(rows), console)


def write(folder: Path) -> list[Path]:
    """`report.md` and the PNGs of the run in `folder`, beside its rows.jsonl; what was written. Raises RowsError."""
    # Only here: matplotlib takes a second to import, and the tables and the comparison do without.
    from benchmarks.report import page  # noqa: PLC0415
    from benchmarks.report.figures import plots  # noqa: PLC0415

    results = Results(read(folder))
    return page.write(results, plots(results), folder)
