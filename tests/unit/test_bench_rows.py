"""benchmarks/rows.py: what is written of a measurement, and what is never written."""

from pathlib import Path

import pytest

from benchmarks import rows
from benchmarks.rows import Row, RowsError, RowWriter

MACHINE = {"cpu": "some CPU", "kernel": "6.1"}


def test_rows_come_back_as_they_were_written(tmp_path: Path):
    """Each with the machine that it was measured on."""
    writer = RowWriter(tmp_path, MACHINE)
    row = Row(scenario="hop", contender="floor", variant={"payload": 1024, "load": 0.8}, metrics={"p50_us": 36.1})
    writer(row)
    writer(rows.absent("hop", "go", "no go on this machine"))
    read = rows.read(tmp_path)
    assert read == writer.rows
    assert read[0] == row.with_machine(MACHINE)
    assert (read[1].ok, read[1].failure, read[1].metrics) == (False, "absent: no go on this machine", {})


def test_a_failed_row_cannot_have_metrics():
    """A figure of a run with wrong answers is no figure."""
    with pytest.raises(ValueError, match="no metrics: it answered nonsense"):
        Row(scenario="hop", contender="x", ok=False, failure="it answered nonsense", metrics={"p50_us": 0.0})


@pytest.mark.parametrize(("ok", "failure"), [(True, "something"), (False, None)])
def test_a_row_is_either_right_or_failed(ok: bool, failure: str | None):
    with pytest.raises(ValueError, match="either ok or has a failure"):
        Row(scenario="hop", contender="x", ok=ok, failure=failure)


def test_a_failed_measurement_keeps_its_place():
    """The report shows it among its repetitions."""
    row = rows.failed("cpu", "x", "3 x wrong body", variant={"ms": 10.0}, round_=2)
    assert (row.variant, row.round, row.failure) == ({"ms": 10.0}, 2, "3 x wrong body")


def test_repetitions_have_the_same_key():
    """Whatever the order of the variant's members."""
    first = Row(scenario="hop", contender="x", variant={"a": 1, "b": 2}, round=0)
    again = Row(scenario="hop", contender="x", variant={"b": 2, "a": 1}, round=1)
    assert first.key == again.key
    assert first.key != Row(scenario="hop", contender="y", variant={"a": 1, "b": 2}).key


def test_a_new_run_begins_with_an_empty_file(tmp_path: Path):
    RowWriter(tmp_path, MACHINE)(Row(scenario="hop", contender="x"))
    RowWriter(tmp_path, MACHINE)
    assert rows.read(tmp_path) == []


def test_what_is_no_row_is_told_with_its_line(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"scenario": "hop", "contender": "x"}\n{"scenario": "hop"}\n')
    with pytest.raises(RowsError, match=r"rows\.jsonl:2: not a row: .*contender"):
        rows.read(file)


def test_a_written_row_that_is_failed_but_has_metrics_is_refused(tmp_path: Path):
    """Files are edited by hand, too."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"scenario":"hop","contender":"x","ok":false,"failure":"no","metrics":{"p50_us":1}}\n')
    with pytest.raises(RowsError, match=r":1: not a row: .*no metrics"):
        rows.read(file)


def test_a_missing_file_is_told_with_the_way_out(tmp_path: Path):
    with pytest.raises(RowsError, match=r"give a rows\.jsonl, or the --out folder"):
        rows.read(tmp_path / "nowhere.jsonl")
