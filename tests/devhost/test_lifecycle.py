"""The local host while it starts, reloads and ends (protocol 1.4, 5.3; findings of the real host, part C)."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fastworker.devhost import process
from fastworker.devhost.app import read_app
from fastworker.devhost.config_error import ConfigError
from fastworker.devhost.session import refuse_mistakes
from tests.devhost.stand import HTTP_IN, HTTP_OUT, AppFolder, LocalHost, ScriptedHandler, request
from tests.devhost.test_commands import dev
from tests.harness import wait_for

# A handler that tells when it begins, and sleeps for as many tenths of a second as the client asks.
HANDLER = """
import http.server, json, os, time
print("begins", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        while self.headers.get("Transfer-Encoding") and (length := int(self.rfile.readline(), 16)):
            body = self.rfile.read(length + 2)
        if self.command == "POST":
            self.rfile.readline()
            query = json.loads(body[:-2])["Data"]["req"]["Query"]
            time.sleep(int(query.get("tenths", "0")) / 10)
        data = b'{"Outputs": {"res": {"body": "ok"}}}' if self.command == "POST" else b"{}"
        self.send_response(200); self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data))); self.end_headers(); self.wfile.write(data)
    do_GET = do_POST = answer
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def slow(folder: AppFolder) -> AppFolder:
    folder.write("handler.py", HANDLER)
    folder.host(sys.executable, "handler.py")
    folder.function("f", HTTP_IN, HTTP_OUT)
    return folder


class Client(threading.Thread):
    """One request after the other, until it is told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.over = False
        self.statuses: list[int] = []

    def run(self) -> None:
        while not self.over:
            self.statuses.append(request(self.port, "GET", "/api/f", None, {}).status)


def test_a_reload_lets_requests_wait_and_starts_before_it_stops(slow: AppFolder) -> None:
    """V32 to V35: no 503 in between; what comes later waits for the new handler, what is in flight gets 500."""
    with dev(slow.root, "--no-sync") as session:
        session.says("handler ready")
        client = Client(session.port)
        client.start()
        slow.function("f", HTTP_IN, HTTP_OUT, description="changed")
        session.says("handler ready", times=2)
        client.over = True
        client.join()
        assert client.statuses[-1] == 200
        assert set(client.statuses) <= {200, 500}
        assert client.statuses.count(500) <= 1


def in_flight(port: int, tenths: int) -> tuple[threading.Thread, list[Any]]:
    """A request that takes so long, and where its status will be."""
    found: list[Any] = []

    def call() -> None:
        try:
            found.append(request(port, "GET", f"/api/f?tenths={tenths}", None, {}).status)
        except OSError as error:
            found.append(type(error))

    thread = threading.Thread(target=call)
    thread.start()
    return thread, found


def test_ctrl_c_gives_requests_their_time_and_a_second_one_ends_at_once(slow: AppFolder) -> None:
    """V38: half a minute for what is in flight; nobody else is let in."""
    with dev(slow.root, "--no-sync") as session:
        session.says("handler ready")
        thread, found = in_flight(session.port, 8)
        session.says("GET /api/f")
        session.process.send_signal(signal.SIGINT)
        session.says("in flight may take 30 s more")
        thread.join()
        assert found == [200]
        session.says("goodbye")
        assert session.wait() == 0
    with dev(slow.root, "--no-sync") as session:
        session.says("handler ready")
        thread, found = in_flight(session.port, 300)
        session.says("GET /api/f")
        session.process.send_signal(signal.SIGINT)
        session.says("in flight may take 30 s more")
        began = time.monotonic()
        session.process.send_signal(signal.SIGINT)
        session.wait()
        assert time.monotonic() - began < 5
        thread.join()
        assert found != [200]


TOO_LONG = {
    "version": "2.0",
    "functionTimeout": "00:11:00",
    "customHandler": {"description": {"defaultExecutablePath": "x"}},
}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("f/function.json", '{"bindings": []}', "at least one binding"),
        ("host.json", TOO_LONG, "stops the host on the Consumption plan"),
        ("local.settings.json", '{"Valeus": {}}', 'nobody reads "Valeus": did you mean "Values"?'),
    ],
)
def test_strict_refuses_what_the_cloud_would_not_run(slow: AppFolder, name: str, content: Any, words: str) -> None:
    """Without --strict the other functions run."""
    slow.write(name, content)
    with pytest.raises(ConfigError) as caught:
        refuse_mistakes(read_app(slow.root, {"CONTAINER_NAME": "c"}))
    assert words in str(caught.value)


def test_strict_refuses_an_app_without_functions(folder: AppFolder) -> None:
    """In the cloud its handler is never started."""
    folder.host("x")
    with pytest.raises(ConfigError, match="no functions"):
        refuse_mistakes(read_app(folder.root, {}))


UPPER = {"bindings": [{"type": "blobTrigger", "name": "b", "path": "Upper/{n}"}]}
TWIN = {"bindings": [{"type": "httpTrigger", "name": "r", "route": "o"}, {**HTTP_OUT}]}
WHOLE_APP = [
    ("host.json", {"version": "2.0", "functionTimeout": "five"}, '"functionTimeout": '),
    ("f/function.json", UPPER, "stops the whole host"),
    ("F/function.json", TWIN, "differ in case only"),
]


@pytest.mark.parametrize(("name", "content", "words"), WHOLE_APP)
def test_dev_refuses_what_stops_the_whole_app(slow: AppFolder, name: str, content: Any, words: str) -> None:
    """Issue 10.8: with file and line, and the mend."""
    slow.write(name, content)
    with pytest.raises(ConfigError) as caught:
        read_app(slow.root, {})
    assert words in str(caught.value)


@pytest.mark.parametrize("command", ["serve", "sync"])
def test_serve_and_sync_refuse_it_with_the_same_words(tmp_path: Path, command: str) -> None:
    """The same reader, the same message."""
    (tmp_path / "host.json").write_text(json.dumps(WHOLE_APP[0][1]))
    (tmp_path / "function_app.py").write_text(
        "import fastworker as fw\napp = fw.App()\n\n"
        "@app.timer_trigger('t', schedule='0 0 0 * * 7')\ndef f(t): ...\n\n"
        "@app.blob_trigger('b', path='Upper/{n}')\ndef g(b): ...\n"
    )
    arguments = ["serve", str(tmp_path), "--port", "0"] if command == "serve" else ["sync", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "fastworker", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    said = done.stdout + done.stderr
    for words in ('host.json:1: "functionTimeout"', "function_app.py:4", "no schedule", "stops the whole host"):
        assert words in said


def test_the_wait_for_a_starting_handler_counts_against_the_timeout(folder: AppFolder) -> None:
    """V8: at the limit the handler is killed in the middle of its start, and started anew."""
    folder.host("sleep", "1000", top={"functionTimeout": "00:00:01"})
    folder.function("f", HTTP_IN, HTTP_OUT)
    with LocalHost(folder.root) as host:
        assert host.call("GET", "/api/f").status == 500
        wait_for(lambda: host.app.handler.starts == 2, "the second start", 5)


@pytest.mark.parametrize(("is_ready_at_last", "status"), [(True, 204), (False, 500)])
def test_a_start_that_takes_four_initialization_timeouts_ends_the_host(
    folder: AppFolder, monkeypatch: pytest.MonkeyPatch, is_ready_at_last: bool, status: int
) -> None:
    """C-7: a request that waits is still served if the handler becomes ready in the time that is left."""
    monkeypatch.setattr(process, "LAST_CHANCE_S", 30.0 if is_ready_at_last else 0.05)
    handler = ScriptedHandler()
    handler.listens.clear()
    folder.host("sleep", "1000", port=handler.port, initializationTimeout="00:00:00.1")
    folder.function("f", HTTP_IN, HTTP_OUT)
    try:
        with LocalHost(folder.root) as host:
            thread, found = in_flight(host.port, 0)
            [why] = wait_for(lambda: host.stops, "the host's end")
            assert "not ready after 4 x initializationTimeout (0.4 s)" in why
            assert host.call("GET", "/api/f").status == 503
            if is_ready_at_last:
                handler.listens.set()
            thread.join()
            assert found == [status]
    finally:
        handler.listens.set()
        handler.close()
