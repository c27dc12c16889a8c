"""Azure Storage and Azurite, by the official SDKs.

Opened by storage.py. Rule: SDK types and SDK errors do not leave this file.
"""

import contextlib
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import EdmType
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from fastworker.devhost.storage import Blob, Message, StorageError, message_content, message_text
from fastworker.hostrules.blob_properties import SETTINGS

# Azurite as Debian and npm bring it is often older than the SDKs' newest API version.
API: Final = "2024-08-04"
# So many messages does the service show at once.
MOST_PEEKED: Final = 32


class AzureAccount:
    """A storage account by connection string. `encoding` is host.json's messageEncoding."""

    def __init__(self, connection: str, text: str, encoding: str) -> None:
        self._encoding = encoding
        self._queues = QueueServiceClient.from_connection_string(text, api_version=API, retry_total=1)
        self._blobs = BlobServiceClient.from_connection_string(text, api_version=API, retry_total=1)
        self._tables = TableServiceClient.from_connection_string(text, retry_total=1)
        where = urlsplit(self._queues.url)
        local = where.hostname in ("127.0.0.1", "localhost")
        self.description = f"{'Azurite' if local else 'Azure Storage'} ({where.netloc}, setting {connection})"

    async def close(self) -> None:
        for client in (self._queues, self._blobs, self._tables):
            await client.close()

    # ---- queues ----

    async def put_message(self, queue: str, content: bytes) -> str:
        return await self.put_text(queue, message_text(queue, content, self._encoding))

    async def put_text(self, queue: str, text: str) -> str:
        async with self._queue(queue) as client:
            try:
                sent = await client.send_message(text)
            except ResourceNotFoundError:
                with contextlib.suppress(ResourceExistsError):
                    await client.create_queue()
                sent = await client.send_message(text)
        return str(sent.id)

    async def take_messages(self, queue: str, count: int, visibility_s: float) -> list[Message]:
        found = []
        async with self._queue(queue) as client:
            with contextlib.suppress(ResourceNotFoundError):
                pages = client.receive_messages(max_messages=count, visibility_timeout=int(visibility_s))
                async for message in pages:
                    found.append(self._message(message))
        return found

    def _message(self, message: Any) -> Message:
        text = message.content
        content = message_content(text, self._encoding)
        times = (message.inserted_on, message.expires_on, message.next_visible_on)
        return Message(message.id, message.pop_receipt, content, message.dequeue_count, *times, raw=text)

    async def peek_messages(self, queue: str, count: int) -> list[Message]:
        async with self._queue(queue) as client:
            try:
                return [self._message(m) for m in await client.peek_messages(max_messages=min(count, MOST_PEEKED))]
            except ResourceNotFoundError:
                return []

    async def list_queues(self) -> list[tuple[str, int]]:
        found = []
        async for queue in self._queues.list_queues():
            async with self._queue(queue.name) as client:
                found.append((queue.name, (await client.get_queue_properties()).approximate_message_count or 0))
        return found

    async def delete_message(self, queue: str, message: Message) -> None:
        async with self._queue(queue) as client:
            with contextlib.suppress(ResourceNotFoundError):
                await client.delete_message(message.id, message.pop_receipt)

    async def release_message(self, queue: str, message: Message, visibility_s: float) -> None:
        async with self._queue(queue) as client:
            with contextlib.suppress(ResourceNotFoundError):
                kept = await client.update_message(
                    message.id, message.pop_receipt, content=message.raw, visibility_timeout=int(visibility_s)
                )
                message.pop_receipt = kept.pop_receipt or message.pop_receipt

    def _queue(self, name: str) -> QueueClient:
        return self._queues.get_queue_client(name)

    # ---- blobs ----

    async def read_blob(self, container: str, name: str) -> Blob | None:
        async with self._blobs.get_blob_client(container, name) as client:
            try:
                stream = await client.download_blob()
                content = await stream.readall()
            except ResourceNotFoundError:
                return None
            return _blob(stream.properties, client.url, content)

    async def write_blob(self, container: str, name: str, content: bytes) -> None:
        async with self._blobs.get_blob_client(container, name) as client:
            try:
                await client.upload_blob(content, overwrite=True)
            except ResourceNotFoundError:
                with contextlib.suppress(ResourceExistsError):
                    await self._blobs.create_container(container)
                await client.upload_blob(content, overwrite=True)

    async def list_blobs(self, container: str) -> list[Blob]:
        found = []
        client = self._blobs.get_container_client(container)
        with contextlib.suppress(ResourceNotFoundError):
            async for item in client.list_blobs(include=["metadata"]):
                found.append(_blob(item, f"{client.url}/{item.name}"))
        return found

    async def list_containers(self) -> list[str]:
        return [container.name async for container in self._blobs.list_containers()]

    # ---- tables ----

    async def list_tables(self) -> list[str]:
        return [table.name async for table in self._tables.list_tables()]

    async def read_entity(self, table: str, partition: str, row: str) -> dict[str, Any] | None:
        async with self._tables.get_table_client(table) as client:
            try:
                return _plain(await client.get_entity(partition, row))
            except ResourceNotFoundError:
                return None

    async def query_entities(self, table: str, partition: str | None, text: str, take: int) -> list[dict[str, Any]]:
        parts = [f"PartitionKey eq '{partition.replace(chr(39), chr(39) * 2)}'"] if partition is not None else []
        query = " and ".join([*parts, *([f"({text})"] if text else [])])
        found: list[dict[str, Any]] = []
        async with self._tables.get_table_client(table) as client:
            with contextlib.suppress(ResourceNotFoundError):
                async for entity in client.query_entities(query) if query else client.list_entities():
                    found.append(_plain(entity))
                    if len(found) == take:
                        break
        return found

    async def insert_entity(self, table: str, entity: dict[str, Any]) -> None:
        await self._tables.create_table_if_not_exists(table)
        async with self._tables.get_table_client(table) as client:
            try:
                await client.create_entity({name: _typed(value) for name, value in entity.items()})
            except ResourceExistsError:
                keys = f"{entity.get('PartitionKey')}/{entity.get('RowKey')}"
                raise ValueError(f"table {table!r} has an entity {keys} already") from None


def endpoints(connection: str, text: str) -> dict[str, tuple[str, int]]:
    """Host and port of each service. Raises StorageError for text that is no connection string."""
    try:
        clients = {
            "queue": QueueServiceClient.from_connection_string(text).url,
            "blob": BlobServiceClient.from_connection_string(text).url,
        }
    except (ValueError, AzureError) as error:
        raise StorageError(
            f"connection {connection!r} is no storage connection string ({error}): give the one of the portal, or "
            f"UseDevelopmentStorage=true"
        ) from None
    found = {}
    for name, url in clients.items():
        parts = urlsplit(url)
        found[name] = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    return found


def _blob(properties: Any, url: str, content: bytes = b"") -> Blob:
    kind = properties.content_settings.content_type or "application/octet-stream"
    modified = properties.last_modified or datetime.now(UTC)
    metadata = dict(properties.metadata or {})
    # A listing tells the version without quotes, a download with them; it must be the same for a receipt.
    etag = (properties.etag or "").strip('"')
    given = properties.content_settings
    texts = (given.content_encoding, given.content_disposition, given.content_language, given.cache_control)
    settings = {name: text for name, text in zip(SETTINGS, texts, strict=True) if text}
    return Blob(properties.name, etag, modified, properties.size, kind, metadata, url, content, settings)


def _plain(entity: Any) -> dict[str, Any]:
    members = {}
    for name, value in entity.items():
        # 64-bit integers come as a pair of value and EDM type.
        members[name] = value.value if hasattr(value, "edm_type") else value
    return members


def _typed(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**31) <= value < 2**31:
        return (value, EdmType.INT64)
    return str(value) if isinstance(value, dict | list) else value
