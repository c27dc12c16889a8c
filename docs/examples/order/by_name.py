"""The documentation's `order` function in its own layout: host.json and order/function.json bind it, by name.

Serve it with `cd docs/examples/order && fastworker serve by_name:app`.
"""

import logging

import fastworker as fw

app = fw.App()


@app.function("order")
def order(req: fw.Request, message: fw.Out[str]) -> fw.Response:
    message.set(req.text)
    logging.info("order processed")
    return fw.Response("Order complete")
