"""Time spans as .NET reads them."""

import pytest

from fastworker.hostrules.timespan import TimeSpanError, parse_time_span

DAY = 86400.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:05:00", 300),
        ("0:5:0", 300),
        ("00:05", 300),
        (" 00:05:00 ", 300),
        ("00:00:02.5", 2.5),
        ("00:00:00.0000001", 1e-7),
        ("1.00:00:01.5", DAY + 1.5),
        ("1:00:00:00", DAY),
        ("1.2:3", DAY + 7380),
        ("5", 5 * DAY),
        ("24:00:00", 24 * DAY),
        ("30:10:00", 30 * DAY + 10 * 3600),
        ("-00:00:05", -5),
        ("00:00:00", 0),
    ],
)
def test_a_time_span_is_read_as_dotnet_reads_it(text, seconds):
    """E-timeout-*, B-356 to B-363: a number alone is days, and what cannot be hours is days."""
    assert parse_time_span(text) == seconds


@pytest.mark.parametrize(
    "text", ["five", "", "1.", "00:60:00", "24:30:00", "24:00", "00:00:60", "1:2:3:4:5", "%T%", "1e3"]
)
def test_anything_else_is_refused(text):
    """E-timeout-word, -d-only, -min60, E-pct-timeout."""
    with pytest.raises(TimeSpanError, match="no time span"):
        parse_time_span(text)
