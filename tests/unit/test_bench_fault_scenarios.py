"""The pure parts of the scenarios faults, memory and stream: what is counted, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

for library in ("numpy", "psutil", "rich"):
    pytest.importorskip(library)

import numpy as np

from benchmarks import calls, load
from benchmarks.calls import WrongAnswerError
from benchmarks.contenders import CONTENDERS
from benchmarks.functions.table import LOOK, expected
from benchmarks.scenarios import faults, memory, stream

MS = 1_000_000
RIGHT, BROKEN = load.OUTCOMES.index("right"), load.OUTCOMES.index("broken connection")


def outcome(*records: tuple[int, int, int]) -> load.Outcome:
    """A run of records (kind, outcome, latency in ns)."""
    made = np.zeros(len(records), dtype=load.RECORD)
    for place, (kind, came, taken) in enumerate(records):
        made[place]["kind"], made[place]["outcome"] = kind, came
        made[place]["intended"], made[place]["done"] = place, place + taken
    return load.Outcome((), made, 0, 10**9, 0.1, 1, "")


def row(*records: tuple[int, int, int]) -> Any:
    calm = outcome(*[(faults.INNOCENT, RIGHT, MS)] * 200)
    return faults.row_of(CONTENDERS["fastworker"], {"fault": "crash"}, 0, calm, outcome(*records), {})


def test_innocents_that_broke_are_lost_and_the_guilty_are_not():
    innocent, guilty = [(faults.INNOCENT, RIGHT, 2 * MS)] * 6, [(faults.FAULTY, BROKEN, MS)] * 4
    made = row(*innocent, *guilty, (faults.INNOCENT, BROKEN, 9 * MS))
    assert (made.metrics["lost"], made.metrics["faults"], made.metrics["answered"]) == (1, 4, 6)
    assert made.metrics["lost_per_1000"] == 250
    assert made.metrics["max_ms"] == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(
    "records", [[(faults.INNOCENT, RIGHT, MS)], [(faults.FAULTY, BROKEN, MS), (faults.INNOCENT, BROKEN, MS)]]
)
def test_a_run_without_faults_or_without_answers_tells_nothing(records: list[tuple[int, int, int]]):
    with pytest.raises(OSError, match="nothing to tell"):
        row(*records)


def test_the_order_of_faults_is_the_same_for_everybody():
    assert faults.order("crash", 1) == faults.order("crash", 1) != faults.order("crash", 2)
    assert 40 < sum(faults.order("crash", 1)) < 140


def test_a_fault_may_be_answered_with_anything_and_an_invocation_may_not():
    calls.fault("crash").check(500, b"")
    with pytest.raises(WrongAnswerError, match="status 500"):
        calls.job("look", 1).check(500, b"{}")


def test_memory_is_read_from_the_rollup():
    text = (
        "55d0-7ffe ---p 00000000 00:00 0   [rollup]\nRss:   9000 kB\nPss:   3000 kB\n"
        "Shared_Clean: 1 kB\nPrivate_Clean: 100 kB\nPrivate_Dirty: 900 kB\n"
    )
    assert memory.use_of(text) == memory.Use(private=1000 * 1024, proportional=3000 * 1024)
    with pytest.raises(ValueError, match="no 'Private_Clean'"):
        memory.use_of("head\nPss: 1 kB\n")


def test_the_rollup_of_this_process_can_be_read():
    use = memory.use_of(Path("/proc/self/smaps_rollup").read_text())
    assert 0 < use.private <= use.proportional


def test_the_table_answers_by_arithmetic():
    assert int(expected(7)) == LOOK * 7 + LOOK * (LOOK - 1) // 2


def test_a_stream_has_all_items_in_order():
    lines = [b'{"number":0,"made_ns":1}', b'{"number":1,"made_ns":2}']
    assert [item["made_ns"] for item in stream.items_of("/x", lines, 2)] == [1, 2]


@pytest.mark.parametrize(
    "lines", [[b'{"number":1}', b'{"number":0}'], [b'{"number":0}'], [b"no", b"{}"], [b"{}", b"{}"]]
)
def test_a_stream_with_a_missing_or_broken_item_is_refused(lines: list[bytes]):
    with pytest.raises(WrongAnswerError, match="/x"):
        stream.items_of("/x", lines, 2)
