"""Latencies in nanoseconds as a row's metrics: mean, percentiles, maximum.

Used by scenarios. Rule: values are taken as they were measured, from the intended send time; nothing is corrected
afterwards.
"""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}
UNITS: Final = {"us": 1000, "ms": 1_000_000}


def metrics(values_ns: Iterable[int] | NDArray[np.int64], unit: str, prefix: str = "") -> dict[str, float]:
    """Mean, percentiles and maximum in `us` or `ms`, and the count; nothing of no values.

    A percentile that fewer requests than one in its tail would decide is left out: no p99 of 50 requests.
    """
    values = values_ns if isinstance(values_ns, np.ndarray) else np.fromiter(values_ns, dtype=np.int64)
    if not len(values):
        return {}
    times = np.sort(values) / UNITS[unit]
    found = {f"{prefix}mean_{unit}": float(times.mean())}
    for name, percent in PERCENTILES.items():
        if len(times) * (100 - percent) >= 99.999:  # at least one in the tail, but for rounding
            found[f"{prefix}{name}_{unit}"] = float(times[math.ceil(round(len(times) * percent / 100, 6)) - 1])
    return {**found, f"{prefix}max_{unit}": float(times[-1]), f"{prefix}count": float(len(values))}
