"""How precisely deadlines are kept, and how soon a dead worker is replaced: `python -m benchmarks.deadlines`.

One worker, deadline 0.2 s, grace 0.1 s. Soft: a Python loop; hard: one long C call; both as lateness of the 504, seen
by the client. Replacement: from the 500 for a crash to the end of the next request, on the same connection. The kernel
counts the time in the queue in ticks of some milliseconds, so that lateness may be a little below 0.
"""

import http.client
import statistics
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent / "contenders"
PORT = 18_073
DEADLINE_S, GRACE_S = 0.2, 0.1
TURNS = 50


def call(connection: http.client.HTTPConnection, function: str, expected: int) -> float:
    """Seconds that one call took; stops everything if its answer is not the expected one."""
    began = time.perf_counter()
    connection.request("POST", f"/{function}", b'{"Data":{"job":"1"}}', {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    if response.status != expected:
        raise SystemExit(f"/{function} answered {response.status}, not {expected}; no figures")
    return time.perf_counter() - began


def main() -> None:
    limits = ["--deadline", str(DEADLINE_S), "--grace", str(GRACE_S)]
    command = [sys.executable, "-m", "fastworker", "serve", "work:app", "--port", str(PORT), "--workers", "1", *limits]
    server = subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        call(connection, "work", 200)
        soft, hard, replaced = [], [], []
        for _ in range(TURNS):
            soft.append(call(connection, "overrun", 504) - DEADLINE_S)
            hard.append(call(connection, "stuck", 504) - DEADLINE_S - GRACE_S)
            call(connection, "crash", 500)
            replaced.append(call(connection, "work", 200))
    finally:
        server.terminate()
        server.wait(20)
    for name, seconds in (
        ("soft deadline, late by", soft),
        ("hard deadline, late by", hard),
        ("replacement", replaced),
    ):
        print(f"{name:24} median {statistics.median(seconds) * 1000:6.1f} ms, max {max(seconds) * 1000:6.1f} ms")


if __name__ == "__main__":
    main()
