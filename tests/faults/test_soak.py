"""A long run with everything that makes a server grow: nothing may, neither memory nor descriptors nor rows.

`pytest tests/faults/test_soak.py --soak-minutes 60` for a real one; the suite's own takes seconds, and finds what leaks
at each request. `--soak-samples FILE` keeps what was sampled (one JSON object a line; soak_plot.py draws it).
"""

import contextlib
import json
import os
import random
import re
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.harness import (
    STOPPED,
    HostConnection,
    Server,
    alive,
    envelope,
    in_threads,
    process_name,
    request_bytes,
    wait_for,
)
from tests.memory import resident_bytes

Serve = Callable[..., Server]
MIB = 1 << 20
SAMPLES = 60
# What a process may grow by over a whole run: pages that become private, caches that fill. More is a slope.
MOST_GROWTH_BYTES = 8 * MIB
MOST_GROWTH = 0.10
MOST_DESCRIPTORS = 30


class Sample(NamedTuple):
    """One process at one instant. `rows` are the board's, for the supervisor."""

    second: float
    role: str
    pid: int
    resident: int
    descriptors: int
    rows: int


class Sampler:
    """Looks at every process of the server now and then."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.samples: list[Sample] = []
        self._began = time.monotonic()

    def look(self) -> None:
        second = time.monotonic() - self._began
        rows = sum(map(is_connection, self.board()))
        for pid in (self.server.pid, *self.server.descendants()):
            with contextlib.suppress(OSError, IndexError):
                resident = resident_bytes(pid)
                role = "supervisor" if pid == self.server.pid else role_of(process_name(pid))
                if role:
                    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
                    self.samples.append(Sample(second, role, pid, resident, descriptors, rows))

    def board(self) -> list[str]:
        """Its rows, as SIGUSR1 shows them; none if that takes too long."""
        before = len(self.server.stdout)
        self.server.signal(signal.SIGUSR1)
        with contextlib.suppress(AssertionError):  # busy: the next look will tell
            wait_for(lambda: any(line.startswith("INFO board") for line in self.server.stdout[before:]), "the board", 1)
        return [line for line in self.server.stdout[before:] if line.startswith("INFO board")]


def role_of(name: str) -> str:
    """`worker`, `zygote` or another process of the server's own; nothing for what a handler has started."""
    if re.fullmatch(r"fastworker:\d+", name):
        return "worker"
    return {"fastworker:zygo": "zygote", "fastworker:ward": "warden"}.get(name, "")


def is_connection(row: str) -> bool:
    """Whether a row of the board is of a connection in service."""
    return re.search(r'row=" *connection [0-9]', row) is not None


def growth(points: list[tuple[float, float]]) -> float:
    """How much a series grows from its begin to its end, by the median of the slopes between its first and last thirds.

    Theil and Sen's estimate: outliers, as a worker that is just starting or answering, do not count.
    """
    third = len(points) // 3
    if not third:
        return 0.0
    early, late = points[:third], points[-third:]
    slopes = [(b - a) / (t - s) for s, a in early for t, b in late if t > s]
    return statistics.median(slopes) * (points[-1][0] - points[0][0]) if slopes else 0.0


def test_growth_is_told_from_noise():
    """A slope under noise is found, and noise alone is none."""
    chance = random.Random(1)
    noise = [(float(t), 100 + chance.uniform(-20, 20)) for t in range(90)]
    assert abs(growth(noise)) < 10
    assert growth([(t, value + t) for t, value in noise]) > 60


class Traffic:
    """What clients do, well-behaved and not, until `until`. Each counts what it has done."""

    def __init__(self, server: Server, until: float, seed: int) -> None:
        self.server = server
        self.until = until
        self.seed = seed
        self.done: dict[str, int] = {}

    def run(self, index: int) -> None:
        acts = [self.serve, self.serve, self.churn, self.abort_upload, self.read_slowly, self.break_things, self.flood]
        act = acts[index]
        chance = random.Random(self.seed + index)
        while time.monotonic() < self.until:
            self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
            with contextlib.suppress(OSError, EOFError):  # a fault may cost a connection; others tell who is served
                act(chance)

    def serve(self, chance: random.Random) -> None:
        with self.server.connect() as host:
            for _ in range(chance.randrange(1, 40)):
                kind, job = chance.choice([("echo", {"a": "b" * 500}), ("nap", 0.002), ("fail", "x"), ("chatty", "x")])
                host.invoke(kind, job)

    def churn(self, chance: random.Random) -> None:
        whole = request_bytes("/echo", envelope({"a": "b" * 2000}))
        with self.server.connect() as host:
            if chance.random() < 0.5:
                host.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            host.send(whole[: chance.randrange(len(whole))] if chance.random() < 0.9 else b"nonsense\r\n\r\n")
        self.pause(chance, 0.01)

    def abort_upload(self, chance: random.Random) -> None:
        with self.server.connect() as host:
            host.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (20 * MIB))
            for _ in range(chance.randrange(1, 6)):
                host.send(bytes(MIB))
        self.pause(chance, 0.1)

    def read_slowly(self, chance: random.Random) -> None:
        with self.server.connect() as host:
            host.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host.send(request_bytes("/echo", envelope({"a": "b" * 2 * MIB})))
            for _ in range(chance.randrange(1, 4)):
                self.pause(chance, 0.2)
                host.socket.recv(1000)

    def break_things(self, chance: random.Random) -> None:
        kind = chance.choice(["segfault", "leave", "sys_exit", "stubborn", "reload", "kill"])
        if kind == "reload":
            self.server.signal(signal.SIGHUP)
        elif kind == "kill":
            workers = sorted(self.server.workers())
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(chance.choice(workers), signal.SIGKILL)
        else:
            with self.server.connect() as host:
                host.invoke(kind, 0)
        self.pause(chance, 1.0)

    def flood(self, chance: random.Random) -> None:
        """Many connections at once, all served, some of them pipelined."""
        hosts: list[HostConnection] = []
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                hosts.append(stack.enter_context(self.server.connect()))
            for host in hosts:
                host.send(request_bytes("/echo", envelope({"a": 1})) * chance.choice([1, 1, 5]))
            for host in hosts:
                host.receive()
        self.pause(chance, 0.3)

    def pause(self, chance: random.Random, most_s: float) -> None:
        time.sleep(chance.uniform(0, most_s))  # the load, not a wait for something


@pytest.mark.timeout(0)
def test_a_long_run_leaves_no_slope(serve: Serve, request: pytest.FixtureRequest) -> None:
    """Churn, aborted uploads, slow readers, faults, recycling and reloads; then quiet, and all is as it was."""
    seconds = request.config.getoption("--soak-minutes") * 60
    server = serve(workers=2, deadline=1, grace=0.5, read_timeout=1, max_requests=3000)
    quiet = wait_for(lambda: len(server.workers()) == 2 and descriptors_of(server), "both workers")
    sampler = Sampler(server)
    traffic = Traffic(server, time.monotonic() + seconds, request.config.getoption("--chaos-seed"))

    def run(index: int) -> None:
        if index:
            traffic.run(index - 1)
            return
        pause = max(seconds / SAMPLES, 0.1)
        over = threading.Event()
        while time.monotonic() < traffic.until:
            sampler.look()
            over.wait(pause)

    in_threads(8, run)
    wait_for(lambda: len(server.workers()) == 2, "both workers", 20)
    keep(sampler.samples, request.config.getoption("--soak-samples"))
    print({**traffic.done, "samples": len(sampler.samples)})
    assert set(traffic.done) == {"serve", "churn", "abort_upload", "read_slowly", "break_things", "flood"}
    assert slopes(sampler.samples) == []
    wait_for(lambda: descriptors_of(server) <= quiet + 4, f"the supervisor's {quiet} descriptors of before")
    wait_for(lambda: (rows := sampler.board()) and not any(map(is_connection, rows)), "an empty board")
    tree = server.descendants()
    server.signal(signal.SIGTERM)
    assert server.wait() == STOPPED
    wait_for(lambda: not any(map(alive, tree)), "the end of everybody")


def slopes(samples: list[Sample]) -> list[str]:
    """What grows, by role; the first tenth of the run is its start."""
    begin = samples[-1].second / 10
    found = []
    for role in sorted({sample.role for sample in samples}):
        mine = [sample for sample in samples if sample.role == role and sample.second >= begin]
        for name, most in (("resident", MOST_GROWTH_BYTES), ("descriptors", MOST_DESCRIPTORS), ("rows", 20)):
            points = [(sample.second, float(getattr(sample, name))) for sample in mine]
            least = statistics.median(value for _, value in points) * MOST_GROWTH if points else 0
            grown = growth(points)
            if grown > max(most, least):
                found.append(f"{name} of {role}: {grown:+,.0f} in {samples[-1].second:.0f} s")
    return found


def keep(samples: list[Sample], path: str | None) -> None:
    if path:
        with open(path, "w") as file:
            file.writelines(json.dumps(sample._asdict()) + "\n" for sample in samples)


def descriptors_of(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))
