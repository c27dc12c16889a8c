"""`fastworker serve --debugpy` with a real debugger's protocol: a breakpoint in a handler is hit."""

import json
import re
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastworker.devhost.app import free_port
from tests.devhost.stand import python
from tests.harness import Server, wait_for

APP = """
import fastworker as fw
app = fw.App()

@app.generic_trigger("job", type="manualTrigger")
@app.queue_output("$return", queue_name="results")
def double(job: int) -> int:
    doubled = job * 2
    return doubled

@app.function(deadline=0.2)
@app.generic_trigger("job", type="manualTrigger")
@app.queue_output("$return", queue_name="results")
def slow(job: float) -> float:
    import time
    time.sleep(job)
    return job
"""
BREAKPOINT = APP.splitlines().index("    return doubled") + 1


class DebugClient:
    """A debug adapter protocol client, as an editor has one."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def send(self, command: str, **arguments: Any) -> int:
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self._number

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Sends a request and returns the body of its response."""
        number = self.send(command, **arguments)
        message = self._until(lambda m: m["type"] == "response" and m["request_seq"] == number)
        assert message["success"], message
        return dict(message.get("body") or {})

    def event(self, name: str) -> dict[str, Any]:
        known = next((e for e in self._events if e["event"] == name), None)
        if known is not None:
            self._events.remove(known)
            return dict(known.get("body") or {})
        message = self._until(lambda m: m["type"] == "event" and m["event"] == name)
        return dict(message.get("body") or {})

    def _until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            length = 0
            while (line := self._file.readline().strip()) or not length:
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            message: dict[str, Any] = json.loads(self._file.read(length))
            if wanted(message):
                return message
            if message["type"] == "event":
                self._events.append(message)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def test_breakpoint_in_a_handler_is_hit(tmp_path: Path) -> None:
    """Attach, stop, look at a variable, go on: the answer comes as if nothing had been."""
    path = tmp_path / "function_app.py"
    path.write_text(APP)
    port = free_port()
    with Server("--debugpy", str(port), cwd=tmp_path, app="function_app.py", workers=2) as server:
        server.wait_ready()
        assert len(server.workers()) == 1
        client = DebugClient(port)
        client.ask("initialize", adapterID="test", linesStartAt1=True, pathFormat="path")
        attached = client.send("attach", justMyCode=False)
        client.event("initialized")
        client.ask("setBreakpoints", source={"path": str(path)}, breakpoints=[{"line": BREAKPOINT}])
        client.ask("configurationDone")
        assert attached
        values: list[Any] = []
        with server.connect() as connection:
            call = threading.Thread(target=lambda: values.append(connection.invoke("double", 21).value))
            call.start()
            stopped = client.event("stopped")
            assert stopped["reason"] == "breakpoint"
            frame = client.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
            assert (frame["name"], frame["line"]) == ("double", BREAKPOINT)
            assert client.ask("evaluate", expression="doubled", frameId=frame["id"])["result"] == "42"
            wait_for(lambda: seconds_on_the_board(server) > 0.3, "many scans of the supervisor")
            assert not values
            client.ask("continue", threadId=stopped["threadId"])
            call.join(10)
        assert values == [42]
        client.ask("disconnect")
        client.close()


def seconds_on_the_board(server: Server) -> float:
    """How long the invocation has run by now, as the supervisor tells when it is asked."""
    server.signal(signal.SIGUSR1)
    ages = re.findall(r"running double .* for ([0-9.]+) s", "\n".join(server.stdout))
    return max(map(float, ages), default=0.0)


def test_debugged_worker_has_no_deadlines_and_waits_for_nobody(tmp_path: Path) -> None:
    """It serves without a client attached, and beyond a function's own deadline."""
    (tmp_path / "function_app.py").write_text(APP)
    with Server("--debugpy", str(free_port()), cwd=tmp_path, app="function_app.py", grace=0.1) as server:
        server.wait_ready()
        with server.connect() as connection:
            assert connection.invoke("slow", 0.8).value == 0.8
        wait_for(lambda: any("debugpy.listening" in line for line in server.stdout), "the line about debugpy")


def test_debugpy_is_not_imported_unless_asked_for(tmp_path: Path) -> None:
    """Nobody pays for a debugger that is not there; and who has none is told what to install."""
    code = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'debugpy' else real(name, *a)\n"
        "from fastworker.cli import main\n"
        "code = main(['serve', '--port', '0', '--debugpy'])\n"
        "print('debugpy' in sys.modules); sys.exit(code)"
    )
    done = python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (2, "False")
    assert "pip install 'fastworker-functions[dev]'" in done.stderr
