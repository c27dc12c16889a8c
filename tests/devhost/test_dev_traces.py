"""Traces through `fastworker dev`: the local host's spans and the handler's are one tree."""

import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from tests.devhost.test_commands import dev
from tests.harness import wait_for
from tests.otlp import receiver

APP = """
import fastworker as fw

app = fw.App()


@app.route("order", methods=["POST"])
@app.queue_output("message", queue_name="orders")
def order(req: fw.Request, message: fw.Out[str]) -> str:
    message.set(req.text)
    return "accepted"


@app.queue_trigger("item", queue_name="orders")
@app.blob_output("receipt", path="receipts/{Id}.txt")
async def ship(item: str, receipt: fw.Out[str]) -> None:
    receipt.set(item)


@app.blob_trigger("receipt", path="receipts/{name}")
def archive(receipt: bytes) -> None:
    pass
"""
CLIENT = ("1" * 32, "2" * 16)


def test_http_to_queue_to_function_to_blob_is_one_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the client's own span: each span but the first has its parent among the others."""
    (tmp_path / "function_app.py").write_text(APP)
    with receiver() as otlp:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.address)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        with dev(tmp_path, "--max-poll", "0.1") as process:
            process.says("ready")
            address = f"http://127.0.0.1:{process.port}/api/order"
            request = urllib.request.Request(address, b"a hat", {"traceparent": f"00-{CLIENT[0]}-{CLIENT[1]}-01"})
            with urllib.request.urlopen(request, timeout=20) as response:
                assert response.read() == b"accepted"
            wait_for(lambda: len(otlp.spans) >= 8, "all spans", 20)
    names = {span.span_id: span.name for span in otlp.spans}
    assert {span.trace_id for span in otlp.spans} == {CLIENT[0]}
    tree = {span.name: names.get(span.parent_id, span.parent_id) for span in otlp.spans}
    assert tree == {
        "host: order": CLIENT[1],
        "POST /api/order": "host: order",
        "send orders": "host: order",
        "host: ship": "send orders",
        "process orders": "host: ship",
        "write receipts": "host: ship",
        "host: archive": "write receipts",
        "archive": "host: archive",
    }
    services = {span.name: span.resource["service.name"] for span in otlp.spans}
    assert (services["host: ship"], services["process orders"]) == ("fastworker dev", "shop")
