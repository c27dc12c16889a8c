"""deadline.py: the smallest limit holds, and instants add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.deadline import Deadline, deadline_from, limit_s


@pytest.mark.parametrize(
    ("own_s", "server_s", "host_timeout_s", "grace_s", "expected"),
    [
        (None, 55.0, None, 2.0, 55.0),
        (5.0, 55.0, None, 2.0, 5.0),
        (90.0, 55.0, None, 2.0, 55.0),
        (90.0, 70.0, None, 2.0, 58.0),
        (None, 55.0, 300.0, 2.0, 55.0),
        (50.0, 55.0, 10.0, 2.0, 9.0),
    ],
)
def test_the_smallest_limit_holds(own_s, server_s, host_timeout_s, grace_s, expected):
    """The function's own, the server's, the host's less a second, and 60 s less the grace."""
    found = limit_s(own_s=own_s, server_s=server_s, host_timeout_s=host_timeout_s, grace_s=grace_s)
    assert found == expected


@given(st.integers(0, 2**62), st.integers(0, 60 * 10**9), st.integers(0, 60 * 10**9), st.integers(0, 2**63))
def test_instants_follow_each_other(sent_ns, limit_ns, grace_ns, now_ns):
    """The soft deadline counts from the host's send, the hard one from the soft one, and nothing remains after."""
    deadline = deadline_from(sent_ns, limit_ns, grace_ns)
    assert deadline == Deadline(sent_ns, sent_ns + limit_ns, sent_ns + limit_ns + grace_ns)
    assert deadline.remaining_s(now_ns) == max(0, sent_ns + limit_ns - now_ns) / 1e9
