"""What people write who are used to azure-functions, Flask or FastAPI: one message each that says what to write."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import fastworker as fw
from fastworker.errors import AppLoadError
from fastworker.functions.loaded_app import assemble, load_app
from fastworker.functions.v2_names import APP, MODULE


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def load_text(text: str, **files: str) -> Any:
        monkeypatch.setattr("sys.path", [*sys.path])
        for name, content in {"function_app": "import fastworker as fw\n" + textwrap.dedent(text), **files}.items():
            monkeypatch.delitem(sys.modules, name, raising=False)
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(content))
        return load_app(str(tmp_path / "function_app.py"), app_root=None)

    return load_text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("@app.route\ndef f(req): ...", "function_app.py:3: @app.route stands without parentheses: write @app.route()"),
        ("@app.route('x', auth_level='anonymus')\ndef f(req): ...", "did you mean 'anonymous'?): write anonymous"),
        ("@app.route('x', auth_level='public')\ndef f(req): ...", "auth_level 'public': write anonymous (everybody)"),
        ("@app.route('x', methods=['PSOT'])\ndef f(req): ...", "'psot' is none of HTTP's (did you mean 'POST'?)"),
        ("@app.route('x', methods='GET,POST')\ndef f(req): ...", "methods are GET, HEAD, POST"),
        ("@app.function_name(name='x')\ndef f(req): ...", "here it is: @app.function(name=...)"),
        (
            "@app.schedule(schedule='0 0 * * * *')\ndef f(t): ...",
            "here it is: @app.timer_trigger(arg_name",
        ),
        ("@app.get('/x')\ndef f(req): ...", '@app.route(..., methods=["GET"])'),
        ("fw.App(http_auth_level='anonymous')", '@app.route(..., auth_level="anonymous") at each function'),
        ("fw.App(auth='x')", "fastworker.App() has no argument 'auth'"),
        ("fw.FunctionApp()", "module 'fastworker' has no attribute 'FunctionApp'; here it is: fw.App"),
        ("def f(req: fw.HttpRequest): ...", "here it is: fw.Request"),
        ("app.register_functions(fw.App())", "here it is: app.include(other)"),
        (
            "@app.retry('fixedDelay', 3)\n@app.timer_trigger('t', schedule='0 0 * * * *')\ndef f(t): ...",
            "function 'f': @app.retry: a retry policy of strategy fixeddelay needs \"delayInterval\"",
        ),
    ],
)
def test_a_name_of_another_framework_gets_a_hint(load: Any, line: str, said: str) -> None:
    """One message, with the place and what to write."""
    with pytest.raises(AppLoadError) as caught:
        load(f"app = fw.App()\n{line}\n")
    [problem] = caught.value.problems
    assert said in problem
    assert "function_app.py:" in problem


def test_hints_name_what_is_there() -> None:
    """No hint for a name that there is, and none of a decorator that there is not."""
    app = fw.App()
    for name, hint in APP.items():
        assert not hasattr(app, name)
        if hint.startswith("@app."):
            assert hasattr(app, hint.removeprefix("@app.").partition("(")[0])
    for name, hint in MODULE.items():
        assert not hasattr(fw, name)
        if hint.startswith("fw."):
            assert hint.partition(",")[0].removeprefix("fw.") in fw.__all__


def test_a_name_that_nobody_has_is_simply_not_there() -> None:
    """As of any object."""
    with pytest.raises(AttributeError, match=r"^fastworker\.App has no attribute 'nothing'$"):
        print(fw.App().nothing)  # type: ignore[attr-defined]
    assert getattr(fw.App(), "nothing", 1) == 1


def test_a_route_that_repeats_the_prefix_is_warned_of(load: Any) -> None:
    """It works, at an address that nobody looks for."""
    [warning] = load("app = fw.App()\n@app.route('api/orders')\ndef f(req): ...\n").warnings
    assert "its address is api/api/orders: write 'orders'" in warning
    assert "routePrefix" in warning


def test_a_rare_method_is_served_with_a_word(load: Any) -> None:
    """The host passes on any."""
    [warning] = load("app = fw.App()\n@app.route('x', methods=['PROPFIND'])\ndef f(req): ...\n").warnings
    assert "the method 'propfind' is rarely seen" in warning


def test_one_method_may_be_given_as_a_text(load: Any) -> None:
    """Not as a list of its letters."""
    loaded = load("app = fw.App()\n@app.route('x', methods='GET')\ndef f(req): ...\n")
    assert loaded.functions["f"].trigger.methods == ("get",)


BLUEPRINT = """
    import fastworker as fw
    orders = fw.App(extra_binding_types=["newTrigger"])
    @orders.on_worker_start
    def connect(): orders.state.db = "open"
    @orders.route("orders")
    def order(req): return orders.state.db
"""


def test_an_app_includes_another_with_its_functions_hooks_and_state(load: Any) -> None:
    """From then on they are one: also what is decorated later, and twice is once."""
    loaded = load(
        """
        from orders_blueprint import orders
        main = fw.App()
        main.state.name = "shop"
        main.include(orders)
        main.include(orders)
        @orders.route("late")
        def late(req): return ""
        @main.route("first")
        def first(req): return ""
        """,
        orders_blueprint=BLUEPRINT,
    )
    assert list(loaded.functions) == ["order", "late", "first"]
    [hook] = loaded.app.start_hooks
    hook()
    assert vars(loaded.app.state) == {"name": "shop", "db": "open"}
    assert loaded.app.extra_binding_types == ("newTrigger",)


def test_an_app_that_is_not_included_is_told_of(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions are nowhere, and nothing else would say so."""
    told: list[str] = []
    monkeypatch.setattr("fastworker.logs.log.warning", lambda event, *, detail: told.append(f"{event} {detail}"))
    load(
        "from orders_blueprint import orders\napp = fw.App()\n@app.route('x')\ndef f(req): ...\n",
        orders_blueprint=BLUEPRINT,
    )
    [line] = told
    assert "`app` is served, and orders not: write app.include(orders)" in line


def test_a_function_of_an_included_app_with_a_taken_name_is_a_mistake(tmp_path: Path) -> None:
    """Both places are told."""
    app, other = fw.App(), fw.App()
    for one in (app, other):
        one.function(name="twice")(one.route("x")(lambda req: ""))
    app.include(other)
    _, _, problems, _ = assemble(app, tmp_path)
    assert any("two functions are named 'twice'" in problem for problem in problems)


def test_retry_is_written_to_function_json() -> None:
    """In the host's words."""
    app = fw.App()

    @app.retry("exponential_backoff", "5", minimum_interval="00:00:05", maximum_interval="00:05:00")
    @app.warm_up_trigger("context")
    def warm(context: dict[str, Any]) -> None: ...

    [declaration] = app.declarations
    assert declaration.members["retry"] == {
        "strategy": "exponentialBackoff",
        "maxRetryCount": 5,
        "minimumInterval": "00:00:05",
        "maximumInterval": "00:05:00",
    }
