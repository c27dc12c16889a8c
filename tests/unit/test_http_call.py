"""devhost/http_call.py: what `fastworker invoke` says of a request becomes the host's, or is refused with why."""

import pytest

from fastworker.commands.invoke import InvokeError, _call_of, build_parser
from fastworker.devhost.functions import Binding, Function
from fastworker.devhost.http_call import HttpCall, HttpCallError
from fastworker.hostrules.envelope import HttpRequest, TriggerData

BASE = "http://localhost:7071/api"


def function(route: str, methods: list[str] | None = None) -> Function:
    properties = {"route": route} if methods is None else {"route": route, "methods": methods}
    return Function("item", bindings=(Binding("httpTrigger", "in", "req", "", "", properties),))


def request_of(call: HttpCall, route: str, methods: list[str] | None = None) -> HttpRequest:
    before = TriggerData(HttpRequest("GET", "", (("Host", "localhost"), ("Content-Type", "text/plain")), {}, b"x"))
    request = call.on(function(route, methods), before, BASE).request
    assert request is not None
    return request


def test_a_call_has_its_address_query_headers_and_parameters() -> None:
    """As the client would have written them; a header that is given takes the place of the one that is made up."""
    call = HttpCall("post", (("a", "1 2"), ("a", "&")), (("content-type", "x/y"),), (("id", "7"), ("rest", "b/c d")))
    request = request_of(call, "items/{id:int}/{*rest}", ["get", "post"])
    assert (request.method, request.url) == ("POST", f"{BASE}/items/7/b/c%20d?a=1+2&a=%26")
    assert request.headers == (("Host", "localhost"), ("content-type", "x/y"))
    assert (dict(request.params), request.body) == ({"id": "7", "rest": "b/c d"}, b"x")


def test_what_may_be_left_out_of_a_route_is_left_out() -> None:
    """Optional parameters are absent, defaults are filled in."""
    assert dict(request_of(HttpCall(), "items/{id?}").params) == {"id": None}
    assert request_of(HttpCall(), "items/{id?}").url == f"{BASE}/items"
    assert dict(request_of(HttpCall(), "items/{id=5}").params) == {"id": "5"}
    assert request_of(HttpCall(), "{*rest}").url == f"{BASE}/"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (HttpCall(), "the route 'items/{id:int}' needs 'id': give it by --param id=VALUE"),
        (HttpCall(params=(("id", "x"),)), "id=x does not fit the route 'items/{id:int}': the host would answer 404"),
        (HttpCall(params=(("ids", "1"),)), "no such parameter; did you mean 'id'?"),
        (HttpCall("post", params=(("id", "1"),)), "'item' takes GET, DELETE: the host would answer 404 to POST"),
    ],
)
def test_a_request_that_the_host_would_not_route_is_refused(call: HttpCall, said: str) -> None:
    """With what to give instead."""
    with pytest.raises(HttpCallError) as caught:
        request_of(call, "items/{id:int}", ["GET", "DELETE"])
    assert said in str(caught.value)


def test_a_function_without_http_takes_no_request() -> None:
    """Its value is given by --data; without flags nothing changes."""
    queue = Function("work", bindings=(Binding("queueTrigger", "in", "job", "", "", {}),))
    trigger = TriggerData("text")
    assert HttpCall().on(queue, trigger, BASE) is trigger
    with pytest.raises(HttpCallError, match="are for http functions, and 'work' has a queueTrigger"):
        HttpCall(query=(("a", "1"),)).on(queue, trigger, BASE)


def test_flags_become_a_call() -> None:
    """Repeated ones add up; a whole envelope needs none of them."""
    parse = build_parser().parse_args
    given = parse(["f", "--query", "a=1", "--query", "b=x=y", "-H", "X: a:b", "--param", "id=", "-X", "PUT"])
    assert _call_of(given) == HttpCall("PUT", (("a", "1"), ("b", "x=y")), (("X", "a:b"),), (("id", ""),))
    with pytest.raises(InvokeError, match="do not go with it"):
        _call_of(parse(["f", "--envelope", "x", "--query", "a=1"]))


@pytest.mark.parametrize("words", [["--query", "a"], ["--query", "=1"], ["--header", "X"], ["--param", "id"]])
def test_a_flag_in_another_form_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the form that is expected."""
    with pytest.raises(SystemExit):
        build_parser().parse_args(["f", *words])
    assert "expected NAME" in capsys.readouterr().err
