"""`fastworker top` over a real server: as JSON for scripts, and in a terminal with keys."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Server, StatusClient, wait_for

Serve = Callable[..., Server]
TOP = [sys.executable, "-m", "fastworker", "top"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """XDG_RUNTIME_DIR of servers that are started in this test."""
    (tmp_path / "runs").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("CHAOS_RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_scripts_get_one_view_as_json(serve: Serve, folder: Path) -> None:
    """By pid; without a terminal the live view is refused with the flag to use."""
    server = serve(workers=1)
    with server.connect() as host, StatusClient(server, folder) as client:
        assert host.invoke("record", "one").status == 200
        wait_for(lambda: client.outcomes().get(("record", "ok")) == 1, "the count")
    shown = json.loads(subprocess.check_output([*TOP, str(server.pid), "--once", "--json"]))
    assert shown["pid"] == server.pid
    assert [(row["name"], row["total"], row["errors"]) for row in shown["functions"]] == [("record", 1, 0)]
    assert [row["state"] for row in shown["workers"]] == ["ready"]
    refused = subprocess.run(TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--once" in refused.stderr


class Terminal:
    """`top` in a pseudo-terminal."""

    def __init__(self, pid: int) -> None:
        self.ours, self._theirs = pty.openpty()
        termios.tcsetwinsize(self._theirs, (40, 160))
        self.before = termios.tcgetattr(self._theirs)
        environ = {**os.environ, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [*TOP, str(pid)], stdin=self._theirs, stdout=self._theirs, stderr=self._theirs, env=environ
        )
        self.seen = b""
        # Somebody must read all the time: a pseudo-terminal holds a few kB, and then its writer waits.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.ours, 1 << 16):
                self.seen += data

    def until(self, text: bytes) -> None:
        """Waits until it has shown `text`."""
        wait_for(lambda: text in self.seen, repr(text))

    def is_as_before(self) -> bool:
        """Echo, lines and signals are what they were."""
        return termios.tcgetattr(self._theirs) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._theirs)
        self._reader.join()
        os.close(self.ours)


def test_keys_reload_retire_and_show_a_stack(serve: Serve, folder: Path) -> None:
    """And Ctrl-C leaves the terminal as it was: its modes, its cursor and its main screen."""
    server = serve(workers=1)
    terminal = Terminal(server.pid)
    try:
        terminal.until(b"q quit")
        assert not terminal.is_as_before()
        with StatusClient(server, folder) as client:
            os.write(terminal.ours, b"s")
            terminal.until(b"stack 0: pid")
            os.write(terminal.ours, b"t")
            wait_for(lambda: client.ask("status")["restarts"] == {"asked": 1}, "the worker's end")
            os.write(terminal.ours, b"r")
            wait_for(lambda: client.ask("status")["generation"] == 1, "the new generation")
        terminal.process.send_signal(signal.SIGINT)
        terminal.until(b"\x1b[?1049l")
        assert terminal.process.wait(10 * PATIENCE) == 0
        assert terminal.is_as_before()
    finally:
        terminal.close()


def test_the_servers_end_ends_it_with_a_message_on_the_usual_screen(serve: Serve, folder: Path) -> None:
    """As any exception does."""
    server = serve(workers=1)
    terminal = Terminal(server.pid)
    try:
        terminal.until(b"q quit")
        server.signal(signal.SIGTERM)
        server.wait()
        terminal.until(b"\x1b[?1049l")
        terminal.until(b"has ended")
        assert terminal.process.wait(10 * PATIENCE) == 2
        assert terminal.is_as_before()
    finally:
        terminal.close()
