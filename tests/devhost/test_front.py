"""Group D of the protocol's test vectors: routes, keys, admin endpoints, forward and proxy mode."""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastworker.devhost.app import read_app
from fastworker.devhost.config_error import ConfigError
from fastworker.devhost.front import Router
from tests.devhost.stand import (
    HTTP_IN,
    HTTP_OUT,
    MANUAL,
    QUEUE_IN,
    QUEUE_OUT,
    Answering,
    AppFolder,
    LocalHost,
    answering,
    scripted,
)
from tests.devhost.test_starting import server
from tests.harness import wait_for

HTTP = [HTTP_IN, HTTP_OUT]


def test_no_route_and_wrong_method_are_404(tmp_path: Path) -> None:
    """Vector D49: never 405; and the first function by name wins, however literal the other is."""
    functions: tuple[tuple[str, list[Any]], ...] = (
        ("getter", [{**HTTP_IN, "methods": ["get"], "route": "x/{id}"}, HTTP_OUT]),
        ("literal", [{**HTTP_IN, "route": "x/me"}, HTTP_OUT]),
    )
    with scripted(tmp_path, *functions) as (host, handler):
        assert host.call("POST", "/api/x/1", "").status == 404
        host.says("POST /api/x/1: 404: getter takes GET only")
        assert host.call("GET", "/x/1").status == 404
        host.says("GET /x/1: 404: no function has this route: routes begin with /api/")
        assert host.call("GET", "/api/x/me/too").status == 404
        host.says("GET /api/x/me/too: 404: no function has this route; did you mean /api/x/me?")
        assert host.call("GET", "/API/X/1").status == 204
        assert host.call("GET", "/api/x/me").status == 204
        assert [r.path for r in handler.received] == ["/getter", "/getter"]


def test_route_prefix_may_be_empty(tmp_path: Path) -> None:
    """Section 6.1: and `GET /` is the home page until a function takes it."""
    top = {"extensions": {"http": {"routePrefix": ""}}}
    with scripted(tmp_path, ("f", HTTP), top=top) as (host, _):
        assert host.call("GET", "/f").status == 204
        assert b"up and running" in host.call("GET", "/").body
    with scripted(tmp_path, ("f", HTTP), environ={"AzureWebJobsDisableHomepage": "true"}) as (host, _):
        assert host.call("GET", "/").status == 204


def test_second_function_of_a_route_is_in_error(folder: AppFolder) -> None:
    """Section 6.1: same route and overlapping methods."""
    folder.host("sleep", "1000")
    folder.function("a", {**HTTP_IN, "route": "x", "methods": ["get"]}, HTTP_OUT)
    folder.function("b", {**HTTP_IN, "route": "X"}, HTTP_OUT)
    folder.function("c", {**HTTP_IN, "route": "admin/x"}, HTTP_OUT)
    with LocalHost(folder.root) as host:
        host.says("belongs to 'a'")
        host.says("may not begin with the letters admin or runtime")


def test_one_route_that_cannot_be_parsed_stops_the_whole_app(folder: AppFolder) -> None:
    """As in the host, which then serves nothing: here it is said at once, with file and line."""
    folder.host("sleep", "1000")
    folder.function("good", HTTP_IN, HTTP_OUT)
    folder.function("bad", {**HTTP_IN, "route": "/x"}, HTTP_OUT)
    with pytest.raises(ConfigError, match=r"bad/function.json:\d+: function 'bad': .*empty segment"):
        Router(read_app(folder.root, {}).functions, "api")


def test_keys_are_enforced_with_auth(tmp_path: Path) -> None:
    """Vector D50: header or query; the master key opens everything."""
    functions = (
        ("f", [{**HTTP_IN, "authLevel": "function"}, HTTP_OUT]),
        ("a", [{**HTTP_IN, "authLevel": "admin"}, HTTP_OUT]),
        ("open", HTTP),
    )
    with scripted(tmp_path, *functions, auth=True) as (host, handler):
        keys = host.keys
        reply = host.call("GET", "/api/f")
        assert (reply.status, reply.body) == (401, b"")
        assert host.call("GET", "/api/f", x_functions_key="wrong").status == 401
        assert host.call("GET", "/api/f", x_functions_key=keys.function).status == 204
        assert host.call("GET", f"/api/f?code={keys.function}").status == 204
        assert host.call("GET", f"/api/a?code={keys.function}").status == 401
        assert host.call("GET", f"/api/a?code={keys.master}").status == 204
        assert host.call("GET", "/api/open").status == 204
        assert host.call("GET", "/admin/functions").status == 401
        assert host.call("GET", "/admin/functions", x_functions_key=keys.master).status == 200
        assert host.call("GET", "/admin/host/ping").status == 200
        identity = handler.received[0].envelope["Data"]["req"]["Identities"][0]
        assert identity["AuthenticationType"] == "WebJobsAuthLevel"
        assert identity["Claims"][0]["Value"] == "Function"


def test_everybody_is_let_in_without_auth(tmp_path: Path) -> None:
    """Section 6.1: as `func start` does."""
    with scripted(tmp_path, ("a", [{**HTTP_IN, "authLevel": "admin"}, HTTP_OUT])) as (host, _):
        assert host.call("GET", "/api/a").status == 204


@pytest.mark.parametrize(
    ("trigger", "members"),
    [({**HTTP_IN, "name": "Query"}, {}), (HTTP_IN, {"configurationSource": "attributes"})],
    ids=["E-478 the trigger's name", "E-516 configurationSource"],
)
def test_function_that_cannot_be_indexed_keeps_its_route_and_answers_500(
    tmp_path: Path, trigger: dict[str, Any], members: dict[str, Any]
) -> None:
    """And not 404, as one whose function.json is wrong; the terminal has the reason."""
    with scripted(tmp_path, ("f", [trigger, HTTP_OUT]), members=members) as (host, handler):
        assert (host.call("GET", "/api/f").status, handler.received) == (500, [])
        assert "f in error" in "\n".join(host.console.lines)
        host.says("[f] failed")


def test_blob_input_of_an_illegal_container_fails_each_call(tmp_path: Path) -> None:
    """E-664: the service refuses the name, and so does the embedded store."""
    blob = {"type": "blob", "direction": "in", "name": "bb", "path": "RHE/x.txt"}
    with scripted(tmp_path, ("f", [*HTTP, blob])) as (host, handler):
        assert (host.call("GET", "/api/f").status, handler.received) == (500, [])
        host.says("the container name 'RHE' is illegal")


def test_disabled_function_is_404(tmp_path: Path) -> None:
    """Vector D51: but not for the master key."""
    environ = {"AzureWebJobs.hello.Disabled": "true"}
    with scripted(tmp_path, ("hello", HTTP), environ=environ) as (host, _):
        assert host.call("GET", "/api/hello").status == 404
    with scripted(tmp_path, ("hello", HTTP), environ=environ, auth=True) as (host, _):
        assert host.call("GET", f"/api/hello?code={host.keys.master}").status == 204


def test_admin_call_runs_in_the_background(tmp_path: Path) -> None:
    """Vector D52: 202 at once; the input is the trigger's value."""
    with scripted(tmp_path, ("Q", [{**QUEUE_IN, "queueName": "never"}])) as (host, handler):
        assert host.call("POST", "/admin/functions/Q", '{"input":"hi"}').status == 202
        wait_for(lambda: handler.received, "the call")
        assert handler.received[0].envelope["Data"] == {"item": '"hi"'}
        metadata = handler.received[0].envelope["Metadata"]
        assert (metadata["DequeueCount"], metadata["item"], "Id" in metadata) == ("0", '"hi"', False)


def test_a_warm_up_runs_its_functions_before_the_answer(tmp_path: Path) -> None:
    """As a platform asks a new instance; no key is needed."""
    warm = {"type": "warmupTrigger", "direction": "in", "name": "context"}
    with scripted(tmp_path, ("warm", [warm]), ("hello", HTTP)) as (host, handler):
        assert host.call("GET", "/admin/warmup").status == 200
        assert [call.path for call in handler.received] == ["/warm"]


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("Q", "", "application/json", 400),
        ("Q", "[]", "application/json", 400),
        ("Q", '"x"', "application/json", 400),
        ("Q", "{", "application/json", 400),
        ("Q", '{"input":{"a":1}}', "application/json", 400),
        ("Q", '{"input":["a"]}', "application/json", 400),
        ("Q", '{"input":"x"}', "text/plain", 415),
        ("Q", '{"input":null}', "application/json", 202),
        ("Q", "{}", "application/json", 202),
        ("h", '{"input":"x"}', "application/json", 202),
        ("QQ", '{"input":"x"}', "application/json", 404),
        ("broken", '{"input":"x"}', "application/json", 404),
    ],
)
def test_admin_calls_are_refused_as_by_the_host(quiet: LocalHost, path: str, body: str, kind: str, status: int) -> None:
    """B-315 to B-333, D-841 to D-851: a run that cannot begin fails behind its 202, and the handler is not called."""
    reply = quiet.call("POST", f"/admin/functions/{path}", body, content_type=kind)
    assert (reply.status, reply.body) == (status, b"")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHost]:
    """A host with keys off whose handler is never to be called."""
    queue = ("Q", [{**QUEUE_IN, "queueName": "never"}])
    with scripted(tmp_path_factory.mktemp("quiet"), queue, ("h", HTTP), ("broken", [])) as (host, handler):
        yield host
        assert handler.received == []


KEYS_BY_LEVEL = [
    ("anonymous", ["none", "master", "host", "func", "other", "system", "wrong"]),
    ("function", ["master", "host", "func"]),
    ("admin", ["master"]),
]


def test_each_key_opens_what_it_is_good_for(tmp_path: Path) -> None:
    """D-901 to D-959: a key for each function; a header counts before ?code=, also when it is wrong."""
    functions = [
        (level[:4], [{**HTTP_IN, "authLevel": level, "route": f"r/{level}"}, HTTP_OUT]) for level, _ in KEYS_BY_LEVEL
    ]
    with scripted(tmp_path, *functions, auth=True) as (host, _):
        keys = host.keys
        for level, good in KEYS_BY_LEVEL:
            given = {
                "none": "",
                "master": keys.master,
                "host": keys.function,
                "func": keys.of_function(level[:4]),
                "other": keys.of_function("other"),
                "system": keys.of_system("eventgrid_extension"),
                "wrong": "wrong",
            }
            for name, key in given.items():
                status = 204 if name in good else 401
                assert host.call("GET", f"/api/r/{level}?code={key}").status == status, (level, name)
                assert host.call("GET", f"/api/r/{level}", x_functions_key=key).status == status, (level, name)
        assert host.call("GET", f"/api/r/function?code={keys.master}", x_functions_key="wrong").status == 401
        for path, without_key, with_key in (  # D-801 to D-837
            ("/admin/nope", 404, 404),
            ("/admin/warmup", 200, 200),
            ("/admin/host/ping", 200, 200),
            ("/admin/host/status", 401, 200),
            ("/admin/host/config", 401, 200),
            ("/admin/host/scale/status", 404, 404),
            ("/admin/host/extensionBundle/v1/templates", 401, 404),
            ("/admin/functions", 401, 200),
            ("/admin/functions/func", 401, 200),
            ("/admin/functions/func/status", 401, 200),
            ("/admin/functions/func/state", 404, 404),
        ):
            assert host.call("GET", path).status == without_key, path
            assert host.call("GET", path, x_functions_key=keys.master).status == with_key, path
        for key, known, unknown in (  # G-44, G-56 to G-58, G-63
            ("", 401, 401),
            ("wrong", 401, 401),
            (keys.function, 403, 403),
            (keys.of_system("eventgrid_extension"), 404, 403),
            (keys.master, 404, 404),
        ):
            for extension, status in (("eventgrid", known), ("nope", unknown)):
                reply = host.call("POST", f"/runtime/webhooks/{extension}?functionName=none&code={key}", "[]")
                assert (reply.status, reply.header("WWW-Authenticate")) == (status, "Bearer" if status == 401 else None)
        listed = json.loads(host.call("GET", "/admin/functions/func/keys", x_functions_key=keys.master).body)
        assert listed["keys"] == [{"name": "default", "value": keys.of_function("func")}]


def test_admin_endpoints_describe_host_and_functions(tmp_path: Path) -> None:
    """Section 6.2."""
    with scripted(tmp_path, ("f", HTTP), ("job", [MANUAL])) as (host, _):
        functions = json.loads(host.call("GET", "/admin/functions").body)
        assert [f["name"] for f in functions] == ["f", "job"]
        assert functions[0]["invoke_url_template"] == "https://localhost/api/f"
        assert json.loads(host.call("GET", "/admin/functions/f").body)["invoke_url_template"] == f"{host.url}/api/f"
        assert functions[1]["config"]["bindings"][0]["type"] == "manualTrigger"
        assert json.loads(host.call("GET", "/admin/functions/f/status").body) == {}
        status = json.loads(host.call("GET", "/admin/host/status").body)
        assert (status["state"], status["version"]) == ("Running", "4.1037.0.0")
        config = json.loads(host.call("GET", "/admin/host/config").body)  # D-810
        assert list(config) == ["extensions", "concurrency"]
        assert config["extensions"]["queues"]["visibilityTimeout"] == "00:00:00"


def test_event_grid_webhook_delivers_events(tmp_path: Path) -> None:
    """Section 6.2 and the example of 2.7: a nested object, its data in Metadata."""
    trigger = {"type": "eventGridTrigger", "direction": "in", "name": "event"}
    event = {"id": "e-1", "eventType": "T", "eventTime": "2026-01-02T10:00:00.5Z", "data": {"n": 1}}
    with scripted(tmp_path, ("onevent", [trigger])) as (host, handler):
        path = "/runtime/webhooks/EventGrid?functionName=onevent"
        assert host.call("POST", path, json.dumps([event]), aeg_event_type="Notification").status == 202
        document = handler.received[0].envelope
        assert document["Data"]["event"] == event
        assert document["Metadata"]["data"] == {"n": 1}
        handler.script = lambda _: Answering(500)
        assert host.call("POST", path, json.dumps([event]), aeg_event_type="Notification").status == 500


def test_invoke_endpoint_tells_what_became_of_a_call(tmp_path: Path) -> None:
    """What `fastworker invoke` uses; an envelope is sent on as it is."""
    with scripted(tmp_path, ("work", [MANUAL, QUEUE_OUT])) as (host, handler):
        handler.script = answering({"Outputs": {"out": "hello"}, "Logs": ["a line"]})
        result = json.loads(host.call("POST", "/runtime/webhooks/fastworker/invoke/work", "job text").body)
        assert (result["status"], result["logs"]) == ("succeeded", ["a line"])
        assert result["outputs"] == [{"name": "out", "target": "queue results", "value": "hello"}]
        envelope = b'{"Data":{"job":"[1]"},"Metadata":{}}'
        host.call("POST", "/runtime/webhooks/fastworker/invoke/work?envelope=1", envelope)
        assert handler.received[1].body == envelope


def test_cors_follows_local_settings(folder: AppFolder) -> None:
    """Section 7: `Host.CORS`."""
    server(folder).write("local.settings.json", {"Values": {}, "Host": {"CORS": "http://a.example"}})
    with LocalHost(folder.root) as host:
        good = host.call("GET", "/api/f", Origin="http://a.example")
        assert good.header("Access-Control-Allow-Origin") == "http://a.example"
        assert host.call("GET", "/api/f", Origin="http://b.example").header("Access-Control-Allow-Origin") is None
        asked = {"Origin": "http://a.example", "Access_Control_Request_Method": "PUT"}
        assert host.call("OPTIONS", "/api/f", **asked).header("Access-Control-Allow-Methods") == "PUT"


# ---- forward -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 404, 500])
def test_forwarded_answer_is_passed_through(tmp_path: Path, status: int) -> None:
    """Vector D53: status of any class, several cookies."""
    headers = (("Location", "/other"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Own", "1"))
    with scripted(tmp_path, ("f", HTTP), enableForwardingHttpRequest=True) as (host, handler):
        handler.script = lambda _: Answering(status, b"as it is", headers)
        reply = host.call("GET", "/api/f")
    assert (reply.status, reply.body) == (status, b"as it is")
    assert [v for k, v in reply.headers if k == "Set-Cookie"] == ["a=1", "b=2"]
    assert (reply.header("Location"), reply.header("X-Own")) == ("/other", "1")


def test_http_worker_follows_redirects(tmp_path: Path) -> None:
    """Vector D53."""
    with scripted(tmp_path, ("f", HTTP), section="httpWorker") as (host, handler):

        def script(request: Any) -> Answering:
            if request.path == "/f":
                return Answering(302, b"", (("Location", "/there"),))
            return Answering(200, b"followed")

        handler.script = script
        assert host.call("GET", "/api/f").body == b"followed"


def test_forwarded_request_is_rebuilt_as_the_host_does(tmp_path: Path) -> None:
    """Vector D54 and section 3.1: traps 29 and 31."""
    with scripted(tmp_path, ("f", HTTP), enableForwardingHttpRequest=True) as (host, handler):
        sent = {"X_Azure_Functions_InvocationId": "mine", "User_Agent": "me/1", "Content_Encoding": "gzip"}
        host.call("PUT", "/api/f?a=1&a=2", "body", Host="my.host", Content_Type="text/x", **sent)
        request = handler.received[0]
    assert (request.method, request.path, request.body) == ("PUT", "/api/f?a=1,2", b"body")
    assert request.header("Host") == "my.host"
    assert request.header("User-Agent") == "me/1 Azure-Functions-Host/4.1037.0.0"
    assert request.header("Content-Type") == "text/x"
    assert request.header("Content-Encoding") is None
    ids = [v for k, v in request.headers if k.lower() == "x-azure-functions-invocationid"]
    assert len(ids) == 1
    assert re.fullmatch(r"mine, [0-9a-f-]{36}", ids[0])


def test_chunked_request_cannot_be_forwarded(tmp_path: Path) -> None:
    """Section 3.1: it fails in the host, with 500."""
    with scripted(tmp_path, ("f", HTTP), enableForwardingHttpRequest=True) as (host, handler):
        assert host.call("POST", "/api/f", b"x", Transfer_Encoding="chunked").status == 500
        assert not handler.received


# ---- proxy -------------------------------------------------------------------------------------------------


def test_proxied_request_keeps_path_query_and_chunks(tmp_path: Path) -> None:
    """Section 3.2: headers of the host overwrite the client's."""
    with scripted(tmp_path, ("f", [{**HTTP_IN, "route": "{*all}"}, HTTP_OUT]), enableProxyingHttpRequest=True) as (
        host,
        handler,
    ):
        handler.script = lambda _: Answering(418, b"tea", (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")))
        sent = {"X_Azure_Functions_InvocationId": "mine", "User_Agent": "me/1"}
        reply = host.call("POST", "/api/x%20y?a=1&a=2", b"chunked", Transfer_Encoding="chunked", **sent)
        request = handler.received[0]
    assert (reply.status, reply.body) == (418, b"tea")
    assert [v for k, v in reply.headers if k == "Set-Cookie"] == ["a=1", "b=2"]
    assert (request.path, request.body) == ("/api/x%20y?a=1&a=2", b"chunked")
    assert request.header("Host") == f"127.0.0.1:{handler.port}"
    assert request.header("X-Forwarded-Host") == f"127.0.0.1:{host.port}"
    assert request.header("User-Agent") == "me/1"
    ids = [v for k, v in request.headers if k.lower() == "x-azure-functions-invocationid"]
    assert len(ids) == 1
    assert ids[0] == request.header("x-ms-invocation-id") != "mine"


def test_proxied_answer_is_streamed(folder: AppFolder) -> None:
    """Section 3.2: the first chunk arrives while the handler still has the second one."""
    body = """
        if self.command == "POST":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            self.wfile.write(b"5\\r\\nfirst\\r\\n"); self.wfile.flush()
            while not os.path.exists("go"): time.sleep(0.01)
            self.wfile.write(b"6\\r\\nsecond\\r\\n0\\r\\n\\r\\n"); return
    """
    server(folder, body=body.strip(), enableProxyingHttpRequest=True)
    with LocalHost(folder.root) as host:
        connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
        connection.request("POST", "/api/f", b"x")
        response = connection.getresponse()
        assert response.read(5) == b"first"
        folder.write("go", "")
        assert response.read() == b"second"
        connection.close()


def test_proxied_answer_that_breaks_off_is_cut(folder: AppFolder) -> None:
    """A handler that dies in the middle is no end in good order: the client must see that half is missing."""
    body = """
        if self.command == "POST":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            self.wfile.write(b"5\\r\\nfirst\\r\\n"); self.wfile.flush()
            self.close_connection = True; return
    """
    server(folder, body=body.strip(), enableProxyingHttpRequest=True)
    with LocalHost(folder.root) as host:
        connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
        connection.request("POST", "/api/f", b"x")
        with pytest.raises(http.client.IncompleteRead) as raised:
            connection.getresponse().read()
        assert raised.value.partial == b"first"
        connection.close()
        host.says("the response ended prematurely")


def test_client_of_a_proxied_call_that_goes_away_is_told_to_the_handler(folder: AppFolder) -> None:
    """Its connection ends at once, although nothing is being sent; and nobody blames the handler."""
    body = """
        if self.command == "POST":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            self.wfile.write(b"5\\r\\nfirst\\r\\n"); self.wfile.flush()
            print("the client's end:", self.rfile.read(1), flush=True); return
    """
    server(folder, body=body.strip(), enableProxyingHttpRequest=True)
    with LocalHost(folder.root) as host:
        connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
        connection.request("POST", "/api/f", b"x")
        response = connection.getresponse()
        assert response.read(5) == b"first"
        response.close()
        connection.close()
        host.says("the client's end: b''")
        host.says("the client went away")


def test_call_waits_for_a_handler_that_is_not_ready_yet(folder: AppFolder) -> None:
    """Section 1.5: it is answered as soon as the handler listens."""
    before = "while not os.path.exists('go'): time.sleep(0.01)"
    with LocalHost(server(folder, before=before).root) as host:
        host.says("starting")
        threading.Timer(0.1, folder.write, ("go", "")).start()
        assert host.call("GET", "/api/f").status == 204


@pytest.mark.parametrize(
    ("limits", "statuses"),
    [
        ({"maxOutstandingRequests": 2, "maxConcurrentRequests": 1}, [200, 200, 429]),
        ({"maxConcurrentRequests": 2}, [200, 200, 200]),
        ({"maxOutstandingRequests": 0}, [500, 500, 500]),
        ({"maxConcurrentRequests": -5}, [500, 500, 500]),
    ],
)
def test_limits_of_host_json_hold(tmp_path: Path, limits: dict[str, int], statuses: list[int]) -> None:
    """E-thr-*, E-http-*: who is too many gets 429 at once, and values that make no sense fail every call."""
    top = {"extensions": {"http": {**limits, "customHeaders": {"X-Mine": "a b"}}}}
    go = threading.Event()
    with scripted(tmp_path, ("f", HTTP), top=top) as (host, handler):

        def answer(_: Any) -> Answering:
            go.wait(10)
            return answering({"Outputs": {"res": {"body": "x"}}})(_)

        handler.script = answer
        found: list[Any] = []
        threads = []
        for count in range(1, len(statuses) + 1):
            threads.append(threading.Thread(target=lambda: found.append(host.call("GET", "/api/f"))))
            threads[-1].start()
            let_in, refused = min(count, statuses.count(200)), max(count - statuses.count(200), 0)
            wait_for(
                lambda n=let_in, m=refused: host.app.outstanding >= n and len(found) >= m, "the request to be there", 5
            )
        go.set()
        for thread in threads:
            thread.join()
        assert sorted(reply.status for reply in found) == statuses
        assert {dict(reply.headers)["X-Mine"] for reply in found} == {"a b"}


def test_functions_that_host_json_leaves_out_are_listed_and_not_served(tmp_path: Path) -> None:
    """B-493."""
    with scripted(tmp_path, ("f", HTTP), ("g", HTTP), top={"functions": ["F"]}) as (host, _):
        assert [host.call("GET", f"/api/{name}").status for name in "fg"] == [204, 404]
        assert [f["name"] for f in json.loads(host.call("GET", "/admin/functions").body)] == ["f", "g"]


def test_a_prefix_like_the_hosts_own_paths_leads_to_functions(tmp_path: Path) -> None:
    """E-prefix-admin."""
    top = {"extensions": {"http": {"routePrefix": "admin"}}}
    with scripted(tmp_path, ("f", HTTP), top=top) as (host, _):
        assert host.call("GET", "/admin/f").status == 204
        assert host.call("GET", "/admin/host/ping").status == 200
