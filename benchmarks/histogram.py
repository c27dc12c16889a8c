"""Latencies as an HdrHistogram: nanoseconds in, percentiles out.

Used by scenarios for a row's metrics, and by report/ for its curves. Rule: values are recorded as they were measured,
from the intended send time; nothing is corrected afterwards.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

HIGHEST_NS: Final = 3600 * 10**9
DIGITS: Final = 3
PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}
UNITS: Final = {"us": 1000, "ms": 1_000_000}

# A histogram of three digits keeps 2048 steps per power of two; values are brought to these steps in one go, for the
# library records one at a time.
STEP_BITS: Final = 11


class Histogram:
    """Latencies in nanoseconds."""

    def __init__(self, values_ns: Iterable[int] | NDArray[np.int64] = ()) -> None:
        self._hdr: Any = HdrHistogram(1, HIGHEST_NS, DIGITS)
        self._sum = 0
        self.record(values_ns)

    def record(self, values_ns: Iterable[int] | NDArray[np.int64]) -> None:
        """Adds values; those below 1 ns count as 1 ns."""
        given = values_ns if isinstance(values_ns, np.ndarray) else np.fromiter(values_ns, dtype=np.int64)
        if not len(given):
            return
        values = np.clip(given.astype(np.int64), 1, HIGHEST_NS)
        self._sum += int(values.sum())
        shift = np.maximum(np.floor(np.log2(values)).astype(np.int64) + 1 - STEP_BITS, 0)
        steps, counts = np.unique(values >> shift << shift, return_counts=True)
        for value, count in zip(steps.tolist(), counts.tolist(), strict=True):
            self._hdr.record_value(value, count)

    @property
    def count(self) -> int:
        return int(self._hdr.get_total_count())

    def percentile(self, percent: float) -> int:
        """In nanoseconds; 0 of an empty histogram."""
        return int(self._hdr.get_value_at_percentile(percent)) if self.count else 0

    def encoded(self) -> str:
        """hdrhistogram's own compressed form, base64."""
        return cast(bytes, self._hdr.encode()).decode()

    def metrics(self, unit: str, prefix: str = "") -> dict[str, float]:
        """Mean, percentiles and maximum in `us` or `ms`, and the count; none of an empty histogram.

        A percentile that fewer requests than one in its tail would decide is left out: no p99 of 50 requests.
        """
        if not self.count:
            return {}
        factor = UNITS[unit]
        found = {f"{prefix}mean_{unit}": self._sum / self.count / factor}
        for name, percent in PERCENTILES.items():
            if self.count * (100 - percent) >= 99.999:  # at least one in the tail, but for rounding
                found[f"{prefix}{name}_{unit}"] = self.percentile(percent) / factor
        return {**found, f"{prefix}max_{unit}": self._hdr.get_max_value() / factor, f"{prefix}count": float(self.count)}


def decoded(text: str) -> Any:
    """The library's histogram of a row."""
    return HdrHistogram.decode(text)
