"""The Python servers that fastworker is measured beside: each, started once, answers every function rightly."""

import time

import pytest

pytest.importorskip("psutil", reason="comes with the extra `bench`")

from benchmarks import calls
from benchmarks.contenders import CONTENDERS, running
from benchmarks.contenders.peers import CONTENDERS as PEERS
from benchmarks.functions.work import ROUNDS_VARIABLE

ROUNDS_PER_MS = 100
TIMEOUT_S = 10
CALLS = [
    calls.order(),
    calls.echo(1024),
    calls.echo(1 << 20),
    calls.work(2, ROUNDS_PER_MS),
    calls.wait(2, ROUNDS_PER_MS),
]


@pytest.mark.parametrize("name", [contender.name for contender in PEERS])
def test_peer_answers_every_function_rightly_from_as_many_processes_as_asked(name: str) -> None:
    """What is timed later is the same work, done in two processes, as fastworker's is."""
    contender = CONTENDERS[name]
    reason = contender.absent()
    if reason is not None:
        pytest.skip(reason)
    with running(contender, processes=2, calls=CALLS, settings={ROUNDS_VARIABLE: str(ROUNDS_PER_MS)}) as server:
        until = time.monotonic() + TIMEOUT_S
        while len(server.tree()) < 1 + 2 and time.monotonic() < until:
            time.sleep(0.01)  # the first process may answer before the second is there
        assert len(server.tree()) >= 1 + 2
