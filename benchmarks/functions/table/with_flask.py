"""The app with the table as the Flask app of the peers."""

from typing import Any

import orjson
from flask import request

from benchmarks.contenders.apps.with_flask import app
from benchmarks.functions.table import big_table


@app.post("/look")
def look() -> dict[str, Any]:
    """Sums rows of the table from `job` on."""
    start = orjson.loads(request.get_json()["Data"]["job"])
    return {"Outputs": {}, "Logs": [], "ReturnValue": big_table.looked(start)}
