"""Retry policies (protocol 5.5): what `retry` in host.json or function.json asks for.

Read by hostjson.py and functions.py; carried out by invocations.py.
Rule: pure.
"""

import json
from dataclasses import dataclass
from typing import Any

from fastworker.devhost.jsonfile import JsonFile, member, seconds


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_retries` is -1 for ever. For a fixed delay `minimum_s` and `maximum_s` are the same."""

    max_retries: int
    minimum_s: float
    maximum_s: float

    def allows(self, retries_done: int) -> bool:
        return self.max_retries == -1 or retries_done < self.max_retries

    def delay_s(self, retries_done: int) -> float:
        """Before the next try: doubled each time, from the minimum up to the maximum."""
        return min(self.minimum_s * 2.0 ** min(retries_done, 60), self.maximum_s)


def read_retry(file: JsonFile, keys: tuple[str, ...], value: Any) -> RetryPolicy | None:
    """Raises ConfigError: a missing field is a configuration error at the host, too."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise file.wrong(keys, f'"retry" is an object, not {json.dumps(value)}')
    strategy = str(member(value, "strategy") or "").lower()
    names = {"fixeddelay": ("delayInterval", "delayInterval")}
    names["exponentialbackoff"] = ("minimumInterval", "maximumInterval")
    if strategy not in names:
        raise file.wrong((*keys, "strategy"), '"strategy" is fixedDelay or exponentialBackoff')
    count = member(value, "maxRetryCount")
    if not isinstance(count, int) or isinstance(count, bool) or count < -1:
        raise file.wrong((*keys, "maxRetryCount"), '"maxRetryCount" is a whole number, or -1 for ever')
    spans = []
    for name in names[strategy]:
        span = member(value, name)
        if span is None:
            raise file.wrong(keys, f'a retry policy of strategy {member(value, "strategy")!r} needs "{name}"')
        spans.append(seconds(file, (*keys, name), span))
    return RetryPolicy(count, *spans)
