"""Apps that ask for proxying under a host that does not know it, such as 4.1037: its envelopes are served."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

from tests.harness import Response, Server, request_bytes

ROOT = Path(__file__).parents[2]


def ask(server: Server, function: str, method: str = "GET", **request: Any) -> Response:
    """An http function's envelope, chunked, with the host's own headers."""
    member = {"Url": "http://x/api/y", "Method": method, "Query": {}, "Headers": {}, "Params": {}, "Identities": [{}]}
    body = json.dumps({"Data": {"req": member | request}, "Metadata": {"sys": {"MethodName": function}}}).encode()
    with server.connect() as host:
        host.send(request_bytes(f"/{function}", body))
        return host.receive()


def answer(response: Response) -> Any:
    """The http output of an envelope's answer."""
    assert response.status == 200, response.body
    return next(iter(response.json()["Outputs"].values()))


def test_the_streaming_example_runs_as_it_is(tmp_path):
    """Page, table, events, upload and download; streams arrive as a whole."""
    folder = tmp_path / "app"
    shutil.copytree(ROOT / "docs/examples/streaming", folder)
    with Server(cwd=folder, app="function_app.py", workers=1) as server:
        server.wait_ready()
        assert "<html" in answer(ask(server, "page"))["body"].lower()
        assert "data: " in answer(ask(server, "primes", Query={"limit": "1000"}))["body"]
        assert answer(ask(server, "table", Query={"rows": "3"}))["statusCode"] in (200, "200")
        kind = {"Content-Type": ["application/octet-stream"]}
        stored = ask(
            server, "store", "PUT", Params={"name": "a.txt"}, Headers=kind, Body=base64.b64encode(b"hello").decode()
        )
        assert str(answer(stored)["statusCode"]).startswith("2")
        assert "hello" in str(answer(ask(server, "fetch", Params={"name": "a.txt"})))


def test_the_benchmarks_stream_runs_as_it_is():
    """From ordinary and from async generators."""
    with Server(cwd=ROOT, app="benchmarks/functions/stream/function_app.py", workers=1) as server:
        server.wait_ready()
        for function in ("stream", "stream_sync"):
            found = answer(ask(server, function, Params={"count": "3", "pause_us": "0"}))
            assert len(found["body"].splitlines()) == 3
