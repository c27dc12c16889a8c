"""benchmarks/guard.py: a rise of what a request costs fails the job, and only what can be compared is compared."""

import json
from typing import Any

import pytest

from benchmarks import guard

BUILD = {"python": "3.11.7", "compiler": "GCC 12", "libc": "glibc 2.36", "machine": "x86_64"}


def counts(bytecodes: float | None = 2000, instructions: float | None = 180_000, **build: str) -> dict[str, Any]:
    return {
        "build": {**BUILD, **build},
        "requests": {"envelope": {"bytecodes": bytecodes, "instructions": instructions}},
    }


def code(before: dict[str, Any], now: dict[str, Any]) -> int:
    return guard.exit_code(list(guard.compare(before, now)))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (counts(), guard.EXIT_SAME),
        (counts(bytecodes=2060), guard.EXIT_SAME),
        (counts(bytecodes=2061), guard.EXIT_WORSE),
        (counts(instructions=185_401), guard.EXIT_WORSE),
        (counts(bytecodes=1000, instructions=90_000), guard.EXIT_SAME),
    ],
    ids=["same", "3 %", "more than 3 %", "instructions", "less"],
)
def test_a_rise_of_more_than_three_percent_fails(now: dict[str, Any], expected: int):
    assert code(counts(), now) == expected


def test_another_build_of_python_compares_bytecodes_only():
    """Instructions are the compiler's, too."""
    assert code(counts(), counts(instructions=300_000, compiler="Clang 17")) == guard.EXIT_SAME
    assert code(counts(), counts(bytecodes=3000, python="3.11.9")) == guard.EXIT_WORSE


def test_another_version_of_python_compares_nothing():
    """And the job says so, rather than passing."""
    assert code(counts(), counts(python="3.13.1")) == guard.EXIT_CANNOT_TELL


def test_what_was_not_counted_is_told_and_not_taken_for_less():
    figures = {figure.name: figure for figure in guard.compare(counts(), counts(instructions=None))}
    assert figures["instructions"].not_compared == "not counted in both"
    assert not figures["bytecodes"].not_compared


def test_the_committed_counts_are_of_every_kind_of_request():
    counting = pytest.importorskip("benchmarks.counting")
    committed = json.loads(guard.FILE.read_bytes())
    assert set(committed["requests"]) == set(counting.SCENARIOS)
    assert all(figure > 0 for row in committed["requests"].values() for figure in row.values())
