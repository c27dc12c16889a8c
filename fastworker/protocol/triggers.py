"""What triggers deliver beside a plain payload: messages with their metadata, timers, events, blobs.

Decoded by build.py when a handler's annotation names one of these types.
Rule: pure. Metadata is read when a property asks for it; names follow azure-functions.
"""

import datetime
from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, TypeVar, cast

import msgspec

from fastworker.errors import RequestError
from fastworker.protocol.envelope import Metadata, wrong

T = TypeVar("T")


class Message(Generic[T]):
    """A payload with metadata. `body` is of type T: text (or bytes, where the binding sends bytes) if none is given."""

    __slots__ = ("_payload", "body", "metadata")

    triggers: ClassVar[frozenset[str]]

    def __init__(self, payload: str | bytes, body: T, metadata: Metadata) -> None:
        self._payload = payload
        self.body = body
        self.metadata = metadata

    @property
    def text(self) -> str:
        """The payload as text."""
        return self._payload if isinstance(self._payload, str) else self._payload.decode()

    @property
    def bytes(self) -> bytes:
        """The payload as bytes."""
        return self._payload.encode() if isinstance(self._payload, str) else self._payload

    def json(self, type: Any = Any) -> Any:  # noqa: A002 - reads like msgspec's own
        """The payload parsed as JSON into `type`. Raises RequestError (400)."""
        try:
            return msgspec.json.decode(self._payload, type=type)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            raise wrong("the payload", exc) from None


def _member(key: str, type: Any, doc: str) -> Any:  # noqa: A002
    """A property that reads one metadata member: None if the host did not send it, or if it is something else.

    A message's own member of that name stands in the place of the queue's (protocol 2.3), and is no reason to fail.
    """

    def read(message: Message[Any]) -> Any:
        try:
            return message.metadata.get_as(key, type)
        except RequestError:
            return None

    return property(read, doc=doc)


class QueueMessage(Message[T]):
    """A message of Azure Queue storage."""

    __slots__ = ()
    triggers = frozenset({"queuetrigger"})

    id = cast("str | None", _member("Id", str, "The queue's id, unless the message has a member `id` itself."))
    dequeue_count = cast("int | None", _member("DequeueCount", int, "Which delivery this is; 1 is the first."))
    expiration_time = cast("datetime.datetime | None", _member("ExpirationTime", datetime.datetime, "When it expires."))
    insertion_time = cast("datetime.datetime | None", _member("InsertionTime", datetime.datetime, "When it came."))
    time_next_visible = cast(
        "datetime.datetime | None",
        _member("NextVisibleTime", datetime.datetime, "When others may see it again."),
    )
    pop_receipt = cast("str | None", _member("PopReceipt", str, "The queue's receipt."))


class ServiceBusMessage(Message[T]):
    """A message of a Service Bus queue or topic."""

    __slots__ = ()
    triggers = frozenset({"servicebustrigger"})

    message_id = cast("str | None", _member("MessageId", str, "The sender's id."))
    content_type = cast("str | None", _member("ContentType", str, "The sender's content type."))
    correlation_id = cast("str | None", _member("CorrelationId", str, "The sender's correlation id."))
    delivery_count = cast("int | None", _member("DeliveryCount", int, "Which delivery this is; 1 is the first."))
    enqueued_time_utc = cast(
        "datetime.datetime | None", _member("EnqueuedTimeUtc", datetime.datetime, "When it was accepted.")
    )
    expires_at_utc = cast("datetime.datetime | None", _member("ExpiresAtUtc", datetime.datetime, "When it expires."))
    lock_token = cast("str | None", _member("LockToken", str, "The token of the peek lock."))
    sequence_number = cast("int | None", _member("SequenceNumber", int, "The broker's number."))
    session_id = cast("str | None", _member("SessionId", str, "The session, if there is one."))
    subject = cast("str | None", _member("Subject", str, "The sender's subject (label)."))
    application_properties = cast(
        "dict[str, Any] | None",
        _member("ApplicationProperties", dict[str, Any], "The sender's own properties."),
    )


class EventHubEvent(Message[T]):
    """An event of an event hub."""

    __slots__ = ()
    triggers = frozenset({"eventhubtrigger"})

    partition_key = cast("str | None", _member("PartitionKey", str, "The sender's partition key."))
    sequence_number = cast("int | None", _member("SequenceNumber", int, "The number within the partition."))
    offset = cast("str | None", _member("Offset", str, "The offset within the partition."))
    enqueued_time = cast("datetime.datetime | None", _member("EnqueuedTimeUtc", datetime.datetime, "When it came."))
    properties = cast("dict[str, Any] | None", _member("Properties", dict[str, Any], "The sender's properties."))
    system_properties = cast(
        "dict[str, Any] | None", _member("SystemProperties", dict[str, Any], "The hub's properties.")
    )
    partition_context = cast(
        "dict[str, Any] | None",
        _member("PartitionContext", dict[str, Any], "Hub, consumer group and partition."),
    )


class Blob(Message[T]):
    """A blob: the one that triggered, or a blob input (which has content, but no metadata of its own)."""

    __slots__ = ()
    triggers = frozenset({"blobtrigger", "blob"})

    name = cast("str | None", _member("name", str, "The `{name}` of the trigger's path."))
    uri = cast("str | None", _member("Uri", str, "Where it is."))
    properties = cast("dict[str, Any] | None", _member("Properties", dict[str, Any], "LastModified and others."))

    @property
    def length(self) -> int:
        """Size in bytes."""
        return len(self.bytes)

    def read(self) -> bytes:
        """The whole content."""
        return self.bytes


class ScheduleStatus(msgspec.Struct, frozen=True, rename="pascal"):
    """When a timer fired and fires again; None for never, as `last` is at a timer's first run."""

    last: datetime.datetime | None = None
    next: datetime.datetime | None = None
    last_updated: datetime.datetime | None = None

    def __post_init__(self) -> None:
        # .NET's "never" is the beginning of the year 1, in whatever zone the host has.
        for name in ("last", "next", "last_updated"):
            moment = getattr(self, name)
            if moment is not None and moment.year == 1:
                msgspec.structs.force_setattr(self, name, None)


class TimerRequest(
    msgspec.Struct,
    frozen=True,
    rename={"past_due": "IsPastDue", "schedule": "Schedule", "schedule_status": "ScheduleStatus"},
):
    """A timer's tick."""

    past_due: bool = False
    schedule_status: ScheduleStatus | None = None
    schedule: dict[str, Any] | None = None


class EventGridEvent(msgspec.Struct, Generic[T], frozen=True, rename="camel"):
    """An event of Event Grid; `data` is of type T."""

    id: str
    subject: str
    event_type: str
    data: T
    topic: str = ""
    event_time: datetime.datetime | None = None
    data_version: str | None = None
    metadata_version: str | None = None


class CloudEvent(msgspec.Struct, Generic[T], frozen=True):
    """An event of Event Grid in the CloudEvents schema; `data` is of type T, or None for an event without.

    `data_base64` holds the bytes of an event whose data is binary. Extension attributes are left out: annotate the
    event as `dict` to see them. See protocol 2.7.

    Example:
        @app.event_grid_trigger("event")
        def moved(event: fw.CloudEvent[dict[str, str]]) -> None:
            print(event.type, event.source, event.data)
    """

    id: str
    source: str
    type: str
    specversion: str = "1.0"
    subject: str | None = None
    time: datetime.datetime | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: T | None = None
    data_base64: bytes | None = None


# Which trigger each of the Struct types above belongs to.
STRUCTS: Final[dict[Any, str]] = {
    TimerRequest: "timertrigger",
    EventGridEvent: "eventgridtrigger",
    CloudEvent: "eventgridtrigger",
}

MESSAGES: Final = (QueueMessage, ServiceBusMessage, EventHubEvent, Blob)

PayloadOf = Callable[[Any], str | bytes]
