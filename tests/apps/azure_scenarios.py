"""The functions of scenarios.py as an azure.functions app, unchanged: what chaos does to one of those."""

import inspect
import json
from typing import Any

import azure.functions as func
import scenarios

app = func.FunctionApp()


def job_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def serve(name: str) -> None:
    handler = getattr(scenarios, name)
    if inspect.iscoroutinefunction(handler):

        async def run_async(job: str) -> None:
            await handler(job_of(job))

        run: Any = run_async
    else:

        def run_sync(job: str) -> None:
            handler(job_of(job))

        run = run_sync
    trigger = app.queue_trigger(arg_name="job", queue_name="jobs", connection="AzureWebJobsStorage")
    app.function_name(name=name)(trigger(run))


for each in (
    *("record", "segfault", "leave", "sys_exit", "stubborn", "spin", "stop_self", "nap", "forks", "closes"),
    *("leaves_daemon", "prints_much", "leaves_tasks", "cancels_all", "abandoned"),
):
    serve(each)
