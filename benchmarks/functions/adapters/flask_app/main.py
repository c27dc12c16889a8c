"""A Flask app that computes."""

from flask import Flask, Response, request

from benchmarks.functions.faults import fates
from benchmarks.functions.work import burn

app = Flask(__name__)


@app.get("/api/compute")
def compute() -> Response:
    """Computes for `ms` milliseconds."""
    return Response(burn(float(request.args["ms"])).hex(), mimetype="text/plain")


@app.get("/api/crash")
def crash() -> str:
    """Kills its worker."""
    fates.crash()
    return ""
