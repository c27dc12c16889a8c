"""A worker that dies at any line of the straight line: one answer for each request, and the connection goes on."""

import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastworker.worker import straight_line
from tests.harness import HostConnection, Server

Serve = Callable[..., Server]

# Dies once at the line that a file names: `os._exit` between that line and the one before.
APP = """
import os
import sys
import fastworker as fw

app = fw.App()
WANTED = os.path.join(os.path.dirname(__file__), "line.")


def at_line(frame, event, argument):
    if event == "line":
        try:
            os.rename(f"{WANTED}{frame.f_lineno}", f"{WANTED}done")
        except FileNotFoundError:
            return at_line
        os._exit(1)
    return at_line


def trace(frame, event, argument):
    is_it = frame.f_code.co_name == "go" and frame.f_code.co_filename.endswith("straight_line.py")
    return at_line if is_it else None


@app.on_worker_start
def start():
    sys.settrace(trace)


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/{sys.RandGuid}")
def work(job: int) -> int:
    return job
"""
# Enough for a worker to have learned the head, and for the other one, too.
TRIES = 8


def lines_of_go() -> list[int]:
    """Every line of the straight line, from its source."""
    [made] = [c for c in straight_line.straight_line.__code__.co_consts if isinstance(c, types.CodeType)]
    return sorted({line for _, _, line in made.co_lines() if line is not None and line > made.co_firstlineno})


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "function_app.py").write_text(APP)
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    yield serve(app="function_app.py", cwd=tmp_path, workers=2, log_level="error")


def died(host: HostConnection, folder: Path, line: int) -> tuple[bool, list[int]]:
    """Whether a worker has died at `line`, and the statuses of the requests that were sent for that."""
    wanted, done = folder / f"line.{line}", folder / "line.done"
    wanted.touch()
    statuses = []
    for job in range(TRIES):
        response = host.invoke("work", job)
        statuses.append(response.status)
        assert response.status == 500 or response.value == job
        if done.exists():
            done.unlink()
            return True, statuses
    wanted.unlink()
    return False, statuses


@pytest.mark.timeout(120)
def test_whoever_dies_at_any_line_costs_at_most_his_own_request(server: Server, tmp_path: Path) -> None:
    """Answered once, by another worker or with 500; and the connection is armed again, whoever had it."""
    reached = 0
    with server.connect() as host:
        for line in lines_of_go():
            has_died, statuses = died(host, tmp_path, line)
            reached += has_died
            assert statuses.count(500) <= has_died, f"line {line}: {statuses}"
            assert host.quiet
            assert host.invoke("work", line).value == line, f"line {line}"
    # All but the ways out of it, which a usual request does not take.
    assert reached > 40
