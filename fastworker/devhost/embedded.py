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
from fastworker.devhost.storage import Blob, Message, check_name, message_text
from fastworker.hostrules.blob_paths import blob_url

WEEK_S: Final = 7 * 24 * 3600
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS messages (
  number INTEGER PRIMARY KEY, queue TEXT, id TEXT, receipt TEXT, content BLOB,
  dequeued INTEGER, inserted REAL, expires REAL, visible REAL);
CREATE INDEX IF NOT EXISTS by_queue ON messages (queue, visible);
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

    async def put_message(self, queue: str, content: bytes) -> None:
        check_name("queue", queue)
        message_text(queue, content, self._encoding)  # only for its limit
        now = time.time()
        row = (queue, str(uuid.uuid4()), "", content, 0, now, now + WEEK_S, now)
        self._db.execute(
            "INSERT INTO messages (queue, id, receipt, content, dequeued, inserted, expires, visible) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    async def take_messages(self, queue: str, count: int, visibility_s: float) -> list[Message]:
        check_name("queue", queue)
        now = time.time()
        self._db.execute("DELETE FROM messages WHERE expires < ?", (now,))
        rows = self._db.execute(
            "UPDATE messages SET dequeued = dequeued + 1, visible = ?, receipt = ? || '-' || number WHERE number IN "
            "(SELECT number FROM messages WHERE queue = ? AND visible <= ? ORDER BY number LIMIT ?) "
            "RETURNING id, receipt, content, dequeued, inserted, expires, visible, number",
            (now + visibility_s, uuid.uuid4().hex, queue, now, count),
        ).fetchall()
        rows.sort(key=lambda row: row[7])
        return [Message(*row[:4], *(_moment(t) for t in row[4:7])) for row in rows]

    async def delete_message(self, queue: str, message: Message) -> None:
        self._db.execute("DELETE FROM messages WHERE id = ? AND receipt = ?", (message.id, message.pop_receipt))

    async def release_message(self, queue: str, message: Message, visibility_s: float) -> None:
        self._db.execute(
            "UPDATE messages SET visible = ? WHERE id = ? AND receipt = ?",
            (time.time() + visibility_s, message.id, message.pop_receipt),
        )

    def peek(self, queue: str) -> list[bytes]:
        """What lies in a queue, visible or not."""
        rows = self._db.execute("SELECT content FROM messages WHERE queue = ? ORDER BY number", (queue,))
        return [row[0] for row in rows]

    # ---- blobs ----

    async def read_blob(self, container: str, name: str) -> Blob | None:
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
        rows = self._db.execute(
            "SELECT name, etag, modified, length(content) FROM blobs WHERE container = ? ORDER BY modified, name",
            (container,),
        )
        return [self._blob(container, row) for row in rows.fetchall()]

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

    async def insert_entity(self, table: str, entity: dict[str, Any]) -> None:
        check_name("table", table)
        keys = (str(entity["PartitionKey"]), str(entity["RowKey"]))
        try:
            self._db.execute("INSERT INTO entities VALUES (?, ?, ?, ?)", (table, *keys, json.dumps(entity)))
        except sqlite3.IntegrityError:
            raise ValueError(f"table {table!r} has an entity {keys[0]}/{keys[1]} already") from None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
