"""Spans of a real server, at a receiver built on OpenTelemetry's own protobufs."""

import gzip
import http.server
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import STOPPED, HostConnection, Server, envelope, free_port, wait_for

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from tests.otlp import Receiver, receiver

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CONTEXT = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=x", "baggage": "tenant = blue"}


@pytest.fixture(scope="module")
def otlp() -> Iterator[Receiver]:
    with receiver() as found, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("OTEL_")]:
            patch.delenv(name)
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.address)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        patch.setenv("OTEL_SERVICE_NAME", "shop")
        yield found


@pytest.fixture(scope="module")
def server(otlp: Receiver) -> Iterator[Server]:
    with Server(app="traced:app", workers=1, http_mode="proxy", grace=0.3, log_format="json") as server:
        yield server.wait_ready()


@pytest.fixture
def host(server: Server) -> Iterator[HostConnection]:
    with server.connect() as connection:
        yield connection


def invoke(host: HostConnection, function: str, job: object = None, **headers: str) -> int:
    """Posts an envelope, as the host does, with further headers."""
    return post(host, f"/{function}", envelope(job), **headers)


def post(host: HostConnection, path: str, body: bytes, **headers: str) -> int:
    send(host, path, body, **headers)
    return host.receive().status


def send(host: HostConnection, path: str, body: bytes, **headers: str) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Azure-Functions-InvocationId: id-{path[1:]}\r\n"
        f"User-Agent: Azure-Functions-Host/4.1037.0.0\r\nTransfer-Encoding: chunked\r\n{lines}\r\n"
    )
    host.send(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))


def get(host: HostConnection, target: str) -> bytes:
    """A client's own request, as the proxying host passes it on, up to the end of the connection."""
    head = (
        f"GET {target} HTTP/1.1\r\nHost: shop.test:8080\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\n"
    )
    host.send(f"{head}X-Forwarded-For: 1.2.3.4\r\nUser-Agent: curl/8\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while more := host.socket.recv(1 << 16):
        data += more
    return data


def test_an_invocation_is_a_child_of_the_hosts_span(host: HostConnection, otlp: Receiver) -> None:
    """With what the conventions say of a queue's function, its wait, and the vendor's state."""
    assert invoke(host, "threads", **CONTEXT) == 200
    span = otlp.wait("process jobs", where=lambda s: s.attributes["faas.name"] == "threads")
    assert (span.trace_id, span.parent_id, span.state) == (TRACE, PARENT, "vendor=x")
    assert (span.kind, span.status) == (5, 0)
    assert span.attributes == {
        "faas.trigger": "pubsub",
        "faas.name": "threads",
        "faas.invocation_id": "id-threads",
        "messaging.system": "azure_queue_storage",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "jobs",
    }
    assert [event.name for event in span.events] == ["queue_wait"]
    assert 0 <= span.events[0].attributes["fastworker.queue_wait.duration"] < 5
    assert span.resource["service.name"] == "shop"


def test_spans_of_a_def_handler_and_of_its_threads_nest_below_it(host: HostConnection, otlp: Receiver) -> None:
    assert invoke(host, "threads", traceparent=f"00-{'1' * 32}-{PARENT}-01") == 200
    own = otlp.wait("process jobs", where=lambda s: s.trace_id == "1" * 32)
    for name in ("in-def", "in-thread"):
        assert otlp.wait(name, where=lambda s: s.trace_id == "1" * 32).parent_id == own.span_id


def test_spans_of_an_async_handler_and_of_its_threads_nest_below_it(host: HostConnection, otlp: Receiver) -> None:
    assert invoke(host, "tasks", traceparent=f"00-{'2' * 32}-{PARENT}-01") == 200
    own = otlp.wait("process jobs", where=lambda s: s.trace_id == "2" * 32)
    for name in ("in-async", "in-to-thread"):
        assert otlp.wait(name, where=lambda s: s.trace_id == "2" * 32).parent_id == own.span_id


def test_without_the_hosts_headers_it_is_a_root_and_baggage_reaches_the_handler(
    host: HostConnection, otlp: Receiver
) -> None:
    """As recorded: `traceparent` comes only with Application Insights, and baggage with blanks around its `=`."""
    assert invoke(host, "tasks") == 200
    own = otlp.wait("process jobs", where=lambda s: s.attributes["faas.name"] == "tasks" and not s.parent_id)
    assert own.trace_id != TRACE
    send(host, "/threads", envelope(), baggage="tenant = blue")
    assert host.receive().value == "blue"


def test_the_hosts_flags_of_00_leave_nothing_out(host: HostConnection, otlp: Receiver) -> None:
    """The host sends them for each client that has sent none; its own decision they are not (docs/tracing.md)."""
    assert invoke(host, "threads", traceparent=f"00-{'3' * 32}-{PARENT}-00") == 200
    assert otlp.wait("process jobs", where=lambda s: s.trace_id == "3" * 32).parent_id == PARENT


def test_a_failed_invocation_is_an_error_with_its_exception(
    host: HostConnection, server: Server, otlp: Receiver
) -> None:
    """And its line in the log has the ids."""
    assert invoke(host, "fail", "no such order") == 500
    span = otlp.wait("process jobs", where=lambda s: s.attributes["faas.name"] == "fail")
    assert (span.status, span.message) == (2, "ValueError: no such order")
    assert span.attributes["error.type"] == "ValueError"
    exception = span.events[-1]
    assert (exception.name, exception.attributes["exception.type"]) == ("exception", "ValueError")
    line = wait_for(lambda: next((json.loads(s) for s in server.stderr if "no such order" in s), None), "the traceback")
    assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)


def test_a_request_in_plain_http_is_told_by_the_http_conventions(host: HostConnection, otlp: Receiver) -> None:
    """The query, which may hold a key, is not told; a stream's span lasts until its end."""
    assert b"\r\n\r\n" in get(host, "/api/items/2?code=secret")
    span = otlp.wait("GET /api/items/{count}")
    assert span.kind == 2
    assert span.attributes == {
        "faas.trigger": "http",
        "faas.name": "items",
        "http.route": "/api/items/{count}",
        "http.request.method": "GET",
        "url.path": "/api/items/2",
        "url.scheme": "https",
        "server.address": "shop.test",
        "user_agent.original": "curl/8",
        "http.response.status_code": 200,
    }
    assert [s.parent_id for s in otlp.named("item")] == [span.span_id] * 2
    assert all(span.start_ns <= s.start_ns <= s.end_ns <= span.end_ns for s in otlp.named("item"))


def test_a_stream_that_is_cut_is_an_error(host: HostConnection, otlp: Receiver) -> None:
    get(host, "/api/slow/3")
    span = otlp.wait("GET /api/slow/{count}")
    assert (span.attributes["http.response.status_code"], span.status, span.message) == (
        200,
        2,
        "RuntimeError: too many",
    )


def test_an_http_function_by_envelope_is_told_by_what_its_client_has_sent(host: HostConnection, otlp: Receiver) -> None:
    """And has its client's status, which stands within the envelope."""
    value = {"Url": "http://localhost:7071/api/teapot?code=secret", "Method": "PUT", "Headers": {}, "Query": {}}
    assert post(host, "/teapot", json.dumps({"Data": {"req": value}, "Metadata": {}}).encode()) == 200
    span = otlp.wait("PUT /api/teapot")
    told = ("http.request.method", "url.path", "url.scheme", "server.port", "http.response.status_code")
    assert [span.attributes[name] for name in told] == ["PUT", "/api/teapot", "http", 7071, 418]
    assert span.status == 0
    assert "secret" not in str(otlp.spans)


def test_a_timer_is_told_by_its_schedule(host: HostConnection, otlp: Receiver) -> None:
    assert post(host, "/nightly", b'{"Data": {"tick": {"Schedule": {}, "IsPastDue": false}}, "Metadata": {}}') == 200
    span = otlp.wait("nightly")
    assert (span.attributes["faas.trigger"], span.attributes["faas.cron"]) == ("timer", "0 0 3 * * *")


def test_the_soft_deadline_is_an_error(host: HostConnection, otlp: Receiver) -> None:
    assert invoke(host, "late") == 504
    span = otlp.wait("process jobs", where=lambda s: s.attributes["faas.name"] == "late")
    assert (span.status, span.attributes["error.type"]) == (2, "DeadlineExceeded")


@pytest.mark.parametrize(
    ("function", "status", "kind"), [("crash", 500, "crashed"), ("stubborn", 504, "deadline_hard")]
)
def test_the_span_of_an_invocation_whose_worker_died_is_written_once(
    host: HostConnection, server: Server, otlp: Receiver, function: str, status: int, kind: str
) -> None:
    """Of a crash and of the hard deadline, with its parent, what was known of it, and what was answered."""
    trace_id = f"{status}" + "4" * 29
    assert invoke(host, function, traceparent=f"00-{trace_id}-{PARENT}-01", tracestate="vendor=y") == status
    span = otlp.wait("process jobs", where=lambda s: s.trace_id == trace_id)
    assert (span.parent_id, span.state, span.kind, span.status) == (PARENT, "vendor=y", 5, 2)
    assert span.attributes["error.type"] == kind
    assert span.attributes["faas.invocation_id"] == f"id-{function}"
    assert [event.name for event in span.events] == ["queue_wait", "worker_died"]
    assert span.resource["service.name"] == "shop"
    assert span.start_ns < span.end_ns
    assert invoke(host, "threads") == 200  # and nobody writes it again
    otlp.wait("process jobs", where=lambda s: s.start_ns > span.end_ns)
    assert len([s for s in otlp.spans if s.trace_id == trace_id]) == 1


def test_all_async_invocations_of_a_worker_that_crashes_have_their_spans(server: Server, otlp: Receiver) -> None:
    with server.connect() as one, server.connect() as two, server.connect() as three:
        for number, connection in enumerate((one, two, three)):
            before = server.stdout.count("it waits")
            context = f"00-{'5' * 31}{number}-{PARENT}-01"
            send(connection, "/crash_async", envelope("wait" if number < 2 else "now"), traceparent=context)
            if number < 2:
                wait_for(lambda before=before: server.stdout.count("it waits") > before, "the handler")
        assert [connection.receive().status for connection in (one, two, three)] == [500] * 3
    wait_for(lambda: len([s for s in otlp.spans if s.trace_id.startswith("5" * 31)]) == 3, "their spans")


def test_recycling_sends_what_is_there_and_what_the_drain_cuts_is_written(
    otlp: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    with Server(app="traced:app", workers=1, drain=0.5) as server:
        server.wait_ready()
        with server.connect() as host:
            assert invoke(host, "threads", traceparent=f"00-{'6' * 32}-{PARENT}-01") == 200
            os.kill(next(iter(server.workers())), signal.SIGTERM)
            otlp.wait("process jobs", where=lambda s: s.trace_id == "6" * 32)
            assert invoke(host, "crash", traceparent=f"00-{'8' * 32}-{PARENT}-01") == 500
            otlp.wait("process jobs", where=lambda s: s.trace_id == "8" * 32)  # the writer has all that it needs
            send(host, "/crash_async", envelope("wait"), traceparent=f"00-{'9' * 32}-{PARENT}-01")
            wait_for(lambda: "it waits" in server.stdout, "the handler")
            server.signal(signal.SIGTERM)
            assert server.wait() == STOPPED
    cut = [(s.status, s.attributes["error.type"]) for s in otlp.spans if s.trace_id == "9" * 32]
    assert cut == [(2, "crashed")]


def test_a_receiver_that_is_down_costs_spans_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line tells of it, and no end waits for it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
    port = free_port()
    with Server(app="traced:app", workers=1, metrics_port=port) as server:
        server.wait_ready()
        with server.connect() as host:
            for _ in range(3):
                assert invoke(host, "threads") == 200
            assert invoke(host, "crash") == 500
            assert invoke(host, "threads") == 200
        dropped = re.compile(r'^fastworker_spans_total\{fate="dropped"\} [1-9]', re.MULTILINE)
        wait_for(lambda: dropped.search(metrics(port)), "the count of what was dropped")
        assert 'fate="exported"} 0\n' in metrics(port)
        server.signal(signal.SIGTERM)
        assert server.wait(8) == STOPPED
    told = [line for line in server.stderr if "telemetry.dropped" in line]
    assert told
    assert not [line for line in server.stderr if "Traceback" in line or "exit.cut" in line]


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return str(response.read(), "utf-8")


HIDING = """
import sys
class Hiding:
    def find_spec(name, *_):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hiding)
"""


def test_a_missing_extra_stops_the_start_only_where_it_was_asked_for_by_name(tmp_path: Path) -> None:
    """A standard variable may be meant for the host, or for a neighbour."""
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        with Server(workers=1) as server:
            server.wait_ready()
            assert any("telemetry.missing" in line and "[otel]" in line for line in server.stderr)
        with Server(workers=1, telemetry="otel") as server:
            assert server.wait() == 2
            assert "pip install 'fastworker-functions[otel]'" in server.stderr[-1]


@pytest.fixture
def collector(otlp: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A collector in front of the receiver: the one that PyPI has."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        pytest.skip("needs the collector of the package rotel")
    port, grpc = free_port(), free_port()
    process = subprocess.Popen(
        [
            *(Path(found.origin).parent / "rotel-agent", "start", "--disable-batching", "--exporter", "otlp"),
            *("--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"),
            *("--otlp-exporter-endpoint", otlp.address, "--otlp-exporter-protocol", "http"),
        ],
        env={},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: listens(port), "the collector")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        yield port
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_collector_takes_the_spans_of_the_living_and_the_dead(collector: int, otlp: Receiver) -> None:
    """Not only what is built on the same library as the exporter."""
    with Server(app="traced:app", workers=1) as server:
        server.wait_ready()
        with server.connect() as host:
            assert invoke(host, "threads", traceparent=f"00-{'a' * 32}-{PARENT}-01", tracestate="vendor=z") == 200
            span = otlp.wait("process jobs", where=lambda s: s.trace_id == "a" * 32)
            assert (span.parent_id, span.state, span.kind) == (PARENT, "vendor=z", 5)
            assert invoke(host, "crash", traceparent=f"00-{'b' * 32}-{PARENT}-01") == 500
            span = otlp.wait("process jobs", where=lambda s: s.trace_id == "b" * 32)
            assert (span.parent_id, span.status) == (PARENT, 2)


def test_azure_monitor_gets_them_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As requests of Application Insights, below the host's operation; the host's own variable turns nothing on."""
    pytest.importorskip("azure.monitor.opentelemetry.exporter", reason="needs the extra azure-monitor")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    monkeypatch.setenv("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    taken: list[dict[str, Any]] = []

    class Ingestion(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            items = json.loads(gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data)
            taken.extend(items)
            answer = json.dumps({"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ingestion) as ingestion:
        threading.Thread(target=ingestion.serve_forever, args=(0.05,), daemon=True).start()
        address = f"http://127.0.0.1:{ingestion.server_address[1]}/"
        monkeypatch.setenv(
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            f"InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint={address};LiveEndpoint={address}",
        )
        with Server(app="traced:app", workers=1, telemetry="azure-monitor") as server:
            server.wait_ready()
            with server.connect() as host:
                assert invoke(host, "fail", "no such order", traceparent=f"00-{'c' * 32}-{PARENT}-00") == 500
                wait_for(lambda: [t for t in taken if t["data"]["baseType"] == "RequestData"], "the request")
        ingestion.shutdown()
    (request,) = [item for item in taken if item["data"]["baseType"] == "RequestData"]
    assert (request["tags"]["ai.operation.id"], request["tags"]["ai.operation.parentId"]) == ("c" * 32, PARENT)
    assert request["data"]["baseData"]["success"] is False


def test_an_application_that_is_none_of_ours_is_traced_too(otlp: Receiver) -> None:
    """Its spans nest below that of the request, whose route is the whole application's."""
    with Server(app="traced_asgi:application", workers=1) as server:
        server.wait_ready()
        with server.connect() as host:
            assert b"hello" in get(host, "/any/where")
        span = otlp.wait("GET /{*path}")
    assert (span.attributes["url.path"], span.attributes["http.response.status_code"]) == ("/any/where", 200)
    assert otlp.wait("in-application").parent_id == span.span_id
