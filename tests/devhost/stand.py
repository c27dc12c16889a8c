"""What tests of the local host share: apps in a folder, a scripted handler, and the host in a thread."""

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from fastworker.devhost.app import RunningApp, read_app
from fastworker.devhost.console import Console
from fastworker.devhost.front import BODY_LIMIT, Front
from fastworker.devhost.keys import Keys
from fastworker.devhost.webserver import WebServer
from tests.harness import wait_for

HTTP_IN = {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"}
HTTP_OUT = {"type": "http", "direction": "out", "name": "res"}
RETURN_OUT = {"type": "http", "direction": "out", "name": "$return"}
MANUAL = {"type": "manualTrigger", "direction": "in", "name": "job"}
QUEUE_OUT = {"type": "queue", "direction": "out", "name": "out", "queueName": "results"}
QUEUE_IN = {"type": "queueTrigger", "direction": "in", "name": "item", "queueName": "jobs"}
BLOB_OUT = {"type": "blob", "direction": "out", "name": "b", "path": "things/one"}


class Received(NamedTuple):
    """A request as the handler got it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def envelope(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The last of that name, as the protocol advises."""
        return next((v for k, v in reversed(self.headers) if k.lower() == name.lower()), None)


class Answering(NamedTuple):
    """What the handler sends back."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


Script = Callable[[Received], Answering]


def answering(document: Any, **options: Any) -> Script:
    """A script that always gives this JSON, or these bytes."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda _: Answering(body=body, **options)


class ScriptedHandler:
    """A custom handler in this process: it answers by `script` and remembers what it was sent (but for pings)."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.pings: list[Received] = []
        self.script: Script = answering({})
        # Pings are held until this is set.
        self.listens = threading.Event()
        self.listens.set()
        handler = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.answer
                raise AttributeError(name)

            def answer(self) -> None:
                request = Received(self.command, self.path, list(self.headers.items()), self.read_body())
                if self.path == "/":
                    handler.pings.append(request)
                    handler.listens.wait()
                    answer = Answering()
                else:
                    handler.received.append(request)
                    answer = handler.script(request)
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def read_body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                pieces = []
                while length := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(length))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class AppFolder:
    """A function app in a folder, written file by file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)

    def write(self, name: str, content: Any) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path

    def host(
        self, *command: str, section: str = "customHandler", top: dict[str, Any] | None = None, **more: Any
    ) -> None:
        """host.json: the command is the executable and its arguments; `more` goes into the section."""
        description = {"defaultExecutablePath": command[0], "arguments": list(command[1:])}
        self.write("host.json", {"version": "2.0", **(top or {}), section: {"description": description, **more}})

    def function(self, name: str, *bindings: dict[str, Any], **members: Any) -> None:
        self.write(f"{name}/function.json", {"bindings": list(bindings), **members})

    def settings(self, **values: str) -> None:
        self.write("local.settings.json", {"Values": values})


class LocalHost:
    """The local host on a free port, its loop in a thread of this process."""

    def __init__(self, root: Path, *, auth: bool = False, max_poll_s: float = 0.05, **environ: str) -> None:
        self.console = Console()
        self.keys = Keys(auth)
        self.stops: list[str] = []
        self._root = root
        self._max_poll_s = max_poll_s
        self._environ = {"PATH": os.environ["PATH"], **environ}
        self._started: asyncio.Future[None] | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def __enter__(self) -> "LocalHost":
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        if self._error is not None:
            raise self._error

    async def _main(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            files = read_app(self._root, self._environ, self._max_poll_s)
            front = Front(self.keys, files.settings.cors)
            server = WebServer(front.handle, BODY_LIMIT, self.console.warn)
            listener = socket.create_server(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
            await server.start(listener)
            self.url = f"http://127.0.0.1:{self.port}"
            self.app = front.app = RunningApp(files, self.console, self.url, self.stops.append)
            await self.app.start()
            self._ready.set()
            await self._over.wait()
            await self.app.stop()
            await server.close()
        except BaseException as error:  # for the test's thread to raise
            self._error = error
        finally:
            self._ready.set()

    def run(self, job: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine in the host's loop."""
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(20)

    def call(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> "Reply":
        """One request by a client; `_` in header names stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(self.port, method, path, body.encode() if isinstance(body, str) else body, named)

    def says(self, text: str, timeout_s: float = 10.0) -> str:
        """Waits for a line with that text."""

        def found() -> str | None:
            return next((line for line in list(self.console.lines) if text in line), None)

        try:
            return str(wait_for(found, text, timeout_s))
        except AssertionError as error:
            raise AssertionError(f"{error}; the host said:\n" + "\n".join(self.console.lines)) from None

    def messages(self, queue: str, count: int = 1) -> list[bytes]:
        """Waits for that many messages in a queue of the embedded store."""
        account: Any = self.app.accounts.open("AzureWebJobsStorage")

        async def peek() -> list[bytes]:
            return [message.content or b"" for message in await account.peek_messages(queue, 1000)]

        wait_for(lambda: len(self.run(peek())) >= count, f"{count} messages in {queue}")
        return list(self.run(peek()))

    def blob(self, container: str, name: str) -> bytes:
        """Waits for a blob."""
        account = self.app.accounts.open("AzureWebJobsStorage")
        return bytes(wait_for(lambda: self.run(account.read_blob(container, name)), f"{container}/{name}").content)


class Reply(NamedTuple):
    """What a client got."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    reason: str = ""

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


def request(port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        chunked = headers.get("Transfer-Encoding") == "chunked"
        if body is not None and not chunked and "Content-Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body, encode_chunked=chunked)
        response = connection.getresponse()
        return Reply(response.status, response.getheaders(), response.read(), response.reason)


@contextlib.contextmanager
def scripted(
    root: Path,
    *functions: tuple[str, list[dict[str, Any]]],
    section: str = "customHandler",
    top: dict[str, Any] | None = None,
    auth: bool = False,
    environ: dict[str, Any] | None = None,
    members: dict[str, Any] | None = None,
    **more: Any,
) -> Iterator[tuple[LocalHost, ScriptedHandler]]:
    """A local host whose handler process does nothing while a scripted handler listens on its port."""
    folder = AppFolder(root)
    handler = ScriptedHandler()
    # httpWorker knows no `port` of its own: by the environment it is customHandler's all the same.
    fixed = {"port": handler.port} if section == "customHandler" else {}
    folder.host("sleep", "1000", section=section, top=top, **fixed, **more)
    for name, bindings in functions:
        folder.function(name, *bindings, **(members or {}))
    try:
        with LocalHost(root, auth=auth, **(environ or {})) as host:
            if section != "customHandler":
                host.app.handler.port = handler.port
            yield host, handler
    finally:
        handler.close()


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`fastworker ...` in a process of its own."""
    return python("-m", "fastworker", *arguments, cwd=cwd)


def python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """This Python, with its output."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
