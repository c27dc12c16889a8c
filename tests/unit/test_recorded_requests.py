"""What the real host sent, byte for byte, to an app made of the recorded functions: which one runs, with which values.

Rows are by kind, from the recordings named (http-envelope A, forwarding-keys-admin D, configuration-routes E,
event-grid G). All of those were fed to serve in this way once, and 832 of 832 ran what the host had chosen (others have
their body left out, or are redirections of another handler, which the host follows).
"""

import inspect
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import fastworker as fw
from fastworker.functions.http_routes import http_routes
from fastworker.functions.invocation import begin, begin_plain
from fastworker.functions.loaded_app import LoadedApp, assemble
from fastworker.ipc.board import Board
from fastworker.ipc.seat import Seat
from fastworker.protocol.http1 import HTTP1Connection
from fastworker.protocol.plain_http import PlainRequest
from fastworker.settings import parse_settings
from fastworker.worker.dispatch import Service

ID = "7b4f3a0e-5d0b-4a37-b0a9-0d7d6a1f2c11"
OWN = (
    ("X-Azure-Functions-HostVersion", "4.1037.0.0"),
    ("X-Azure-Functions-InvocationId", ID),
    ("User-Agent", "Azure-Functions-Host/4.1037.0.0"),
)
LOCAL = (("Host", "127.0.0.1:4711"), *OWN)
CLIENTS = (("Host", "example.test:8080"), *OWN)
KIND = ("Content-Type", "application/json; charset=utf-8")
TRACE = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
OUT = {"type": "http", "direction": "out", "name": "res"}


def http(**more: Any) -> list[dict[str, Any]]:
    return [{"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous", **more}, OUT]


QUEUE = {"type": "queue", "direction": "out", "name": "msg", "queueName": "q", "connection": "AzureWebJobsStorage"}
EVENT = {"type": "eventGridTrigger", "name": "event", "direction": "in"}
FUNCTIONS: dict[str, list[dict[str, Any]]] = {
    "EchoF": http(route="f/{*rest}"),
    "item": http(route="items/{id}/{name?}"),
    "mixed": http(route="m/{a}-{b}"),
    "ret": [http()[0], {**OUT, "name": "$return"}],
    "withq": [*http(), QUEUE],
    "eg": [EVENT],
    "egm": [{**EVENT, "cardinality": "many"}],
    "egb": [{**EVENT, "dataType": "binary"}],
    "work": [{"type": "queueTrigger", "name": "msg", "direction": "in", "queueName": "work-items"}],
}


class Wire(NamedTuple):
    """A request as the host sent it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None
    chunked: bool = False

    def parsed(self) -> Any:
        head = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers), "", ""]
        body = self.body or b""
        if self.chunked:
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:1024], body[1024:]) if piece)
            body += b"0\r\n\r\n"
        (request,) = HTTP1Connection(1 << 20).receive_data("\r\n".join(head).encode() + body)
        return request


def asked(**more: Any) -> dict[str, Any]:
    """`Data` of an http function's envelope."""
    request = {"Url": "http://x/api/y", "Method": "GET", "Query": {}, "Headers": {"Host": ["x"]}, "Params": {}}
    return {"req": {**request, "Identities": [{}], **more}}


def envelope(name: str, data: dict[str, Any], *before_type: tuple[str, str]) -> Wire:
    """As without Core Tools: chunked, 1,024 bytes at most, the content type last."""
    body = json.dumps({"Data": data, "Metadata": {"sys": {"MethodName": name}}}).encode()
    headers = (*LOCAL, ("Transfer-Encoding", "chunked"), *before_type, KIND)
    return Wire("POST", f"/{name}", headers, body, chunked=True)


def sized(name: str, data: dict[str, Any]) -> Wire:
    """As under Core Tools: the length last."""
    wire = envelope(name, data)
    body = wire.body or b""
    return wire._replace(headers=(*LOCAL, KIND, ("Content-Length", str(len(body)))), chunked=False)


def forwarded(method: str, target: str, *more: tuple[str, str], body: bytes | None = None) -> Wire:
    """A client's request, rewritten; its length before its type."""
    return Wire(method, target, (*CLIENTS, *more), body)


GOT = {"n": 1.0, "big": 12345678901234567890, "text": "é", "when": "2026-01-02T03:04:05.678Z"}
REQ = asked()
FORWARD, WORKER, ENVELOPE, PROXY = "enableForwardingHttpRequest", "httpWorker", "", "enableProxyingHttpRequest"
LENGTH = ("Content-Length", "7")


@pytest.mark.parametrize(
    ("mode", "wire", "name", "values"),
    [
        # A: envelopes
        (ENVELOPE, envelope("EchoF", asked(Method="POST", Body='{"a":1}')), "EchoF", {"text": '{"a":1}'}),
        (ENVELOPE, envelope("EchoF", REQ, TRACE), "EchoF", {"method": "GET"}),
        (ENVELOPE, envelope("EchoF", REQ, TRACE, ("tracestate", "k=v"), ("baggage", "b = 1")), "EchoF", {}),
        (ENVELOPE, envelope("item", asked(Params={"id": "a%2Fb", "name": None})), "item", {"params": {"id": "a%2Fb"}}),
        (ENVELOPE, envelope("item", asked(Query={"a": "1,2,3"}, Method="get")), "item", {"query": {"a": "1,2,3"}}),
        (ENVELOPE, envelope("EchoF", asked(Body="x" * 3000)), "EchoF", {"text": "x" * 3000}),
        (ENVELOPE, sized("EchoF", REQ), "EchoF", {"method": "GET"}),
        (ENVELOPE, envelope("work", {"msg": '"m"'}), "work", {"msg": "m"}),
        # G: event grid
        (ENVELOPE, envelope("eg", {"event": GOT}), "eg", {"event": GOT}),
        (ENVELOPE, envelope("egm", {"event": json.dumps([GOT])}), "egm", {"event": [GOT]}),
        (ENVELOPE, envelope("egb", {"event": GOT}), "egb", {"event": GOT}),
        (FORWARD, envelope("eg", {"event": GOT}), "eg", {"event": GOT}),
        # D: forwarding
        (FORWARD, forwarded("GET", "/api/f/a%20b%2Fc%25d"), "EchoF", {"params": {"rest": "a b%2Fc%d"}}),
        (FORWARD, forwarded("GET", "/api/f/b/c"), "EchoF", {"params": {"rest": "b/c"}}),
        (FORWARD, forwarded("GET", "/api/f/a//b/"), "EchoF", {"params": {"rest": "a//b/"}}),
        (FORWARD, forwarded("GET", "/API/F/x"), "EchoF", {"params": {"rest": "x"}}),
        (FORWARD, forwarded("GET", "/api/f/%E2%82"), "EchoF", {"params": {"rest": "%E2%82"}}),
        (FORWARD, forwarded("GET", "/api/m/1-2-3"), "mixed", {"params": {"a": "1-2", "b": "3"}}),
        (FORWARD, forwarded("GET", "/api/items/7"), "item", {"params": {"id": "7"}}),
        (FORWARD, forwarded("GET", "/api/f/q?a=1,2&b=x&flag="), "EchoF", {"query": {"a": "1,2", "b": "x", "flag": ""}}),
        (
            FORWARD,
            forwarded("POST", "/api/f/p", LENGTH, ("Content-Type", "application/json"), body=b'{"a":1}'),
            "EchoF",
            {"body": {"a": 1}},
        ),
        (FORWARD, forwarded("POST", "/api/f/p", ("Content-Length", "0")), "EchoF", {"method": "POST", "bytes": b""}),
        (FORWARD, forwarded("DELETE", "/api/f/p"), "EchoF", {"method": "DELETE"}),
        (FORWARD, forwarded("HEAD", "/api/ret"), "ret", {"method": "HEAD"}),
        (FORWARD, forwarded("PROPFIND", "/api/f/m"), "EchoF", {"method": "PROPFIND"}),
        (
            FORWARD,
            forwarded("GET", "/api/f/h", ("Cookie", "a=1; b=2; c=3"), ("x-alpha", "two, three")),
            "EchoF",
            {"cookies": {"a": "1", "b": "2", "c": "3"}},
        ),
        (FORWARD, envelope("withq", asked(Query={"x": "1"})), "withq", {"query": {"x": "1"}}),
        (FORWARD, sized("withq", REQ), "withq", {"method": "GET"}),
        (FORWARD, envelope("work", {"msg": '"m"'}), "work", {"msg": "m"}),
        (FORWARD, forwarded("GET", "/api/withq"), None, {}),
        (FORWARD, forwarded("GET", "/api/nope"), None, {}),
        (FORWARD, forwarded("POST", "/work", LENGTH, KIND, body=b'{"a":1}'), None, {}),
        # D: httpWorker
        (WORKER, forwarded("GET", "/item?x=1"), "item", {"query": {"x": "1"}, "params": {}}),
        (
            WORKER,
            forwarded("PATCH", "/EchoF", LENGTH, KIND, body=b'{"a":1}'),
            "EchoF",
            {"method": "PATCH", "text": '{"a":1}'},
        ),
        (WORKER, envelope("withq", REQ), "withq", {"method": "GET"}),
        (WORKER, forwarded("GET", "/api/items/7"), None, {}),
        # E, and D950: an old host that does not know the switch
        (PROXY, envelope("ret", REQ), "ret", {"method": "GET"}),
        (PROXY, sized("ret", REQ), "ret", {"method": "GET"}),
    ],
)
def test_what_the_host_sent_runs_what_it_chose(tmp_path, mode, wire, name, values):
    """The function, the invocation's id, and each value as its handler sees it."""
    is_sized = wire.headers[-1][0] == "Content-Length" and not wire.target.count("/", 1)
    service = service_of(tmp_path, mode, core_tools=is_sized)
    call = service.call(wire.parsed(), time.monotonic_ns(), 0)
    assert (call.function and call.function.name, call.id) == (name, ID)
    if call.function is None:
        return
    if call.params is None:
        invocation = begin(call.function, call.request.body, invocation_id=call.id, deadline=call.deadline)  # type: ignore[arg-type]
    else:
        request = PlainRequest(call.request, call.params, None)  # type: ignore[var-annotated]
        invocation = begin_plain(call.function, request, None, invocation_id=call.id, deadline=call.deadline)  # type: ignore[arg-type]
    found = invocation.arguments.get("req")
    for key, value in values.items():
        assert (invocation.arguments[key] if found is None else getattr(found, key)) == value


@pytest.mark.parametrize("sent", ["mine, " + ID, "mine\tx, two, " + ID, "a,b," + ID, ID])
def test_the_invocation_id_is_what_stands_behind_the_last_comma(tmp_path, sent):
    """A client's own lines are joined in front of the host's (D959)."""
    headers = tuple((name, sent if name.endswith("InvocationId") else value) for name, value in CLIENTS)
    call = service_of(tmp_path, FORWARD).call(Wire("GET", "/api/ret", headers).parsed(), time.monotonic_ns(), 0)
    assert call.id == ID


def service_of(folder: Path, mode: str, *, core_tools: bool = False) -> Service:
    """serve's routing for the recorded functions under such a host.json."""
    description = {"description": {"defaultExecutablePath": "fastworker"}}
    host = {WORKER: description} if mode == WORKER else {"customHandler": description | ({mode: True} if mode else {})}
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **host}))
    app = fw.App()
    for name, bindings in FUNCTIONS.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "function.json").write_text(json.dumps({"bindings": bindings}))
        app.function(name=name)(handler_of(bindings[0]["name"], fw.Request if len(bindings) > 1 else Any))
    functions, host_config, problems, _ = assemble(app, folder)
    assert problems == []
    routes, _ = http_routes(functions, folder, host_config)
    environ = {"FUNCTIONS_CUSTOMHANDLER_PORT": "1"} | (
        {"FUNCTIONS_CORETOOLS_ENVIRONMENT": "true"} if core_tools else {}
    )
    board = Board(1, 10_000, 1)
    loaded = LoadedApp(app, "recorded", folder, functions, host_config, (), tuple(routes))
    return Service(loaded, parse_settings([], environ), board, Seat(board, 0, pid=1))


def handler_of(argument: str, annotation: Any) -> Any:
    def handler(**arguments: Any) -> None: ...

    parameter = inspect.Parameter(argument, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
    handler.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    handler.__annotations__ = {argument: annotation, "return": fw.Result}
    return handler
