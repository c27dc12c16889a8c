"""The app with the table as the bare ASGI app of the peers."""

from typing import Any

import orjson

from benchmarks.contenders.apps import raw_asgi
from benchmarks.functions.table import big_table


async def look(data: dict[str, Any]) -> dict[str, Any]:
    """Sums rows of the table from `job` on."""
    return {"Outputs": {}, "Logs": [], "ReturnValue": big_table.looked(orjson.loads(data["job"]))}


raw_asgi.FUNCTIONS["/look"] = look
app = raw_asgi.app
