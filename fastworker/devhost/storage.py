"""What the local host needs of a storage account, and which account a connection leads to.

Implemented by embedded.py (sqlite) and azure_account.py (Azure Storage, Azurite); opened here.
Rule: nobody else knows which of the two is in use.
"""

import base64
import re
import socket
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from fastworker.devhost.appsettings import AppSettings
from fastworker.errors import FastworkerError
from fastworker.hostrules.dotnet_values import from_base64
from fastworker.hostrules.functions import CONTAINER, SPECIAL_CONTAINERS

AZURITE: Final = "UseDevelopmentStorage=true"
ACCOUNT: Final = "devstoreaccount1"
# The emulator's key is public and the same everywhere (protocol 7).
ACCOUNT_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURITE_PORTS: Final = {"blob": 10000, "queue": 10001, "table": 10002}
LARGEST_MESSAGE: Final = 64 * 1024
TABLE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{2,62}")
REACH_S: Final = 3.0


class StorageError(FastworkerError):
    """A storage account cannot be used; the message names the setting that leads to it."""

    exit_code = 2


@dataclass(slots=True)
class Message:
    """A message of a queue. `raw` is its text as it is stored, `content` is None if that is not the expected base64."""

    id: str
    pop_receipt: str
    content: bytes | None
    dequeue_count: int
    inserted: datetime
    expires: datetime
    next_visible: datetime
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob's description; `content` when it was asked for; `settings` by the names in blob_properties.SETTINGS."""

    name: str
    etag: str
    modified: datetime
    length: int
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)
    uri: str = ""
    content: bytes = b""
    settings: dict[str, str] = field(default_factory=dict)


class Account(Protocol):
    """Queues, blobs and tables; queues, containers and tables are made when first written to."""

    description: str

    async def put_message(self, queue: str, content: bytes) -> str: ...  # the message's id
    async def put_text(self, queue: str, text: str) -> str: ...
    async def peek_messages(self, queue: str, count: int) -> list[Message]: ...
    async def list_queues(self) -> list[tuple[str, int]]: ...
    async def list_containers(self) -> list[str]: ...
    async def list_tables(self) -> list[str]: ...
    async def take_messages(self, queue: str, count: int, visibility_s: float) -> list[Message]: ...
    async def delete_message(self, queue: str, message: Message) -> None: ...
    async def release_message(self, queue: str, message: Message, visibility_s: float) -> None: ...
    async def read_blob(self, container: str, name: str) -> Blob | None: ...
    async def write_blob(self, container: str, name: str, content: bytes) -> None: ...
    async def list_blobs(self, container: str) -> list[Blob]: ...
    async def read_entity(self, table: str, partition: str, row: str) -> dict[str, Any] | None: ...
    async def query_entities(self, table: str, partition: str | None, text: str, take: int) -> list[dict[str, Any]]: ...
    async def insert_entity(self, table: str, entity: dict[str, Any]) -> None: ...
    async def close(self) -> None: ...


def message_text(queue: str, content: bytes, encoding: str) -> str:
    """What is stored for a message. Raises ValueError for one that the service refuses."""
    text = base64.b64encode(content).decode() if encoding == "base64" else content.decode("utf-8", "replace")
    if len(text.encode()) > LARGEST_MESSAGE:
        raise ValueError(
            f"a message of {len(content)} bytes is too large for queue {queue!r}: {LARGEST_MESSAGE // 1024} KiB is the "
            f"limit, as it is stored ({encoding})"
        )
    return text


def message_content(text: str, encoding: str) -> bytes | None:
    """What a stored text stands for; None if it is not the base64 that `encoding` asks for."""
    return from_base64(text) if encoding == "base64" else text.encode()


def check_name(kind: str, name: str) -> None:
    """Raises ValueError for a name that the service refuses."""
    if kind == "table":
        if not TABLE_NAME.fullmatch(name):
            raise ValueError(f"the table name {name!r} is illegal: a letter, then letters and digits, 3 to 63 in all")
    elif not CONTAINER.fullmatch(name) and name not in SPECIAL_CONTAINERS:
        raise ValueError(
            f"the {kind} name {name!r} is illegal: 3 to 63 lower-case letters, digits and single hyphens within"
        )


class Accounts:
    """The accounts of an app, opened by connection name when first used and shared by connection string."""

    def __init__(self, settings: AppSettings, state: Path, encoding: str) -> None:
        self._settings = settings
        self._state = state
        self._encoding = encoding
        self._by_name: dict[str, Account] = {}
        self._by_string: dict[str, Account] = {}

    def open(self, connection: str) -> Account:
        """Raises StorageError: the setting is missing, or what it names does not answer."""
        if connection not in self._by_name:
            text = self._connection_string(connection)
            if text not in self._by_string:
                self._by_string[text] = self._open(connection, text)
            self._by_name[connection] = self._by_string[text]
        return self._by_name[connection]

    async def close(self) -> None:
        for account in self._by_string.values():
            await account.close()

    @property
    def in_use(self) -> list[Account]:
        return list(self._by_string.values())

    def _connection_string(self, connection: str) -> str:
        text = self._settings.get(connection) or self._settings.get(f"AzureWebJobs{connection}") or ""
        if text:
            return AZURITE if text.strip().rstrip(";").lower() == AZURITE.lower() else text
        if self._settings.get(f"{connection}__accountName") or self._settings.get(f"{connection}__queueServiceUri"):
            raise StorageError(
                f"connection {connection!r} is an identity ({connection}__...), which the local host cannot use: "
                f"set {connection} to a connection string in local.settings.json, or to {AZURITE}"
            )
        if connection.lower() in ("azurewebjobsstorage", "storage"):
            return AZURITE
        raise StorageError(
            f"connection {connection!r} names no app setting: add {connection} to Values in local.settings.json, "
            f"a connection string or {AZURITE}"
        )

    def _open(self, connection: str, text: str) -> Account:
        if text == AZURITE:
            closed = [name for name in ("blob", "queue") if not _listens("127.0.0.1", AZURITE_PORTS[name])]
            if closed:
                from fastworker.devhost.embedded import EmbeddedAccount  # noqa: PLC0415 - only one of them is needed

                return EmbeddedAccount(self._state / "storage.db", self._encoding)
            text = azurite_string()
        from fastworker.devhost.azure_account import AzureAccount, endpoints  # noqa: PLC0415

        for service, (host, port) in endpoints(connection, text).items():
            if service != "table" and not _listens(host, port):
                raise StorageError(
                    f"connection {connection!r}: the {service} service at {host}:{port} does not answer: start it, or "
                    f"set {connection} to {AZURITE}, which falls back on the embedded store"
                )
        return AzureAccount(connection, text, self._encoding)


def azurite_string(blob: int = 10000, queue: int = 10001, table: int = 10002) -> str:
    """The connection string of an Azurite on these ports."""
    parts = {"DefaultEndpointsProtocol": "http", "AccountName": ACCOUNT, "AccountKey": ACCOUNT_KEY}
    for name, port in (("Blob", blob), ("Queue", queue), ("Table", table)):
        parts[f"{name}Endpoint"] = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return ";".join(f"{key}={value}" for key, value in parts.items()) + ";"


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=REACH_S):
            return True
    except OSError:
        return False
