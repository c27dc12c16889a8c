"""ASGI and WSGI applications on a real socket: streams both ways, clients that leave, lifespans, HTTP's own rules."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import APPS, PATIENCE, STOPPED, Server, free_port, wait_for
from tests.plain_client import PlainClient, TruncatedError, chunk, request_head

FOLDER = APPS / "frameworks"


@pytest.fixture(scope="module")
def asgi() -> Iterator[Server]:
    with Server(cwd=FOLDER, app="wire_app:app", workers=1) as server:
        yield server.wait_ready()


@pytest.fixture(scope="module")
def wsgi() -> Iterator[Server]:
    with Server(cwd=FOLDER, app="wire_app:wsgi", workers=1) as server:
        yield server.wait_ready()


@pytest.fixture
def client(asgi: Server) -> Iterator[PlainClient]:
    with PlainClient(asgi.port) as found:
        yield found


def said(server: Server, text: str, before: int = 0) -> None:
    wait_for(lambda: text in server.stdout[before:], text)


def test_each_piece_is_answered_before_the_next_one_is_sent(client: PlainClient) -> None:
    """Neither way is collected."""
    client.send(request_head("POST", "/both-ways", [("Transfer-Encoding", "chunked")]) + chunk(b"piece 0"))
    head = client.begin("POST")
    assert head.status == 200
    pieces = client.pieces()
    assert next(pieces) == b"PIECE 0"
    for number in range(1, 5):
        client.send(chunk(b"piece %d" % number))
        assert next(pieces) == b"PIECE %d" % number
    client.send(chunk(b""))
    assert list(pieces) == []
    assert client.get("/nothing").status == 204


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_ends_a_response_that_would_go_on(asgi: Server, how: str) -> None:
    """The generator is ended, and finds its client gone."""
    before = len(asgi.stdout)
    with PlainClient(asgi.port) as client:
        client.send(request_head("GET", "/endless"))
        assert client.begin().status == 200
        next(client.pieces())
        getattr(client, how)()
    wait_for(lambda: any("endless ended" in line for line in asgi.stdout[before:]), "the generator's end")


def test_a_client_that_leaves_is_no_failure_of_the_application() -> None:
    """Nothing is logged of it, also with middleware in between; lifespans begin and end with their workers."""
    with Server(cwd=FOLDER, app="wire_app:passed", workers=2) as server:
        server.wait_ready()
        wait_for(lambda: server.stdout.count("lifespan begins") == 2, "two lifespans")
        for _ in range(3):
            with PlainClient(server.port) as client:
                client.send(request_head("GET", "/produced"))
                assert client.begin().header("x-passed") == "yes"
                next(client.pieces())
        with PlainClient(server.port) as client:
            assert client.get("/known-length").json() == {"method": "GET", "db": "open"}
        server.signal(signal.SIGTERM)
        assert server.wait() == STOPPED
        assert server.stdout.count("lifespan ends") == 2
        assert not [line for line in server.stderr if "Traceback" in line or "ERROR" in line]


def test_a_client_that_leaves_is_told_to_an_application_that_sends_nothing(asgi: Server) -> None:
    """`request.is_disconnected()` between two pieces."""
    before = len(asgi.stdout)
    with PlainClient(asgi.port) as client:
        client.send(request_head("GET", "/waits-for-the-end"))
        client.begin()
        assert next(client.pieces()) == b"first"
    said(asgi, "it has left", before)


def test_an_upload_that_breaks_off_is_told_to_the_application(asgi: Server) -> None:
    """Starlette raises ClientDisconnect."""
    before = len(asgi.stdout)
    with PlainClient(asgi.port) as client:
        client.send(request_head("POST", "/upload", [("Content-Length", "100")]) + b"half")
    said(asgi, "upload broken off", before)
    with PlainClient(asgi.port) as client:
        assert client.request("POST", "/upload", b"x" * 300_000, chunked=True).text == "300000"


def test_work_behind_the_answer_holds_nobody_up(asgi: Server, client: PlainClient) -> None:
    """The client has its whole answer, and the connection takes the next request, before it is done."""
    before = len(asgi.stdout)
    assert client.get("/behind").text == "answered"
    assert client.get("/nothing").status == 204
    said(asgi, "done behind the answer", before)


def test_a_client_that_does_not_read_holds_the_application_back(asgi: Server) -> None:
    """Of a hundred megabytes no more is made than the sockets hold."""
    before = len(asgi.stdout)
    with PlainClient(asgi.port, receive_buffer=64 * 1024) as client:
        client.send(request_head("GET", "/produced"))
        client.begin()
        next(client.pieces())
        with PlainClient(asgi.port) as other:
            assert other.get("/nothing").status == 204
        client.reset()
    line = wait_for(lambda: next((x for x in asgi.stdout[before:] if x.startswith("produced")), ""), "produced")
    assert 0 < int(line.removeprefix("produced ")) < 200


def test_an_application_that_fails_behind_its_first_piece_is_cut(asgi: Server, client: PlainClient) -> None:
    """The client can tell: the last chunk is missing. The log has the exception."""
    client.send(request_head("GET", "/fails-late"))
    assert client.begin().status == 200
    with pytest.raises(TruncatedError):
        list(client.pieces())
    wait_for(lambda: any("LookupError: too late to tell" in line for line in asgi.stderr), "the traceback")


def test_heads_empty_answers_and_expectations_follow_http(asgi: Server, client: PlainClient) -> None:
    """HEAD tells a length and has no body; 204 has neither; `100 Continue` comes when the body is asked for."""
    whole = client.get("/known-length")
    assert whole.json() == {"method": "GET", "db": "open"}
    head = client.request("HEAD", "/known-length")
    assert head.body == b"" and int(head.header("content-length") or 0) == len(whole.body) + 1  # HEAD for GET
    empty = client.get("/nothing")
    assert (empty.status, empty.body, empty.header("content-length")) == (204, b"", None)
    expects = [("Content-Length", "4"), ("Expect", "100-continue")]
    client.send(request_head("POST", "/upload", expects))
    client.expect_continue()
    client.send(b"body")
    assert client.receive("POST").text == "4"
    client.send(request_head("POST", "/unread", expects))
    assert client.receive("POST").status == 413  # and nobody asked for the body


@pytest.mark.parametrize(
    ("target", "cause"),
    [("wire_app:app", "RuntimeError: no database at all"), ("wire_app:says_failed", "the licence has expired")],
)
def test_a_lifespan_that_fails_ends_the_server_with_3_and_the_cause(target: str, cause: str) -> None:
    """The cause is the last line: the one that the host shows."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("FASTWORKER_", "FUNCTIONS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "fastworker", "serve", target, "--port", "0"],
        cwd=FOLDER,
        env={**environ, "WIRE_LIFESPAN": "fails"},
        capture_output=True,
        text=True,
        timeout=20 * PATIENCE,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert cause in done.stderr.strip().splitlines()[-1]


def test_an_application_started_by_hand_has_every_path_and_odd_messages_do_no_harm() -> None:
    """`GET /` is no question of a host there. Early hints and trailers are passed over, a body behind the end is
    refused, and `receive` tells of the end."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("FASTWORKER_", "FUNCTIONS_"))}
    port = free_port()
    command = [sys.executable, "-m", "fastworker", "serve", "wire_app:hints", "--port", str(port), "--workers", "1"]

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    with subprocess.Popen(command, cwd=FOLDER, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_for(listens, "a listener")
            with PlainClient(port) as client:
                assert client.get("/").body == b"hinted"
                assert client.get("/").body == b"hinted"
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "refused: the response is complete, but the application sent another 'http.response.body'" in output
    assert "then http.disconnect, http.disconnect" in output


# ---- WSGI ------------------------------------------------------------------------------------------------------------


def test_a_wsgi_application_writes_and_returns(wsgi: Server) -> None:
    """`write()` first, then what it returns."""
    with PlainClient(wsgi.port) as client:
        assert client.get("/write").body == b"written, returned"


def test_a_file_is_sent_whole_and_the_application_has_closed_its_own(wsgi: Server, tmp_path: Path) -> None:
    """Byte for byte, by the kernel, with its length; HEAD has the length too."""
    path = tmp_path / "large.bin"
    data = os.urandom(3_000_000)
    path.write_bytes(data)
    with PlainClient(wsgi.port) as client:
        reply = client.get("/file", [("X-File", str(path))])
        assert reply.body == data and reply.header("content-length") == str(len(data))
    (worker,) = wsgi.workers()
    open_files = [os.readlink(entry) for entry in Path(f"/proc/{worker}/fd").iterdir() if entry.is_symlink()]
    assert str(path) not in open_files


def test_wsgi_input_is_read_as_it_comes(wsgi: Server) -> None:
    """The application has the first bytes before the last ones are sent."""
    before = len(wsgi.stdout)
    with PlainClient(wsgi.port) as client:
        client.send(request_head("POST", "/input", [("Content-Length", "10")]) + b"12345")
        said(wsgi, "first b'12345'", before)
        client.send(b"67890")
        assert client.receive("POST").body == b"1234567890"


def test_an_iterable_is_closed_when_its_client_leaves(wsgi: Server) -> None:
    """And the worker takes the next request."""
    before = len(wsgi.stdout)
    with PlainClient(wsgi.port) as client:
        client.send(request_head("GET", "/pieces"))
        client.begin()
        next(client.pieces())
        client.reset()
    said(wsgi, "iterable closed", before)
    with PlainClient(wsgi.port) as client:
        assert client.get("/write").status == 200
