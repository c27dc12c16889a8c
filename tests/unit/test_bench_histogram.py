"""benchmarks/histogram.py: what goes in comes out, as precisely as it says."""

import pytest

pytest.importorskip("hdrh", reason="comes with the extra `bench`")
pytest.importorskip("numpy")

from benchmarks.histogram import Histogram, decoded  # after the skips


def test_percentiles_are_right_to_three_digits():
    """1 us to 10 s, evenly: the p-th percentile is p hundredths of the range."""
    values = range(100_000, 10_000_000_000, 1_000_000)
    histogram = Histogram(values)
    for percent in (50.0, 90.0, 99.0, 99.9):
        assert histogram.percentile(percent) == pytest.approx(percent / 100 * 1e10, rel=0.002)


def test_values_recorded_in_bulk_are_those_recorded_one_by_one():
    """The steps that values are brought to are the library's own."""
    values = [1, 2, 1023, 2047, 2048, 2049, 4095, 4097, 123_456, 123_457, 10**9 + 1, 2**40 + 12345]
    bulk, single = Histogram(values), Histogram()
    for value in values:
        single._hdr.record_value(value)
    assert bulk.encoded() == single.encoded()


def test_metrics_have_their_unit_and_no_percentile_without_a_tail():
    """Of 500 requests, half a one lies beyond the 99.9th percentile."""
    metrics = Histogram([2_000_000] * 500).metrics("ms", "short_")
    assert metrics["short_p99_ms"] == pytest.approx(2, rel=0.001)
    assert metrics["short_mean_ms"] == pytest.approx(2)
    assert metrics["short_count"] == 500
    assert "short_p99_9_ms" not in metrics
    assert "p99_9_us" in Histogram([1000] * 1000).metrics("us")
    assert "p99_us" not in Histogram([1000] * 99).metrics("us")


def test_an_empty_histogram_has_no_metrics():
    """No requests are not requests that took no time."""
    assert Histogram().metrics("us") == {}


def test_an_encoded_histogram_is_read_back():
    histogram = Histogram([1000, 2000, 3_000_000])
    again = decoded(histogram.encoded())
    assert again.get_total_count() == 3
    assert again.get_value_at_percentile(100) == histogram.percentile(100)
