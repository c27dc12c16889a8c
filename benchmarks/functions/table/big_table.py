"""The table. Imported by the apps beside this file, and so before the fork where the server preloads."""

import base64

import numpy as np

from benchmarks.functions.table import BYTES, LOOK

table = np.arange(BYTES // 8, dtype=np.float64)


def look(start: int) -> bytes:
    """The sum of some rows, as text: reads the table and changes nothing."""
    return str(int(table[start : start + LOOK].sum())).encode()


def looked(start: int) -> str:
    """The same in base64, as a ReturnValue holds bytes."""
    return base64.b64encode(look(start)).decode()
