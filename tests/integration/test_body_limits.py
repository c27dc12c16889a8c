"""How large bodies may be, each and together: what counts, who hears of it, and that it all comes back."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import HostConnection, Server, wait_for

MIB = 1 << 20
APP = """
import fastworker as fw
app = fw.App()
@app.route("up", methods=["POST"], auth_level="anonymous")
def up(req: fw.Request) -> str:
    return str(len(req.bytes))
@app.queue_trigger("job", queue_name="q")
def work(job: str) -> None:
    pass
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "function_app.py").write_text(APP)
    options: dict[str, Any] = {"workers": 2, "max_body": "1MiB", "max_buffered": "12MiB"}
    with Server("--http-mode", "envelope", cwd=folder, app="function_app.py", **options) as server:
        yield server.wait_ready()


def upload(body: str, content_type: str = "text/plain") -> bytes:
    request = {"Method": "POST", "Headers": {"Content-Type": [content_type]}, "Body": body}
    return json.dumps({"Data": {"req": request}, "Metadata": {}}).encode()


def status_and_body(server: Server, envelope: bytes) -> tuple[int, str]:
    """What the client of the function gets."""
    with server.connect() as host:
        response = host.post("/up", envelope)
        assert response.status == 200
        answer = response.json()["Outputs"]["res"]
        return int(answer["statusCode"]), str(answer["body"])


@pytest.mark.parametrize(
    ("character", "content_type"), [("\0", "text/plain"), ('"', "text/plain"), ("a", "text/plain"), ("", "image/png")]
)
def test_the_limit_counts_what_the_client_sent(server: Server, character: str, content_type: str) -> None:
    """A body of exactly the limit comes, in whatever form; with one byte more the client gets 413."""

    def envelope(size: int) -> bytes:
        if character:
            return upload(character * size, content_type)
        return upload(base64.b64encode(bytes(size)).decode(), "application/octet-stream")

    assert status_and_body(server, envelope(MIB)) == (200, str(MIB))
    status, body = status_and_body(server, envelope(MIB + 1))
    assert status == 413
    assert "FASTWORKER_MAX_BODY" in body


def test_a_message_that_is_too_large_is_the_hosts_to_hear_of(server: Server) -> None:
    """Nobody else is there to be told."""
    with server.connect() as host:
        answer = host.post("/work", json.dumps({"Data": {"job": "x" * (MIB + 1)}, "Metadata": {}}).encode())
        assert answer.status == 413
        assert "Data.job" in answer.json()["detail"]


def half(server: Server, size: int) -> HostConnection:
    """A client in the middle of its upload, of which the server has read `size` bytes."""
    host = server.connect()
    host.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (size + 1))
    host.send(bytes(size))
    return host


def test_bodies_together_have_a_budget(server: Server) -> None:
    """What goes beyond it is told to come again; it is free again as soon as the others are gone."""
    clients = [half(server, 5 * MIB) for _ in range(3)]
    [refused] = wait_for(lambda: [host for host in clients if host.wait_readable(0.01)], "a refusal")
    answer = refused.receive()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "FASTWORKER_MAX_BUFFERED" in answer.json()["detail"]
    assert status_and_body(server, upload("x" * 1000)) == (200, "1000")
    for host in clients:
        host.close()
    wait_for(lambda: status_of_large(server) == 200, "room again")


def status_of_large(server: Server) -> int:
    with server.connect() as host:
        return host.post("/up", upload("\0" * MIB)).status


def test_a_body_that_never_fits_is_413(server: Server) -> None:
    """To come again would not help."""
    with half(server, 13 * MIB) as host:
        answer = host.receive()
        assert answer.status == 413
        assert "FASTWORKER_MAX_BUFFERED" in answer.json()["detail"]


def test_aborted_uploads_leave_nothing_held(server: Server) -> None:
    """Neither on the board nor in memory: as many as would fill the budget ten times."""
    for _ in range(30):
        half(server, 4 * MIB).close()
        assert wait_for(lambda: status_of_large(server), "an answer") in (200, 503)
    wait_for(lambda: status_of_large(server) == 200, "room again")
