"""Functions whose requests are counted (benchmarks/counting.py): what a user would write, as small as it can be.

`order` is the documentation's example.
"""

import logging

import msgspec

import fastworker as fw

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


@app.route("greet", methods=["GET"], auth_level="anonymous")
def greet(req: fw.Request) -> str:
    return f"Hello, {req.query.get('name', 'world')}!"


@app.route("length", methods=["POST"], auth_level="anonymous")
def length(req: fw.Request[bytes]) -> str:
    """The length of what came."""
    return str(len(req.body))


@app.queue_trigger("item", queue_name="items")
def item(item: str) -> None:
    logging.info("item of %d characters", len(item))
