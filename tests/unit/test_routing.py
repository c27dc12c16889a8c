"""routing.py: templates as ASP.NET has them (protocol 6.1), and which of several counts."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.routing import Route, RouteError, RouteTable, decoded_path

GUID = "2c0a9d61-6d0e-4c5f-9a54-0b7f4f1c8e10"


def table(*templates: str, prefix: str = "api") -> RouteTable[str]:
    """A table whose targets are the templates themselves."""
    routes: RouteTable[str] = RouteTable(prefix)
    for template in templates:
        routes.add(template, (), template)
    return routes


def target(routes: RouteTable[str], path: str, method: str = "GET") -> str | None:
    found = routes.find(method, path)
    return None if found is None else found[0]


@pytest.mark.parametrize(
    ("template", "path", "params"),
    [
        ("items", "items", {}),
        ("items", "ITEMS/", {}),
        ("items", "items/x", None),
        ("items/{id}", "items/7", {"id": "7"}),
        ("items/{id}", "items", None),
        ("items/{id?}", "items", {"id": None}),
        ("items/{id=5}", "items", {"id": "5"}),
        ("items/{id=5}", "items/6", {"id": "6"}),
        ("{a}/x/{b?}", "1/X", {"a": "1", "b": None}),
        ("{a}/{b?}", "1/2/3", None),
        ("files/{*path}", "files/a/b.txt", {"path": "a/b.txt"}),
        ("files/{**path}", "files/a/b", {"path": "a/b"}),
        ("files/{*path}", "files", {"path": None}),
        ("files/{*path=index.html}", "files", {"path": "index.html"}),
        ("{name}.json", "a.json", {"name": "a"}),
        ("{name}.json", "a.xml", None),
        ("v{major}-{minor}", "v1-2", {"major": "1", "minor": "2"}),
        ("{Id:int}", "42", {"Id": "42"}),
        ("", "", {}),
        ("", "x", None),
        ("{*rest}", "", {"rest": None}),
        ("a{{b}}", "a{b}", {}),
        ("a.c", "abc", None),
        ("{a:length(2)}/{b:length(1,3)}", "xy/abc", {"a": "xy", "b": "abc"}),
        ("{a:length(2)}", "xyz", None),
        ("{a:regex(^a|b$)}", "xb", {"a": "xb"}),
        ("{a:regex(^\\d{{2}}$)}", "12", {"a": "12"}),
        ("{a:regex(^\\d{{2}}$)}", "123", None),
        ("{a:range(1,5):int}", "5", {"a": "5"}),
        ("{a:range(1,5):int}", "6", None),
        ("{a:int?}", "", {"a": None}),
        ("{a:int?}", "x", None),
        ("{a:int=3}", "", {"a": "3"}),
    ],
)
def test_a_template_fits_or_not(template, path, params):
    """Literals, parameters, optional ones, defaults, constraints and the rest of a path."""
    assert Route(template).match(path) == params


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("int", ["0", "-5", "+5", "2147483647"], ["", "x", "1.5", "2147483648", "1_0", "٣"]),
        ("long", ["9223372036854775807"], ["9223372036854775808"]),
        ("alpha", ["abcXYZ"], ["a1", "ä", "a-b"]),
        ("bool", ["true", "FALSE"], ["1", "yes"]),
        ("guid", [GUID, GUID.upper(), GUID.replace("-", ""), f"{{{GUID}}}", f"({GUID})"], [GUID[1:], f"{{{GUID}", "x"]),
        ("float", ["1", "-1.5", "1e9", ".5"], ["x", "1.2.3"]),
        ("datetime", ["2026-01-02", "1-2-2026"], ["x", "2026"]),
        ("minlength(2)", ["ab"], ["a"]),
        ("maxlength(2)", ["ab"], ["abc"]),
        ("min(2)", ["2", "99999999999"], ["1", "x"]),
        ("max(2)", ["2", "-9"], ["3"]),
        ("file", ["a.txt"], ["a"]),
        ("nonfile", ["a"], ["a.txt"]),
    ],
)
def test_a_constraint_keeps_out_what_it_is_for(name, good, bad):
    """One that fails means: another route, or none."""
    route = Route(f"{{value:{name}}}")
    assert [value for value in good if route.match(value) != {"value": value}] == []
    assert [value for value in bad if route.match(value) is not None] == []


@pytest.mark.parametrize(
    "template",
    ["a/{b:nix}", "a/{b", "a}/b", "{b:length(x)}", "{b:int(3)}", "{b:regex(()}", "{}", "{b:length}", "{b:min}"],
)
def test_a_template_that_cannot_be_understood_is_refused(template):
    """When it is added, which is at start-up."""
    with pytest.raises(RouteError):
        Route(template)


@pytest.mark.parametrize(
    ("templates", "path", "expected"),
    [
        (["x/{id}", "x/me"], "/api/x/me", "x/me"),
        (["x/{id}", "x/me"], "/api/x/you", "x/{id}"),
        (["x/{id}", "x/{id:int}"], "/api/x/7", "x/{id:int}"),
        (["x/{id}", "x/{id:int}"], "/api/x/seven", "x/{id}"),
        (["{*rest}", "{a}/{b}", "x/{b}"], "/api/x/y", "x/{b}"),
        (["{*rest}", "{a}/{b}", "x/{b}"], "/api/y/y", "{a}/{b}"),
        (["{*rest}", "{a}/{b}", "x/{b}"], "/api/x/y/z", "{*rest}"),
        (["x/{a}/{b?}", "x/{*rest}"], "/api/x/1/2/3", "x/{*rest}"),
        (["{a}/me", "x/{b}"], "/api/x/me", "x/{b}"),
    ],
)
def test_the_more_specific_route_counts(templates, path, expected):
    """Segment by segment: literal, constrained, parameter, rest; whatever the order in which they were added."""
    for order in itertools.permutations(templates):
        assert target(table(*order), path) == expected


def test_a_method_that_is_not_listed_goes_to_the_next_route():
    """Never 405; none listed means any, in any case."""
    routes: RouteTable[str] = RouteTable("api")
    routes.add("x/{id}", ["get", "Post"], "some")
    routes.add("x/7", ["PUT"], "put")
    routes.add("{*rest}", ["DELETE"], "rest")
    assert target(routes, "/api/x/7", "get") == "some"
    assert target(routes, "/api/x/7", "PUT") == "put"
    assert target(routes, "/api/x/7", "DELETE") == "rest"
    assert target(routes, "/api/x/7", "PATCH") is None


@pytest.mark.parametrize(
    ("prefix", "path", "found"),
    [
        ("api", "/api/x", True),
        ("api", "/API/X", True),
        ("/api/", "/api/x", True),
        ("api", "/apix", False),
        ("api", "/x", False),
        ("api", "/api", False),
        ("a.b", "/aXb/x", False),
        ("api/v1", "/api/v1/x", True),
        ("", "/x", True),
        ("", "//x", True),
    ],
)
def test_the_prefix_stands_before_every_route(prefix, path, found):
    """Whole segments of it, ignoring case."""
    assert (target(table("x", prefix=prefix), path) is not None) == found


def test_a_path_is_decoded_once_but_for_its_slashes():
    """An encoded slash is no border between segments, and an encoded percent sign no escape."""
    assert decoded_path("/a%20b%2Fc%2fd%25") == "/a b%2Fc%2Fd%"
    routes = table("x/{id}", "{*rest}")
    assert routes.find("GET", "/api/x/a%2Fb%C3%BC") == ("x/{id}", {"id": "a%2Fbü"})
    assert routes.find("GET", "/api/x/a/b") == ("{*rest}", {"rest": "x/a/b"})
    assert routes.find("GET", "/api/x/a%252Fb") == ("x/{id}", {"id": "a%2Fb"})


def test_a_table_knows_whether_it_is_empty():
    """Nothing is looked for then."""
    assert not RouteTable("api")
    assert table("x")


@given(st.text(max_size=40))
def test_no_path_is_too_strange(path):
    """Whatever a client sends fits or does not."""
    routes = table("x/{id:int}", "{name}.{ext}", "v{a}-{b}/{c?}", "{a:regex(^a+$)}", "files/{*path}")
    found = routes.find("GET", f"/api/{path}")
    assert found is None or isinstance(found[0], str)
