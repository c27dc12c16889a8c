"""TestClient, on the examples of the documentation and on small apps."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import fastworker as fw
from fastworker.errors import AppLoadError, RequestError
from fastworker.functions.loaded_app import load_app
from fastworker.protocol.jsontext import UnencodableError
from fastworker.testing import TestClient

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "order"


class Job(msgspec.Struct):
    n: int


@pytest.mark.parametrize("file", ["function_app.py", "by_name.py"])
def test_order_example(file, monkeypatch):
    """The documentation's function, in both forms: what is in the queue, what the client gets, what is logged."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    app = load_app(str(EXAMPLES / file), app_root=None).app
    result = TestClient(app).invoke("order", json={"id": 1005, "quantity": 3, "color": "black"})
    assert result.status == 200
    assert result.outputs["message"] == '{"id":1005,"quantity":3,"color":"black"}'
    assert result.response is not None
    assert (result.response.status_code, result.response.text) == (200, "Order complete")
    assert result.logs == ["INFO: order processed"]


def small_app() -> fw.App:
    app = fw.App()

    @app.route("items/{id}")
    @app.blob_input("doc", path="docs/{id}")
    def read(req: fw.Request, doc: Job | None) -> dict[str, Any]:
        return {
            "doc": doc,
            "id": req.params.get("id"),
            "q": req.query.get("q"),
            "method": req.method,
            "body": req.text,
            "header": req.headers.get("x-a"),
        }

    @app.queue_trigger("job", queue_name="q")
    @app.queue_output("$return", queue_name="done")
    async def work(job: Job, ctx: fw.Context) -> list[str]:
        await asyncio.sleep(0)
        return [str(job.n), str(ctx.metadata.get_as("DequeueCount", int))]

    @app.queue_trigger("job", queue_name="q")
    def fail(job: str) -> None:
        logging.info("failing")
        raise LookupError(job)

    @app.blob_trigger("blob", path="p")
    @app.blob_output("copy", path="p2")
    def copy(blob: bytes, copy: fw.Out[bytes]) -> None:
        copy.set(blob[::-1])

    @app.event_hub_message_trigger("events", connection="c", event_hub_name="h", data_type="binary")
    @app.event_hub_output("$return", connection="c", event_hub_name="h")
    def events(events: list[bytes]) -> list[int]:
        return [len(e) for e in events]

    @app.timer_trigger("tick", schedule="0 * * * * *")
    def tick(tick: fw.TimerRequest) -> None:
        logging.info("past due: %s", tick.past_due)

    return app


def test_http_inputs_are_built_from_keywords():
    """Query, headers, route parameters and body, as the host would send them."""
    client = TestClient(small_app())
    result = client.invoke(
        "read", body="x", query={"q": "1"}, headers={"X-A": "y"}, params={"id": "7"}, doc={"n": 3}, method="put"
    )
    assert result.response is not None
    assert result.response.json() == {"doc": {"n": 3}, "id": "7", "q": "1", "method": "PUT", "body": "x", "header": "y"}
    assert client.invoke("read", req={"query": {"q": "2"}}).response.json()["q"] == "2"
    assert client.invoke("read", url="http://h/?q=1&q=2").response.json()["q"] == "1,2"
    assert client.invoke("read", req={"Url": "u", "Method": "GET"}).response.json()["doc"] is None


def test_message_and_metadata_are_built_from_values():
    """Structs and dicts are messages of JSON; the return value is what would be in the queue."""
    client = TestClient(small_app())
    assert client.invoke("work", job=Job(5), metadata={"DequeueCount": 2}).return_value == ["5", "2"]
    assert client.invoke("work", job='{"n": 6}', metadata={"DequeueCount": 2}).return_value == ["6", "2"]


def test_other_triggers():
    """Blobs as bytes, batches as lists, timers as objects."""
    client = TestClient(small_app())
    assert client.invoke("copy", blob=b"\xff\x00").outputs == {"copy": b"\x00\xff"}
    assert client.invoke("copy", blob="abc").outputs == {"copy": "cba"}
    assert client.invoke("events", events=[b"\xff", "ab"]).return_value == ["1", "2"]
    assert client.invoke("tick", tick={"IsPastDue": True}).logs == ["INFO: past due: True"]


def test_what_a_handler_raises_reaches_the_test():
    """Or the problem that the host would see."""
    with pytest.raises(LookupError, match="hi"):
        TestClient(small_app()).invoke("fail", job="hi")
    result = TestClient(small_app(), raise_errors=False).invoke("fail", job="hi")
    assert (result.status, result.outputs) == (500, {})
    assert result.problem["detail"] == "LookupError: hi"


def test_input_that_does_not_fit_reaches_the_test():
    """As RequestError, or as the problem."""
    with pytest.raises(RequestError, match=r"Data\.job\.n: expected `int`"):
        TestClient(small_app()).invoke("work", job={"n": "x"})
    assert TestClient(small_app(), raise_errors=False).invoke("work", job={"n": "x"}).status == 400


def test_wrong_names_are_named():
    """Functions and inputs."""
    client = TestClient(small_app())
    with pytest.raises(KeyError, match="there are: read, work"):
        client.invoke("nothing")
    with pytest.raises(TypeError, match="has no input 'jobs'; it has 'job'"):
        client.invoke("work", jobs=1)


def test_broken_app_is_refused():
    """With everything that is wrong."""
    app = fw.App()

    @app.route()
    def handler(req: fw.Request, other: int) -> None: ...

    with pytest.raises(AppLoadError, match="argument 'other' has no binding"):
        TestClient(app)


def test_hooks_run_around_the_client():
    """Start and stop, plain and async."""
    app = small_app()

    @app.on_worker_start
    async def start() -> None:
        app.state.events = ["start"]

    @app.on_worker_stop
    def stop() -> None:
        app.state.events.append("stop")

    with TestClient(app) as client:
        client.invoke("tick", tick={})
    assert app.state.events == ["start", "stop"]


def test_ainvoke_works_in_a_running_loop():
    """For async tests."""

    async def main() -> Any:
        client = TestClient(small_app(), raise_errors=False)
        fine = await client.ainvoke("work", job={"n": 1}, metadata={"DequeueCount": 1})
        return (
            fine.return_value,
            (await client.ainvoke("tick", tick={})).status,
            (await client.ainvoke("work", job="x")).status,
        )

    assert asyncio.run(main()) == (["1", "1"], 200, 400)


# -- streams, files and redirects, in the envelope that the client reads ----------------------------------------------


def streaming_app(folder: Path) -> TestClient:
    app = fw.App()

    @app.route()
    def counted(req: fw.Request) -> Any:
        for n in range(req.query.get_as("items", int, 3)):
            yield {"n": n}

    @app.route()
    async def counted_async(req: fw.Request) -> Any:
        for n in range(req.query.get_as("items", int, 3)):
            await asyncio.sleep(0)
            yield {"n": n}

    @app.route()
    async def events(req: fw.Request) -> fw.EventStream:
        async def made() -> Any:
            yield "a"
            yield fw.Event(data="b", id=1)

        return fw.EventStream(made(), retry=5)

    @app.route()
    def listed(req: fw.Request) -> fw.Response:
        return fw.Response(iter([1, 2]), status_code=202, content_type="application/json")

    @app.route()
    def spoiled(req: fw.Request) -> Any:
        yield 1
        yield object()

    @app.route()
    def broken(req: fw.Request) -> Any:
        yield 1
        raise KeyError("mine")

    @app.route()
    def file(req: fw.Request) -> fw.Response:
        return fw.Response.file(folder / "page.html")

    @app.route()
    def moved(req: fw.Request) -> fw.Response:
        return fw.Response.redirect("/elsewhere", status_code=308)

    @app.route()
    async def uploaded(req: fw.Request) -> int:
        return sum([len(piece) async for piece in req.stream()])

    return TestClient(app, root=folder)


@pytest.mark.parametrize("name", ["counted", "counted_async"])
def test_a_stream_is_joined(tmp_path, name):
    """An envelope carries all of its items at once, with the type that they would have."""
    client = streaming_app(tmp_path)
    response = client.invoke(name).response
    assert (response.status_code, response.text) == (200, '{"n":0}\n{"n":1}\n{"n":2}\n')
    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert client.invoke(name, query={"items": "0"}).response.body == b""


def test_events_and_an_array_are_joined(tmp_path):
    """Each in its own form, with status and headers."""
    client = streaming_app(tmp_path)
    events = client.invoke("events").response
    assert events.text == "retry: 5\n\ndata: a\n\nid: 1\ndata: b\n\n"
    assert events.headers["content-type"].startswith("text/event-stream")
    assert events.headers["cache-control"] == "no-cache"
    listed = client.invoke("listed").response
    assert (listed.status_code, listed.json()) == (202, [1, 2])


def test_a_stream_that_fails_is_a_failed_invocation(tmp_path):
    """Nothing of it has gone out yet."""
    client = streaming_app(tmp_path)
    with pytest.raises(UnencodableError, match=r"the stream, item 1"):
        client.invoke("spoiled")
    with pytest.raises(KeyError, match="mine"):
        client.invoke("broken")


def test_a_file_is_its_content_and_a_redirect_its_place(tmp_path):
    """As the client of the function gets them."""
    (tmp_path / "page.html").write_text("<p>ü")
    client = streaming_app(tmp_path)
    page = client.invoke("file").response
    assert (page.text, page.headers["content-type"]) == ("<p>ü", "text/html; charset=utf-8")
    moved = client.invoke("moved").response
    assert (moved.status_code, moved.headers["location"]) == (308, "/elsewhere")
    (tmp_path / "page.html").unlink()
    with pytest.raises(FileNotFoundError):
        client.invoke("file")


def test_a_request_streams_what_is_there(tmp_path):
    """The handler is the same as in proxy mode."""
    client = streaming_app(tmp_path)
    assert client.invoke("uploaded", body="x" * 600_000).response.text == "600000"
    assert client.invoke("uploaded").response.text == "0"


def test_the_return_value_of_a_trigger_that_takes_one_is_seen():
    """As an orchestration would see that of its activity."""
    app = fw.App()

    @app.generic_trigger("city", type="activityTrigger")
    def say_hello(city: str) -> str:
        return f"Hello, {city}!"

    with TestClient(app) as client:
        assert client.invoke("say_hello", city="Tokyo").return_value == "Hello, Tokyo!"
