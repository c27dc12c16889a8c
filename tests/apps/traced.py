"""Functions that are traced: they make spans of their own, fail, stream and die."""

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from opentelemetry import baggage, trace

import fastworker as fw

app = fw.App()
tracer = trace.get_tracer("app")


def inner(name: str) -> None:
    with tracer.start_as_current_span(name):
        pass


@app.queue_trigger("job", queue_name="jobs")
@app.queue_output("$return", queue_name="done")
def threads(job: Any) -> Any:
    inner("in-def")
    thread = threading.Thread(target=inner, args=("in-thread",))
    thread.start()
    thread.join()
    return json.dumps(baggage.get_baggage("tenant"))


@app.queue_trigger("job", queue_name="jobs")
async def tasks(job: Any) -> None:
    await asyncio.create_task(asyncio.sleep(0))
    inner("in-async")
    await asyncio.to_thread(inner, "in-to-thread")


@app.queue_trigger("job", queue_name="jobs")
def fail(job: str) -> None:
    raise ValueError(job)


@app.queue_trigger("job", queue_name="jobs")
def crash(job: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.queue_trigger("job", queue_name="jobs")
async def crash_async(job: Any) -> None:
    if job == "now":
        os.kill(os.getpid(), signal.SIGKILL)
    print("it waits")
    await asyncio.sleep(3600)


@app.function(deadline=0.3)
@app.queue_trigger("job", queue_name="jobs")
def late(job: Any) -> None:
    time.sleep(3600)


@app.function(deadline=0.3)
@app.queue_trigger("job", queue_name="jobs")
def stubborn(job: Any) -> None:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(3600)


@app.route("items/{count}", methods=["GET"])
def items(req: fw.Request, count: int) -> Iterator[str]:
    for number in range(count):
        inner("item")
        yield f"{number}\n"


@app.route("slow/{count}", methods=["GET"])
async def slow(req: fw.Request, count: int) -> AsyncIterator[str]:
    for number in range(count):
        yield f"{number}\n"
    if count > 2:
        raise RuntimeError("too many")


@app.route("teapot", auth_level="anonymous")
def teapot(req: fw.Request) -> fw.Response:
    return fw.Response("short and stout", status_code=418)


@app.timer_trigger("tick", schedule="0 0 3 * * *")
def nightly(tick: Any) -> None:
    pass
