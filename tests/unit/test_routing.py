"""routing.py and what it is made of: the host's rule for templates, constraints, and which of several counts (6.1).

The tables are what the real host did (recordings prec-*, route-*, badroute-*, fwd-paths, D480 to D499, D1000 ff.).
"""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.protocol.route_constraint import ConstraintError, constraint
from fastworker.protocol.route_template import capitals
from fastworker.protocol.routing import Route, RouteError, RouteTable, decoded_path, is_reserved, sort_key

GUID = "2c0a9d61-6d0e-4c5f-9a54-0b7f4f1c8e10"


def table(prefix: str = "api", /, **routes: str) -> RouteTable[str]:
    """A table of functions without methods; targets are the names."""
    found: RouteTable[str] = RouteTable(prefix)
    for name, template in routes.items():
        found.add(name, template, None, name)
    return found


def target(routes: RouteTable[str], path: str, method: str = "GET") -> str | None:
    found = routes.find(method, path)
    return None if found is None else found[0]


@pytest.mark.parametrize(
    ("template", "answers"),
    [
        ("items", {"items": {}, "ITEMS/": {}, "items/x": None, "items//": None, "/items": None}),
        ("items/{id}", {"items/7": {"id": "7"}, "items": None, "items/": None, "items/7/": {"id": "7"}}),
        ("items/{id?}", {"items": {"id": None}, "items/": {"id": None}, "items/5": {"id": "5"}, "items/5/6": None}),
        ("r/{a?}/{b?}", {"r": {"a": None, "b": None}, "r/1": {"a": "1", "b": None}, "r/1/2": {"a": "1", "b": "2"}}),
        ("r/{a?}/x", {"r/1/x": {"a": "1"}, "r/x": None}),
        ("r/{id=5}", {"r": {"id": "5"}, "r/": {"id": "5"}, "r/7": {"id": "7"}}),
        ("r/{id=a b}", {"r/": {"id": "a b"}}),
        ("r/{id=}", {"r/7": {"id": "7"}, "r": {"id": ""}}),
        ("r/{v=seven}/x", {"r/x": None, "r/7/x": {"v": "7"}}),
        ("r/{id:int=5}", {"r/7": {"id": "7"}, "r": {"id": "5"}, "r/x": None}),
        ("r/{id:int?}", {"r": {"id": None}, "r/5": {"id": "5"}, "r/x": None}),
        ("f/{*r}", {"f": {"r": None}, "f/": {"r": None}, "f/a": {"r": "a"}, "f/a/b/": {"r": "a/b/"}, "f//a": None}),
        ("f/{*r}", {"f/a//b": {"r": "a//b"}}),
        ("f/{**r}", {"f/a/b": {"r": "a/b"}, "f/": {"r": None}, "f/a%2Fb/c": {"r": "a%2Fb/c"}}),
        ("f/{*r=x/y}", {"f": {"r": "x/y"}, "f/a": {"r": "a"}}),
        ("f/{*r:minlength(3)}", {"f/a": None, "f/a/b": {"r": "a/b"}, "f/": None}),
        ("{*r}", {"": {"r": None}, "x/y/z": {"r": "x/y/z"}}),
        ("", {"": {}, "x": None}),
        ("f/x-{n}.{e}", {"f/x-a.txt": {"e": "txt", "n": "a"}, "f/x-a.b.txt": {"e": "txt", "n": "a.b"}}),
        ("f/x-{n}.{e}", {"f/x-.txt": None, "f/x-a.": None, "f/X-a.txt": {"e": "txt", "n": "a"}, "f/x-a": None}),
        ("d/{a}-{b}", {"d/1-2": {"b": "2", "a": "1"}, "d/1-2-3": {"b": "3", "a": "1-2"}, "d/1-": None, "d/12": None}),
        ("d/{a}-{b}", {"d/-b": None, "d/--b": {"b": "b", "a": "-"}}),
        ("e/{n}.{e?}", {"e/a.txt": {"e": "txt", "n": "a"}, "e/a": {"n": "a", "e": None}, "e/a.": None}),
        ("e/{n}.{e?}", {"e/.x": {"n": ".x", "e": None}, "e/a.b.c": {"e": "c", "n": "a.b"}}),
        ("m/a{v}b", {"m/aXb": {"v": "X"}, "m/ab": None, "m/aXXb": {"v": "XX"}, "m/AxB": {"v": "x"}, "m/aXbc": None}),
        ("m/v{n:int}", {"m/v5": {"n": "5"}, "m/V5": {"n": "5"}, "m/v": None, "m/vx": None}),
        ("b/{{x}}", {"b/{x}": {}, "b/x": None}),
        ("g/größe", {"g/GRÖßE": {}, "g/GRÖSSE": None}),
        ("a.c", {"abc": None, "A.C": {}}),
        ("%SEG%/x", {"%SEG%/x": {}, "segment/x": None}),
        ("x\\y", {"x/y": None, "x\\y": {}}),
        ("x/{a b}/{my-id}/{größe}", {"x/1/2/3": {"a b": "1", "my-id": "2", "größe": "3"}}),
        ("t/{x}/", {"t/1": {"x": "1"}, "t/1/": {"x": "1"}}),
        ("~/x", {"x": {}}),
        ("{a}/x/{b:guid?}", {f"1/X/{GUID}": {"a": "1", "b": GUID}, "1/x": {"a": "1", "b": None}, "1/x/y": None}),
        ("s/{x:alpha:minlength(3):maxlength(4)}", {"s/abc": {"x": "abc"}, "s/abcde": None, "s/ab1": None}),
        ("e/{x:exists}", {"e/a": None}),
    ],
)
def test_a_template_fits_a_path_as_in_the_host(template, answers):
    """Texts ignore case, parameters take what is left, mixed segments are matched from the right."""
    route = Route(template)
    assert {path: route.match(f"/{path}") for path in answers} == answers


def test_parameters_of_a_mixed_segment_come_from_the_right():
    """The host lists them so, and what is absent last."""
    assert list(Route("{a}-{b}/{c}").match("/1-2/3") or ()) == ["b", "a", "c"]
    assert list(Route("{name}.{ext?}").match("/a") or ()) == ["name", "ext"]


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("int", ["0", "-5", "+5", "05", " 5", "5 ", "2147483647"], ["", "x", "5.0", "1,0", "2147483648", "1_0", "٣"]),
        ("long", ["9223372036854775807"], ["9223372036854775808", "9" * 5000, "x"]),
        ("alpha", ["abcXYZ", ""], ["a1", "ä", "a-b"]),
        ("bool", ["true", "FALSE", " true"], ["1", "yes", ""]),
        ("guid", [GUID, GUID.upper(), GUID.replace("-", ""), f"{{{GUID}}}", f"({GUID})"], [GUID[1:], f"{{{GUID}", "x"]),
        ("guid", ["{0x2c0a9d61,0x6d0e,0x4c5f,{0x9a,0x54,0x0b,0x7f,0x4f,0x1c,0x8e,0x10}}"], ["{0x2c0a9d61}"]),
        ("decimal", ["1.5", "-1", "1,5", ".5", "5.", "5-"], ["1e3", "NaN", "79228162514264337593543950336", ".", "x"]),
        ("double", ["1.5", "1e3", "NaN", "Infinity", "-Infinity", "1,000", "1e999"], ["0x10", "", "1e", "x", "."]),
        ("float", ["1.5", "1e39", "nan"], ["1.2.3"]),
        ("datetime", ["2026-01-02", "2026-01-02T03:04:05", "01-02-2026", "1.2.2026", "12:30", "jan 5 2026"], ["x", ""]),
        ("datetime", ["2026-01", "5 jan 2026", "2026-01-02T03:04:05Z", "1/2/26 5 pm"], ["2026", "today", "2026-13-01"]),
        (
            "datetime",
            ["Friday, 2 January 2026 10:00:00"],
            ["2026-02-30", "25:00", "1-2-3-4", "01%2F02%2F2020", "1" * 99],
        ),
        ("minlength(3)", ["abc", "ééé", "\U0001f600a"], ["ab"]),
        ("maxlength(3)", ["abc", ""], ["abcd"]),
        ("length(2,5)", ["ab", "abcde"], ["a", "abcdef"]),
        ("length(3)", ["abc", "\U0001f600a"], ["ab", "abcd"]),
        ("min(5)", ["5", "99999999999"], ["4", "x", "5.5"]),
        ("max(5)", ["5", "-9"], ["6"]),
        ("range(1,10)", ["1", "10"], ["0", "11", "5.5"]),
        (r"regex(^\d+$)", ["123", "٣"], ["12a"]),
        ("regex(^(apr|jul)$)", ["apr", "JUL"], ["may"]),
        ("regex([[a-z]]+)", ["a]", "[]"], ["ABC", "123"]),
        ("regex([a-z]+)", ["1a"], ["1"]),
        (r"regex(^(?<n>\d)$)", ["1"], ["a"]),
        ("regex()", ["", "x"], []),
        ("required", ["x", " "], [""]),
        ("file", ["a.txt", ".a", "a/b.c"], ["a", "a.", "", "a.b/c"]),
        ("nonfile", ["a", "a.", ""], ["a.txt"]),
        ("exists", [], ["a"]),
    ],
)
def test_a_constraint_takes_what_dotnet_takes(text, good, bad):
    """One that fails means: another function, or none."""
    fits = constraint(text).fits
    assert [value for value in good if not fits(value)] == []
    assert [value for value in bad if fits(value)] == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "nix",
            "int(3)",
            "int()",
            "length",
            "length(x)",
            "length(3,1)",
            "length(1,2,3)",
            "length(-1)",
            "minlength(1,2)",
        ),
        *("min(x)", "min(1,2)", "range(1)", "range(5,1)", "regex", "regex(()", "regex([)", "Regex(*)", "file(x)"),
    ],
)
def test_a_constraint_that_the_host_cannot_make_is_refused(text):
    """It would stop every function of the app."""
    with pytest.raises(ConstraintError):
        constraint(text)


def test_a_pattern_that_only_dotnet_can_read_is_taken_with_a_word():
    """The host loads it; here every value passes, and somebody is told."""
    route = Route(r"x/{v:regex(^\p{{L}}+$)}")
    assert route.match("/x/é") == {"v": "é"}
    assert len(route.doubts) == 1
    assert Route("x/{v:int}").doubts == []


@pytest.mark.parametrize(
    ("template", "mend"),
    [
        ("x//y", "one slash"),
        ("x/{a}{b}", "between"),
        ("x/{*r}/y", "last segment"),
        ("x/a{*r}", "segment of its own"),
        ("x/{a}/{A}", "rename"),
        ("x/{a}/{a}", "rename"),
        ("x/{id=5?}", "leave out"),
        ("x/{*r?}", "leave out"),
        ("x?y", "question mark"),
        ("x/a?b", "question mark"),
        ("x/{v:nix}", "use one of"),
        ("x/{v:int(5)}", "takes no arguments"),
        ("x/{s:length(x)}", "whole numbers"),
        (r"x/{s:regex(^\d{3}$)}", "double it"),
        ("x/{", "its '}'"),
        ("x/{y", "its '}'"),
        ("x/y}", "its '}'"),
        ("x/{}", "not empty"),
        ("x/{y*}", "characters"),
        ("x/{?}", "not empty"),
        ("x/{a}-{b?}", "'.'"),
        ("x/{a?}.b", "'.'"),
        ("x/.{a?}.b", "'.'"),
        ("~x", "without"),
    ],
)
def test_a_template_that_stops_the_host_is_refused_with_the_mend(template, mend):
    """Each of ASP.NET's own refusals; the message says what to write instead."""
    with pytest.raises(RouteError, match=mend.replace("'", ".")):
        Route(f"api/{template}" if template[0] != "~" else template)


@pytest.mark.parametrize(
    "template",
    [
        r"products/{category:alpha}/{id:regex(\d+.\d+.\d+)}",
        "sales/{year:int:min(1900)}/{month:regex(^(apr|jul|oct|jan)$)}",
        "{culture:regex(^(tr|en)$)}/x",
        "{*rest=x/y}",
        "{a:regex(^a:b$)}/{b:regex(^a=b$)=a=b}/{c:regex(^a,b$)}/{d:regex(^a?$)}",
        "{a:exists}",
        "x/{v?}/y",
        "a b/{v}",
        "hello/",
        "~/x",
        ".{a?}",
    ],
)
def test_a_template_that_the_host_takes_is_taken(template):
    """However odd it looks; a parenthesis ends arguments only before `:`, `=` or the end."""
    Route(f"api/{template}")


def test_arguments_of_a_constraint_hold_delimiters():
    """`:` and `=` are the pattern's as long as a parenthesis closes behind them; a default may hold anything."""
    route = Route("{a:regex(^a:b$)}/{b:regex(^x=y$)=x=y}")
    assert route.match("/a:b") == {"a": "a:b", "b": "x=y"}
    assert route.match("/a:b/x=z") is None


# ---- which of several --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "answers"),
    [
        ({"apar": "p/{x}", "blit": "p/lit"}, {"/api/p/lit": "apar", "/api/p/LIT": "apar"}),
        ({"apar": "p/{x}", "cint": "p/{n:int}", "drest": "p/{*r}"}, {"/api/p/5": "apar", "/api/p": "drest"}),
        ({"bint": "p/{n:int}", "amin": "p/{n:min(1)}"}, {"/api/p/55": "amin"}),
        ({"aopt": "p/{x?}", "blit": "p"}, {"/api/p": "aopt"}),
        ({"adef": "p/{x=1}", "blit": "p"}, {"/api/p": "adef"}),
        ({"ashort": "{*r}", "bdeep": "p/{*r}"}, {"/api/p/1": "ashort", "/api": "ashort", "/api/": "ashort"}),
        ({"zpar": "p/{x}", "mlit": "p/lit", "aint": "p/{n:int}"}, {"/api/p/lit": "mlit", "/api/p/x": "zpar"}),
        ({"b": "p/{x}", "A": "p/{y}"}, {"/api/p/1": "A"}),
        ({"a": "p/{x}", "B": "p/{y}"}, {"/api/p/1": "a"}),
        ({"aa": "p/{x}", "a-b": "p/{y}"}, {"/api/p/1": "a-b"}),
        ({"aa": "p/{x}", "a_b": "p/{y}"}, {"/api/p/1": "aa"}),
        ({"f9": "p/{x}", "f10": "p/{y}"}, {"/api/p/1": "f10"}),
        ({"i1": "s/{a}/lit", "i2": "s/lit/{b}"}, {"/api/s/lit/lit": "i1"}),
        ({"n1": "n/{*r}", "n2": "n/{a}/{b}"}, {"/api/n/1/2": "n1"}),
    ],
)
def test_the_first_function_by_name_counts_however_specific_the_others_are(routes, answers):
    """Ordinal, ignoring case, in whatever order they were added."""
    for order in itertools.permutations(routes):
        made = table("api", **{name: routes[name] for name in order})
        assert {path: target(made, path) for path in answers} == answers


def test_the_order_of_names_is_ordinal_ignoring_case():
    """`-` before digits before letters before `_`."""
    assert sorted(["a_b", "ab", "A1", "a-b", "B", "a"], key=sort_key) == ["a", "a-b", "A1", "ab", "a_b", "B"]


def test_a_method_that_is_not_listed_goes_to_the_next_function():
    """Never 405; None means any, an empty list none; HEAD is not in GET, and case does not matter."""
    routes: RouteTable[str] = RouteTable("api")
    routes.add("some", "x/{id}", ["get", "Post"], "some")
    routes.add("tail", "x/7", ["PUT"], "tail")
    routes.add("zero", "{*rest}", [], "zero")
    methods = {"get": "some", "GET": "some", "PUT": "tail", "HEAD": None, "DELETE": None, "PURGE": None}
    assert {method: target(routes, "/api/x/7", method) for method in methods} == methods
    routes.add("all", "{*rest}", None, "all")
    assert target(routes, "/api/x/7", "PURGE") == "all"


@pytest.mark.parametrize(
    ("prefix", "path", "found"),
    [
        ("api", "/api/x", True),
        ("api", "/API/X", True),
        ("api", "/%61pi/x", True),
        ("api", "/api%2Fx", False),
        ("api", "/apix", False),
        ("api", "/x", False),
        ("api", "/api", False),
        ("api", "/api//x", False),
        ("api", "//api/x", False),
        ("api", "/api/./x", True),
        ("api", "/api/y/%2e%2e/x", True),
        ("api", "*", False),
        ("api", "http://127.0.0.1/api/x", False),
        ("a.b", "/aXb/x", False),
        ("api/v1", "/api/v1/x", True),
        ("{tenant}", "/acme/x", True),
        ("", "/x", True),
        ("", "//x", False),
    ],
)
def test_the_prefix_is_a_part_of_every_template(prefix, path, found):
    """It is joined to the route as it is, parameters and all."""
    assert (target(table(prefix, f="x"), path) is not None) == found


@pytest.mark.parametrize("template", ["admin", "Admin/x", "administrator", "runtime/x", "runtimes", "/admin"])
def test_routes_of_the_host_itself_are_told_by_their_letters(template):
    """That function alone is in error; a parameter in their place is none of them."""
    assert is_reserved(template)
    assert not is_reserved("{admin}/x")
    assert not is_reserved("x/admin")


@pytest.mark.parametrize(
    ("routes", "hidden"),
    [
        ({"a": "p/{x}", "b": "p/lit"}, [("b", "a")]),
        ({"a": "{*r}", "b": "p/{x}"}, [("b", "a")]),
        ({"a": "p/{x?}", "b": "p"}, [("b", "a")]),
        ({"a": "p", "b": "P"}, [("b", "a")]),
        ({"a": "p/{x}", "b": "p/{a}-{b}"}, [("b", "a")]),
        ({"a": "p/{x}", "b": "p/{y?}"}, []),
        ({"a": "p/{x}", "b": "p/{*y}"}, []),
        ({"a": "p/{x:int}", "b": "p/5"}, []),
        ({"a": "p/lit", "b": "p/{x}"}, []),
        ({"a": "p/v{x}", "b": "p/v1"}, []),
        ({"b": "p/{x}", "a": "p/lit"}, []),
    ],
)
def test_a_function_that_no_request_reaches_is_known(routes, hidden):
    """Only where it is sure: constraints and mixed segments are not judged."""
    assert table("api", **routes).hidden() == hidden


def test_methods_may_leave_something_to_the_later_function():
    """It is hidden only if all of its methods are taken."""
    routes: RouteTable[str] = RouteTable("")
    routes.add("a", "{*r}", ["GET"], "a")
    routes.add("b", "x", ["POST"], "b")
    routes.add("c", "y", ["get"], "c")
    routes.add("d", "z", None, "d")
    assert routes.hidden() == [("c", "a")]


# ---- paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("/a%20b", "/a b"),
        ("/a+b", "/a+b"),
        ("/a%2Bb", "/a+b"),
        ("/a%2Fb%2fc", "/a%2Fb%2fc"),
        ("/a%252Fb", "/a%2Fb"),
        ("/%25%35", "/%5"),
        ("/%C3%A9%E2%82%AC", "/é€"),
        ("/%E2%82", "/%E2%82"),
        ("/%FF%41", "/%FFA"),
        ("/%c3%2F%c3%a9", "/%c3%2Fé"),
        ("/%zz%", "/%zz%"),
        ("/a%3Fb%23", "/a?b#"),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e%2e/c", "/c"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/../..", "/"),
        ("/a//b", "/a//b"),
        ("/a/..b/.c", "/a/..b/.c"),
        ("/a/..%2Fb", "/a/..%2Fb"),
    ],
)
def test_a_path_is_decoded_once_as_kestrel_does(raw, decoded):
    """Slashes and what is no UTF-8 stay as they are written; dots are resolved afterwards."""
    assert decoded_path(raw) == decoded


def test_values_are_decoded_with_their_path():
    """What a function gets as its parameter."""
    routes = table("api", val="rval/{x}", zrest="{*rest}")
    for raw, value in [("a%25b", "a%b"), ("a%5Cb", "a\\b"), ("%zz", "%zz"), ("..a", "..a"), ("a%2Fb", "a%2Fb")]:
        assert routes.find("GET", f"/api/rval/{raw}") == ("val", {"x": value})
    assert routes.find("GET", "/api/rval/a/b/") == ("zrest", {"rest": "rval/a/b/"})


def test_capitals_are_those_of_dotnet():
    """Character by character, and none becomes ASCII."""
    assert capitals("straße \u0131 \u017f é") == "STRAßE \u0131 \u017f É"
    assert len(capitals("ŉǰΐ")) == 3


def test_a_table_knows_whether_it_is_empty():
    """Nothing is looked for then."""
    assert not RouteTable("api")
    assert table(f="x")


@pytest.mark.parametrize("template", ["{a}-{b}-{c}-{d}", "{a}.{b?}", "x{a}x", "{a:int}", "{a:double}", "{a:datetime}"])
@pytest.mark.parametrize("letter", ["-", ".", "x", "1", "%20", "%C3", "/", "/.", "1:", ","])
def test_matching_takes_time_in_proportion_to_the_path(template, letter):
    """A path as long as a request line may be, of the characters that templates split at: milliseconds."""
    routes = table("", f=f"files/{template}", g="{*rest}")
    began = time.process_time()
    assert routes.find("GET", "/files/" + letter * (60_000 // len(letter)) + "/x") is not None or "/" in letter
    assert time.process_time() - began < 0.5


def test_a_failed_constraint_is_no_route():
    """Vector D48."""
    routes = table(f="items/{c:alpha}/{id:guid?}")
    assert target(routes, "/api/items/9/x") is None
    assert target(routes, "/api/items/a") == "f"


@given(st.text(max_size=40))
def test_no_path_is_too_strange(path):
    """Whatever a client sends fits or does not."""
    routes = table("api", a="x/{id:int}", b="{name}.{ext}", c="v{a}-{b}/{c?}", d="{a:datetime}", e="files/{*path}")
    found = routes.find("GET", f"/api/{path}")
    assert found is None or isinstance(found[0], str)


@given(st.text(alphabet="{}*?:=()/a1,.-\\~", max_size=20))
def test_no_template_is_too_strange(template):
    """It is a route, or refused with a message."""
    try:
        Route(template)
    except RouteError as exc:
        assert str(exc)
