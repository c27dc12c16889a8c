"""What crashing workers cost the others: `python -m benchmarks.faults`.

16 keep-alive connections, each sending 1 ms requests of which 2 % kill their worker; 4 workers; each contender in a
fresh process, first calm (no crashes), then with them. An innocent request is lost if its connection breaks, or if
it is answered with anything but 200. Clients connect again at once, as the host's would.
"""

import argparse
import http.client
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "contenders"
PORT = 18_072
BODY = b'{"Data":{"job":"1"},"Metadata":{}}'
CONNECTIONS = 16
CRASHES = 0.02

CONTENDERS = {
    "fastworker": ["fastworker", "serve", "work:app", "--port", str(PORT), "--workers", "4"],
    "uvicorn --workers": ["uvicorn", "work_asgi:app", "--port", str(PORT), "--workers", "4", "--log-level", "critical"],
    "gunicorn + uvicorn": [
        "gunicorn", "work_asgi:app", "-k", "uvicorn_worker.UvicornWorker", "-w", "4", "-b", f"127.0.0.1:{PORT}",
        "--log-level", "critical",
    ],
}  # fmt: skip


class Tally:
    """What one client saw."""

    def __init__(self) -> None:
        self.answered: list[float] = []
        self.lost = 0
        self.crashes = 0


class Row(NamedTuple):
    answered: int
    lost: int
    crashes: int
    p99_ms: float


def client(tally: Tally, seed: int, until: float, crashes: float) -> None:
    chance = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    while time.monotonic() < until:
        crash = chance.random() < crashes
        began = time.monotonic()
        try:
            connection.request("POST", "/crash" if crash else "/work", BODY, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            fine = response.status == 200
        except (OSError, http.client.HTTPException):
            connection.close()
            fine = False
        if crash:
            tally.crashes += 1
        elif fine:
            tally.answered.append(time.monotonic() - began)
        else:
            tally.lost += 1
    connection.close()


def load(seconds: float, crashes: float) -> Row:
    tallies = [Tally() for _ in range(CONNECTIONS)]
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=client, args=(tally, seed, until, crashes)) for seed, tally in enumerate(tallies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(seconds for tally in tallies for seconds in tally.answered)
    p99_ms = times[len(times) * 99 // 100] * 1000 if times else float("nan")
    return Row(len(times), sum(t.lost for t in tallies), sum(t.crashes for t in tallies), p99_ms)


def wait_until_listening() -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            connection.request("POST", "/work", BODY, {"Content-Type": "application/json"})
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise SystemExit("a contender does not answer; no row for it")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="per measurement")
    options = parser.parse_args()
    print(f"{'':20} {'answered':>9} {'lost':>6} {'crashes':>8} {'lost per 1000':>14} {'p99':>9} {'calm p99':>9}")
    for name, command in CONTENDERS.items():
        path = Path(sys.executable).parent / command[0]
        if not path.exists():
            print(f"{name:20} absent: {command[0]} is not installed (pip install 'fastworker[bench]')")
            continue
        process = subprocess.Popen(
            [str(path), *command[1:]], cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until_listening()
            calm = load(options.seconds, 0)
            row = load(options.seconds, CRASHES)
        finally:
            process.terminate()
            process.wait(20)
        per_thousand = 1000 * row.lost / max(1, row.crashes)
        print(
            f"{name:20} {row.answered:>9,} {row.lost:>6} {row.crashes:>8} {per_thousand:>14.0f} "
            f"{row.p99_ms:>6.0f} ms {calm.p99_ms:>6.0f} ms"
        )


if __name__ == "__main__":
    main()
