"""benchmarks/latencies.py: percentiles of what was measured, and none that nobody measured."""

import pytest

np = pytest.importorskip("numpy", reason="comes with the extra `bench`")

from benchmarks.latencies import metrics


def test_percentiles_are_the_values_that_so_many_requests_do_not_exceed():
    """1 to 1000 us: the p-th percentile is ten times p."""
    found = metrics(np.arange(1, 1001) * 1000, "us")
    assert [found[name] for name in ("p50_us", "p90_us", "p99_us", "p99_9_us")] == [500, 900, 990, 999]
    assert (found["mean_us"], found["max_us"], found["count"]) == (500.5, 1000, 1000)


def test_metrics_have_their_unit_and_no_percentile_without_a_tail():
    """Of 500 requests, half a one lies beyond the 99.9th percentile."""
    found = metrics([2_000_000] * 500, "ms", "short_")
    assert found["short_p99_ms"] == found["short_mean_ms"] == 2
    assert found["short_count"] == 500
    assert "short_p99_9_ms" not in found
    assert "p99_9_us" in metrics([1000] * 1000, "us")
    assert "p99_us" not in metrics([1000] * 99, "us")


def test_no_requests_are_not_requests_that_took_no_time():
    assert metrics([], "us") == {}
