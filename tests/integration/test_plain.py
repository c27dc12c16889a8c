"""One app in three shapes: what a function's client asks and gets, whether the host packs, forwards or proxies it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import Server
from tests.plain_client import PlainClient
from tests.shapes import APP, SHAPES, Shape

Serve = Callable[..., Server]


@pytest.fixture(scope="module", params=list(SHAPES))
def shape_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(shape_name: str) -> Iterator[Server]:
    with Server("--http-mode", shape_name, cwd=APP, app="function_app.py", workers=1) as server:
        yield server.wait_ready()


@pytest.fixture
def shape(shape_name: str, server: Server) -> Iterator[Any]:
    with SHAPES[shape_name](server.port) as shape:
        yield shape


@pytest.fixture
def is_enveloped(shape_name: str) -> bool:
    return shape_name == "envelope"


# -- what comes ------------------------------------------------------------------------------------------------------


def test_handler_sees_the_request_as_its_client_sent_it(shape: Shape) -> None:
    """Method, path, query, headers, cookies, route parameter and JSON body are the same in every shape."""
    headers = [("x-TEST", "one"), ("Cookie", 'a=1; b="two"'), ("Content-Type", "application/json")]
    reply = shape.ask("PUT", "Describe/%C3%BC%20x?a=1&a=2&empty=", b'{"n": [1]}', headers)
    assert reply.status == 200
    seen = reply.json()
    assert seen.pop("path").startswith("api/Describe/")
    assert seen == {
        "method": "PUT",
        "query": {"a": "1,2", "empty": ""},
        "header": "one",
        "cookies": {"a": "1", "b": "two"},
        "params": {"name": "ü x"},
        "body": {"n": [1]},
        "text": '{"n": [1]}',
    }


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_function_without_methods_takes_any(shape: Shape, method: str) -> None:
    """And no body is None."""
    seen = shape.ask(method, "describe").json()
    assert (seen["method"], seen["params"], seen["body"], seen["text"]) == (method, {}, None, "")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain; charset=utf-8", "Grüße"),
        ("application/xml", "<a/>"),
        ("application/x-www-form-urlencoded", "a=1"),
        ("application/problem+json", {"a": 1}),
    ],
)
def test_body_is_what_its_content_type_says(shape: Shape, content_type: str, body: Any) -> None:
    """JSON is parsed, text is text."""
    sent = "Grüße" if body == "Grüße" else '{"a":1}' if isinstance(body, dict) else body
    assert shape.ask("POST", "describe", sent.encode(), [("Content-Type", content_type)]).json()["body"] == body


def test_parameters_come_as_arguments_by_name_and_type(shape: Shape) -> None:
    """Converted; the default where an optional one was not given."""
    assert shape.ask("GET", "items/books/12").json() == {"category": "books", "id": 12}
    assert shape.ask("GET", "ITEMS/Books").json() == {"category": "Books", "id": 7}


@pytest.mark.parametrize("path", ["items/b00ks/12", "items/books/x", "items/books/1/2", "items", "no-such", ""])
def test_path_that_fits_no_route_is_404(shape: Shape, path: str) -> None:
    """A failed constraint as well as an unknown path."""
    assert shape.ask("GET", path).status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_method_that_is_not_listed_is_404(shape: Shape, method: str) -> None:
    """Never 405: as the host's own routing has it."""
    assert shape.ask(method, "order").status == 404


def test_rest_of_a_path_is_one_argument(shape: Shape) -> None:
    """A catch-all takes slashes; an encoded one stays what it is."""
    assert shape.ask("GET", "files/a/b%20c/d.txt").text == "a/b c/d.txt"
    assert shape.ask("GET", "files/a%2Fb/c").text == "a%2Fb/c"
    assert shape.ask("GET", "files").text == ""


def test_typed_body_is_checked_before_the_handler_runs(shape: Shape) -> None:
    """The right one is converted; a wrong one is the client's 400, saying where and what."""
    reply = shape.ask("POST", "order", b'{"id": 5, "quantity": 4}', [("Content-Type", "application/json")])
    assert (reply.status, reply.json()) == (201, {"id": 5, "total": 8})
    for wrong in (b'{"id": "five"}', b"{", b"", b"\xff"):
        reply = shape.ask("POST", "order", wrong, [("Content-Type", "application/json")])
        assert reply.status == 400
        assert (reply.header("content-type") or "").startswith("application/problem+json")
        assert reply.json()["detail"].startswith("body")


def test_forms_of_both_kinds_are_read(shape: Shape) -> None:
    """Url-encoded and multipart, the latter with a file of bytes."""
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    assert shape.ask("POST", "form", b"a=1&b=%C3%BC", [kind]).json() == {"fields": {"a": "1", "b": "ü"}, "files": {}}
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="f.bin"\r\n\r\n\x00\xff\r\n--xyz--\r\n'
    )
    reply = shape.ask("POST", "form", body, [("Content-Type", "multipart/form-data; boundary=xyz")])
    assert reply.json() == {"fields": {"a": "1"}, "files": {"f": [2]}}


# -- what goes -------------------------------------------------------------------------------------------------------


def test_text_headers_and_a_cookie_arrive(shape: Shape) -> None:
    """What a Response says."""
    reply = shape.ask("GET", "text")
    assert (reply.status, reply.text) == (200, "Grüße")
    assert reply.header("content-type") == "text/plain; charset=utf-8"
    assert (reply.header("x-one"), reply.header("set-cookie")) == ("1", "a=1")


def test_nothing_is_204(shape: Shape) -> None:
    """And has no body."""
    reply = shape.ask("GET", "nothing")
    assert (reply.status, reply.body) == (204, b"")


def test_redirect_has_its_place_encoded(shape: Shape) -> None:
    """302 with a Location that any client can read."""
    reply = shape.ask("GET", "moved")
    assert (reply.status, reply.header("location")) == (302, "/api/text?x=%C3%BC")


def test_file_is_its_content(shape: Shape) -> None:
    """Byte for byte, with its type."""
    reply = shape.ask("GET", "source")
    assert reply.body == (APP / "function_app.py").read_bytes()
    assert reply.header("content-type") == "text/plain; charset=utf-8"


@pytest.mark.parametrize("name", ["fails", "lost-file"])
def test_failing_handler_is_500_and_says_nothing_to_the_client(
    shape: Shape, server: Server, is_enveloped: bool, name: str
) -> None:
    """What the exception says is in the log, under the function's name."""
    reply = shape.ask("GET", name)
    assert reply.status == 500
    if not is_enveloped:  # there the answer is the host's to read, and not the client's
        assert "12345" not in reply.text
        assert "is-not-there" not in reply.text
        assert reply.json()["invocationId"]
    assert shape.ask("GET", "worker").status == 200


def test_value_that_would_end_its_line_is_refused(shape: Shape) -> None:
    """Header injection: a 500 without the header; the handler's log tells."""
    for value in ("a%0D%0AX-Evil2:%20b", "a%0Ab", "a%00b"):
        reply = shape.ask("GET", f"inject?value={value}")
        assert reply.status == 500
        assert reply.header("x-evil") is None
        assert reply.header("x-evil2") is None
    assert shape.ask("GET", "inject?value=good").header("x-evil") == "good"


def test_stream_arrives_whole(shape: Shape) -> None:
    """Sync and async iterators, joined where the shape has no streams."""
    for path in ("count?items=3", "count-async?items=3"):
        reply = shape.ask("GET", path)
        assert (reply.status, reply.body) == (200, b'{"n":0}\n{"n":1}\n{"n":2}\n')
        assert (reply.header("content-type") or "").startswith("application/x-ndjson")
        assert shape.ask("GET", path.replace("3", "0")).body == b""
    assert shape.ask("GET", "array?items=2").body == b'[{"n":0},{"n":1}]'
    assert shape.ask("GET", "array?items=0").body == b"[]"
    events = b'data: {"n":1}\n\ndata: {"n":2}\n\n'
    assert shape.ask("GET", "events-sync").body == events
    assert shape.ask("GET", "pieces?items=2&size=3").body == b"xxxxxx"


def test_upload_arrives_whole(shape: Shape) -> None:
    """A handler that reads its request's stream gets all of it in every shape."""
    body = bytes(range(256)) * 1000
    kind = [("Content-Type", "application/octet-stream")]
    for path in ("upload", "upload-sync", "upload-whole"):
        assert shape.ask("POST", path, body, kind).json()["total"] == len(body)
    assert shape.ask("POST", "upload", b"", kind).json()["total"] == 0


def test_connection_stays_behind_every_kind_of_answer(shape: Shape) -> None:
    """Twenty requests, one connection."""
    paths = ["text", "nothing", "count", "fails", "no-such", "moved", "source", "array", "items/a/x", "pieces"]
    for path in paths * 2:
        shape.ask("GET", path)
        assert not shape.connection.closes, path
        assert shape.connection.quiet, path


# -- what an envelope cannot carry -----------------------------------------------------------------------------------


def test_bytes_and_two_cookies_arrive_or_the_way_out_is_named(shape: Shape, server: Server, is_enveloped: bool) -> None:
    """In an envelope an error in the log, and no silent damage."""
    binary, cookies = shape.ask("GET", "binary"), shape.ask("GET", "cookies")
    if is_enveloped:
        for reply in (binary, cookies):
            assert reply.status == 500
            assert "enableForwardingHttpRequest" in reply.json()["detail"]
    else:
        assert (binary.status, binary.body) == (200, bytes(range(256)))
        assert binary.header("content-type") == "image/png"
        assert cookies.header_list("set-cookie") == ["a=1", "b=2"]


def test_binary_body_comes_undamaged_or_is_the_hosts_to_damage(shape: Shape, is_enveloped: bool) -> None:
    """An octet-stream in every shape; what the host decodes as text on its way into an envelope is lost there."""
    data = bytes(range(256))
    reply = shape.ask("POST", "length", data, [("Content-Type", "application/octet-stream")])
    assert reply.json() == {"length": 256}
    if not is_enveloped:
        assert shape.ask("POST", "echo", data, [("Content-Type", "image/png")]).body == data


# -- which shape, and where ------------------------------------------------------------------------------------------

FOLDER_APP = """
import fastworker as fw

app = fw.App()

@app.route("{*rest}", auth_level="anonymous")
def everything(req: fw.Request, rest: str = "") -> str:
    return f"{req.method} {rest}"

@app.queue_trigger("job", queue_name="jobs")
@app.queue_output("$return", queue_name="done")
def work(job: str) -> str:
    return job
"""


@pytest.fixture
def folder_app(tmp_path: Any, serve: Serve) -> Callable[..., PlainClient]:
    """Serves FOLDER_APP under a host.json, and gives a client of it."""

    def start(host_json: str, *arguments: str) -> PlainClient:
        (tmp_path / "function_app.py").write_text(FOLDER_APP)
        (tmp_path / "host.json").write_text(host_json)
        return PlainClient(serve(*arguments, cwd=tmp_path, app="function_app.py", workers=1).port)

    return start


def test_http_worker_forwards_to_the_functions_name(folder_app: Callable[..., PlainClient]) -> None:
    """Any method; the client's path is gone, and so the route's parameter has its default. The name is the host's."""
    with folder_app('{"version": "2.0", "httpWorker": {"description": {"defaultExecutablePath": "x"}}}') as client:
        assert client.get("/everything?a=1").text == "GET "
        assert client.request("DELETE", "/everything").text == "DELETE "
        assert client.get("/Everything").status == 404
        assert client.get("/api/everything").status == 404


def test_ready_although_a_route_takes_everything(folder_app: Callable[..., PlainClient]) -> None:
    """The host's GET / has no invocation id, which tells it from a client's."""
    with folder_app('{"version": "2.0", "configurationProfile": "web-app-custom-handler"}') as client:
        assert client.get("/").json() == {"status": "ready"}
        with_id = [("X-Azure-Functions-InvocationId", "id-1")]
        assert client.get("/", with_id).text == "GET "
        assert client.get("/a/b").text == "GET a/b"
        assert client.request("POST", "/", b"x").text == "POST "


def test_client_cannot_pass_for_the_host(folder_app: Callable[..., PlainClient]) -> None:
    """Without a prefix a client's path may be a function's name: what was proxied is never taken for an envelope."""
    with folder_app('{"version": "2.0", "configurationProfile": "web-app-custom-handler"}') as client:
        body = b'{"Data": {"job": "\\"mine\\""}, "Metadata": {}}'
        assert "ReturnValue" in client.request("POST", "/work", body, chunked=True).json()
        assert client.request("POST", "/work", body).text == "POST work"
        proxied = [("X-Forwarded-Host", "app.example")]
        assert client.request("POST", "/work", body, proxied).text == "POST work"
        assert client.request("GET", "/work", None, proxied).text == "GET work"
        assert client.request("PUT", "/work", b"x").text == "PUT work"


def test_flag_overrides_host_json(folder_app: Callable[..., PlainClient]) -> None:
    """Both ways: proxied although the file says envelope, and the name is no path then."""
    with folder_app('{"version": "2.0", "customHandler": {}}', "--http-mode", "forward") as client:
        assert client.get("/api/a").text == "GET a"
        assert client.get("/everything").status == 404


def test_flag_asks_for_envelopes_again(folder_app: Callable[..., PlainClient]) -> None:
    """A plain request is at the wrong door then."""
    proxying = '{"version": "2.0", "customHandler": {"enableProxyingHttpRequest": true}}'
    with folder_app(proxying, "--http-mode", "envelope") as client:
        assert client.get("/api/a").status == 404
        assert client.get("/everything").status == 405
