"""One invocation through begin, run and answer: what comes of success and of every kind of failure."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastworker as fw
from fastworker import log_records, logs
from fastworker.deadline import deadline_from
from fastworker.functions.invocation import Invocation, Rejected, begin, run_async, run_sync
from fastworker.functions.loaded_app import assemble
from fastworker.protocol.answer import Answer

ID = "7b4f3a0e-5d0b-4a37-b0a9-0d7d6a1f2c11"
DEADLINE = deadline_from(10**9, 55 * 10**9, 10**9)


class Job(msgspec.Struct):
    quantity: int

    def __post_init__(self) -> None:
        if self.quantity == 13:
            raise LookupError("unlucky")


@pytest.fixture(autouse=True)
def _logging():
    """The level and handlers that a worker has."""
    logs.configure()
    yield
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, logs.InvocationHandler)]
    root.setLevel(logging.WARNING)


def function_of(app: fw.App, tmp_path: Any = None) -> Any:
    functions, _, problems, _ = assemble(app, app.folder)
    assert problems == []
    return next(iter(functions.values()))


def queue_function(handler: Callable[..., Any]) -> Any:
    app = fw.App()
    app.function("handler")(app.queue_trigger("job", queue_name="q")(handler))
    return function_of(app)


def http_function(handler: Callable[..., Any], name: str = "res") -> Any:
    app = fw.App()
    app.route(binding_arg_name=name)(handler)
    return function_of(app)


def start(function: Any, job: Any = "hi", metadata: str = "{}") -> Invocation:
    name = function.trigger.name
    value = orjson.dumps(orjson.dumps(orjson.dumps(job).decode()).decode()) if name == "job" else orjson.dumps(job)
    body = b'{"Data": {"%b": %b}, "Metadata": %b}' % (name.encode(), value, metadata.encode())
    if name == "job" and isinstance(job, str):
        body = orjson.dumps({"Data": {"job": orjson.dumps(job).decode()}, "Metadata": orjson.loads(metadata)})
    return begin(function, body, invocation_id=ID, deadline=DEADLINE, traceparent="00-a-b-01")


def call(function: Any, job: Any = "hi", metadata: str = "{}") -> Any:
    try:
        invocation = start(function, job, metadata)
    except Rejected as rejected:
        return rejected.answer
    if function.is_async:
        return asyncio.run(run_async(invocation))
    return run_sync(invocation)


def body_of(answer: Answer) -> Any:
    return orjson.loads(answer.body)


def test_success_is_200_with_outputs_logs_and_return_value():
    """Vectors C 33 and 34: never an empty body or null (trap 1), and always JSON."""
    app = fw.App()

    @app.route("order")
    @app.queue_output("message", queue_name="orders")
    def order(req: fw.Request, message: fw.Out[str]) -> fw.Response:
        message.set(req.text)
        logging.info("order processed")
        return fw.Response("Order complete")

    answer = call(function_of(app), {"Url": "u", "Method": "POST", "Body": "test"})
    assert (answer.status, answer.content_type) == (200, b"application/json")
    assert body_of(answer) == {
        "Outputs": {"res": {"statusCode": 200, "body": "Order complete"}, "message": "dGVzdA=="},
        "Logs": ["INFO: order processed"],
        "ReturnValue": None,
    }


def test_async_handler_gives_the_same_answer():
    """In a task of its own."""

    async def handler(job: str) -> None:
        await asyncio.sleep(0)
        logging.warning("got %s", job)

    assert body_of(call(queue_function(handler))) == {
        "Outputs": {},
        "Logs": ["WARNING: got hi"],
        "ReturnValue": None,
    }


def test_result_sets_outputs_and_the_return_value():
    """Named outputs win over what was set before; None takes one back."""
    app = fw.App()

    @app.queue_trigger("job", queue_name="q")
    @app.queue_output("a", queue_name="a")
    @app.queue_output("b", queue_name="b")
    @app.blob_output("$return", path="x")
    def handler(job: str, a: fw.Out[str]) -> fw.Result[str]:
        a.set("first")
        assert a.get() == "first"
        return fw.Result("value", a=None, b=["x", "y"])

    answer = body_of(call(function_of(app)))
    assert (answer["Outputs"], answer["ReturnValue"]) == ({"b": ["x", "y"]}, "dmFsdWU=")


def test_result_with_an_unknown_output_is_a_500_that_names_it():
    """Unknown names would be dropped without a word (trap 24)."""
    function = queue_function(lambda job: fw.Result(None, mesage="x"))
    assert "'mesage'" in body_of(call(function))["detail"]


def test_return_value_that_goes_nowhere_is_a_warning_in_the_logs():
    """Vector C 43: without a `$return` binding `ReturnValue` would be taken apart or dropped, so it stays null."""
    answer = body_of(call(queue_function(lambda job: {"out": "hello"})))
    assert answer["ReturnValue"] is None
    (line,) = answer["Logs"]
    assert line.startswith("WARNING: the return value (a dict) goes nowhere")


def test_context_tells_about_the_invocation():
    """Id, name, trace, metadata, retries and the time left."""
    seen: list[Any] = []

    def handler(job: str, ctx: fw.Context) -> None:
        seen.extend([ctx.invocation_id, ctx.function_name, ctx.traceparent, ctx.metadata["Count"]])
        seen.extend([ctx.retry_count, ctx.max_retry_count, ctx.remaining() >= 0])

    metadata = (
        '{"Count": "1", "RetryContext": {"RetryCount": 2, "MaxRetryCount": 3, "Exception": null, "Instance": null}}'
    )
    call(queue_function(handler), metadata=metadata)
    assert seen == [ID, "handler", "00-a-b-01", 1, 2, 3, True]
    seen.clear()
    call(queue_function(handler), metadata='{"Count": "1"}')
    assert seen[4:6] == [0, None]


class Strange(BaseException):
    pass


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "error", [ValueError, SystemExit, KeyboardInterrupt, MemoryError, Strange], ids=lambda error: error.__name__
)
def test_handler_that_raises_is_a_500(capfd, error, is_async):
    """Whatever it raises, sys.exit too; the traceback goes to stderr, and never to the caller."""

    def sync_handler(job: str) -> None:
        logging.info("before")
        raise error("boom")

    async def async_handler(job: str) -> None:
        sync_handler(job)

    answer = call(queue_function(async_handler if is_async else sync_handler))
    problem = body_of(answer)
    assert (answer.status, answer.content_type) == (500, b"application/problem+json")
    assert problem["detail"].startswith(f"{error.__name__}: boom")
    assert problem["invocationId"] == ID
    assert "Traceback" not in answer.body.decode()
    captured = capfd.readouterr()
    assert "Traceback" in captured.err
    assert "in sync_handler" in captured.err
    assert "fastworker/functions/invocation.py" not in captured.err
    assert ID in captured.err


def test_logs_of_a_failed_invocation_are_written_out(capfd):
    """Vector C 35 and trap 30: the host drops them; so they go to stdout, from ERROR to stderr, with the id."""

    def handler(job: str) -> None:
        logging.info("one\nLanguageWorkerConsoleLog two")
        logging.error("three")
        raise ValueError

    call(queue_function(handler))
    captured = capfd.readouterr()
    assert captured.out == f"INFO handler {ID}: one\n  LanguageWorkerConsoleLog two\n"
    assert captured.err.startswith(f"ERROR handler {ID}: three\n")


def test_generator_exit_in_a_sync_handler_is_a_500():
    """Only a closing coroutine may end by it."""

    def handler(job: str) -> None:
        raise GeneratorExit

    assert call(queue_function(handler)).status == 500


def test_closing_an_async_invocation_ends_it():
    """GeneratorExit passes."""

    async def handler(job: str) -> None:
        await asyncio.Future()

    async def main() -> None:
        coroutine = run_async(start(queue_function(handler)))
        coroutine.send(None)
        coroutine.close()

    asyncio.run(main())


@pytest.mark.parametrize("expired", [True, False])
def test_cancellation_is_a_504_only_if_the_deadline_caused_it(expired):
    """Any other passes through."""

    async def handler(job: str) -> None:
        await asyncio.sleep(60)

    async def main() -> Answer:
        invocation = start(queue_function(handler))
        task = asyncio.create_task(run_async(invocation))
        await asyncio.sleep(0)
        invocation.expired = expired
        task.cancel()
        return await task  # type: ignore[return-value]

    if expired:
        answer = asyncio.run(main())
        assert answer.status == 504
        assert body_of(answer)["detail"] == "the deadline of 55 s passed while the function ran"
    else:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())


def test_what_a_handler_raises_after_its_deadline_is_the_504():
    """Clean-up that fails does not hide the cause."""

    async def handler(job: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("while cleaning up")

    async def main() -> Answer:
        invocation = start(queue_function(handler))
        task = asyncio.create_task(run_async(invocation))
        await asyncio.sleep(0)
        invocation.expired = True
        task.cancel()
        return await task  # type: ignore[return-value]

    assert asyncio.run(main()).status == 504


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [UnprintableError(), ValueError("\ud800"), ValueError("x" * 10_000_000)], ids=type)
def test_exception_that_cannot_be_shown_is_a_500_all_the_same(error):
    """No text, no Unicode, or megabytes of it."""

    def handler(job: str) -> None:
        raise error

    answer = call(queue_function(handler))
    assert answer.status == 500
    assert len(answer.body) < 3000


def test_deadline_exceeded_passes_except_exception_and_is_a_504():
    """So that a stray `except Exception` does not swallow it."""

    def handler(job: str) -> None:
        try:
            raise fw.DeadlineExceeded
        except Exception:
            pytest.fail("swallowed")

    assert call(queue_function(handler)).status == 504


def test_sync_handler_that_returns_a_coroutine_is_a_500():
    """The message says what to write."""

    async def inner() -> None: ...

    assert "declare it with `async def`" in body_of(call(queue_function(lambda job: inner())))["detail"]


def test_unencodable_output_is_a_500_naming_the_path(capfd):
    """And its type; on stderr, too."""
    app = fw.App()

    @app.queue_trigger("job", queue_name="q")
    @app.queue_output("message", queue_name="q")
    def handler(job: str, message: fw.Out[Any]) -> None:
        message.set([{"price": 1}, {"x": 1}, {"price": float("nan")}])

    answer = call(function_of(app))
    assert answer.status == 500
    assert body_of(answer)["detail"] == (
        "Outputs.message[2].price: a value of type float is nan, which JSON cannot hold"
    )
    assert "Outputs.message[2].price" in capfd.readouterr().err


# ---- wrong input ----------------------------------------------------------------------------------------------------


def typed(job: Job) -> None: ...


@pytest.mark.parametrize(
    ("job", "detail"),
    [
        ({"quantity": "x"}, "Data.job.quantity: expected `int`, got `str`"),
        ({}, "Data.job: object missing required field `quantity`"),
        ("no json", "Data.job: expected JSON: JSON is malformed"),
    ],
)
def test_wrong_message_is_a_400_problem(job, detail):
    """No client to tell: the host sees a failure, and redelivers."""
    answer = call(queue_function(typed), job)
    assert answer.status == 400
    assert body_of(answer)["detail"].startswith(detail)


def test_missing_member_of_data_is_a_400():
    """As if it were null."""
    function = queue_function(typed)
    with pytest.raises(Rejected) as caught:
        begin(function, b'{"Data": {}}', invocation_id=ID, deadline=DEADLINE)
    assert caught.value.answer.status == 400
    assert "Data.job: expected a value" in body_of(caught.value.answer)["detail"]


def test_decoder_that_raises_is_a_500(capfd):
    """A Struct's own checks are user code."""
    answer = call(queue_function(typed), {"quantity": 13})
    assert answer.status == 500
    assert "unlucky" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["res", "$return"])
@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        ({"Body": '{"quantity":"x"}'}, "body.quantity: expected `int`, got `str`"),
        ({"Body": "{"}, "body: expected JSON"),
        ({}, "body: expected Job, got nothing"),
    ],
)
def test_client_that_sends_a_wrong_body_gets_a_400(name, request_, detail):
    """Inside a 200, for only so it reaches the client (design, section 3)."""

    def handler(req: fw.Request[Job]) -> None: ...

    answer = call(http_function(handler, name), {"Url": "u", **request_})
    assert answer.status == 200
    result = body_of(answer)
    response = result["ReturnValue"] if name == "$return" else result["Outputs"]["res"]
    assert response["statusCode"] == 400
    assert response["headers"] == {"content-type": "application/problem+json"}
    assert orjson.loads(response["body"])["detail"].startswith(detail)


@pytest.mark.parametrize(
    "read",
    [
        lambda req: req.query.get_as("n", int),
        lambda req: req.params.get_as("n", int),
        lambda req: req.json(Job),
        lambda req: req.form(),
    ],
)
def test_client_error_within_the_handler_is_a_400_and_keeps_the_logs(read):
    """Parameters and bodies that are asked for later."""

    def handler(req: fw.Request) -> None:
        logging.info("reading")
        read(req)

    request = {"Url": "u", "Query": {"n": "x"}, "Params": {"n": "x"}, "Body": "[]"}
    result = body_of(call(http_function(handler), request))
    assert result["Outputs"]["res"]["statusCode"] == 400
    assert result["Logs"] == ["INFO: reading"]


# ---- threads --------------------------------------------------------------------------------------------------------


@pytest.fixture
def _inherit(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    log_records.inherit_invocation_in_threads()


@pytest.mark.usefixtures("_inherit")
def test_records_of_threads_reach_their_invocation():
    """Also in a pool that another invocation started."""
    pool = ThreadPoolExecutor(1)

    def handler(job: str) -> None:
        thread = threading.Thread(target=logging.info, args=("thread of %s", job))
        thread.start()
        thread.join()
        pool.submit(logging.info, "pool of %s", job).result()

    for job in ("a", "b"):
        assert body_of(call(queue_function(handler), job))["Logs"] == [f"INFO: thread of {job}", f"INFO: pool of {job}"]
    pool.shutdown()


@pytest.mark.usefixtures("_inherit")
def test_record_after_the_end_goes_to_stdout_with_the_id(capfd):
    """The answer has left; the line must not be lost, nor reach another invocation."""
    go = threading.Event()
    threads = []

    def late() -> None:
        go.wait()
        logging.info("late")

    def handler(job: str) -> None:
        threads.append(threading.Thread(target=late))
        threads[0].start()

    assert body_of(call(queue_function(handler)))["Logs"] == []
    go.set()
    threads[0].join()
    assert capfd.readouterr().out == f"INFO handler {ID}: late\n"


def test_context_variable_is_reset_after_a_sync_call():
    """What is logged between invocations belongs to none."""
    call(queue_function(lambda job: None))
    assert logs.CURRENT.get() is None


def test_body_views_are_not_copied():
    """A large body is decoded from where it lies."""
    seen: list[bytes] = []
    app = fw.App()

    @app.blob_trigger("blob", path="x")
    def handler(blob: bytes) -> None:
        seen.append(blob)

    body = bytearray(b'{"Data": {"blob": "%b"}}' % (b"AAAA" * 100_000))
    run_sync(begin(function_of(app), body, invocation_id=ID, deadline=DEADLINE))
    assert seen == [bytes(300_000)]
    assert sys.getrefcount(body) == 2


# ---- properties -----------------------------------------------------------------------------------------------------

ENVELOPE = orjson.dumps(
    {
        "Data": {
            "req": {
                "Url": "http://h/?a=1",
                "Method": "POST",
                "Query": {"a": "1"},
                "Headers": {"Content-Type": ["application/json"]},
                "Params": {"id": None},
                "Identities": [],
                "Body": '{"quantity":1}',
            }
        },
        "Metadata": {"a": '"1"', "sys": {"MethodName": "f"}},
    }
)


def read_everything(req: fw.Request[Job], ctx: fw.Context) -> Any:
    return [
        dict(req.query),
        dict(req.params),
        dict(req.headers),
        req.cookies,
        req.identities,
        req.text,
        dict(ctx.metadata),
    ]


@given(st.integers(0, len(ENVELOPE)), st.integers(0, 20), st.binary(max_size=10))
def test_damaged_envelope_gets_an_answer(start_, length, patch):
    """Whatever bytes come: 200, 400, or the 500 of the handler, and always JSON."""
    body = ENVELOPE[:start_] + patch + ENVELOPE[start_ + length :]
    try:
        invocation = begin(FUZZED, body, invocation_id=ID, deadline=DEADLINE)
    except Rejected as rejected:
        answer = rejected.answer
    else:
        answer = run_sync(invocation)  # type: ignore[assignment]
    assert answer.status in {200, 400}
    assert isinstance(orjson.loads(answer.body), dict)


FUZZED = http_function(read_everything)


@pytest.mark.parametrize(
    "type_",
    ["activityTrigger", "orchestrationTrigger", "entityTrigger", "mcpToolTrigger", "signalRTrigger", "newTrigger"],
)
@pytest.mark.parametrize("value", ["test", "2020-01-02T03:04:05", {"isDone": True, "actions": []}, [1, None], 7, True])
def test_a_trigger_that_takes_the_return_value_gets_it_as_it_is(type_, value):
    """Case a1-02: no binding is named $return, and the host guesses no base64 there."""
    app = fw.App(extra_binding_types=["newTrigger"])

    @app.generic_trigger("job", type=type_)
    def handler(job: Any) -> Any:
        return value

    document = orjson.loads(call(function_of(app)).body)
    assert (document["ReturnValue"], document["Outputs"], document["Logs"]) == (value, {}, [])
