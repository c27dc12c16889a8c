"""The status socket of a real server: what it tells, what can be asked of it, and by whom."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastworker.supervisor import status_socket
from tests.harness import Server, StatusClient, envelope, request_bytes, wait_for

Serve = Callable[..., Server]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """XDG_RUNTIME_DIR of servers that are started in this test."""
    (tmp_path / "runs").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("CHAOS_RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_a_snapshot_counts_what_clients_were_answered_through_deaths_and_reloads(serve: Serve, folder: Path) -> None:
    """By function and outcome, with the workers as they are, and the ends of those that were."""
    server = serve(app="scenarios:app", workers=1, deadline=0.6, grace=0.3)
    with server.connect() as host, StatusClient(server, folder) as client:
        for name in ("one", "two"):
            assert host.invoke("record", name).status == 200
        assert host.invoke("segfault").status == 500
        wait_for(lambda: [w["state"] for w in client.ask("status")["workers"]] == ["ready"], "its successor")
        assert host.invoke("stubborn").status == 504
        assert host.post("/record", b"{").status == 400
        assert host.post("/no/such", envelope()).status == 404
        before = client.ask("status")
        assert client.ask("reload") == {"done": "reload"}
        wait_for(lambda: client.ask("status")["generation"] == before["generation"] + 1, "the new generation")
        assert host.invoke("record", "three").status == 200
        wait_for(lambda: client.outcomes().get(("record", "ok")) == 3, "a third")
        assert client.outcomes() == {
            ("record", "ok"): 3,
            ("segfault", "crashed"): 1,
            ("stubborn", "deadline_hard"): 1,
            ("record", "rejected"): 1,
            ("", "rejected"): 1,
        }
        told = client.ask("status")
        assert [end["cause"] for end in told["ends"]][:2] == ["crashed", "deadline"]
        assert "SIGSEGV" in told["ends"][0]["detail"]
        assert told["restarts"].items() >= {"crashed": 1, "deadline": 1}.items()
        [record] = [function for function in told["functions"] if function["name"] == "record"]
        assert sum(record["duration"]["counts"]) == 3
        assert told["workers"][0]["resident_bytes"] > 1 << 20


def test_a_worker_is_replaced_and_shows_its_stack_when_that_is_asked(serve: Serve, folder: Path) -> None:
    """The invocation that it runs is shown, goes on, and is answered."""
    server = serve(app="scenarios:app", workers=1)
    with server.connect() as host, StatusClient(server, folder) as client:
        host.send(request_bytes("/nap_sync", envelope(0.5)))
        rows = wait_for(lambda: in_function(client), "the invocation")
        assert (rows[0]["function"], rows[0]["phase"]) == ("nap_sync", "running")
        assert 0 < rows[0]["deadline_left_s"] < 58
        stack = client.ask("stack 0")
        assert any("nap_sync" in line for line in stack["stack"])
        pid = client.ask("status")["workers"][0]["pid"]
        assert client.ask("retire 0") == {"done": "retire", "slot": 0, "pid": pid}
        assert host.receive().status == 200
        wait_for(lambda: client.ask("status")["restarts"] == {"asked": 1}, "its end")
        assert client.ask("status")["workers"][0]["pid"] != pid
        for wrong in ("retire 0000000000", "retire -1", "stack x", "halt", "", "status\0"):
            assert set(client.ask(wrong)) == {"error"}


def in_function(client: StatusClient) -> list[dict[str, Any]]:
    """What runs in slot 0, once it does."""
    return [row for row in client.ask("status")["workers"][0]["running"] if row["function"]]


def test_only_its_owner_reaches_the_socket(serve: Serve, folder: Path) -> None:
    """The folder is its owner's alone, and is gone from when the server ends; too long a request ends its peer only."""
    server = serve(workers=1)
    path = folder / "fastworker" / f"{server.pid}.sock"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as flood, StatusClient(server, folder) as client:
        flood.connect(str(path))
        flood.sendall(b"x" * 5000)
        with contextlib.suppress(ConnectionResetError):
            assert flood.recv(1) == b""
        assert client.ask("status")["version"] == 1
    server.signal(15)
    server.wait()
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_peer_of_another_user_is_known_by_the_kernel() -> None:
    """Whatever the rights of folder and socket are by now; an abstract address has none."""
    code = "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
    code += "with socket.socket(socket.AF_UNIX) as s: s.connect(chr(0) + sys.argv[1]); s.recv(1)"
    name = f"fastworker-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as ours:
        listener.bind(f"\0{name}")
        listener.listen()
        ours.connect(f"\0{name}")
        with listener.accept()[0] as accepted:
            assert status_socket.is_ours(accepted)
        with subprocess.Popen([sys.executable, "-c", code, name], stderr=subprocess.DEVNULL) as stranger:
            with listener.accept()[0] as accepted:
                assert not status_socket.is_ours(accepted)
            assert stranger.wait(10) == 0


def test_a_folder_that_is_not_ours_is_not_used(tmp_path: Path) -> None:
    """In a folder that is everybody's, somebody may have made it before us."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "fastworker").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="not permitted"):
        status_socket._bound(tmp_path / "fastworker" / "1.sock")
    assert list((tmp_path / "elsewhere").iterdir()) == []
