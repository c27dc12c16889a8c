"""route_checks.py: routes that stop a whole app, and those that surprise, are found at load."""

from pathlib import Path
from typing import Any

import pytest

from fastworker import App
from fastworker.functions.loaded_app import assemble

HOST = '{"version": "2.0", "extensions": {"http": {"routePrefix": "%s"}}}'


def checked(folder: Path, *routes: str | None, prefix: str = "api") -> tuple[list[str], list[str], dict[str, Any]]:
    """(problems, warnings, routes as they count) of an app of functions f0, f1, ... with such routes."""
    (folder / "host.json").write_text(HOST % prefix)
    app = App()

    for number, route in enumerate(routes):
        app.function(name=f"f{number}")(app.route(route)(lambda req: ""))
    functions, _, problems, warnings = assemble(app, folder)
    return problems, warnings, {name: function.route for name, function in functions.items()}


def test_a_slash_before_a_decorators_route_is_taken_off_with_a_hint(tmp_path):
    """As people write it who come from other frameworks; the host would serve nothing."""
    problems, warnings, routes = checked(tmp_path, "/hello/{x}")
    assert problems == []
    assert routes == {"f0": "hello/{x}"}
    assert "test_route_checks.py:" in warnings[0] and "'hello/{x}'" in warnings[0]
    assert checked(tmp_path, "/orders", prefix="")[2] == {"f0": "orders"}


@pytest.mark.parametrize("route", ["/", "//x", "x//y", "{a}{b}", "{*r}/y", "x?y", "{a:nix}"])
def test_a_route_that_stops_the_app_is_a_problem(tmp_path, route):
    """With the file and line, the function, and why it matters."""
    problems, _, _ = checked(tmp_path, "good", route)
    assert len(problems) == 1
    assert "test_route_checks.py:" in problems[0] and "'f1'" in problems[0] and "no function at all" in problems[0]


def test_without_a_prefix_a_single_slash_is_the_root(tmp_path):
    """The host takes it there."""
    assert checked(tmp_path, "/", prefix="")[0] == []


def test_a_route_of_function_json_keeps_its_slash_and_is_refused(tmp_path):
    """The host reads that file, not the decorators."""
    (tmp_path / "named").mkdir()
    bindings = (
        '[{"type": "httpTrigger", "name": "req", "route": "/x"}, {"type": "http", "direction": "out", "name": "res"}]'
    )
    (tmp_path / "named" / "function.json").write_text('{"bindings": ' + bindings + "}")
    (tmp_path / "host.json").write_text(HOST % "api")
    app = App()
    app.function(name="named")(lambda req: "")
    _, _, problems, _ = assemble(app, tmp_path)
    assert "function.json:1: function 'named': the route 'api//x' has an empty segment" in problems[0]


@pytest.mark.parametrize("prefix", ["/api", "api/", "/"])
def test_a_prefix_with_an_outer_slash_is_a_problem(tmp_path, prefix):
    """It stops the app as long as any function has a route."""
    problems, _, _ = checked(tmp_path, "x", prefix=prefix)
    assert "host.json" in problems[0] and repr(prefix.strip("/")) in problems[0]


def test_a_route_of_the_hosts_own_takes_out_its_function_with_a_warning(tmp_path):
    """That function only, and by its letters: administrator, too."""
    problems, warnings, _ = checked(tmp_path, "administrator/x", "fine")
    assert problems == []
    assert len(warnings) == 1 and "'f0'" in warnings[0] and "404" in warnings[0]


def test_a_function_that_anothers_route_hides_is_told(tmp_path):
    """The name decides, so that renaming mends it."""
    _, warnings, _ = checked(tmp_path, "p/{x}", "p/lit")
    assert len(warnings) == 1 and "'f1'" in warnings[0] and "'f0'" in warnings[0] and "rename" in warnings[0]
    assert checked(tmp_path, "p/lit", "p/{x}")[1] == []


def test_the_second_function_of_one_route_is_told(tmp_path):
    """The host takes it out; once is enough."""
    _, warnings, _ = checked(tmp_path, "p/x", "P/X/")
    assert len(warnings) == 1 and "'f1' has the same route as 'f0'" in warnings[0]


def test_a_pattern_that_python_cannot_read_is_told(tmp_path):
    """The host takes it; here every value passes."""
    _, warnings, _ = checked(tmp_path, r"p/{x:regex(^\p{{Lu}}$)}")
    assert len(warnings) == 1 and "Python cannot read it" in warnings[0]
