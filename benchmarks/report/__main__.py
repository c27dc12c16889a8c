"""`python -m benchmarks.report DIR`: tables, page and plots of a run that was made before."""

import sys
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.rows import RowsError, read


def main(arguments: list[str]) -> int:
    """Returns the exit code: 2 for a wrong use or rows that cannot be read."""
    if len(arguments) != 1:
        print("usage: python -m benchmarks.report DIR", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        rows = read(folder)
        report.show(rows, Console())
        for path in report.write(folder):
            print(path)
    except RowsError as exc:
        print(exc, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
