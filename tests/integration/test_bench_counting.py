"""benchmarks/counting.py: what one request costs, counted."""

import json
import subprocess
import sys

import pytest


def count(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.counting", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("scenario", ["queue", "forwarded"])
def test_counting_twice_gives_the_same_figures(scenario):
    """They are the code's, whatever the machine does meanwhile; and each request was answered rightly."""
    first, second = (count(scenario, "--only-bytecodes") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    (row,) = json.loads(first.stdout)["requests"].values()
    assert 100 < row["bytecodes"] < 10_000
    assert 5 < row["calls"] < row["bytecodes"]


def test_a_scenario_that_is_none_is_refused_with_those_that_are():
    """A name that was mistyped measures nothing."""
    done = count("envelop")
    assert done.returncode == 2
    assert "no scenario 'envelop'; there are: envelope, queue, forwarded, proxied" in done.stderr
