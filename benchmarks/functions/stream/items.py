"""The items. Imported by the apps beside this file.

Rule: an item is made when it is asked for, and says so by the monotonic clock, which all processes of a machine share.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

PAD: Final = "x" * 100


def item(number: int) -> dict[str, Any]:
    """Some 150 bytes."""
    return {"number": number, "made_ns": time.monotonic_ns(), "pad": PAD}


def some(count: int, pause_us: int) -> Iterator[dict[str, Any]]:
    """`count` items; a pause before each but the first."""
    for number in range(count):
        if number and pause_us:
            time.sleep(pause_us / 1e6)
        yield item(number)


async def some_async(count: int, pause_us: int) -> AsyncIterator[dict[str, Any]]:
    """The same without holding up the loop."""
    for number in range(count):
        if number and pause_us:
            await asyncio.sleep(pause_us / 1e6)
        yield item(number)
