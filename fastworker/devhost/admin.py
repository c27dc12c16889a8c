"""The admin endpoints (protocol 6.2), and the one that `fastworker invoke` uses.

Called by front.py. Rule: needs the master key where keys are enforced, but for the ping.
"""

import asyncio
import base64
import json
import re
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fastworker.devhost import HOST_VERSION
from fastworker.devhost.blob_trigger import metadata as blob_metadata
from fastworker.devhost.descriptions import function_description, host_config, host_status, keys_answer
from fastworker.devhost.functions import Function
from fastworker.devhost.http_call import HttpCall, HttpCallError
from fastworker.devhost.invocations import Outcome
from fastworker.devhost.webserver import Request, Response, json_response
from fastworker.hostrules import event_grid
from fastworker.hostrules.dotnet_values import to_text
from fastworker.hostrules.envelope import HttpRequest, TriggerData
from fastworker.hostrules.newtonsoft import JsonError, read_json

if TYPE_CHECKING:
    from fastworker.devhost.app import RunningApp
    from fastworker.devhost.front import Front

FUNCTION: Final = re.compile(r"/admin/functions/([^/]+)(/status|/keys)?", re.IGNORECASE)
NOT_CACHED: Final = (("Cache-Control", "no-store,no-cache"), ("Pragma", "no-cache"))
# Not the host's: runs a function and tells what became of it.
BUNDLE: Final = "/admin/host/extensionbundle/"
NO_BUNDLE: Final = (
    "Templates not found within the extension bundle or extension bundle is not configured for the function app."
)
# Paths for which the host asks for a key; any other below /admin/ is 404 without one, too (D-801 to D-837).
KNOWN: Final = frozenset(
    {
        "/admin/functions",
        "/admin/instance/info",
        *(
            f"/admin/host/{name}"
            for name in (
                *("config", "drain/status", "keys", "resume", "status", "synctriggers"),
                *("systemkeys", "systemkeys/_master"),
            )
        ),
    }
)
WEBHOOKS: Final = "/runtime/webhooks/"
INVOKE: Final = "/runtime/webhooks/fastworker/invoke/"


def is_admin_path(raw_path: str) -> bool:
    """Whether the host answers below this path itself, also where functions have no prefix."""
    return raw_path.lower().startswith(("/admin/functions", "/admin/host", "/runtime/webhooks/"))


async def admin(front: "Front", request: Request) -> Response:
    """Everything below /admin/ and /runtime/webhooks/: what there is none of is 404 without a key, too."""
    path = request.path.rstrip("/")
    lower = path.lower()
    if lower == "/admin/host/ping":
        if front.app is not None and request.query.get("checkHealth") == "1":
            front.app.spawn(front.app.handler.ping())
        return Response(200, headers=NOT_CACHED)
    if lower == "/admin/warmup" and request.method == "GET":
        await _warm_up(front.app)
        return Response(200)
    if lower.startswith(WEBHOOKS) and not lower.startswith(INVOKE):
        opened = front.keys.opens_webhook(request, f"{lower.removeprefix(WEBHOOKS).partition('/')[0]}_extension")
        if opened != 200:
            return Response(opened, headers=[("WWW-Authenticate", "Bearer")] if opened == 401 else ())
    elif not _is_known(lower):
        return Response(404)
    elif not front.keys.allow("admin", front.keys.use(request)):
        return Response(401)
    if lower == "/admin/host/status":
        return json_response(host_status(front.app))
    app = await front.running()
    if app is None:
        return Response(503, text="Function host is not running.")
    if lower == event_grid.PATH:
        return await _event_grid(app, request)
    if lower.startswith(INVOKE) and request.method == "POST":
        return await _invoke(app, request, path[len(INVOKE) :])
    return await _of_the_host(front, app, request, path)


def _is_known(lower: str) -> bool:
    """Whether the host asks for a key at this path."""
    return lower in KNOWN or lower.startswith((INVOKE, BUNDLE)) or bool(FUNCTION.fullmatch(lower))


async def _of_the_host(front: "Front", app: "RunningApp", request: Request, path: str) -> Response:
    lower = path.lower()
    base = f"{request.scheme}://{request.host}"
    match = FUNCTION.fullmatch(path)
    if lower == "/admin/functions" and request.method == "GET":
        # The list has the address of the cloud, a single function the caller's.
        listed = [f for f in app.functions if f.bindings]
        return json_response([function_description(app, f, "https://localhost") for f in listed])
    if match:
        return await _function(front, app, request, match[1], (match[2] or "").lower())
    if request.method == "POST":
        if lower == "/admin/host/synctriggers":
            return json_response({"status": "Invalid environment for SyncTriggers operation."}, status=500)
        return json_response({"state": "Running"}) if lower == "/admin/host/resume" else Response(404)
    if lower.startswith(BUNDLE):
        return Response(404, text=NO_BUNDLE)
    if lower == "/admin/host/config":
        return Response(200, text=json.dumps(host_config(app), indent=2), content_type="text/plain; charset=utf-8")
    if lower == "/admin/host/keys":
        return json_response(keys_answer(base, path, {"default": front.keys.function}))
    if lower == "/admin/host/systemkeys":
        name = "eventgrid_extension"
        return json_response(keys_answer(base, path, {name: front.keys.of_system(name)}))
    if lower == "/admin/host/systemkeys/_master":
        link = {"rel": "self", "href": f"{base}{path}"}
        return json_response({"name": "_master", "value": front.keys.master, "links": [link]})
    if lower == "/admin/host/drain/status":
        return json_response({"state": "Disabled", "outstandingInvocations": 0, "outstandingRetries": 0})
    if lower == "/admin/instance/info":
        return json_response({"FUNCTIONS_EXTENSION_VERSION": HOST_VERSION, "WEBSITE_NODE_DEFAULT_VERSION": "8.5.0"})
    return Response(404)


async def _function(front: "Front", app: "RunningApp", request: Request, name: str, what: str) -> Response:
    function = app.function(name)
    if function is None:
        return Response(404)
    base = f"{request.scheme}://{request.host}"
    if what == "/keys" and request.method == "GET":
        return json_response(keys_answer(base, request.path, {"default": front.keys.of_function(function.name)}))
    if what == "/status":
        return json_response({"errors": [function.problem]} if function.problem else {})
    if what:
        return Response(404)
    if request.method == "GET":
        return json_response(function_description(app, function, base)) if function.bindings else Response(404)
    if request.method != "POST" or function.problem:
        return Response(404)
    return await _start(app, request, function)


async def _start(app: "RunningApp", request: Request, function: Function) -> Response:
    """`{"input": scalar}` starts a run; what becomes of it, the caller is not told (B-315 to B-333, D-840 to D-851)."""
    kind = request.header("content-type").partition(";")[0].strip().lower()
    if kind and kind != "application/json":
        return Response(415)
    try:
        document = read_json(await request.text())
    except JsonError:
        return Response(400)
    if not isinstance(document, dict):
        return Response(400)
    key = next((key for key in document if key.lower() == "input"), None)
    value = None if key is None else document[key]
    if isinstance(value, dict | list):
        return Response(400)
    app.spawn(_started(app, function, None if value is None else to_text(value)))
    return Response(202)


async def _warm_up(app: "RunningApp | None") -> None:
    """What a platform asks of a new instance: functions with a warm-up trigger run, before the answer."""
    for function in app.functions if app is not None else ():
        if function.problem is None and not function.disabled and function.trigger.key == "warmuptrigger":
            assert app is not None
            await app.invoker.invoke(function, manual_trigger(function, "{}", ""), "warm-up")


async def _started(app: "RunningApp", function: Function, text: str | None) -> None:
    trigger, why = function.trigger, "admin call"
    named: dict[str, Any] = {} if text is None else {trigger.name: text}
    if trigger.key == "timertrigger":
        timer = app.timers.get(function.name)
        value = timer.value() if timer else manual_trigger(function, "", "").value
        await app.invoker.invoke(function, TriggerData(value, named), why)
    elif trigger.key == "httptrigger":
        app.invoker.refuse(function, why, "An HttpRequest is required: call its route, or use fastworker invoke")
    elif text is None:
        app.invoker.refuse(function, why, "Unable to convert trigger to its value: the call has no input")
    elif trigger.key == "queuetrigger":
        await app.invoker.invoke(function, _fabricated(function, text, named), why)
    elif trigger.key == "blobtrigger":
        container, _, name = text.partition("/")
        blob = await app.accounts.open(trigger.connection).read_blob(container, name) if name else None
        if blob is None:
            app.invoker.refuse(function, why, f"there is no blob {text!r}: input is container/blob")
        else:
            data = TriggerData(blob.content, {**blob_metadata(container, blob), **named})
            await app.invoker.invoke(function, data, why)
    else:
        await app.invoker.invoke(function, manual_trigger(function, text, ""), why)


def _fabricated(function: Function, text: str, named: dict[str, Any]) -> TriggerData:
    """The message that the host makes up for a queue trigger's manual run (B-315)."""
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    now = datetime.now(UTC)
    data = {"DequeueCount": 0, "ExpirationTime": last, "InsertionTime": now, "NextVisibleTime": last, **named}
    return TriggerData(text.encode() if function.trigger.data_type == "binary" else text, data)


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
        try:
            call = msgspec.json.decode(request.query.get("call") or "{}", type=HttpCall)
            trigger = manual_trigger(function, body.decode("utf-8", "replace"), "")
            trigger = call.on(function, trigger, app.router.base(app.base_url))
        except (HttpCallError, msgspec.DecodeError) as error:
            return json_response({"error": str(error)}, status=400)
        outcome = await app.invoker.invoke(function, trigger, "fastworker invoke")
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


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _is_json(text: str) -> bool:
    return _parsed(text) is not None
