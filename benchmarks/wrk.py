"""wrk, where it is installed: a load generator that others know, as a cross-check of our own.

Used by scenarios/capacity.py. Rule: it sends the very bytes that load.c sends; an answer that is not 2xx fails the run.
"""

import re
import shutil
import subprocess
from typing import Final

from benchmarks.calls import WrongAnswerError
from benchmarks.contenders.running import Running
from benchmarks.load import Prepared

SCRIPT: Final = """
local file = io.open("{path}", "rb")
local whole = file:read("*a")
request = function() return whole end
"""


def installed() -> bool:
    """Whether there is a wrk on this machine."""
    return shutil.which("wrk") is not None


def per_second(server: Running, kind: Prepared, *, in_flight: int, seconds: int) -> float:
    """Requests per second in a closed loop. Raises WrongAnswerError if any answer was not 2xx, or none came."""
    request = server.folder / "wrk.request"
    request.write_bytes(kind.request)
    script = server.folder / "wrk.lua"
    script.write_text(SCRIPT.format(path=request))
    command = ["wrk", "-t1", f"-c{in_flight}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{server.port}"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise WrongAnswerError(f"wrk: {output.strip()[-300:]}")
    return float(rate[1])
