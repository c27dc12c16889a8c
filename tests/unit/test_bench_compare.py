"""Two runs of the hop beside each other: real changes are found, and noise is not."""

import re
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("rich")

from rich.console import Console

from benchmarks.report import compare
from benchmarks.report.compare import Verdict
from benchmarks.report.results import Results
from benchmarks.rows import Row, failed
from tests.unit.bench_rows import hop_rows


def changes(before: list[Row], after: list[Row]) -> list[compare.Change]:
    return compare.compare(Results(before), Results(after), resamples=2000)


def verdicts(found: list[compare.Change], metric: str = "p50_us") -> set[Verdict]:
    return {change.verdict for change in found if change.metric == metric}


def test_ten_percent_more_is_found_and_fails_the_command():
    found = changes(hop_rows(rounds=10, seed=1), hop_rows(rounds=10, seed=2, factor=1.10))
    together = next(change for change in found if change.variant == "all variants" and change.metric == "p50_us")
    assert together.verdict is Verdict.WORSE
    assert together.low < 1.10 < together.high
    assert compare.exit_code(found) == compare.EXIT_WORSE


def test_ten_percent_less_is_better_and_passes():
    found = changes(hop_rows(rounds=10, seed=1), hop_rows(rounds=10, seed=2, factor=0.90))
    assert Verdict.BETTER in verdicts(found)
    assert compare.exit_code(found) == compare.EXIT_SAME


def test_pure_noise_is_hardly_ever_taken_for_a_change():
    """The whole family of comparisons may be wrong in one run of twenty; of 40 runs, at most 6 (p < 0.004)."""
    alarms = 0
    for seed in range(40):
        before = hop_rows(rounds=5, seed=2 * seed, noise=0.08, in_flight=(1, 16))
        after = hop_rows(rounds=5, seed=2 * seed + 1, noise=0.08, in_flight=(1, 16))
        alarms += compare.exit_code(changes(before, after)) == compare.EXIT_WORSE
    assert alarms <= 6


def test_a_slower_machine_is_no_change():
    """Floor and fastworker are slower together."""
    before = hop_rows(rounds=8, seed=1)
    after = [
        msgspec.structs.replace(row, metrics={name: 3 * value for name, value in row.metrics.items()})
        for row in hop_rows(rounds=8, seed=2)
    ]
    assert compare.exit_code(changes(before, after)) == compare.EXIT_SAME


def test_too_few_rounds_are_said_and_nothing_is_judged():
    found = changes(hop_rows(rounds=4, seed=1), hop_rows(rounds=9, seed=2, factor=2.0))
    assert verdicts(found) == {Verdict.TOO_FEW}
    assert all(change.rounds == (4, 9) and "5 or more" in change.note for change in found)
    assert compare.exit_code(found) == compare.EXIT_CANNOT_TELL


def test_failed_rounds_of_the_second_run_fail_the_comparison():
    """A server that answers wrongly is not forgiven for being fast."""
    after = hop_rows(rounds=6, seed=2, factor=0.5)
    lost = failed("hop", "fastworker", "2 of 900 answers were wrong", variant=after[0].variant, round_=6)
    found = changes(hop_rows(rounds=6, seed=1), [*after, lost])
    assert any(change.verdict is Verdict.FAILED and "wrong" in change.note for change in found)
    assert compare.exit_code(found) == compare.EXIT_WORSE


def test_a_variant_that_only_one_run_has_is_missing():
    found = changes(hop_rows(rounds=6, seed=1, in_flight=(1, 4)), hop_rows(rounds=6, seed=2, in_flight=(1,)))
    missing = [change for change in found if change.verdict is Verdict.MISSING]
    assert {change.variant for change in missing} == {"1 KB, 4 in flight"}
    assert all("in B" in change.note for change in missing)


def test_the_command_reads_files_and_tells(tmp_path: Path):
    paths: list[Path] = []
    for name, factor in (("a.jsonl", 1.0), ("b.jsonl", 1.25)):
        rows = hop_rows(rounds=6, seed=len(paths), factor=factor)
        path = tmp_path / name
        path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        paths.append(path)
    with (tmp_path / "told").open("w") as told:
        assert compare.run(paths[0], paths[1], Console(file=told, width=160)) == compare.EXIT_WORSE
    text = (tmp_path / "told").read_text()
    assert re.search(r"all variants +p50 .*\+2\d\.\d% .*worse", text)
    assert "the hop is worse than before" in text


def test_the_interval_is_the_same_each_time():
    before, after = [1.0, 1.1, 0.9, 1.0, 1.05], [1.2, 1.1, 1.3, 1.2, 1.25]
    assert compare.interval(before, after, 0.05) == compare.interval(before, after, 0.05)
