"""When a timer fires: NCrontab's expressions and .NET's time spans, as the timer trigger reads them (protocol 7).

Rule: pure, the moment and the zone are passed in. Not Debian's cron: day of month AND weekday must both fit, a range
that runs backwards is swapped (`FRI-MON` is MON-FRI), and `24:00:00` is 24 days.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from fastworker.hostrules.timespan import TimeSpanError, parse_time_span

MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
# NCrontab looks no further; a schedule such as 30 February never fires.
LAST_YEAR: Final = 9999
HORIZON_YEARS: Final = 41  # the longest gap of a schedule that fires at all: 29 February on one weekday, over a century
ONE_HOUR: Final = timedelta(hours=1)
MICROSECOND: Final = timedelta(microseconds=1)


class ScheduleError(ValueError):
    """The host refuses the text; the function is in error."""


class _Field(NamedTuple):
    """One field of an expression: its word in messages, its limits, and names for its values."""

    word: str
    least: int
    most: int
    names: tuple[str, ...] = ()


FIELDS: Final = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("weekday", 0, 6, WEEKDAYS),
)


class Schedule:
    """A timer's schedule: an expression of five or six fields, or a time span.

    `interval` is set for a time span, else None. `warnings` tell what is accepted and surprises.
    """

    def __init__(self, text: str) -> None:
        """Raises ScheduleError, with what the host takes instead."""
        self.text = text
        self.interval: timedelta | None = None
        self.warnings: list[str] = []
        fields = [field for field in text.split(" ") if field]
        if len(fields) in (5, 6):
            self._read_fields(fields if len(fields) == 6 else ["0", *fields])
            return
        try:
            self.interval = timedelta(seconds=parse_time_span(text))
        except TimeSpanError:
            raise ScheduleError(
                f"{text!r} is no schedule: it has {len(fields)} fields; write six (second minute hour day month "
                f"weekday, the first may be left out), or a time span like 00:05:00"
            ) from None
        self._warn_of_span(self.interval)

    def _read_fields(self, fields: list[str]) -> None:
        read = [self._field(kind, text) for kind, text in zip(FIELDS, fields, strict=True)]
        self._seconds, self._minutes, self._hours, self._days, self._months, self._weekdays = read
        if not self._has_a_day():
            self.warnings.append(f"{self.text!r} never fires: there is no such day")

    def _has_a_day(self) -> bool:
        longest = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
        return any(min(self._days) <= longest.get(month, 31) for month in self._months)

    def _warn_of_span(self, span: timedelta) -> None:
        if span <= timedelta():
            self.warnings.append(f"{self.text!r} runs the function without a pause, again and again")
        elif span.days and self.text.strip().count(":") >= 2 and "." not in self.text.partition(":")[0]:
            self.warnings.append(f"{self.text!r} is {span.days} days, for hours go to 23")
        elif span.days and ":" not in self.text:
            self.warnings.append(f"{self.text!r} is {span.days} days: a number alone counts days")

    # ---- the text ----------------------------------------------------------------------------------------------------

    def _field(self, kind: _Field, text: str) -> frozenset[int]:
        found: set[int] = set()
        for part in text.split(","):
            found |= self._part(kind, part)
        return frozenset(found)

    def _part(self, kind: _Field, part: str) -> set[int]:
        body, slash, step_text = part.partition("/")
        step = 1
        if slash and body:
            if not step_text.strip().lstrip("+-").isdecimal():
                raise self._wrong(kind, part)
            step = max(int(step_text), 1)
        elif slash:
            raise self._wrong(kind, part)
        if body == "*":
            return set(range(kind.least, kind.most + 1, step))
        first_text, dash, last_text = body.partition("-")
        if dash and first_text:
            first, last = self._value(kind, first_text, part), self._value(kind, last_text, part)
            if first > last:
                self.warnings.append(
                    f"{self.text!r}: {kind.word} {body!r} is read as {last_text}-{first_text}: the host swaps the ends"
                )
                first, last = last, first
        else:
            first = self._value(kind, body, part)
            last = kind.most if slash else first
        return set(range(first, last + 1, step))

    def _value(self, kind: _Field, text: str, part: str) -> int:
        if text[:1].isdecimal() and text.strip().isdecimal() and text.isascii():
            value = int(text)
        else:
            # The beginning of a name is enough, as in NCrontab: J is January.
            places = [i for i, name in enumerate(kind.names) if text and name.startswith(text.lower())]
            if not places:
                raise self._wrong(kind, part)
            value = places[0] + kind.least
        if not kind.least <= value <= kind.most:
            raise self._wrong(kind, part)
        return value

    def _wrong(self, kind: _Field, part: str) -> ScheduleError:
        names = f", or names such as {kind.names[0][:3].upper()}" if kind.names else ""
        return ScheduleError(
            f"{self.text!r} is no schedule: {kind.word} {part!r}: numbers from {kind.least} to {kind.most}{names}, "
            f"with * , - and / (no L, W, # or ?)"
        )

    # ---- occurrences -------------------------------------------------------------------------------------------------

    def next_after(self, moment: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first time after `moment`, which is aware of its zone, in `zone`; None if there is none at all."""
        if self.interval is not None:
            return moment.astimezone(zone) + self.interval
        now = moment.astimezone(zone)
        wall = self._next_wall(now.replace(tzinfo=None))
        return None if wall is None else self._in_zone(now, wall, zone)

    def occurrences(self, moment: datetime, count: int, zone: tzinfo = UTC) -> list[datetime]:
        """The next `count` times, or as many as there are."""
        found: list[datetime] = []
        while len(found) < count:
            following = self.next_after(found[-1] if found else moment, zone)
            if following is None:
                break
            found.append(following)
        return found

    def is_frequent(self, moment: datetime) -> bool:
        """Whether it fires more often than once a minute: the host keeps no monitor for it (B-431)."""
        found = self.occurrences(moment, 2)
        return len(found) == 2 and found[1] - found[0] < timedelta(minutes=1)

    def _in_zone(self, now: datetime, wall: datetime, zone: tzinfo) -> datetime | None:
        """A wall clock's time as a moment; at the ends of summer time as the recordings have it (B-421 to B-428)."""
        summer, winter = wall.replace(tzinfo=zone), wall.replace(tzinfo=zone, fold=1)
        if summer.utcoffset() == winter.utcoffset():
            if _is_doubled(now, zone) and not now.fold:
                # Now is in the first of two hours of that name: the second one is an hour further on the same clock.
                kept = (wall - _offset(now)).replace(tzinfo=UTC).astimezone(zone)
                if kept.fold:
                    return kept
            return summer
        if _offset(summer) < _offset(winter):  # a time that the clock skips: it comes an hour later
            return summer.astimezone(UTC).astimezone(zone)
        if _offset(now) != _offset(winter):
            return summer
        if _is_doubled(now, zone):
            return winter
        later = self._next_wall(wall + ONE_HOUR - MICROSECOND)  # the host skips the doubled hour, seen from winter
        if later is None:
            return None
        kept = (later - _offset(summer)).replace(tzinfo=UTC).astimezone(zone)
        return kept if kept.fold else later.replace(tzinfo=zone)

    def _next_wall(self, moment: datetime) -> datetime | None:
        """The first time after `moment` on a clock without zones."""
        start = moment.replace(microsecond=0) + timedelta(seconds=1)
        for day in self._dates(start):
            first = start if day.date() == start.date() else day
            for hour in sorted(hour for hour in self._hours if hour >= first.hour):
                minute_0 = first.minute if hour == first.hour else 0
                for minute in sorted(minute for minute in self._minutes if minute >= minute_0):
                    second_0 = first.second if (hour, minute) == (first.hour, first.minute) else 0
                    seconds = [second for second in self._seconds if second >= second_0]
                    if seconds:
                        return day.replace(hour=hour, minute=minute, second=min(seconds))
        return None

    def _dates(self, start: datetime) -> Iterator[datetime]:
        """Midnights of the days that fit, from the day of `start` on."""
        first = start.replace(hour=0, minute=0, second=0)
        for year in range(first.year, min(first.year + HORIZON_YEARS, LAST_YEAR) + 1):
            for month in sorted(self._months):
                for day in sorted(self._days):
                    try:
                        found = datetime(year, month, day)
                    except ValueError:
                        continue
                    if found >= first and found.isoweekday() % 7 in self._weekdays:
                        yield found


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def _is_doubled(moment: datetime, zone: tzinfo) -> bool:
    """Whether the clock shows this time twice, at the end of summer time."""
    wall = moment.replace(tzinfo=None)
    return _offset(wall.replace(tzinfo=zone)) > _offset(wall.replace(tzinfo=zone, fold=1))
