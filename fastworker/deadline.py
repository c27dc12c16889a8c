"""Deadlines: how many seconds an invocation may take, and the instants at which they end.

Used by settings.py (what was set), loaded_app.py (what cannot hold), dispatch.py (what holds) and invocation.py
(`Context.remaining`).
Rule: pure. Instants are absolute monotonic nanoseconds and are passed in; nothing here reads a clock.
"""

import math
from operator import itemgetter
from typing import NamedTuple

import msgspec

# What a function gets where neither it nor FASTWORKER_DEADLINE says anything.
DEFAULT_S = 55.0
# FASTWORKER_CAP by default: no invocation is answered later than this after the host sent it.
CAP_S = 60.0
# Azure's load balancer gives an http client up after so long, whatever functionTimeout says (protocol 5.1).
LOAD_BALANCER_S = 230.0

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


class TimeLimits(msgspec.Struct, frozen=True):
    """What the settings say of time. `deadline_s` is None where nobody set it; `cap_s` is None for the host's own."""

    deadline_s: float | None = None
    grace_s: float = 2.0
    cap_s: float | None = CAP_S

    @property
    def server_s(self) -> float:
        """Seconds for a function that has no deadline of its own."""
        return DEFAULT_S if self.deadline_s is None else self.deadline_s

    @property
    def longest_s(self) -> float:
        """Seconds after which no invocation is left, whatever its function says."""
        return math.inf if self.cap_s is None else self.cap_s


class Limit(NamedTuple):
    """Seconds an invocation may take and the name of what says so, as the user knows it.

    `problem` is why the function's own deadline cannot hold, and the app is refused; `warning`, that it does not hold.
    """

    seconds: float
    name: str
    problem: str | None = None
    warning: str | None = None


def limit_of(own_s: float | None, limits: TimeLimits, *, host_timeout_s: float | None, is_http: bool) -> Limit:
    """How long an invocation of a function may take: the smallest of all limits that apply.

    `own_s` is the function's own deadline, and `host_timeout_s` host.json's `functionTimeout`. `FASTWORKER_DEADLINE`
    limits a function's own deadline only where somebody has set it.
    """
    others = []
    if own_s is None or limits.deadline_s is not None:
        others.append((limits.server_s, "FASTWORKER_DEADLINE"))
    if host_timeout_s is not None:
        host_s = max(host_timeout_s - HOST_MARGIN_S, host_timeout_s / 2)
        others.append((host_s, "functionTimeout in host.json, less a margin"))
    if is_http and limits.longest_s > LOAD_BALANCER_S:
        balancer_s = LOAD_BALANCER_S - HOST_MARGIN_S - limits.grace_s
        others.append((balancer_s, f"the {LOAD_BALANCER_S:g} s of Azure's load balancer, less a margin and the grace"))
    if own_s is None:
        return Limit(*min(others, key=itemgetter(0)))
    problem = _beyond_cap(own_s, limits, host_timeout_s=host_timeout_s, is_http=is_http)
    seconds, name = min([(own_s, "the function's own deadline"), *others], key=itemgetter(0))
    warning = None if seconds == own_s else f"its deadline of {own_s:g} s is cut to {seconds:g} s by {name}"
    return Limit(seconds, name, problem, None if problem else warning)


def _beyond_cap(own_s: float, limits: TimeLimits, *, host_timeout_s: float | None, is_http: bool) -> str | None:
    """Why a function cannot have the deadline that it asks for, with the arithmetic."""
    total_s = own_s + limits.grace_s
    grace = f"{limits.grace_s:g}"
    adds_up = f"deadline={own_s:g} and FASTWORKER_GRACE={grace}: {own_s:g} + {grace} = {total_s:g} s"
    if is_http and limits.longest_s > LOAD_BALANCER_S and total_s >= LOAD_BALANCER_S:
        return (
            f"{adds_up}, but an http function must stay under {LOAD_BALANCER_S:g} s, when Azure's load balancer gives "
            f"its client up; answer 202 and do the work in a queue function, or lower the deadline"
        )
    if total_s >= limits.longest_s:
        return (
            f"{adds_up}, but deadline + grace must be under FASTWORKER_CAP={limits.longest_s:g} s; lower the deadline, "
            f"or set FASTWORKER_CAP (seconds, or host) where the host waits longer"
        )
    host_s = math.inf if host_timeout_s is None else host_timeout_s - HOST_MARGIN_S
    if limits.cap_s is None and own_s > host_s:
        return (
            f"deadline={own_s:g}, but with FASTWORKER_CAP=host a deadline may be host.json's functionTimeout less "
            f"{HOST_MARGIN_S:g} s: {host_timeout_s:g} - {HOST_MARGIN_S:g} = {host_s:g} s; lower the deadline, or raise "
            f"functionTimeout"
        )
    return None


def cap_notes(limits: TimeLimits, *, host_timeout_s: float | None, sets_timeout: bool) -> list[str]:
    """What a start should say of the cap: that it is lifted, or that host.json's `functionTimeout` is above it."""
    told = "no limit" if host_timeout_s is None else f"{host_timeout_s:g} s"
    if limits.cap_s != CAP_S:
        to = f"host.json's functionTimeout, {told}" if limits.cap_s is None else f"{limits.cap_s:g} s"
        moved = "lowered" if limits.longest_s < CAP_S else "lifted"
        http = f", of http functions up to {LOAD_BALANCER_S:g} s" if limits.longest_s > LOAD_BALANCER_S else ""
        return [
            f"FASTWORKER_CAP: the cap of {CAP_S:g} s is {moved} to {to}: deadline + grace of a function may be up to "
            f"that{http}; a function without a deadline of its own has {limits.server_s:g} s"
        ]
    if sets_timeout and (host_timeout_s is None or host_timeout_s > CAP_S):
        return [
            f"functionTimeout in host.json is {told}, but a function has {limits.server_s:g} s here, and {CAP_S:g} s "
            f"with its grace at most; FASTWORKER_CAP=host lifts that, with deadlines as @app.function(deadline=...) "
            f"or FASTWORKER_DEADLINE give them"
        ]
    return []


def grace_within_s(limit: float, *, host_timeout_s: float | None, grace_s: float) -> float:
    """Seconds from the soft to the hard deadline: the grace, or less where the host would kill first."""
    if host_timeout_s is None:
        return grace_s
    return min(grace_s, max(host_timeout_s - limit - KILL_MARGIN_S, KILL_MARGIN_S))


def deadline_from(sent_ns: int, limit_ns: int, grace_ns: int) -> Deadline:
    """The instants for an invocation that the host sent at `sent_ns`."""
    soft_ns = sent_ns + limit_ns
    return Deadline(sent_ns, soft_ns, soft_ns + grace_ns)
