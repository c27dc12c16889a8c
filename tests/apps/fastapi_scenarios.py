"""The functions of scenarios.py as `def` endpoints of a FastAPI application: what chaos does to one of those."""

from typing import Annotated, Any

import scenarios
from fastapi import Body, FastAPI

app = FastAPI()


def serve(name: str) -> None:
    handler = getattr(scenarios, name)

    def run(job: Annotated[Any, Body()]) -> str:
        return str(handler(job))

    app.post(f"/api/{name}")(run)


for each in (
    *("record", "segfault", "leave", "sys_exit", "stubborn", "spin", "stop_self", "forks", "closes"),
    *("leaves_daemon", "prints_much", "abandoned"),
):
    serve(each)
