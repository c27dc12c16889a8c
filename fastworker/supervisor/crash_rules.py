"""What becomes of a connection whose worker has died: handed on, answered, or cut.

Called by supervisor/run.py for every connection that a dead worker had taken.
Rule: pure; the caller looks (board row, kernel counts) and acts, this file only decides.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fastworker.ipc.board import ConnectionRow, Phase
from fastworker.outcomes import CRASHED, DEADLINE_HARD
from fastworker.protocol.answer import Answer, problem

# So many invocations are named in one log line.
MOST_NAMED = 32


class Found(NamedTuple):
    """What the kernel says of the connection now."""

    unread: int  # bytes that have arrived and that nobody has read
    ended: bool  # the client has closed its side and nothing is unread
    written: int  # bytes ever written to it
    again: bool = False  # another worker has died with the same request, unread


class Death(NamedTuple):
    """How the worker ended. `status` is 503 for one that was ended because the server stops.

    `cause` is a word for the metrics (docs/metrics.md).
    """

    detail: str
    status: int = 500
    cause: str = "crashed"


class Fate(NamedTuple):
    """Send `answer` (if any), then keep the connection for the next request, or close it.

    `outcome` is what an invocation is counted as that has ended so; None if the worker has said that itself, or if
    there is none.
    """

    answer: Answer | None
    keep: bool
    outcome: int | None = None


def decide(row: ConnectionRow, found: Found, death: Death, *, now_ns: int) -> Fate:
    """The fate of a connection in `row`'s phase.

    A request of which nothing has been read goes to another worker: user code has not seen it, so nothing happens
    twice. But one that has cost two workers would cost all of them, one after the other, and is refused. A whole
    request is answered on a connection that stays usable. Half of a request or of an answer cannot be continued by
    anybody else, so that the connection must go.
    """
    match row.phase:
        case Phase.TAKEN if found.unread and found.again:
            return Fate(
                problem(death.status, f"two workers died as they took this request; {death.detail}"),
                keep=False,
                outcome=CRASHED,
            )
        case Phase.TAKEN if found.unread:
            return Fate(None, keep=True)
        case Phase.TAKEN if found.ended:
            return Fate(None, keep=False)
        case Phase.TAKEN | Phase.READING:
            return Fate(problem(death.status, death.detail), keep=False, outcome=CRASHED)
        case Phase.ANSWERING if found.written - row.before == row.length:
            return Fate(None, keep=not row.closing)  # the answer had gone out whole
        case Phase.ANSWERING if found.written != row.before:
            # Cut, so that the client sees the truncation. A stream's end may have been out: then `tally` tells.
            return Fate(None, keep=False, outcome=None if row.is_stream and row.tally else _outcome(row, now_ns))
    return Fate(_for_invocation(row, death, now_ns), keep=not row.closing, outcome=_outcome(row, now_ns))


def _outcome(row: ConnectionRow, now_ns: int) -> int:
    return DEADLINE_HARD if _is_late(row, now_ns) else CRASHED


def _is_late(row: ConnectionRow, now_ns: int) -> bool:
    return 0 < row.hard_ns <= now_ns


def _for_invocation(row: ConnectionRow, death: Death, now_ns: int) -> Answer:
    status, detail = death.status, death.detail
    if _is_late(row, now_ns):
        status = 504
        limit_s = (row.hard_ns - row.sent_ns) / 1e9
        detail = f"ran too long: still running past deadline and grace, {limit_s:g} s, so its worker was killed"
    return problem(status, detail, function=row.function or None, invocation_id=row.invocation_id or None)


def named(rows: Sequence[ConnectionRow]) -> str:
    """The invocations in these rows, for a log line: `order 7b4f3a0e-..., order ...`. Of the others only the number."""
    known = [f"{row.function} {row.invocation_id}".strip() for row in rows if row.function or row.invocation_id]
    more = len(known) - MOST_NAMED
    return ", ".join(known[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
