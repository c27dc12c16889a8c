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
