"""The documentation's `order` function: an http request becomes a queue message.

Serve it with `fastworker serve docs/examples/order`; by_name.py is the same without decorators.
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
