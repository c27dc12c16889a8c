"""The embedded store: queues, blobs and tables in one sqlite file, for a first run without any storage account.

Opened by storage.py. Rule: the same semantics as the real services where a trigger can notice (visibility,
dequeue counts, ETags); access is quick and local, so it runs in the event loop's thread.
"""

import json
import sqlite3
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fastworker.devhost.private import private_file
from fastworker.devhost.storage import Blob, Message, check_name, message_content, message_text
from fastworker.hostrules.blob_paths import blob_url

WEEK_S: Final = 7 * 24 * 3600
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS queued (
  number INTEGER PRIMARY KEY, queue TEXT, id TEXT, receipt TEXT, text TEXT,
  dequeued INTEGER, inserted REAL, expires REAL, visible REAL);
CREATE INDEX IF NOT EXISTS queued_by_queue ON queued (queue, visible);
CREATE TABLE IF NOT EXISTS blobs (
  container TEXT, name TEXT, etag TEXT, modified REAL, content BLOB, PRIMARY KEY (container, name));
CREATE TABLE IF NOT EXISTS entities (
  name TEXT, partition TEXT, row TEXT, members TEXT, PRIMARY KEY (name, partition, row));
"""


class EmbeddedAccount:
    """A storage account in a file. Several processes may use it at once."""

    def __init__(self, path: Path, encoding: str = "base64") -> None:
        self.description = f"the embedded store ({path})"
        self._encoding = encoding
        self._db = sqlite3.connect(private_file(path), isolation_level=None, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")  # data of a laptop's trial runs
        self._db.executescript(SCHEMA)

    async def close(self) -> None:
        self._db.close()

    # ---- queues ----

    async def put_message(self, queue: str, content: bytes) -> str:
        return await self.put_text(queue, message_text(queue, content, self._encoding))

    async def put_text(self, queue: str, text: str) -> str:
        check_name("queue", queue)
        now = time.time()
        message_id = str(uuid.uuid4())
        row = (queue, message_id, "", text, 0, now, now + WEEK_S, now)
        self._db.execute(
            "INSERT INTO queued (queue, id, receipt, text, dequeued, inserted, expires, visible) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        return message_id

    async def take_messages(self, queue: str, count: int, visibility_s: float) -> list[Message]:
        check_name("queue", queue)
        now = time.time()
        self._db.execute("DELETE FROM queued WHERE expires < ?", (now,))
        rows = self._db.execute(
            "UPDATE queued SET dequeued = dequeued + 1, visible = ?, receipt = ? || '-' || number WHERE number IN "
            "(SELECT number FROM queued WHERE queue = ? AND visible <= ? ORDER BY number LIMIT ?) "
            "RETURNING id, receipt, text, dequeued, inserted, expires, visible, number",
            (now + visibility_s, uuid.uuid4().hex, queue, now, count),
        ).fetchall()
        return [self._message(row) for row in sorted(rows, key=lambda row: row[7])]

    async def peek_messages(self, queue: str, count: int) -> list[Message]:
        rows = self._db.execute(
            "SELECT id, receipt, text, dequeued, inserted, expires, visible FROM queued WHERE queue = ? "
            "ORDER BY number LIMIT ?",
            (queue, count),
        )
        return [self._message(row) for row in rows.fetchall()]

    def _message(self, row: Any) -> Message:
        identity, receipt, text, dequeued = row[:4]
        inserted, expires, visible = (_moment(seconds) for seconds in row[4:7])
        content = message_content(text, self._encoding)
        return Message(identity, receipt, content, dequeued, inserted, expires, visible, raw=text)

    async def delete_message(self, queue: str, message: Message) -> None:
        self._db.execute("DELETE FROM queued WHERE id = ? AND receipt = ?", (message.id, message.pop_receipt))

    async def release_message(self, queue: str, message: Message, visibility_s: float) -> None:
        self._db.execute(
            "UPDATE queued SET visible = ? WHERE id = ? AND receipt = ?",
            (time.time() + visibility_s, message.id, message.pop_receipt),
        )

    async def list_queues(self) -> list[tuple[str, int]]:
        return self._db.execute("SELECT queue, count(*) FROM queued GROUP BY queue ORDER BY queue").fetchall()

    # ---- blobs ----

    async def read_blob(self, container: str, name: str) -> Blob | None:
        check_name("container", container)
        row = self._db.execute(
            "SELECT name, etag, modified, length(content), content FROM blobs WHERE container = ? AND name = ?",
            (container, name),
        ).fetchone()
        return self._blob(container, row[:4], row[4]) if row else None

    async def write_blob(self, container: str, name: str, content: bytes) -> None:
        check_name("container", container)
        etag = f'"0x{uuid.uuid4().hex[:15].upper()}"'
        row = (container, name, etag, time.time(), content)
        self._db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?)", row)

    async def list_blobs(self, container: str) -> list[Blob]:
        check_name("container", container)
        rows = self._db.execute(
            "SELECT name, etag, modified, length(content) FROM blobs WHERE container = ? ORDER BY modified, name",
            (container,),
        )
        return [self._blob(container, row) for row in rows.fetchall()]

    async def list_containers(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT DISTINCT container FROM blobs ORDER BY container")]

    def _blob(self, container: str, row: Any, content: bytes = b"") -> Blob:
        name, etag, modified, length = row
        return Blob(name, etag, _moment(modified), length, uri=blob_url(container, name), content=content)

    # ---- tables ----

    async def read_entity(self, table: str, partition: str, row: str) -> dict[str, Any] | None:
        found = self._db.execute(
            "SELECT members FROM entities WHERE name = ? AND partition = ? AND row = ?", (table, partition, row)
        ).fetchone()
        return json.loads(found[0]) if found else None

    async def query_entities(self, table: str, partition: str | None, text: str, take: int) -> list[dict[str, Any]]:
        if text:
            raise ValueError("the embedded store knows no table filters; use Azurite (fastworker dev --azurite)")
        rows = self._db.execute(
            "SELECT members FROM entities WHERE name = ? AND (? IS NULL OR partition = ?) ORDER BY partition, row "
            "LIMIT ?",
            (table, partition, partition, take),
        )
        return [json.loads(row[0]) for row in rows.fetchall()]

    async def list_tables(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT DISTINCT name FROM entities ORDER BY name")]

    async def insert_entity(self, table: str, entity: dict[str, Any]) -> None:
        check_name("table", table)
        keys = (str(entity["PartitionKey"]), str(entity["RowKey"]))
        try:
            self._db.execute("INSERT INTO entities VALUES (?, ?, ?, ?)", (table, *keys, json.dumps(entity)))
        except sqlite3.IntegrityError:
            raise ValueError(f"table {table!r} has an entity {keys[0]}/{keys[1]} already") from None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
