"""The admin endpoints (protocol 6.2), and the one that `fastworker invoke` uses.

Called by front.py. Rule: needs the master key where keys are enforced, but for the ping.
"""

import asyncio
import base64
import json
import os
import re
import socket
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from fastworker.devhost import HOST_VERSION
from fastworker.devhost.functions import Function
from fastworker.devhost.invocations import Outcome
from fastworker.devhost.webserver import Request, Response, json_response
from fastworker.hostrules import event_grid
from fastworker.hostrules.envelope import HttpRequest, TriggerData

if TYPE_CHECKING:
    from fastworker.devhost.app import RunningApp
    from fastworker.devhost.front import Front

STARTED: Final = time.monotonic()
# Not the host's: runs a function and tells what became of it.
INVOKE: Final = "/runtime/webhooks/fastworker/invoke/"


def is_admin_path(raw_path: str) -> bool:
    """Whether the host answers below this path itself, also where functions have no prefix."""
    return raw_path.lower().startswith(("/admin/functions", "/admin/host", "/runtime/webhooks/"))


async def admin(front: "Front", request: Request) -> Response:
    """Everything below /admin/ and /runtime/webhooks/."""
    path = request.path.rstrip("/")
    lower = path.lower()
    if lower == "/admin/host/ping":
        if front.app is not None and request.query.get("checkHealth") == "1":
            front.app.spawn(front.app.handler.ping())
        return Response(200)
    if not front.keys.allow("admin", front.keys.level(request)):
        return Response(401)
    if lower == "/admin/host/status":
        return json_response(_host_status(front))
    app = front.app
    if app is None or app.stopped:
        return Response(503, text="Function host is not running.")
    if lower == "/admin/functions" and request.method == "GET":
        return json_response([_description(app, request, f) for f in app.functions])
    if lower == event_grid.PATH:
        return await _event_grid(app, request)
    match = re.fullmatch(r"/admin/functions/([^/]+)(/status)?", path, re.IGNORECASE)
    if match:
        return await _function(app, request, match[1], status=bool(match[2]))
    if lower.startswith(INVOKE) and request.method == "POST":
        return await _invoke(app, request, path[len(INVOKE) :])
    return Response(404)


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


async def _function(app: "RunningApp", request: Request, name: str, *, status: bool) -> Response:
    function = app.function(name)
    if function is None:
        return Response(404, text=no_function(app, name))
    if status:
        return json_response({"errors": [function.problem]} if function.problem else {})
    if request.method == "GET":
        return json_response(_description(app, request, function))
    if request.method != "POST":
        return Response(404)
    text = (await request.text()).strip()
    if not text or function.problem:
        return Response(400, text=function.problem or 'a body is needed: {"input": "text"}')
    try:
        document = json.loads(text)
    except ValueError as error:
        return Response(400, text=f"the body is no JSON: {error}")
    value = document.get("input", "") if isinstance(document, dict) else text
    app.spawn(run_by_hand(app, function, value if isinstance(value, str) else json.dumps(value), "admin call"))
    return Response(202)


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


async def _event_grid(app: "RunningApp", request: Request) -> Response:
    """The webhook of Event Grid's extension; hostrules/event_grid.py says what a request means."""
    name = request.query.get("functionName", "")
    function = next((f for f in app.functions if f.name == name and not f.problem), None)
    if function is None or function.trigger.key != "eventgridtrigger":
        return _replied(event_grid.no_function(name))
    is_batch = function.trigger.text("cardinality").lower() == "many"
    meant = event_grid.webhook(request.method, tuple(request.headers), await request.read(), is_batch=is_batch)
    if isinstance(meant, event_grid.WebhookReply):
        return _replied(meant)
    calls = [app.invoker.invoke(function, trigger, "Event Grid") for trigger in meant.triggers]
    outcomes = await asyncio.gather(*calls)
    return _replied(event_grid.replied(function.name, failed=not all(outcome.ok for outcome in outcomes)))


def _replied(reply: event_grid.WebhookReply) -> Response:
    return Response(reply.status, body=reply.body, headers=reply.headers)


async def _invoke(app: "RunningApp", request: Request, name: str) -> Response:
    function = app.function(name)
    if function is None:
        return json_response({"error": no_function(app, name)}, status=404)
    if function.problem:
        return json_response({"error": function.problem}, status=400)
    body = await request.read()
    if request.query.get("envelope"):
        outcome = await app.invoker.send_envelope(function, body, "fastworker invoke")
    else:
        outcome = await run_by_hand(app, function, body.decode("utf-8", "replace"), "fastworker invoke")
    return json_response(describe(outcome))


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


def _description(app: "RunningApp", request: Request, function: Function) -> dict[str, Any]:
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
