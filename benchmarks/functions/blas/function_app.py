"""Matrices, served by fastworker."""

import numpy as np

import fastworker as fw
from benchmarks.functions.blas import SIZE

app = fw.App()
matrix = np.random.default_rng(0).normal(size=(SIZE, SIZE)) + SIZE * np.eye(SIZE)


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/{sys.RandGuid}")
def invert(job: int) -> bytes:
    """Some milliseconds of BLAS and LAPACK; the trace of the unit matrix, as text."""
    return str(round(float(np.trace(np.linalg.inv(matrix) @ matrix)))).encode()
