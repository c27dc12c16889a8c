"""Deadlines: how many seconds an invocation may take, and the instants at which they end.

Used by settings.py (which limits hold), worker/run.py (arms the board) and invocation.py (`Context.remaining`).
Rule: pure. Instants are absolute monotonic nanoseconds and are passed in; nothing here reads a clock.
"""

import msgspec

# The mission's cap: no invocation is answered later than this after the host sent it.
CAP_S = 60.0

# The host kills the whole handler at functionTimeout; ending a second earlier protects the neighbours.
HOST_MARGIN_S = 1.0
# Even the kill of a stuck worker must come before that.
KILL_MARGIN_S = 0.25


class Deadline(msgspec.Struct, frozen=True, gc=False):
    """When an invocation began on the host's side, when it must end, and when it is ended by force."""

    sent_ns: int
    soft_ns: int
    hard_ns: int

    def remaining_s(self, now_ns: int) -> float:
        """Seconds until the soft deadline, never negative."""
        return max(0, self.soft_ns - now_ns) / 1e9


def limit_s(*, own_s: float | None, server_s: float, host_timeout_s: float | None, grace_s: float) -> float:
    """Seconds an invocation may take: the smallest of all limits that apply (design, section 3)."""
    limits = [server_s, CAP_S - grace_s]
    if own_s is not None:
        limits.append(own_s)
    if host_timeout_s is not None:
        limits.append(max(host_timeout_s - HOST_MARGIN_S, host_timeout_s / 2))
    return min(limits)


def limit_name(*, own_s: float | None, server_s: float, host_timeout_s: float | None, grace_s: float) -> str:
    """Which of the limits it is that `limit_s` gives, as the user knows it."""
    seconds = limit_s(own_s=own_s, server_s=server_s, host_timeout_s=host_timeout_s, grace_s=grace_s)
    if seconds == own_s:
        return "the function's own deadline"
    if seconds == server_s:
        return "FASTWORKER_DEADLINE"
    if seconds == CAP_S - grace_s:
        return f"{CAP_S:g} s less FASTWORKER_GRACE"
    return "functionTimeout in host.json, less a margin"


def grace_within_s(limit: float, *, host_timeout_s: float | None, grace_s: float) -> float:
    """Seconds from the soft to the hard deadline: the grace, or less where the host would kill first."""
    if host_timeout_s is None:
        return grace_s
    return min(grace_s, max(host_timeout_s - limit - KILL_MARGIN_S, KILL_MARGIN_S))


def deadline_from(sent_ns: int, limit_ns: int, grace_ns: int) -> Deadline:
    """The instants for an invocation that the host sent at `sent_ns`."""
    soft_ns = sent_ns + limit_ns
    return Deadline(sent_ns, soft_ns, soft_ns + grace_ns)
