"""What importing an app does to the world outside of its process: files, output, limits, the processes it starts."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Server

Serve = Callable[..., Server]

FUNCTION = """
import fastworker as fw

app = fw.App()

def function(handler):
    decorated = app.generic_trigger("job", type="manualTrigger")(handler)
    return app.generic_output_binding("$return", type="queue", queueName="q", connection="S")(decorated)
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


IMPORTING = (
    FUNCTION
    + """
import importlib.util, multiprocessing, subprocess, sys
from pathlib import Path
root = Path(__file__).parent
sys.path.insert(1, str(root.parent / "elsewhere"))
import beside, package.deep.module, installed

spec = importlib.util.spec_from_file_location("plugin", root / "plugins" / "plugin.py")
spec.loader.exec_module(importlib.util.module_from_spec(spec))

@function
def run(job):
    import later
    subprocess.run([sys.executable, "-c", "import from_a_child"], check=True, cwd=root)
    child = multiprocessing.get_context("spawn").Process(target=package.deep.module.work)
    child.start()
    child.join()
    return [child.exitcode]
"""
)


@pytest.mark.parametrize("preload", [1, 0])
def test_an_import_leaves_nothing_in_the_apps_root(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preload: int
) -> None:
    """The host restarts on a new folder there. What is installed elsewhere is compiled once, as ever."""
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        monkeypatch.delenv(name, raising=False)
    root, elsewhere = tmp_path / "app", tmp_path / "elsewhere"
    modules = ["beside.py", "later.py", "from_a_child.py", "package/__init__.py", "package/deep/__init__.py"]
    write(root, dict.fromkeys([*modules, "plugins/plugin.py"], "X = 1\n"))
    write(root, {"function_app.py": IMPORTING, "package/deep/module.py": "def work():\n    import other\n"})
    write(root, {"other.py": ""})
    write(elsewhere, {"installed.py": "X = 1\n"})
    before = everything_below(root)
    server = serve(cwd=root, app="function_app.py", workers=1, preload=preload)
    with server.connect() as host:
        assert host.invoke("run").value == 0
    assert everything_below(root) == before
    assert "__pycache__" in everything_below(elsewhere)
    server.stop()
    assert everything_below(root) == before


def test_bytecode_that_was_deployed_is_used(serve: Serve, tmp_path: Path) -> None:
    """Only its writing is off: an app may be compiled when it is built."""
    write(tmp_path, {"function_app.py": FUNCTION + "import compiled\n@function\ndef run(job): return [compiled.X]\n"})
    write(tmp_path, {"compiled.py": "X = 1\n"})
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(tmp_path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    write(tmp_path, {"compiled.py": "X = 2\n"})
    server = serve(cwd=tmp_path, app="function_app.py", workers=1)
    with server.connect() as host:
        assert host.invoke("run").value == 1


THREADS = (
    FUNCTION
    + """
import os

@function
def run(job):
    return [[os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")]]
"""
)


@pytest.mark.parametrize(("threads", "expected"), [("3", ["7", "3", "3"]), ("off", ["7", None, None])])
def test_native_threads_are_limited_where_the_user_has_not_decided(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str, expected: list[str | None]
) -> None:
    """By the variables that the libraries read; those that are set stay as they are."""
    for name in ("OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    write(tmp_path, {"function_app.py": THREADS})
    server = serve(cwd=tmp_path, app="function_app.py", workers=1, threads=threads)
    with server.connect() as host:
        assert host.invoke("run").value == expected


MODEL = (
    FUNCTION
    + """
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
rng = np.random.default_rng(0)
x = rng.normal(size=(300, 4))
model = HistGradientBoostingClassifier(max_iter=3).fit(x, (x[:, 0] > 0).astype(int))
model.predict(x)

@function
def predict(job):
    return [int(model.predict(x).sum())]
"""
)


def test_a_model_that_was_used_at_import_predicts_or_is_warned_of(serve: Serve, tmp_path: Path) -> None:
    """With one native thread there is no pool to lose; with more the warning names the library and the ways out."""
    pytest.importorskip("sklearn")
    write(tmp_path, {"function_app.py": MODEL})
    server = serve(cwd=tmp_path, app="function_app.py", workers=2, threads=1)
    with server.connect() as host:
        assert host.invoke("predict").value > 0
    assert not any("native_threads" in line for line in server.stderr)
    server = serve(cwd=tmp_path, app="function_app.py", workers=1, threads=2)
    (line,) = [line for line in server.stderr if "app.native_threads" in line]
    assert re.search("GNU OpenMP.*FASTWORKER_PRELOAD=0.*on_worker_start.*FASTWORKER_THREADS=1", line)
