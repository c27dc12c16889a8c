"""Schedules as the real host reads them: what it takes, what it refuses, and the next occurrences it announced."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fastworker.hostrules.schedules import Schedule, ScheduleError

NOW = datetime(2026, 11, 25, 12, 53, 56, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def moments(text: str) -> list[datetime]:
    """`11/26 09:00:00, 11/27, 2027 01/04 ...`: what is left out is as in the one before."""
    found = []
    year, day, clock = "2026", "", ""
    for part in text.split(", "):
        for word in part.split():
            if ":" in word:
                clock = word if word.count(":") == 2 else f"{word}:00"
            elif "/" in word:
                day = word
            else:
                year = word
        found.append(datetime.strptime(f"{year}/{day} {clock}", "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC))
    return found


@pytest.mark.parametrize(
    ("text", "following"),
    [
        # Steps, lists and ranges; five fields begin with the minute.
        ("*/5 * * * *", "11/25 12:55, 13:00, 13:05, 13:10, 13:15"),
        ("*/7 * * * * *", "11/25 12:54:00, 12:54:07, 12:54:14, 12:54:21, 12:54:28"),
        ("0 5/10 * * * *", "11/25 12:55, 13:05, 13:15, 13:25, 13:35"),
        ("0 10-20/3 * * * *", "11/25 13:10, 13:13, 13:16, 13:19, 14:10"),
        ("0 1,15,30-32 * * * *", "11/25 13:01, 13:15, 13:30, 13:31, 13:32"),
        # A step of 0 is 1, and one beyond the end finds the beginning only.
        ("0 */0 * * * *", "11/25 12:54, 12:55, 12:56, 12:57, 12:58"),
        ("0 */90 * * * *", "11/25 13:00, 14:00, 15:00, 16:00, 17:00"),
        # Day of month and weekday must both fit.
        ("0 30 9 * JAN MON", "2027 01/04 09:30, 01/11, 01/18, 01/25, 2028 01/03"),
        ("0 0 12 1 * MON", "2027 02/01 12:00, 03/01, 11/01, 2028 05/01, 2029 01/01"),
        ("0 0 8 1-7 * TUE", "12/01 08:00, 2027 01/05, 02/02, 03/02, 04/06"),
        # Ranges that run backwards are swapped, never wrapped.
        ("0 0 22-2 * * *", "11/25 13:00, 14:00, 15:00, 16:00, 17:00"),
        ("0 0 0 * * FRI-MON", "11/26 00:00, 11/27, 11/30, 12/01, 12/02"),
        ("0 0 0 10-5 * *", "12/05 00:00, 12/06, 12/07, 12/08, 12/09"),
        # Names in full, or any beginning of one.
        ("0 0 0 1 JANUARY *", "2027 01/01 00:00, 2028, 2029, 2030, 2031"),
        ("0 0 0 * * Monda", "11/30 00:00, 12/07, 12/14, 12/21, 12/28"),
        ("0 0 0 31 * *", "12/31 00:00, 2027 01/31, 03/31, 05/31, 07/31"),
        ("0 0 0 29 2 *", "2028 02/29 00:00, 2032, 2036, 2040, 2044"),
    ],
)
def test_the_next_five_occurrences_are_those_of_the_host(text, following):
    """B-334 to B-420."""
    assert Schedule(text).occurrences(NOW, 5) == moments(following)


@pytest.mark.parametrize(
    "text",
    [
        *("0 0 0 * * 7", "0 0 0 L * *", "0 0 0 ? * MON", "0 0 0 * * MON#2", "0 0 0 15W * *", "0 15 10 ? * 6L"),
        *("@daily", "@hourly", "abc", "0 60 * * * *", "0 0 0 32 * *", "0 0 0 * 13 *", "0 0 0 0 * *", "0 0 0 -1 * *"),
        *(
            "0 0 1 * * * *",
            "0 0 1 * * * 2027",
            "0\t0\t3\t*\t*\t*",
            "* * * *",
            "0 0/ * * * *",
            "0 , * * * *",
            "/5 * * * *",
        ),
    ],
)
def test_what_ncrontab_refuses_is_refused(text):
    """B-346 to B-409, E-storage-load-tm*: the message says what is taken instead."""
    with pytest.raises(ScheduleError, match="no schedule"):
        Schedule(text)


@pytest.mark.parametrize(
    ("text", "seconds", "words"),
    [
        ("00:05", 300, None),
        ("00:00:00.5", 0.5, None),
        ("1.00:00:00", 86400, None),
        ("24:00:00", 24 * 86400, "24 days"),
        ("30", 30 * 86400, "30 days"),
        ("00:00:00", 0, "without a pause"),
        ("-00:00:05", -5, "without a pause"),
    ],
)
def test_time_spans_run_from_now_on_and_surprises_are_told(text, seconds, words):
    """B-356 to B-363, B-407, B-408."""
    schedule = Schedule(text)
    assert schedule.next_after(NOW) == NOW + timedelta(seconds=seconds)
    assert [words in line for line in schedule.warnings] == ([] if words is None else [True])


@pytest.mark.parametrize(
    ("text", "words"),
    [("0 0 22-2 * * *", "2-22"), ("0 0 0 * * FRI-MON", "MON-FRI"), ("0 0 0 30 2 *", "never fires")],
)
def test_expressions_that_surprise_are_told(text, words):
    """Accepted by the host, and not what they look like."""
    [warning] = Schedule(text).warnings
    assert words in warning


def test_a_day_that_never_comes_has_no_occurrence():
    """30 February is accepted, and never fires; the search ends."""
    assert Schedule("0 0 0 30 2 *").next_after(NOW) is None


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("0 30 2 30-31 10 *", "2027 10/30 00:30, 10/31 00:30, 2028 10/30 01:30, 10/31 01:30, 2029 10/30 01:30"),
        ("0 30 2 27-29 3 *", "2027 03/27 01:30, 03/28 01:30, 03/29 00:30, 2028 03/27 00:30, 03/28 00:30"),
        ("0 0 2 31 10 *", "2028 10/31 01:00, 2029, 2030, 2031"),
        ("0 0 3 31 10 *", "2027 10/31 02:00, 2028, 2029, 2030, 2031"),
        ("0 */20 2 31 10 *", "2028 10/31 01:00, 01:20, 01:40, 2029 01:00, 01:20"),
        ("0 0 2,3 31 10 *", "2027 10/31 01:00, 02:00, 2028 01:00, 02:00, 2029 01:00"),
        ("0 0 */1 31 10 *", "2027 10/30 22:00, 23:00, 10/31 00:00, 01:00, 02:00"),
        ("0 0 9 * * MON-FRI", "11/26 08:00, 11/27, 11/30, 12/01, 12/02"),
    ],
)
def test_summer_time_begins_and_ends_as_at_the_host(text, following):
    """B-421 to B-430, with TZ=Europe/Berlin: a missing 02:30 comes at 03:30, a doubled hour is met once."""
    wanted = moments(following)
    found = Schedule(text).occurrences(datetime(2026, 11, 25, 13, 4, tzinfo=UTC), len(wanted), BERLIN)
    assert [moment.astimezone(UTC) for moment in found] == wanted


@pytest.mark.parametrize(("text", "frequent"), [("*/2 * * * * *", True), ("00:00:30", True), ("0 * * * * *", False)])
def test_timers_closer_than_a_minute_have_no_monitor(text, frequent):
    """B-431."""
    assert Schedule(text).is_frequent(NOW) is frequent
