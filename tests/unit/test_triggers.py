"""Triggers with metadata worth having: the worked examples of protocol 2.7."""

import datetime
import json
from typing import Any

import msgspec
import pytest

import fastworker as fw
from fastworker.errors import RequestError
from fastworker.functions.build import argument_decoder
from fastworker.protocol.bindings import Binding
from fastworker.protocol.envelope import envelope_reader

UTC = datetime.UTC


class Body(msgspec.Struct):
    n: int = 0
    t: int = 0


def read(envelope: str, type_: str, annotation: Any, **options: Any) -> Any:
    names = msgspec.json.decode(envelope)["Data"]
    got = envelope_reader(dict.fromkeys(names, msgspec.Raw))(envelope.encode())
    (name,) = got.Data
    return argument_decoder(Binding(type_, "in", name, **options), annotation)(got.Data[name], got)


QUEUE = r"""{"Data": {"item": "\"{\\\"n\\\":7,\\\"rush\\\":true}\""},
 "Metadata": {"DequeueCount": "1", "ExpirationTime": "2026-01-09T10:00:00+00:00", "Id": "\"5f3c1a52\"",
  "InsertionTime": "2026-01-02T10:00:00+00:00",
  "NextVisibleTime": "2026-01-02T10:10:05+00:00", "PopReceipt": "\"AgAA\"",
  "sys": {"MethodName":"ProcessOrder"}, "orderId": "\"7\"", "rush": "\"True\""}}"""


def test_queue_message():
    """Payload, typed body and the queue's metadata."""
    message = read(QUEUE, "queueTrigger", fw.QueueMessage)
    assert message.body == message.text == '{"n":7,"rush":true}'
    assert message.bytes == message.text.encode()
    assert message.json() == {"n": 7, "rush": True}
    assert message.json(Body) == read(QUEUE, "queueTrigger", fw.QueueMessage[Body]).body == Body(7)
    assert (message.id, message.dequeue_count, message.pop_receipt) == ("5f3c1a52", 1, "AgAA")
    assert message.insertion_time == datetime.datetime(2026, 1, 2, 10, tzinfo=UTC)
    assert message.expiration_time > message.time_next_visible
    assert message.metadata["rush"] == "True"


BLOB = r"""{"Data": {"blob": "aGVsbG8gYmxvYg=="},
 "Metadata": {"Uri": "\"http://127.0.0.1:10000/devstoreaccount1/samples/a.txt\"",
  "Properties": {"LastModified":"2026-01-02T10:00:00+00:00","ContentLength":10}, "name": "\"a.txt\""}}"""


def test_blob():
    """Content as bytes, whatever it holds; its name and place."""
    blob = read(BLOB, "blobTrigger", fw.Blob)
    assert blob.body == blob.read() == b"hello blob"
    assert (blob.text, blob.length, blob.name) == ("hello blob", 10, "a.txt")
    assert blob.uri.endswith("/a.txt")
    assert blob.properties["ContentLength"] == 10
    assert read(BLOB, "blobTrigger", fw.Blob[str]).body == "hello blob"
    with pytest.raises(RequestError, match="the payload: expected JSON"):
        blob.json()


TIMER = r"""{"Data": {"tick": {"Schedule":{"AdjustForDST":true},
 "ScheduleStatus":{"Last":"%s","Next":"2026-01-02T10:00:00+00:00",
 "LastUpdated":"2026-01-02T09:55:00.0012+00:00"},"IsPastDue":false}}, "Metadata": {}}"""


def test_timer():
    """On the first run `Last` is .NET's zero, in any zone, which is None here; without a monitor there is no status."""
    tick = read(TIMER % "2026-01-02T09:55:00.0012+00:00", "timerTrigger", fw.TimerRequest)
    assert not tick.past_due
    assert tick.schedule_status.last == datetime.datetime(2026, 1, 2, 9, 55, 0, 1200, tzinfo=UTC)
    for never in ("0001-01-01T00:00:00", "0001-01-01T00:00:00+00:00", "0001-01-01T00:54:00+00:54"):
        assert read(TIMER % never, "timerTrigger", fw.TimerRequest).schedule_status.last is None
    without = '{"Data": {"tick": {"ScheduleStatus": null, "IsPastDue": true}}}'
    assert read(without, "timerTrigger", fw.TimerRequest) == fw.TimerRequest(past_due=True)


SB_ONE = r"""{"Data": {"msg": "\"{\\\"n\\\":1}\""},
 "Metadata": {"MessageReceiver": {}, "Client": {"FullyQualifiedNamespace":"ns1.servicebus.windows.net"},
  "DeliveryCount": "1", "LockToken": "\"9b1f0a34-1c7a-4a77-8a53-3c44f3b6a001\"", "ExpiresAtUtc": "2026-01-16T10:00:00",
  "EnqueuedTimeUtc": "2026-01-02T10:00:00", "MessageId": "\"m-1\"", "ContentType": "\"application/json\"",
  "SequenceNumber": "12", "ApplicationProperties": {"tenant":"t1"}, "n": "\"1\""}}"""


def test_service_bus_message():
    """One message."""
    message = read(SB_ONE, "serviceBusTrigger", fw.ServiceBusMessage[Body])
    assert message.body == Body(1)
    assert (message.message_id, message.delivery_count, message.sequence_number) == ("m-1", 1, 12)
    assert message.expires_at_utc == datetime.datetime(2026, 1, 16, 10, tzinfo=UTC)
    assert message.application_properties == {"tenant": "t1"}
    assert message.session_id is None


SB_MANY = r"""{"Data": {"msgs": "[\"first\",\"second\"]"},
 "Metadata": {"DeliveryCountArray": "[1,1]", "DeadLetterSourceArray": "[null,null]",
  "EnqueuedTimeUtcArray": "[\"2026-01-02T10:00:00.25\",\"2026-01-02T10:00:00.5\"]",
  "MessageIdArray": "[\"m-1\",\"m-2\"]",
  "SequenceNumberArray": "[12,13]", "ApplicationPropertiesArray": "[{},{\"tenant\":\"t1\"}]",
  "sys": {"MethodName": "f"}}}"""


def test_batch_of_service_bus_messages():
    """Each has its element of the metadata's arrays."""
    first, second = read(SB_MANY, "serviceBusTrigger", list[fw.ServiceBusMessage], cardinality="many")
    assert (first.body, second.body) == ("first", "second")
    assert (first.message_id, second.message_id) == ("m-1", "m-2")
    assert second.application_properties == {"tenant": "t1"}
    assert second.enqueued_time_utc == datetime.datetime(2026, 1, 2, 10, 0, 0, 500_000, tzinfo=UTC)
    assert second.metadata["sys"] == {"MethodName": "f"}


EH_MANY = r"""{"Data": {"events": "[\"{\\\"t\\\":21}\",\"{\\\"t\\\":22}\"]"},
 "Metadata": {"PartitionContext": {"PartitionId":"0"}, "PartitionKeyArray": "[null,\"dev-7\"]",
  "OffsetArray": "[\"4096\",\"4160\"]", "SequenceNumberArray": "[88,89]", "PropertiesArray": "[{},{\"kind\":\"temp\"}]",
  "EnqueuedTimeUtcArray": "[\"2026-01-02T10:00:00.1\",\"2026-01-02T10:00:00.2\"]"}}"""


def test_batch_of_event_hub_events():
    """Typed bodies, nulls in the arrays, and what belongs to the whole batch."""
    first, second = read(EH_MANY, "eventHubTrigger", list[fw.EventHubEvent[Body]], cardinality="many")
    assert [first.body.t, second.body.t] == [21, 22]
    assert (first.partition_key, second.partition_key) == (None, "dev-7")
    assert (second.offset, second.sequence_number, second.properties) == ("4160", 89, {"kind": "temp"})
    assert first.partition_context == {"PartitionId": "0"}


EVENT = """{"Data": {"event": {"id":"e-1","topic":"/subscriptions/s","subject":"/blobs/x.txt","eventType":"Created",
 "eventTime":"2026-01-02T10:00:00.5Z","dataVersion":"","metadataVersion":"1","data":{"n":3}}}, "Metadata": {}}"""


def test_event_grid_event():
    """The event, with its data typed or not."""
    event = read(EVENT, "eventGridTrigger", fw.EventGridEvent[Body])
    assert (event.id, event.event_type, event.data) == ("e-1", "Created", Body(3))
    assert event.event_time == datetime.datetime(2026, 1, 2, 10, 0, 0, 500_000, tzinfo=UTC)
    assert read(EVENT, "eventGridTrigger", fw.EventGridEvent).data == {"n": 3}
    assert read(EVENT, "eventGridTrigger", dict)["data"] == {"n": 3}


def test_cloud_event():
    """The other schema of Event Grid: data of the annotation's type, binary data as bytes, extensions left out."""
    event = (
        '{"specversion":"1.0","id":"c1","type":"t","source":"/s","time":"2026-01-02T03:04:05.678Z","data":%s,"ext":"v"}'
    )
    body = '{"Data":{"v":%s},"Metadata":{}}'
    seen = read(body % (event % '{"n":3}'), "eventGridTrigger", fw.CloudEvent[Body])
    assert (seen.type, seen.source, seen.data, seen.time.year) == ("t", "/s", Body(3), 2026)
    assert read(body % (event % "null"), "eventGridTrigger", fw.CloudEvent).data is None
    binary = '{"specversion":"1.0","id":"c1","type":"t","source":"/s","data_base64":"AAEC"}'
    assert read(body % binary, "eventGridTrigger", fw.CloudEvent).data_base64 == b"\0\1\2"


COSMOS = r"""{"Data": {"docs": "\"[{\\\"id\\\":\\\"d1\\\",\\\"n\\\":2},{\\\"id\\\":\\\"d2\\\",\\\"n\\\":5}]\""},
 "Metadata": {}}"""


def test_cosmos_documents():
    """A list of documents."""
    assert read(COSMOS, "cosmosDBTrigger", list[Body]) == [Body(2), Body(5)]
    assert [d["id"] for d in read(COSMOS, "cosmosDBTrigger", list)] == ["d1", "d2"]


def test_seven_digits_of_a_second_are_read():
    """.NET writes tenths of microseconds."""
    value = json.dumps({"Data": {"job": json.dumps(json.dumps("2026-01-02T10:00:05.1234567Z"))}})
    assert read(value, "queueTrigger", datetime.datetime).microsecond in {123456, 123457}
