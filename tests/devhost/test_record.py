"""docs/record.py: what the pages show of real runs can be recorded anew, and stands there as it was recorded."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
# What differs from run to run.
VARIES = re.compile(r"\b[0-9a-f]{8}\b|\d+(?:\.\d+)?")
TIMED = re.compile(r"\d\d:\d\d:\d\d\.\d{3} ")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    if not pytestconfig.getoption("--record"):
        pytest.skip("records the documentation's runs anew: give --record, as CI does")
    for program in ("curl", "bash"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    out = tmp_path_factory.mktemp("docs")
    command = [sys.executable, str(DOCS / "record.py"), "--out", str(out), "first-hour", "pipeline"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_the_first_hour_is_what_a_new_user_sees(recorded: Path) -> None:
    """The same commands with the same messages; what `dev` writes with its time comes in an order of its own."""
    written, fresh = ((folder / "first-hour.md").read_text() for folder in (DOCS, recorded))
    commands = [line for line in fresh.splitlines() if line.startswith("$ ")]
    assert commands == [line for line in written.splitlines() if line.startswith("$ ")]
    same = [
        [VARIES.sub("0", line) for line in text.splitlines() if line and not TIMED.match(line)]
        for text in (written, fresh)
    ]
    assert same[0] == same[1], "the page is out of date: run docs/record.py"
    assert str(DOCS.parent) not in written


def test_a_picture_is_of_a_whole_run(recorded: Path) -> None:
    """From the start of the local host to its end."""
    text = (recorded / "images" / "pipeline.svg").read_text().replace("&#160;", " ")
    for said in ("fastworker dev pipeline", "handler ready", "Order complete", "succeeded", "goodbye"):
        assert said in text, said
