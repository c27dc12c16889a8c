"""Which texts the host takes for dates and writes anew (trap 26), exactly: those are refused or wrapped, no others.

Used by outputs.py. Rule: pure, and takes the same time whatever the text is.
"""

import re
from datetime import datetime
from typing import Final

# From the seconds on: a fraction of one to seven digits, and Z or an offset.
ISO: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,7}))?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
OLD: Final = re.compile(r"/Date\((-?[0-9]{1,19})(?:[+-][0-9]{2}(?:[0-9]{2})?)?\)/")
# Milliseconds from 1970 to the beginning of the year 1, and to the end of the year 9999.
OLD_RANGE: Final = range(-62_135_596_800_000, 253_402_300_800_000)
SHORTEST, LONGEST = 19, 40


def looks_like_date(text: str) -> bool:
    """Whether the host's JSON reader takes a string for a date: ISO 8601, or the old `/Date(...)/`.

    >>> looks_like_date("2020-01-02T03:04:05.5Z"), looks_like_date("2020-01-02T03:04:05 is the day")
    (True, False)
    """
    if SHORTEST <= len(text) <= LONGEST and text[10] == "T":
        found = ISO.fullmatch(text)
        return found is not None and _is_moment(found)
    if text[:6] != "/Date(" or len(text) > LONGEST:
        return False
    old = OLD.fullmatch(text)
    return old is not None and int(old[1]) in OLD_RANGE


def _is_moment(found: re.Match[str]) -> bool:
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if hour == 24:  # the end of a day
        if minute or second or (found[7] or "").strip("0") or (year, month, day) == (9999, 12, 31):
            return False
        hour = 0
    try:
        datetime(year, month, day, hour, minute, second)
    except ValueError:
        return False
    return True
