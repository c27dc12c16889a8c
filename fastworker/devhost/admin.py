"""The admin endpoints (protocol 6.2), and the one that `fastworker invoke` uses.

Called by front.py. Rule: needs the master key where keys are enforced, but for the ping.
"""

import base64
import json
import os
import re
import socket
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from fastworker.devhost import HOST_VERSION
from fastworker.devhost.envelope import HttpRequest, TriggerData
from fastworker.devhost.functions import Function
from fastworker.devhost.invocations import Outcome

if TYPE_CHECKING:
    from fastworker.devhost.app import RunningApp
    from fastworker.devhost.front import Front

STARTED: Final = time.monotonic()
# Not the host's: runs a function and tells what became of it.
INVOKE: Final = "/runtime/webhooks/fastworker/invoke/"


async def admin(front: "Front", request: web.Request) -> web.StreamResponse:
    """Everything below /admin/ and /runtime/webhooks/."""
    path = request.rel_url.path.rstrip("/")
    lower = path.lower()
    if lower == "/admin/host/ping":
        if front.app is not None and request.query.get("checkHealth") == "1":
            front.app.spawn(front.app.handler.ping())
        return web.Response(status=200)
    if not front.keys.allow("admin", front.keys.level(request)):
        return web.Response(status=401)
    if lower == "/admin/host/status":
        return web.json_response(_host_status(front))
    app = front.app
    if app is None or app.stopped:
        return web.Response(status=503, text="Function host is not running.")
    if lower == "/admin/functions" and request.method == "GET":
        return web.json_response([_description(app, request, f) for f in app.functions])
    if lower == "/runtime/webhooks/eventgrid" and request.method == "POST":
        return await _event_grid(app, request)
    match = re.fullmatch(r"/admin/functions/([^/]+)(/status)?", path, re.IGNORECASE)
    if match:
        return await _function(app, request, match[1], status=bool(match[2]))
    if lower.startswith(INVOKE) and request.method == "POST":
        return await _invoke(app, request, path[len(INVOKE) :])
    return web.Response(status=404)


def _host_status(front: "Front") -> dict[str, Any]:
    app = front.app
    status: dict[str, Any] = {
        "id": "fastworker-dev",
        "state": "Starting" if app is None else "Error" if app.stopped else "Running",
        "version": HOST_VERSION,
        "versionDetails": HOST_VERSION,
        "instanceId": "",
        "computerName": socket.gethostname(),
        "processUptime": int((time.monotonic() - STARTED) * 1000),
        "processId": os.getpid(),
        "functionAppContentEditingState": "NotAllowed",
    }
    if app is not None and app.stopped:
        status["errors"] = [app.stopped]
    return status


async def _function(app: "RunningApp", request: web.Request, name: str, *, status: bool) -> web.Response:
    function = app.function(name)
    if function is None:
        return web.Response(status=404, text=no_function(app, name))
    if status:
        return web.json_response({"errors": [function.problem]} if function.problem else {})
    if request.method == "GET":
        return web.json_response(_description(app, request, function))
    if request.method != "POST":
        return web.Response(status=404)
    text = (await request.text()).strip()
    if not text or function.problem:
        return web.Response(status=400, text=function.problem or 'a body is needed: {"input": "text"}')
    try:
        document = json.loads(text)
    except ValueError as error:
        return web.Response(status=400, text=f"the body is no JSON: {error}")
    value = document.get("input", "") if isinstance(document, dict) else text
    app.spawn(run_by_hand(app, function, value if isinstance(value, str) else json.dumps(value), "admin call"))
    return web.Response(status=202)


async def run_by_hand(app: "RunningApp", function: Function, text: str, why: str) -> Outcome:
    """The input becomes the trigger value, a string as it is; the metadata of a real message is missing."""
    url = app.router.url(app.base_url, function) if function.is_http else ""
    return await app.invoker.invoke(function, manual_trigger(function, text, url), why)


def manual_trigger(function: Function, text: str, url: str) -> TriggerData:
    """The trigger's value for a call by hand; `url` is where an http function would be called."""
    trigger = function.trigger
    if trigger.key == "httptrigger":
        methods = function.methods or ("POST",)
        method = methods[0]
        body = text.encode()
        headers: list[tuple[str, str]] = [("Host", "localhost")]
        if body:
            method = next((m for m in methods if m in ("POST", "PUT", "PATCH")), method)
            kind = "application/json" if _is_json(text) else "text/plain; charset=utf-8"
            headers += [("Content-Type", kind), ("Content-Length", str(len(body)))]
        return TriggerData(HttpRequest(method, url, tuple(headers), {}, body or None))
    value: Any = text
    if trigger.key == "timertrigger":
        value = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
    elif trigger.key == "blobtrigger" or trigger.data_type == "binary":
        value = text.encode()
    elif trigger.key == "eventgridtrigger" and _is_json(text):
        value = json.loads(text)
    elif trigger.text("cardinality").lower() == "many" and isinstance(_parsed(text), list):
        value = [item if isinstance(item, str) else json.dumps(item) for item in _parsed(text)]
    # As the host's manual invocation: the trigger's own parameter is among the binding data.
    return TriggerData(value, {trigger.name: text})


async def _event_grid(app: "RunningApp", request: web.Request) -> web.Response:
    function = app.function(request.query.get("functionName", ""))
    if function is None or function.problem or function.trigger.key != "eventgridtrigger":
        return web.Response(status=404)
    try:
        events = await request.json()
    except ValueError as error:
        return web.Response(status=400, text=f"the body is no JSON: {error}")
    outcomes = [
        await app.invoker.invoke(function, TriggerData(event), "Event Grid")
        for event in (events if isinstance(events, list) else [events])
    ]
    return web.Response(status=202 if all(outcome.ok for outcome in outcomes) else 500)


async def _invoke(app: "RunningApp", request: web.Request, name: str) -> web.Response:
    function = app.function(name)
    if function is None:
        return web.json_response({"error": no_function(app, name)}, status=404)
    if function.problem:
        return web.json_response({"error": function.problem}, status=400)
    body = await request.read()
    if request.query.get("envelope"):
        outcome = await app.invoker.send_envelope(function, body, "fastworker invoke")
    else:
        outcome = await run_by_hand(app, function, body.decode("utf-8", "replace"), "fastworker invoke")
    return web.json_response(describe(outcome))


def describe(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON."""
    reply = outcome.reply
    response = None
    if reply is not None and outcome.ok:
        response = {"status": reply.status, "headers": dict(reply.headers), "body": _readable(reply.body)}
    return {
        "function": outcome.function,
        "invocationId": outcome.invocation_id,
        "status": "succeeded" if outcome.ok else "failed",
        "error": outcome.error,
        "durationMs": round(outcome.duration_s * 1000, 1),
        "response": response,
        "outputs": [
            {"name": item.output, "target": item.target, "value": _readable(item.value)} for item in outcome.written
        ],
        "returnValue": outcome.return_value,
        "logs": list(outcome.logs),
    }


def _readable(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def no_function(app: "RunningApp", name: str) -> str:
    names = [function.name for function in app.functions]
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
    return f"there is no function {name!r}; {hint}"


def _description(app: "RunningApp", request: web.Request, function: Function) -> dict[str, Any]:
    base = f"{request.scheme}://{request.host}/admin"
    href = f"{base}/functions/{function.name}"
    config: Any = {}
    if function.file is not None and function.file.name == "function.json" and not function.problem:
        config = json.loads(function.file.read_text("utf-8-sig")) if _is_json(function.file.read_text()) else {}
    return {
        "name": function.name,
        "script_root_path_href": f"{base}/vfs/site/wwwroot/{function.name}/",
        "script_href": None,
        "config_href": f"{base}/vfs/site/wwwroot/{function.name}/function.json",
        "test_data_href": f"{base}/vfs/data/Functions/sampledata/{function.name}.dat",
        "href": href,
        "invoke_url_template": app.router.url(f"{request.scheme}://{request.host}", function)
        if function.is_http
        else None,
        "language": "Custom",
        "config": config,
        "files": None,
        "test_data": None,
        "isDisabled": function.disabled,
        "isDirect": False,
        "isProxy": False,
    }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _is_json(text: str) -> bool:
    return _parsed(text) is not None
