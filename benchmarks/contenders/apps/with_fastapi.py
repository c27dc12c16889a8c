"""The functions as a FastAPI app: envelopes as models, answers by return type. Served by uvicorn.

Rule: what FastAPI's own documentation recommends: `async def` where nothing blocks, `def`, and so a thread, where
something does; only those members are modelled that are used.
"""

import base64
import json
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.functions.work import burn, wait_and_burn

app = FastAPI(openapi_url=None)


class HttpRequest(BaseModel):
    Body: str


class HttpData(BaseModel):
    req: HttpRequest


class HttpInvocation(BaseModel):
    Data: HttpData


class JobData(BaseModel):
    job: str


class JobInvocation(BaseModel):
    Data: JobData


class Answer(BaseModel):
    Outputs: dict[str, Any] = {}
    Logs: list[str] = []
    ReturnValue: str | None = None


@app.post("/order")
async def order(invocation: HttpInvocation) -> Answer:
    """The documentation's: an http request becomes a queue message."""
    outputs = {"res": {"statusCode": 200, "body": "Order complete"}, "message": invocation.Data.req.Body}
    return Answer(Outputs=outputs, Logs=["order processed"])


@app.post("/echo")
async def echo(invocation: HttpInvocation) -> Answer:
    """The length of the http body, as text."""
    length = str(len(invocation.Data.req.Body.encode()))
    return Answer(Outputs={"res": {"statusCode": 200, "body": length}})


@app.post("/work")
def work(invocation: JobInvocation) -> Answer:
    """Computes for `job` milliseconds."""
    return Answer(ReturnValue=base64.b64encode(burn(json.loads(invocation.Data.job))).decode())


@app.post("/wait")
def wait(invocation: JobInvocation) -> Answer:
    """Waits and computes, for half of `job` milliseconds each."""
    return Answer(ReturnValue=base64.b64encode(wait_and_burn(json.loads(invocation.Data.job))).decode())
