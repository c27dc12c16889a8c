"""The spans of invocations that run, in one anonymous shared mapping that outlives any worker.

Made by supervisor/run.py if traces are on. A worker writes its own rows (worker/traced_dispatch.py); when it has died,
the supervisor buries what it had running, and telemetry/dead_spans.py writes these spans in its place.
Rule: a row is one process's at a time, by its state, which is written last; so each span is written exactly once.

    header                     counters (one pair per slot)   rows (`each` per slot)
    +----------------------+   +----------------+             +-------------------------------------------------+
    | ending  1: flush now |   | exported       |             | state     FREE -> RUNNING -> FREE      (worker) |
    | buried  rows, ever   |   | dropped        |             |                  RUNNING -> DEAD   (supervisor) |
    | written of those     |   +----------------+             |                  DEAD -> FREE          (writer) |
    +----------------------+   the last is the writer's       | times, ids, status; then JSON, and why it died  |
                                                              +-------------------------------------------------+
"""

import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER_WORDS = 8
ENDING, BURIED, WRITTEN = range(3)
FREE, RUNNING, DEAD = range(3)

ROW_BYTES = 1024
# start_ns, hard_ns, trace id, span id, parent's span id, length of what is known of it.
_BEGUN = struct.Struct("=2q16s8s8sH")
_BEGUN_AT = 8
# end_ns, status, length of the cause.
_ENDED = struct.Struct("=qHH")
_ENDED_AT = 72
_KNOWN_AT = 96
_CAUSE_AT = 768
MOST_KNOWN = _CAUSE_AT - _KNOWN_AT
MOST_CAUSE = ROW_BYTES - _CAUSE_AT


class DeadSpan(NamedTuple):
    """A span whose worker has died. Times in nanoseconds since 1970; ids as numbers, 0 for no parent.

    `known` is what its worker had written of it, `status` the HTTP status that was answered in its place.
    """

    row: int
    start_ns: int
    end_ns: int
    trace_id: int
    span_id: int
    parent_id: int
    status: int
    known: bytes
    cause: str


class RunningSpans:
    """Shared by every process forked after it was made: `each` rows for each of `slots` workers."""

    def __init__(self, slots: int, each: int) -> None:
        self.slots = slots
        self._each = each
        self._rows_at = (HEADER_WORDS + 2 * (slots + 1)) * 8
        self._memory = mmap.mmap(-1, self._rows_at + slots * each * ROW_BYTES)
        self._words = memoryview(self._memory).cast("q")

    @classmethod
    def where(cls, wanted: object, slots: int, concurrency: int | None) -> "RunningSpans | None":
        """Room for one `def` handler and `concurrency` async ones (64 if that is not known); None if not wanted."""
        return cls(slots, 1 + (concurrency or 64)) if wanted else None

    # -- counters --------------------------------------------------------------------------------------------------

    def count(self, slot: int, *, exported: int = 0, dropped: int = 0) -> None:
        """Spans that have left, or were given up, by the worker in `slot`; `slots` stands for the writer."""
        at = HEADER_WORDS + 2 * slot
        self._words[at] += exported
        self._words[at + 1] += dropped

    @property
    def exported(self) -> int:
        """Spans that the receiver has taken, of all workers that ever were."""
        return sum(self._words[HEADER_WORDS : HEADER_WORDS + 2 * (self.slots + 1)][::2])

    @property
    def dropped(self) -> int:
        """Spans that were given up: the receiver was down, or had no room."""
        return sum(self._words[HEADER_WORDS : HEADER_WORDS + 2 * (self.slots + 1)][1::2])

    # -- a worker's ------------------------------------------------------------------------------------------------

    def free_rows(self, slot: int) -> list[int]:
        """The rows of a slot that nothing is in: all, but for what a predecessor has left to be written."""
        return [row for row in self._rows_of(slot) if self._words[self._state(row)] == FREE]

    def begin(self, row: int, start_ns: int, hard_ns: int, ids: tuple[int, int, int], known: bytes) -> None:
        """A span runs: `ids` of its trace, itself and its parent. `hard_ns` is monotonic, `start_ns` is not."""
        trace_id, span_id, parent_id = ids
        known = known[:MOST_KNOWN]
        at = self._rows_at + row * ROW_BYTES
        _BEGUN.pack_into(
            self._memory,
            at + _BEGUN_AT,
            start_ns,
            hard_ns,
            trace_id.to_bytes(16, "big"),
            span_id.to_bytes(8, "big"),
            parent_id.to_bytes(8, "big"),
            len(known),
        )
        self._memory[at + _KNOWN_AT : at + _KNOWN_AT + len(known)] = known
        self._words[self._state(row)] = RUNNING

    def end(self, row: int) -> None:
        """The span has ended, and its own process writes it."""
        self._words[self._state(row)] = FREE

    # -- the supervisor's ------------------------------------------------------------------------------------------

    def bury(self, slot: int, status: int, cause: str, *, now_ns: int, end_ns: int) -> None:
        """The worker in `slot` is dead. `status` was answered in its place; past its hard deadline that is a 504.

        `now_ns` is monotonic, `end_ns` counts from 1970.
        """
        text = cause.encode("utf-8", "replace")[:MOST_CAUSE]
        for row in self._rows_of(slot):
            if self._words[self._state(row)] != RUNNING:
                continue
            at = self._rows_at + row * ROW_BYTES
            hard_ns = _BEGUN.unpack_from(self._memory, at + _BEGUN_AT)[1]
            _ENDED.pack_into(self._memory, at + _ENDED_AT, end_ns, 504 if hard_ns <= now_ns else status, len(text))
            self._memory[at + _CAUSE_AT : at + _CAUSE_AT + len(text)] = text
            self._words[self._state(row)] = DEAD
            self._words[BURIED] += 1

    def tell_end(self) -> None:
        """The server ends: the writer writes what there is, and ends, too."""
        self._words[ENDING] = 1

    # -- the writer's ----------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Nothing more is buried."""
        return bool(self._words[ENDING])

    @property
    def unwritten(self) -> int:
        """Spans that were buried and that nobody has written yet."""
        return self._words[BURIED] - self._words[WRITTEN]

    def dead(self) -> Iterator[DeadSpan]:
        """What is buried and not written. Nothing in a row is trusted: user code may have written across its bounds."""
        for row in range(self.slots * self._each):
            if self._words[self._state(row)] != DEAD:
                continue
            at = self._rows_at + row * ROW_BYTES
            start_ns, _, *ids, known = _BEGUN.unpack_from(self._memory, at + _BEGUN_AT)
            end_ns, status, cause = _ENDED.unpack_from(self._memory, at + _ENDED_AT)
            trace_id, span_id, parent_id = (int.from_bytes(each, "big") for each in ids)
            yield DeadSpan(
                row,
                start_ns,
                end_ns,
                trace_id,
                span_id,
                parent_id,
                status,
                self._memory[at + _KNOWN_AT : at + _KNOWN_AT + min(known, MOST_KNOWN)],
                self._memory[at + _CAUSE_AT : at + _CAUSE_AT + min(cause, MOST_CAUSE)].decode("utf-8", "replace"),
            )

    def written(self, row: int) -> None:
        """The row may be used again."""
        self._words[self._state(row)] = FREE
        self._words[WRITTEN] += 1

    def _rows_of(self, slot: int) -> range:
        return range(slot * self._each, (slot + 1) * self._each)

    def _state(self, row: int) -> int:
        return (self._rows_at + row * ROW_BYTES) // 8
