"""The metrics port of a real server: the page by both formats' own parsers, probes, and whoever means it ill."""

import contextlib
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import Server, envelope, free_port, wait_for

Serve = Callable[..., Server]
OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"


def fetch(port: int, path: str = "/metrics", accept: str = "") -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.headers["Content-Type"], response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def samples(port: int, accept: str = "") -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by name and labels, as the format's own parser reads them."""
    _, kind, page = fetch(port, accept=accept)
    parse: Any = openmetrics.text_string_to_metric_families if "openmetrics" in kind else text_string_to_metric_families
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parse(page):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def answers(port: int) -> bool:
    try:
        return fetch(port, "/livez")[0] == 200
    except OSError:
        return False


@pytest.fixture
def measured(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Server, int]:
    (tmp_path / "runs").touch()
    monkeypatch.setenv("CHAOS_RUNS", str(tmp_path / "runs"))
    port = free_port()
    return serve(workers=2, deadline=1, grace=0.5, metrics_port=port), port


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_the_page_counts_what_clients_were_answered(measured: tuple[Server, int], accept: str) -> None:
    """In the format that was asked for, with whole histograms, and a death among them."""
    server, port = measured
    with server.connect() as host:
        for _ in range(3):
            assert host.invoke("record", "x").status == 200
        assert host.invoke("nap", 0.01).status == 200
        assert host.invoke("segfault").status == 500
        assert host.post("/record", b"{").status == 400
        assert host.post('/no"such\n', envelope()).status in (400, 404)
    wait_for(lambda: samples(port)["fastworker_workers"][(("state", "ready"),)] == 2, "two workers")
    found = samples(port, accept)

    def of(name: str, **labels: str) -> float | None:
        return found[f"fastworker_{name}"].get(tuple(sorted(labels.items())))

    counted = found["fastworker_invocations_total"]
    assert {labels: count for labels, count in counted.items() if count} == {
        (("function", "record"), ("outcome", "ok")): 3,
        (("function", "record"), ("outcome", "rejected")): 1,
        (("function", "nap"), ("outcome", "ok")): 1,
        (("function", "segfault"), ("outcome", "crashed")): 1,
    }
    for kind, count in (("invocation_duration", 3), ("queue_wait", 4), ("invocation_cpu", 4)):
        assert of(f"{kind}_seconds_bucket", function="record", le="+Inf") == count
        assert of(f"{kind}_seconds_count", function="record") == count
    assert of("invocation_duration_seconds_count", function="segfault") == 1
    assert 0.01 <= (of("invocation_duration_seconds_sum", function="nap") or 0) < 10
    assert of("worker_restarts_total", cause="crashed") == 1
    assert sum(found["fastworker_worker_busy_seconds_total"].values()) > 0.01
    assert all(size > 1 << 20 for size in found["fastworker_worker_resident_bytes"].values())
    assert set(found["fastworker_workers"].values()) == {0, 2}
    assert sum(found["fastworker_unnamed_requests_total"].values()) >= 1
    assert len(found["fastworker_build_info"]) == 1


def test_probes_say_whether_the_server_lives_and_is_ready(measured: tuple[Server, int]) -> None:
    """Ready is who has a worker and does not drain; while it drains, what is in flight goes on."""
    server, port = measured
    assert fetch(port, "/livez")[0] == 200
    assert fetch(port, "/readyz")[0] == 200
    with server.connect() as host:
        host.send(b"POST /spin HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(envelope()), envelope()))
        wait_for(lambda: samples(port)["fastworker_in_flight"][()] == 1, "the invocation")
        server.signal(15)
        wait_for(lambda: fetch(port, "/readyz")[0] == 503, "not ready")
        assert fetch(port, "/livez")[0] == 200
        assert host.receive().status == 504
    server.wait()


def test_a_port_that_is_taken_ends_the_server_with_its_name() -> None:
    """Code 4, as the server's own port; the last line says which setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Server(workers=1, metrics_port=port) as server:
            assert server.wait() == 4
            assert f"127.0.0.1:{port}" in server.stderr[-1]
            assert "FASTWORKER_METRICS_PORT" in server.stderr[-1]


def test_a_hostile_scraper_costs_its_own_connection_only(measured: tuple[Server, int]) -> None:
    """Too much, nonsense, bodies, too many at once, and a pipeline: each is bounded, and the page stays there."""
    server, port = measured

    def ends(data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as scraper, contextlib.suppress(OSError):
            scraper.sendall(data)
            scraper.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: scraper.recv(1 << 16), b""))
        return b""

    assert ends(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000) == b""
    for wrong in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/2\r\n\r\n", b"\xff\x00 a HTTP/9\r\n\r\n"):
        assert ends(wrong).startswith(b"HTTP/1.1 400 ")
    assert ends(b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").startswith(b"HTTP/1.1 400 ")
    assert ends(b"POST /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    assert ends(b"GET /elsewhere HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    before = len(os.listdir(f"/proc/{server.pid}/fd"))
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            scraper = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            with contextlib.suppress(OSError):
                scraper.sendall(b"GET /met")
        wait_for(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) <= before + 16, "sixteen of them, no more")
        # Who has begun with a request has 3 s for it; then there is room again.
        wait_for(lambda: answers(port), "room for another one")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as scraper:
        scraper.sendall(b"GET /livez HTTP/1.1\r\n\r\nHEAD /metrics HTTP/1.1\r\n\r\nGET /livez HTTP/1.0\r\n\r\n")
        data = b"".join(iter(lambda: scraper.recv(1 << 16), b""))
    assert data.count(b"HTTP/1.1 200 OK") == 3
    assert data.endswith(b"live\n")
    assert fetch(port, "/livez")[0] == 200
