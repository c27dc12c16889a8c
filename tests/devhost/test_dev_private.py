"""`fastworker dev` beside other users and on a network, and its end: what the command itself must see to."""

import signal
from pathlib import Path

import pytest

from tests.devhost.stand import command
from tests.devhost.test_commands import APP, dev
from tests.harness import alive, descendants, wait_for


def modes(folder: Path) -> dict[str, str]:
    """The permissions of everything in a folder, and of itself."""
    return {path.name: oct(path.stat().st_mode & 0o777) for path in (folder, *folder.iterdir())}


def test_dev_keeps_an_apps_data_to_itself(tmp_path: Path) -> None:
    """Folder and files are their owner's from the first moment, and are made so if an older version was careless."""
    (tmp_path / "function_app.py").write_text(APP)
    store = tmp_path / ".fastworker"
    store.mkdir(0o755)
    (store / "triggers.db").touch(0o644)
    with dev(tmp_path, "--no-reload") as process:
        process.says("handler ready")
        found = modes(store)
        assert {"storage.db", "triggers.db", "dev.json"} <= set(found)
        assert found.pop(".fastworker") == "0o700"
        assert set(found.values()) == {"0o600"}


def test_dev_opens_itself_to_the_network_only_when_told_how(tmp_path: Path) -> None:
    """--auth or --no-auth; and it says in red what is open."""
    (tmp_path / "function_app.py").write_text(APP)
    refused = command("dev", ".", "--address", "0.0.0.0", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--no-auth" in refused.stderr
    with dev(tmp_path, "--no-reload", "--address", "0.0.0.0", "--no-auth") as process:
        process.says("open to the network at http://0.0.0.0:")
        process.says("handler ready")
        assert command("invoke", "hi", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import time\nprint('x', file=open(__file__ + '.begun', 'w'))\ntime.sleep(1000)\n# fastworker", ""),
        (APP + "import time, sys\nif 'serve' in sys.argv: time.sleep(1000)\n", "starting"),
        (APP, "handler ready"),
    ],
    ids=["sync", "import", "idle"],
)
def test_ctrl_c_ends_dev_whatever_it_is_doing(tmp_path: Path, source: str, said: str) -> None:
    """While the decorators are read, while the handler starts, and when all is quiet; nothing is left."""
    (tmp_path / "function_app.py").write_text(source)
    with dev(tmp_path) as process:
        if said:
            process.says(said)
        else:
            wait_for((tmp_path / "function_app.py.begun").exists, "the import")
        tree = descendants(process.process.pid)
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(15) == 0
        wait_for(lambda: not any(map(alive, tree)), "the end of everybody")


def test_a_second_ctrl_c_ends_dev_at_once(tmp_path: Path) -> None:
    """Even if it does not turn its loop: here it is stopped in the middle of a step."""
    (tmp_path / "function_app.py").write_text(APP)
    with dev(tmp_path) as process:
        process.says("handler ready")
        tree = descendants(process.process.pid)
        process.process.send_signal(signal.SIGINT)
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(15) in (0, 130)
        wait_for(lambda: not any(map(alive, tree)), "the end of everybody")
