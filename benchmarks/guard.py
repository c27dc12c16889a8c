"""Whether a request costs a worker more than it did: counts now beside those that are committed.

`python -m benchmarks.guard` runs counting.py and compares with counts.json; exit code 1 where a figure has risen by
more than MOST_RISE, 2 where nothing could be compared. `--update` writes the file: commit it with the change that moved
the figures, and say in the message why they rose. Rule: only what is the same everywhere is compared: bytecodes and
calls under the same minor version of Python, instructions and system calls under the same build of it besides.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = Path(__file__).with_name("counts.json")
MOST_RISE: Final = 0.03
OF_THE_CODE: Final = frozenset({"bytecodes", "calls"})
EXIT_SAME, EXIT_WORSE, EXIT_CANNOT_TELL = 0, 1, 2

Counts = Mapping[str, Any]


class Figure(NamedTuple):
    """One count of one kind of request, before and now; `compared` says why not, where it is not."""

    request: str
    name: str
    before: float | None
    now: float | None
    not_compared: str = ""

    @property
    def rise(self) -> float:
        """The part by which it rose; 0 where it cannot be told."""
        return (
            round(self.now / self.before - 1, 6)
            if self.now is not None and self.before and not self.not_compared
            else 0.0
        )

    @property
    def too_much(self) -> bool:
        """Whether the rise is one to be explained."""
        return self.rise > MOST_RISE


def build() -> dict[str, str]:
    """What the counts depend on beside the code: the interpreter, how it was compiled, and the C library."""
    return {
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
    }


def compare(before: Counts, now: Counts) -> Iterator[Figure]:
    """Every figure that either has."""
    minor = [str(side["build"]["python"]).rsplit(".", 1)[0] for side in (before, now)]
    for request in {**before["requests"], **now["requests"]}:
        was, became = before["requests"].get(request, {}), now["requests"].get(request, {})
        for name in {**was, **became}:
            reason = ""
            if was.get(name) is None or became.get(name) is None:
                reason = "not counted in both"
            elif minor[0] != minor[1]:
                reason = f"Python {minor[0]} and {minor[1]}"
            elif name not in OF_THE_CODE and before["build"] != now["build"]:
                reason = "another build of Python, C library or machine"
            yield Figure(request, name, was.get(name), became.get(name), reason)


def exit_code(figures: Sequence[Figure]) -> int:
    """1 where one rose too much, 2 where none was compared."""
    if any(figure.too_much for figure in figures):
        return EXIT_WORSE
    return EXIT_SAME if any(not figure.not_compared for figure in figures) else EXIT_CANNOT_TELL


def _told(figure: Figure) -> str:
    before, now = (f"{value:>11,.1f}" if value is not None else f"{'-':>11}" for value in (figure.before, figure.now))
    if figure.not_compared:
        verdict = f"not compared: {figure.not_compared}"
    else:
        verdict = f"{figure.rise:+.1%}{'  TOO MUCH' if figure.too_much else ''}"
    return f"{figure.request:10} {figure.name:13} {before} {now}  {verdict}"


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--update", action="store_true", help=f"write {FILE.name} instead of comparing with it")
    asked = parser.parse_args(arguments)
    counted = subprocess.run(
        [sys.executable, "-m", "benchmarks.counting"], check=True, stdout=subprocess.PIPE, cwd=FILE.parents[1]
    ).stdout
    now = {"build": build(), "requests": json.loads(counted)["requests"]}
    if asked.update:
        FILE.write_text(json.dumps(now, indent=2) + "\n")
        return EXIT_SAME
    figures = list(compare(json.loads(FILE.read_bytes()), now))
    print(f"{'request':10} {'count':13} {'committed':>11} {'now':>11}")
    print("\n".join(_told(figure) for figure in figures))
    code = exit_code(figures)
    if code == EXIT_WORSE:
        print(f"a request costs more than {MOST_RISE:.0%} above {FILE.name}; if that is meant: --update, and say why")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
