"""/work burns a millisecond, /crash kills its worker: served by fastworker."""

import os
import signal
import time
from typing import Any

import fastworker as fw

app = fw.App()


@app.generic_trigger("job", type="manualTrigger")
def work(job: Any) -> None:
    until = time.perf_counter() + 0.001
    while time.perf_counter() < until:
        pass


@app.generic_trigger("job", type="manualTrigger")
def crash(job: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@app.generic_trigger("job", type="manualTrigger")
def overrun(job: Any) -> None:
    """Ended by DeadlineExceeded."""
    while True:
        time.perf_counter()


@app.generic_trigger("job", type="manualTrigger")
def stuck(job: Any) -> None:
    """One C call, ended by force only."""
    sum(range(10**11))
