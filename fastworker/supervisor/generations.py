"""Generations of the app: which import is served, which is under way, and which can be gone back to.

Used by pool.py.
Rule: pure; knows zygotes by the number of their generation only, and orders nothing.

    load --> loading --imported--> newest --the next one imported--> fallback --all its workers replaced--> gone
                |                    |
                +-- failed: gone     +-- lost (its zygote died), or its workers cannot start: back to the fallback
"""

from dataclasses import dataclass, field

NONE = -1


@dataclass
class Generations:
    """`newest` is the one that workers are forked from, or NONE."""

    newest: int = NONE
    loading: int | None = None  # being imported
    fallback: int | None = None  # the one before, while the newest has not yet replaced it
    silent: int | None = None  # its zygote does not fork
    has_imported: bool = False  # at least once
    loading_since: float = 0.0
    _next: int = 0
    _alive: set[int] = field(default_factory=set)  # those that have imported and whose zygotes live

    def load(self, now: float) -> int:
        """The next one begins to be imported."""
        self.loading, self.loading_since = self._next, now
        self._next += 1
        return self.loading

    def imported(self, generation: int) -> None:
        """It is the newest from now on."""
        self.loading = None
        if self.newest != NONE:
            self.fallback = self.newest
        self.newest = generation
        self.has_imported = True
        self._alive.add(generation)

    def failed(self) -> None:
        """The import under way has ended without one. No other is to be had for now, so a silent one is asked again."""
        self.loading = self.silent = None

    def lost(self, generation: int) -> None:
        """Its zygote has ended."""
        self._alive.discard(generation)
        if generation == self.fallback:
            self.fallback = None
        if generation == self.newest:
            self.newest, self.fallback = NONE, None

    def fall_back(self) -> int:
        """Returns the newest, in whose place the one before is again."""
        assert self.fallback is not None
        failed, self.newest, self.fallback = self.newest, self.fallback, None
        return failed

    def unused(self, used: set[int]) -> list[int]:
        """Those that nothing is forked from any more, without workers in `used`; they are not known from now on."""
        found = sorted(self._alive - {self.newest} - used)
        self._alive.difference_update(found)
        if self.fallback not in self._alive:
            self.fallback = None
        return found
