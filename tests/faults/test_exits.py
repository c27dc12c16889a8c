"""Orderly ends: at a drain, a reload and a recycling a process does what Python does at the end of every script."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Server

Serve = Callable[..., Server]

HANGING = """
import atexit, os, threading, time
import fastworker as fw

app = fw.App()

def note(name):
    print(name, "ran", flush=True)

@app.on_worker_start
def start():
    atexit.register(note, "the first registered")
    atexit.register(time.sleep, 600)
    atexit.register(lambda: 1 / 0)
    atexit.register(note, "the last registered")
    threading.Thread(target=time.sleep, args=(600,), name="poller").start()

@app.route(methods=["GET"])
def hello(req: fw.Request) -> fw.Response:
    return fw.Response("hello")
"""


@pytest.mark.parametrize("preload", [1, 0])
def test_what_hangs_at_the_end_is_cut_and_the_rest_runs(serve: Serve, tmp_path: Path, preload: int) -> None:
    """A thread that never ends and an exit function that hangs or fails keep nobody from ending; the log names them."""
    (tmp_path / "function_app.py").write_text(HANGING)
    server = serve(cwd=tmp_path, app="function_app.py", workers=1, drain=2, preload=preload)
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 200)
    assert time.monotonic() - began < 6 * PATIENCE
    ran = [line for line in server.stdout if line.endswith("ran")]
    assert ran == ["the last registered ran", "the first registered ran"]
    assert any("exit.cut" in line and "poller" in line for line in server.stdout)
    assert any("ZeroDivisionError" in line for line in server.stderr)
