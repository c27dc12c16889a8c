"""What the real host made of messages, blobs and outputs (part B), through `dev` on the embedded store and on Azurite.

A table by kind, not a copy of the recordings: each row names the recording that decided it.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from fastworker.devhost.storage import Account
from tests.devhost.azurite import AzuriteServer
from tests.devhost.stand import HTTP_IN, HTTP_OUT, LocalHost, ScriptedHandler, answering, scripted
from tests.harness import wait_for


def queue_in(queue: str, **more: Any) -> dict[str, Any]:
    return {"type": "queueTrigger", "direction": "in", "name": "item", "queueName": queue, **more}


def blob_in(path: str) -> dict[str, Any]:
    return {"type": "blobTrigger", "direction": "in", "name": "blob", "path": path}


def out(kind: str, name: str, place: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "direction": "out", "name": name, "queueName" if kind == "queue" else "path": place, **more}


def read(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"type": "blob", "direction": "in", "name": name, "path": path, **more}


FUNCTIONS: dict[str, list[dict[str, Any]]] = {
    "plain": [queue_in("rec-plain")],
    "byname": [queue_in("rec-byname"), read("doc", "rec-in/{queueTrigger}")],
    "named": [queue_in("rec-named"), out("blob", "b", "rec-out/{Id}-{DequeueCount}.txt"), out("queue", "q", "rec-x")],
    "greedy": [blob_in("rec-greedy/in/{name}.{ext}")],
    "folders": [blob_in("rec-folders/{folder}/{name}")],
    "fails": [blob_in("rec-fails/{name}")],
    "outputs": [
        HTTP_IN,
        HTTP_OUT,
        out("queue", "q1", "rec-q1"),
        out("queue", "q2", "rec-q2"),
        out("blob", "b", "rec-out/b"),
        out("blob", "bs", "rec-out/bs", dataType="string"),
    ],
    "lowered": [{**HTTP_IN, "route": "lowered/{q}"}, HTTP_OUT, out("queue", "q1", "REC-{q}")],
    "inputs": [
        {**HTTP_IN, "route": "inputs/{id}"},
        HTTP_OUT,
        read("text", "rec-in/{id}"),
        read("raw", "rec-in/{id}", dataType="binary"),
        read("stream", "rec-in/{id}", dataType="stream"),
    ],
}
OK: dict[str, Any] = {"Outputs": {}, "Logs": [], "ReturnValue": None}
STORED = {
    "42.json": b'{"k":1}',
    "bom": b"\xef\xbb\xbfx",
    "utf16": "\ufeffh\xe9".encode("utf-16-le"),
    "bin": b"\xff\xfe\0\1",
}


class Stand(NamedTuple):
    """A running host and its store."""

    host: LocalHost
    handler: ScriptedHandler
    account: Account

    def texts(self, queue: str) -> list[str]:
        return [message.raw for message in self.host.run(self.account.peek_messages(queue, 32))]

    def blob(self, name: str) -> bytes | None:
        found = self.host.run(self.account.read_blob("rec-out", name))
        return None if found is None else bytes(found.content)


@pytest.fixture(scope="module", params=["embedded", "azurite"])
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    environ = {}
    if request.param == "azurite":
        server: AzuriteServer = request.getfixturevalue("azurite")
        environ = {"AzureWebJobsStorage": server.connection_string}
    root = tmp_path_factory.mktemp(request.param)
    with scripted(root, *FUNCTIONS.items(), environ=environ) as (host, handler):

        async def opened() -> Account:
            account = host.app.accounts.open("AzureWebJobsStorage")
            for name, content in STORED.items():
                await account.write_blob("rec-in", name, content)
            return account

        yield Stand(host, handler, host.run(opened()))


def envelope(stand: Stand) -> Any:
    return wait_for(lambda: stand.handler.received, "the call")[0].envelope


@pytest.mark.parametrize(
    ("text", "data", "members"),
    [
        ("aGVsbG8=", '"hello"', {}),  # B-001
        ("", '""', {}),
        ("eyJpZCI6Inp6IiwiYSI6MS4wLCIiOiJlIn0=", '"{\\"id\\":\\"zz\\",\\"a\\":1.0,\\"\\":\\"e\\"}"',
         {"Id": '"zz"', "a": '"1"', "": '"e"'}),  # B-018, B-270
        ("LyogYyAqL3siYSI6MX0=", '"/* c */{\\"a\\":1}"', {}),  # B-024
        ("eyJkIjoiMjAyNi0wMS0wMlQwMzowNDowNVoifQ==", '"{\\"d\\":\\"2026-01-02T03:04:05Z\\"}"',
         {"d": '"01/02/2026 03:04:05"'}),  # B-017
    ],
)  # fmt: skip
def test_a_message_arrives_as_at_the_host(stand: Stand, text: str, data: str, members: dict[str, str]) -> None:
    """The value, the members of a JSON message, and those of the queue."""
    stand.handler.received.clear()
    stand.handler.script = answering(OK)
    stand.host.run(stand.account.put_text("rec-plain", text))
    found = envelope(stand)
    own = {"DequeueCount", "ExpirationTime", "InsertionTime", "NextVisibleTime", "PopReceipt", "sys"}
    assert found["Data"] == {"item": data}
    assert own <= found["Metadata"].keys()
    given = {name: value for name, value in found["Metadata"].items() if name not in own}
    assert given == {"Id": given["Id"], **members}


@pytest.mark.parametrize(("text", "why"), [("//4AAQ==", "no UTF-8"), ("plain text, no base64!", "messageEncoding")])
def test_a_message_that_cannot_be_read_is_poisoned_as_it_is(stand: Stand, text: str, why: str) -> None:
    """B-011, B-036: without a call."""
    stand.handler.received.clear()
    stand.host.run(stand.account.put_text("rec-plain", text))
    wait_for(lambda: text in stand.texts("rec-plain-poison"), "the poison message", 20)
    assert stand.handler.received == []
    stand.host.says(why)


def test_names_in_paths_are_filled_from_the_message(stand: Stand) -> None:
    """B-264: {queueTrigger} is the message's text. B-504: {Id} and {DequeueCount}."""
    stand.handler.received.clear()
    stand.handler.script = answering(OK)
    stand.host.run(stand.account.put_message("rec-byname", b"42.json"))
    assert envelope(stand)["Data"]["doc"] == json.dumps('{"k":1}')
    stand.handler.received.clear()
    stand.handler.script = answering({"Outputs": {"b": "hello", "q": {"done": 1}}})
    stand.host.run(stand.account.put_message("rec-named", b'{"id": 5}'))
    assert wait_for(lambda: stand.blob("5-1.txt"), "the blob") == b"hello"
    [text] = wait_for(lambda: stand.texts("rec-x"), "the message")
    assert base64.b64decode(text) == b'{\n  "done": 1\n}'  # B-273


@pytest.mark.parametrize(
    ("container", "name", "members"),
    [
        ("rec-greedy", "in/file.tar.gz", {"name": "file.tar", "ext": "gz"}),  # B-285
        ("rec-greedy", "in/x.", {"name": "x", "ext": ""}),  # B-290
        ("rec-folders", "f/g/n", {"folder": "f/g", "name": "n"}),  # B-293
    ],
)
def test_a_blob_arrives_with_the_names_of_its_path(
    stand: Stand, container: str, name: str, members: dict[str, str]
) -> None:
    """Names are greedy from the left; the content is base64; 45 properties."""
    stand.handler.received.clear()
    stand.handler.script = answering(OK)
    stand.host.run(stand.account.write_blob(container, name, b"hello"))
    found = envelope(stand)
    assert found["Data"] == {"blob": "aGVsbG8="}
    assert {key: json.loads(found["Metadata"][key]) for key in members} == members
    assert len(found["Metadata"]["Properties"]) == 45
    assert json.loads(found["Metadata"]["Uri"]).endswith(f"/{container}/{name}")


def test_a_blob_that_fails_five_times_is_told_in_the_poison_queue(stand: Stand) -> None:
    """B-303: as .NET writes it."""
    stand.handler.received.clear()
    stand.handler.script = answering(OK, status=500)
    stand.host.run(stand.account.write_blob("rec-fails", "bad.txt", b"x"))
    [text] = wait_for(lambda: stand.texts("webjobs-blobtrigger-poison"), "the poison message", 20)
    assert len(stand.handler.received) == 5
    assert list(json.loads(base64.b64decode(text))) == [
        "Type", "FunctionId", "BlobType", "ContainerName", "BlobName", "ETag",
    ]  # fmt: skip


DATE = "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("outputs", "status", "queues", "blobs"),
    [
        # B-039, B-046, B-048: what is written, in the base64 of the store
        ({"q1": "test", "q2": 7}, 200, (["test"], ["Nw=="]), (b"OLD", b"OLD")),
        ({"q1": ["x", None, {"a": 1}]}, 200, (["eA==", "", "ewogICJhIjogMQp9"], []), (b"OLD", b"OLD")),  # B-047
        ({"b": 12345678901, "bs": "aGVsbG8="}, 200, ([], []), (b"\x35\x1c\xdc\xdf", b"hello")),  # B-083, B-073
        # B-160, B-161, B-164, B-166: a failed output empties the blobs, and other queues get theirs
        ({"q1": "a1!", "b": DATE, "q2": "a2!", "bs": "s!"}, 500, (["YTEh"], ["YTIh"]), (b"", b"")),
        ({"q1": "x!" * 40_000, "q2": "a2!", "b": "x!"}, 500, ([], ["YTIh"]), (b"", b"OLD")),
        ({"q1": "{bad}", "b": "new!!"}, 500, ([], []), (b"", b"OLD")),
        # B-162: a malformed response is found before anything is written
        ({"q1": "a1!", "b": "x!", "res": "text"}, 500, ([], []), (b"OLD", b"OLD")),
        ({"nosuch": "x"}, 200, ([], []), (b"OLD", b"OLD")),  # B-153
    ],
    ids=lambda value: str(value)[:40],
)
def test_outputs_are_written_as_by_the_host(
    stand: Stand, outputs: dict[str, Any], status: int, queues: tuple[list[str], ...], blobs: tuple[bytes, ...]
) -> None:
    """Blobs hold OLD before; the texts of messages are those that are stored."""

    async def as_before() -> None:
        for queue in ("rec-q1", "rec-q2"):
            for message in await stand.account.take_messages(queue, 32, 60):
                await stand.account.delete_message(queue, message)
        for name in ("b", "bs"):
            await stand.account.write_blob("rec-out", name, b"OLD")

    stand.host.run(as_before())
    stand.handler.script = answering({"Outputs": {"res": {"body": "ok"}, **outputs}})
    assert stand.host.call("POST", "/api/outputs", b"x").status == status
    assert (stand.texts("rec-q1"), stand.texts("rec-q2")) == queues
    assert (stand.blob("b"), stand.blob("bs")) == blobs


def test_a_queues_name_is_lowered(stand: Stand) -> None:
    """B-261."""
    stand.handler.script = answering({"Outputs": {"q1": "hello"}})
    assert stand.host.call("GET", "/api/lowered/One").status == 200
    assert stand.texts("rec-one") == ["aGVsbG8="]


@pytest.mark.parametrize(
    ("name", "text", "raw"),
    [
        ("42.json", '"{\\"k\\":1}"', "eyJrIjoxfQ=="),  # B-221
        ("bom", '"x"', "77u/eA=="),  # B-229
        ("utf16", '"h\xe9"', base64.b64encode(STORED["utf16"]).decode()),  # B-230
        ("none", "null", "null"),  # B-228
    ],
)
def test_a_blob_input_arrives_as_its_data_type_says(stand: Stand, name: str, text: str, raw: str) -> None:
    """Text by its byte order mark, bytes as base64, a stream always as null."""
    stand.handler.received.clear()
    stand.handler.script = answering({"Outputs": {"res": {"body": "ok"}}})
    assert stand.host.call("GET", f"/api/inputs/{name}").status == 200
    data = envelope(stand)["Data"]
    assert (data["text"], data["raw"].strip('"'), data["stream"]) == (text, raw, "null")
