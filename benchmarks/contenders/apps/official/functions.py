"""The functions on azure-functions: loaded one by one by the worker of 2020, and decorated in function_app.py.

Rule: the same code for both workers, on Python 3.8 and newer; plain `def`, so that it runs in the worker's threads.
"""

import json
import logging

import azure.functions as func

from benchmarks.functions.work import burn, wait_and_burn


def order(req: func.HttpRequest, message: func.Out[str]) -> func.HttpResponse:
    """The documentation's: an http request becomes a queue message."""
    message.set(req.get_body().decode())
    logging.info("order processed")
    return func.HttpResponse("Order complete")


def echo(req: func.HttpRequest) -> func.HttpResponse:
    """The length of the http body, as text."""
    return func.HttpResponse(str(len(req.get_body())))


def work(job: str) -> bytes:
    """Computes for `job` milliseconds."""
    return burn(json.loads(job))


def wait(job: str) -> bytes:
    """Waits and computes, for half of `job` milliseconds each."""
    return wait_and_burn(json.loads(job))


def compute(req: func.HttpRequest) -> func.HttpResponse:
    """Computes for `ms` milliseconds of the query."""
    return func.HttpResponse(burn(float(req.params["ms"])).hex())


def consume(msg: func.QueueMessage) -> str:
    """Computes for as long as the message says (`ms=10`), and returns the digest."""
    return burn(float(msg.get_body().decode().partition("=")[2])).hex()
