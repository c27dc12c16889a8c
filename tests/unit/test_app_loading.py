"""Loading an app: what is found, and how mistakes are reported."""

import json
import re
import sys
import textwrap

import pytest

from fastworker.errors import AppLoadError
from fastworker.functions.loaded_app import load_app


@pytest.fixture(autouse=True)
def _clean_imports(monkeypatch):
    """Apps leave their folder on sys.path and their module loaded; tests do not."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "function_app" in name or name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path, monkeypatch):
    # As in a process of its own: another test's module of that name must not be found instead.
    monkeypatch.delitem(sys.modules, "function_app", raising=False)

    def write_file(text, name="function_app.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    return write_file


def app_text(text):
    return "import msgspec\nimport fastworker as fw\napp = fw.App()\n" + textwrap.dedent(text).lstrip("\n")


def problems_of(target, app_root=None, strict=False):
    with pytest.raises(AppLoadError) as caught:
        load_app(str(target), app_root=app_root, strict=strict)
    return caught.value.problems


GOOD = app_text(
    """
    @app.route("hello")
    def hello(req: fw.Request) -> str:
        return "hi"
    """
)


def test_app_is_found_by_file_folder_and_module(write, tmp_path, monkeypatch):
    """The forms that `fastworker serve` takes; None is the current folder."""
    path = write(GOOD)
    write(GOOD.replace("app", "other").replace("other.route", "other.route"), "my_module.py")
    monkeypatch.chdir(tmp_path)
    for target in (str(path), str(tmp_path), "function_app.py", ".", None, "function_app:app", "my_module:other"):
        loaded = load_app(target, app_root=None)
        assert list(loaded.functions) == ["hello"]
        assert loaded.root == tmp_path
    assert sys.path[0] == str(tmp_path)


def test_only_app_of_a_module_is_found_under_any_name(write):
    """`app` is the name looked for first."""
    assert load_app(str(write(GOOD.replace("app", "mine"))), app_root=None).functions
    text = GOOD + "other = fw.App()\n"
    assert list(load_app(str(write(text, "my_two.py")), app_root=None).functions) == ["hello"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("import nothing_of_that_name\n", 1, "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("x = 1\nraise ValueError('two\\nlines')\n", 2, "ValueError: two lines"),
        ("def f(:\n", 1, "SyntaxError"),
        ("import sys\nsys.exit(0)\n", 2, "sys.exit(0) was called"),
    ],
)
def test_failing_import_names_type_message_and_line(write, capfd, text, line, message):
    """One line for the host; a traceback goes to stderr where it tells more."""
    path = write(text)
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path.name}:{line}: at import: ")
    assert message in problem
    assert "\n" not in problem
    assert ("importing" in capfd.readouterr().err) == (message == "SyntaxError")


def test_failing_import_is_placed_in_the_users_code(write, capfd):
    """Not in the library that raised."""
    write("import json\ndef broken():\n    json.loads('{')\n", "my_part.py")
    path = write("import my_part\nmy_part.broken()\n")
    (problem,) = problems_of(path)
    assert problem.startswith("my_part.py:3: at import: json.decoder.JSONDecodeError")
    error_text = capfd.readouterr().err
    assert "importing the app failed" in error_text
    assert "my_part.broken()" in error_text
    assert "fastworker/functions/" not in error_text


def test_missing_file_attribute_or_app_is_named(write, tmp_path, monkeypatch):
    """With the way to mend it."""
    monkeypatch.chdir(tmp_path)
    assert "does not exist" in problems_of("nothing.py")[0]
    assert "does not exist" in problems_of(tmp_path)[0]
    assert "does not exist" in problems_of(tmp_path / "no-folder")[0]
    assert "No module named 'nothing'" in problems_of("nothing:app")[0]
    (tmp_path / "notes.txt").write_text("")
    assert "name a .py file" in problems_of("notes.txt")[0]
    write("x = 1\n", "my_x.py")
    assert "'app' is not defined: write `app = fastworker.App()`" in problems_of("my_x:app")[0]
    assert "'x' is no app, but of the type int" in problems_of("my_x:x")[0]
    assert "defines no app" in problems_of("my_x.py")[0]
    write("import fastworker as fw\na = fw.App()\nb = fw.App()\n", "my_ab.py")
    assert "several Apps (a, b)" in problems_of("my_ab.py")[0]
    write("import fastworker as fw\napp = fw.App()\n", "my_none.py")
    assert "no functions" in problems_of("my_none.py")[0]


def test_module_may_have_a_name_that_is_taken(write):
    """An app in json.py does not replace the standard library's module."""
    assert load_app(str(write(GOOD, "json.py")), app_root=None).functions
    assert sys.modules["json"] is json


MISTAKES = [
    ("@app.queue_trigger('my__job', queue_name='q')\ndef f(my__job): ...", 4, "no two underscores.*call it 'my_job'"),
    ("@app.queue_trigger('1job', queue_name='q')\ndef f(): ...", 4, "the binding name '1job' is illegal"),
    ("@app.function('my function')\n@app.route()\ndef f(req): ...", 4, "function name 'my function' is illegal"),
    ("@app.function('host')\n@app.route()\ndef f(req): ...", 4, "function name 'host' is illegal"),
    ("@app.generic_trigger('x', type='queueTriger')\ndef f(x): ...", 4, "did you mean 'queueTrigger'"),
    ("@app.generic_output_binding('x', type='nonsense')\n@app.route()\ndef f(req, x): ...", 4, "unknown binding type"),
    ("@app.route()\n@app.queue_trigger('job', queue_name='q')\ndef f(req, job): ...", 5, "one trigger"),
    ("@app.queue_output('m', queue_name='q')\ndef f(m: fw.Out[str]): ...", 4, "has no trigger"),
    ("@app.route()\ndef f(req, other): ...", 4, "argument 'other' has no binding"),
    ("@app.queue_trigger('job', queue_name='q')\ndef f(): ...", 4, "'job' .* is no argument"),
    ("@app.route()\n@app.blob_input('doc', path='a/b')\ndef f(req): ...", 4, "'doc' .* is no argument"),
    ("@app.route()\n@app.queue_output('m', queue_name='q')\ndef f(req) -> str: ...", 4, "'m' .* is no argument: add"),
    ("@app.route()\n@app.queue_output('m', queue_name='q')\ndef f(req, m: str): ...", 4, "annotate it fastworker.Out"),
    ("@app.route()\n@app.blob_input('d', path='a')\ndef f(req, d: fw.Out[str]): ...", 4, "its binding .* is an input"),
    ("@app.queue_trigger('$return', queue_name='q')\ndef f(): ...", 4, "for outputs only"),
    ("@app.route()\n@app.queue_output('REQ', queue_name='q')\ndef f(req, REQ): ...", 5, "two bindings are named"),
    ("@app.queue_trigger('job', queue_name='q')\ndef f(job: fw.Request): ...", 4, "Request comes from an http trigger"),
    ("@app.queue_trigger('job', queue_name='q')\ndef f(job: fw.ServiceBusMessage): ...", 4, "belongs to servicebus"),
    ("@app.queue_trigger('job', queue_name='q')\ndef f(job: fw.TimerRequest): ...", 4, "TimerRequest belongs to timer"),
    ("@app.queue_trigger('job', queue_name='q')\ndef f(job: fw.App): ...", 4, "App is no type that msgspec can decode"),
    ("@app.route()\ndef f(req: fw.Request[list[fw.App]]): ...", 4, "App is no type that msgspec can decode"),
    ("@app.queue_trigger('job', queue_name='q')\ndef f(job: 'Missing'): ...", 4, "annotations cannot be evaluated"),
    ("@app.event_hub_message_trigger('e', connection='c', event_hub_name='h', cardinality='many')\ndef f(e: str): ...",
     4, r"annotate it list\[str\]"),
    ("@app.queue_trigger(\"req\", queue_name=\"q\")\ndef f(req):\n    yield 1", 4, "generator"),
    ("@app.queue_trigger('req', queue_name='q')\nasync def f(req):\n    yield 1", 4, "generator"),
    ("@app.route('items/{id:what}')\ndef f(req): ...", 4, "no route constraint 'what'"),
    ("@app.route('items/{id}')\ndef f(req, id: object): ...", 4, "argument 'id' .a route parameter"),
    ("@app.route()\ndef f(req, *args): ...", 4, "variadic positional"),
    ("@app.route()\ndef f(req, a: fw.Context, b: fw.Context): ...", 4, "both ask for the Context"),
    ("@app.function(deadline=0)\n@app.route()\ndef f(req): ...", 4, "deadline=0"),
    ("@app.function('a')\n@app.function('b')\n@app.route()\ndef f(req): ...", 4, "named 'b' and 'a'"),
    ("@app.function('nowhere')\ndef f(req): ...", 4, "nowhere/function.json does not exist"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "pattern"), MISTAKES)
def test_mistake_is_reported_with_file_and_line(write, text, line, pattern):
    """Of the decorator, or of the handler where that is to be mended."""
    path = write(app_text(text))
    problems = problems_of(path)
    found = [p for p in problems if re.search(pattern, p)]
    assert found, problems
    assert found[0].startswith(f"{path.name}:{line}: ")


def test_all_mistakes_are_reported_together(write):
    """Of all functions, in one error whose last line names a cause."""
    functions = "\n".join(text.replace("def f(", f"def f{i}(") for i, (text, _, _) in enumerate(MISTAKES))
    problems = problems_of(write(app_text(functions)))
    assert len(problems) >= len(MISTAKES)
    assert str(AppLoadError("x", problems)).splitlines()[-1] == f"  - {problems[-1]}"


def test_two_functions_of_one_name_are_refused(write):
    """Names are compared ignoring case."""
    text = '@app.route()\ndef hello(req): ...\n@app.function("Hello")\n@app.route()\ndef other(req): ...\n'
    (problem,) = problems_of(write(app_text(text)))
    assert "two functions are named 'Hello'" in problem


# ---- function.json and host.json ------------------------------------------------------------------------------------

ORDER_JSON = """{
  "bindings": [
    {"type": "httpTrigger", "direction": "in", "name": "req"},
    {"type": "http", "direction": "out", "name": "res"},
    {"type": "queue", "direction": "out", "name": "message", "queueName": "orders"}
  ]
}
"""
BY_NAME = app_text(
    """
    @app.function("order")
    def handle(req: fw.Request, message: fw.Out[str]):
        message.set(req.text)
    """
)


def test_function_json_gives_the_bindings(write, tmp_path):
    """The documentation's layout; FUNCTIONS_APP_ROOT_PATH says where."""
    path = write(BY_NAME, "code/function_app.py")
    write(ORDER_JSON, "order/function.json")
    function = load_app(str(path), app_root=str(tmp_path)).functions["order"]
    assert [b.name for b in function.bindings] == ["req", "res", "message"]
    assert "order/function.json does not exist" in problems_of(path)[0]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"queue",', '"queu",', 5, "did you mean 'queue'"),
        ('"message"', '"my__message"', 5, "two underscores"),
        ('"out", "name": "message"', '"in", "name": "message"', 5, "has direction out"),
        ('"out", "name": "message"', '"up", "name": "message"', 5, '"direction" is one of'),
        ('"type": "http", ', "", 4, 'needs a "type"'),
        ('"queueName": "orders"', '"dataType": 4', 5, '"dataType" is one of'),
        ('"bindings": [', '"bindings": 3, "x": [', 2, '"bindings" must be an array'),
        ("]\n}", "]", 7, "is no JSON"),
    ],
)
def test_mistake_in_function_json_is_reported_with_its_line(write, old, new, line, message):
    """The file is the user's code, too: wrong for sync; serve leaves that one function out, as the host does."""
    path = write(BY_NAME + "\n@app.queue_trigger('m', queue_name='abc')\ndef other(m): ...\n")
    assert old in ORDER_JSON
    json_path = write(ORDER_JSON.replace(old, new), "order/function.json")
    [problem] = problems_of(path, strict=True)
    assert message in problem
    assert problem.startswith(f"{json_path.relative_to(path.parent)}:{line}")
    loaded = load_app(str(path), app_root=None)
    assert list(loaded.functions) == ["other"]
    assert problem in loaded.warnings


def test_folder_without_a_handler_is_a_warning(write):
    """The host will post to it and get a 404."""
    write(ORDER_JSON, "other/function.json")
    (warning,) = load_app(str(write(GOOD)), app_root=None).warnings
    assert "knows a function 'other'" in warning


def test_host_json_is_read(write):
    """functionTimeout, the http shape and the route prefix; comments are allowed, as in the host."""
    write(
        """
        { // a comment
          "functionTimeout": "00:05:00", /* and
          another */ "extensions": {"http": {"routePrefix": ""}},
          "httpWorker": {}, "customHandler": {"description": {"defaultExecutablePath": "http://x"}}
        }
        """,
        "host.json",
    )
    host = load_app(str(write(GOOD)), app_root=None).host
    assert (host.function_timeout_s, host.http_mode, host.route_prefix) == (300.0, "envelope", "")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{\n "functionTimeout": "5 minutes"}', 2, "time span"),
        ('{\n "extensions":\n {"http": {"routePrefix": "/x"}}}', 3, '"routePrefix" is'),
        ('{\n "version": "1.0"}', 2, '"version" must be'),
        ("{\n broken", 2, "is no JSON"),
        ("[]", 1, "must hold a JSON object"),
    ],
)
def test_broken_host_json_is_a_problem_with_its_line(write, text, line, message):
    """Together with all others."""
    host_path = write(text, "host.json")
    (problem,) = problems_of(write(GOOD))
    assert problem.startswith(f"{host_path.name}:{line}: ")
    assert message in problem


@pytest.mark.parametrize(
    ("host", "shape", "by_name"),
    [
        ({}, "envelope", False),
        ({"customHandler": {"description": {}}}, "envelope", False),
        ({"httpWorker": {}}, "forward", True),
        ({"httpWorker": {}, "customHandler": {}}, "envelope", False),
        ({"customHandler": {"enableForwardingHttpRequest": True}}, "forward", False),
        ({"customHandler": {"enableForwardingHttpRequest": True, "enableProxyingHttpRequest": True}}, "proxy", False),
        ({"configurationProfile": "MCP-custom-handler"}, "proxy", False),
    ],
)
def test_host_json_decides_the_shape_of_http(write, host, shape, by_name):
    """Protocol 1.6 and 1.7; --http-mode overrides it."""
    write(json.dumps(host), "host.json")
    config = load_app(str(write(GOOD)), app_root=None).host
    assert (config.http_mode, config.forwards_by_name) == (shape, by_name)
    for mode in ("envelope", "forward", "proxy"):
        assert load_app(str(write(GOOD)), app_root=None, http_mode=mode).host.http_mode == mode


def test_profile_that_proxies_has_no_prefix(write):
    """Protocol 1.6."""
    write('{"configurationProfile": "web-app-custom-handler"}', "host.json")
    assert load_app(str(write(GOOD)), app_root=None).host.route_prefix == ""


def test_route_parameter_that_never_arrives_is_a_problem(write):
    """Under httpWorker the path is the function's name; an argument with a default can do without."""
    write('{"httpWorker": {}}', "host.json")
    text = app_text("@app.route('items/{id}')\ndef item(req: fw.Request, id: int): ...")
    (problem,) = problems_of(write(text))
    assert "asks for the route parameter 'id', which never arrives with httpWorker" in problem
    assert load_app(str(write(text.replace("id: int", "id: int = 1"), "my_one.py")), app_root=None).functions


def test_output_with_data_type_binary_is_a_warning(write):
    """Bytes would not arrive."""
    text = '@app.route()\n@app.queue_output("m", queue_name="q", data_type="binary")\ndef f(req, m: fw.Out[str]): ...'
    (warning,) = load_app(str(write(app_text(text))), app_root=None).warnings
    assert "leave dataType out" in warning


# ---- decorators -----------------------------------------------------------------------------------------------------


def functions_of(write, text):
    return load_app(str(write(app_text(text))), app_root=None).functions


def test_decorators_may_be_stacked_in_any_order(write):
    """Trigger outermost or innermost, `function` anywhere."""
    for order in ("frq", "rqf", "qfr", "qrf"):
        lines = {
            "f": '@app.function("named", deadline=2.5)',
            "r": '@app.route("x")',
            "q": '@app.queue_output("m", queue_name="q")',
        }
        text = "\n".join(lines[c] for c in order) + "\ndef f(req, m: fw.Out[str]): ...\n"
        function = load_app(str(write(app_text(text), f"my_{order}.py")), app_root=None).functions["named"]
        assert sorted(b.name for b in function.bindings) == ["m", "req", "res"]
        assert function.deadline_s == 2.5


def test_decorated_functions_stay_plain_callables(write):
    """They can be called and tested as they are."""
    path = write(GOOD)
    load_app(str(path), app_root=None)
    assert sys.modules["function_app"].hello(None) == "hi"


def test_wrapped_handlers_partials_and_callable_objects_work(write):
    """The wrapper is what runs; an async function within makes it async."""
    functions = functions_of(
        write,
        """
        import functools
        def checked(f):
            @functools.wraps(f)
            def wrapper(*args, **kwargs):
                return f(*args, **kwargs)
            return wrapper

        @app.route()
        @checked
        @app.queue_output("m", queue_name="q")
        async def wrapped(req, m: fw.Out[str]): ...

        def add(req, extra): return extra
        app.function("bound")(app.route()(functools.partial(add, extra=1)))

        class Handler:
            async def __call__(self, req): ...
        app.function("object")(app.route()(Handler()))

        @app.route()
        def default(req, *, flag=False): ...

        @app.function
        @app.route()
        def bare(req): ...
        """,
    )
    assert list(functions) == ["wrapped", "bound", "object", "default", "bare"]
    assert [f.is_async for f in functions.values()] == [True, False, True, False, False]


def test_list_annotation_makes_a_batch(write):
    """Where the decorator leaves the cardinality open; a queue has none."""
    functions = functions_of(
        write,
        """
        @app.event_hub_message_trigger("e", connection="c", event_hub_name="h")
        def many(e: list[str]): ...

        @app.event_hub_message_trigger("e", connection="c", event_hub_name="h", cardinality="one")
        def one(e: list[str]): ...

        @app.queue_trigger("e", queue_name="q")
        def queue(e: list[str]): ...
        """,
    )
    assert [f.trigger.is_batch for f in functions.values()] == [True, False, False]


def test_new_binding_types_can_be_made_known(write):
    """For extensions younger than this version."""
    text = GOOD.replace("fw.App()", 'fw.App(extra_binding_types=["fooTrigger"])').replace(
        '@app.route("hello")', '@app.generic_trigger("req", type="fooTrigger", some_name=1)'
    )
    function = load_app(str(write(text.replace(": fw.Request", ""))), app_root=None).functions["hello"]
    assert function.trigger.properties == {"someName": 1}


def test_every_decorator_makes_its_binding(write):
    """Types and properties as function.json spells them."""
    functions = functions_of(
        write,
        """
        @app.queue_trigger("x", queue_name="q")
        @app.blob_input("a", path="p")
        @app.table_input("b", table_name="t", row_key="r")
        @app.cosmos_db_input("c", connection="c", database_name="d", container_name="n", sql_query="s")
        @app.generic_input_binding("d", type="sql", command_text="t")
        @app.queue_output("e", queue_name="q")
        @app.blob_output("f", path="p")
        @app.table_output("g", table_name="t")
        @app.service_bus_queue_output("h", connection="c", queue_name="q")
        @app.service_bus_topic_output("i", connection="c", topic_name="t")
        @app.event_hub_output("j", connection="c", event_hub_name="h")
        @app.event_grid_output("k", topic_endpoint_uri="u", topic_key_setting="k")
        @app.cosmos_db_output("l", connection="c", database_name="d", container_name="n")
        @app.generic_output_binding("m", type="signalR", hub_name="h")
        def all_(x, a, b, c, d, e, f, g, h, i, j, k, l, m): ...

        @app.blob_trigger("x", path="p")
        def blob(x): ...
        @app.timer_trigger("x", schedule="0 * * * * *")
        def timer(x): ...
        @app.service_bus_queue_trigger("x", connection="c", queue_name="q")
        def sbq(x): ...
        @app.service_bus_topic_trigger("x", connection="c", topic_name="t", subscription_name="s")
        def sbt(x): ...
        @app.event_grid_trigger("x")
        def grid(x): ...
        @app.cosmos_db_trigger("x", connection="c", database_name="d", container_name="n", lease_container_name="l")
        def cosmos(x): ...
        @app.route("items/{id}", methods=["GET"], auth_level="anonymous", binding_arg_name="$return")
        def http(req): ...
        """,
    )
    got = {b.name: (b.type, dict(b.properties)) for b in functions["all_"].bindings}
    storage = {"connection": "AzureWebJobsStorage"}
    assert got["x"] == ("queueTrigger", {"queueName": "q", **storage})
    assert got["b"] == ("table", {"tableName": "t", **storage, "rowKey": "r"})
    assert got["d"] == ("sql", {"commandText": "t"})
    assert got["i"] == ("serviceBus", {"topicName": "t", "connection": "c"})
    assert got["m"] == ("signalR", {"hubName": "h"})
    http = functions["http"]
    assert http.trigger.properties == {"route": "items/{id}", "methods": ["get"], "authLevel": "anonymous"}
    assert http.return_to == http.http_output == "$return"
    assert functions["cosmos"].trigger.properties["leaseContainerName"] == "l"


@pytest.mark.parametrize(
    ("trigger", "annotation", "expected"),
    [
        ("event_hub_message_trigger('m', connection='C', event_hub_name='h')", "list[str]", ("many", "string")),
        ("event_hub_message_trigger('m', connection='C', event_hub_name='h')", "list[dict]", ("many", "string")),
        ("event_hub_message_trigger('m', connection='C', event_hub_name='h')", "list[bytes]", ("many", "binary")),
        ("service_bus_topic_trigger('m', connection='C', topic_name='t', subscription_name='s')",
         "list[fw.ServiceBusMessage[bytes]]", ("many", "binary")),
        ("service_bus_queue_trigger('m', connection='C', queue_name='q')", "fw.ServiceBusMessage", (None, "string")),
        ("service_bus_queue_trigger('m', connection='C', queue_name='q', data_type='binary')",
         "list[fw.ServiceBusMessage]", ("many", "binary")),
        ("generic_trigger('m', type='kafkaTrigger')", "list[str]", ("many", "string")),
        ("queue_trigger('m', queue_name='queue')", "bytes", (None, "binary")),
        ("queue_trigger('m', queue_name='queue')", "fw.QueueMessage[bytes]", (None, "binary")),
        ("queue_trigger('m', queue_name='queue')", "dict", (None, None)),
        ("blob_trigger('m', path='in/{name}')", "bytes", (None, None)),
        ("timer_trigger('m', schedule='0 * * * * *')", "fw.TimerRequest", (None, None)),
    ],
)  # fmt: skip
def test_the_annotation_decides_cardinality_and_data_type(write, trigger, annotation, expected):
    """Case a1-04: without them the host parses texts as JSON, and bytes as texts."""
    text = app_text(f"@app.{trigger}\ndef f(m: {annotation}): ...")
    binding = load_app(str(write(text)), app_root=None).functions["f"].trigger
    assert (binding.cardinality, binding.data_type) == expected


@pytest.mark.parametrize(("annotation", "expected"), [("bytes", "binary"), ("bytes | None", "binary"), ("str", None)])
def test_an_input_for_bytes_is_asked_for_as_bytes(write, annotation, expected):
    """The host would decode the blob as text otherwise, and damage it."""
    text = app_text(f"@app.route()\n@app.blob_input('doc', path='a/b')\ndef f(req: fw.Request, doc: {annotation}): ...")
    function = load_app(str(write(text)), app_root=None).functions["f"]
    assert [b.data_type for b in function.bindings if b.name == "doc"] == [expected]
