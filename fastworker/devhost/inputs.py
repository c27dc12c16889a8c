"""Input bindings: what is read before an invocation and travels in `Data` beside the trigger.

Used by invocations.py. Rule: a blob or entity that does not exist is null, everything else that fails is an error.
"""

from typing import Any

from fastworker.devhost.expressions import blob_name, resolve
from fastworker.devhost.functions import Binding
from fastworker.devhost.storage import Accounts
from fastworker.hostrules.envelope import BindingData
from fastworker.hostrules.newtonsoft import decode


async def read_input(binding: Binding, data: BindingData, accounts: Accounts) -> Any:
    """The value of one input binding that is no trigger."""
    if binding.key == "blob":
        return await _read_blob(binding, data, accounts)
    if binding.key == "table":
        return await _read_table(binding, data, accounts)
    return None  # services that are not here: the handler sees null


async def _read_blob(binding: Binding, data: BindingData, accounts: Accounts) -> Any:
    container, name = blob_name(binding.text("path"), data)
    blob = await accounts.open(binding.connection).read_blob(container, name)
    if blob is None or binding.data_type == "stream":
        return None  # a stream arrives as null, always (B-221)
    return blob.content if binding.data_type == "binary" else decode(blob.content)


async def _read_table(binding: Binding, data: BindingData, accounts: Accounts) -> Any:
    account = accounts.open(binding.connection)
    table, partition = binding.text("tableName"), resolve(binding.text("partitionKey"), data)
    row = resolve(binding.text("rowKey"), data)
    if row:
        return await account.read_entity(table, partition, row)
    take = int(binding.text("take") or 50)
    return await account.query_entities(table, partition or None, resolve(binding.text("filter"), data), take)
