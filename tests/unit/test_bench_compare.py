"""Two source trees in one run: real changes are found, and noise is not."""

import re
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("psutil", reason="comes with the extra `bench`")

from rich.console import Console

from benchmarks.report import compare
from benchmarks.report.compare import Verdict
from benchmarks.report.results import Results
from benchmarks.rows import Row, failed
from tests.unit.bench_rows import OTHER, hop_rows


def changes(rows: list[Row]) -> list[compare.Change]:
    return compare.compare(Results(rows), OTHER, resamples=2000)


def verdicts(found: list[compare.Change], metric: str = "p50_us") -> set[Verdict]:
    return {change.verdict for change in found if change.metric == metric}


def test_ten_percent_more_is_found_and_fails_the_command():
    found = changes(hop_rows(rounds=10, seed=1, factor=1.10))
    together = next(change for change in found if change.variant == compare.ALL and change.metric == "p50_us")
    assert together.verdict is Verdict.WORSE
    assert together.low < 1.10 < together.high
    assert compare.exit_code(found) == compare.EXIT_WORSE


def test_ten_percent_less_is_better_and_passes():
    """Less time, and so more per second, which is better, too."""
    found = changes(hop_rows(rounds=10, seed=1, factor=0.90))
    assert Verdict.BETTER in verdicts(found) & verdicts(found, "per_second")
    assert compare.exit_code(found) == compare.EXIT_SAME


def test_pure_noise_is_hardly_ever_taken_for_a_change():
    """The whole family of comparisons may be wrong in one run of twenty; of 40 runs, at most 6 (p < 0.004)."""
    alarms = 0
    for seed in range(40):
        found = changes(hop_rows(rounds=7, seed=seed, noise=0.08, in_flight=(1, 16)))
        alarms += compare.exit_code(found) == compare.EXIT_WORSE
    assert alarms <= 6


def test_too_few_rounds_are_said_and_nothing_is_judged():
    found = changes(hop_rows(rounds=4, seed=1, factor=2.0))
    assert verdicts(found) == {Verdict.TOO_FEW}
    assert all(change.rounds == 4 and "5 or more" in change.note for change in found)
    assert compare.exit_code(found) == compare.EXIT_CANNOT_TELL


def test_what_only_this_tree_fails_at_fails_the_comparison():
    """A server that answers wrongly is not forgiven for being fast."""
    rows = hop_rows(rounds=6, seed=2, factor=0.5)
    lost = failed("hop", "fastworker", "2 of 900 answers were wrong", variant=rows[0].variant, round_=6)
    assert compare.exit_code(changes([*rows, lost])) == compare.EXIT_WORSE
    same = msgspec.structs.replace(lost, contender=OTHER)
    assert compare.exit_code(changes([*rows, lost, same])) == compare.EXIT_SAME


def test_a_run_of_two_trees_tells_which_is_faster(tmp_path: Path):
    with (tmp_path / "told").open("w") as told:
        console = Console(file=told, width=160)
        assert compare.show(Results(hop_rows(rounds=6, seed=1, factor=1.25)), console) == compare.EXIT_WORSE
    text = (tmp_path / "told").read_text()
    assert re.search(r"all variants +p50 .*\+2\d\.\d% .*worse", text)
    assert f"this tree over {OTHER}" in text and "something is worse than before" in text


def test_a_run_of_one_tree_compares_nothing(tmp_path: Path):
    rows = [row for row in hop_rows(rounds=5, seed=1) if row.contender != OTHER]
    assert compare.show(Results(rows), Console(quiet=True)) == compare.EXIT_SAME


def test_the_interval_is_the_same_each_time():
    ratios = [1.2, 1.1, 1.3, 1.2, 1.25]
    assert compare.interval(ratios, 0.05) == compare.interval(ratios, 0.05)
