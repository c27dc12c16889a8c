"""The Python servers that fastworker is measured beside: each, started once, answers every function rightly."""

import importlib.util
import time
from pathlib import Path

import pytest

for module in ("numpy", "psutil", "rich"):
    pytest.importorskip(module, reason="comes with the extra `bench`")

from benchmarks import calls
from benchmarks.contenders import CONTENDERS, running
from benchmarks.contenders.peers import CONTENDERS as PEERS
from benchmarks.functions.work import ROUNDS_VARIABLE
from benchmarks.rows import OURS
from benchmarks.scenario import Options
from benchmarks.scenarios import adapters

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


@pytest.mark.parametrize(
    ("app", "triggers"), [("azure.functions", ["http", "queue"]), ("FastAPI", ["web"]), ("Flask", ["web"])]
)
def test_foreign_app_computes_here_what_it_does_on_its_usual_server(
    app: str, triggers: list[str], tmp_path: Path
) -> None:
    """Unchanged: the scenario `adapters` measures the same answers everywhere."""
    if importlib.util.find_spec(app.lower().partition(".")[0]) is None:
        pytest.skip(f"{app} is not installed")
    options = Options(tmp_path, True, 1, 1, ROUNDS_PER_MS)
    folder, contender = next((s[1], s[2]) for s in adapters._stacks() if s[0] == app and s[2].name == OURS)
    asked = [adapters.CALLS[trigger](options) for trigger in triggers]
    with running(contender, processes=1, functions=folder, calls=asked, settings=options.work_settings):
        pass
