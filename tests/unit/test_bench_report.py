"""The report of a run: from rows to ratios, tables, a page and plots."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("psutil", reason="comes with the extra `bench`")

from rich.console import Console

from benchmarks import report
from benchmarks.report import formats
from benchmarks.report.results import Results, common_members
from benchmarks.report.table import floor_modes
from benchmarks.rows import absent, failed
from tests.unit.bench_rows import row, whole_run


def hop(name: str, number: int, p50: float) -> Any:
    return row("hop", name, {"payload": 1024, "in_flight": 1}, number, metrics={"p50_us": p50})


def test_ratios_are_taken_within_a_round():
    """A minute in which the machine is twice as slow changes the times, and not the ratio."""
    results = Results([hop("floor", 0, 50), hop("fastworker", 0, 25), hop("floor", 1, 100), hop("fastworker", 1, 50)])
    (mine,) = results.of("hop", "fastworker")
    ratio = results.ratio(mine, "p50_us", "floor")
    assert ratio is not None
    assert (ratio.median, ratio.low, ratio.high, ratio.rounds) == (0.5, 0.5, 0.5, 2)


def test_a_round_without_its_floor_has_no_ratio():
    variant = {"payload": 1024, "in_flight": 1}
    rows = [hop("floor", 0, 50), hop("fastworker", 0, 25), hop("fastworker", 1, 500)]
    results = Results([*rows, failed("hop", "floor", "status 500", variant=variant, round_=1)])  # type: ignore[arg-type]
    (mine,) = results.of("hop", "fastworker")
    assert results.ratios(mine, "p50_us", "floor") == {0: 0.5}
    (floor,) = results.of("hop", "floor")
    assert floor.trouble == "1 of 2 rounds failed: status 500"


def test_the_absent_have_a_reason_and_no_result():
    results = Results([hop("floor", 0, 50), absent("hop", "go", "no compiler")])
    assert results.absent("hop") == {"go": "no compiler"}
    assert results.of("hop", "go") == []


def test_members_that_all_variants_share_are_told_from_the_others():
    results = Results([hop("floor", 0, 50), row("hop", "floor", {"payload": 65536, "in_flight": 1}, 0)])
    assert common_members(results.of("hop")) == {"in_flight"}


@pytest.mark.parametrize(
    ("metric", "quantity", "unit"),
    [
        ("p50_us", "p50", "us"),
        ("p99_9_ms", "p99.9", "ms"),
        ("per_second", "per second", "/s"),
        ("lost_per_1000", "lost per 1000", ""),
        ("extra_mb", "extra", "MB"),
    ],
)
def test_a_metric_says_its_quantity_and_unit(metric: str, quantity: str, unit: str):
    assert (formats.quantity_of(metric), formats.unit_of(metric)) == (quantity, unit)


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ({"payload": 65536, "in_flight": 4}, "64 KB, 4 in flight"),
        ({"ms": 10.0, "load": 0.8}, "10 ms, 80% load"),
        ({"preload": False}, "no preload"),
        ({"in_flight": "best", "workers": 1}, "best in flight, 1 worker"),
    ],
)
def test_a_variant_is_told_in_words(variant: dict[str, Any], told: str):
    assert formats.variant(variant) == told


def test_tables_show_failures_as_failures(tmp_path: Path):
    with (tmp_path / "told").open("w") as file:
        report.show(whole_run(), Console(file=file, width=120))
    text = (tmp_path / "told").read_text()
    assert re.search(r"failed express \(1 MB.*status 413", text)
    assert re.search(r"absent granian-2: no such interpreter", text)
    assert re.search(r"^ fastworker +failed *$", text, re.MULTILINE)


def test_the_page_has_every_scenario_and_its_plots(tmp_path: Path):
    """Each plot is a file that the page shows; what is in a failure cannot break the page's table."""
    pytest.importorskip("matplotlib")
    rows = [one for one in whole_run() if one.round == 0]
    rows.append(absent("hop", "go", "it is <b>not</b> | here"))
    (tmp_path / "rows.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    written = report.write(tmp_path)
    page = written[0].read_text()
    assert "absent go: it is &lt;b>not&lt;/b> \\| here" in page
    assert {path.stem for path in written[1:]} == {"hop", "capacity", "cpu", "mix", "workers", "faults"}
    assert set(re.findall(r"\]\(([a-z]+\.png)\)", page)) == {path.name for path in written[1:]}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[1:])
    assert set(re.findall(r"^## (.+)$", page, re.MULTILINE)) >= {"Streaming: the first byte, and each item"}


def test_the_floors_two_modes_are_told_apart():
    """A floor of 16 us and one of 57 us are not the same baseline."""
    rows = [hop("floor", 0, 16), hop("fastworker", 0, 40), hop("floor", 1, 57), hop("fastworker", 1, 57)]
    (line,) = floor_modes(Results(rows))
    assert "16, 57 us" in line and "in 1 of 2" in line
    assert "fastworker there 2.50 x; fastworker elsewhere 1.00 x" in line
