"""Applications of well-known frameworks: the same status, headers and bytes as under uvicorn or gunicorn.

A framework that is not installed is skipped, and says so; Flask, FastAPI and Starlette are part of the extra `test`.
"""

import contextlib
import http.client
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import APPS, PATIENCE, Server, wait_for

FOLDER = APPS / "frameworks"
# The server's own fields; how a body is framed is each server's business.
OWN = {"date", "server", "connection", "transfer-encoding", "keep-alive"}

Call = tuple[str, str, dict[str, str], bytes]


def script() -> list[Call]:
    """Sixty requests: every endpoint, most methods, odd paths, bodies of all sizes."""
    calls: list[Call] = []
    for name in ("a", "b%20c", "d%2Fe", "%C3%A9", "x+y"):
        calls += [
            ("GET", f"/hello?name={name}", {}, b""),
            ("HEAD", f"/hello?name={name}", {}, b""),
            ("GET", f"/params/{name.replace('%2F', '-')}?q=1&q={name}&r", {"X-One": "1"}, b""),
        ]
    for size in (0, 1, 1000, 70_000, 2_000_000):
        body = bytes(n % 251 for n in range(size))
        calls += [
            ("POST", "/echo", {"Content-Type": "application/x-thing"}, body),
            ("PUT", "/echo", {"Content-Type": "text/plain"}, body),
            ("PATCH", "/echo", {"Content-Type": "application/json; charset=utf-8"}, body),
            ("POST", "/size", {"Content-Type": "application/octet-stream"}, body),
        ]
    for _ in range(3):
        calls += [
            ("GET", "/stream", {}, b""),
            ("GET", "/large", {}, b""),
            ("DELETE", "/empty", {}, b""),
            ("GET", "/moved", {}, b""),
            ("GET", "/cookies", {"Cookie": "k=v; l=w"}, b""),
            ("GET", "/teapot", {}, b""),
            ("GET", "/nowhere", {}, b""),
            ("GET", "/hello", {"Accept-Language": "de", "User-Agent": "x"}, b""),
        ]
    calls.append(("GET", "/echo", {}, b""))
    return calls


def run_script(port: int) -> list[Any]:
    """The answers, each as (call, status, headers, body), on a connection that is kept where the server keeps it."""
    found: list[Any] = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * PATIENCE)
    with contextlib.closing(connection):
        for method, path, headers, body in script():
            connection.request(method, path, body=body or None, headers={"Host": "app.example", **headers})
            answer = connection.getresponse()
            data = answer.read()
            # A 204 has no Content-Length (RFC 9110, 8.6); some frameworks give it one all the same.
            own = OWN | {"content-length"} if answer.status == 204 else OWN
            fields = sorted((name.lower(), value) for name, value in answer.getheaders() if name.lower() not in own)
            found.append(((method, path, len(body)), answer.status, fields, data))
    return found


@contextlib.contextmanager
def peer(kind: str, target: str) -> Iterator[int]:
    """uvicorn or gunicorn with the same application; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = {
        "asgi": ["-m", "uvicorn", target, "--port", str(port), "--log-level", "warning", "--no-access-log"],
        "wsgi": ["-m", "gunicorn", target, "-b", f"127.0.0.1:{port}", "--log-level", "warning", "-k", "gthread"],
    }[kind]
    process = subprocess.Popen([sys.executable, *command], cwd=FOLDER, env={**os.environ, "PYTHONPATH": str(FOLDER)})
    try:
        wait_for(lambda: process.poll() is not None or _listens(port), f"{command[1]} listens", 20)
        assert process.poll() is None
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.mark.parametrize(
    ("framework", "kind", "target"),
    [
        ("starlette", "asgi", "starlette_app:app"),
        ("fastapi", "asgi", "fastapi_app:app"),
        ("quart", "asgi", "quart_app:app"),
        ("litestar", "asgi", "litestar_app:app"),
        ("django", "asgi", "django_app:asgi_application"),
        ("django", "wsgi", "django_app:application"),
        ("flask", "wsgi", "flask_app:app"),
    ],
)
def test_an_application_answers_as_under_its_usual_server(
    framework: str, kind: str, target: str, tmp_path: Path
) -> None:
    """Sixty requests, one by one compared."""
    server = "uvicorn" if kind == "asgi" else "gunicorn"
    for module in (framework, server):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    with peer(kind, target) as port:
        expected = run_script(port)
    with Server(cwd=FOLDER, app=target, workers=2) as ours:
        ours.wait_ready()
        found = run_script(ours.port)
    for wanted, came in zip(expected, found, strict=True):
        assert came == wanted


def test_an_mcp_client_lists_and_calls_tools() -> None:
    """FastMCP's own client against its server here: a lifespan, JSON and event streams."""
    if importlib.util.find_spec("fastmcp") is None:
        pytest.skip("fastmcp is not installed")
    talk = (
        "import asyncio, sys\nfrom fastmcp import Client\n"
        "async def main():\n"
        "    async with Client(sys.argv[1]) as client:\n"
        "        print([tool.name for tool in await client.list_tools()], end=' ')\n"
        "        print((await client.call_tool('add', {'a': 2, 'b': 3})).data)\n"
        "asyncio.run(main())\n"
    )
    with Server(cwd=FOLDER, app="mcp_app:app", workers=2) as ours:
        ours.wait_ready()
        command = [sys.executable, "-c", talk, f"http://127.0.0.1:{ours.port}/mcp"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    assert done.stdout.split("\n")[0] == "['add'] 5", done.stderr
