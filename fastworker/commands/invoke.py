"""`fastworker invoke FUNCTION`: one call, through a running local host or in this process, and what became of it.

Called by cli.py. Rule: what is shown is what the host makes of the answer (devhost's rules), in both ways.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from fastworker import flag_hints, logs
from fastworker.commands.app_target import app_target
from fastworker.commands.parser import CommandParser
from fastworker.deadline import deadline_from
from fastworker.devhost.admin import INVOKE, describe, manual_trigger
from fastworker.devhost.appsettings import read_app_settings
from fastworker.devhost.functions import Binding, Function
from fastworker.devhost.http_call import HttpCall, HttpCallError
from fastworker.devhost.invocations import Outcome, utc_now
from fastworker.devhost.outputs import OBJECT_TYPES, Written
from fastworker.errors import FastworkerError
from fastworker.functions.build import Function as PlannedFunction
from fastworker.functions.invocation import Rejected, begin, run_async, run_sync
from fastworker.functions.loaded_app import load_app
from fastworker.hostrules import answers, output_values
from fastworker.hostrules.envelope import binding_data, build_envelope
from fastworker.protocol.answer import Answer
from fastworker.protocol.bindings import to_json

FAILED = 1
NO_LIMIT_NS = 3600 * 10**9
BASE = "http://localhost:7071"


class InvokeError(FastworkerError):
    """The call could not be made at all."""

    exit_code = 2


def main(argv: Sequence[str]) -> int:
    """0 if the invocation succeeded, 1 if it failed; with --fail also if its client got an error."""
    arguments = build_parser().parse_args(argv)
    root = Path(arguments.dir)
    data = _data(arguments)
    call = _call_of(arguments)
    host = None if arguments.in_process else _running_host(root, arguments.url)
    if host is not None:
        result = _through_host(host, arguments.function, data, call, is_envelope=arguments.envelope is not None)
        way = f"through {host['url']}"
    else:
        is_envelope = arguments.envelope is not None
        with _other_output_on_stderr() if arguments.json_output else contextlib.nullcontext():
            result = _in_process(root, arguments.app, arguments.function, data, call, is_envelope=is_envelope)
        way = "in this process; outputs are shown, not written"
    if arguments.json_output:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        _show(result, way)
    refused = arguments.fail and result["response"] is not None and result["response"]["status"] >= 400
    return 0 if result["status"] == "succeeded" and not refused else FAILED


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        "invoke",
        flag_hints.INVOKE,
        description="Call one function: through the running `fastworker dev`, or in this process if none runs.",
    )
    parser.add_argument("function", metavar="FUNCTION")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--data", metavar="TEXT", help="the trigger's value: body, message, ...")
    given.add_argument("--json", metavar="JSON", help="the same, checked to be JSON")
    given.add_argument("--file", metavar="FILE", help="the same, from a file (- for standard input)")
    given.add_argument("--envelope", metavar="FILE", help="a whole envelope: what the host would post")
    http = parser.add_argument_group("http functions")
    http.add_argument("--method", "-X", metavar="METHOD", help="by default the first that the function takes")
    http.add_argument("--query", action="append", type=_pair, default=[], metavar="NAME=VALUE", help="may be repeated")
    http.add_argument(
        "--header", "-H", action="append", type=_header, default=[], metavar="NAME: VALUE", help="may be repeated"
    )
    http.add_argument(
        "--param", action="append", type=_pair, default=[], metavar="NAME=VALUE", help="of the route; may be repeated"
    )
    http.add_argument("--fail", action="store_true", help="exit 1 if the client gets an error (4xx, 5xx)")
    parser.add_argument("--dir", default=".", help="the app's folder (default: this one)")
    parser.add_argument("--app", metavar="APP", help="file or module:attribute in DIR, if host.json does not name it")
    parser.add_argument("--url", help="of a local host, if it is not the one of DIR")
    parser.add_argument("--in-process", action="store_true", help="even if a local host runs")
    parser.add_argument("--json-output", action="store_true", help="print the result as JSON")
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, not {text!r}")
    return name, value


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition(":")
    if not sign or not name.strip():
        raise argparse.ArgumentTypeError(f"expected NAME: VALUE, not {text!r}")
    return name.strip(), value.strip()


def _call_of(arguments: argparse.Namespace) -> HttpCall:
    listed = (tuple(pairs) for pairs in (arguments.query, arguments.header, arguments.param))
    call = HttpCall(arguments.method, *listed)
    if call.is_given and arguments.envelope is not None:
        raise InvokeError("--envelope is a whole request: --method, --query, --header and --param do not go with it")
    return call


def _data(arguments: argparse.Namespace) -> str:
    if arguments.json is not None:
        try:
            json.loads(arguments.json)
        except ValueError as error:
            raise InvokeError(f"--json {arguments.json!r}: is no JSON: {error}") from None
        return str(arguments.json)
    name = arguments.file or arguments.envelope
    if name is None:
        return arguments.data or ""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvokeError(f"{name}: cannot be read as text: {error}") from None


# ---- through a running local host --------------------------------------------------------------------------


def _running_host(root: Path, url: str | None) -> dict[str, str] | None:
    """Its address and key; None if there is none."""
    host: dict[str, str] = {"url": url, "key": ""} if url else {}
    try:
        known = json.loads((root / ".fastworker" / "dev.json").read_text())
        os.kill(known["pid"], 0)  # one that was killed left its file behind, and its port to others
        host = {"key": known["key"], "url": url or known["url"]}
    except (OSError, ValueError, KeyError):
        pass
    if not host:
        return None
    try:
        with urllib.request.urlopen(f"{host['url']}/admin/host/ping", timeout=5):
            return host
    except (OSError, ValueError) as error:
        if url:
            raise InvokeError(f"no local host answers at {url}: {error}; start one: fastworker dev") from None
        return None


def _through_host(host: dict[str, str], name: str, data: str, call: HttpCall, *, is_envelope: bool) -> dict[str, Any]:
    query = "?envelope=1" if is_envelope else f"?call={urllib.parse.quote(msgspec.json.encode(call))}"
    request = urllib.request.Request(
        f"{host['url']}{INVOKE}{urllib.parse.quote(name)}{query}",
        data=data.encode(),
        headers={"x-functions-key": host["key"], "Content-Type": "application/octet-stream"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request) as response:
            result: dict[str, Any] = json.load(response)
            return result
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        try:
            text = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            text = text or f"the local host answered {error.code}"
        raise InvokeError(text) from None
    except OSError as error:
        raise InvokeError(f"the local host at {host['url']} went away: {error}") from None


# ---- in this process ---------------------------------------------------------------------------------------


def _in_process(
    root: Path, app: str | None, name: str, data: str, call: HttpCall, *, is_envelope: bool
) -> dict[str, Any]:
    logs.configure()
    for setting, value in read_app_settings(root, os.environ).values.items():
        os.environ.setdefault(setting, value)  # what the app reads at its import, and what overrides host.json
    host_settings = dict(os.environ)
    found = app_target(root, host_settings, app)
    loaded = load_app(found.target, app_root=str(root), base=found.base, host_settings=host_settings)
    planned = next((f for n, f in loaded.functions.items() if n.lower() == name.lower()), None)
    if planned is None:
        left_out = [line for line in loaded.warnings if line.lower().endswith(f"load function {name!r}".lower())]
        if left_out:
            raise InvokeError("\n".join(left_out))
        near = get_close_matches(name, loaded.functions, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(loaded.functions)}"
        raise InvokeError(f"there is no function {name!r}; {hint}")
    function = Function(planned.name, bindings=tuple(_as_host_sees(planned)))
    try:
        trigger = call.on(function, manual_trigger(function, data, ""), f"{BASE}/{loaded.host.route_prefix}")
    except HttpCallError as error:
        raise InvokeError(str(error)) from None
    system = {"MethodName": function.name, "UtcNow": utc_now(), "RandGuid": str(uuid.uuid4())}
    metadata = binding_data(trigger, system, trigger_name=function.trigger.name)
    inputs = {b.name: trigger.value if b.is_trigger else None for b in function.inputs}
    body = data.encode() if is_envelope else build_envelope(inputs, metadata)
    with asyncio.Runner() as runner:  # one loop for all: an ASGI application's lifespan is a task of it
        for hook in loaded.app.start_hooks:
            _finish(hook(), runner)
        began = time.monotonic()
        try:
            outcome = _call(planned, function, body, runner)
        finally:
            for hook in loaded.app.stop_hooks:
                _finish(hook(), runner)
    outcome.duration_s = time.monotonic() - began
    return describe(outcome)


def _as_host_sees(planned: PlannedFunction) -> list[Binding]:
    found = []
    for binding in planned.bindings:
        members = to_json(binding)
        rest = {k: v for k, v in members.items() if k not in ("type", "direction", "name", "dataType")}
        data_type = str(members.get("dataType") or "").lower()
        found.append(Binding(binding.type, binding.direction, binding.name, binding.where, data_type, rest))
    return found


def _call(planned: PlannedFunction, function: Function, body: bytes, runner: asyncio.Runner) -> Outcome:
    invocation_id = str(uuid.uuid4())
    deadline = deadline_from(time.monotonic_ns(), NO_LIMIT_NS, 10**9)
    outcome = Outcome(function.name, invocation_id)
    try:
        invocation = begin(planned, body, invocation_id=invocation_id, deadline=deadline)
        answer = runner.run(run_async(invocation)) if planned.is_async else run_sync(invocation)
    except Rejected as rejected:
        answer = rejected.answer
    assert isinstance(answer, Answer)  # only plain HTTP streams
    kind = "application/json" if answer.status == 200 else "application/problem+json"
    try:
        accepted = answers.accept(answer.status, kind, bytes(answer.body))
        outcome.logs, outcome.return_value = accepted.logs, accepted.return_value
        answers.check_named_outputs(function.outputs, accepted)
        for name, value in answers.output_values(function.outputs, accepted).items():
            binding = next(b for b in function.outputs if b.name == name)
            outcome.written += [Written(name, f"{binding.type} {name}", item) for item in _items(binding, value)]
        if function.is_http:
            outcome.reply = answers.http_reply(function.outputs, accepted)
    except (answers.AnswerError, answers.NothingError) as error:
        outcome.error = str(error)
    return outcome


def _items(binding: Binding, value: Any) -> list[Any]:
    if binding.key == "blob":
        return [output_values.blob(binding.name, value)]
    if binding.key == "table" or binding.key in OBJECT_TYPES:
        return list(output_values.objects(binding.name, value))
    return list(output_values.messages(binding.name, value))


@contextlib.contextmanager
def _other_output_on_stderr() -> Iterator[None]:
    """What the app prints and logs stays out of the JSON on stdout."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _finish(result: Any, runner: asyncio.Runner) -> None:
    if asyncio.iscoroutine(result):
        runner.run(result)


# ---- on the terminal ---------------------------------------------------------------------------------------


def _show(result: dict[str, Any], way: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    good = result["status"] == "succeeded"
    head = Text.assemble(
        (result["function"], "bold"), " ", (result["status"], "green" if good else "red"),
        f" in {result['durationMs']:g} ms ", (f"({way})", "dim"),
    )  # fmt: skip
    console.print(head)
    if result["error"]:
        console.print(Text(f"  {result['error']}", "red"))
    for line in result["logs"]:
        console.print(Text(f"  log     {line}"))
    if result["response"] is not None:
        response = result["response"]
        console.print(Text(f"  http    {response['status']} {_one_line(response['body'])}", "cyan"))
    for output in result["outputs"]:
        console.print(Text(f"  output  {output['target']}: {_one_line(output['value'])}", "cyan"))


def _one_line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
