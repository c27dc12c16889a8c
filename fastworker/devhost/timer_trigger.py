"""The timer trigger: runs a function on its schedule, with the monitor that notices missed runs.

Started by app.py; when it fires is said by hostrules/schedules.py. Rule: one run at a time; times are those of the
setting TZ, without it UTC.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from fastworker.devhost.console import Console
from fastworker.devhost.functions import Function
from fastworker.devhost.invocations import Invoker
from fastworker.devhost.state import TimerStatus, TriggerState
from fastworker.hostrules.envelope import TriggerData
from fastworker.hostrules.schedules import Schedule

LONGEST_SLEEP_S: Final = 60.0
FIRST_DAY: Final = datetime(1, 1, 1, tzinfo=UTC)


class Timer:
    """Runs one function on its schedule."""

    def __init__(
        self,
        function: Function,
        schedule: Schedule,
        invoker: Invoker,
        state: TriggerState,
        console: Console,
        zone: tzinfo = UTC,
    ) -> None:
        self._function = function
        self._schedule = schedule
        self._invoker = invoker
        self._state = state
        self._console = console
        self._zone = zone
        trigger = function.trigger
        self._on_startup = trigger.text("runOnStartup").lower() == "true"
        monitored = trigger.text("useMonitor").lower() != "false"
        self._monitored = monitored and not schedule.is_frequent(datetime.now(UTC))
        self._over = asyncio.Event()
        self.in_flight = 0
        self._last: datetime | None = None
        self._updated: datetime | None = None
        self._next: datetime | None = None

    def stop_taking(self) -> None:
        """It does not run any more; `run` returns when a run that has begun is done."""
        self._over.set()

    async def run(self) -> None:
        now = datetime.now(UTC)
        known = self._state.timer(self._function.name) if self._monitored else None
        if known is not None and known.schedule != self._schedule.text:
            known = None
        if known is not None:
            self._last, self._updated = known.last, known.updated
        following = self._schedule.next_after(now, self._zone)
        if known is not None and known.next <= now:
            self._next = known.next  # the time that was missed (B-439)
            await self._invoke(past_due=True)
        elif self._on_startup:
            self._next = following
            await self._invoke(past_due=False)
        elif following is not None:
            self._remember(following)
        while (due := self._schedule.next_after(datetime.now(UTC), self._zone)) is not None:
            self._next = due
            await self._sleep_until(due)
            if self._over.is_set():
                return
            await self._invoke(past_due=False)

    async def _sleep_until(self, due: datetime) -> None:
        # In short sleeps: a laptop that was asleep, or a clock that was set, is noticed.
        while (left := (due - datetime.now(UTC)).total_seconds()) > 0 and not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LONGEST_SLEEP_S)):
                    await self._over.wait()

    async def _invoke(self, *, past_due: bool) -> None:
        began = datetime.now(UTC)
        why = "timer, past due" if past_due else "timer"
        self.in_flight = 1
        try:
            data = TriggerData(self.value(past_due=past_due))
            await self._invoker.invoke(self._function, data, why, is_triggered=True)
        finally:
            self.in_flight = 0
        self._last = self._updated = began
        following = self._schedule.next_after(datetime.now(UTC), self._zone)
        if following is not None:
            self._remember(following)

    def value(self, *, past_due: bool = False) -> dict[str, Any]:
        """The trigger's value, as it is now; a call by hand sees it, too (B-443)."""
        status = None
        if self._monitored:
            last = self._shown(self._last)
            status = {
                "Last": last,
                "Next": self._shown(self._next),
                "LastUpdated": self._shown(self._updated) if past_due else last,
            }
        schedule = {"AdjustForDST": self._schedule.interval is None}
        return {"Schedule": schedule, "ScheduleStatus": status, "IsPastDue": past_due}

    def _shown(self, moment: datetime | None) -> str:
        return never(self._zone) if moment is None else moment.astimezone(self._zone).isoformat()

    def _remember(self, following: datetime) -> None:
        self._next = following
        if self._monitored:
            updated = self._updated or datetime.now(UTC)
            status = TimerStatus(self._schedule.text, self._last, following.astimezone(UTC), updated)
            self._state.write_timer(self._function.name, status)


def never(zone: tzinfo) -> str:
    """.NET's first moment with the offset that the zone had then, in whole minutes (B-432, B-433)."""
    offset = zone.utcoffset(FIRST_DAY.replace(tzinfo=None)) or timedelta()
    minutes = round(offset.total_seconds() / 60)
    clock = f"{minutes // 60:02d}:{minutes % 60:02d}" if minutes > 0 else "00:00"
    sign, size = ("+" if minutes >= 0 else "-"), abs(minutes)
    return f"0001-01-01T{clock}:00{sign}{size // 60:02d}:{size % 60:02d}"
