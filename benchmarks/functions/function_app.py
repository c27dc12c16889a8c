"""The functions under test, served by fastworker.

Rule: what a user would write, nothing tuned; `order` is the documentation's example.
"""

import logging

import msgspec

import fastworker as fw
from benchmarks.functions.work import burn, wait_and_burn

app = fw.App()


class Order(msgspec.Struct):
    id: int
    quantity: int
    color: str


@app.route("order", methods=["POST"], auth_level="function")
@app.queue_output("message", queue_name="orders")
def order(req: fw.Request[Order], message: fw.Out[str]) -> fw.Response:
    message.set(req.text)
    logging.info("order processed")
    return fw.Response("Order complete")


@app.route("echo", methods=["POST"], auth_level="function")
def echo(req: fw.Request[bytes]) -> fw.Response:
    """The length of what came, as text."""
    return fw.Response(str(len(req.body)))


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/{sys.RandGuid}")
def work(job: float) -> bytes:
    """Computes for `job` milliseconds."""
    return burn(job)


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/{sys.RandGuid}")
def wait(job: float) -> bytes:
    """Waits and computes, for half of `job` milliseconds each."""
    return wait_and_burn(job)
