"""`fastworker storage`: what is in the store that the local host uses, whichever it is."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastworker.cli import main
from tests.devhost.azurite import AzuriteServer
from tests.devhost.stand import QUEUE_IN, AppFolder, scripted
from tests.harness import wait_for

HOST = {"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": "x"}}}


@pytest.fixture(params=["embedded", "azurite"])
def app(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppFolder]:
    """An app whose storage is the embedded store, or a real Azurite."""
    folder = AppFolder(tmp_path)
    folder.write("host.json", HOST)
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    if request.param == "azurite":
        server: AzuriteServer = request.getfixturevalue("azurite")
        folder.settings(AzureWebJobsStorage=server.connection_string)
    yield folder


def run(app: AppFolder, capfdbinary: pytest.CaptureFixture[bytes], *arguments: str) -> tuple[int, bytes, str]:
    """Exit code, what it prints, and what it says on stderr."""
    capfdbinary.readouterr()
    code = main(["storage", *arguments, "--dir", str(app.root)])
    out, err = capfdbinary.readouterr()
    return code, out, err.decode()


def test_what_is_put_and_sent_is_listed_and_shown(app: AppFolder, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Azure Storage, Azurite, embedded: one command, and the first line says which it is."""
    data = app.write("data.bin", "")
    data.write_bytes(b"\x00\xff\x01")
    assert run(app, capfdbinary, "put", "blobs/cli-things/in/one.bin", str(data))[0] == 0
    assert run(app, capfdbinary, "send", "cli-orders", '{"id": 1}')[:2] == (0, b"queues/cli-orders  9 bytes\n")
    assert run(app, capfdbinary, "send", "queues/cli-orders", "--file", str(data))[0] == 0
    code, out, err = run(app, capfdbinary, "ls")
    assert (code, err.startswith("storage: ")) == (0, True)
    assert b"queues/cli-orders  2 messages\n" in out
    assert b"blobs/cli-things/in/one.bin  3 bytes, " in out
    assert run(app, capfdbinary, "cat", "queues/cli-orders")[1] == b'{"id": 1}\nAP8B\n'
    assert run(app, capfdbinary, "cat", "blobs/cli-things/in/one.bin")[1] == b"\x00\xff\x01"
    assert run(app, capfdbinary, "ls", "blobs/cli-things/out")[1] == b""
    assert run(app, capfdbinary, "ls", "queues/cli-orders")[1].count(b"taken 0 times\n") == 2
    code, out, err = run(app, capfdbinary, "cat", "blobs/cli-things/none")
    assert (code, out) == (1, b"")
    assert "there is no blob 'cli-things/none'; fastworker storage ls blobs/cli-things lists them" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ls", "orders"], "there is no 'orders': name a place, queues/NAME"),
        (["cat", "blobs"], "cat needs a place"),
        (["put", "queues/x", "f"], "f: No such file"),
        (["put", "blobs/only-a-container", "host.json"], "put writes a blob"),
        (["put", "blobs/things/b"], "put needs a file"),
        (["send", "orders"], "send needs a text, or --file FILE"),
        (["send", "UPPER_case", "x"], "the queue name 'UPPER_case' is illegal"),
        (["send", "orders", "x" * 50_000], "64 KiB is the limit"),
        (["ls", "--connection", "Other"], "connection 'Other' names no app setting"),
    ],
)
def test_what_cannot_be_done_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    """With what to type, and an exit code that is not 0."""
    (tmp_path / "host.json").write_text(json.dumps(HOST))
    monkeypatch.chdir(tmp_path)
    assert main(["storage", *arguments]) != 0
    assert said in capfd.readouterr().err


def test_a_message_from_standard_input_reaches_the_running_local_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is the same file; messageEncoding of host.json holds for both."""

    class Stdin:
        buffer = io.BytesIO(b"hello")

    top = {"extensions": {"queues": {"messageEncoding": "none"}}}
    with scripted(tmp_path, ("work", [QUEUE_IN]), top=top) as (_, handler):
        monkeypatch.setattr(sys, "stdin", Stdin)
        assert main(["storage", "send", "jobs", "-", "--dir", str(tmp_path)]) == 0
        received: Any = wait_for(lambda: handler.received, "the message")
        assert json.loads(received[0].envelope["Data"]["item"]) == "hello"
