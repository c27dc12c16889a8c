"""The table of tests/http_vectors.py against the real server, in every mode: nothing but what it says is served."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Server
from tests.http_vectors import VECTORS

APP = """
import fastworker as fw
app = fw.App()
@app.route("{*rest}", auth_level="anonymous")
def a(req: fw.Request) -> str:
    return "served"
"""


@pytest.fixture(scope="module", params=["envelope", "forward", "proxy"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("strict")
    (folder / "function_app.py").write_text(APP)
    (folder / "host.json").write_text('{"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}')
    mode = ("--http-mode", request.param)
    with Server(*mode, cwd=folder, app="function_app.py", workers=1, max_body="1MiB") as server:
        yield server.wait_ready()


def answers(port: int, data: bytes) -> list[tuple[int, bool]]:
    """Status of each answer, and whether it refuses what is no request. The client says that it sends no more."""
    with socket.create_connection(("127.0.0.1", port), timeout=10 * PATIENCE) as connection:
        received = b""
        with contextlib.suppress(ConnectionError):  # reset: all that was sent need not be read
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(1 << 16):
                received += more
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = 0 if data.startswith(b"HEAD") else int(fields.get(b"content-length", b"0"))
        body, received = received[:length], received[length:]
        status = int(head.split()[1])
        is_problem = fields.get(b"content-type") == b"application/problem+json"
        refused = is_problem and status not in (404, 405) and json.loads(body)["function"] is None
        assert not refused or fields.get(b"connection") == b"close"
        found.append((status, refused))
    return found


def test_nothing_is_served_that_a_strict_server_refuses(server: Server) -> None:
    """As many answers as requests, then at most one refusal, and the end of the connection."""
    wrong = []
    for vector in VECTORS:
        served, _, end = vector.ours.partition(" ")
        expected = [False] * int(served) + ([True] if end.isdigit() else [])
        # Behind the last request of its connection nothing is read, and nothing answered.
        allowed = [expected, expected[:-1]] if int(served) and end.isdigit() else [expected]
        came = answers(server.port, vector.data)
        if [refused for _, refused in came] not in allowed or (
            end.isdigit() and came[-1:] and came[-1][1] and came[-1][0] != int(end)
        ):
            wrong.append((vector.name, vector.ours, came))
    assert wrong == []
