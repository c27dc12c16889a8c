"""streams.py: items to bytes, by their content type and the first of them."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.protocol.jsontext import UnencodableError
from fastworker.protocol.streams import END, Event, EventItems, EventStream, Items, encode_event, is_stream


def sent(content_type: str | None, *values: object) -> tuple[str, bytes]:
    """The content type and the whole body of a stream."""
    items = Items(content_type, values[0] if values else END)
    return items.content_type, b"".join([*map(items.encode, values), items.end()])


@pytest.mark.parametrize(
    ("given_type", "values", "content_type", "body"),
    [
        (None, [{"n": 1}, [2], None, "x"], "application/x-ndjson", b'{"n":1}\n[2]\nnull\nx'),
        (None, [], "application/x-ndjson", b""),
        ("application/x-ndjson; v=1", [1, 2], "application/x-ndjson; v=1", b"1\n2\n"),
        ("application/jsonl", [1, 2], "application/jsonl", b"1\n2\n"),
        ("application/json", [{"n": 1}, "x", b"y"], "application/json", b'[{"n":1},"x","eQ=="]'),
        ("Application/JSON; charset=utf-8", [1], "Application/JSON; charset=utf-8", b"[1]"),
        ("application/json", [], "application/json", b"[]"),
        # Text first: the handler writes its own JSON.
        ("application/json", ['{"a":', "1", b"}"], "application/json", b'{"a":1}'),
        (None, ["Grü", "ße"], "text/plain; charset=utf-8", "Grüße".encode()),
        (None, [b"\xff", bytearray(b"\0"), memoryview(b"x")], "application/octet-stream", b"\xff\0x"),
        ("text/csv", ["a,", 1, "\n"], "text/csv", b"a,1\n"),
        ("text/event-stream", [{"n": 1}, Event(data="x")], "text/event-stream", b'data: {"n":1}\n\ndata: x\n\n'),
        # Whoever writes the fields himself may.
        ("text/event-stream", ["data: own\n\n"], "text/event-stream", b"data: own\n\n"),
        (None, [Event(id=1, data=2), {"n": 3}], "text/event-stream", b'id: 1\ndata: 2\n\ndata: {"n":3}\n\n'),
        ("text/event-stream", [], "text/event-stream", b""),
    ],
)
def test_items_become_a_body(given_type, values, content_type, body):
    """The forms of streams.py's table, and empty ones."""
    assert sent(given_type, *values) == (content_type, body)


@given(st.lists(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53), st.lists)))
def test_any_values_are_one_array(values):
    """Which any reader of JSON takes back."""
    assert orjson.loads(sent("application/json", *values)[1]) == values


@pytest.mark.parametrize("content_type", [None, "application/json", "text/event-stream"])
@pytest.mark.parametrize("wrong", [object(), {"a": [float("nan")]}, {"a": "\ud800"}])
def test_an_item_that_cannot_be_encoded_is_named_by_its_number(content_type, wrong):
    """Counted from 0, and the way to the culprit within it."""
    items = Items(content_type, {"n": 0})
    items.encode({"n": 0})
    items.encode({"n": 1})
    with pytest.raises(UnencodableError, match=r"^the stream, item 2"):
        items.encode(wrong)


def test_text_that_is_no_unicode_is_named_by_its_number():
    """A lone surrogate."""
    items = Items(None, "a")
    items.encode("a")
    with pytest.raises(UnencodableError, match=r"^the stream, item 1: .*no Unicode"):
        items.encode("\ud800")


# -- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event(data="x"), "data: x\n\n"),
        (Event(data={"ü": 1}), 'data: {"ü":1}\n\n'),
        (Event(data=""), "data: \n\n"),
        (Event(data=0, id=0), "id: 0\ndata: 0\n\n"),
        (Event(data="one\ntwo\r\nthree\rfour\n"), "data: one\ndata: two\ndata: three\ndata: four\ndata: \n\n"),
        (Event(data="a\u2028b\x0bc"), "data: a\u2028b\x0bc\n\n"),
        (Event(comment="hello\nthere"), ": hello\n: there\n\n"),
        (Event(retry=1500), "retry: 1500\n\n"),
        (
            Event(data=1, id="a", event="b", retry=2, comment="c"),
            "id: a\nevent: b\nretry: 2\n: c\ndata: 1\n\n",
        ),
    ],
)
def test_an_event_has_the_form_of_the_standard(event, text):
    """Every line of text is a line of data; what else Python takes for a line's end is none there."""
    assert encode_event(event, "here").decode() == text


@given(st.text().filter(lambda text: "\0" not in text))
def test_data_comes_back_as_the_standard_reads_it(text):
    """Parsed by the rules of the standard, with all three ends of a line made one."""
    try:
        lines = encode_event(Event(data=text), "here").decode().split("\n")
    except UnencodableError:
        assert any("\ud800" <= c <= "\udfff" for c in text)
        return
    assert lines[-2:] == ["", ""]
    assert all(line.startswith("data: ") for line in lines[:-2])
    read = "\n".join(line.removeprefix("data: ") for line in lines[:-2])
    assert read == text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("name", ["id", "event"])
@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "\n"])
def test_a_field_that_would_be_two_lines_is_refused(name, value):
    """An event could be forged by it; the standard ignores an id with a NUL."""
    with pytest.raises(UnencodableError, match=rf"^here: .* cannot be the {name} of an event"):
        encode_event(Event(**{name: value}), "here")


def test_text_in_an_event_stream_is_data():
    """There nobody writes fields by hand."""
    items = EventItems()
    assert items.encode("data: x") == b"data: data: x\n\n"
    assert items.encode(Event(comment="c")) == b": c\n\n"
    assert items.encode({"n": 1}) == b'data: {"n":1}\n\n'
    assert items.end() == b""
    with pytest.raises(UnencodableError, match=r"^the stream, item 3"):
        items.encode(object())


def test_an_event_stream_is_neither_kept_nor_collected_on_its_way():
    """Unless its handler says otherwise."""
    plain = EventStream([1])
    assert plain.content_type == "text/event-stream"
    assert plain.headers == [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")]
    own = EventStream([1], headers={"cache-control": "no-store", "X-A": "1"})
    assert own.headers == [("cache-control", "no-store"), ("X-A", "1"), ("X-Accel-Buffering", "no")]


@pytest.mark.parametrize("keep_alive", [0, -1, float("nan")])
def test_a_keep_alive_is_some_seconds_or_none(keep_alive):
    """Anything else would send comments without end."""
    with pytest.raises(ValueError, match="keep_alive"):
        EventStream([1], keep_alive=keep_alive)
    assert EventStream([1], keep_alive=None).keep_alive is None


def test_what_gives_no_items_is_no_event_stream():
    """Told where it is made."""
    with pytest.raises(TypeError):
        EventStream(5)  # type: ignore[arg-type]


def test_a_retry_comes_before_the_first_event():
    """And whoever ends the stream ends its source, in both kinds."""
    closed = []

    def made():
        try:
            yield 1
            yield 2
        finally:
            closed.append("sync")

    async def made_async():
        try:
            yield 1
            yield 2
        finally:
            closed.append("async")

    async def two(source):
        taken = [await anext(source), await anext(source)]
        await source.aclose()
        return taken

    source = EventStream(made(), retry=5).body
    assert [next(source), next(source)] == [Event(retry=5), 1]
    source.close()
    assert closed == ["sync"]
    assert asyncio.run(two(EventStream(made_async(), retry=5).body)) == [Event(retry=5), 1]
    assert closed == ["sync", "async"]


# -- what streams ----------------------------------------------------------------------------------------------------


class OwnAsync:
    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration


def test_iterators_stream_and_values_do_not():
    """A list is one value, however long."""

    async def made():
        yield 1

    assert all(map(is_stream, [iter([1]), (n for n in [1]), map(str, [1]), made(), OwnAsync()]))
    assert not any(map(is_stream, [[1], (1,), {1}, {"a": 1}, "a", b"a", range(3), 1, None]))
