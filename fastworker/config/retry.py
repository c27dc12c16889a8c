"""Retry policies (protocol 5.5): what `retry` in host.json or function.json asks for.

Read by host_json.py and function_json.py; carried out by the local host. Rule: pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastworker.hostrules.timespan import TimeSpanError, parse_time_span

INTERVALS: Final = {
    "fixeddelay": ("delayInterval", "delayInterval"),
    "exponentialbackoff": ("minimumInterval", "maximumInterval"),
}
# The bounds of the random factor, for which see B-465: pauses of 1.0, 2.2 and 3.4 s.
JITTER: Final = (0.8, 1.2)


class RetryError(ValueError):
    """The policy is wrong: `key` is the member that is, or that is missing."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_retries` is -1 for ever. For a fixed delay `minimum_s` and `maximum_s` are the same."""

    max_retries: int
    minimum_s: float
    maximum_s: float

    def allows(self, retries_done: int) -> bool:
        return self.max_retries == -1 or retries_done < self.max_retries

    def delay_s(self, retries_done: int, jitter: float) -> float:
        """Before the next try: the minimum first, then the minimum and a part that doubles, up to the maximum (B-465).

        `jitter` is what the growing part is multiplied by, a random number from `JITTER`.
        """
        growth = 0.0 if retries_done == 0 else self.minimum_s * 2.0 ** min(retries_done - 1, 60) * jitter
        return min(self.minimum_s + growth, self.maximum_s)


def read_retry(members: Mapping[str, str]) -> RetryPolicy:
    """A policy from its members, each as text. Raises RetryError: the host refuses it as well (B-471 to B-476)."""
    given = {name.lower(): text for name, text in members.items()}
    strategy = given.get("strategy", "exponentialBackoff").strip().lower()  # the first of the host's enum
    if strategy not in INTERVALS:
        raise RetryError(
            "strategy", f'"strategy" is fixedDelay or exponentialBackoff, not "{given.get("strategy", "")}"'
        )
    count = given.get("maxretrycount", "").strip()
    if not count.removeprefix("-").isdigit() or int(count) < -1:
        raise RetryError("maxRetryCount", f'"maxRetryCount" is a whole number, or -1 for ever, not "{count}"')
    minimum_s, maximum_s = (_interval(given, name, strategy) for name in INTERVALS[strategy])
    if minimum_s > maximum_s:
        raise RetryError("minimumInterval", '"minimumInterval" must not be greater than "maximumInterval"')
    return RetryPolicy(int(count), minimum_s, maximum_s)


def _interval(given: Mapping[str, str], name: str, strategy: str) -> float:
    text = given.get(name.lower(), "")
    if not text:
        raise RetryError(name, f'a retry policy of strategy {strategy} needs "{name}"')
    try:
        span = parse_time_span(text)
    except TimeSpanError as error:
        raise RetryError(name, f'"{name}": {error}') from None
    if span < 0:
        raise RetryError(name, f'"{name}" must not be negative: "{text}"')
    return span
