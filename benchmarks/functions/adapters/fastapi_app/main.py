"""A FastAPI app that computes, as its documentation recommends: `def`, for it blocks."""

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from benchmarks.functions.faults import fates
from benchmarks.functions.work import burn

app = FastAPI(openapi_url=None)


@app.get("/api/compute", response_class=PlainTextResponse)
def compute(ms: float) -> str:
    """Computes for `ms` milliseconds."""
    return burn(ms).hex()


@app.get("/api/crash")
def crash() -> None:
    """Kills its worker."""
    fates.crash()
