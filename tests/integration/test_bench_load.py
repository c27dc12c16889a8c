"""The load side itself, against a server that does what each test says: what it sends, times and does not forgive."""

import contextlib
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("psutil", reason="comes with the extra `bench`")
if shutil.which("cc") is None and shutil.which("gcc") is None:
    pytest.skip("the load side is compiled by a C compiler", allow_module_level=True)

from benchmarks import calls, load, schedule  # after the skips
from benchmarks.calls import WrongAnswerError
from benchmarks.contenders import Contender, Running, use_cache

RIGHT = b'{"Outputs":{"res":{"statusCode":200,"body":"5"}},"Logs":[],"ReturnValue":null}'
CALL = calls.echo(5)
END = b"0\r\n\r\n"

Answer = Callable[[int], bytes | None]


def answer(body: bytes = RIGHT, status: str = "200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%b\r\n%b" % (status.encode(), len(body), headers, body)


class Server:
    """A thread per connection. `reply` gets the number of the request; None closes the connection."""

    def __init__(self, reply: Answer) -> None:
        self.reply = reply
        self.requests: list[bytes] = []
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        with connection, contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                data += piece
                if not data.endswith(END):
                    continue
                with self._lock:
                    number = len(self.requests)
                    self.requests.append(data)
                data = b""
                reply = self.reply(number)
                if reply is None:
                    return
                connection.sendall(reply)
                if b"Connection: close" in reply:
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


@contextlib.contextmanager
def serving(reply: Answer, folder: Path) -> Iterator[tuple[Server, Running]]:
    server = Server(reply)
    process: Any = None
    folder.joinpath("output.log").touch()
    contender = Contender("a test's", lambda launch: [])
    try:
        yield server, Running(contender, server.port, os.getpid(), process, folder, time.monotonic_ns())
    finally:
        server.close()


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    use_cache(tmp_path_factory.mktemp("cache"))


def kinds(server: Server, answer: bytes | None = RIGHT) -> list[load.Prepared]:
    return [load.Prepared(CALL, CALL.request(server.port), answer)]


def test_closed_loop_keeps_its_connections_and_records_every_request(tmp_path: Path):
    """As many connections as requests in flight; each request as the host sends it, with an id of its own."""
    with serving(lambda number: answer(), tmp_path) as (server, running):
        outcome = load.closed_loop(running, kinds(server), in_flight=3, seconds=0.2, warmup=0.05).require_right()
    assert outcome.opened == 3
    assert len(outcome.records) == len(server.requests)
    assert len(outcome.latencies()) < len(outcome.records)
    ids = {re.search(rb"InvocationId: (\S+)\r\n", request)[1] for request in server.requests}  # type: ignore[index]
    assert len(ids) == len(server.requests)
    blank = re.sub(rb"InvocationId: \S+", b"", server.requests[0])
    assert blank == re.sub(rb"InvocationId: \S+", b"", kinds(server)[0].request)


def test_several_processes_are_one_load(tmp_path: Path):
    """Their parts of what is in flight add up, they begin together, and no id is used twice."""
    with serving(lambda number: answer(), tmp_path) as (server, running):
        outcome = load.closed_loop(running, kinds(server), in_flight=5, seconds=0.2, warmup=0, processes=2)
    outcome.require_right()
    assert outcome.opened == 5
    assert len(outcome.records) == len(server.requests)
    ids = {re.search(rb"InvocationId: (\S+)\r\n", request)[1] for request in server.requests}  # type: ignore[index]
    assert len(ids) == len(server.requests)
    assert (outcome.records["sent"] >= outcome.from_ns).all()


def test_one_wrong_answer_to_one_of_several_processes_fails_the_run(tmp_path: Path):
    bad = answer(b"{}")
    with serving(lambda number: bad if number == 19 else answer(), tmp_path) as (server, running):
        outcome = load.closed_loop(running, kinds(server), in_flight=2, seconds=0.3, warmup=0, processes=2)
    with pytest.raises(WrongAnswerError, match=r"1 x wrong body of .*the first: 'HTTP/1\.1 200 OK"):
        outcome.require_right()


def test_a_chunked_answer_is_as_right_as_one_with_a_length(tmp_path: Path):
    """It is put together before it is compared."""
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    chunked += b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (RIGHT[:10], RIGHT[10:])) + END
    with serving(lambda number: chunked, tmp_path) as (server, running):
        load.closed_loop(running, kinds(server), in_flight=2, seconds=0.1, warmup=0).require_right()


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (answer(RIGHT.replace(b'"5"', b'"6"')), "1 x wrong body"),
        (answer(status="500 Internal Server Error"), "1 x wrong status"),
        (answer(RIGHT + b" "), "1 x wrong body"),
        (b"NONSENSE/1.1 200 OK\r\n\r\n", "1 x malformed answer"),
        (answer() + b"HTTP/1.1 200", "1 x malformed answer"),
        (None, "1 x broken connection"),
    ],
    ids=["body", "status", "longer", "no HTTP", "too much", "closed"],
)
def test_one_wrong_answer_among_many_fails_the_run(bad: bytes | None, told: str, tmp_path: Path):
    """It is the twentieth, long after the check before the run."""
    with serving(lambda number: bad if number == 19 else answer(), tmp_path) as (server, running):
        outcome = load.closed_loop(running, kinds(server), in_flight=2, seconds=0.3, warmup=0)
    assert len(outcome.records) > 20
    with pytest.raises(WrongAnswerError, match=told):
        outcome.require_right()


def test_an_answer_that_closes_its_connection_is_right(tmp_path: Path):
    """The next request opens a new one, as the host does."""
    reply = answer(headers=b"Connection: close\r\n")
    with serving(lambda number: reply, tmp_path) as (server, running):
        outcome = load.closed_loop(running, kinds(server), in_flight=2, seconds=0.1, warmup=0).require_right()
    assert outcome.opened == len(outcome.records)


def test_a_request_without_an_answer_fails_in_time(tmp_path: Path):
    stop = threading.Event()

    def reply(number: int) -> bytes:
        if number == 5:
            stop.wait(20)
        return answer()

    with serving(reply, tmp_path) as (server, running):
        outcome = load.closed_loop(running, kinds(server), in_flight=2, seconds=0.2, warmup=0, timeout=0.5)
        stop.set()
    with pytest.raises(WrongAnswerError, match="1 x no answer in time"):
        outcome.require_right()


def test_a_stalled_server_is_not_forgiven(tmp_path: Path):
    """With one connection, what should have been sent during a stall of 0.3 s is measured from when it should have."""

    def reply(number: int) -> bytes:
        if number == 10:
            time.sleep(0.3)  # the stall is what is tested
        return answer()

    plan = schedule.plain(schedule.constant(200, 0.5))
    with serving(reply, tmp_path) as (server, running):
        outcome = load.open_loop(running, kinds(server), plan, warmup=0, connections=1).require_right()
    assert len(outcome.records) == 100
    stalled = np.sort(outcome.latencies())[-50:]
    assert stalled[-1] > 290_000_000
    assert stalled[0] > 30_000_000
    assert outcome.load_side()["load_waited"] >= 10  # 60 are planned in the stall; a slow machine sends some late


def test_an_open_loop_opens_connections_while_the_server_stalls(tmp_path: Path):
    """The host has no limit on connections: nobody waits behind the one that stalls."""

    def reply(number: int) -> bytes:
        if number == 10:
            time.sleep(0.3)  # the stall is what is tested
        return answer()

    plan = schedule.plain(schedule.constant(200, 0.5))
    with serving(reply, tmp_path) as (server, running):
        outcome = load.open_loop(running, kinds(server), plan, warmup=0).require_right()
    assert outcome.opened >= 2
    assert (outcome.latencies() > 290_000_000).any()
    # Behind it some thirty would have waited for longer than this; a slow machine may delay a few.
    assert (outcome.latencies() > 150_000_000).sum() < 15
    assert outcome.load_side()["load_waited"] == 0


def test_requests_are_sent_as_planned_and_of_their_kinds(tmp_path: Path):
    """Never before their time; every kind is compared with its own answer."""
    other = answer(b'{"other":1}')
    plan = schedule.mixed(schedule.poisson(400, 0.3, seed=1), [0.7, 0.3], seed=1)
    sent = [arrival.kind for arrival in plan]
    with serving(lambda number: other if b"/other " in server.requests[number] else answer(), tmp_path) as (
        server,
        running,
    ):
        second = load.Prepared(CALL, replace(CALL, function="other").request(server.port), b'{"other":1}')
        outcome = load.open_loop(running, [*kinds(server), second], plan, warmup=0).require_right()
    assert sorted(outcome.records["kind"].tolist()) == sorted(sent)
    assert (outcome.records["sent"] >= outcome.records["intended"]).all()
    by_time = np.sort(outcome.records, order="intended")
    assert (np.diff(by_time["intended"]) == np.diff([arrival.at_ns for arrival in plan])).all()


def test_a_users_answers_may_differ_but_not_their_status(tmp_path: Path):
    with serving(lambda number: answer(b'{"n":%d}' % number), tmp_path) as (server, running):
        load.closed_loop(running, kinds(server, None), in_flight=2, seconds=0.1, warmup=0).require_right()
    with serving(lambda number: answer(status="503 No"), tmp_path) as (server, running):
        outcome = load.closed_loop(running, kinds(server, None), in_flight=2, seconds=0.1, warmup=0)
    with pytest.raises(WrongAnswerError, match="wrong status"):
        outcome.require_right()
