"""What this server has counted since it began: by function, whatever has become of the workers that counted it.

Used by supervisor/run.py and crash_recovery.py; the words that living workers count are in ipc/counters.py.
Rule: a worker's end moves its counts here, once, between two looks of anybody: a total never falls, and nothing is
counted twice. Names come from the app alone, so their number is bounded.
"""

import time
from operator import add

from fastworker.ipc.board import Board, ConnectionRow, Phase
from fastworker.ipc.counters import (
    FUNCTION_WORDS,
    MOST_FUNCTIONS,
    OTHERWISE,
    OUTCOMES,
    SUM,
    row_of,
    tally_of,
)

# Stands for all functions that have no counters of their own.
OTHERS = "(others)"
NO_FUNCTION = ""


class Totals:
    """Counters by function name; `""` counts requests that name no function."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._counters = board.counters
        self._apps: dict[int, list[str]] = {}  # by generation
        self._names: dict[int, list[str]] = {}  # by slot, those whose worker may have counted something
        self._ended: dict[str, list[int]] = {NO_FUNCTION: [0] * FUNCTION_WORDS}  # of workers that have ended
        self._busy_ns: dict[int, int] = {}  # the same, by slot
        self._read: dict[str, tuple[list[bytes], list[int]]] = {}

    # -- who counts what -----------------------------------------------------------------------------------------

    def app_ready(self, generation: int, functions: list[str]) -> None:
        """An app is imported; its functions are counted in this order."""
        self._apps[generation] = functions

    def app_gone(self, generation: int) -> None:
        """Nothing is forked from it any more."""
        self._apps.pop(generation, None)

    def worker_ready(self, slot: int, generation: int, functions: list[str]) -> None:
        """A worker begins to count; `functions` are its own if it has imported the app by itself."""
        names = functions or self._apps.get(generation, [])
        if len(names) > MOST_FUNCTIONS:
            names = [*names[: MOST_FUNCTIONS - 1], OTHERS]
        self._names[slot] = [NO_FUNCTION, *names]
        for name in names:
            self._ended.setdefault(name, [0] * FUNCTION_WORDS)

    # -- the dead ------------------------------------------------------------------------------------------------

    def settle(self, slot: int, row: ConnectionRow, outcome: int | None) -> None:
        """Counts what a dead worker had in hand: by its own word, if the answer is out, or else as `outcome`."""
        names = self._names.get(slot, [NO_FUNCTION])
        tally = tally_of(row.tally) if row.phase is Phase.ANSWERING else None
        known = tally is not None and tally.row < len(names)
        if known and row.target:  # it died while it counted
            self._counters.finish(slot, row.tally, row.target)
        elif outcome is not None and not (row.phase is Phase.ANSWERING and row.target):
            name = row.function if row.phase in (Phase.RUNNING, Phase.ANSWERING) else NO_FUNCTION
            if name not in names:
                name = names[-1] if names[-1] == OTHERS else NO_FUNCTION
            counts = self._changed(name)
            counts[OUTCOMES + outcome] += 1
            if name != NO_FUNCTION:
                took_ns = max(0, time.monotonic_ns() - row.sent_ns)
                counts[OTHERWISE + took_ns.bit_length()] += 1
                counts[OTHERWISE + SUM] += took_ns
        elif known and tally is not None and outcome is None:
            self._changed(names[tally.row])[tally.offset] += 1

    def worker_gone(self, slot: int) -> None:
        """All that it had in hand is settled: what it has counted is counted here from now on."""
        names = self._names.pop(slot, [])
        self._busy_ns[slot] = self._busy_ns.get(slot, 0) + self._counters.busy_ns(slot, len(names), time.monotonic_ns())
        for region in self._counters.used(slot):
            for row, name in enumerate(names):
                words = row_of(region, row)
                if any(words):
                    self._ended[name] = list(map(add, self._ended[name], words))
                    self._read.pop(name, None)
        self._counters.clear(slot, len(names))

    def _changed(self, name: str) -> list[int]:
        self._read.pop(name, None)
        return self._ended[name]

    # -- the sums ------------------------------------------------------------------------------------------------

    def functions(self) -> dict[str, list[int]]:
        """All words of all functions. A list is the same object as before if nothing of it has changed."""
        found: dict[str, list[memoryview]] = {name: [] for name in self._ended}
        for slot, names in self._names.items():
            for region in self._counters.used(slot):
                for row, name in enumerate(names):
                    found[name].append(row_of(region, row))
        return {name: self._sum(name, rows) for name, rows in found.items()}

    def busy_s(self, slot: int, now_ns: int) -> float:
        """How long the workers in this slot have been busy, all taken together."""
        names = self._names.get(slot, [])
        return (self._busy_ns.get(slot, 0) + self._counters.busy_ns(slot, len(names), now_ns)) / 1e9

    def _sum(self, name: str, rows: list[memoryview]) -> list[int]:
        seen = [row.tobytes() for row in rows]
        before = self._read.get(name)
        if before is not None and before[0] == seen:
            return before[1]
        total = self._ended[name].copy()
        for data in seen:
            total = list(map(add, total, memoryview(data).cast("q")))
        self._read[name] = seen, total
        return total
