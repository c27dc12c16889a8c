"""crash_rules.py: every phase in which a worker can die, and what becomes of its connection."""

import orjson
import pytest

from fastworker.ipc.board import ENDLESS, ConnectionRow, Phase
from fastworker.outcomes import CRASHED, DEADLINE_HARD
from fastworker.supervisor.crash_rules import Death, Fate, Found, decide

SENT_NS, HARD_NS = 1_000_000_000, 7_000_000_000
DEATH = Death("its worker died: killed by SIGSEGV")
BEFORE, LENGTH = 300, 80


def row(phase: Phase, **changes) -> ConnectionRow:
    whole = ConnectionRow(3, phase, SENT_NS, HARD_NS, BEFORE, LENGTH, False, False, "id-1", "order")
    return whole._replace(**changes)


def fate_of(row: ConnectionRow, found: Found, death: Death = DEATH, now_ns: int = SENT_NS) -> Fate:
    return decide(row, found, death, now_ns=now_ns)


ANSWERED, SILENT = True, False


@pytest.mark.parametrize(
    ("phase", "found", "closing", "answered", "keep"),
    [
        # Nothing read, all of it unread: another worker's turn, even if the client has gone on to close its side.
        (Phase.TAKEN, Found(unread=9, ended=False, written=BEFORE), False, SILENT, True),
        (Phase.TAKEN, Found(unread=9, ended=True, written=BEFORE), False, SILENT, True),
        (Phase.TAKEN, Found(unread=0, ended=True, written=BEFORE), False, SILENT, False),
        (Phase.TAKEN, Found(unread=9, ended=False, written=BEFORE, again=True), False, ANSWERED, False),
        # Somebody has read, and only the dead one can have been it.
        (Phase.TAKEN, Found(unread=0, ended=False, written=BEFORE), False, ANSWERED, False),
        (Phase.READING, Found(unread=0, ended=False, written=BEFORE), False, ANSWERED, False),
        (Phase.READING, Found(unread=9, ended=False, written=BEFORE), False, ANSWERED, False),
        (Phase.RUNNING, Found(unread=0, ended=False, written=BEFORE), False, ANSWERED, True),
        (Phase.RUNNING, Found(unread=9, ended=False, written=BEFORE), False, ANSWERED, True),
        (Phase.RUNNING, Found(unread=0, ended=False, written=BEFORE), True, ANSWERED, False),
        # The kernel's count says how much of the answer is out: nothing, a part, all of it.
        (Phase.ANSWERING, Found(unread=0, ended=False, written=BEFORE), False, ANSWERED, True),
        (Phase.ANSWERING, Found(unread=0, ended=False, written=BEFORE), True, ANSWERED, False),
        (Phase.ANSWERING, Found(unread=0, ended=False, written=BEFORE + 1), False, SILENT, False),
        (Phase.ANSWERING, Found(unread=0, ended=False, written=BEFORE + LENGTH - 1), False, SILENT, False),
        (Phase.ANSWERING, Found(unread=0, ended=False, written=BEFORE + LENGTH), False, SILENT, True),
        (Phase.ANSWERING, Found(unread=9, ended=False, written=BEFORE + LENGTH), False, SILENT, True),
        (Phase.ANSWERING, Found(unread=0, ended=False, written=BEFORE + LENGTH), True, SILENT, False),
    ],
)
def test_each_phase_has_its_fate(phase, found, closing, answered, keep):
    """Given on, answered, or cut: never run twice, never answered twice, never continued in the middle."""
    fate = fate_of(row(phase, closing=closing), found)
    assert (fate.answer is not None, fate.keep) == (answered, keep)
    is_whole = phase is Phase.ANSWERING and found.written == BEFORE + LENGTH
    is_unseen = phase is Phase.TAKEN and not answered
    assert fate.outcome == (None if is_whole or is_unseen else CRASHED)
    if fate.answer is not None:
        assert fate.answer.status == 500
        detail = orjson.loads(fate.answer.body)["detail"]
        assert detail.endswith(DEATH.detail)
        assert ("two workers" in detail) is found.again


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("written", [1, 10_000, 1 << 40])
def test_a_stream_of_which_bytes_are_out_is_cut(closing, written):
    """However much it was: nobody but the dead worker knew whether it was all. The truncation must be seen."""
    streaming = row(Phase.ANSWERING, length=ENDLESS, closing=closing)
    found = Found(unread=0, ended=False, written=BEFORE + written)
    assert fate_of(streaming, found) == Fate(None, keep=False, outcome=CRASHED)
    assert fate_of(streaming, found, now_ns=HARD_NS).outcome == DEADLINE_HARD
    assert fate_of(streaming._replace(tally=7), found) == Fate(None, keep=False)  # it had ended, and said how


@pytest.mark.parametrize(("now_ns", "status"), [(SENT_NS, 500), (HARD_NS, 504)])
def test_a_stream_of_which_nothing_is_out_is_answered(now_ns, status):
    """Its head had been made, and no more; the connection stays, unless it was to close."""
    found = Found(unread=0, ended=False, written=BEFORE)
    for closing in (False, True):
        fate = fate_of(row(Phase.ANSWERING, length=ENDLESS, closing=closing), found, now_ns=now_ns)
        assert fate.answer is not None
        assert (fate.answer.status, fate.keep) == (status, not closing)


def test_the_answer_names_the_invocation():
    """The host's log shows which one was lost."""
    fate = fate_of(row(Phase.RUNNING), Found(0, False, BEFORE))
    assert fate.answer is not None
    body = orjson.loads(fate.answer.body)
    assert (body["function"], body["invocationId"]) == ("order", "id-1")


def test_half_a_request_has_no_name_yet():
    """The row still holds the name of the request before."""
    fate = fate_of(row(Phase.READING), Found(0, False, BEFORE), now_ns=HARD_NS)
    assert fate.answer is not None
    body = orjson.loads(fate.answer.body)
    assert (fate.answer.status, body["function"], body["invocationId"]) == (500, None, None)


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.ANSWERING])
@pytest.mark.parametrize(("now_ns", "status"), [(HARD_NS - 1, 500), (HARD_NS, 504), (HARD_NS + 1, 504)])
def test_from_its_hard_deadline_on_the_invocation_was_late(phase, now_ns, status):
    """Only the invocation that is past its own deadline is told so; neighbours on the same worker get a 500."""
    fate = fate_of(row(phase), Found(0, False, BEFORE), now_ns=now_ns)
    assert fate.answer is not None
    assert fate.answer.status == status
    detail = orjson.loads(fate.answer.body)["detail"]
    assert (detail != DEATH.detail) == (status == 504)
    if status == 504:
        assert "past deadline and grace, 6 s" in detail


def test_no_deadline_is_never_past():
    """A row without a hard deadline (0) is not a row whose deadline was long ago."""
    fate = fate_of(row(Phase.RUNNING, hard_ns=0), Found(0, False, BEFORE), now_ns=HARD_NS)
    assert fate.answer is not None
    assert fate.answer.status == 500


@pytest.mark.parametrize("phase", [Phase.READING, Phase.RUNNING, Phase.ANSWERING])
def test_a_server_that_stops_says_503(phase):
    """Ended because the server stops is no failure of the function."""
    fate = fate_of(row(phase), Found(0, False, BEFORE), Death("the server stopped", 503))
    assert fate.answer is not None
    assert fate.answer.status == 503
