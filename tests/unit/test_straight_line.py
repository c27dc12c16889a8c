"""straight_line.py and connection.py: it cannot be told which of them has served a request."""

import select
import socket
import time
import types
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastworker import logs
from fastworker.functions.loaded_app import LoadedApp, load_app
from fastworker.ipc import linux
from fastworker.ipc.board import Board, ConnectionRow
from fastworker.ipc.counters import base_of, row_of, tally_of
from fastworker.ipc.seat import LoopSeat, Seat
from fastworker.protocol.http1 import HTTP1Connection
from fastworker.protocol.known_heads import KnownHeads
from fastworker.settings import parse_settings
from fastworker.worker import straight_line as module
from fastworker.worker.connection import Conversation, InPlace
from fastworker.worker.dispatch import Service
from fastworker.worker.straight_line import straight_line

NUMBER = 10_000
APP = """
import logging
import fastworker as fw

app = fw.App()
seen = lambda: None


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/x")
def work(job: str) -> str:
    seen()
    logging.info("%s", job)
    return job * 3


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/x")
def fails(job: str) -> str:
    seen()
    logging.warning("about to")
    raise KeyError(job)


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/x")
def late(job: str) -> str:
    seen()
    raise fw.DeadlineExceeded


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/x")
def large(job: str) -> bytes:
    return bytes(70_000)


@app.generic_trigger("job", type="manualTrigger")
async def waits(job: str) -> None:
    pass


@app.route("greet", methods=["GET", "HEAD"], auth_level="anonymous")
def greet(req: fw.Request) -> str:
    seen()
    return f"hello {req.query.get('name', 'you')} {req.headers['user-agent']} {req.headers.get('x-own')}"


@app.route("teapot/{size:int}", auth_level="anonymous")
def teapot(req: fw.Request, size: int) -> fw.Response:
    return fw.Response("x" * size, status_code=418, headers={"X-Size": str(size)})


@app.route("pieces", auth_level="anonymous")
def pieces(req: fw.Request):
    yield "one"
    yield "two"


@app.route("echo", methods=["POST"], auth_level="anonymous")
def echo(req: fw.Request[bytes]) -> fw.Response:
    seen()
    return fw.Response(req.body, content_type="application/octet-stream")
"""


class Seen(NamedTuple):
    """All that can be told from outside: what the client got, the board, the log."""

    answer: bytes
    row: tuple[object, ...]
    served: tuple[int, int]
    ends: dict[int, int]
    armed: int
    closed: int
    away: list[str]
    lines: list[tuple[int, str]]
    in_handlers: list[tuple[object, ...]]


class Side:
    """A worker's main thread with one connection: by the straight line where it goes, or never."""

    def __init__(self, app: LoadedApp, mode: str, *, straight: bool) -> None:
        options = parse_settings(["--http-mode", mode], {"FUNCTIONS_CUSTOMHANDLER_PORT": "0"})
        self.board = Board(1, NUMBER, 1)
        self.seat = Seat(self.board, 0, pid=1)
        self.app_globals: Any = next(iter(app.functions.values())).handler.__globals__  # type: ignore[attr-defined]
        self.rows = len(app.functions) + 1
        self.service = Service(app, options, self.board, self.seat)
        self.service.settle_in()
        self.armed = self.closed = 0
        self.away: list[str] = []
        self.in_handlers: list[tuple[object, ...]] = []
        self.lines: list[tuple[int, str]] = []
        thread: Any = types.SimpleNamespace(loop=None, call=self._call)
        self.exchange = InPlace(self.service, self.seat, thread, 30.0, self._let_go, lambda: None)
        turns: Any = types.SimpleNamespace(
            slow=1, started=lambda: None, backstop_ns=lambda: 0, take=None, read="read", start="start", write="write"
        )
        self.exchange.turns, self.exchange.loop_seat = turns, LoopSeat(self.board, 0, pid=1)
        heads = KnownHeads()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname())
            ours = listener.accept()[0]
        for end in (self.client, ours):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        http = HTTP1Connection(
            100 << 20,
            self.service.reads_in_pieces,
            envelope_limit=self.service.envelope_limit,
            heads=heads if straight else None,
        )
        self.conversation = Conversation(NUMBER, ours, http)
        shared: Any = types.SimpleNamespace(modify=self._arm)
        self.go = straight_line(self.exchange, shared, heads, {NUMBER: self.conversation}, 60 * 10**9)

    def _arm(self, number: int, _: int) -> None:
        assert self.board.owner(number) is None
        self.armed += 1

    def _let_go(self, conversation: Conversation) -> None:
        self.seat.release(conversation.number, conversation.tally)
        conversation.tally = 0
        if conversation.closing:
            self.closed += 1
        else:
            self._arm(conversation.number, 0)

    def _call(self, _: object, conversation: Conversation, step: str, *__: object) -> None:
        self.away.append(step)

    def _look(self) -> None:
        """From inside of a handler: what the supervisor would find if the worker died now."""
        row, worker = self.board.connection(NUMBER), self.board.worker(0)
        limits = (worker.inline_ns - row.sent_ns, worker.deadline_ns - row.hard_ns, row.hard_ns - row.sent_ns)
        self.in_handlers.append((*self._facts(row), *limits))

    def _facts(self, row: ConnectionRow) -> tuple[object, ...]:
        times = {"sent_ns": 0, "hard_ns": 0, "tally": 0, "target": 0}
        return tuple(row._replace(**times))  # type: ignore[arg-type]

    def gets(self, data: bytes) -> Seen:
        """The client sends `data`, all of which has come when the event does; what is to be seen afterwards."""
        self.app_globals["seen"] = self._look
        self.client.sendall(data)
        assert select.select([self.conversation.socket], [], [], 10)[0]
        self.in_handlers, self.lines, written = [], [], logs.write_line
        logs.write_line = lambda level, message, fields: self.lines.append((level, f"{message} {fields}"))
        try:
            if self.away == ["read"]:  # the loop's thread reads on, and hands back
                self.away = []
                self.exchange.read(self.conversation)
            elif not self.away and not self.closed:
                assert self.go(NUMBER, time.monotonic_ns())
        finally:
            logs.write_line = written
        worker = self.board.worker(0)
        return Seen(
            self._answer(),
            self._facts(self.board.connection(NUMBER)),
            (worker.served, worker.failed),
            self._ends(),
            self.armed,
            self.closed,
            self.away,
            self.lines,
            self.in_handlers,
        )

    def _answer(self) -> bytes:
        found = b""
        while select.select([self.client], [], [], 0)[0]:
            more = self.client.recv(1 << 20)
            if not more:
                break
            found += more
        return found

    def _ends(self) -> dict[int, int]:
        region, found = self.board.counters.region(0, 0), dict[int, int]()
        for index in range(self.rows):
            start = base_of(index) if index else base_of(0)
            for offset, count in enumerate(row_of(region, index + 1)):
                tally = tally_of(start + offset)
                if count and tally is not None:
                    found[tally.outcome] = found.get(tally.outcome, 0) + count
        return found

    def close(self) -> None:
        assert self.service._surroundings is not None
        assert self.service._surroundings.home is not None
        self.service._surroundings.home.close()
        self.client.close()
        self.conversation.socket.close()
        self.conversation.http.close()


def own(number: int) -> bytes:
    return b"7b4f3a0e-5d0b-4a37-b0a9-%012x" % number


def head(line: bytes, number: int, *headers: bytes) -> bytes:
    lines = [line, b"Host: 127.0.0.1", b"X-Azure-Functions-InvocationId: " + own(number)]
    return b"\r\n".join([*lines, b"User-Agent: Azure-Functions-Host/4", *headers, b"", b""])


def envelope(name: bytes, number: int, body: bytes = b'{"Data": {"job": "\\"seven\\""}}', *headers: bytes) -> bytes:
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head(b"POST /%b HTTP/1.1" % name, number, b"Transfer-Encoding: chunked", *headers) + framed


def plain(line: bytes, number: int, *headers: bytes, body: bytes = b"") -> bytes:
    length = [b"Content-Length: %d" % len(body)] if body else []
    return head(line, number, *headers, *length) + body


# What a client may send; each is given a number, which is its id.
ENVELOPES = {
    "usual": lambda n: envelope(b"work", n),
    "another": lambda n: envelope(b"work", n, b'{"Data": {"job": "\\"%d\\""}, "Metadata": {}}' % n),
    "fails": lambda n: envelope(b"fails", n),
    "late": lambda n: envelope(b"late", n),
    "large": lambda n: envelope(b"large", n),
    "no JSON": lambda n: envelope(b"work", n, b"{"),
    "no such member": lambda n: envelope(b"work", n, b'{"Data": {}}'),
    "async": lambda n: envelope(b"waits", n),
    "nobody": lambda n: envelope(b"nobody", n),
    "GET": lambda n: plain(b"GET /work HTTP/1.1", n),
    "closes": lambda n: envelope(b"work", n, b'{"Data": {"job": "1"}}', b"Connection: close"),
    "two": lambda n: envelope(b"work", n) + envelope(b"work", n),
    "no host": lambda n: envelope(b"work", n).replace(b"Host", b"Hos"),
}
PLAIN = {
    "usual": lambda n: plain(b"GET /api/greet?name=x HTTP/1.1", n),
    "another": lambda n: plain(b"GET /api/greet?name=%d HTTP/1.1" % n, n, b"X-Own: 1"),
    "its head": lambda n: plain(b"HEAD /api/greet HTTP/1.1", n),
    "teapot": lambda n: plain(b"GET /api/teapot/7 HTTP/1.1", n),
    "large": lambda n: plain(b"GET /api/teapot/70000 HTTP/1.1", n),
    "pieces": lambda n: plain(b"GET /api/pieces HTTP/1.1", n),
    "echo": lambda n: plain(b"POST /api/echo HTTP/1.1", n, body=b"%d" % n),
    "nothing": lambda n: plain(b"POST /api/echo HTTP/1.1", n),
    "no route": lambda n: plain(b"GET /api/nobody HTTP/1.1", n),
    "no number": lambda n: plain(b"GET /api/teapot/x HTTP/1.1", n),
    "envelope": lambda n: envelope(b"work", n),
    "old": lambda n: plain(b"GET /api/greet HTTP/1.0", n),
    "waits": lambda n: plain(b"POST /api/echo HTTP/1.1", n, b"Expect: 100-continue", body=b"x"),
}
REQUESTS = {"envelope": ENVELOPES, "forward": PLAIN}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedApp]:
    """The same app as it is loaded for each mode."""
    folder = tmp_path_factory.mktemp("straight")
    (folder / "straight_line_app.py").write_text(APP)
    (folder / "host.json").write_text('{"version": "2.0"}')
    target = str(folder / "straight_line_app.py")
    return {mode: load_app(target, app_root=None, http_mode=mode) for mode in REQUESTS}  # type: ignore[arg-type]


KINDS = [(mode, name) for mode, kinds in REQUESTS.items() for name in kinds]


@pytest.mark.parametrize(("mode", "name"), KINDS)
def test_each_kind_is_served_alike_when_it_is_known(apps, mode, name):
    """The first is parsed; the others may be recognised."""
    sides = [Side(apps[mode], mode, straight=straight) for straight in (True, False)]
    for number in range(3):
        straight, general = (side.gets(REQUESTS[mode][name](number)) for side in sides)
        assert straight == general
        if straight.closed or straight.away:
            break
    for side in sides:
        side.close()


@settings(max_examples=40, deadline=None)
@given(mode=st.sampled_from(sorted(REQUESTS)), data=st.data())
def test_two_lines_serve_the_same_requests_alike(apps, mode, data):
    """In any order, cut at any byte: the same bytes, rows, counts, deadlines and log lines."""
    kinds = REQUESTS[mode]
    names = data.draw(st.lists(st.one_of(st.just("usual"), st.sampled_from(sorted(kinds))), min_size=1, max_size=8))
    sides = [Side(apps[mode], mode, straight=straight) for straight in (True, False)]
    try:
        for number, name in enumerate(names):
            request = kinds[name](number)
            cut = data.draw(st.one_of(st.just(0), st.integers(0, len(request))))
            for piece in filter(None, (request[:cut], request[cut:])):
                straight, general = (side.gets(piece) for side in sides)
                assert straight == general, (names, number, cut)
                if straight.closed or "start" in straight.away:
                    return
    finally:
        for side in sides:
            side.close()


@pytest.mark.parametrize("mode", sorted(REQUESTS))
def test_the_usual_request_does_take_the_straight_line(apps, mode, monkeypatch):
    """Else the test above would compare one line with itself; and the kernel is asked for the first request only."""
    asked = []
    side = Side(apps[mode], mode, straight=True)
    monkeypatch.setattr(module, "TRUSTED_NS", 1 << 62)
    monkeypatch.setattr(linux, "tcp_info", lambda _, ask=linux.tcp_info: asked.append(1) or ask(_))
    monkeypatch.setattr(side.exchange, "read", lambda *_, read=side.exchange.read: asked.append(2) or read(*_))
    for number in range(5):
        assert b" 200 OK\r\n" in side.gets(REQUESTS[mode]["usual"](number)).answer
    side.close()
    # The first is parsed; its answer was not the straight line's, so that the second asks; the others need nothing.
    assert asked == [2, 1, 1]


def test_a_row_that_the_straight_line_left_tells_what_was_written(apps):
    """What is before the next answer is all that has been written, as the kernel counts it."""
    side = Side(apps["envelope"], "envelope", straight=True)
    for number in range(4):
        side.gets(ENVELOPES["usual"](number))
    row = side.board.connection(NUMBER)
    assert row.before + row.length == linux.tcp_info(side.conversation.socket).written
    side.close()


def test_who_was_answered_long_ago_may_have_waited(apps, monkeypatch):
    """Then the kernel is asked how long; as it is where the supervisor, or a new client, has come between."""
    side = Side(apps["envelope"], "envelope", straight=True)
    asked = []
    monkeypatch.setattr(linux, "tcp_info", lambda _, ask=linux.tcp_info: asked.append(1) or ask(_))
    usual = ENVELOPES["usual"]
    monkeypatch.setattr(module, "TRUSTED_NS", 1 << 62)
    for number in range(3):
        side.gets(usual(number))
    asked.clear()
    monkeypatch.setattr(module, "TRUSTED_NS", 0)
    side.gets(usual(3))
    assert asked == [1]
    monkeypatch.setattr(module, "TRUSTED_NS", 1 << 62)
    side.gets(usual(4))
    assert asked == [1]
    for forget in (lambda: side.seat.ask_kernel(NUMBER), lambda: side.board.release(NUMBER)):
        forget()
        asked.clear()
        side.gets(usual(5))
        side.gets(usual(6))
        assert asked == [1]
    side.close()


def test_in_a_drain_nothing_is_served_by_the_straight_line(apps):
    """A request that came after its begin is refused, which the other line does."""
    side = Side(apps["envelope"], "envelope", straight=True)
    for number in range(3):
        side.gets(ENVELOPES["usual"](number))
    side.board.drain_ns = time.monotonic_ns()
    assert b" 503 " in side.gets(ENVELOPES["usual"](4)).answer
    side.close()
