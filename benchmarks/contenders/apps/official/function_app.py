"""functions.py in the decorator model (v2), for the worker's library to index."""

import azure.functions as func
import functions

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route("order", methods=["POST"])
@app.queue_output("message", queue_name="orders", connection="AzureWebJobsStorage")
def order(req: func.HttpRequest, message: func.Out[str]) -> func.HttpResponse:
    """The documentation's example."""
    return functions.order(req, message)


@app.route("echo", methods=["POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    """The length of the http body."""
    return functions.echo(req)


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/{sys.RandGuid}", connection="AzureWebJobsStorage")
def work(job: str) -> bytes:
    """Computes."""
    return functions.work(job)


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/{sys.RandGuid}", connection="AzureWebJobsStorage")
def wait(job: str) -> bytes:
    """Waits and computes."""
    return functions.wait(job)


@app.route("compute", methods=["POST"])
def compute(req: func.HttpRequest) -> func.HttpResponse:
    """Computes, asked over http."""
    return functions.compute(req)


@app.queue_trigger("msg", queue_name="jobs", connection="AzureWebJobsStorage")
@app.blob_output("$return", path="results/{sys.RandGuid}", connection="AzureWebJobsStorage")
def consume(msg: func.QueueMessage) -> str:
    """Computes, asked by a queue message."""
    return functions.consume(msg)
