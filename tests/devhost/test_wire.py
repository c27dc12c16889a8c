"""The local host's two ends on the wire: what Kestrel takes from clients, and .NET's client from handlers."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.devhost.stand import HTTP_IN, HTTP_OUT, LocalHost, ScriptedHandler, answering, scripted

HTTP = [HTTP_IN, HTTP_OUT]
JSON = b'{"Outputs":{"res":{"body":"x"}}}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(JSON), JSON)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One host for all clients."""
    with scripted(tmp_path_factory.mktemp("wire"), ("f", HTTP)) as pair:
        yield pair


def talk(port: int, *requests: bytes, until_closed: bool = True) -> bytes:
    """Everything that comes back for bytes sent as they are."""
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        for data in requests:
            connection.sendall(data)
        if until_closed:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def get(target: str = "/api/f", method: str = "GET", headers: str = "Host: h\r\n", version: str = "1.1") -> bytes:
    return f"{method} {target} HTTP/{version}\r\n{headers}\r\n".encode("latin-1")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(get(headers=""), 400, id="no Host"),
        pytest.param(get(headers="Host: a\r\nHost: b\r\n"), 400, id="two Hosts"),
        pytest.param(get("/api/f/\xe9"), 400, id="raw bytes in the target"),
        pytest.param(get("/api/f%00"), 400, id="NUL in the path"),
        pytest.param(get("http://other/api/f"), 400, id="another host in the target"),
        pytest.param(get(headers="Host: h\r\nX-A: \xe9\r\n"), 400, id="header that is no UTF-8"),
        pytest.param(get(headers="Host: h\r\nX A: 1\r\n"), 400, id="bad header name"),
        pytest.param(get(headers="Host: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n"), 400, id="two lengths"),
        pytest.param(get(headers="Host: h\r\nContent-Length: +1\r\n"), 400, id="a length that is no number"),
        pytest.param(get("/api/f?" + "a" * 8192), 414, id="request line of more than 8 KiB"),
        pytest.param(get(headers="Host: h\r\n" + "X: 1\r\n" * 100), 431, id="101 headers"),
        pytest.param(get(headers=f"Host: h\r\nX: {'a' * 33_000}\r\n"), 431, id="headers of more than 32 KiB"),
        pytest.param(get("*"), 405, id="the whole server, but by OPTIONS"),
        pytest.param(get("*", method="OPTIONS"), 404, id="the whole server"),
        pytest.param(b"nonsense\r\n\r\n", 400, id="no HTTP"),
        pytest.param(get(version="2.0"), 505, id="another version"),
        pytest.param(get(method="PUT", headers="Host: h\r\nContent-Length: 104857601\r\n"), 500, id="large body"),
        pytest.param(get("/api//f"), 404, id="doubled slash"),
        pytest.param(get("/api/x/../f"), 204, id="dot segments"),
        pytest.param(get("/api/%66"), 204, id="encoded letters"),
        pytest.param(get("http://h/api/f"), 204, id="the same host in the target"),
        pytest.param(get(method="made-up"), 204, id="any method"),
        pytest.param(get(headers="Host: h\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nX: a\x01b\r\n"), 204, id="odd"),
        pytest.param(get(headers="Host: h\r\n" + "X: 1\r\n" * 99), 204, id="100 headers"),
        pytest.param(get(headers="Host: h\r\n", version="1.0"), 204, id="HTTP/1.0"),
    ],
)  # fmt: skip
def test_what_the_front_takes(stand: tuple[LocalHost, ScriptedHandler], request_: bytes, status: int) -> None:
    """Kestrel's limits and strictness, and its tolerance; what it refuses gets an empty answer and the end."""
    host, handler = stand
    handler.script = answering({})
    reply = talk(host.port, request_)
    assert reply.startswith(b"HTTP/1.1 %d " % status), reply
    assert reply.count(b"HTTP/1.1") == 1
    if status >= 400 and status not in (404, 500):
        assert b"Content-Length: 0\r\n" in reply
        assert b"Connection: close\r\n" in reply


def test_requests_of_one_connection_are_answered_in_order(stand: tuple[LocalHost, ScriptedHandler]) -> None:
    """Pipelined, with bodies with and without a length, and with a body that nobody reads."""
    host, handler = stand
    handler.script = answering({"Outputs": {"res": {"body": "x"}}})
    chunked = get(method="POST", headers="Host: h\r\nTransfer-Encoding: chunked\r\n") + b"1\r\na\r\n0\r\n\r\n"
    length = get("/nothing", "POST", headers="Host: h\r\nContent-Length: 3\r\n") + b"abc"
    reply = talk(host.port, length + length, get(), chunked)
    assert re.findall(rb"HTTP/1.1 (\d+)", reply) == [b"404", b"404", b"200", b"200"]
    assert b"Connection: close" in reply  # a chunked body is not read for an envelope


@pytest.mark.parametrize(
    ("response", "head", "body"),
    [
        ({"statusCode": 99999, "body": "x"}, b"HTTP/1.1 99999 \r\n", b"1\r\nx\r\n0\r\n\r\n"),
        ({"statusCode": 0, "body": "x"}, b"HTTP/1.1 0 \r\n", b"1\r\nx\r\n0\r\n\r\n"),
        ({"statusCode": 204, "body": "x"}, b"HTTP/1.1 204 No Content\r\n", b""),
        ({"body": "x", "headers": {"Content-Length": "0"}}, b"Content-Length: 0\r\n", b""),
        ({"body": "x", "headers": {"Content-Length": "50"}}, b"Content-Length: 50\r\n", b"x"),
        ({"body": "x", "headers": {"Transfer-Encoding": "gzip"}}, b"Transfer-Encoding: gzip\r\n", b"x"),
        ({"body": "x", "headers": {"Server": "mine", "Date": "now"}}, b"Date: now\r\nServer: mine\r\n", None),
    ],
)
def test_what_the_front_sends(
    stand: tuple[LocalHost, ScriptedHandler], response: dict[str, Any], head: bytes, body: bytes | None
) -> None:
    """Any status, and lengths right or wrong, as Kestrel lets them go out."""
    host, handler = stand
    handler.script = answering({"Outputs": {"res": response}})
    found, _, rest = talk(host.port, get()).partition(b"\r\n\r\n")
    assert head in found + b"\r\n"
    assert body is None or rest == body


def test_status_of_an_interim_answer_breaks_the_connection(stand: tuple[LocalHost, ScriptedHandler]) -> None:
    """A-s-100: nothing that a client could read comes back."""
    host, handler = stand
    handler.script = answering({"Outputs": {"res": {"statusCode": 100, "body": "x"}}})
    assert talk(host.port, get()) == b""


def test_an_answer_before_the_end_of_an_upload_reaches_its_client(stand: tuple[LocalHost, ScriptedHandler]) -> None:
    """A-b2-101mb: the host listens on for a while; a reset would take the answer away."""
    host, _ = stand
    head = get(method="PUT", headers="Host: h\r\nContent-Length: 104857601\r\n")
    assert talk(host.port, head, *[b"x" * 65536] * 64).startswith(b"HTTP/1.1 500 ")


def test_head_gets_no_body(stand: tuple[LocalHost, ScriptedHandler]) -> None:
    """A-b-head: and no length either."""
    host, handler = stand
    handler.script = answering({"Outputs": {"res": {"body": "x"}}})
    head, _, body = talk(host.port, get(method="HEAD")).partition(b"\r\n\r\n")
    assert (body, b"Content-Length" in head, b"Transfer-Encoding" in head) == (b"", False, False)


# ---- towards the handler --------------------------------------------------------------------------------------------


class RawHandler:
    """A handler that answers with bytes as they are; `close` ends the connection behind them."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes], tuple[bytes, bool]] = lambda _: (OK, False)
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._connection, args=(connection,), daemon=True).start()

    def _connection(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                head = line + b"".join(iter(reader.readline, b"\r\n"))
                body = b""
                if b"chunked" in head:
                    while size := int(reader.readline(), 16):
                        body += reader.read(size)
                        reader.readline()
                    reader.readline()
                elif match := re.search(rb"Content-Length: (\d+)", head):
                    body = reader.read(int(match[1]))
                if line.startswith(b"GET / "):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                self.requests.append(head + b"\r\n" + body)
                answer, close = self.answer(head)
                connection.sendall(answer)
                if close:
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHost, RawHandler]]:
    """An envelope function whose handler is a RawHandler."""
    handler = RawHandler()
    with scripted(tmp_path_factory.mktemp("raw"), ("f", HTTP)) as (host, _):
        host.app.handler.port = handler.port
        yield host, handler
    handler.close()


@pytest.mark.parametrize(
    ("answer", "close", "status"),
    [
        # A-w-*
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, False, 200),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, False, 200),
        (OK.replace(b"\r\n", b"\n"), False, 200),
        (OK.replace(b"HTTP/1.1 200 OK", b"HTTP/1.2 200"), False, 200),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), True, 200),
        (OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"), True, 200),
        (re.sub(rb"Content-Length: \d+\r\n", b"", OK), True, 200),
        (OK + b"more than it said", False, 200),
        (OK, False, 200),
        (OK[:-3], True, 500),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", True, 500),
        (b"", True, 500),
        (b"garbage\r\n\r\n", True, 500),
        (OK.replace(b"\r\n\r\n", b"\r\nnonsense\r\n\r\n"), True, 500),
        (OK.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"), False, 500),
        (OK.replace(b"HTTP/1.1", b"HTTP/2.0"), True, 500),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", True, 500),
    ],
)
def test_answers_that_the_host_takes(
    raw: tuple[LocalHost, RawHandler], answer: bytes, close: bool, status: int
) -> None:
    """Interim answers, bare line feeds, odd versions; and what is no answer, or half of one."""
    host, handler = raw
    handler.answer = lambda _: (answer, close)
    assert host.call("GET", "/api/f").status == status


def test_an_envelope_is_never_sent_again(raw: tuple[LocalHost, RawHandler]) -> None:
    """A-w-close-before: not on a new connection, not on one that was used before."""
    host, handler = raw
    handler.answer = lambda _: (OK, False)
    assert host.call("GET", "/api/f").status == 200
    handler.requests.clear()
    handler.answer = lambda _: (b"", True)
    assert host.call("GET", "/api/f").status == 500
    assert len(handler.requests) == 1


def test_redirects_are_followed_with_or_without_the_envelope(raw: tuple[LocalHost, RawHandler]) -> None:
    """A-a-redir-*: nothing but a whole request follows on the same connection."""
    host, handler = raw
    for status, method in ((302, b"GET"), (307, b"POST")):
        head = b"HTTP/1.1 %d R\r\nLocation: /moved?x=1\r\nContent-Length: 0\r\n\r\n" % status
        handler.answer = lambda request, head=head: (OK if b"/moved" in request else head, False)
        handler.requests.clear()
        assert host.call("GET", "/api/f").body == b"x"
        first, second = handler.requests
        assert second.startswith(method + b" /moved?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert second.endswith(first.partition(b"\r\n\r\n")[2] if method == b"POST" else b"\r\n\r\n")
    handler.answer = lambda _: (b"HTTP/1.1 302 R\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n", False)
    handler.requests.clear()
    assert host.call("GET", "/api/f").status == 500
    assert len(handler.requests) == 51


def test_large_bodies_go_both_ways(tmp_path: Path) -> None:
    """A-b2-1mb: many chunks of 1,024 bytes towards the handler."""
    with scripted(tmp_path, ("f", HTTP)) as (host, handler):
        handler.script = answering({"Outputs": {"res": {"body": "y" * 3_000_000}}})
        assert len(host.call("POST", "/api/f", b"x" * 2_000_000).body) == 3_000_000
        assert len(handler.received[0].envelope["Data"]["req"]["Body"]) == 2_000_000


def test_a_forwarded_request_without_a_body_is_sent_four_times(tmp_path: Path) -> None:
    """D-192, D-195, D-401: if the connection ends before any answer; one with a body is not."""
    handler = RawHandler()
    with scripted(tmp_path, ("f", HTTP), enableForwardingHttpRequest=True) as (host, _):
        host.app.handler.port = handler.port
        handler.answer = lambda _: (b"", True)
        assert host.call("DELETE", "/api/f").status == 500
        assert len(handler.requests) == 4
        assert len(set(handler.requests)) == 1
        assert host.call("POST", "/api/f", b"x").status == 500
        assert len(handler.requests) == 5
        handler.answer = lambda _: (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", True)
        assert host.call("GET", "/api/f").status == 500  # D-462: it hangs for as long as the connection is there
    handler.close()
