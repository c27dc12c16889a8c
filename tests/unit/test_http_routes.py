"""http_routes.py: what the host sees of an app's http functions is what its files say."""

import json
from typing import Any

from fastworker import App
from fastworker.functions.http_routes import http_routes
from fastworker.functions.loaded_app import assemble

HTTP_OUT = {"type": "http", "direction": "out", "name": "res"}


def write(folder, name: str, *bindings: dict[str, Any]) -> None:
    (folder / name).mkdir()
    (folder / name / "function.json").write_text(json.dumps({"bindings": bindings}))


def app() -> App:
    made = App()
    made.function(name="one")(made.route("x/{key}", methods=["GET"])(lambda req, key="": ""))
    return made


def test_a_decorator_counts_where_there_is_no_file(tmp_path):
    """As by hand, before the first sync."""
    functions, host, *_ = assemble(app(), tmp_path)
    (route,), warnings = http_routes(functions, tmp_path, host)
    assert (route.name, route.template, route.methods, route.level) == ("one", "x/{key}", ("get",), "function")
    assert (route.is_plain, route.is_served, route.needs_parameters, route.is_known) == (True, True, True, True)
    assert warnings == []


def test_the_file_counts_and_a_difference_is_told(tmp_path):
    """The host reads nothing else; what it asks for is that file's level."""
    trigger = {"type": "httpTrigger", "name": "req", "route": "y", "authLevel": "Anonymous", "methods": ["get", "post"]}
    write(tmp_path, "one", trigger, HTTP_OUT)
    functions, host, *_ = assemble(app(), tmp_path)
    (route,), warnings = http_routes(functions, tmp_path, host)
    assert (route.template, route.methods, route.level) == ("y", ("get", "post"), "anonymous")
    assert len(warnings) == 3
    assert all("function.json:" in line and "fastworker sync" in line for line in warnings)


def test_a_second_output_in_the_file_means_envelopes(tmp_path):
    """Such a function gets no plain requests (protocol 1.7)."""
    write(tmp_path, "one", {"type": "httpTrigger", "name": "req"}, HTTP_OUT, {**HTTP_OUT, "type": "queue", "name": "q"})
    functions, host, *_ = assemble(app(), tmp_path)
    assert not http_routes(functions, tmp_path, host)[0][0].is_plain


def test_the_second_function_of_a_route_is_not_there(tmp_path):
    """The host takes it out, by name; methods are compared in their case (same-route-*)."""
    made = App()
    rows = [("b", "X", ["put"]), ("a", "x/", ["get", "put"]), ("c", "x", ["post"]), ("d", "y", None)]
    for name, path, methods in rows:
        made.function(name=name)(made.route(path, methods=methods)(lambda req: ""))
    functions, host, *_ = assemble(made, tmp_path)
    assert [route.name for route in http_routes(functions, tmp_path, host)[0]] == ["a", "c", "d"]


def test_functions_that_host_json_does_not_list_are_not_there(tmp_path):
    """`functions` in host.json, in any case."""
    (tmp_path / "host.json").write_text('{"version": "2.0", "functions": ["ONE"]}')
    made = app()
    made.function(name="other")(made.route("{*r}")(lambda req: ""))
    functions, host, *_ = assemble(made, tmp_path)
    assert [route.name for route in http_routes(functions, tmp_path, host)[0]] == ["one"]


def test_functions_without_a_handler_are_there_for_the_host(tmp_path):
    """It chooses them as any other; one whose file cannot be read may be anything. Reserved routes are out."""
    write(
        tmp_path, "alien", {"type": "httpTrigger", "name": "req", "authLevel": "anonymous", "route": "{*r}"}, HTTP_OUT
    )
    write(tmp_path, "timer", {"type": "timerTrigger", "name": "t"})
    write(tmp_path, "mine", {"type": "httpTrigger", "name": "req", "route": "admin/x"}, HTTP_OUT)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "function.json").write_text("{")  # in error at the host, which does not load it
    (tmp_path / "unread" / "function.json").mkdir(parents=True)
    functions, host, *_ = assemble(app(), tmp_path)
    found = {route.name: route for route in http_routes(functions, tmp_path, host)[0]}
    assert list(found) == ["alien", "one", "unread"]
    assert not found["alien"].is_served and found["alien"].is_known
    assert not found["unread"].is_known
