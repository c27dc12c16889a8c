"""Counters: what each worker has counted of its invocations, in one anonymous shared mapping that outlives it.

Written by a worker's two threads through their seats (board.py); read by the supervisor, which takes over what a dead
worker has counted (supervisor/totals.py).
Rule: one region per thread, so that each word has one writer. A region belongs to the supervisor once its worker is
dead. Words only grow until then, and a reader may see an old value but never half of a new one.

    region: one per (slot, thread)       a function: FUNCTION_WORDS
    +--------------------------------+   +----------------------------------------------------------------+
    | 0          stays 0             |   | block OK       run time of invocations that were ok, unwaited  |
    | USED       1: worth reading    |   | block + BLOCK  the same, of those that had waited in the queue |
    | BUSY_NS    of the loop         |   | OTHERWISE      a block: run time of all that ended otherwise   |
    | BUSY_SINCE of the loop; 0: not |   | CPU            a block: processor time, if it is measured      |
    |- functions --------------------|   | WAITS          by bit_length of the milliseconds waited; a sum |
    | none, first, second, ...       |   | UNWAITED       ends otherwise, of those that had not waited    |
    +--------------------------------+   | OUTCOMES       ends by outcome, but for OK                     |
                                         +----------------------------------------------------------------+

    a block: one word per power of two of nanoseconds, by bit_length; the last word is the sum.

Blocks are split by "waited" so that one store is enough for the usual end of an invocation: it counts an outcome, a run
time, and a wait of 0 ms. Which word that is (the *tally*) stands in the connection's row before the answer goes out,
and the word's next value before that is stored. So whatever a worker dies in the middle of, the supervisor can finish,
and nothing is counted twice.
"""

import mmap
from typing import NamedTuple

from fastworker.outcomes import CLIENT_GONE, NONE, OK, REJECTED

# Functions with counters of their own; all further ones share the last.
MOST_FUNCTIONS = 254
HEADER_WORDS = 8
USED, BUSY_NS, BUSY_SINCE = 1, 2, 3

# 2**51 ns are 26 days: no run takes longer.
BUCKETS = 52
SUM = 52
BLOCK = 53
OTHERWISE = 2 * BLOCK
CPU = 3 * BLOCK
WAITS = 4 * BLOCK
# The kernel's count of milliseconds has 32 bits.
WAIT_BUCKETS = 33
WAIT_SUM = WAITS + WAIT_BUCKETS
UNWAITED = WAIT_SUM + 1
OUTCOMES = UNWAITED + 1
FUNCTION_WORDS = 256
assert OUTCOMES + NONE <= FUNCTION_WORDS

# The counters for requests that name no function.
NO_FUNCTION = HEADER_WORDS
REGION_WORDS = HEADER_WORDS + (MOST_FUNCTIONS + 1) * FUNCTION_WORDS
_EMPTY = memoryview(bytes(REGION_WORDS * 8)).cast("q")


def base_of(index: int) -> int:
    """Where the counters of a function begin; `index` is its place among the sorted names of its app."""
    return HEADER_WORDS + (1 + min(index, MOST_FUNCTIONS - 1)) * FUNCTION_WORDS


def base_under(word: int) -> int:
    """Where the counters begin in which `word` is."""
    return word - (word - HEADER_WORDS) % FUNCTION_WORDS


def is_ok(word: int) -> bool:
    """Whether it counts ends that are OK."""
    return (word - HEADER_WORDS) % FUNCTION_WORDS < OTHERWISE


class Tally(NamedTuple):
    """What a word counts: ends of a function with one outcome. `row` 0 is "no function", 1 the first."""

    row: int
    offset: int
    outcome: int


def tally_of(word: int) -> Tally | None:
    """The meaning of a word that counts ends; None for any other, which user code must have put there."""
    row, offset = divmod(word - HEADER_WORDS, FUNCTION_WORDS)
    if 0 <= row <= MOST_FUNCTIONS:
        if offset < OTHERWISE and offset % BLOCK < BUCKETS:
            return Tally(row, offset, OK)
        if OUTCOMES < offset < OUTCOMES + NONE:
            return Tally(row, offset, offset - OUTCOMES)
    return None


class Counters:
    """Shared by every process forked after it was made. Threads: 0 is a worker's main thread, 1 its loop's."""

    def __init__(self, slots: int) -> None:
        self._words = memoryview(mmap.mmap(-1, slots * 2 * REGION_WORDS * 8)).cast("q")

    def region(self, slot: int, thread: int) -> memoryview:
        """The words of one thread."""
        start = (slot * 2 + thread) * REGION_WORDS
        return self._words[start : start + REGION_WORDS]

    def used(self, slot: int) -> list[memoryview]:
        """The regions of a slot in which something has been counted: reading any other would give it memory."""
        regions = (self.region(slot, thread) for thread in range(2))
        return [words for words in regions if words[USED]]

    def busy_ns(self, slot: int, rows: int, now_ns: int) -> int:
        """How long the main thread has run handlers, and the loop has had at least one to run."""
        main, loop = self.region(slot, 0), self.region(slot, 1)
        ran_ns = 0
        if main[USED]:
            end = HEADER_WORDS + rows * FUNCTION_WORDS
            for block in (0, BLOCK, OTHERWISE):
                ran_ns += sum(main[HEADER_WORDS + block + SUM : end : FUNCTION_WORDS])
        since_ns = loop[BUSY_SINCE]
        return ran_ns + loop[BUSY_NS] + (max(0, now_ns - since_ns) if since_ns else 0)

    def finish(self, slot: int, word: int, target: int) -> None:
        """Stores what a dead worker may have died before storing: |target|, by its loop if that is negative."""
        words = self.region(slot, 1 if target < 0 else 0)
        words[word] = max(words[word], abs(target))

    def clear(self, slot: int, rows: int) -> None:
        """Empties a dead worker's regions."""
        end = HEADER_WORDS + rows * FUNCTION_WORDS
        for words in self.used(slot):
            words[:end] = _EMPTY[:end]


class Counting:
    """One thread's region, as the worker writes it. `counters` is always where its function's begin.

    On the hot path: plain stores.
    """

    __slots__ = ("words",)

    def __init__(self, words: memoryview) -> None:
        self.words = words

    def wait(self, counters: int, milliseconds: int) -> None:
        """So long a request lay in its socket; not called for 0, see UNWAITED and the blocks."""
        self.words[counters + WAITS + milliseconds.bit_length()] += 1
        self.words[counters + WAIT_SUM] += milliseconds

    def tally(self, counters: int, took_ns: int) -> int:
        """The tally of an end that is OK, after `took_ns`; if it has waited, `counters` are + BLOCK."""
        self.words[counters + SUM] += took_ns
        return counters + took_ns.bit_length()

    def otherwise(self, counters: int, outcome: int, took_ns: int) -> int:
        """The same for any other end. Of what was rejected there is no run time."""
        words, base = self.words, base_under(counters)
        if outcome != REJECTED:
            words[base + OTHERWISE + took_ns.bit_length()] += 1
            words[base + OTHERWISE + SUM] += took_ns
        if counters == base:
            words[base + UNWAITED] += 1
        return base + OUTCOMES + outcome

    def gone(self, tally: int) -> int:
        """The client of an answer that was OK does not read it: the tally of that."""
        words, base = self.words, base_under(tally)
        block, bucket = divmod(tally - base, BLOCK)
        words[base + OTHERWISE + bucket] += 1  # the time itself is in a sum already
        if not block:
            words[base + UNWAITED] += 1
        return base + OUTCOMES + CLIENT_GONE

    def cpu(self, counters: int, took_ns: int) -> None:
        """So much processor time a `def` handler has used."""
        self.words[counters + CPU + took_ns.bit_length()] += 1
        self.words[counters + CPU + SUM] += took_ns

    def busy(self, is_busy: bool, now_ns: int) -> None:
        """The first async invocation has begun on the loop, or the last has ended."""
        words = self.words
        since_ns, words[BUSY_SINCE] = words[BUSY_SINCE], 0
        if since_ns:
            words[BUSY_NS] += now_ns - since_ns
        if is_busy:
            words[BUSY_SINCE] = now_ns

    def leave(self) -> None:
        """In a copy of the worker that user code forked: nothing that this process counts is seen any more."""
        self.words = memoryview(bytearray(self.words.nbytes)).cast("q")


def row_of(region: memoryview, row: int) -> memoryview:
    """The counters of one function in a region."""
    start = HEADER_WORDS + row * FUNCTION_WORDS
    return region[start : start + FUNCTION_WORDS]
