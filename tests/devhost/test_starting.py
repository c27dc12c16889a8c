"""Group B of the protocol's test vectors: host.json, the command line, readiness, restarts, output levels."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fastworker.config.host_json import Description, HostJson
from fastworker.devhost.app import read_app
from fastworker.devhost.appsettings import AppSettings
from fastworker.devhost.arguments import build_command, split_arguments
from fastworker.devhost.config_error import ConfigError
from fastworker.devhost.hostjson import read_host_json
from fastworker.devhost.process import stderr_level
from tests.devhost.stand import HTTP_IN, HTTP_OUT, MANUAL, AppFolder, LocalHost, answering, scripted
from tests.harness import alive, wait_for

# Handlers in plain Python: `PORT` is what the host gave them.
SERVER = """
import http.server, os, sys, time
PORT = int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        if self.headers.get("Transfer-Encoding"):
            while length := int(self.rfile.readline(), 16):
                self.rfile.read(length + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
        {body}
        data = b"{{}}"
        self.send_response({status}); self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data))); self.end_headers(); self.wfile.write(data)
    do_GET = do_POST = answer
    def log_message(self, *a): pass
{before}
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
"""


def server(folder: AppFolder, body: str = "pass", before: str = "", status: int = 200, **host: Any) -> AppFolder:
    """An app whose handler is that server."""
    folder.write("handler.py", SERVER.format(body=body, before=before, status=status))
    folder.host(sys.executable, "handler.py", **host)
    folder.function("f", HTTP_IN, HTTP_OUT)
    return folder


def ends_with(folder: AppFolder, code: str, **host: Any) -> AppFolder:
    """An app whose handler ends at once."""
    folder.write("handler.py", f"import sys, os\n{code}\n")
    folder.host(sys.executable, "handler.py", **host)
    folder.function("f", HTTP_IN, HTTP_OUT)
    return folder


def host_json(folder: AppFolder, document: Any, **environ: str) -> HostJson:
    folder.write("host.json", document)
    return read_host_json(folder.root, AppSettings(environ))


def described(**more: Any) -> dict[str, Any]:
    return {"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": "x"}, **more}}


# ---- the command line --------------------------------------------------------------------------------------


def arguments_of(description: Description, **environ: str) -> str:
    return build_command(description, Path("/app"), environ, {"FUNCTIONS_CUSTOMHANDLER_PORT": "8123"}).arguments


def test_arguments_are_expanded_and_joined_by_spaces() -> None:
    """Vector B17."""
    description = Description("x", arguments=("%k1%", "%TestEnv%"), worker_arguments=("%k2%",))
    assert arguments_of(description, k1="v1", TestEnv="TestVal", k2="v2") == " v1 TestVal v2"


def test_port_is_expanded_and_unknown_names_are_removed() -> None:
    """Vector B18."""
    assert arguments_of(Description("x", arguments=("--port %FUNCTIONS_CUSTOMHANDLER_PORT%",))) == " --port 8123"
    assert arguments_of(Description("x", arguments=("a%NO_SUCH%b",))) == " ab"
    # Over blanks and from argument to argument (E-pctarg-*, E-pct-args).
    assert split_arguments(arguments_of(Description("x", arguments=("100%", "b", "50%", "c")))) == ["100", "c"]
    many = ("%S%", "%NOPE%", "a%S%b%S%c", "%%", "100%", "%A B%", "end")
    assert split_arguments(arguments_of(Description("x", arguments=many), S="x")) == ["x", "axbxc", "end"]


def test_worker_path_stands_between_the_arguments_in_quotes(tmp_path: Path) -> None:
    """Section 1.3; the path is passed as it is written (E-wpath-relative)."""
    (tmp_path / "my app.py").touch()
    description = Description("x", worker_path="my app.py", arguments=("-u",), worker_arguments=("--a --b",))
    command = build_command(description, tmp_path, {}, {})
    assert command.arguments == ' -u "my app.py" --a --b'
    assert split_arguments(command.arguments) == ["-u", "my app.py", "--a", "--b"]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (' a "b c" d', ["a", "b c", "d"]),
        (" 'a b'", ["'a", "b'"]),
        (r' a\b "c\"d" \\"e f\\"', [r"a\b", 'c"d', "\\e f\\"]),
        (' ""', [""]),
        (' x""y "a""b"', ["xy", 'a"b']),
    ],
)
def test_argument_string_is_split_as_dotnet_splits_it(text: str, arguments: list[str]) -> None:
    """Section 1.3: double quotes and backslashes only; trap 28."""
    assert split_arguments(text) == arguments


# ---- host.json ---------------------------------------------------------------------------------------------


def test_custom_handler_wins_over_http_worker(folder: AppFolder) -> None:
    """Vector B19."""
    document = {**described(), "httpWorker": {"description": {"defaultExecutablePath": "old"}}}
    host = host_json(folder, document)
    assert (host.description.executable, host.http_mode) == ("x", "envelope")
    assert "httpWorker is ignored" in host.warnings[0]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"version": "2.0", "customHandler": {}}, 'needs a "description"'),
        ({"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": " "}}}, "must name the program"),
        ({"version": "2.0"}, 'no "customHandler" section'),
        ({"version": "1.0"}, '"version" must be the text "2.0"'),
        (described(enableForwardingHttpRequest="yes"), "true or false"),
        (described(initializationTimeout="soon"), "time span"),
        ({**described(), "functionTimeout": 30}, "24 days"),
        ({**described(), "functionTimeout": "00:00:00"}, "from 1 second"),
        ({**described(), "configurationProfile": "nope"}, "mcp-custom-handler"),
        ({**described(), "extensions": {"queues": {"batchSize": 33}}}, "from 1 to 32"),
        ({**described(), "retry": {"strategy": "fixedDelay", "maxRetryCount": 1}}, 'needs "delayInterval"'),
        (described(port=0), "whole number"),
        (described(port="abc"), "whole number"),
        ('{"version": "2.0",\n "customHandler": {,}}', "host.json:2: is no JSON"),
    ],
)
def test_wrong_host_json_is_told_with_its_line(folder: AppFolder, document: Any, message: str) -> None:
    """Vectors B20 and B26, and what else is a configuration error."""
    with pytest.raises(ConfigError, match=r"host\.json:\d+: ") as raised:
        host_json(folder, document)
    assert message in str(raised.value)


def test_port_may_be_fixed(folder: AppFolder) -> None:
    """Vector B26."""
    assert host_json(folder, described(port="8081")).port == 8081


def test_profile_turns_proxying_on(folder: AppFolder) -> None:
    """Vector B27."""
    host = host_json(folder, {**described(), "configurationProfile": "MCP-custom-handler"})
    assert (host.http_mode, host.route_prefix, host.http_routes) == ("proxy", "", (("{*route}", "function"),))


def test_environment_overrides_host_json(folder: AppFolder) -> None:
    """Section 1.1: any key, an array as one JSON text."""
    prefix = "AzureFunctionsJobHost__customHandler__"
    environ = {
        f"{prefix}description__defaultWorkerPath": "other.py",
        f"{prefix}description__arguments": '["-u", "-v"]',
        f"{prefix}enableForwardingHttpRequest": "true",
    }
    host = host_json(folder, described(), **environ)
    assert (host.description.worker_path, host.description.arguments) == ("other.py", ("-u", "-v"))
    assert (host.http_mode, host.forwards_by_name) == ("forward", False)


def test_broken_function_is_taken_out_alone(folder: AppFolder) -> None:
    """Section 7: the others run; the reason has file and line."""
    folder.host("x")
    folder.function("good", MANUAL)
    folder.function("typo", {"type": "queueTriger", "name": "q"})
    folder.function("score", {"type": "queueTrigger", "name": "my__item"})
    folder.function("setting", {"type": "queueTrigger", "name": "q", "queueName": "%NOT_SET%"})
    folder.function("two", MANUAL, {**MANUAL, "name": "other"})
    folder.write("broken/function.json", '{\n"bindings": [\n}')
    folder.function("1bad", MANUAL)
    problems = {f.name: f.problem or "" for f in read_app(folder.root, {}).functions}
    assert problems["good"] == ""
    assert "did you mean 'queueTrigger'?" in problems["typo"]
    assert "no two underscores" in problems["score"]
    assert "%NOT_SET% names no app setting" in problems["setting"]
    assert "a function has one trigger, this one has" in problems["two"]
    assert "broken/function.json:3: is no JSON" in problems["broken"]
    assert "the function name '1bad' is illegal" in problems["1bad"]


def test_routes_in_host_json_make_functions(folder: AppFolder) -> None:
    """Section 1.6."""
    folder.write(
        "host.json", described(http={"routes": [{"route": "a/{b}"}, {"route": "c", "authorizationLevel": "Anonymous"}]})
    )
    first, second = read_app(folder.root, {}).functions
    assert (first.name, first.route, first.auth_level) == ("http-handler1", "a/{b}", "function")
    assert (second.name, second.auth_level, second.http_only) == ("http-handler2", "anonymous", True)


# ---- readiness ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 500])
def test_any_answer_means_ready(folder: AppFolder, status: int) -> None:
    """Vector B21."""
    with LocalHost(server(folder, status=status).root) as host:
        host.says("handler ready")


def test_garbage_means_ready(folder: AppFolder) -> None:
    """Section 1.5: any failure that is no socket error. The call that follows fails, and says so."""
    garbage = "import socket\ns = socket.create_server(('127.0.0.1', PORT))\nwhile True:\n"
    garbage += "    c, _ = s.accept(); c.recv(9999); c.sendall(b'garbage\\r\\n\\r\\n'); c.close()"
    with LocalHost(server(folder, before=garbage).root) as host:
        host.says("handler ready")
        assert host.call("GET", "/api/f").status == 500
        host.says("the handler's answer is no HTTP")


def test_ping_is_bare(tmp_path: Path) -> None:
    """Section 1.5: no body, no user agent, none of the Azure headers."""
    with scripted(tmp_path, ("f", [HTTP_IN, HTTP_OUT])) as (host, handler):
        host.says("handler ready")
        assert [name.lower() for name, _ in handler.pings[0].headers] == ["host"]


def test_handler_that_never_listens_is_restarted_and_counted(folder: AppFolder) -> None:
    """Vector B22: three times, then the host stops."""
    ends_with(folder, "import time; time.sleep(60)", initializationTimeout="00:00:00.1")
    with LocalHost(folder.root) as host:
        wait_for(lambda: host.stops, "the host's end")
        assert sum("did not listen" in line for line in host.console.lines) == 3
        assert "Exceeded http worker restart retry count" in host.stops[0]
        assert host.call("GET", "/api/f").status == 503


def test_handler_gets_the_variables_of_the_host(folder: AppFolder) -> None:
    """Section 1.2: all five, the settings of local.settings.json, and the PATH."""
    names = "FUNCTIONS_HTTPWORKER_PORT FUNCTIONS_CUSTOMHANDLER_PORT FUNCTIONS_APP_ROOT_PATH MINE"
    show = f"print([os.environ[n] for n in '{names}'.split()], flush=True)"
    same = "print(os.environ['FUNCTIONS_HTTPWORKER_ID'] == os.environ['FUNCTIONS_CUSTOMHANDLER_WORKER_ID'], flush=True)"
    folder.settings(MINE="yes")
    with LocalHost(server(folder, before=f"{show}\n{same}").root) as host:
        port = str(host.app.handler.port)
        host.says(f"Information: {[port, port, str(folder.root), 'yes']}")
        host.says("Information: True")


# ---- restarts ----------------------------------------------------------------------------------------------


def test_exit_code_0_is_never_restarted(folder: AppFolder) -> None:
    """Vector B23 and trap 3: and all later calls fail."""
    with LocalHost(ends_with(folder, "sys.exit(0)").root) as host:
        host.says("never starts it again")
        assert host.call("GET", "/api/f").status == 500
        assert host.app.handler.starts == 1


def test_exit_code_200_is_restarted_uncounted(folder: AppFolder) -> None:
    """Vector B23: four times here, which no counted error could be."""
    code = "n = len(open('n', 'a').read()) if 0 else os.path.getsize('n') if os.path.exists('n') else 0\n"
    code += "open('n', 'a').write('x')\nsys.exit(200 if n < 4 else 0)"
    with LocalHost(ends_with(folder, code).root) as host:
        host.says("never starts it again")
        assert host.app.handler.starts == 5
        assert not host.stops


def test_third_crash_stops_the_host(folder: AppFolder) -> None:
    """Vectors B23 and B24: with the exit code and the last lines of stderr."""
    code = "print('line 1\\nline 2\\nline 3\\nthe cause', file=sys.stderr); sys.exit(1)"
    with LocalHost(ends_with(folder, code).root) as host:
        wait_for(lambda: host.stops, "the host's end")
        assert host.app.handler.starts == 3
        assert "exit code 1 (error 3 of 3); its last lines: line 2 | line 3 | the cause" in host.stops[0]


def test_killed_handler_counts_and_comes_back_on_the_same_port(folder: AppFolder) -> None:
    """Sections 1.4 and 5.3: trap 6."""
    with LocalHost(server(folder).root) as host:
        host.says("handler ready")
        os.kill(host.app.handler.pid or 0, signal.SIGKILL)
        host.says("signal SIGKILL (error 1 of 3)")
        wait_for(lambda: sum("handler ready" in line for line in host.console.lines) == 2, "the second life")
        assert host.call("GET", "/api/f").status == 204


def test_missing_executable_is_told_and_not_retried(folder: AppFolder) -> None:
    """Section 1.5."""
    folder.host("no-such-program")
    folder.function("f", HTTP_IN, HTTP_OUT)
    with LocalHost(folder.root) as host:
        wait_for(lambda: host.stops, "the host's end")
        assert "'no-such-program' is not in PATH" in host.stops[0]
        assert host.call("GET", "/api/f").body == b"Function host is not running."


def test_app_without_functions_starts_no_handler(folder: AppFolder) -> None:
    """Section 1.4."""
    folder.host("sleep", "1000")
    with LocalHost(folder.root) as host:
        host.says("no functions")
        assert host.app.handler.pid is None


def test_stopping_ends_the_handler_and_its_children(folder: AppFolder) -> None:
    """No orphan: the children of a shell wrapper go, too."""
    folder.write("run.sh", "sleep 1000 & echo child $!; wait")
    folder.host("sh", "run.sh")
    folder.function("f", HTTP_IN, HTTP_OUT)
    with LocalHost(folder.root) as host:
        child = int(host.says("child").rpartition(" ")[2])
        pid = host.app.handler.pid
    wait_for(lambda: not alive(child) and not alive(pid or 0), "their end")


def test_function_timeout_kills_the_process_and_starts_it_on_the_same_port(folder: AppFolder) -> None:
    """Vector D47: the log tells at the limit; the client's 500 comes two seconds later, with the kill, uncounted."""
    body = "time.sleep(30) if self.command == 'POST' and not os.path.exists('done') else None"
    server(folder, body=body, top={"functionTimeout": "00:00:01"})
    with LocalHost(folder.root) as host:
        host.says("handler ready")
        first = host.app.handler.pid
        began = time.monotonic()
        reply = host.call("GET", "/api/f")
        assert (reply.status, reply.body) == (500, b"")
        assert time.monotonic() - began > 2.9
        assert not alive(first or 0)
        folder.write("done", "")
        host.says("overran functionTimeout (1 s); the handler is killed in 2 s")
        host.says("overran functionTimeout (1 s): handler killed")
        wait_for(lambda: sum("handler ready" in line for line in host.console.lines) == 2, "the second life")
        assert host.call("GET", "/api/f").status == 204
        assert not alive(first or 0)
        assert not any("error 1 of 3" in line for line in host.console.lines)


def test_empty_answer_waits_until_function_timeout(tmp_path: Path) -> None:
    """Vector C33: and the terminal says at once why."""
    functions = ("f", [HTTP_IN, HTTP_OUT])
    with scripted(tmp_path, functions, top={"functionTimeout": "00:00:01"}) as (host, handler):
        handler.script = answering(b"")
        assert host.call("GET", "/api/f").status == 500
        host.says("answered 200 with an empty body: the host waits for more until functionTimeout (1 s)")


# ---- its output --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "errors_only", "level"),
    [
        ("Warning: x", True, "Warning"),
        ("x", True, "Error"),
        ("warn about an error", False, "Warning"),
        ("it FAILED", False, "Error"),
        ("all is well", False, "Information"),
    ],
)
def test_stderr_line_gets_the_level_that_the_host_gives(line: str, errors_only: bool, level: str) -> None:
    """Vector B25 and section 5.4."""
    assert stderr_level(line, errors_only) == level


def test_output_is_shown_line_by_line(folder: AppFolder) -> None:
    """Section 5.4: stdout is Information, and lines for the system log are not the user's."""
    lines = ["print('LanguageWorkerConsoleLogsecret')", "print('to stdout', flush=True)"]
    before = "\n".join([*lines, "print('oh', file=sys.stderr, flush=True)"])
    with LocalHost(server(folder, before=before).root) as host:
        host.says("[handler] Information: to stdout")
        host.says("[handler] Error: oh")
        assert not any("secret" in line for line in host.console.lines)


def test_wrong_local_settings_are_told_with_their_line(folder: AppFolder) -> None:
    """Values are strings; the environment wins over them."""
    folder.host("x")
    folder.write("local.settings.json", '{\n "Values": {\n  "A": {"b": 1}\n }\n}')
    with pytest.raises(ConfigError, match=r"local\.settings\.json:3: 'A' is a string"):
        read_app(folder.root, {})
    folder.settings(A="file", B="2")
    settings = read_app(folder.root, {"A": "environment"}).settings
    assert (settings.values["A"], settings.values["B"]) == ("environment", "2")
    assert json.dumps(settings.warnings).count("the environment, which wins") == 1
