"""An app as data scientists write it: numpy, and a table of 200 MB that every request looks into. For `memory`."""

from typing import Final

BYTES: Final = 200 * 2**20
LOOK: Final = 1000


def expected(start: int) -> bytes:
    """What the function `look` has to answer: the sum of LOOK numbers from `start`, by arithmetic alone."""
    return str(sum(range(start, start + LOOK))).encode()
