"""What the triggers remember over restarts: which blobs were processed, and when timers ran.

Used by blob_trigger.py and timer_trigger.py. Rule: one sqlite file below `.fastworker/`, small quick statements.
"""

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from fastworker.devhost.private import private_file

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS receipts (
  function TEXT, blob TEXT, etag TEXT, PRIMARY KEY (function, blob));
CREATE TABLE IF NOT EXISTS timers (
  function TEXT PRIMARY KEY, schedule TEXT, last TEXT, next TEXT, updated TEXT);
"""


class TimerStatus(NamedTuple):
    """`last` is None before the first run."""

    schedule: str
    last: datetime | None
    next: datetime
    updated: datetime


class TriggerState:
    """Receipts and timer status of one app."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(private_file(path), isolation_level=None, timeout=10)
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    def has_receipt(self, function: str, blob: str, etag: str) -> bool:
        row = self._db.execute("SELECT etag FROM receipts WHERE function = ? AND blob = ?", (function, blob)).fetchone()
        return row is not None and row[0] == etag

    def write_receipt(self, function: str, blob: str, etag: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?)", (function, blob, etag))

    def timer(self, function: str) -> TimerStatus | None:
        row = self._db.execute(
            "SELECT schedule, last, next, updated FROM timers WHERE function = ?", (function,)
        ).fetchone()
        if row is None:
            return None
        schedule, last, following, updated = row
        parsed = datetime.fromisoformat
        return TimerStatus(schedule, parsed(last) if last else None, parsed(following), parsed(updated))

    def write_timer(self, function: str, status: TimerStatus) -> None:
        last = status.last.isoformat() if status.last else None
        row = (function, status.schedule, last, status.next.isoformat(), status.updated.isoformat())
        self._db.execute("INSERT OR REPLACE INTO timers VALUES (?, ?, ?, ?, ?)", row)
