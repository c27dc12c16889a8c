"""pipeline: an order comes in by HTTP, goes through a queue, and ends as a receipt in a blob.

Try it:  fastworker dev
         curl -d '{"id": 1005, "quantity": 3, "color": "black"}' http://127.0.0.1:7071/api/order
"""

import logging

import msgspec

import fastworker as fw

app = fw.App()


class Order(msgspec.Struct):
    id: int
    quantity: int
    color: str


class Receipt(msgspec.Struct):
    id: int
    total: float


@app.route("order", methods=["POST"])
@app.queue_output("message", queue_name="orders")
def order(req: fw.Request[Order], message: fw.Out[Order]) -> fw.Response:
    message.set(req.body)
    return fw.Response("Order complete")


@app.function(deadline=10.0)
@app.queue_trigger("job", queue_name="orders")
@app.blob_output("$return", path="receipts/{id}.json")
def receipt(job: Order) -> Receipt:
    logging.info("writing the receipt of order %d", job.id)
    return Receipt(job.id, total=round(job.quantity * 9.95, 2))
