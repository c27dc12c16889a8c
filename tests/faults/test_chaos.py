"""Chaos with a ledger: crashes, overruns, careless handlers, stalls, kills, reloads under load, and all accounted for.

48 s in all by default; `pytest tests/faults/test_chaos.py --chaos-minutes 30` for more, `--chaos-seed N` to repeat;
`--chaos-app azure` and `fastapi` for the same functions in an app that was not written for fastworker.
"""

import collections
import contextlib
import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness import STOPPED, Server, StatusClient, alive, envelope, in_threads, request_bytes, wait_for

Serve = Callable[..., Server]
CLIENTS = 12
DEADLINE, GRACE = 0.5, 0.3

# What each kind of request may be answered, its own worker being left alone.
OWN = {
    "record": {200},
    "segfault": {500},
    "leave": {500},
    "sys_exit": {500},
    "stubborn": {504},
    "spin": {504},
    "stop_self": {504, 200},  # the vandal may wake it
    "nap": {200},
    "forks": {200},
    "closes": {500},
    "leaves_daemon": {200},
    "prints_much": {200},
    "leaves_tasks": {200},
    "cancels_all": {500},
}
SYNC_MIX = {"record": 900, "segfault": 20, "leave": 10, "sys_exit": 10, "stubborn": 3, "spin": 6, "stop_self": 3}
SYNC_MIX |= {"forks": 15, "closes": 5, "leaves_daemon": 3, "prints_much": 5}
ASYNC_MIX = SYNC_MIX | {"nap": 60, "leaves_tasks": 15, "cancels_all": 5}


class Entry(NamedTuple):
    """One line of the ledger."""

    id: str
    kind: str
    status: int
    detail: str
    seconds: float
    function: str  # that the answer names

    @property
    def outcome(self) -> str:
        """As what the server must have counted it: the answer tells who has given it, and why."""
        if self.status == 200:
            return "ok"
        if self.detail.startswith("never started"):
            return "rejected"
        if self.detail.startswith("ran too long"):
            return "deadline_hard"
        if self.detail.startswith("the deadline of"):
            return "deadline_soft"
        return "crashed" if self.detail.startswith(("its worker", "two workers died")) else "failed"


class Vandal:
    """Does things to the server's processes, seeded; counts what may have hit an innocent invocation."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.chance = random.Random(seed)
        self.done: collections.Counter[str] = collections.Counter()

    def strike(self) -> None:
        act = self.chance.choices(
            [
                self.kill_worker,
                self.stop_worker,
                self.stall_worker,
                self.reload,
                self.stall_supervisor,
                self.kill_zygote,
            ],
            [40, 10, 20, 12, 6, 2],
        )[0]
        self.done[act.__name__] += 1
        act()

    def one(self) -> int | None:
        workers = sorted(self.server.workers())
        return self.chance.choice(workers) if workers else None

    def kill_worker(self) -> None:
        send(self.one(), signal.SIGKILL)

    def stop_worker(self) -> None:
        send(self.one(), signal.SIGSTOP)

    def stall_worker(self) -> None:
        victim = self.one()
        send(victim, signal.SIGSTOP)
        self.pause(0.15)
        send(victim, signal.SIGCONT)

    def stall_supervisor(self) -> None:
        send(self.server.pid, signal.SIGSTOP)
        self.pause(0.15)
        send(self.server.pid, signal.SIGCONT)

    def reload(self) -> None:
        send(self.server.pid, signal.SIGHUP)

    def kill_zygote(self) -> None:
        for pid in self.server.zygotes():
            send(pid, signal.SIGKILL)

    def pause(self, most_s: float) -> None:
        time.sleep(self.chance.uniform(0, most_s))  # a moment of the chaos, not a wait for something


def send(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Case(NamedTuple):
    """What is sent, in which shape, to which app."""

    mix: dict[str, int]
    forwards: bool
    app: str


CASES = {
    "own": {
        "sync": Case(SYNC_MIX, False, "scenarios:app"),
        "async": Case(ASYNC_MIX, False, "scenarios:app"),
        "forward": Case(SYNC_MIX, True, "http_scenarios:app"),
    },
    "azure": {
        "azure-sync": Case(SYNC_MIX, False, "azure_scenarios:app"),
        "azure-async": Case(ASYNC_MIX, False, "azure_scenarios:app"),
    },
    "fastapi": {"fastapi": Case(SYNC_MIX, True, "fastapi_scenarios:app")},
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = CASES[metafunc.config.getoption("--chaos-app")]
        metafunc.parametrize("case", cases.values(), ids=cases.keys())


@pytest.mark.timeout(0)
def test_chaos_leaves_the_ledger_balanced(
    serve: Serve, request: pytest.FixtureRequest, tmp_path: Path, case: Case
) -> None:
    """Every request exactly one answer, none run twice, no neighbour harmed, nothing leaked."""
    seed = request.config.getoption("--chaos-seed")
    mix, forwards, app = case
    count = len(CASES[request.config.getoption("--chaos-app")])
    seconds = request.config.getoption("--chaos-minutes") * 60 / count
    runs = tmp_path / "runs"
    runs.touch()
    os.environ["CHAOS_RUNS"] = str(runs)
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path)
    shape = "forward" if forwards else "envelope"
    server = serve("--http-mode", shape, app=app, workers=4, deadline=DEADLINE, grace=GRACE)
    descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
    vandal = Vandal(server, seed)
    until = time.monotonic() + seconds
    ledger: list[Entry] = []
    abandoned: list[str] = []

    def client(index: int) -> None:
        if index == CLIENTS:
            while time.monotonic() < until:
                vandal.strike()
                vandal.pause(0.4)
            return
        chance = random.Random(seed * 1000 + index)
        host = server.connect(timeout_s=30)
        turn = 0
        while time.monotonic() < until:
            turn += 1
            kind = chance.choices(list(mix), list(mix.values()))[0]
            if kind == "record" and chance.random() < 0.003:
                kind = "abandoned"
            name = f"{index:04d}-{turn:08d}-{kind}"
            job: object = {"nap": 0.05, "leave": 7, "sys_exit": 0}.get(kind, name)
            path, body = (f"/api/{kind}", json.dumps(job).encode()) if forwards else (f"/{kind}", envelope(job))
            if kind == "abandoned":
                host.send(request_bytes(path, body, invocation_id=name, chunked=not forwards))
                host.close()
                abandoned.append(name)
                host = server.connect(timeout_s=30)
                continue
            began = time.monotonic()
            response = host.post(path, body, invocation_id=name, chunked=not forwards)
            seconds = time.monotonic() - began
            problem = {"detail": "", "function": kind} if response.status == 200 else response.json()
            function = problem.get("function") or ""
            ledger.append(Entry(name, kind, response.status, problem["detail"], seconds, function))
        assert host.quiet
        host.close()

    in_threads(CLIENTS + 1, client)
    report(ledger, vandal, seed)
    own = OWN | {"forks": {200, 500, 504}} if case is CASES["fastapi"]["fastapi"] else OWN
    check_answers(ledger, vandal, own, strict=mix is SYNC_MIX)
    check_runs(ledger, abandoned, runs.read_text().split())
    with StatusClient(server, tmp_path) as status:
        if case is CASES["fastapi"]["fastapi"]:  # one function for all endpoints, which answers errors by itself
            assert 0 <= sum(status.outcomes().values()) - len(ledger) <= len(abandoned)
        else:
            check_counters(status, ledger, abandoned, runs.read_text().split())
    check_leaks(server, descriptors)


def report(ledger: list[Entry], vandal: Vandal, seed: int) -> None:
    counts = collections.Counter((entry.kind, entry.status) for entry in ledger)
    innocent = sorted(entry.seconds for entry in ledger if entry.kind == "record")
    print(f"seed {seed}: {len(ledger)} requests, vandalism {dict(vandal.done)}")
    print({f"{kind} {status}": count for (kind, status), count in sorted(counts.items())})
    print(f"innocent: p50 {innocent[len(innocent) // 2]:.4f} s, p99 {innocent[len(innocent) * 99 // 100]:.4f} s")


def check_answers(ledger: list[Entry], vandal: Vandal, own: dict[str, set[int]], *, strict: bool) -> None:
    """Each has the answer of its kind, or one that tells of what was done to its worker, or to its waiting time."""
    harmed = 0
    for entry in ledger:
        if entry.status in own[entry.kind]:
            continue
        if entry.detail.startswith("never started"):
            continue  # all workers were stalled for longer than its deadline
        assert entry.status in (500, 504), entry
        harmed += 1
        if strict and entry.kind == "record":
            # Nothing that a neighbour does may show here: neither its crash nor its overrun.
            assert "SIGSEGV" not in entry.detail, entry
            assert "exited with code" not in entry.detail, entry
            assert "another invocation" not in entry.detail, entry
    done = vandal.done
    # Each kill or stop can hit one invocation of a worker (sync), a zygote's death those of all four.
    most = done["kill_worker"] + done["stop_worker"] + done["stall_worker"] + 4 * done["kill_zygote"] + 4
    if strict:
        assert harmed <= most, (harmed, done)


def check_runs(ledger: list[Entry], abandoned: list[str], runs: list[str]) -> None:
    """What was answered 200 has run exactly once, and nothing has run twice."""
    counts = collections.Counter(runs)
    assert [name for name, count in counts.items() if count > 1] == []
    answered = {entry.id for entry in ledger if entry.kind == "record" and entry.status == 200}
    assert answered <= set(counts)
    known = {entry.id for entry in ledger} | set(abandoned)
    assert set(counts) <= known


def check_counters(client: StatusClient, ledger: list[Entry], abandoned: list[str], runs: list[str]) -> None:
    """What the server has counted is the ledger, to the unit, by function and outcome, deaths included.

    Of what its client has abandoned the ledger knows nothing: it has a function of its own, and may have died before
    its name was read, and so be among those without one.
    """
    expected = collections.Counter((entry.function, entry.outcome) for entry in ledger)
    found: collections.Counter[tuple[str, str]] = collections.Counter()

    def others() -> collections.Counter[tuple[str, str]]:
        found.clear()
        found.update(client.outcomes())
        return collections.Counter({key: n for key, n in found.items() if key[0] not in ("abandoned", "")})

    named = collections.Counter({key: n for key, n in expected.items() if key[0]})
    with contextlib.suppress(AssertionError):  # the last ones are counted a moment after their clients have them
        wait_for(lambda: others() == named, "the counters")
    assert others() == named
    unnamed = found["", "crashed"] - expected["", "crashed"]
    told = sum(n for (name, _), n in found.items() if name == "abandoned")
    assert {key for key in found if not key[0]} <= {("", "crashed")}
    assert unnamed >= 0
    assert sum(name.endswith("abandoned") for name in runs) <= told
    assert told + unnamed <= len(abandoned)


def check_leaks(server: Server, descriptors: int) -> None:
    """Four workers, one zygote, no connection on the board, no descriptor too many; then a clean end."""
    wait_for(lambda: len(server.workers()) == 4, "four workers", 20)
    wait_for(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) <= descriptors + 4, "closed descriptors")

    def board() -> list[str]:
        before = len(server.stdout)
        server.signal(signal.SIGUSR1)
        return wait_for(lambda: rows_after(server, before), "the board")  # type: ignore[no-any-return]

    wait_for(lambda: not any(re.search(r'row=" *connection [0-9]', row) for row in board()), "an empty board")
    tree = server.descendants()
    server.signal(signal.SIGTERM)
    assert server.wait() == STOPPED
    wait_for(lambda: not any(map(alive, tree)), "the end of everybody")
    assert not [line for line in server.stderr if "supervisor failed" in line]
    assert threading.active_count() < 50


def rows_after(server: Server, before: int) -> list[str]:
    rows = [line for line in server.stdout[before:] if line.startswith("INFO board")]
    return rows if len(rows) >= 5 else []
