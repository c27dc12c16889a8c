"""Queue, blob and timer triggers: batches, retries, poison, receipts and schedules."""

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fastworker.devhost.embedded import EmbeddedAccount
from fastworker.devhost.expressions import ExpressionError, resolve
from fastworker.devhost.state import TimerStatus, TriggerState
from fastworker.hostrules.blob_paths import BlobPath
from fastworker.hostrules.envelope import BindingData
from tests.devhost.stand import (
    HTTP_IN,
    HTTP_OUT,
    QUEUE_IN,
    QUEUE_OUT,
    Answering,
    AppFolder,
    LocalHost,
    answering,
    scripted,
)
from tests.devhost.test_starting import ends_with
from tests.harness import wait_for

BLOB_IN = {"type": "blobTrigger", "direction": "in", "name": "blob", "path": "samples/{name}.txt"}
TIMER = {"type": "timerTrigger", "direction": "in", "name": "tick", "schedule": "0 */5 * * * *"}


def put(host: Any, *messages: bytes, queue: str = "jobs") -> None:
    account = host.app.accounts.open("AzureWebJobsStorage")
    for message in messages:
        host.run(account.put_message(queue, message))


# ---- queue -------------------------------------------------------------------------------------------------


def test_failing_message_is_tried_five_times_and_then_poisoned(tmp_path: Path) -> None:
    """Section 5.5: with a growing dequeue count."""
    with scripted(tmp_path, ("work", [QUEUE_IN])) as (host, handler):
        handler.script = lambda _: Answering(500)
        put(host, b"bad")
        assert host.messages("jobs-poison") == [b"bad"]
        assert [r.envelope["Metadata"]["DequeueCount"] for r in handler.received] == ["1", "2", "3", "4", "5"]
        host.says("moved to 'jobs-poison'")


def test_message_in_the_wrong_encoding_is_poisoned_as_it_is_stored(tmp_path: Path) -> None:
    """B-036: no call, and the text of the poison message is the same, not encoded."""
    with scripted(tmp_path, ("work", [QUEUE_IN])) as (host, handler):
        account: Any = host.app.accounts.open("AzureWebJobsStorage")
        host.run(account.put_text("jobs", "plain text, no base64!"))
        [poison] = wait_for(lambda: host.run(account.peek_messages("jobs-poison", 9)), "the poison message")
        assert (poison.raw, handler.received) == ("plain text, no base64!", [])
        host.says("messageEncoding")


def test_message_is_deleted_after_success(tmp_path: Path) -> None:
    """And only then."""
    with scripted(tmp_path, ("work", [QUEUE_IN])) as (host, handler):
        account: Any = host.app.accounts.open("AzureWebJobsStorage")
        put(host, b"one", b"two")

        wait_for(lambda: not host.run(account.peek_messages("jobs", 9)), "an empty queue")
        assert sorted(json.loads(r.envelope["Data"]["item"]) for r in handler.received) == ["one", "two"]


def test_triggers_that_end_take_nothing_new_and_finish_what_they_have(tmp_path: Path) -> None:
    """Ctrl-C: messages and blobs that come later are left to the next session, timers do not run any more."""
    functions = [("work", [QUEUE_IN]), ("seen", [BLOB_IN]), ("tick", [TIMER])]
    with scripted(tmp_path, *functions) as (host, handler):
        account: Any = host.app.accounts.open("AzureWebJobsStorage")
        release = threading.Event()

        def slowly(_: Any) -> Answering:
            release.wait()
            return Answering()

        handler.script = slowly
        put(host, b"first")
        wait_for(lambda: handler.received, "the first message's run")

        async def stop_taking() -> int:
            host.app.stop_taking()
            return host.app.in_flight

        assert host.run(stop_taking()) == 1
        put(host, b"second")
        host.run(account.write_blob("samples", "late.txt", b"x"))
        release.set()
        host.run(host.app.triggers_end())
        assert [json.loads(r.envelope["Data"]["item"]) for r in handler.received] == ["first"]
        assert [message.content for message in host.run(account.peek_messages("jobs", 9))] == [b"second"]


def test_batches_are_taken_as_host_json_says(tmp_path: Path) -> None:
    """Section 8.2: batchSize at first, and more once no more than newBatchThreshold are running."""
    permits, lock = threading.Semaphore(0), threading.Lock()
    running = most = 0
    top = {"extensions": {"queues": {"batchSize": 3, "newBatchThreshold": 1}}}
    account = EmbeddedAccount(tmp_path / ".fastworker" / "storage.db")
    for number in range(8):
        asyncio.run(account.put_message("jobs", b"%d" % number))
    asyncio.run(account.close())
    with scripted(tmp_path, ("work", [QUEUE_IN]), top=top) as (host, handler):

        def wait(request: Any) -> Answering:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            permits.acquire(timeout=10)
            with lock:
                running -= 1
            return Answering()

        handler.script = wait
        wait_for(lambda: len(handler.received) == 3, "the first batch")
        permits.release(2)
        wait_for(lambda: len(handler.received) == 6, "the second, when one of the first is left")
        permits.release(6)
        wait_for(lambda: len(handler.received) == 8, "all messages")
        assert most == 4
        assert not host.stops


def test_written_message_wakes_the_listener(tmp_path: Path) -> None:
    """HTTP to queue to function: long before the next poll."""
    chain = [QUEUE_IN, QUEUE_OUT]
    functions = (("start", [HTTP_IN, HTTP_OUT, {**QUEUE_OUT, "queueName": "jobs"}]), ("work", chain))
    with scripted(tmp_path, *functions) as (host, handler):
        first, second = answering({"Outputs": {"out": "hello"}}), answering({"Outputs": {"out": "world"}})
        handler.script = lambda request: (first if request.path == "/start" else second)(request)
        host.call("POST", "/api/start", "x")
        assert host.messages("results") == [b"world"]
        assert handler.received[1].envelope["Data"]["item"] == '"hello"'


def test_binary_queue_message_is_plain_base64(tmp_path: Path) -> None:
    """Vector A6 in a trigger."""
    with scripted(tmp_path, ("work", [{**QUEUE_IN, "dataType": "binary"}])) as (host, handler):
        put(host, b"hello")
        host.says("succeeded")
        assert handler.received[0].envelope["Data"]["item"] == "aGVsbG8="


# ---- blob --------------------------------------------------------------------------------------------------


def test_blob_is_processed_once_per_version(tmp_path: Path) -> None:
    """And not again after a restart; names of the path are in Metadata."""

    def write(host: Any, name: str, content: bytes) -> None:
        host.run(host.app.accounts.open("AzureWebJobsStorage").write_blob("samples", name, content))

    with scripted(tmp_path, ("onblob", [BLOB_IN])) as (host, handler):
        write(host, "a.txt", b"hello blob")
        write(host, "other.png", b"no match")
        wait_for(lambda: len(handler.received) == 1, "the first version")
        document = handler.received[0].envelope
        assert document["Data"]["blob"] == "aGVsbG8gYmxvYg=="
        assert document["Metadata"]["name"] == '"a"'
        assert document["Metadata"]["Properties"]["ContentLength"] == 10
        assert document["Metadata"]["Uri"].endswith('samples/a.txt"')
        assert "BlobTrigger" not in document["Metadata"]
        write(host, "a.txt", b"new")
        wait_for(lambda: len(handler.received) == 2, "the second version")
        # Told of both: before that the second has no receipt, and would rightly be processed again.
        wait_for(lambda: sum("succeeded" in line for line in host.console.lines) == 2, "both receipts")
    with scripted(tmp_path, ("onblob", [BLOB_IN])) as (host, handler):
        write(host, "b.txt", b"third")
        wait_for(lambda: handler.received, "the new one")
        assert [json.loads(r.envelope["Metadata"]["name"]) for r in handler.received] == ["b"]


def test_failing_blob_is_told_in_the_poison_queue_after_five_tries(tmp_path: Path) -> None:
    """Section 5.5."""
    with scripted(tmp_path, ("onblob", [BLOB_IN])) as (host, handler):
        handler.script = lambda _: Answering(500)
        host.run(host.app.accounts.open("AzureWebJobsStorage").write_blob("samples", "a.txt", b"x"))
        [text] = host.messages("webjobs-blobtrigger-poison")
        assert text.startswith(b'{\n  "Type": "BlobTrigger",\n  "FunctionId"'), "B-303: as .NET writes it"
        message = json.loads(text)
        assert len(handler.received) == 5
        assert (message["ContainerName"], message["BlobName"]) == ("samples", "a.txt")
        assert message["FunctionId"] == "Host.Functions.onblob"


@pytest.mark.parametrize(
    ("pattern", "path", "names"),
    [
        ("{name}", "a/b.txt", {"name": "a/b.txt"}),
        ("{name}.txt", "a.png", None),
        ("in/{date}-{id}.csv", "in/2026-7.csv", {"date": "2026", "id": "7"}),
        ("{dir}/{file}", "a/b/c", {"dir": "a/b", "file": "c"}),
        ("{name}.{ext}", "file.tar.gz", {"name": "file.tar", "ext": "gz"}),
        ("{date}/{id}-{name}.txt", "2026/01/7-my-file.txt", {"date": "2026/01", "id": "7-my", "name": "file"}),
        ("in/{name}.{ext}", "in/.", {"name": "", "ext": ""}),
        ("in/{name}", "IN/x", None),
        ("{{x}}-{name}", "{x}-f", {"name": "f"}),
        ("{name}/{name}", "a/b", {"name": "b"}),
        ("{a}{b}", "xy", {"a": "xy", "b": ""}),
        ("", "any/thing", {}),
    ],
)
def test_blob_path_is_a_pattern(pattern: str, path: str, names: Any) -> None:
    """Names are greedy from the left and may be empty (B-285 to B-302, B-515, B-608)."""
    assert BlobPath(f"c/{pattern}").match(path) == names


# ---- timer -------------------------------------------------------------------------------------------------


def test_timer_on_startup_runs_at_once_with_an_empty_status(tmp_path: Path) -> None:
    """The timer example of section 2.7; `Last` of the first run is the year 1."""
    with scripted(tmp_path, ("tick", [{**TIMER, "runOnStartup": True}])) as (host, handler):
        wait_for(lambda: handler.received, "the run")
        value = handler.received[0].envelope["Data"]["tick"]
        assert value["Schedule"] == {"AdjustForDST": True}
        assert value["ScheduleStatus"]["Last"] == "0001-01-01T00:00:00+00:00"
        assert value["IsPastDue"] is False
        host.says("succeeded")


def test_missed_run_is_made_up_for(tmp_path: Path) -> None:
    """The monitor remembers over restarts: the run is past due."""
    state = TriggerState(tmp_path / ".fastworker" / "triggers.db")
    past = datetime.now(UTC) - timedelta(hours=1)
    state.write_timer("tick", TimerStatus(TIMER["schedule"], past, past + timedelta(minutes=5), past))
    state.close()
    with scripted(tmp_path, ("tick", [TIMER])) as (_, handler):
        wait_for(lambda: handler.received, "the run")
        value = handler.received[0].envelope["Data"]["tick"]
        assert value["IsPastDue"] is True
        assert value["ScheduleStatus"]["Last"] == past.isoformat()


def test_timer_runs_on_schedule_without_monitor_when_it_is_frequent(tmp_path: Path) -> None:
    """Every second; such timers have no status."""
    with scripted(tmp_path, ("tick", [{**TIMER, "schedule": "* * * * * *"}])) as (_, handler):
        wait_for(lambda: len(handler.received) >= 2, "two runs")
        assert handler.received[0].envelope["Data"]["tick"]["ScheduleStatus"] is None


# ---- binding expressions -----------------------------------------------------------------------------------


def test_binding_expressions_are_filled_from_the_binding_data() -> None:
    """Section 7: names ignore case, `sys` and nested members are there, GUIDs and dates have formats."""
    data = BindingData([("Id", "7"), ("who", {"Name": "Ann"}), ("sys", {"MethodName": "f"})])
    assert resolve("a/{id}-{WHO.name}-{sys.methodname}", data) == "a/7-Ann-f"
    assert len(resolve("{rand-guid:N}", data)) == 32
    assert resolve("{DateTime:yyyy}", data) == str(datetime.now(UTC).year)
    assert resolve("{datetime}", data).endswith("Z")
    with pytest.raises(ExpressionError, match=r"no value for \{nope\}; the trigger gives: Id, sys, who"):
        resolve("{nope}", data)


def test_outputs_go_where_their_expressions_say(tmp_path: Path) -> None:
    """A queue message's member names the blob."""
    out = {"type": "blob", "direction": "out", "name": "b", "path": "done/{orderId}.json"}
    with scripted(tmp_path, ("work", [QUEUE_IN, out])) as (host, handler):
        handler.script = answering({"Outputs": {"b": {"ok": True}}})
        put(host, b'{"orderId":1005}')
        assert host.blob("done", "1005.json") == b'{"ok":true}'


@pytest.mark.parametrize(
    ("queue", "content", "message"),
    [("my_queue", b"x", "queue name 'my_queue' is illegal"), ("big", b"x" * 50_000, "too large for queue 'big'")],
)
def test_embedded_store_refuses_what_the_service_refuses(
    tmp_path: Path, queue: str, content: bytes, message: str
) -> None:
    """So that it shows on the laptop and not in the cloud."""
    account = EmbeddedAccount(tmp_path / "storage.db")
    with pytest.raises(ValueError, match=message):
        asyncio.run(account.put_message(queue, content))
    asyncio.run(account.close())


def test_endless_retries_end_with_the_host(tmp_path: Path) -> None:
    """`maxRetryCount: -1` must not keep the local host from stopping."""
    retry = {"strategy": "fixedDelay", "maxRetryCount": -1, "delayInterval": "00:00:00.01"}
    with scripted(tmp_path, ("f", [HTTP_IN, HTTP_OUT]), members={"retry": retry}) as (host, handler):
        handler.script = lambda _: Answering(500)
        call = threading.Thread(target=host.call, args=("GET", "/api/f"))
        call.start()
        wait_for(lambda: len(handler.received) > 3, "some retries")
        host.run(host.app.handler.stop())
        call.join(5)
        assert not call.is_alive()


def test_messages_are_not_poisoned_when_the_host_has_stopped(folder: AppFolder) -> None:
    """A handler that keeps crashing stops the host, and its triggers with it."""
    ends_with(folder, "sys.exit(1)")
    folder.function("work", QUEUE_IN)
    account = EmbeddedAccount(folder.root / ".fastworker" / "storage.db")
    asyncio.run(account.put_message("jobs", b"precious"))
    with LocalHost(folder.root) as host:
        wait_for(lambda: host.stops, "the host's end")
        wait_for(lambda: not host.app._jobs, "the listener's end")
    assert [message.content for message in asyncio.run(account.peek_messages("jobs", 9))] == [b"precious"]
    assert asyncio.run(account.peek_messages("jobs-poison", 9)) == []
    asyncio.run(account.close())


def test_unreadable_input_fails_the_invocation_with_its_name(tmp_path: Path) -> None:
    """Whatever the storage raised."""
    table = {"type": "table", "name": "rows", "tableName": "rows", "filter": "n gt 1"}
    with scripted(tmp_path, ("f", [HTTP_IN, table, HTTP_OUT])) as (host, handler):
        assert host.call("GET", "/api/f").status == 500
        host.says("input 'rows' cannot be read: ValueError: the embedded store knows no table filters")
        assert not handler.received


def test_a_path_of_many_names_takes_no_longer_than_its_blob() -> None:
    """As a regular expression this would not end."""
    path = BlobPath("c/" + "{n}-" * 40 + "x")
    assert path.match("-" * 20000) is None
