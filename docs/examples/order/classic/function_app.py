"""The documentation's `order` function in its own layout: the bindings stand in order/function.json.

Serve it with `fastworker serve docs/examples/order/classic`.
"""

import logging

import fastworker as fw

app = fw.App()


@app.function("order")
def order(req: fw.Request, message: fw.Out[str]) -> fw.Response:
    message.set(req.text)
    logging.info("order processed")
    return fw.Response("Order complete")
