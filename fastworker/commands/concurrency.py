"""How many invocations an app can run at once, and what host.json's concurrency keys should say for that.

Used by `sync --tune` and `doctor`. docs/tuning.md is the user's view of it.
Rule: pure. What the host hands over beyond that waits in sockets, where its deadline runs and no other instance can
have it; what stays in the queue waits there for whoever is free.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

# One more for each that runs, so that no worker idles while the host sends the next request.
HTTP_SLACK: Final = 2
LARGEST_BATCH: Final = 32

Keys = tuple[str, ...]
BATCH_SIZE: Final[Keys] = ("extensions", "queues", "batchSize")
NEW_BATCH: Final[Keys] = ("extensions", "queues", "newBatchThreshold")
BUS_CALLS: Final[Keys] = ("extensions", "serviceBus", "maxConcurrentCalls")
HTTP_REQUESTS: Final[Keys] = ("extensions", "http", "maxConcurrentRequests")


class Handler(NamedTuple):
    """A function, by its trigger's key and by how it runs."""

    name: str
    key: str
    is_async: bool


def at_once(handlers: Iterable[Handler], workers: int, concurrency: int) -> int:
    """How many invocations of these functions can run: one for each worker where any is a `def`."""
    return workers if any(not handler.is_async for handler in handlers) else workers * concurrency


def share(handlers: list[Handler], workers: int, concurrency: int) -> int:
    """Of each of these functions, if all of them are busy: the host has a listener for each."""
    return max(1, at_once(handlers, workers, concurrency) // max(1, len(handlers)))


def tuned(handlers: Iterable[Handler], workers: int, concurrency: int) -> dict[Keys, int]:
    """The keys for an app with these functions; none for triggers that it has not."""
    found: dict[Keys, int] = {}
    by_key: dict[str, list[Handler]] = {}
    for handler in handlers:
        by_key.setdefault(handler.key, []).append(handler)
    if queues := by_key.get("queuetrigger"):
        each = share(queues, workers, concurrency)
        found[BATCH_SIZE] = min(LARGEST_BATCH, (each + 1) // 2)
        found[NEW_BATCH] = each - found[BATCH_SIZE]
    if topics := by_key.get("servicebustrigger"):
        found[BUS_CALLS] = share(topics, workers, concurrency)
    if http := by_key.get("httptrigger"):
        found[HTTP_REQUESTS] = HTTP_SLACK * at_once(http, workers, concurrency)
    return found
