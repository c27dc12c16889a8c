"""Time spans as .NET's TimeSpan.Parse reads them: in host.json, in retry policies, as timers' schedules (protocol 7).

Rule: pure, and to the letter, surprises included: `24:00:00` is 24 days, for 24 is no hour; `5` is five days.
"""

import re
from typing import Final

TICKS: Final = 10_000_000
LONGEST_DAYS: Final = 10_675_199
DAY_S: Final = 86_400

NUMBER: Final = r"(\d{1,8})"
DAYS: Final = re.compile(NUMBER)
MINUTES: Final = re.compile(f"{NUMBER}:{NUMBER}")
DOTTED_DAY: Final = re.compile(rf"{NUMBER}\.{NUMBER}:{NUMBER}")
SECONDS: Final = re.compile(rf"{NUMBER}:{NUMBER}:{NUMBER}(?:\.(\d{{1,7}}))?")
WHOLE: Final = re.compile(rf"{NUMBER}[.:]{NUMBER}:{NUMBER}:{NUMBER}(?:\.(\d{{1,7}}))?")


class TimeSpanError(ValueError):
    """The text is no time span; the message says what one looks like."""


def parse_time_span(text: str) -> float:
    """Seconds of a time span, negative for a negative one. Raises TimeSpanError.

    >>> [parse_time_span(text) for text in ("00:05:00", "1.00:00:00", "5", "24:00:00")]
    [300.0, 86400.0, 432000.0, 2073600.0]
    """
    body = text.strip()
    sign = -1 if body.startswith("-") else 1
    seconds = _seconds(body.removeprefix("-"))
    if seconds is None or seconds > LONGEST_DAYS * DAY_S:
        raise TimeSpanError(f'{text!r} is no time span: "hh:mm:ss" or "d.hh:mm:ss", with hours to 23 and minutes to 59')
    return sign * seconds


def _seconds(text: str) -> float | None:
    if match := DAYS.fullmatch(text):
        return float(int(match[1]) * DAY_S)
    if match := MINUTES.fullmatch(text):
        return _total(0, int(match[1]), int(match[2]), 0, None)
    if match := DOTTED_DAY.fullmatch(text):
        return _total(int(match[1]), int(match[2]), int(match[3]), 0, None)
    if match := SECONDS.fullmatch(text):
        first, second, third = (int(match[i]) for i in (1, 2, 3))
        found = _total(0, first, second, third, match[4])
        if found is None and match[4] is None:
            return _total(first, second, third, 0, None)  # what cannot be hours is days
        return found
    if match := WHOLE.fullmatch(text):
        days, hours, minutes, seconds = (int(match[i]) for i in (1, 2, 3, 4))
        return _total(days, hours, minutes, seconds, match[5])
    return None


def _total(days: int, hours: int, minutes: int, seconds: int, fraction: str | None) -> float | None:
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    ticks = int((fraction or "0").ljust(7, "0"))
    return float(days * DAY_S + hours * 3600 + minutes * 60 + seconds) + ticks / TICKS
