"""No reference cycle on the path of a connection: with the garbage collector off, nothing is left behind.

A cycle keeps what it holds, and that may be a body of a hundred megabytes, until the collector runs: rarely, in a
server whose requests make few containers.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import HostConnection, Server, request_bytes, wait_for
from tests.memory import MIB, resident_bytes

APP = """
import asyncio, gc, threading
import fastworker as fw
app = fw.App()

@app.on_worker_start
def start():
    gc.collect()
    gc.disable()

@app.route("garbage", auth_level="anonymous")
def garbage(req: fw.Request) -> str:
    return str(gc.collect())

@app.route("ok", auth_level="anonymous")
def ok(req: fw.Request) -> str:
    return req.text + str(req.headers.get("x"))

@app.route("fails", auth_level="anonymous")
def fails(req: fw.Request) -> str:
    raise ValueError("no")

@app.route("typed", auth_level="anonymous")
def typed(req: fw.Request[int]) -> str:
    return str(req.body)

@app.route("aok", auth_level="anonymous")
async def aok(req: fw.Request) -> str:
    await asyncio.sleep(0)
    return "ok"

@app.route("afails", auth_level="anonymous")
async def afails(req: fw.Request) -> str:
    await asyncio.sleep(0)
    raise ValueError("no")

@app.function(deadline=0.1)
@app.route("slow", auth_level="anonymous")
async def slow(req: fw.Request) -> str:
    await asyncio.sleep(30)
    return "late"

@app.route("unencodable", auth_level="anonymous")
def unencodable(req: fw.Request) -> object:
    return object()

@app.route("items", auth_level="anonymous")
def items(req: fw.Request):
    yield "a"
    yield "b"

@app.route("aitems", auth_level="anonymous")
async def aitems(req: fw.Request):
    yield "a"
    await asyncio.sleep(0)
    yield "b"

@app.route("upload", methods=["POST"], auth_level="anonymous")
async def upload(req: fw.Request) -> str:
    return str([len(piece) async for piece in req.stream()])

@app.route("large", auth_level="anonymous")
def large(req: fw.Request) -> bytes:
    return bytes(300_000)
"""
TIMES = 25


@pytest.fixture(scope="module", params=["envelope", "proxy"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("cycles")
    (folder / "function_app.py").write_text(APP)
    (folder / "host.json").write_text('{"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}')
    with Server("--http-mode", request.param, cwd=folder, app="function_app.py", workers=1) as server:
        server.mode = request.param  # type: ignore[attr-defined]
        yield server.wait_ready()


def call(server: Server, name: str, body: str = "x", *, plain_method: bytes = b"POST") -> bytes:
    """A request in the mode of the server."""
    if server.mode == "envelope":  # type: ignore[attr-defined]
        request = {"Method": "POST", "Headers": {"Content-Type": ["text/plain"]}, "Body": body}
        return request_bytes(f"/{name}", json.dumps({"Data": {"req": request}, "Metadata": {}}).encode())
    head = b"%b /%b HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: x\r\nContent-Length: %d\r\n\r\n"
    return head % (plain_method, name.encode(), len(body)) + body.encode()


def left_behind(server: Server) -> int:
    """Objects that only the collector finds."""
    data = call(server, "garbage")
    with server.connect() as host:
        host.send(data)
        answer = whole(host)
    return int(json.loads(answer)["Outputs"]["res"]["body"]) if answer.startswith(b"{") else int(answer)


def whole(host: HostConnection) -> bytes:
    return host.receive().body


def ask(host: HostConnection, data: bytes) -> None:
    """Sends it and reads whatever comes until the answer is over."""
    host.send(data)
    received = b""
    while b"0\r\n\r\n" not in received and not _is_whole(received):
        more = host.socket.recv(1 << 20)
        if not more:
            return
        received += more


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    return bool(end) and b"content-length" in fields and len(body) >= int(fields[b"content-length"])


def abort(server: Server, data: bytes) -> None:
    with server.connect() as host:
        host.send(data)


KINDS: dict[str, Callable[[Server], None]] = {}


def kind(function: Callable[[Server], None]) -> Callable[[Server], None]:
    KINDS[function.__name__] = function
    return function


def simple(name: str, body: str = "x") -> None:
    def run(server: Server) -> None:
        with server.connect() as host:
            ask(host, call(server, name, body))
            ask(host, call(server, name, body))

    KINDS[name if body == "x" else f"{name} {body[:10]}"] = run


for route in ("ok", "fails", "typed", "aok", "afails", "unencodable", "items", "aitems", "upload", "large", "nothing"):
    simple(route)
simple("typed", "7")


@kind
def aborted_upload(server: Server) -> None:
    abort(server, call(server, "ok", "x" * 300_000)[:-1000])


@kind
def aborted_head(server: Server) -> None:
    abort(server, call(server, "ok")[:30])


@kind
def streamed_upload_aborted(server: Server) -> None:
    abort(server, call(server, "upload", "x" * 300_000)[:-1000])


@kind
def client_leaves(server: Server) -> None:
    abort(server, call(server, "aitems"))


@kind
def reader_leaves(server: Server) -> None:
    abort(server, call(server, "large"))


@kind
def refused(server: Server) -> None:
    with server.connect() as host:
        ask(host, b"nonsense\r\n\r\n")


@kind
def too_large(server: Server) -> None:
    with server.connect() as host:
        ask(host, b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")


@kind
def upgrade_offered(server: Server) -> None:
    with server.connect() as host:
        ask(host, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")


@kind
def pipelined(server: Server) -> None:
    with server.connect() as host:
        ask(host, call(server, "ok") * 3)


@kind
def overdue(server: Server) -> None:
    with server.connect() as host:
        ask(host, call(server, "slow"))


def test_nothing_is_left_for_the_collector(server: Server) -> None:
    """What each kind leaves is told by what the collector finds after many of it; a few objects once are no leak."""
    left_behind(server)
    found = {}
    for name, run in KINDS.items():
        times = 5 if name == "overdue" else TIMES
        with contextlib.suppress(ConnectionError):
            for _ in range(times):
                run(server)
        wait_for(lambda: left_behind(server) >= 0, "an answer")
        run(server)
        for _ in range(times):
            with contextlib.suppress(ConnectionError):
                run(server)
        count = left_behind(server)
        if count >= times:
            found[name] = count
    assert found == {}


BATCH = 200


def test_memory_stays_while_the_collector_is_off(server: Server, request: pytest.FixtureRequest) -> None:
    """`--requests-without-gc 1000000` for a real run: pipelined requests of three kinds, and after each batch an
    upload that breaks off. A cycle a request would be hundreds of megabytes then."""
    rounds = max(4, request.config.getoption("--requests-without-gc") // BATCH)
    (pid,) = server.workers()
    usual = b"".join(call(server, name) for name in ("ok", "typed", "fails")) * (BATCH // 3)
    aborted = call(server, "ok", "x" * 300_000)[:-1000]
    left_behind(server)

    def batch() -> None:
        with server.connect() as host:
            host.send(usual)
            for _ in range(BATCH // 3 * 3):
                host.receive()
        abort(server, aborted)

    for _ in range(rounds // 4):
        batch()
    before = resident_bytes(pid)
    for _ in range(rounds - rounds // 4):
        batch()
    assert server.workers() == {pid}
    assert resident_bytes(pid) - before < 8 * MIB
    assert left_behind(server) < rounds
