"""`fastworker doctor` and `sync --tune` as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

APP = """
import fastworker as fw

app = fw.App()


@app.queue_trigger("item", queue_name="jobs")
def work(item: str) -> None: ...
"""
HOST = """{
  // kept
  "version": "2.0",
  "customHandler": {"description": {"defaultExecutablePath": "python",
    "arguments": ["-m", "fastworker", "serve", "--workers", "3"]}},
  "extensions": {"queues": {"batchSize": 32}}
}
"""


def run(command: str, root: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "fastworker", command, str(root), *flags]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_doctor_tells_what_contradicts_and_tune_mends_it(tmp_path: Path) -> None:
    """The workers are those of host.json's own command, as the server would have them."""
    (tmp_path / "function_app.py").write_text(APP)
    (tmp_path / "host.json").write_text(HOST)
    ill = run("doctor", tmp_path, "--json")
    assert ill.returncode == 1, ill.stderr
    told = json.loads(ill.stdout)
    (found,) = [finding for finding in told["findings"] if finding["level"] == "contradiction"]
    assert found["subject"] == "concurrency"
    assert "queue messages at once for each of work, and 3 can run" in found["what"]
    assert told["facts"]["workers"] == 3
    assert told["facts"]["functions"] == {"work": "def"}
    assert told["facts"]["resident_bytes"] > 10 * 2**20

    tuned = run("sync", tmp_path, "--tune", "--quiet")
    assert tuned.returncode == 0, tuned.stderr
    text = (tmp_path / "host.json").read_text()
    assert "// kept" in text
    assert '"extensions": {"queues": {"newBatchThreshold": 1, "batchSize": 2}}' in text
    well = run("doctor", tmp_path)
    assert (well.returncode, "contradiction" in well.stdout) == (0, False), well.stdout
    assert run("sync", tmp_path, "--tune", "--check").returncode == 0


def test_doctor_reports_an_app_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("import fastworker as fw\napp = fw.App()\n")
    found = run("doctor", tmp_path)
    assert found.returncode == 1
    assert "contradiction (app): " in found.stdout
