"""A start that takes long says so: what it waits for, and what the host must be told so that it does not give up.

Used by supervisor/run.py, from its own start until the first worker is ready.
Rule: tells, and decides nothing.
"""

import math

from fastworker.logs import log
from fastworker.settings import Settings
from fastworker.supervisor.pool import Pool, WorkerState

LONG_S = 10.0
# A host whose initializationTimeout is not set waits four times 30 s, once a request waits for the handler (protocol
# 1.5).
HOSTS_PATIENCE_S = 120.0
HOSTS_TRIES = 4


class Starting:
    """The first start of a server."""

    def __init__(self, settings: Settings, pool: Pool, now_s: float) -> None:
        self._settings = settings
        self._pool = pool
        self._since_s = now_s
        self._told_s = 0.0  # how long it had taken when that was told last
        self._over = False

    def look(self, now_s: float) -> None:
        """Once a second."""
        took_s = now_s - self._since_s
        if self._over or took_s < LONG_S or took_s < 2 * self._told_s:
            return
        self._told_s = took_s
        log.warning(
            "start.slow",
            seconds=round(took_s),
            waits_for=self._what(),
            limit_s=round(self._settings.start_timeout),
            detail=advice(took_s),
        )

    def ready(self, now_s: float) -> None:
        """A worker is ready."""
        took_s = now_s - self._since_s
        if not self._over and took_s >= LONG_S:
            log.warning("start.took", seconds=round(took_s, 1), detail=advice(took_s))
        self._over = True

    def _what(self) -> str:
        if self._pool.generations.loading is not None:
            return f"the import of {self._settings.app or 'the app'}"
        if self._pool.slots_in(WorkerState.STARTING):
            if not self._settings.preload:
                return f"the import of {self._settings.app or 'the app'} or a start hook (@app.on_worker_start)"
            return "a start hook (@app.on_worker_start)"
        return "a worker to be forked"


def advice(took_s: float) -> str:
    """What host.json must say for a start of this length."""
    with_room_s = math.ceil(took_s * 1.5 / 10) * 10
    parts = [
        f"functionTimeout in host.json must be above {_span(with_room_s)}, for requests that wait count against it"
    ]
    if with_room_s > HOSTS_PATIENCE_S:
        each_s = math.ceil(with_room_s / HOSTS_TRIES / 10) * 10
        parts.append(f'customHandler must have "initializationTimeout": "{_span(each_s)}" or more')
    else:
        parts.append('the "initializationTimeout" of customHandler may stay at its default of 00:00:30')
    return "; ".join(parts)


def _span(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
