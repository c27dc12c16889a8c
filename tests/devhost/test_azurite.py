"""Real Azurite, and the documentation's own Express sample: read back with the official SDK."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from fastworker.devhost.storage import azurite_string
from tests.devhost.azurite import AzuriteServer, node_modules
from tests.devhost.stand import (
    BLOB_OUT,
    HTTP_IN,
    HTTP_OUT,
    QUEUE_IN,
    QUEUE_OUT,
    Answering,
    AppFolder,
    LocalHost,
    answering,
    command,
    scripted,
)
from tests.harness import wait_for

# The first run installs the packages from npm.
pytestmark = pytest.mark.timeout(300)

ORDER = '{"id": 1005, "quantity": 1, "color": "black"}'
# The documentation's sample ("Azure Functions custom handlers", preview edition), as it stands there.
EXPRESS = """
const express = require("express");
const app = express();

app.use(express.json());

const PORT = process.env.FUNCTIONS_HTTPWORKER_PORT;

const server = app.listen(PORT, "localhost", () => {
  console.log(`Your port is ${PORT}`);
  const { address: host, port } = server.address();
  console.log(`Example app listening at http://${host}:${port}`);
});

app.post("/order", (req, res) => {
  const message = req.body.Data.req.Body;
  const response = {
    Outputs: {
      message: message,
      res: {
        statusCode: 200,
        body: "Order complete"
      }
    },
    Logs: ["order processed"]
  };
  res.json(response);
});
"""
ORDER_FUNCTION = {
    "bindings": [
        {"type": "httpTrigger", "direction": "in", "name": "req", "methods": ["post"]},
        {"type": "http", "direction": "out", "name": "res"},
        {
            "type": "queue",
            "name": "message",
            "direction": "out",
            "queueName": "orders",
            "connection": "AzureWebJobsStorage",
        },
    ]
}
# And its host.json, in the form of March 2020.
EXPRESS_HOST = {
    "version": "2.0",
    "httpWorker": {"description": {"defaultExecutablePath": "node", "defaultWorkerPath": "server.js"}},
}


def connected(azurite: AzuriteServer) -> dict[str, Any]:
    return {"AzureWebJobsStorage": azurite.connection_string}


def queue_texts(azurite: AzuriteServer, queue: str) -> list[bytes]:
    """What the official SDK finds in a queue, base64 undone, and removes."""
    with QueueClient.from_connection_string(azurite.connection_string, queue) as client:
        found = []
        for message in client.receive_messages(max_messages=32):
            found.append(base64.b64decode(message.content))
            client.delete_message(message)
    return found


def test_express_sample_of_the_documentation_runs_unchanged(azurite: AzuriteServer, folder: AppFolder) -> None:
    """JavaScript under httpWorker: the order lands in a real Azurite queue."""
    modules = node_modules("express")
    folder.write("server.js", EXPRESS)
    folder.write("host.json", EXPRESS_HOST)
    folder.write("order/function.json", ORDER_FUNCTION)
    (folder.root / "node_modules").symlink_to(modules)
    # The sample listens on "localhost", which must be IPv4 here as it is in the cloud (trap 9).
    environ = {**connected(azurite), "NODE_OPTIONS": "--dns-result-order=ipv4first"}
    with LocalHost(folder.root, **environ) as host:
        reply = host.call("POST", "/api/order", ORDER, Content_Type="application/json")
        assert (reply.status, reply.body) == (200, b"Order complete")
        host.says("[order] order processed")
    (message,) = queue_texts(azurite, "orders")
    assert json.loads(message) == json.loads(ORDER)


def test_triggers_and_outputs_work_on_azurite(azurite: AzuriteServer, tmp_path: Path) -> None:
    """Queue in, queue, blob and table out, with poison and blob trigger: all against the real services."""
    table = {"type": "table", "direction": "out", "name": "t", "tableName": "rows"}
    blob_in = {"type": "blobTrigger", "direction": "in", "name": "blob", "path": "things/{name}"}
    functions = (
        ("work", [QUEUE_IN, {**QUEUE_OUT, "queueName": "worked"}, BLOB_OUT, table]),
        ("seen", [blob_in, {**QUEUE_OUT, "queueName": "blobs-seen"}]),
    )
    documents: dict[str, Any] = {
        "/work": {"Outputs": {"out": "hello", "b": "text!", "t": {"PartitionKey": "p", "RowKey": "r", "big": 2**40}}},
        "/seen": {"Outputs": {"out": "hello"}},
    }
    with scripted(tmp_path, *functions, environ=connected(azurite)) as (host, handler):

        def script(request: Any) -> Answering:
            bad = b"bad" in request.body
            return Answering(500) if bad else answering(documents[request.path])(request)

        handler.script = script
        account = host.app.accounts.open("AzureWebJobsStorage")
        assert account.description.startswith("Azurite (127.0.0.1:")
        host.run(account.put_message("jobs", b"good"))
        host.run(account.put_message("jobs", b"bad"))
        wait_for(lambda: any(r.path == "/seen" for r in handler.received), "the blob trigger", 20)
        host.says("moved to 'jobs-poison'", 20)
        (listed,), read = host.run(account.list_blobs("things")), host.run(account.read_blob("things", "one"))
        assert listed.etag == read.etag, "a version must have one name, or it would be processed again and again"
        metadata = handler.received[0].envelope["Metadata"]
        assert json.loads(metadata["PopReceipt"])
    assert queue_texts(azurite, "worked") == [b"hello"]
    assert queue_texts(azurite, "jobs-poison") == [b"bad"]
    assert queue_texts(azurite, "blobs-seen") == [b"hello"]
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        assert service.get_blob_client("things", "one").download_blob().readall() == b"text!"
    with TableServiceClient.from_connection_string(azurite.connection_string) as tables:
        assert tables.get_table_client("rows").get_entity("p", "r")["big"].value == 2**40


def test_message_that_is_no_base64_is_poisoned(azurite: AzuriteServer, tmp_path: Path) -> None:
    """As it is stored (B-036); the terminal names the setting."""
    with QueueClient.from_connection_string(azurite.connection_string, "plain") as client:
        client.create_queue()
        client.send_message("{not base64}")
        with scripted(tmp_path, ("f", [{**QUEUE_IN, "queueName": "plain"}]), environ=connected(azurite)) as (host, _):
            host.says("messageEncoding", 20)
    with QueueClient.from_connection_string(azurite.connection_string, "plain-poison") as client:
        assert [message.content for message in client.receive_messages()] == ["{not base64}"]


def test_inputs_are_read_from_azurite(azurite: AzuriteServer, tmp_path: Path) -> None:
    """Blob and table inputs, through their expressions."""
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container("docs")
        service.get_blob_client("docs", "a.json").upload_blob(b'{"k":1}')
    with TableServiceClient.from_connection_string(azurite.connection_string) as tables:
        tables.create_table("people").create_entity({"PartitionKey": "x", "RowKey": "a", "age": 7})
    bindings = [
        {**HTTP_IN, "route": "r/{id}"},
        {"type": "blob", "direction": "in", "name": "doc", "path": "docs/{id}.json"},
        {"type": "table", "name": "one", "tableName": "people", "partitionKey": "x", "rowKey": "{id}"},
        {"type": "table", "name": "many", "tableName": "people", "partitionKey": "x"},
        HTTP_OUT,
    ]
    with scripted(tmp_path, ("f", bindings), environ=connected(azurite)) as (host, handler):
        assert host.call("GET", "/api/r/a").status == 204
        data = handler.received[0].envelope["Data"]
    assert data["doc"] == '"{\\"k\\":1}"'
    assert data["one"]["age"] == 7
    assert [row["RowKey"] for row in json.loads(data["many"])] == ["a"]


def test_order_example_runs_end_to_end_on_azurite(azurite: AzuriteServer, tmp_path: Path) -> None:
    """HTTP to fastworker to queue to queue-triggered function to blob, with the app that `fastworker new` writes."""
    pipeline_runs(tmp_path, **connected(azurite))
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        receipt = json.loads(service.get_blob_client("receipts", "1005.json").download_blob().readall())
    assert receipt == {"id": 1005, "total": 29.85}


def test_order_example_runs_end_to_end_on_the_embedded_store(tmp_path: Path) -> None:
    """The same with nothing installed."""
    pipeline_runs(tmp_path)


def pipeline_runs(tmp_path: Path, **environ: Any) -> None:
    app = tmp_path / "shop"
    assert command("new", "shop", cwd=tmp_path).returncode == 0
    with LocalHost(app, **environ, FASTWORKER_WORKERS="2") as host:
        body = '{"id": 1005, "quantity": 3, "color": "black"}'
        reply = host.call("POST", "/api/order", body, Content_Type="application/json")
        assert (reply.status, reply.body) == (200, b"Order complete")
        assert json.loads(host.blob("receipts", "1005.json")) == {"id": 1005, "total": 29.85}
        host.says("INFO: writing the receipt of order 1005")


@pytest.mark.parametrize("setting", [azurite_string(blob=1, queue=1, table=1), "nonsense"], ids=["closed", "nonsense"])
def test_storage_that_cannot_be_used_is_told_with_its_setting(tmp_path: Path, setting: str) -> None:
    """Never the embedded store in its place: the setting names another one."""
    with scripted(tmp_path, ("f", [QUEUE_IN]), environ={"AzureWebJobsStorage": setting}) as (host, _):
        host.says("function.json:")
        line = host.says("connection 'AzureWebJobsStorage'")
        assert "does not answer" in line or "no storage connection string" in line
