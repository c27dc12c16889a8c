"""Arguments of http handlers: route parameters by name and type, in both shapes, and what is wrong with them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

import fastworker as fw
from fastworker.config.host_json import HttpMode
from fastworker.functions.build import Function
from fastworker.functions.loaded_app import assemble
from fastworker.protocol.http_request import Request as HttpRequest
from fastworker.protocol.messages import ClientError
from fastworker.protocol.plain_http import PlainRequest
from fastworker.testing import TestClient


class Order(msgspec.Struct):
    id: int


def make(folder: Path, route: str, handler: Any, http_mode: HttpMode = "proxy") -> tuple[Function | None, list[str]]:
    """The function of a handler under a route, and what is wrong with it."""
    app = fw.App()
    app.function("f")(app.route(route)(handler))
    functions, _, problems, _ = assemble(app, folder, http_mode)
    return functions.get("f"), problems


def arguments(function: Function | None, body: bytes = b"", **params: str | None) -> dict[str, Any]:
    """What the handler is called with, but for the request itself."""
    assert function is not None
    request: PlainRequest[Any] = PlainRequest(HttpRequest(b"POST", b"/api/x", [], body, True, b"", None), params)
    return {name: read(request) for name, read in function.http_arguments}


def test_parameters_come_by_name_and_type(tmp_path):
    """Text where no type is asked for; the request itself need not be."""

    def handler(req, id: int, kind: str, rate: float, flag: bool, rest, many: int | None) -> None: ...  # noqa: A002

    function, problems = make(tmp_path, "{kind}/{id:int}/{rate}/{flag}/{many}/{*rest}", handler)
    assert problems == []
    given = arguments(function, kind="a", id="7", rate="1.5", flag="true", many="3", rest="x/y")
    assert isinstance(given.pop("req"), fw.Request)
    assert given == {"id": 7, "kind": "a", "rate": 1.5, "flag": True, "rest": "x/y", "many": 3}


def test_a_parameter_that_was_not_given_is_its_default(tmp_path):
    """Optional in the route, with a default in the handler; any value, unconverted."""

    def handler(req: fw.Request, id: int | None = None, name: str = "nobody") -> None: ...  # noqa: A002

    function, problems = make(tmp_path, "x/{id?}/{name?}", handler)
    assert problems == []
    given = arguments(function, id=None, name=None)
    assert (given["id"], given["name"]) == (None, "nobody")


def test_a_parameter_without_default_is_the_clients_to_give(tmp_path):
    """400, naming it and what was expected."""

    def handler(req: fw.Request, id: int) -> None: ...  # noqa: A002

    function, _ = make(tmp_path, "x/{id?}", handler)
    with pytest.raises(ClientError, match="route parameter 'id': expected int, got nothing"):
        arguments(function, id=None)
    with pytest.raises(ClientError, match=r"route parameter 'id': .*int"):
        arguments(function, id="seven")


def test_a_default_of_the_route_is_a_value(tmp_path):
    """It comes as if the client had given it."""

    def handler(req: fw.Request, id: int) -> int:  # noqa: A002
        return id

    function, problems = make(tmp_path, "x/{id=5}", handler)
    assert problems == []
    assert arguments(function, id="5")["id"] == 5


def test_an_argument_that_no_route_has_is_a_mistake(tmp_path):
    """Found at start-up, in every shape."""

    def handler(req: fw.Request, identity: int) -> None: ...

    for shape in ("envelope", "forward", "proxy"):
        function, [problem] = make(tmp_path, "x/{id}", handler, shape)
        assert function is None
        assert "argument 'identity' has no binding" in problem


def test_a_type_that_nothing_converts_to_is_a_mistake(tmp_path):
    """Named with its argument."""

    def handler(req: fw.Request, id: type(lambda: 0)) -> None: ...  # type: ignore[valid-type]  # noqa: A002

    _, [problem] = make(tmp_path, "x/{id}", handler)
    assert "argument 'id' (a route parameter" in problem


def test_a_route_that_cannot_be_understood_is_a_mistake(tmp_path):
    """Before any request comes."""
    _, [problem] = make(tmp_path, "x/{id:integer}", lambda req: None)
    assert "there is no route constraint 'integer'" in problem


def test_a_parameter_that_never_arrives_is_a_mistake(tmp_path):
    """httpWorker calls functions by name, and their routes' parameters are lost."""

    def needs(req: fw.Request, id: int) -> None: ...  # noqa: A002

    def has_default(req: fw.Request, id: int = 3) -> None: ...  # noqa: A002

    (tmp_path / "host.json").write_text('{"version": "2.0", "httpWorker": {"description": {}}}')
    app = fw.App()
    app.function("needs")(app.route("x/{id}")(needs))
    app.function("has")(app.route("y/{id}")(has_default))
    _, _, [problem], _ = assemble(app, tmp_path)
    assert "'needs' asks for the route parameter 'id', which never arrives with httpWorker" in problem


def test_a_typed_body_comes_beside_parameters(tmp_path):
    """Alone or within a Request; a wrong one is the client's fault."""

    def alone(req: Order, id: int) -> None: ...  # noqa: A002

    def within(req: fw.Request[Order], id: int) -> None: ...  # noqa: A002

    function, problems = make(tmp_path, "x/{id}", alone)
    assert problems == []
    assert arguments(function, b'{"id": 1}', id="2") == {"req": Order(1), "id": 2}
    function, _ = make(tmp_path, "x/{id}", within)
    assert arguments(function, b'{"id": 1}', id="2")["req"].body == Order(1)
    for wrong in (b"", b"{}", b"\xff"):
        with pytest.raises(ClientError, match="body"):
            arguments(function, wrong, id="2")


def test_parameters_come_in_an_envelope_as_well(tmp_path):
    """The same handler, the same arguments."""
    app = fw.App()

    @app.route("x/{id?}/{name?}")
    def handler(req: fw.Request, id: int = 3, name: str | None = None) -> list[Any]:  # noqa: A002
        return [id, name]

    client = TestClient(app, root=tmp_path)
    assert client.invoke("handler", params={"id": "7", "name": "a"}).response.json() == [7, "a"]
    assert client.invoke("handler", params={"id": None}).response.json() == [3, None]
    assert client.invoke("handler", params={"id": "seven"}).response.status_code == 400
