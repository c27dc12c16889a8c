"""deadline.py: the smallest limit holds, what is beyond the cap is refused with the arithmetic, and instants add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.deadline import Deadline, TimeLimits, cap_notes, deadline_from, limit_of


@pytest.mark.parametrize(
    ("own_s", "deadline_s", "cap_s", "host_timeout_s", "is_http", "expected", "name"),
    [
        (None, None, 60, None, False, 55.0, "FASTWORKER_DEADLINE"),
        (5.0, None, 60, None, False, 5.0, "own"),
        (57.0, None, 60, None, False, 57.0, "own"),
        (57.0, 55, 60, None, False, 55.0, "FASTWORKER_DEADLINE"),
        (None, None, 60, 300.0, True, 55.0, "FASTWORKER_DEADLINE"),
        (50.0, None, 60, 10.0, False, 9.0, "functionTimeout"),
        (200.0, None, 300, 300.0, False, 200.0, "own"),
        (None, None, 300, 300.0, False, 55.0, "FASTWORKER_DEADLINE"),
        (299.0, None, None, 300.0, False, 299.0, "own"),
        (None, 400.0, None, 300.0, False, 299.0, "functionTimeout"),
        (None, 400.0, None, None, False, 400.0, "FASTWORKER_DEADLINE"),
        (None, 400.0, None, None, True, 227.0, "230 s of Azure's load balancer"),
        (None, 280.0, 300, None, True, 227.0, "230 s of Azure's load balancer"),
    ],
)
def test_the_smallest_limit_holds(own_s, deadline_s, cap_s, host_timeout_s, is_http, expected, name):
    """The function's own, the server's where it is set or nothing else is, the host's, and the load balancer's."""
    limits = TimeLimits(deadline_s, 2.0, cap_s)
    found = limit_of(own_s, limits, host_timeout_s=host_timeout_s, is_http=is_http)
    assert found.seconds == expected
    assert name in found.name
    assert found.problem is None
    cut = own_s is not None and own_s != expected
    assert (found.warning is not None) == cut
    if cut:
        assert f"deadline of {own_s:g} s is cut to {expected:g} s by {found.name}" in str(found.warning)


@pytest.mark.parametrize(
    ("own_s", "cap_s", "host_timeout_s", "is_http", "said"),
    [
        (300, 60, None, False, "300 + 2 = 302 s, but deadline + grace must be under FASTWORKER_CAP=60 s"),
        (58, 60, None, True, "58 + 2 = 60 s, but deadline + grace must be under FASTWORKER_CAP=60 s"),
        (300, 60, 600.0, False, "300 + 2 = 302 s"),
        (300, 300, 600.0, False, "must be under FASTWORKER_CAP=300 s"),
        (300, None, 300.0, False, "functionTimeout less 1 s: 300 - 1 = 299 s"),
        (228, None, None, True, "228 + 2 = 230 s, but an http function must stay under 230 s"),
        (290, 300, None, True, "answer 202 and do the work in a queue function"),
    ],
)
def test_a_deadline_beyond_the_cap_is_refused_with_the_arithmetic(own_s, cap_s, host_timeout_s, is_http, said):
    """It is never cut in silence."""
    found = limit_of(own_s, TimeLimits(None, 2.0, cap_s), host_timeout_s=host_timeout_s, is_http=is_http)
    assert said in str(found.problem)
    assert found.warning is None


@pytest.mark.parametrize(
    ("cap_s", "host_timeout_s", "sets_timeout", "said"),
    [
        (60, None, False, None),
        (60, 30.0, True, None),
        (60, 300.0, True, "functionTimeout in host.json is 300 s, but a function has 55 s here"),
        (60, None, True, "functionTimeout in host.json is no limit, but"),
        (100, None, False, "the cap of 60 s is lifted to 100 s"),
        (57.5, None, False, "the cap of 60 s is lowered to 57.5 s"),
        (None, 300.0, True, "lifted to host.json's functionTimeout, 300 s"),
        (None, None, True, "lifted to host.json's functionTimeout, no limit"),
        (300, None, False, "of http functions up to 230 s"),
    ],
)
def test_a_start_says_in_one_line_what_the_cap_is(cap_s, host_timeout_s, sets_timeout, said):
    """Nothing of the default, unless host.json promises more."""
    notes = cap_notes(TimeLimits(None, 2.0, cap_s), host_timeout_s=host_timeout_s, sets_timeout=sets_timeout)
    assert len(notes) == (said is not None)
    assert all(said in note for note in notes)


@given(st.integers(0, 2**62), st.integers(0, 60 * 10**9), st.integers(0, 60 * 10**9), st.integers(0, 2**63))
def test_instants_follow_each_other(sent_ns, limit_ns, grace_ns, now_ns):
    """The soft deadline counts from the host's send, the hard one from the soft one, and nothing remains after."""
    deadline = deadline_from(sent_ns, limit_ns, grace_ns)
    assert deadline == Deadline(sent_ns, sent_ns + limit_ns, sent_ns + limit_ns + grace_ns)
    assert deadline.remaining_s(now_ns) == max(0, sent_ns + limit_ns - now_ns) / 1e9
