"""`python -m benchmarks.report DIR`: tables, page and plots of a run that was made before."""

import sys
from pathlib import Path

from benchmarks import report
from benchmarks.report.results import Results
from benchmarks.rows import RowsError, read


def main(arguments: list[str]) -> int:
    """Returns the exit code: 2 for a wrong use or rows that cannot be read; of two trees, see compare.py."""
    if len(arguments) != 1:
        print("usage: python -m benchmarks.report DIR", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        rows = read(folder)
        console = report.console()
        report.show(rows, console)
        for path in report.write(folder):
            print(path)
        return report.compare.show(Results(rows), console)
    except RowsError as exc:
        print(exc, file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
