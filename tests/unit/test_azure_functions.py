"""Apps of azure.functions, unchanged: the library's own types go in and out as under the official worker."""

import json
import logging
import queue
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.functions.warmup import WarmUpContext

import fastworker as fw
from fastworker.errors import AppLoadError
from fastworker.functions.loaded_app import load_app
from fastworker.testing import TestClient

ANONYMOUS = func.AuthLevel.ANONYMOUS


def new_app() -> Any:
    return func.FunctionApp(http_auth_level=ANONYMOUS)


def test_an_http_function_gets_the_librarys_request_and_gives_its_response() -> None:
    """Method, route, query, headers and body arrive; status, headers and type leave."""
    app = new_app()

    @app.route(route="items/{id}", methods=["POST"])
    def items(req: func.HttpRequest) -> func.HttpResponse:
        seen = [req.method, req.route_params["id"], req.params["q"], req.headers["x-a"], req.get_json()]
        return func.HttpResponse(json.dumps(seen), status_code=201, headers={"X-B": "2"}, mimetype="application/json")

    response = (
        TestClient(app)
        .invoke("items", method="POST", params={"id": "7"}, query={"q": "1"}, headers={"X-A": "a"}, json={"n": 1})
        .response
    )
    assert response is not None
    assert response.status_code == 201
    assert json.loads(response.body) == ["POST", "7", "1", "a", {"n": 1}]
    assert response.headers["x-b"] == "2"
    assert response.headers["content-type"] == "application/json; charset=utf-8"  # the host adds it


def test_text_is_an_answer_and_anything_else_is_refused_with_the_type() -> None:
    """As the official worker does: str and HttpResponse only."""
    app = new_app()

    @app.route(route="text")
    def text(req: func.HttpRequest) -> str:
        return "hello"

    @app.route(route="number")
    def number(req: func.HttpRequest):  # type: ignore[no-untyped-def]
        return 42

    client = TestClient(app, raise_errors=False)
    response = client.invoke("text").response
    assert response is not None and response.body == b"hello"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    problem = client.invoke("number").problem
    assert problem is not None and "type int" in problem["detail"] and "HttpResponse" in problem["detail"]


def test_a_cookie_is_spelt_as_aspnet_spells_it() -> None:
    """Order, lower case, and a date in GMT whatever its form was."""
    app = new_app()

    @app.route(route="cookie")
    def cookie(req: func.HttpRequest) -> func.HttpResponse:
        line = "a=1; Secure; HttpOnly; Path=/x; Domain=e.com; Max-Age=10; Expires=Thu, 12-Jan-2017 13:55:08 GMT"
        return func.HttpResponse("", headers={"Set-Cookie": line})

    response = TestClient(app).invoke("cookie").response
    assert response is not None
    assert response.headers["set-cookie"] == (
        "a=1; expires=Thu, 12 Jan 2017 13:55:08 GMT; max-age=10; domain=e.com; path=/x; secure; httponly"
    )


def test_a_queue_message_and_outputs_of_all_kinds() -> None:
    """Message members come from Metadata; a list is several messages, and a QueueMessage is its body."""
    app = new_app()

    @app.queue_trigger(arg_name="msg", queue_name="in-queue", connection="AzureWebJobsStorage")
    @app.queue_output(arg_name="one", queue_name="out-one", connection="AzureWebJobsStorage")
    @app.queue_output(arg_name="many", queue_name="out-many", connection="AzureWebJobsStorage")
    @app.queue_output(arg_name="none", queue_name="out-none", connection="AzureWebJobsStorage")
    def work(
        msg: func.QueueMessage,
        one: func.Out[func.QueueMessage],
        many: func.Out[list[str]],
        none: func.Out[str],
    ) -> None:
        one.set(func.QueueMessage(body=f"{msg.get_body().decode()} {msg.id} {msg.dequeue_count}"))
        many.set(["a", "b"])

    outputs = TestClient(app).invoke("work", msg="hi", metadata={"Id": "i1", "DequeueCount": 2}).outputs
    assert outputs["one"] == "hi i1 2"
    assert outputs["many"] == ["a", "b"]
    assert outputs.get("none") is None


def test_a_timer_an_event_and_a_blob_arrive_in_the_librarys_types() -> None:
    """Each by its own converter."""
    app = new_app()
    seen: list[Any] = []

    @app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
    async def tick(timer: func.TimerRequest) -> None:
        seen.append(timer.past_due)

    @app.event_grid_trigger(arg_name="event")
    def event(event: func.EventGridEvent) -> None:
        seen.append((event.id, event.get_json()))

    @app.blob_trigger(arg_name="blob", path="in/{name}", connection="AzureWebJobsStorage")
    def stored(blob: func.InputStream) -> None:
        seen.append((blob.name, blob.read()))

    client = TestClient(app)
    client.invoke("tick", timer={"IsPastDue": True, "Schedule": {}, "ScheduleStatus": {}})
    client.invoke("event", event={"id": "e1", "eventType": "t", "data": {"a": 1}, "eventTime": "2026-01-02T03:04:05Z"})
    uri = "http://127.0.0.1:10000/devstoreaccount1/in/a%20b.bin"
    client.invoke("stored", blob=b"\x00\xff", metadata={"Uri": uri, "Properties": {"Length": 2}})
    assert seen == [True, ("e1", {"a": 1}), ("in/a b.bin", b"\x00\xff")]


def test_the_context_is_the_librarys_with_retries_and_a_thread_local_id() -> None:
    """isinstance holds, and a user's thread finds the id where it looks for it."""
    app = new_app()
    seen: dict[str, Any] = {}

    @app.queue_trigger(arg_name="msg", queue_name="in-queue", connection="AzureWebJobsStorage")
    def work(msg: str, context: func.Context) -> None:
        seen.update(
            context=isinstance(context, func.Context),
            name=context.function_name,
            folder=Path(context.function_directory).name,
            retry=(context.retry_context.retry_count, context.retry_context.max_retry_count),
            same=context.thread_local_storage.invocation_id == context.invocation_id,  # type: ignore[attr-defined]
        )

    TestClient(app).invoke("work", msg="x", metadata={"RetryContext": {"RetryCount": 1, "MaxRetryCount": 3}})
    assert seen == {"context": True, "name": "work", "folder": "work", "retry": (1, 3), "same": True}


def test_a_return_value_that_goes_nowhere_fails_as_under_the_official_worker() -> None:
    """Without a $return binding."""
    app = new_app()

    @app.queue_trigger(arg_name="msg", queue_name="in-queue", connection="AzureWebJobsStorage")
    def work(msg: str) -> str:
        return "lost"

    problem = TestClient(app, raise_errors=False).invoke("work", msg="x").problem
    assert problem is not None and "without a $return binding" in problem["detail"]


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"msg": "func.QueueMessage", "extra": "str"}, "the arguments extra have no binding"),
        ({}, "the bindings msg have no argument"),
        ({"msg": "func.Out[str]"}, "its binding is an input"),
        ({"msg": "func.TimerRequest"}, "does not give for a binding of the type 'queueTrigger'"),
        ({"msg": "'Nowhere'"}, "annotations cannot be evaluated"),
    ],
)
def test_a_handler_that_the_official_worker_refuses_is_refused_with_the_place(
    annotations: dict[str, str], said: str
) -> None:
    """What is wrong, where, and what to do."""
    app = new_app()

    arguments = ", ".join(f"{name}: {kind}" for name, kind in annotations.items())
    namespace: dict[str, Any] = {"func": func}
    exec(f"def work({arguments}): ...", namespace)
    app.queue_trigger(arg_name="msg", queue_name="in-queue", connection="AzureWebJobsStorage")(namespace["work"])
    with pytest.raises(AppLoadError) as caught:
        TestClient(app)
    assert said in str(caught.value)
    assert "function 'work'" in str(caught.value)


def test_the_librarys_own_loggers_are_no_business_of_the_app(caplog: pytest.LogCaptureFixture) -> None:
    """As under the official worker, where they are system logs."""
    app = new_app()

    @app.route(route="logs")
    def logs(req: func.HttpRequest) -> str:
        logging.getLogger("azure.functions").error("inner")
        logging.getLogger("azure_functions_worker.x").error("inner")
        logging.warning("mine")
        return "x"

    assert TestClient(app).invoke("logs").logs == ["WARNING: mine"]


# ---- loading ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An app's folder, whose modules are forgotten behind the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if name.startswith("__app__") or str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write_v1(root: Path, name: str, script: str, **members: Any) -> None:
    path = root / name
    path.mkdir(parents=True)
    bindings = [
        {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"},
        {"type": "http", "direction": "out", "name": "$return"},
    ]
    (path / "function.json").write_text(json.dumps({"bindings": bindings, **members}))
    (path / str(members.get("scriptFile", "__init__.py"))).write_text(script)


def test_settings_of_the_official_worker_without_a_meaning_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With what to set in their place, if there is anything."""
    monkeypatch.setenv("PYTHON_ISOLATE_WORKER_DEPENDENCIES", "1")
    monkeypatch.setenv("PYTHON_THREADPOOL_THREAD_COUNT", "8")
    code = "import azure.functions as func\napp = func.FunctionApp()\n@app.warm_up_trigger('w')\ndef warm(w): ...\n"
    (folder / "function_app.py").write_text(code)
    load_app(str(folder), app_root=str(folder))
    said = capfd.readouterr().out
    assert "PYTHON_ISOLATE_WORKER_DEPENDENCIES" in said and "no worker whose libraries could clash" in said
    assert "PYTHON_THREADPOOL_THREAD_COUNT" in said and "FASTWORKER_WORKERS" in said


def test_a_folder_of_v1_functions_is_an_app(folder: Path) -> None:
    """With relative imports, imports from __app__, another script and another entry point."""
    (folder / "shared.py").write_text("WORD = 'shared'\n")
    write_v1(folder, "one", "from __app__ import shared\ndef main(req): return f'{__name__} {shared.WORD}'\n")
    write_v1(folder, "two", "def go(req): return __name__\n", scriptFile="code.py", entryPoint="go")
    loaded = load_app(str(folder), app_root=str(folder))
    client = TestClient(loaded.app, root=folder)
    assert [client.invoke(name).response.body for name in ("one", "two")] == [  # type: ignore[union-attr]
        b"__app__.one shared",
        b"__app__.two.code",
    ]


def test_a_v1_script_that_cannot_be_imported_fails_its_own_function_only(folder: Path) -> None:
    """In the words that people search for."""
    write_v1(folder, "good", "def main(req): return 'x'\n")
    write_v1(folder, "bad", "import nowhere_to_be_found\n")
    client = TestClient(load_app(str(folder), app_root=str(folder)).app, root=folder, raise_errors=False)
    assert client.invoke("good").status == 200
    problem = client.invoke("bad").problem
    assert problem is not None and "aka.ms/functions-modulenotfound" in problem["detail"]


def test_the_script_is_found_by_the_setting_of_the_official_worker(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTHON_SCRIPT_FILE_NAME, and main.py or app.py without it."""
    source = (
        "import azure.functions as func\napp = func.FunctionApp()\n"
        "@app.route(route='x')\ndef x(req: func.HttpRequest): return 'x'\n"
    )
    (folder / "other.py").write_text(source)
    monkeypatch.setenv("PYTHON_SCRIPT_FILE_NAME", "other.py")
    assert list(load_app(str(folder), app_root=str(folder)).functions) == ["x"]
    monkeypatch.delenv("PYTHON_SCRIPT_FILE_NAME")
    (folder / "app.py").write_text(source)
    assert list(load_app(str(folder), app_root=str(folder)).functions) == ["x"]


def test_two_apps_in_one_file_are_refused(folder: Path) -> None:
    """The official worker would not know which one to index."""
    source = "import azure.functions as func\none = func.FunctionApp()\ntwo = func.FunctionApp()\n"
    (folder / "function_app.py").write_text(source)
    with pytest.raises(AppLoadError, match="has several apps"):
        load_app(str(folder), app_root=str(folder))


def test_function_json_says_what_the_decorators_say(folder: Path) -> None:
    """Retries in the host's spelling, blobs as bytes, and no route that stops the host."""
    source = (
        "import azure.functions as func\nfrom flask import Flask\napp = func.FunctionApp()\n"
        "@app.timer_trigger(arg_name='t', schedule='0 0 * * * *')\n"
        "@app.retry(strategy='fixed_delay', max_retry_count='3', delay_interval='00:00:01')\n"
        "@app.blob_input(arg_name='b', path='a/b', connection='AzureWebJobsStorage')\n"
        "def t(t: func.TimerRequest, b: func.InputStream): pass\n"
    )
    (folder / "function_app.py").write_text(source)
    loaded = load_app(str(folder), app_root=str(folder))
    (declaration,) = loaded.app.declarations
    assert declaration.members == {"retry": {"strategy": "fixedDelay", "maxRetryCount": 3, "delayInterval": "00:00:01"}}
    assert [b.data_type for b in loaded.functions["t"].bindings if b.key == "blob"] == ["binary"]
    (folder / "function_app.py").write_text(
        "import azure.functions as func\nfrom flask import Flask\napp = func.WsgiFunctionApp(app=Flask('x').wsgi_app)\n"
    )
    assert [f.route for f in load_app(str(folder), app_root=str(folder)).functions.values()] == ["{*route}"]


def test_an_app_can_be_adapted_more_than_once() -> None:
    """Each test makes a TestClient of it, also behind another decorator; the library lets itself be asked once."""
    app = new_app()

    @app.route(route="one")
    def one(req: func.HttpRequest) -> str:
        return "one"

    for _ in range(2):
        response = TestClient(app).invoke("one").response
        assert response is not None and response.body == b"one"

    @app.route(route="two")
    def two(req: func.HttpRequest) -> str:
        return "two"

    response = TestClient(app).invoke("two").response
    assert response is not None and response.body == b"two"


def test_a_thread_that_was_there_before_logs_into_the_invocation_that_it_names() -> None:
    """By the thread-local storage of the Context, as the official worker's documentation has it."""
    app = new_app()
    pool: queue.Queue[Any] = queue.Queue()
    done: queue.Queue[None] = queue.Queue()

    def consume() -> None:
        while (context := pool.get()) is not None:
            context.thread_local_storage.invocation_id = context.invocation_id
            logging.getLogger("mine").warning("from the thread")
            context.thread_local_storage.invocation_id = None
            logging.getLogger("mine").warning("for nobody")
            done.put(None)

    @app.route(route="one")
    def one(req: func.HttpRequest, context: func.Context) -> str:
        pool.put(context)
        done.get()
        return "one"

    thread = threading.Thread(target=consume)
    thread.start()
    assert TestClient(app).invoke("one").logs == ["WARNING: from the thread"]
    assert TestClient(app).invoke("one").logs == ["WARNING: from the thread"]
    pool.put(None)
    thread.join()


def test_batches_of_every_trigger_arrive_in_the_librarys_types() -> None:
    """Each message has its own members out of the arrays of the metadata."""
    app = new_app()
    seen: list[Any] = []

    @app.service_bus_queue_trigger("messages", queue_name="q", connection="C", cardinality="many")
    def bus(messages: list[func.ServiceBusMessage]) -> None:
        seen.extend((m.get_body(), m.message_id, m.sequence_number, m.user_properties) for m in messages)

    @app.event_hub_message_trigger("events", event_hub_name="h", connection="C", cardinality="many")
    def hub(events: list[func.EventHubEvent]) -> None:
        seen.extend((e.get_body(), e.sequence_number, e.partition_key) for e in events)

    @app.kafka_trigger("events", topic="t", broker_list="b", cardinality="many", data_type="string")
    def kafka(events: list[func.KafkaEvent]) -> None:
        seen.extend((e.get_body(), e.key, e.offset, e.topic, e.partition) for e in events)

    client = TestClient(app)
    two: dict[str, Any] = {"MessageIdArray": ["m1", "m2"], "SequenceNumberArray": [12, 13]}
    client.invoke("bus", messages=["a", "b"], metadata={**two, "UserPropertiesArray": [{"k": 1}, {}]})
    assert seen == [(b"a", "m1", 12, {"k": 1}), (b"b", "m2", 13, {})]
    seen.clear()
    system = [{"SequenceNumber": 7, "PartitionKey": "p"}, {"SequenceNumber": 8, "PartitionKey": None}]
    client.invoke(
        "hub",
        events=["a", "b"],
        metadata={
            "SystemPropertiesArray": system,
            "SequenceNumberArray": [7, 8],
            "PartitionKeyArray": ["p", None],
            "EnqueuedTimeUtcArray": ["2026-01-02T10:00:00.1", "2026-01-02T10:00:00.2"],
        },
    )
    assert seen == [(b"a", 7, "p"), (b"b", 8, None)]
    seen.clear()
    arrays = {"KeyArray": ["k", "l"], "OffsetArray": [1, 2], "TopicArray": ["t", "t"], "PartitionArray": [0, 1]}
    times = {"TimestampArray": ["2026-01-02T10:00:00Z"] * 2, "HeadersArray": [[], []]}
    client.invoke("kafka", events=["a", "b"], metadata={**arrays, **times})
    assert seen == [(b"a", "k", 1, "t", 0), (b"b", "l", 2, "t", 1)]


def test_mcp_tools_resources_and_prompts_answer() -> None:
    """Their triggers take the return value; a tool's arguments arrive as its parameters."""
    app = new_app()

    @app.mcp_tool()
    @app.mcp_tool_property(arg_name="n", description="a number", property_type=func.McpPropertyType.INTEGER)
    def double(n: int) -> str:
        """Doubles a number."""
        return str(2 * n)

    @app.mcp_tool_trigger(arg_name="context", tool_name="raw", description="d", tool_properties="[]")
    def raw(context: str) -> str:
        return str(json.loads(context)["arguments"]["a"])

    @app.mcp_resource_trigger(arg_name="context", uri="file://x", resource_name="r")
    def resource(context: str) -> str:
        return "a resource"

    @app.mcp_prompt_trigger(arg_name="context", prompt_name="p")
    def prompt(context: str) -> str:
        return "a prompt"

    client = TestClient(app)
    assert client.invoke("double", context=json.dumps({"arguments": {"n": 4}})).return_value == "8"
    assert client.invoke("raw", context=json.dumps({"arguments": {"a": "b"}})).return_value == "b"
    assert client.invoke("resource", context="{}").return_value == "a resource"
    assert client.invoke("prompt", context="{}").return_value == "a prompt"


def test_generic_bindings_and_warm_up_are_served() -> None:
    """Types that the library knows go by its converters, others as text, and what they return is the trigger's."""
    app = new_app()
    seen: list[Any] = []

    @app.generic_trigger(arg_name="req", type="httpTrigger", route="g/{id}", auth_level="anonymous")
    @app.generic_output_binding(arg_name="$return", type="http")
    @app.generic_output_binding(arg_name="msg", type="queue", queue_name="q", connection="AzureWebJobsStorage")
    def known(req: func.HttpRequest, msg: func.Out[str]) -> func.HttpResponse:
        msg.set(req.route_params["id"])
        return func.HttpResponse("known", status_code=202)

    @app.generic_trigger(arg_name="thing", type="assistantSkillTrigger")
    @app.generic_input_binding(arg_name="more", type="signalRConnectionInfo", hub_name="h")
    def other(thing: str, more: str) -> str:
        return f"{thing} {more}"

    @app.warm_up_trigger("warm")
    def warmup(warm: WarmUpContext) -> None:
        seen.append(type(warm))

    client = TestClient(app)
    result = client.invoke("known", params={"id": "7"})
    assert result.response is not None and (result.response.status_code, result.response.body) == (202, b"known")
    assert result.outputs["msg"] == "7"
    assert client.invoke("other", thing="a", more={"url": "u"}).return_value == 'a {"url":"u"}'
    client.invoke("warmup", warm={})
    assert seen == [WarmUpContext]


@pytest.mark.parametrize(
    ("decorate", "instead"),
    [
        (lambda app: app.blob_trigger("x", path="in/{name}", connection="C"), "InputStream.*azure.storage.blob"),
        (lambda app: app.service_bus_queue_trigger("x", queue_name="q", connection="C"), "ServiceBusMessage"),
        (lambda app: app.event_hub_message_trigger("x", event_hub_name="h", connection="C"), "EventHubEvent"),
    ],
)
def test_types_of_the_sdks_are_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, decorate: Any, instead: str
) -> None:
    """Deferred bindings: the host hands them to its own workers only. Alone or as a batch."""

    class SdkType:
        pass

    class Client(SdkType):
        pass

    base = types.ModuleType("azurefunctions.extensions.base")
    base.SdkType = SdkType  # type: ignore[attr-defined]
    base.HttpV2FeatureChecker = types.SimpleNamespace(http_v2_enabled=lambda: False)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azurefunctions.extensions.base", base)
    for annotation in (Client, list[Client]):
        app = new_app()

        def work(x: Any) -> None: ...

        work.__annotations__["x"] = annotation
        decorate(app)(work)
        with pytest.raises(AppLoadError, match=rf"test_azure_functions.py:\d+.*its own workers only.*{instead}"):
            TestClient(app)


def test_types_and_apps_of_the_other_library_are_told_apart() -> None:
    """A fastworker type in an azure.functions app, the reverse, and a part of an app where a whole one is expected."""
    app = new_app()

    @app.route(route="x")
    def mixed(req: fw.Request) -> str:
        return ""

    with pytest.raises(AppLoadError, match=r"fastworker\.Request.*this app is one of azure\.functions: annotate"):
        TestClient(app)
    own = fw.App()

    @own.route("x")
    def reverse(req: func.HttpRequest) -> str:
        return ""

    with pytest.raises(AppLoadError, match=r"azure\.functions\.HttpRequest.*annotate.*fastworker\.Request"):
        TestClient(own)
    with pytest.raises(TypeError, match=r"not azure's Blueprint: .*served by itself"):
        fw.App().include(func.Blueprint())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not Blueprint: .*app\.register_functions\(app\)"):
        TestClient(func.Blueprint())
