"""Back-off: pauses between starts that fail one after the other, and how many have.

Used by pool.py.
Rule: pure; counts and says when, and what follows from the count is decided in pool.py. Instants are monotonic seconds.
"""

from dataclasses import dataclass

FIRST_S = 0.1
LONGEST_S = 5.0


@dataclass
class Backoff:
    """`failed` are starts that have failed in a row.

    A worker that was killed soon after a good start says nothing about the app, but is no reason to hurry, either: it
    only makes the pauses longer.
    """

    failed: int = 0
    _short_lives: int = 0
    _failed_at: float = 0.0
    _retry_at: float = 0.0
    _unborn_since: float = 0.0  # since then every start has failed for want of a process; 0: not so

    def failure(self, now: float, *, unborn: bool = False) -> float:
        """One more start has failed; the seconds of the pause that follows, 0 after the first.

        `unborn`: no process was to be had.
        """
        self.failed += 1
        self._unborn_since = (self._unborn_since or now) if unborn else 0.0
        return self._pause(now)

    def short_life(self, now: float) -> float:
        """A worker that had started well was killed when it was young; as `failure`."""
        self._short_lives += 1
        return self._pause(now)

    def _pause(self, now: float) -> float:
        self._failed_at = now
        if self.in_a_row < 2:
            return 0.0
        pause: float = min(LONGEST_S, FIRST_S * 2 ** min(self.in_a_row - 2, 16))
        self._retry_at = now + pause
        return pause

    def forked(self) -> None:
        """A process was to be had."""
        self._unborn_since = 0.0

    def overcome(self, since: float) -> None:
        """A worker that was ready `since` is still there: what failed before that does not count any more."""
        if since > self._failed_at:
            self.failed = self._short_lives = 0

    def reset(self) -> None:
        """Other code is started from now on, or a worker has worked."""
        self.failed = self._short_lives = 0

    def forget_pause(self) -> None:
        """The next start need not wait."""
        self._retry_at = 0.0

    @property
    def in_a_row(self) -> int:
        """Starts that have failed, and short lives, since the last good start."""
        return self.failed + self._short_lives

    def may_start(self, now: float) -> bool:
        """The pause is over."""
        return now >= self._retry_at

    def unborn_for(self, now: float) -> float:
        """For so many seconds no process was to be had."""
        return now - self._unborn_since if self._unborn_since else 0.0
