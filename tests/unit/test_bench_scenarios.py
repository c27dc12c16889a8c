"""The scenarios' own pure parts: how many workers are measured, and what a user's envelope must have."""

import json
from pathlib import Path

import pytest

for module in ("numpy", "psutil", "rich"):
    pytest.importorskip(module, reason="comes with the extra `bench`")

from benchmarks import machine, rows
from benchmarks.__main__ import NAMES
from benchmarks.calls import WrongAnswerError
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.interface import base_environ
from benchmarks.rows import Row
from benchmarks.scenario import attempt
from benchmarks.scenarios.workers import UserError, users_call, worker_counts

ENVELOPE = Path(__file__).parents[2] / "docs" / "examples" / "order" / "envelope.json"


def test_small_machines_measure_every_number_of_workers():
    assert worker_counts(1) == [1, 2]
    assert worker_counts(2) == [1, 2, 3, 4]


def test_large_machines_measure_some_numbers_with_the_telling_ones():
    """One, the CPUs, and twice the CPUs."""
    counts = worker_counts(32)
    assert {1, 32, 64} <= set(counts)
    assert len(counts) < 12
    assert counts == sorted(counts)


def test_a_users_envelope_names_its_function(tmp_path: Path):
    """By Metadata.sys.MethodName; written the way the host writes it."""
    envelope = json.loads(ENVELOPE.read_bytes())
    envelope["Metadata"]["sys"]["MethodName"] = "price"
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(envelope, indent=2))
    call = users_call(file)
    assert call.function == "price"
    assert json.loads(call.envelope) == envelope
    assert b"\n" not in call.envelope


@pytest.mark.parametrize("text", ["[]", '{"Data": {}}', '{"Metadata": {"sys": {"MethodName": "f"}}}', "{"])
def test_what_is_no_envelope_is_told(text: str, tmp_path: Path):
    file = tmp_path / "mine.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"mine\.json: "):
        users_call(file)


def test_a_missing_envelope_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="No such file"):
        users_call(tmp_path / "none.json")


def test_a_wrong_answer_becomes_a_failed_row():
    """And the scenario goes on."""
    emitted: list[Row] = []
    with attempt(emitted.append, "hop", "x", {"payload": 1}, 2):
        raise WrongAnswerError("1 x wrong body")
    assert emitted == [rows.failed("hop", "x", "1 x wrong body", variant={"payload": 1}, round_=2)]


def test_an_error_of_the_suite_itself_rises():
    """It is no contender's fault."""
    with pytest.raises(ZeroDivisionError), attempt(list[Row]().append, "hop", "x", {}, 0):
        raise ZeroDivisionError


def test_fastworker_and_the_floor_take_part_first():
    """What the others are compared with."""
    assert list(CONTENDERS)[:2] == ["floor", "fastworker"]
    assert "fastworker, no spin" in CONTENDERS


def test_names_with_a_comma_can_be_asked_for():
    assert NAMES.split("floor,fastworker, no spin,go") == ["floor", "fastworker, no spin", "go"]


def test_contenders_start_without_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch):
    """A FASTWORKER_WORKERS that is set here would change what is measured."""
    monkeypatch.setenv("FASTWORKER_WORKERS", "7")
    monkeypatch.setenv("FUNCTIONS_CUSTOMHANDLER_PORT", "1")
    environ = base_environ()
    assert not [name for name in environ if name.startswith(("FASTWORKER_", "FUNCTIONS_"))]
    assert environ["PATH"]


def test_the_cpu_is_told_by_name():
    text = "processor\t: 0\nmodel name\t: Some CPU @ 2.5GHz\n\nprocessor\t: 1\nmodel name\t: Some CPU @ 2.5GHz\n"
    assert machine.cpu_model(text) == "Some CPU @ 2.5GHz"
