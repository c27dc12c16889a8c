"""The timer trigger: six-field cron expressions and time spans, with the monitor that notices missed runs.

Started by app.py. Rule: one run at a time; times are UTC unless WEBSITE_TIME_ZONE names another zone.
"""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from fastworker.devhost.appsettings import AppSettings
from fastworker.devhost.console import Console
from fastworker.devhost.functions import Function
from fastworker.devhost.invocations import Invoker
from fastworker.devhost.jsonfile import TIME_SPAN, ConfigError
from fastworker.devhost.state import TimerStatus, TriggerState
from fastworker.hostrules.envelope import TriggerData

NEVER: Final = "0001-01-01T00:00:00"
# The SDK turns the monitor off for timers that run more often.
SHORTEST_MONITORED: Final = timedelta(minutes=1)
LONGEST_SLEEP_S: Final = 60.0


class Schedule:
    """When a timer runs. Raises ConfigError for text that is neither."""

    def __init__(self, text: str, where: str, zone: tzinfo = UTC) -> None:
        self.text = text
        self._zone = zone
        self._interval: timedelta | None = None
        span = TIME_SPAN.fullmatch(text.strip())
        if span is not None and span[1] is None:
            days, hours, minutes, seconds = (int(span[i] or 0) for i in range(2, 6))
            self._interval = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
            if self._interval <= timedelta():
                raise ConfigError(f'{where}: "schedule" must be longer than nothing: {text!r}')
            return
        fields = text.split()
        if len(fields) == 5:
            text = f"0 {text}"  # the host takes five fields, too
        try:
            if len(fields) not in (5, 6):
                raise CronSimError(f"{len(fields)} fields")
            CronSim(text, datetime.now(zone))
        except CronSimError as error:
            raise ConfigError(
                f'{where}: "schedule" is a cron expression of six fields (second minute hour day month weekday) or a '
                f"time span, not {self.text!r}: {error}"
            ) from None
        self._cron = text

    def after(self, moment: datetime) -> datetime:
        """The first time after `moment`."""
        if self._interval is not None:
            return moment + self._interval
        return next(CronSim(self._cron, moment.astimezone(self._zone))).astimezone(UTC)

    def is_monitored(self) -> bool:
        first = self.after(datetime.now(UTC))
        return self.after(first) - first >= SHORTEST_MONITORED


def time_zone(settings: AppSettings) -> tzinfo:
    """WEBSITE_TIME_ZONE, an IANA name as on Linux plans; the cloud's default is UTC."""
    name = settings.get("WEBSITE_TIME_ZONE")
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(f"WEBSITE_TIME_ZONE={name!r}: no such time zone; give a name like Europe/Berlin") from None


class Timer:
    """Runs one function on its schedule."""

    def __init__(
        self, function: Function, schedule: Schedule, invoker: Invoker, state: TriggerState, console: Console
    ) -> None:
        self._function = function
        self._schedule = schedule
        self._invoker = invoker
        self._state = state
        self._console = console
        trigger = function.trigger
        self._on_startup = trigger.text("runOnStartup").lower() == "true"
        self._monitored = trigger.text("useMonitor").lower() != "false" and schedule.is_monitored()
        self._last: datetime | None = None

    async def run(self) -> None:
        now = datetime.now(UTC)
        known = self._state.timer(self._function.name) if self._monitored else None
        if known is not None and known.schedule == self._schedule.text:
            self._last = known.last
            overdue = known.next <= now
        else:
            known, overdue = None, False
        if overdue or self._on_startup:
            await self._invoke(known.next if known else now, past_due=overdue)
        else:
            self._remember(self._schedule.after(now))
        while True:
            due = self._schedule.after(datetime.now(UTC))
            await self._sleep_until(due)
            await self._invoke(due, past_due=False)

    async def _sleep_until(self, due: datetime) -> None:
        # In short sleeps: a laptop that was asleep, or a clock that was set, is noticed.
        while (left := (due - datetime.now(UTC)).total_seconds()) > 0:
            await asyncio.sleep(min(left, LONGEST_SLEEP_S))

    async def _invoke(self, due: datetime, *, past_due: bool) -> None:
        began = datetime.now(UTC)
        why = "timer, past due" if past_due else "timer"
        await self._invoker.invoke(self._function, TriggerData(self._value(due, past_due)), why)
        self._last = began
        self._remember(self._schedule.after(datetime.now(UTC)))

    def _value(self, due: datetime, past_due: bool) -> dict[str, Any]:
        status = None
        if self._monitored:
            last = self._last.isoformat() if self._last else NEVER
            status = {"Last": last, "Next": due.isoformat(), "LastUpdated": last}
        return {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": past_due}

    def _remember(self, following: datetime) -> None:
        if self._monitored:
            updated = self._last or datetime.now(UTC)
            self._state.write_timer(
                self._function.name, TimerStatus(self._schedule.text, self._last, following, updated)
            )
