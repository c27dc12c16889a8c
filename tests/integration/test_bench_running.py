"""Contenders as processes: they answer rightly, and nothing of them is left; and the command from end to end."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

for module in ("numpy", "psutil", "rich", "matplotlib"):
    pytest.importorskip(module, reason="comes with the extra `bench`")
if shutil.which("cc") is None and shutil.which("gcc") is None:
    pytest.skip("the floor and the load side are compiled by a C compiler", allow_module_level=True)

import psutil

from benchmarks import calls, rows
from benchmarks.calls import Call, WrongAnswerError
from benchmarks.contenders import CONTENDERS, FUNCTIONS, ROOT, Contender, NotRunningError, running, use_cache
from benchmarks.contenders.ours import NoSuchTreeError, other_tree
from benchmarks.functions.work import ROUNDS_VARIABLE

ROUNDS_PER_MS = 50


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    use_cache(tmp_path_factory.mktemp("cache"))


def every_call(contender: Contender) -> list[Call]:
    made = {"order": [calls.order()], "echo": [calls.echo(1), calls.echo(200_000)]}
    made |= {"work": [calls.work(2, ROUNDS_PER_MS)], "wait": [calls.wait(2, ROUNDS_PER_MS)]}
    made["plain"] = []  # from a folder of its own, below
    return [call for function in sorted(contender.functions) for call in made[function]]


@pytest.mark.parametrize("name", ["floor", "fastworker", "fastworker, no spin", "pool"])
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


def test_another_tree_serves_its_own_package(tmp_path: Path):
    """The commit's server, with this tree's functions."""
    if subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, check=False).returncode:
        pytest.skip("no clone with its history")
    contender = other_tree("HEAD")
    with running(contender, processes=1, calls=[calls.echo(10)]) as server:
        environ = psutil.Process(server.pid).environ()
    tree = Path(environ["PYTHONPATH"].split(":")[0])
    assert (tree / "fastworker" / "cli.py").exists() and tree.name in contender.name
    shutil.copytree(tree, tmp_path / "elsewhere")
    copied = other_tree(str(tmp_path / "elsewhere"))
    assert copied.name == "fastworker at elsewhere"
    with running(copied, processes=1, calls=[calls.echo(10)]):
        pass


@pytest.mark.parametrize("given", ["no-such-commit", str(ROOT)])
def test_what_is_no_other_tree_is_told(given: str):
    with pytest.raises(NoSuchTreeError, match=re.escape(given)):
        other_tree(given)


@pytest.mark.parametrize(("mode", "folder"), [("forwarded", "forward"), ("proxied", "proxy")])
@pytest.mark.parametrize("name", ["floor", "fastworker", "uvicorn"])
def test_plain_http_is_answered_as_the_host_wants_it(name: str, mode: str, folder: str):
    """Each of the two modes, by a host.json of its own."""
    contender = CONTENDERS[name]
    if reason := contender.absent():
        pytest.skip(reason)
    with running(contender, processes=1, functions=FUNCTIONS / folder, calls=[calls.plain_echo(70_000, mode)]):
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
