"""Output bindings: what an accepted answer writes to queues, blobs and tables; others are recorded and shown.

Used by invocations.py. Rule: what is written follows hostrules/output_values.py; an output that fails fails the
invocation, although others are written (protocol 4.6).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastworker.devhost.console import shortened
from fastworker.devhost.expressions import ExpressionError, blob_name, resolve
from fastworker.devhost.functions import RETURN, Binding
from fastworker.devhost.storage import Accounts
from fastworker.devhost.tracing import NO_TRACES, HostTraces
from fastworker.hostrules import output_values
from fastworker.hostrules.answers import AnswerError
from fastworker.hostrules.dotnet_values import write_json
from fastworker.hostrules.envelope import BindingData

OBJECT_TYPES = ("cosmosdb", "eventgrid", "sql", "mysql")


@dataclass(frozen=True, slots=True)
class Written:
    """One thing that was written: by which output, where to, and what."""

    output: str
    target: str
    value: Any

    def __str__(self) -> str:
        shown = self.value if isinstance(self.value, bytes | str) else write_json(self.value)
        return f"{self.target}: {shortened(shown)}"


class OutputWriter:
    """Writes outputs. `on_write` is told what was written where: a listener may be waiting."""

    def __init__(
        self, accounts: Accounts, on_write: Callable[[str, str], None], traces: HostTraces = NO_TRACES
    ) -> None:
        self._accounts = accounts
        self._traces = traces
        self._on_write = on_write

    async def write(self, binding: Binding, value: Any, data: BindingData) -> list[Written]:
        """Raises AnswerError for values that the host cannot write, or that storage refuses."""
        place = "ReturnValue" if binding.name == RETURN else f"Outputs.{binding.name}"
        try:
            if binding.key == "queue":
                return await self._queue(place, binding, value, data)
            if binding.key == "blob":
                return await self._blob(place, binding, value, data)
            if binding.key == "table":
                return await self._table(place, binding, value, data)
        except (AnswerError, ExpressionError) as error:
            raise AnswerError(f"{place}: {error}" if isinstance(error, ExpressionError) else str(error)) from None
        except Exception as error:  # the SDKs raise what they like: any failure to write fails the invocation
            raise AnswerError(f"{place}: cannot be written: {type(error).__name__}: {error}") from error
        if binding.key in OBJECT_TYPES:
            return [Written(binding.name, _elsewhere(binding), item) for item in output_values.objects(place, value)]
        return [Written(binding.name, _elsewhere(binding), item) for item in output_values.messages(place, value)]

    async def empty(self, binding: Binding, data: BindingData) -> bool:
        """Leaves the blob of an output empty, because an output of the same answer has failed. False for others."""
        if binding.key != "blob":
            return False
        try:
            container, name = blob_name(binding.text("path"), data)
            await self._accounts.open(binding.connection).write_blob(container, name, b"")
        except Exception:  # the failure that led here is the one to tell
            return False
        self._on_write(binding.connection, f"blob {container}")
        return True

    async def _queue(self, place: str, binding: Binding, value: Any, data: BindingData) -> list[Written]:
        queue = resolve(binding.text("queueName"), data).lower()  # B-261
        account = self._accounts.open(binding.connection)
        found = []
        for message in output_values.messages(place, value):
            with self._traces.write("queue", queue) as written:
                written.keep(await account.put_message(queue, message))
            found.append(Written(binding.name, f"queue {queue}", message))
            self._on_write(binding.connection, f"queue {queue}")
        return found

    async def _blob(self, place: str, binding: Binding, value: Any, data: BindingData) -> list[Written]:
        content = output_values.blob(place, value)
        if content is None:
            return []
        container, name = blob_name(binding.text("path"), data)
        with self._traces.write("blob", container) as written:
            written.keep(f"blob {container}/{name}")
            await self._accounts.open(binding.connection).write_blob(container, name, content)
        self._on_write(binding.connection, f"blob {container}")
        return [Written(binding.name, f"blob {container}/{name}", content)]

    async def _table(self, place: str, binding: Binding, value: Any, data: BindingData) -> list[Written]:
        table = resolve(binding.text("tableName"), data)
        account = self._accounts.open(binding.connection)
        found = []
        for item in output_values.objects(place, value):
            entity = dict(item)
            for member, name in (("PartitionKey", "partitionKey"), ("RowKey", "rowKey")):
                default = binding.text(name)
                if member not in entity and default:
                    entity[member] = resolve(default, data)
                if member not in entity:
                    raise AnswerError(f"{place}: an entity needs a {member}: {write_json(item)}")
            await account.insert_entity(table, entity)
            found.append(Written(binding.name, f"table {table}", entity))
        return found


def _elsewhere(binding: Binding) -> str:
    """The target of an output whose service is not here."""
    names = ("queueName", "topicName", "eventHubName", "containerName", "collectionName", "topicEndpointUri")
    name = next((binding.text(n) for n in names if binding.text(n)), binding.name)
    return f"{binding.type} {name} (recorded only)"
