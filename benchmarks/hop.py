"""The hop from the host to the handler, beside the floor: `python -m benchmarks.hop`.

Sends the order example's envelope, with the host's headers, with wrk: one connection for latency, 64 for capacity.
Contenders take turns, each in a fresh process, checked for the right answer first; the figures are medians of the
rounds, and what counts are their ratios to the C server's of the same run. Any failed answer fails the run.
"""

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ORDER = HERE.parent / "docs" / "examples" / "order"
ENVELOPE = (ORDER / "envelope.json").read_bytes().strip()
PORT = 18_071
SCRIPT = """
local file = io.open("{path}", "rb")
wrk.method = "POST"
wrk.path = "/order"
wrk.body = file:read("*a")
wrk.headers["X-Azure-Functions-HostVersion"] = "4.1037.0.0"
wrk.headers["X-Azure-Functions-InvocationId"] = "7b4f3a0e-5d0b-4a37-b0a9-0d7d6a1f2c11"
wrk.headers["User-Agent"] = "Azure-Functions-Host/4.1037.0.0"
wrk.headers["Content-Type"] = "application/json; charset=utf-8"
"""


class BenchmarkError(Exception):
    """A contender answered wrongly, or not at all: there is no row for it."""


class Contender(NamedTuple):
    name: str
    command: list[str]


class Row(NamedTuple):
    p50_us: float
    per_second: float


@contextmanager
def running(contender: Contender) -> Iterator[None]:
    """The contender as a process of its own, once it answers an order rightly."""
    process = subprocess.Popen(contender.command, cwd=ORDER, stdout=subprocess.DEVNULL)
    try:
        check(contender.name)
        yield
    finally:
        process.terminate()
        process.wait(15)


def check(name: str) -> None:
    """Waits for the port, then asks once."""
    until = time.monotonic() + 20
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            connection.request("POST", "/order", ENVELOPE, {"Content-Type": "application/json"})
            answer = json.load(connection.getresponse())
            connection.close()
            break
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise BenchmarkError(f"{name} does not listen") from None
            time.sleep(0.02)
    if answer["Outputs"]["res"]["body"] != "Order complete":
        raise BenchmarkError(f"{name} answered {answer}")


def load(script: Path, connections: int, seconds: int) -> str:
    """One run of wrk; raises if an answer was not 200."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    output = subprocess.run([*command, f"http://127.0.0.1:{PORT}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise BenchmarkError(output)
    return output


def measure(contender: Contender, script: Path, seconds: int) -> Row:
    with running(contender):
        load(script, 16, 1)  # warm-up: every worker meets connections
        p50 = re.search(r"50%\s+([\d.]+)(us|ms)", load(script, 1, seconds))
        rate = re.search(r"Requests/sec:\s+([\d.]+)", load(script, 64, seconds))
    assert p50 and rate
    return Row(float(p50[1]) * (1000 if p50[2] == "ms" else 1), float(rate[1]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hop", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="per measurement")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 16])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        floor = Path(folder) / "floor"
        subprocess.run(["cc", "-O2", "-pthread", "-o", str(floor), str(HERE / "contenders" / "floor.c")], check=True)
        script = Path(folder) / "order.lua"
        script.write_text(SCRIPT.format(path=ORDER / "envelope.json"))
        contenders = [Contender("C, a thread per connection", [str(floor), str(PORT)])]
        for workers in options.workers:
            serve = [sys.executable, "-m", "fastworker", "serve", "--port", str(PORT), "--workers", str(workers)]
            contenders.append(Contender(f"fastworker, {workers} workers", serve))
            if workers == 2:
                contenders.append(Contender("fastworker, 2 workers, no spin", [*serve, "--spin", "0"]))
        rows: dict[str, list[Row]] = {contender.name: [] for contender in contenders}
        for _ in range(options.rounds):
            for contender in contenders:
                rows[contender.name].append(measure(contender, script, options.seconds))
    show(rows)


def show(rows: dict[str, list[Row]]) -> None:
    medians = {
        name: Row(statistics.median(row.p50_us for row in taken), statistics.median(row.per_second for row in taken))
        for name, taken in rows.items()
    }
    floor = next(iter(medians.values()))
    print(f"{'':34} {'p50, 1 conn.':>14} {'ratio':>6} {'req/s, 64 conn.':>16} {'ratio':>6}")
    for name, row in medians.items():
        print(
            f"{name:34} {row.p50_us:>11.0f} us {row.p50_us / floor.p50_us:>6.2f} "
            f"{row.per_second:>16,.0f} {row.per_second / floor.per_second:>6.2f}"
        )


if __name__ == "__main__":
    main()
