"""dispatch.py: from a request to its answer, on a small app and a real loop, without processes."""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import uvloop

from fastworker.functions.loaded_app import load_app
from fastworker.ipc.board import Board
from fastworker.ipc.seat import Seat
from fastworker.protocol.answer import Answer, Streamed
from fastworker.protocol.http_request import Request
from fastworker.settings import parse_settings
from fastworker.worker.dispatch import Service

APP = """
import asyncio
import threading
import fastworker as fw

app = fw.App()
threads = []


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


@app.function()
@app.queue_trigger("job", queue_name="jobs")
async def ends(job: str) -> str:
    how = {"cancel": asyncio.CancelledError, "exit": SystemExit, "close": GeneratorExit}
    if job == "itself":
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
    raise how[job]
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
        self.service.settle_in()

    def answer(
        self, target: str, method: bytes = b"POST", body: bytes = BODY, waited_ms: int = 0
    ) -> "Answer | Streamed | asyncio.Task[Answer | Streamed]":
        request = Request(method, target.encode(), [], body, True, b"id-1", None)
        call = self.service.call(request, time.monotonic_ns(), waited_ms)
        refused = self.service.refusal(call)
        if refused is not None:
            return refused
        if not call.function.is_async:
            return self.service.run(call, None)
        return self.service.start(call, None, self.loop)

    def at_once(self, *arguments, **options) -> Answer:
        answer = self.answer(*arguments, **options)
        assert isinstance(answer, Answer)
        return answer

    def settle(self) -> list[Answer | Streamed]:
        """Runs the loop until nothing is in flight; what each invocation came to."""
        tasks = list(self.service.in_flight)

        async def gather() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)

        self.loop.run_until_complete(gather())
        return [self.service.outcome(task) for task in tasks]

    def settle_one(self, task: "asyncio.Task[Answer]") -> None:
        self.loop.run_until_complete(asyncio.wait([task]))

    def later(self, *arguments, **options) -> "asyncio.Future[Answer]":
        answer = self.answer(*arguments, **options)
        assert isinstance(answer, asyncio.Future)
        return answer  # type: ignore[return-value]


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Iterator[Bench]:
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    bench = Bench(tmp_path)
    yield bench
    for task in list(bench.service.in_flight):
        task.cancel()
    bench.settle()
    bench.loop.close()
    bench.service._surroundings.home.close()
    asyncio.set_event_loop(None)


def body_of(answer: Answer):
    return orjson.loads(answer.body)


@pytest.mark.parametrize(("target", "method"), [("/", b"GET"), ("/", b"HEAD"), ("/?warm=1", b"GET")])
def test_the_host_that_asks_whether_it_is_ready_is_told(bench, target, method):
    """Also during the drain: the process is still there."""
    assert bench.at_once(target, method).status == 200
    bench.board.drain_ns = 1
    assert bench.at_once(target, method).status == 200


@pytest.mark.parametrize(("target", "method"), [("/nothing", b"POST"), ("/work/", b"POST"), ("/", b"POST")])
def test_an_unknown_function_is_answered_without_those_there_are(bench, target, method):
    """The answer may go to whoever asked."""
    answer = bench.at_once(target, method)
    assert answer.status == 404
    assert body_of(answer)["detail"] == f"no function at {target!r}"


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


def test_a_sync_handler_runs_right_here(bench):
    """On this very thread, whatever else is in flight; the board says so while it runs, and no more afterwards."""
    for _ in range(2):
        assert bench.at_once("/work").status == 200
        assert bench.board.worker(0).inline_ns == 0
        bench.later("/wait")
    assert bench.module.threads == [threading.current_thread()] * 2
    assert bench.at_once("/work", body=b"nonsense").status == 400
    assert bench.board.worker(0).inline_ns == 0


def test_an_async_handler_ends_at_its_deadline(bench):
    """By cancellation; it is answered 504, and is in flight no more."""
    other = bench.later("/wait")
    task = bench.later("/brief")
    bench.loop.run_until_complete(asyncio.wait_for(task, 60))
    answer = bench.service.outcome(task)
    assert answer.status == 504
    assert "deadline of 0.05 s" in body_of(answer)["detail"]
    assert list(bench.service.in_flight) == [other]


@pytest.mark.parametrize("how", ["cancel", "exit", "close", "itself"])
def test_an_async_handler_that_ends_itself_is_answered(bench, how):
    """Cancelled by its own hand, by sys.exit, by what closes a coroutine: a 500, and the worker goes on."""
    task = bench.later("/ends", body=BODY.replace(b"seven", how.encode()))
    with contextlib.suppress(SystemExit):  # comes out of the loop, too, in a task that asyncio runs
        bench.settle_one(task)
    assert bench.service.outcome(task).status == 500
    assert bench.service.in_flight == {}


@pytest.mark.parametrize("steps", [0, 1])
def test_an_async_handler_that_a_neighbour_cancels_is_answered(bench, steps):
    """Before its first step, too: code that cancels all tasks asks for nobody's leave."""
    task = bench.later("/wait")
    for _ in range(steps):
        bench.loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    [answer] = bench.settle()
    assert answer.status == 500


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
    assert bench.service.in_flight == {}
