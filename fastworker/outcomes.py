"""How an invocation can end: one word for each, in the answer, on the board and in the metrics.

Set by whoever makes an answer (protocol/answer.py, functions/invocation.py, supervisor/crash_rules.py), counted by
ipc/counters.py.
Rule: imports nothing. The numbers are indexes into the counters; OK is 0, so that the usual case costs one test.
"""

import enum


class InvocationOutcome(enum.IntEnum):
    """The values of the label `outcome` (docs/metrics.md)."""

    OK = 0  # the handler returned, and its answer is out
    FAILED = 1  # it raised, or returned what cannot be encoded
    DEADLINE_SOFT = 2  # its deadline ended it, and its worker went on
    DEADLINE_HARD = 3  # it went on for the grace, so that its worker was killed
    CRASHED = 4  # its worker died
    REJECTED = 5  # refused before the handler ran, or by an error of the request (4xx, 503) from the handler
    CLIENT_GONE = 6  # nobody is there to read the answer
    NONE = 7  # no invocation: counted nowhere


# Plain numbers: an enum's member costs a look-up where every request passes.
OK, FAILED, DEADLINE_SOFT, DEADLINE_HARD, CRASHED, REJECTED, CLIENT_GONE, NONE = map(int, InvocationOutcome)


def outcome_of_problem(status: int) -> int:
    """The outcome of an invocation that is answered with a problem of this status."""
    return {500: FAILED, 504: DEADLINE_SOFT}.get(status, REJECTED)
