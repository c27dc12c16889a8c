"""The real command, driven with the bytes that the Functions host sends."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import (
    APPS,
    PATIENCE,
    STOPPED,
    HostConnection,
    Server,
    envelope,
    free_port,
    in_threads,
    request_bytes,
    wait_for,
)

Serve = Callable[..., Server]
ORDER = Path(__file__).parents[2] / "docs" / "examples" / "order"

# The envelope of protocol 2.7 for the documentation's example, with its identity and headers.
ORDER_ENVELOPE = json.dumps(
    {
        "Data": {
            "req": {
                "Url": "http://localhost:7071/api/order",
                "Method": "POST",
                "Query": {},
                "Headers": {"Content-Type": ["application/json"], "Content-Length": ["44"]},
                "Params": {},
                "Identities": [{"AuthenticationType": None, "IsAuthenticated": False, "Claims": []}],
                "Body": '{"id":1005,"quantity":1600,"color":"black"}',
            }
        },
        "Metadata": {
            "id": '"1005"',
            "Query": {},
            "Headers": {"Content-Type": "application/json"},
            "sys": {"MethodName": "order", "UtcNow": "2026-01-02T10:00:05.1234567Z"},
        },
    }
).encode()


@pytest.mark.parametrize("app", ["function_app.py", "by_name:app"])
@pytest.mark.parametrize("chunked", [True, False])
def test_order_example_answers_as_documented(
    serve: Serve, app: str, chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both forms of the documentation's example, chunked as in the cloud and with a length as under Core Tools."""
    if not chunked:
        monkeypatch.setenv("FUNCTIONS_CORETOOLS_ENVIRONMENT", "true")
    with serve(cwd=ORDER, app=app, workers=1).connect() as host:
        response = host.post("/order", ORDER_ENVELOPE, chunked=chunked)
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer["Outputs"]["res"]["body"] == "Order complete"
    assert base64.b64decode(answer["Outputs"]["message"]).decode() == '{"id":1005,"quantity":1600,"color":"black"}'
    assert answer["Logs"] == ["INFO: order processed"]


def test_wrong_type_from_the_client_reaches_the_client_as_400(serve: Serve) -> None:
    """A body that is no Order is the client's mistake: a 200 envelope whose http output is a 400 problem."""
    wrong = ORDER_ENVELOPE.replace(rb"\"quantity\":1600", rb"\"quantity\":\"many\"")
    with serve(cwd=ORDER, app="function_app.py", workers=1).connect() as host:
        response = host.post("/order", wrong)
    assert response.status == 200
    output = response.json()["Outputs"]["res"]
    assert output["statusCode"] == 400
    assert "quantity" in output["body"]


@pytest.mark.parametrize("count", [1, 3])
def test_workers_are_as_many_as_asked_for(serve: Serve, count: int) -> None:
    """FASTWORKER_WORKERS says how many processes there are."""
    server = serve(workers=count)
    wait_for(lambda: len(server.workers()) == count, f"{count} workers")


def test_workers_default_to_the_usable_cpus(serve: Serve) -> None:
    """A process that may use one CPU gets one worker, whatever os.cpu_count() says."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        server = serve()
    finally:
        os.sched_setaffinity(0, allowed)
    assert len(server.workers()) == 1


def test_stuck_worker_holds_nobody_back(serve: Serve) -> None:
    """200 short requests on 8 open connections finish within 100 ms each while one of two workers computes."""
    server = serve(workers=2)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(8)]
        slow = stack.enter_context(server.connect())
        # Every connection has been served by both workers, or nearly: the busy one holds them all.
        for connection in connections * 8:
            connection.invoke("pid")
        slow.send(request_bytes("/compute", envelope(2.0)))
        wait_for(lambda: any_busy(server), "a worker that computes")
        latencies = []
        for turn in range(200):
            began = time.monotonic()
            assert connections[turn % 8].invoke("pid").status == 200
            latencies.append(time.monotonic() - began)
        assert max(latencies) < 0.1 * PATIENCE, sorted(latencies)[-5:]
        assert slow.quiet, "the slow one ended too early to prove anything"
        assert slow.receive().status == 200


def any_busy(server: Server) -> bool:
    return any(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R" for pid in server.workers())


def test_connection_last_served_by_the_stuck_worker_is_served_by_another(serve: Serve) -> None:
    """A request goes to a free worker, also on the connection whose last request the busy one has answered."""
    server = serve(workers=2)
    with server.connect() as first, server.connect() as second:
        owner = first.invoke("pid").value
        while second.invoke("pid").value != owner:  # until that worker holds this connection as well
            pass
        first.send(request_bytes("/compute", envelope(1.0)))
        began = time.monotonic()
        others = {second.invoke("pid").value for _ in range(20)}
        assert time.monotonic() - began < 0.5 * PATIENCE
        computed = first.receive().value
        assert computed not in others


def test_probe_is_held_until_a_worker_is_ready(tmp_path: Path) -> None:
    """The port is bound before the app is imported, and `GET /` answers only when it is (protocol 1.5)."""
    marker = tmp_path / "go"
    (tmp_path / "function_app.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(marker)!r}).exists():\n    time.sleep(0.01)\n"
        "import fastworker as fw\napp = fw.App()\n@app.route()\ndef hello(req): return 'hello'\n"
    )
    with Server(cwd=tmp_path, app="function_app.py", workers=1) as server:

        def connected() -> HostConnection | None:
            try:
                return server.connect()
            except ConnectionRefusedError:
                return None

        with wait_for(connected, "a bound port") as probe:
            probe.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            probe.socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                probe.receive()
            marker.touch()
            probe.socket.settimeout(10 * PATIENCE)
            assert probe.receive().status == 200


def run_command(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FASTWORKER_", "FUNCTIONS_"))}
    return subprocess.run(
        [sys.executable, "-m", "fastworker", *arguments],
        cwd=cwd,
        env=clean | environ,
        capture_output=True,
        text=True,
        timeout=20 * PATIENCE,
        check=False,
    )


def test_port_comes_from_the_host_before_the_flag(serve: Serve) -> None:
    """The host knocks only where its own variable says (protocol 1.2)."""
    server = serve("--port", str(free_port()))
    with server.connect() as host:
        assert host.invoke("pid").status == 200


def test_old_port_variable_and_flag_work(tmp_path: Path) -> None:
    """FUNCTIONS_HTTPWORKER_PORT is read when the new name is missing, then --port; a taken port ends in code 4."""
    with Server() as holder:
        holder.wait_ready()
        taken = str(holder.port)
        old_name = run_command("serve", cwd=tmp_path, FUNCTIONS_HTTPWORKER_PORT=taken)
        flag = run_command("serve", "--port", taken, cwd=tmp_path)
    for result in (old_name, flag):
        assert result.returncode == 4
        assert taken in result.stderr.splitlines()[-1]
        assert "another process listens there" in result.stderr.splitlines()[-1]


def test_wrong_settings_are_all_told_and_end_in_code_2(tmp_path: Path) -> None:
    """Every mistake is on stderr, and the last line names a cause."""
    result = run_command("serve", "--port", "0", cwd=tmp_path, FASTWORKER_WORKERS="zero", FASTWORKER_SPIM="1")
    assert result.returncode == 2
    assert "FASTWORKER_WORKERS='zero'" in result.stderr
    assert "FASTWORKER_SPIM: no such setting; the nearest is FASTWORKER_SPIN" in result.stderr
    assert "bad configuration: 2 problems\n  - " in result.stderr
    assert result.stderr.splitlines()[-1].startswith("  - FASTWORKER_")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (None, "function_app.py"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("1/0", "ZeroDivisionError"),
        ("import sys; sys.exit(0)", "sys.exit(0) was called"),
        ("x = 1", "App"),
        ("import os; os._exit(0)", "exited with code 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ],
)
def test_app_that_cannot_be_loaded_ends_in_code_3(tmp_path: Path, source: str | None, cause: str) -> None:
    """Whatever an import does, the server ends with 3 and the cause as the last line: 0 is never restarted."""
    if source is not None:
        (tmp_path / "function_app.py").write_text(source)
    result = run_command("serve", "--port", "0", cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    assert cause in result.stderr.splitlines()[-1]
    if "Error" in cause:  # at the top of the file: a traceback would say the same once more
        assert result.stderr.count(cause) == 1
        assert f"in {tmp_path}: function_app.py:1: at import: " in result.stderr


def test_all_mistakes_of_an_app_are_told_together(tmp_path: Path) -> None:
    """Each with file and line."""
    (tmp_path / "function_app.py").write_text(
        "import fastworker as fw\n"
        "app = fw.App()\n"
        "@app.queue_trigger('job', queue_name='q')\n"
        "def one(job: str, extra: str) -> None: ...\n"
        "@app.function('two')\n"
        "def two(job: str) -> None: ...\n"
    )
    result = run_command("serve", "--port", "0", cwd=tmp_path)
    assert result.returncode == 3
    assert "'extra'" in result.stderr
    assert "two/function.json" in result.stderr or "'two'" in result.stderr
    assert "function_app.py:3" in result.stderr or "function_app.py:4" in result.stderr
    # Each once, and the app's folder once.
    assert result.stderr.count("'extra'") == result.stderr.count(str(tmp_path)) == 1


SLOW = """
import fastworker as fw
app = fw.App()
@app.function(deadline=200)
@app.generic_trigger("job", type="manualTrigger")
@app.generic_output_binding("$return", type="queue", queueName="q", connection="S")
def slow(ctx: fw.Context, job: int) -> float:
    return ctx.remaining()
"""


def test_a_deadline_beyond_the_cap_is_refused_at_start(tmp_path: Path) -> None:
    """The last line has the sum, the place and the setting that lifts the cap."""
    (tmp_path / "function_app.py").write_text(SLOW)
    result = run_command("serve", "--port", "0", cwd=tmp_path)
    assert result.returncode == 3
    last = result.stderr.splitlines()[-1]
    assert "function_app.py:4: function 'slow': deadline=200 and FASTWORKER_GRACE=2: 200 + 2 = 202 s" in last
    assert "FASTWORKER_CAP" in last


def test_a_lifted_cap_gives_a_function_the_time_it_asks_for(serve: Serve, tmp_path: Path) -> None:
    """And one line at the start says that it is lifted, and to what."""
    (tmp_path / "function_app.py").write_text(SLOW)
    (tmp_path / "host.json").write_text('{"version": "2.0", "functionTimeout": "00:05:00"}')
    server = serve(cwd=tmp_path, app="function_app.py", workers=1, cap="host")
    with server.connect() as host:
        assert 150 < host.invoke("slow", 1).value <= 200
    [line] = [line for line in [*server.stdout, *server.stderr] if "FASTWORKER_CAP" in line]
    assert "the cap of 60 s is lifted to host.json's functionTimeout, 300 s" in line


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve", "--help"]])
def test_help_is_help(tmp_path: Path, arguments: list[str]) -> None:
    """Asking for help is no error."""
    result = run_command(*arguments, cwd=tmp_path)
    assert result.returncode == 0
    assert "usage: fastworker" in result.stdout


def test_unknown_command_is_named(tmp_path: Path) -> None:
    """A typing error ends in code 2 and says what was typed."""
    result = run_command("sevre", cwd=tmp_path)
    assert result.returncode == 2
    assert "no such command: 'sevre'" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_ends_in_code_0_when_told_to(serve: Serve, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end it in good order, with no process left."""
    server = serve(workers=2)
    tree = server.descendants()
    server.signal(number)
    assert server.wait() == STOPPED
    assert not any(Path(f"/proc/{pid}").exists() for pid in tree)
    assert server.stderr == []


def test_ten_threads_of_requests_are_each_answered_once(serve: Serve) -> None:
    """Echoes come back to the connection that asked."""
    server = serve(workers=2)

    def client(index: int) -> None:
        with server.connect() as host:
            for turn in range(50):
                assert host.invoke("echo", {"me": [index, turn]}).value == {"me": [index, turn]}
            assert host.quiet

    in_threads(10, client)


def test_logs_of_a_failed_invocation_are_written_out(serve: Serve) -> None:
    """The host throws `Logs` of a non-2xx answer away, so they go out with the id; tracebacks to stderr."""
    server = serve(workers=1)
    with server.connect() as host:
        failed = host.invoke("fail", "x", invocation_id="11111111-2222-3333-4444-555555555555")
        fine = host.invoke("chatty", "y")
    assert failed.status == 500
    assert failed.headers["content-type"] == "application/problem+json"
    assert failed.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "ValueError: x",
        "function": "fail",
        "invocationId": "11111111-2222-3333-4444-555555555555",
    }
    assert fine.json()["Logs"] == ["INFO: one y", "WARNING: two y"]
    wait_for(lambda: any("about to fail: x" in line and "11111111" in line for line in server.stderr), "the record")
    wait_for(lambda: any("ValueError: x" in line for line in server.stderr), "the traceback")
    assert not any("y" in line.split() for line in [*server.stdout, *server.stderr])


def test_log_format_json_gives_one_object_a_line(serve: Serve) -> None:
    """FASTWORKER_LOG_FORMAT=json is for machines: every line of ours parses."""
    server = serve(workers=1, log_format="json")
    with server.connect() as host:
        host.invoke("fail", "x")
    wait_for(lambda: len(server.stderr) >= 1, "the error")
    for line in [*server.stdout, *server.stderr]:
        assert json.loads(line)["level"]


def test_unknown_function_is_404(serve: Serve) -> None:
    """Without the names of those there are."""
    with serve(workers=1).connect() as host:
        response = host.invoke("nothing")
    assert response.status == 404
    assert response.json()["detail"] == "no function at '/nothing'"


def test_handler_that_calls_sys_exit_costs_one_500(serve: Serve) -> None:
    """SystemExit ends the invocation, not the worker."""
    with serve(workers=1).connect() as host:
        before = host.invoke("pid").value
        assert host.invoke("sys_exit", 0).status == 500
        assert host.invoke("pid").value == before


@pytest.mark.parametrize("preload", [1, 0])
def test_what_is_worth_a_warning_in_an_app_stands_in_the_log_once(serve: Serve, tmp_path: Path, preload: int) -> None:
    """With two workers, whether the app is imported once or in each of them."""
    (tmp_path / "function_app.py").write_text(
        "import fastworker as fw\napp = fw.App()\n"
        "@app.route('p/{x}', auth_level='anonymous')\ndef first(req: fw.Request, x: str) -> str: return x\n"
        "@app.route('p/secret', auth_level='admin')\ndef second(req: fw.Request) -> str: return 's'\n"
    )
    handler = {"description": {"defaultExecutablePath": "x"}, "enableForwardingHttpRequest": True}
    (tmp_path / "host.json").write_text(json.dumps({"version": "2.0", "customHandler": handler}))
    server = serve(cwd=tmp_path, app="function_app.py", workers=2, preload=preload, mixed_auth="allow").wait_ready()
    wait_for(lambda: [line for line in server.stderr + server.stdout if "app.warning" in line], "the warning")
    server.stop()
    told = [line for line in server.stderr + server.stdout if "app.warning" in line]
    assert any("could be run without its key" in line for line in told)
    assert len(told) == len(set(told)), told


def test_another_address_is_listened_on_where_it_is_asked_for_and_warned_of(tmp_path: Path) -> None:
    """Without the flag only 127.0.0.1 answers; with it, whoever reaches the address runs everything."""
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FASTWORKER_", "FUNCTIONS_"))}
    command = [sys.executable, "-m", "fastworker", "serve", "scenarios:app", "--port", str(port), "--workers", "1"]
    with subprocess.Popen([*command, "--address", "127.0.0.2"], cwd=APPS, env=clean, stderr=subprocess.PIPE) as server:
        try:
            wait_for(lambda: answers("127.0.0.2", port), "an answer")
            assert not answers("127.0.0.1", port)
        finally:
            server.terminate()
        assert server.stderr is not None
        told = server.stderr.read().decode()
    assert "server.exposed" in told
    assert "127.0.0.2" in told
    assert server.returncode == 0


def answers(address: str, port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection((address, port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return client.recv(100).startswith(b"HTTP/1.1 200")
    return False
