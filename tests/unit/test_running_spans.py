"""running_spans.py: what is kept of spans for the case that their worker dies, and that each is written once."""

from fastworker.ipc.running_spans import MOST_CAUSE, MOST_KNOWN, RunningSpans
from fastworker.telemetry.dead_spans import Known, known_of

IDS = (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, 0x1)


def test_only_what_ran_in_the_dead_workers_slot_is_buried():
    """And it is written once: then its row is free again."""
    spans = RunningSpans(slots=2, each=2)
    mine, ended, *_ = spans.free_rows(0)
    other, *_ = spans.free_rows(1)
    for row in (mine, ended, other):
        spans.begin(row, 100, 10, IDS, b"known")
    spans.end(ended)
    spans.bury(0, 500, "it crashed", now_ns=5, end_ns=200)
    (dead,) = spans.dead()
    assert dead == (mine, 100, 200, *IDS, 500, b"known", "it crashed")
    assert (spans.unwritten, mine in spans.free_rows(0)) == (1, False)
    spans.written(dead.row)
    assert (spans.unwritten, mine in spans.free_rows(0), list(spans.dead())) == (0, True, [])


def test_past_its_hard_deadline_a_dead_span_is_a_504():
    spans = RunningSpans(slots=1, each=1)
    spans.begin(0, 100, 10, IDS, b"")
    spans.bury(0, 500, "", now_ns=10, end_ns=200)
    assert next(spans.dead()).status == 504


def test_what_is_too_long_is_cut():
    spans = RunningSpans(slots=1, each=1)
    spans.begin(0, 100, 10, IDS, b"x" * 5000)
    spans.bury(0, 500, "\u00e9" * 5000, now_ns=5, end_ns=200)
    dead = next(spans.dead())
    assert dead.known == b"x" * MOST_KNOWN
    assert len(dead.cause.encode()) <= MOST_CAUSE


def test_counters_are_of_all_workers_and_the_writer():
    spans = RunningSpans(slots=2, each=1)
    for slot in (0, 1, 1, spans.slots):
        spans.count(slot, exported=3, dropped=1)
    assert (spans.exported, spans.dropped) == (12, 4)


def test_what_user_code_has_written_across_is_not_believed():
    assert known_of(b'{"name": "GET /", "times": [1, 2], "parent": 3}') == Known("GET /", times=(1, 2))
    for wrong in (b"", b"{", b'{"name": 1}', b"[" * 600, b"\xff"):
        assert known_of(wrong) == Known()


def test_there_is_room_only_where_traces_are_wanted():
    assert RunningSpans.where(None, 3, None) is None
    assert RunningSpans.where("otel", 3, 8).free_rows(2) == list(range(18, 27))
    assert len(RunningSpans.where("otel", 1, None).free_rows(0)) == 65
