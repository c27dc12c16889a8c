"""choice.py and mixed_auth.py: whatever a client sends, nobody runs a function that the host has not let them run."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastworker.errors import MixedAuthError
from fastworker.functions.choice import Choice
from fastworker.functions.http_routes import HttpRoute
from fastworker.functions.mixed_auth import LEVELS, check_levels, may_not_redirect, reachable
from fastworker.protocol.http_request import Request
from fastworker.protocol.routing import decoded_path
from tests.unit.forwarding_host import ID, Client, ForwardingHost, Mode, written_anew

# A minute's worth was run once (20,000); each run of the suite tries others.
EXAMPLES = 400
MODES = (
    Mode("envelope", None),
    Mode("forward"),
    Mode("forward", route_prefix=""),
    Mode("forward", core_tools=True, route_prefix=""),
    Mode("forward", "httpWorker"),
    Mode("proxy", route_prefix=""),
    Mode("proxy", core_tools=True),
    Mode("proxy", knows_proxying=False, route_prefix=""),
)


def route(name: str, template: str, level: str = "anonymous", methods: tuple[str, ...] | None = None, **more):
    """An http function, plain and served unless `more` says otherwise."""
    return HttpRoute(name, template, methods, level, more.pop("is_plain", True), f"app.py:{len(name)}", **more)


def choice_of(mode: Mode, routes: list[HttpRoute], *others: str) -> Choice[str | None]:
    """A choice whose targets are the names; `others` are functions without http."""
    names = [*(one.name for one in routes if one.is_served), *others]
    return Choice(mode, routes, {name: name for name in names}, None, mode)


@pytest.mark.parametrize(
    ("client", "sent"),
    [
        ("/v/a%2Fb", "/v/a%2Fb"),
        ("/v/a+b", "/v/a+b"),
        ("/v/a%20b", "/v/a%20b"),
        ("/v/a%2520b", "/v/a%20b"),
        ("/v/a%25b", "/v/a%25b"),
        ("/v/%C3%A9", "/v/%C3%A9"),
        ("/v/a%3Fb", "/v/a"),
        ("/v/a%23b", "/v/a"),
        ("/v/%E2%82", "/v/%E2%82"),
        ("/v/a%5Cb", "/v/a/b"),
        ("/v/a//b/", "/v/a//b/"),
        ("/v/x/../a", "/v/a"),
        ("/v/{x}", "/v/%7Bx%7D"),
        ("/v/a%zz", "/v/a%25zz"),
        ("/v/a%7Eb%2Dc", "/v/a~b-c"),
        ("/open/..%5Csecret", "/secret"),
        ("/api/open/%5C..%5C..%5Csecret", "/api/secret"),
        ("/files/%252e%252e/secret", "/secret"),
        ("/open/%252e%252e%252fsecret", "/open/..%2fsecret"),
        ("/open/..%5Csecret%3F", "/secret"),
    ],
)
def test_the_model_of_the_host_writes_paths_as_the_host_was_recorded(client, sent):
    """What the property below rests on (fwd-paths, pathconfusion-echo)."""
    assert written_anew(decoded_path(client)) == sent


# ---- the property ------------------------------------------------------------------------------------------

# Templates and pieces of paths as in the recordings, so that routes meet and paths are mistaken for each other.
TEMPLATES = (
    *("p/{x}", "p/secret", "p/{n:int}", "p/{*r}", "{*rest}", "secret", "open/{x}", "files/{*r}", "items/{id}"),
    *("items/admin", "zsecret/{id}", "x/{a}-{b}", "v{n:int}", "p/{x?}", "work", "b-1", "files/{name}.{ext?}", "p/5"),
    *("p/{n:double}", "p/{d:datetime}", "{a:alpha}/secret", "p/{g:guid}", "p/{s:regex(^[a-z%]+$)}", "p/{s:length(1)}"),
)
NAMES = ("a", "B", "work", "b-1", "secret", "zz_9")
PIECES = (
    *(
        "p",
        "secret",
        "5",
        "items",
        "admin",
        "open",
        "files",
        "work",
        "b-1",
        "x",
        "api",
        "a-b",
        "..",
        ".",
        "%20",
        "5%20",
    ),
    *("/", "/", "/", "%5C", "..%5C", "%5C..%5C..%5C", "\\..\\", "%252e%252e/", "%2e%2e/", "%3F", "%23x", "%25", "%2F"),
    *("1.5", "12:30", "NaN", "%09", "//", "%C3%A9", "%FF", "%2500", "%255C", "%253F"),
)
FORGED = (
    (b"X-Azure-Functions-InvocationId", ID),
    (b"X-Azure-Functions-HostVersion", b"4.1037.0.0"),
    (b"User-Agent", b"Azure-Functions-Host/4.1037.0.0"),
    (b"Host", b"127.0.0.1:4711"),
    (b"Content-Type", b"application/json; charset=utf-8"),
    (b"X-Forwarded-Host", b"x"),
    (b"x-ms-invocation-id", b"x"),
    (b"Transfer_Encoding", b"chunked"),
)


@st.composite
def apps(draw):
    """A mode, and http functions; those whose name is not taken are there without http."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique_by=str.lower))
    routes = [
        route(
            name,
            draw(st.sampled_from(TEMPLATES)),
            draw(st.sampled_from(["anonymous", "function", "admin"])),
            draw(st.sampled_from([None, None, ("get",), ("POST",), ()])),
            is_plain=draw(st.integers(0, 3)) > 0,
            is_served=draw(st.integers(0, 5)) > 0,
        )
        for name in names
    ]
    mode = draw(st.sampled_from(MODES))
    if draw(st.integers(0, 4)) == 0:
        mode = mode._replace(disabled=frozenset({draw(st.sampled_from(names)).lower()}))
    return mode, routes


@st.composite
def clients(draw):
    pieces = draw(st.lists(st.sampled_from(PIECES), max_size=8))
    prefix = draw(st.sampled_from(["/api/", "/api/", "/"]))
    name = draw(st.sampled_from((*NAMES, None, None)))  # as an envelope's path would be
    return Client(
        draw(st.sampled_from(["GET", "POST", "POST", "PUT", "get"])),
        prefix + "".join(pieces) if name is None else f"/{name}",
        draw(st.lists(st.sampled_from(FORGED), max_size=6)),
        draw(st.sampled_from([b"", b'{"Data": {}, "Metadata": {}}'])),
        draw(st.booleans()),
        draw(st.sampled_from(["anonymous", "function", "admin"])),
    )


def is_refused(mode: Mode, routes: list[HttpRoute]) -> bool:
    try:
        check_levels(routes, mode, "host.json", "refuse")
    except MixedAuthError:
        return True
    return False


@settings(max_examples=EXAMPLES, deadline=None)
@given(apps(), st.lists(clients(), min_size=1, max_size=6))
@example((Mode("forward"), [route("a", "p/{x}"), route("B", "p/secret", "admin")]), [Client("GET", "/api/p/secret")])
@example(
    (Mode("forward"), [route("a", "open/{x}"), route("secret", "secret", "admin")]),
    [Client("GET", "/api/open/..%5Csecret"), Client("GET", "/api/open/secret%3F")],
)
@example(
    (Mode("forward", route_prefix=""), [route("a", "{*rest}")]), [Client("POST", "/work", FORGED[:5], b'{"Data": {}}')]
)
def test_nobody_runs_what_the_host_has_not_let_them_run(app, requests):
    """Of an app that serve does not refuse: an envelope runs the host's choice, a client's request never a function
    without http, one that is disabled, or one that needs more than the host has asked for; and where the path is not
    written anew, nothing but the host's choice."""
    mode, routes = app
    if is_refused(mode, routes):
        return
    by_name = {one.name: one for one in routes}
    choice = choice_of(mode, routes, *(name for name in NAMES if name not in by_name))
    host = ForwardingHost(mode, routes)
    for client in requests:
        sent = host.send(client)
        if sent is None:
            continue
        chosen, request = sent
        target, params = choice.of(request)
        is_envelope = request.headers == host.envelope(chosen.name).headers
        if is_envelope and request.target == b"/" + chosen.name.encode():
            assert (target, params) == (chosen.name if chosen.is_served else None, None)
            continue
        if target is None:
            continue
        assert params is not None, "taken for an envelope"
        assert target in by_name, "a function without http"
        assert LEVELS[by_name[target].level] <= LEVELS[chosen.level], "its key was not asked for"
        assert by_name[target].is_plain and by_name[target].is_served
        if mode.forwards_by_name:
            assert target == chosen.name
        else:
            assert target.lower() not in mode.disabled
        if mode.http_mode == "proxy" or written_anew(decoded_path(client.path)) == client.path:
            assert target == chosen.name


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(apps(), clients())
def test_what_the_host_chooses_runs_if_its_path_is_not_written_anew(app, client):
    """The other half: safe apps lose nothing, in any mode."""
    mode, routes = app
    sent = ForwardingHost(mode, routes).send(client)
    if sent is None or not sent[0].is_served or sent[0].name.lower() in mode.disabled:
        return
    chosen, request = sent
    if mode.http_mode == "forward" and request.target.decode() not in (client.path, f"/{chosen.name}"):
        return
    assert choice_of(mode, routes).of(request)[0] == chosen.name


# ---- envelopes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["plain", "both", "work"])
def test_envelopes_are_served_in_every_mode(mode, name):
    """Also for a function that would get plain HTTP from a host that knows the switch."""
    routes = [route("plain", "x/{id}"), route("both", "y", is_plain=False)]
    request = ForwardingHost(mode, routes).envelope(name)
    assert choice_of(mode, routes, "work").of(request) == (name, None)


def test_the_hosts_own_question_is_no_clients():
    """`GET /` without an invocation id, though a route takes everything."""
    mode = Mode("forward", route_prefix="")
    choice = choice_of(mode, [route("all", "{*r}")])
    assert choice.of(Request(b"GET", b"/", [], b"", True, b"", None)) == (None, None)
    assert choice.of(Request(b"GET", b"/", [], b"", True, ID, None)) == ("all", {"r": None})


def test_a_mode_that_a_flag_sets_trusts_no_path():
    """host.json may say otherwise, and the host goes by that: a client's POST to a function's name is no envelope."""
    mode = Mode("envelope", "--http-mode", route_prefix="")
    choice = choice_of(mode, [route("all", "{*r}")], "work")
    forged = Request(b"POST", b"/work", [(b"Content-Length", b"2"), (b"Content-Type", b"x")], b"{}", True, ID, None)
    assert choice.of(forged) == (None, None)
    assert choice.of(ForwardingHost(mode, []).envelope("work")) == ("work", None)
    assert choice.of(Request(b"GET", b"/work", [], b"", True, ID, None)) == ("work", None)  # 405
    assert choice.of(Request(b"GET", b"/x", [], b"", True, ID, None)) == (None, None)


def test_a_redirection_that_the_host_follows_reaches_nothing_stronger():
    """Under httpWorker the host follows a handler's redirections to any name: POSTs keep their body by 307."""
    routes = [route("open", "x"), route("mine", "y", "function"), route("both", "z", "admin", is_plain=False)]
    choice = choice_of(Mode("forward", "httpWorker"), routes, "work")
    followed = Request(b"POST", b"/work", [(b"Content-Length", b"2"), (b"Content-Type", b"x")], b"{}", True, ID, None)
    assert choice.of(followed) == (None, None)
    assert choice.of(Request(b"GET", b"/both", [], b"", True, ID, None)) == (None, None)
    assert may_not_redirect(routes) == {"open"}
    assert may_not_redirect(routes[1:]) == frozenset()


def test_by_hand_an_envelope_needs_no_framing():
    """No host stands before the server then, and nobody asks for keys: curl will do."""
    mode = Mode("forward", route_prefix="", under_host=False)
    choice = choice_of(mode, [route("all", "{*r}")], "work")
    by_hand = Request(b"POST", b"/work", [(b"Content-Length", b"2")], b"{}", True, b"", None)
    assert choice.of(by_hand) == ("work", None)
    assert choice.of(Request(b"POST", b"/all", [(b"Content-Length", b"2")], b"{}", True, b"", None))[1] == {"r": "all"}


def test_routes_without_parameters_are_found_at_once_as_the_table_finds_them():
    """The first by name, and with the query behind."""
    choice = choice_of(Mode("forward"), [route("b", "x/y"), route("a", "{p}/y", methods=("get",)), route("c", "x")])
    assert choice.plain(b"GET", b"/api/x/y?q=1") == ("a", {"p": "x"})
    assert choice.plain(b"POST", b"/api/x/y?q=1") == ("b", {})
    assert choice.plain(b"PURGE", b"/API/X/Y") == ("b", {})
    assert choice.plain(b"GET", b"/api/x") == ("c", {})
    assert (b"GET", b"/api/x/y") not in choice._known


def test_a_function_that_the_app_lacks_takes_its_requests_all_the_same():
    """The host chooses it; the next one by name must not run in its place."""
    choice = choice_of(Mode("forward"), [route("a", "{*r}", is_served=False), route("b", "x")])
    assert choice.plain(b"GET", b"/api/x") == (None, None)


# ---- who reaches whom --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weaker", "protected", "reaches"),
    [
        (route("a", "open/{x}"), route("s", "secret", "admin"), True),
        (route("a", "files/{*r}"), route("s", "secret", "function"), True),
        (route("a", "{n}.html"), route("s", "secret", "admin"), True),
        (route("a", "x/{s:length(1)}"), route("s", "secret", "admin"), True),
        (route("a", "x/{s:regex(^y$)}"), route("s", "secret", "admin"), True),
        (route("a", "x/{d:datetime}"), route("s", "secret", "admin"), True),
        (route("a", "open/{x}", "function"), route("s", "secret", "admin"), True),
        (route("a", "a%2Fb"), route("s", "secret", "admin"), True),
        (route("a", "a#b"), route("s", "secret", "admin"), True),
        (route("a", "x\\y"), route("s", "secret", "admin"), True),
        (route("a", "open"), route("s", "secret", "admin"), False),
        (route("a", "größe/a b"), route("s", "{*r}", "admin"), False),
        (route("a", "x/{n:int}"), route("s", "secret", "admin"), False),
        (route("a", "x/{n:int}"), route("s", "x/{y}", "admin"), False),
        (route("z", "x/{n:int}"), route("s", "x/{y}", "admin"), True),
        (route("a", "x/{n:double}"), route("s", "x/{y}", "admin"), True),
        (route("a", "x/{n:double}"), route("s", "y/{y}", "admin"), False),
        (route("a", "open/{x}", methods=("get",)), route("s", "secret", "admin", ("POST",)), False),
        (route("a", "open/{x}", methods=("get",)), route("s", "secret", "admin", ("GET", "POST")), True),
        (route("a", "{httpMethod?}", methods=("get",)), route("s", "secret", "admin", ("POST",)), True),
        (route("a", "open/{x}", "admin"), route("s", "secret", "function"), False),
        (route("a", "open/{x}", "function"), route("s", "secret", "function"), False),
        (route("a", "open/{x}", is_plain=False), route("s", "secret", "admin"), False),
        (route("a", "open/{x}"), route("s", "secret", "admin", is_plain=False), False),
        (route("a", "open/{x}", is_served=False), route("s", "secret", "admin"), True),
        (route("a", "open/{x}"), route("s", "secret", "admin", is_served=False), False),
        (route("a", "", is_known=False, is_served=False), route("s", "secret", "admin"), True),
        (route("a", "open/{x}", "0"), route("s", "secret", "4"), True),
    ],
)
def test_who_may_be_run_through_whom(weaker, protected, reaches):
    """A parameter that takes anything leads anywhere; a path that comes out as itself leads nowhere else."""
    assert bool(reachable([weaker, protected], "api")) == reaches


def test_such_an_app_is_refused_with_a_table_and_the_ways_out():
    """Exit code 3; the last line names both functions, for the host shows the last lines."""
    routes = [route("apar", "p/{x}"), route("blit", "p/secret", "admin")]
    with pytest.raises(MixedAuthError) as caught:
        check_levels(routes, Mode("forward"), "host.json", "refuse")
    text = str(caught.value)
    assert caught.value.exit_code == 3
    assert "blit (admin, app.py:4) through apar (anonymous, api/p/{x})" in text
    for way in ("one auth_level", "second output binding", "httpWorker", "remove customHandler.", "MIXED_AUTH=allow"):
        assert way in text
    assert "'blit'" in text.splitlines()[-1] and "'apar'" in text.splitlines()[-1]


def test_http_worker_is_no_way_out_for_handlers_that_need_their_parameters():
    """They never arrive there."""
    routes = [route("a", "p/{x}", needs_parameters=True), route("b", "s", "admin")]
    with pytest.raises(MixedAuthError) as caught:
        check_levels(routes, Mode("forward"), "host.json", "refuse")
    assert "httpWorker" not in str(caught.value)


def test_such_an_app_may_be_allowed_with_a_word():
    """By the setting; or by hand, where nobody asks for keys anyway."""
    routes = [route("a", "p/{x}"), route("b", "s", "admin")]
    assert "allow lets it" in check_levels(routes, Mode("forward"), "host.json", "allow")[0]
    assert "under a host" in check_levels(routes, Mode("forward"), "host.json", "warn")[0]
    for mode in (Mode("envelope", None), Mode("forward", "httpWorker")):
        assert check_levels(routes, mode, "host.json", "refuse") == []
