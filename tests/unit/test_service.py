"""service.py: from a request to its answer, on a small app and a real loop, without processes."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import uvloop

from fastworker.answer import Answer
from fastworker.app import load_app
from fastworker.board import Board, Seat
from fastworker.http1 import Request
from fastworker.service import Service
from fastworker.settings import parse_settings

APP = """
import asyncio
import threading
import fastworker as fw

app = fw.App()
leave, threads = threading.Event(), []


@app.function()
@app.queue_trigger("job", queue_name="jobs")
def work(job: str) -> str:
    threads.append(threading.current_thread())
    return job


@app.function()
@app.queue_trigger("job", queue_name="jobs")
async def wait(job: str) -> str:
    await asyncio.sleep(3600)
    return job


@app.function(deadline=0.05)
@app.queue_trigger("job", queue_name="jobs")
async def brief(job: str) -> str:
    await asyncio.sleep(3600)
    return job


@app.function(deadline=0.05)
@app.queue_trigger("job", queue_name="jobs")
def busy(job: str) -> str:
    while not leave.is_set():
        pass
    return job
"""
BODY = b'{"Data": {"job": "\\"seven\\""}, "Metadata": {}}'


class Bench:
    """One worker's service, with its board, its loop and its app's module."""

    def __init__(self, folder: Path) -> None:
        (folder / "service_bench_app.py").write_text(APP)
        (folder / "host.json").write_text('{"version": "2.0"}')
        app = load_app(str(folder / "service_bench_app.py"), app_root=None)
        self.module = sys.modules[app.functions["work"].handler.__module__]
        self.board = Board(1, 10_000, 1)
        self.loop = uvloop.new_event_loop()
        settings = parse_settings([], {"FUNCTIONS_CUSTOMHANDLER_PORT": "0"})
        self.service = Service(app, settings, self.board, Seat(self.board, 0, pid=1))

    def answer(
        self, target: str, method: bytes = b"POST", body: bytes = BODY, waited_ms: int = 0
    ) -> "Answer | asyncio.Future[Answer]":
        request = Request(method, target.encode(), [], body, True, b"id-1", None)
        call = self.service.call(request, time.monotonic_ns(), waited_ms)
        return self.service.answer(call, self.loop)

    def at_once(self, *arguments, **options) -> Answer:
        answer = self.answer(*arguments, **options)
        assert isinstance(answer, Answer)
        return answer

    def settle(self) -> "list[Answer | BaseException]":
        """Runs the loop until nothing is in flight; what each invocation came to."""

        async def gather() -> "list[Answer | BaseException]":
            return await asyncio.gather(*self.service.in_flight, return_exceptions=True)

        return self.loop.run_until_complete(gather())

    def later(self, *arguments, **options) -> "asyncio.Future[Answer]":
        answer = self.answer(*arguments, **options)
        assert isinstance(answer, asyncio.Future)
        return answer


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Iterator[Bench]:
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    bench = Bench(tmp_path)
    yield bench
    bench.module.leave.set()
    for future in list(bench.service.in_flight):
        future.cancel()
    bench.settle()
    bench.loop.close()
    bench.service._threads.shutdown()


def body_of(answer: Answer):
    return orjson.loads(answer.body)


@pytest.mark.parametrize(("target", "method"), [("/", b"GET"), ("/", b"HEAD"), ("/?warm=1", b"GET")])
def test_the_host_that_asks_whether_it_is_ready_is_told(bench, target, method):
    """Also during the drain: the process is still there."""
    assert bench.at_once(target, method).status == 200
    bench.board.drain_ns = 1
    assert bench.at_once(target, method).status == 200


@pytest.mark.parametrize(("target", "method"), [("/nothing", b"POST"), ("/work/", b"POST"), ("/", b"POST")])
def test_an_unknown_function_is_answered_with_those_there_are(bench, target, method):
    """A name misspelt in function.json is found by reading the answer."""
    answer = bench.at_once(target, method)
    assert answer.status == 404
    assert "brief, busy, wait, work" in body_of(answer)["detail"]


def test_an_invocation_comes_by_post(bench):
    """Anything else is somebody at the wrong door."""
    answer = bench.at_once("/work", b"GET")
    assert (answer.status, answer.headers) == (405, ((b"Allow", b"POST"),))
    assert bench.module.threads == []


def test_a_request_that_came_after_the_drain_began_is_sent_away(bench):
    """With the time after which to try again; one that had lain in its socket before is still served."""
    bench.board.drain_ns = time.monotonic_ns()
    answer = bench.at_once("/work")
    assert (answer.status, answer.headers) == (503, ((b"Retry-After", b"1"),))
    assert bench.module.threads == []
    assert bench.at_once("/work", waited_ms=1000).status == 200


def test_a_deadline_that_passed_in_the_queue_is_answered_unrun(bench):
    """The clock started when the host sent the request."""
    answer = bench.at_once("/work", waited_ms=55_000)
    assert answer.status == 504
    assert bench.module.threads == []
    assert body_of(answer)["invocationId"] == "id-1"
    assert "waited 55 s" in body_of(answer)["detail"]
    assert "deadline is 55 s" in body_of(answer)["detail"]
    assert bench.at_once("/work", waited_ms=54_000).status == 200


def test_a_sync_handler_runs_inline_when_nothing_else_is_in_flight(bench):
    """On this very thread; the board says so while it runs, and no more afterwards."""
    assert bench.at_once("/work").status == 200
    assert bench.module.threads == [threading.current_thread()]
    assert bench.board.worker(0).inline_ns == 0
    assert bench.at_once("/work", body=b"nonsense").status == 400
    assert bench.board.worker(0).inline_ns == 0


def test_a_sync_handler_makes_way_for_async_ones_in_flight(bench):
    """It runs in a thread of its own, so that they go on; once they are done, inline again."""
    waiting = bench.later("/wait")
    answer = bench.loop.run_until_complete(bench.later("/work"))
    assert answer.status == 200
    assert [thread.name.startswith("fastworker") for thread in bench.module.threads] == [True]
    waiting.cancel()
    bench.settle()
    assert bench.service.in_flight == set()
    assert bench.at_once("/work").status == 200


@pytest.mark.parametrize("name", ["brief", "busy"])
def test_what_runs_beside_others_ends_at_its_deadline(bench, name):
    """A task by cancellation, a thread by an exception; both answer 504, and are in flight no more."""
    other = bench.later("/wait")
    answer = bench.loop.run_until_complete(bench.later(f"/{name}"))
    assert answer.status == 504
    assert "deadline of 0.05 s" in body_of(answer)["detail"]
    assert bench.service.in_flight == {other}


def test_a_task_whose_deadline_passes_before_its_first_step_is_answered(bench):
    """The loop was busy in between; there is an answer, and not a cancelled future that nobody answers for."""
    bench.later("/brief")
    until = time.monotonic() + 0.06
    while time.monotonic() < until:
        pass
    [answer] = bench.settle()
    assert isinstance(answer, Answer)
    assert answer.status == 504


def test_a_refused_argument_of_an_async_function_is_answered_at_once(bench):
    """Nothing is in flight for it."""
    assert bench.at_once("/wait", body=b'{"Data": {}, "Metadata": {}}').status in (400, 500)
    assert bench.service.in_flight == set()
