"""How long the work itself takes on this machine: the service times that the ideal is simulated with.

As many bare Python processes as there are workers compute at the same time, as they would under full load, for two CPUs
may slow each other down. Run as `python -m benchmarks.service_times SECONDS MS...`, it is one of these processes.
Rule: no server, no HTTP, and nothing waits; a job's time is that of the function's own code.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.contenders.interface import base_environ, python
from benchmarks.functions.work import ROUNDS_VARIABLE, burn


def measure(jobs_ms: Sequence[float], processes: int, seconds: float, rounds_per_ms: int) -> dict[float, list[int]]:
    """Service times in ns of each kind of job, measured for `seconds` each in all processes at once."""
    command = python("-m", "benchmarks.service_times", f"{seconds:g}", *(f"{ms:g}" for ms in jobs_ms))
    environ = {**base_environ(), ROUNDS_VARIABLE: str(rounds_per_ms)}
    running = [
        subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:
        for process in running:
            assert process.stdout
            process.stdout.readline()  # all are ready before any begins
        for process in running:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        return _collect(running, jobs_ms)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _collect(running: "Sequence[subprocess.Popen[str]]", jobs_ms: Sequence[float]) -> dict[float, list[int]]:
    found: dict[float, list[int]] = {ms: [] for ms in jobs_ms}
    for process in running:
        output, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"a process that measured service times ended with {process.returncode}")
        for ms, times in zip(jobs_ms, json.loads(output), strict=True):
            found[ms] += times
    return found


def _time_jobs(ms: float, seconds: float) -> list[int]:
    burn(ms)
    times = []
    until = time.perf_counter_ns() + round(seconds * 1e9)
    began = time.perf_counter_ns()
    while began < until:
        burn(ms)
        ended = time.perf_counter_ns()
        times.append(ended - began)
        began = ended
    return times


def main() -> None:
    """One of the processes: says that it is ready, waits for a line, measures, and prints a list per kind of job."""
    seconds, *jobs = map(float, sys.argv[1:])
    burn(1)
    print(flush=True)
    sys.stdin.readline()
    print(json.dumps([_time_jobs(ms, seconds) for ms in jobs]))


if __name__ == "__main__":
    main()
