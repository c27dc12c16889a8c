"""Bodies that are made while they are sent: how each item of an iterator becomes bytes.

Used by plain_http.py, which turns a Response into a Streaming, and by outputs.py, which joins one for an envelope.
Rule: pure. An item is text or bytes as it is, or else JSON; what stands between two items is the content type's.

    application/x-ndjson     item \\n item \\n                (the default for what is neither text nor bytes)
    application/json         [item,item]                    (unless the first item is text or bytes)
    text/event-stream        data: item \\n\\n                (fields in any order: Event)
    anything else            item item
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, Final

import msgspec

from fastworker.protocol.headers import header_pairs
from fastworker.protocol.jsontext import BUFFERS, UnencodableError, encode_json, to_bytes
from fastworker.protocol.messages import Response

NDJSON: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"
TEXT: Final = "text/plain; charset=utf-8"
BYTES: Final = "application/octet-stream"
JSON: Final = "application/json"

# Items that need no encoding.
AS_THEY_ARE: Final = (str, *BUFFERS)
END: Final = object()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One server-sent event. `data` is text, or anything that JSON can hold; `retry` is in milliseconds.

    An event with a comment alone reaches no listener; it keeps the connection busy.
    """

    data: Any = None
    id: str | int | None = None
    event: str | None = None
    retry: int | None = None
    comment: str | None = None


class EventStream(Response):
    """Server-sent events from an iterator, sync or async, of Events or of their data alone.

    `keep_alive` is how many seconds may pass without an event before a comment is sent, so that nobody on the way
    takes the stream for dead; None sends none. Async iterators only: a sync one occupies its worker meanwhile.
    `retry` tells the browser how many milliseconds to wait before it connects again. A stream ends at the function's
    deadline at the latest; the browser then comes back with the last id in the header `Last-Event-ID`.
    """

    __slots__ = ("keep_alive",)

    def __init__(
        self,
        events: Iterable[Any] | AsyncIterable[Any],
        *,
        keep_alive: float | None = 15.0,
        retry: int | None = None,
        headers: Any = None,
        cookies: Any = None,
    ) -> None:
        if not hasattr(events, "__aiter__"):
            events = iter(events)  # raises TypeError for what gives no items
        if keep_alive is not None and not keep_alive > 0:
            raise ValueError(f"keep_alive is a number of seconds above 0, or None: not {keep_alive}")
        # A cache, or a proxy that collects, would hold the events back.
        own = [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")]
        body = events if retry is None else _with_retry(events, retry)
        super().__init__(body, headers=headers, content_type=EVENTS, cookies=cookies)
        given = header_pairs(self)
        names = {str(name).lower() for name, _ in given}
        self.headers = [*given, *(pair for pair in own if pair[0].lower() not in names)]
        self.keep_alive = keep_alive


def is_stream(body: Any) -> bool:
    """Whether a body is made item by item: an iterator or async iterator (a list is one value)."""
    return hasattr(body, "__next__") or (hasattr(body, "__aiter__") and not hasattr(body, "__iter__"))


class Items:
    """How the items of one stream become bytes, decided by the content type that was given and the first item."""

    def __init__(self, content_type: str | None, first: Any, *, place: str = "the stream") -> None:
        kind = _kind(content_type)
        as_they_are = isinstance(first, AS_THEY_ARE)
        self.content_type = content_type or _default_type(first)
        self._place = place
        self._count = 0
        self._is_array = kind == JSON and not as_they_are and first is not END
        self._is_events = kind == EVENTS or isinstance(first, Event)
        self._separator = b"\n" if _kind(self.content_type) in {NDJSON, "application/jsonl"} else b""

    def encode(self, item: Any) -> bytes:
        """The bytes of the next item, with what stands before it. Raises UnencodableError naming the item."""
        place = f"{self._place}, item {self._count}"
        self._count += 1
        if self._is_array:
            return (b"," if self._count > 1 else b"[") + encode_json(item, place)
        if isinstance(item, AS_THEY_ARE):
            return to_bytes(item, place)
        if self._is_events:
            return encode_event(item if isinstance(item, Event) else Event(data=item), place)
        return encode_json(item, place) + self._separator

    def end(self) -> bytes:
        """What closes the body."""
        if self._is_array:
            return b"]"
        return b"[]" if not self._count and _kind(self.content_type) == JSON else b""


class EventItems(Items):
    """The items of an EventStream: there text is data, too."""

    def __init__(self, *, place: str = "the stream") -> None:
        super().__init__(EVENTS, END, place=place)

    def encode(self, item: Any) -> bytes:
        """The next event."""
        return super().encode(item if isinstance(item, Event) else Event(data=item))


def encode_event(event: Event, place: str) -> bytes:
    """An event as the HTML standard has it, ended by an empty line. Raises UnencodableError."""
    lines: list[str] = []
    for name, value in (("id", event.id), ("event", event.event)):
        if value is not None:
            text = str(value)
            if any(c in text for c in "\r\n\0"):
                raise UnencodableError(f"{place}: {text!r} cannot be the {name} of an event: it must be one line")
            lines.append(f"{name}: {text}")
    if event.retry is not None:
        lines.append(f"retry: {int(event.retry)}")
    if event.comment is not None:
        lines += [f": {line}" for line in _lines(event.comment)]
    if event.data is not None:
        data = event.data if isinstance(event.data, str) else encode_json(event.data, place).decode()
        lines += [f"data: {line}" for line in _lines(data)]
    return to_bytes("\n".join([*lines, "", ""]), place)


KEEP_ALIVE: Final = b": keep-alive\n\n"


def _lines(text: str) -> list[str]:
    # Not splitlines(): only these three end a line there, and a last empty one counts.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _kind(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _default_type(first: Any) -> str:
    if isinstance(first, str):
        return TEXT
    if isinstance(first, BUFFERS):
        return BYTES
    return EVENTS if isinstance(first, Event) else NDJSON


def _with_retry(events: Iterable[Any] | AsyncIterable[Any], retry: int) -> Iterator[Any] | AsyncIterator[Any]:
    """The events behind one that sets the time to reconnect; closing this closes the source."""

    def sync() -> Iterator[Any]:
        yield Event(retry=retry)
        yield from events  # type: ignore[misc]  # closes it, too

    async def asynchronous() -> AsyncIterator[Any]:
        yield Event(retry=retry)
        source = aiter(events)  # type: ignore[arg-type]
        try:
            async for event in source:
                yield event
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()

    return asynchronous() if hasattr(events, "__aiter__") else sync()
