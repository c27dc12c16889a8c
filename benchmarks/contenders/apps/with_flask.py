"""The functions as a Flask app, JSON by orjson. Served by gunicorn's threads.

Rule: Flask as everybody writes it; orjson takes the place of its JSON through Flask's own provider.
"""

import base64
from typing import Any

import orjson
from flask import Flask, request
from flask.json.provider import JSONProvider

from benchmarks.functions.work import burn, wait_and_burn


class Orjson(JSONProvider):
    """JSON by orjson."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


class App(Flask):
    json_provider_class = Orjson


app = App(__name__)


def _data() -> dict[str, Any]:
    data: dict[str, Any] = request.get_json()["Data"]
    return data


def _returned(value: bytes) -> dict[str, Any]:
    return {"Outputs": {}, "Logs": [], "ReturnValue": base64.b64encode(value).decode()}


@app.post("/order")
def order() -> dict[str, Any]:
    """The documentation's: an http request becomes a queue message."""
    outputs = {"res": {"statusCode": 200, "body": "Order complete"}, "message": _data()["req"]["Body"]}
    return {"Outputs": outputs, "Logs": ["order processed"], "ReturnValue": None}


@app.post("/echo")
def echo() -> dict[str, Any]:
    """The length of the http body, as text."""
    length = str(len(_data()["req"]["Body"].encode()))
    return {"Outputs": {"res": {"statusCode": 200, "body": length}}, "Logs": [], "ReturnValue": None}


@app.post("/work")
def work() -> dict[str, Any]:
    """Computes for `job` milliseconds."""
    return _returned(burn(orjson.loads(_data()["job"])))


@app.post("/wait")
def wait() -> dict[str, Any]:
    """Waits and computes, for half of `job` milliseconds each."""
    return _returned(wait_and_burn(orjson.loads(_data()["job"])))
