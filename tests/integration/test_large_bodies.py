"""Bodies of hundreds of megabytes, and what they cost the worker of memory."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.harness import PATIENCE, Server, envelope, request_bytes
from tests.memory import MIB, Peak
from tests.plain_client import PlainClient, request_head
from tests.shapes import APP

Serve = Callable[..., Server]
SIZE = 100 * MIB


@pytest.fixture(scope="module", params=["forward", "proxy"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server("--http-mode", request.param, cwd=APP, app="function_app.py", workers=1, max_body="101MiB") as server:
        yield server.wait_ready()


@pytest.fixture(scope="module")
def uploads() -> Iterator[Server]:
    with Server(cwd=APP, app="function_app.py", workers=1, max_body="1MiB") as server:
        yield server.wait_ready()


def send_chunked(client: PlainClient, target: str, size: int) -> None:
    """An upload of `size` bytes in chunks of a megabyte, of which the test holds one."""
    client.send(request_head("POST", target, [("Transfer-Encoding", "chunked")]))
    framed = b"%x\r\n%b\r\n" % (MIB, bytes(MIB))
    for _ in range(size // MIB):
        client.send(framed)
    client.send(b"0\r\n\r\n")


@pytest.mark.parametrize("path", ["upload", "upload-sync"])
def test_upload_larger_than_the_limit_streams_in_flat_memory(uploads: Server, path: str) -> None:
    """300 MB where FASTWORKER_MAX_BODY is one: the limit is for what is held in memory, and nothing is."""
    [worker] = uploads.workers()
    with PlainClient(uploads.port) as client:
        peak = Peak(worker)
        send_chunked(client, f"/api/{path}", 300 * MIB)
        assert client.receive("POST").json()["total"] == 300 * MIB
        assert peak.growth() < 20 * MIB
        assert client.get("/api/text").status == 200


def test_upload_with_a_length_streams_as_well(uploads: Server) -> None:
    """Half a gigabyte, announced: it is neither refused nor held, and it is quick."""
    [worker] = uploads.workers()
    piece = bytes(MIB)
    with PlainClient(uploads.port) as client:
        peak = Peak(worker)
        began = time.monotonic()
        client.send(request_head("POST", "/api/upload", [("Content-Length", str(512 * MIB))]))
        for _ in range(512):
            client.send(piece)
        reply = client.receive("POST").json()
        assert reply["total"] == 512 * MIB
        assert reply["most"] <= MIB
        assert time.monotonic() - began < 10 * PATIENCE
        assert peak.growth() < 20 * MIB


def test_upload_waits_for_its_handler_and_not_in_memory(serve: Serve) -> None:
    """What nobody has asked for yet stays with the client."""
    server = serve(cwd=APP, app="function_app.py", workers=1)
    [worker] = server.workers()
    with PlainClient(server.port) as client:
        peak = Peak(worker)
        client.send(request_head("POST", "/api/upload-late?pause=0.5", [("Content-Length", str(200 * MIB))]))
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.send(bytes(200 * MIB))
        assert peak.growth() < 10 * MIB


def test_echo_of_100_mb_takes_twice_its_size_at_most(server: Server) -> None:
    """In and out, with a length; every byte as it was."""
    [worker] = server.workers()
    body = hashlib.sha256(b"seed").digest() * (SIZE // 32)
    with PlainClient(server.port) as client:
        client.get("/api/text")
        peak = Peak(worker)
        client.send(request_head("POST", "/api/echo", [("Content-Length", str(SIZE))]))
        client.send(body)
        reply = client.receive("POST")
        growth = peak.growth()
    assert reply.status == 200
    assert reply.body == body
    print(f"{growth / SIZE:.2f} times the body")
    assert growth <= 2 * SIZE + 20 * MIB


def test_answer_of_100_mb_takes_twice_its_size_at_most(server: Server) -> None:
    """Text, which has to be encoded."""
    [worker] = server.workers()
    with PlainClient(server.port) as client:
        client.get("/api/text")
        peak = Peak(worker)
        reply = client.get(f"/api/large?size={SIZE}")
        growth = peak.growth()
    assert len(reply.body) == SIZE
    print(f"{growth / SIZE:.2f} times the body")
    assert growth <= 2 * SIZE + 20 * MIB


def test_file_of_100_mb_takes_no_memory(uploads: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The kernel sends it."""
    [worker] = uploads.workers()
    path = tmp_path_factory.mktemp("large") / "file.bin"
    with open(path, "wb") as file:
        file.truncate(SIZE)
    with PlainClient(uploads.port) as client:
        client.get("/api/text")
        peak = Peak(worker)
        reply = client.get(f"/api/any-file?path={path}")
        growth = peak.growth()
    assert len(reply.body) == SIZE
    assert growth < 5 * MIB


@pytest.fixture(scope="module")
def enveloped() -> Iterator[Server]:
    with Server("--http-mode", "envelope", cwd=APP, app="function_app.py", workers=1, max_body="101MiB") as server:
        yield server.wait_ready()


def test_100_mb_into_an_envelope_take_twice_their_size_at_most(enveloped: Server) -> None:
    """A client's body of text, which the handler asks for as bytes."""
    [worker] = enveloped.workers()
    fields = {"Url": "http://x/api/length", "Method": "POST", "Body": "0123456789abcdef" * (SIZE // 16)}
    request = request_bytes("/length", json.dumps({"Data": {"req": fields}, "Metadata": {}}).encode())
    with enveloped.connect() as host:
        host.post("/text", envelope())
        peak = Peak(worker)
        host.send(request)
        answer = host.receive().json()
        growth = peak.growth()
    assert json.loads(answer["Outputs"]["res"]["body"]) == {"length": SIZE}
    assert growth <= 2 * SIZE + 20 * MIB, f"{growth / SIZE:.2f} times the body"


def test_100_mb_out_of_an_envelope_take_twice_their_size_at_most(enveloped: Server) -> None:
    """A handler's text, inside JSON."""
    [worker] = enveloped.workers()
    fields = {"Url": "http://x/api/large", "Query": {"size": str(SIZE)}}
    request = json.dumps({"Data": {"req": fields}, "Metadata": {}}).encode()
    with enveloped.connect() as host:
        host.post("/text", envelope())
        peak = Peak(worker)
        reply = host.post("/large", request)
        growth = peak.growth()
    assert len(reply.json()["Outputs"]["res"]["body"]) == SIZE
    assert growth <= 2 * SIZE + 20 * MIB, f"{growth / SIZE:.2f} times the body"
