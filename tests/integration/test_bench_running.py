"""Contenders as processes: they answer rightly, and nothing of them is left; and the command from end to end."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

for module in ("hdrh", "numpy", "psutil", "rich", "matplotlib"):
    pytest.importorskip(module, reason="comes with the extra `bench`")
if shutil.which("cc") is None and shutil.which("gcc") is None:
    pytest.skip("the floor and the load side are compiled by a C compiler", allow_module_level=True)

import psutil

from benchmarks import calls, rows
from benchmarks.calls import Call, WrongAnswerError
from benchmarks.contenders import CONTENDERS, ROOT, Contender, NotRunningError, running, use_cache
from benchmarks.functions.work import ROUNDS_VARIABLE

ROUNDS_PER_MS = 50


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    use_cache(tmp_path_factory.mktemp("cache"))


def every_call(contender: Contender) -> list[Call]:
    made = {"order": [calls.order()], "echo": [calls.echo(1), calls.echo(200_000)]}
    made |= {"work": [calls.work(2, ROUNDS_PER_MS)], "wait": [calls.wait(2, ROUNDS_PER_MS)]}
    return [call for function in sorted(contender.functions) for call in made[function]]


@pytest.mark.parametrize("name", ["floor", "fastworker", "fastworker, no spin"])
def test_contender_answers_all_its_functions_and_leaves_nothing(name: str):
    """The whole tree ends with the block."""
    contender = CONTENDERS[name]
    assert contender.absent() is None
    settings = {ROUNDS_VARIABLE: str(ROUNDS_PER_MS)}
    with running(contender, processes=2, calls=every_call(contender), settings=settings) as server:
        tree = server.tree()
        assert tree[0].pid == server.pid
    assert not [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_floor_has_nothing_but_its_two_functions():
    """And says so, rather than answering work that it did not do."""
    contender = CONTENDERS["floor"]
    assert contender.absent() is None
    with pytest.raises(WrongAnswerError, match="status 404"), running(contender, processes=1) as server:
        server.checked(calls.work(1, ROUNDS_PER_MS))


def test_contender_that_ends_is_told_with_its_last_words():
    script = "import sys; print('no such module: tornado'); sys.exit(3)"
    broken = Contender("broken", lambda launch: [sys.executable, "-c", script])
    with pytest.raises(NotRunningError, match="ended with 3: no such module: tornado"), running(broken, processes=1):
        pass


@pytest.mark.timeout(120)
def test_command_measures_and_reports(tmp_path: Path):
    """One scenario, one contender: rows on disk, a table on stdout."""
    command = [sys.executable, "-m", "benchmarks", "capacity", "--quick", "--contenders", "floor"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    written = rows.read(tmp_path)
    assert {row.contender for row in written} == {"floor"}
    assert all(row.ok and row.metrics["per_second"] > 0 for row in written)
    assert written[0].machine["kernel"]
    assert "floor" in done.stdout


@pytest.mark.timeout(60)
def test_unknown_scenario_is_told_with_those_there_are(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks", "hops", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 2
    assert "no such scenario: hops; there are hop, capacity" in done.stderr
