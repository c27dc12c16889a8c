"""Group A of the protocol's test vectors, and everything else that comes in an envelope."""

import datetime
import json
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.errors import RequestError
from fastworker.functions.build import argument_decoder
from fastworker.protocol.bindings import Binding
from fastworker.protocol.envelope import Metadata, envelope_reader

read_envelope = envelope_reader({"job": msgspec.Raw})


class Job(msgspec.Struct):
    name: str
    quantity: int = 1


def decode(member: str, annotation: Any, type_: str = "queueTrigger", **options: Any) -> Any:
    """The argument `job` of a handler, from the JSON text of its member in `Data`."""
    direction = "in" if type_.endswith("Trigger") else options.pop("direction", "in")
    binding = Binding(type_, direction, "job", **options)  # type: ignore[arg-type]
    envelope = read_envelope(b'{"Data": {"job": %b}, "Metadata": {}}' % member.encode())
    return argument_decoder(binding, annotation)(envelope.Data["job"], envelope)


def quoted(value: Any) -> str:
    """How the host writes a value that is no object: JSON text in a string."""
    return json.dumps(json.dumps(value))


@pytest.mark.parametrize(
    ("member", "annotation", "expected"),
    [
        pytest.param('"\\"abc\\""', str, "abc", id="A1-str"),
        pytest.param('"\\"abc\\""', Any, "abc", id="A1-any"),
        pytest.param('"\\"{\\\\\\"a\\\\\\":1}\\""', str, '{"a":1}', id="A2-str"),
        pytest.param('"\\"{\\\\\\"a\\\\\\":1}\\""', dict, {"a": 1}, id="A2-dict"),
        pytest.param('"\\"{\\\\\\"a\\\\\\":1}\\""', bytes, b'{"a":1}', id="A2-bytes"),
        pytest.param('"\\"{\\\\\\"a\\\\\\":1}\\""', Any, '{"a":1}', id="A2-any"),
        pytest.param('"4"', int, 4, id="A3-int"),
        pytest.param('"true"', bool, True, id="A3-bool"),
        pytest.param('"null"', str | None, None, id="A3-null"),
        pytest.param('"[\\"a\\",\\"b\\"]"', list[str], ["a", "b"], id="A4-list"),
        pytest.param('{"a":1}', dict, {"a": 1}, id="A5-dict"),
        pytest.param('{"a":1}', Any, {"a": 1}, id="A5-any"),
        pytest.param('{"a":1}', str, '{"a":1}', id="A5-str"),
        pytest.param('"2026-01-02T10:00:00"', datetime.datetime, datetime.datetime(2026, 1, 2, 10), id="A7-date"),
        pytest.param('"2026-01-02T10:00:00"', Any, "2026-01-02T10:00:00", id="A7-any"),
    ],
)
def test_vector_of_group_a_decodes_by_its_annotation(member, annotation, expected):
    """Vectors A 1 to 5 and 7."""
    assert decode(member, annotation) == expected


@pytest.mark.parametrize("data_type", ["binary", "string"])
def test_vector_a6_bytes_are_plain_base64_whatever_the_data_type(data_type):
    """Vector A 6: a blob trigger's value is bytes always."""
    assert decode('"aGVsbG8="', bytes, "blobTrigger", data_type=data_type) == b"hello"
    assert decode('"aGVsbG8="', str, "blobTrigger", data_type=data_type) == "hello"


@pytest.mark.parametrize("text", ["1234", "true", "null", "[]"])
def test_message_that_looks_like_json_stays_text_for_str(text):
    """A queue message `1234` is text for a handler that asks for text."""
    assert decode(quoted(text), str) == text
    assert decode(quoted(text), str | None) == text
    assert decode(quoted(text), bytes) == text.encode()


@pytest.mark.parametrize("text", ["1234", "true", "null"])
def test_base64_that_looks_like_json_is_decoded_as_base64(text):
    """`1234`, `true` and `null` are base64 of three bytes each, for a binding that sends bytes."""
    assert len(decode(f'"{text}"', bytes, "blobTrigger")) == 3


def test_struct_for_a_queue_trigger_takes_the_second_parse():
    """The message text is JSON itself."""
    assert decode(quoted('{"name":"a","quantity":2}'), Job) == Job("a", 2)


@pytest.mark.parametrize("member", ['{"name":"a"}', '"{\\"name\\":\\"a\\"}"', quoted('{"name":"a"}')])
def test_object_comes_nested_quoted_once_or_twice(member):
    """Current hosts nest objects, early ones quote them once, messages are quoted twice."""
    assert decode(member, Job) == Job("a")


def test_documents_come_quoted_once_or_twice():
    """Cosmos DB's extension 3 quotes the array once, extension 4 twice."""
    documents = [{"name": "d1"}, {"name": "d2"}]
    for member in (json.dumps(json.dumps(documents)), quoted(json.dumps(documents))):
        assert decode(member, list[Job], "cosmosDBTrigger") == [Job("d1"), Job("d2")]
        assert decode(member, Any, "cosmosDBTrigger") in (documents, json.dumps(documents))


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (list[str], ["first", '{"name":"b"}']),
        (list, ["first", '{"name":"b"}']),
        (list[bytes], [b"first", b'{"name":"b"}']),
    ],
)
def test_batch_is_a_list_of_message_texts(annotation, expected):
    """Service Bus batches are one array of texts."""
    member = quoted(["first", '{"name":"b"}'])
    assert decode(member, annotation, "serviceBusTrigger", cardinality="many") == expected


def test_batch_elements_are_parsed_into_the_annotated_type():
    """Texts are parsed, objects (seen without `dataType`) are converted."""
    member = quoted(['{"name":"a"}', {"name": "b"}])
    assert decode(member, list[Job], "eventHubTrigger", cardinality="many") == [Job("a"), Job("b")]


def test_binary_batch_is_a_list_of_base64():
    """With `dataType` binary a batch is an array of byte arrays."""
    member = quoted(["aGVsbG8=", "1234"])
    got = decode(member, list[bytes], "eventHubTrigger", cardinality="many", data_type="binary")
    assert got == [b"hello", b"\xd7\x6d\xf8"]


@pytest.mark.parametrize("data_type", [None, "binary"])
def test_missing_blob_is_none_where_the_annotation_allows_it(data_type):
    """Protocol 2.2: a blob input that was not found is `"null"`."""
    for annotation in (str | None, bytes | None, Job | None):
        assert decode('"null"', annotation, "blob", data_type=data_type) is None


@pytest.mark.parametrize("data_type", [None, "binary"])
def test_missing_blob_is_a_clear_400_otherwise(data_type):
    """The message tells how to allow it."""
    with pytest.raises(RequestError, match=r"Data\.job: expected a value, got null .*\| None"):
        decode('"null"', str, "blob", data_type=data_type)


def test_early_hosts_quote_base64_too():
    """Spring 2020: every value was JSON text; no base64 begins with a quote."""
    assert decode('"\\"aGVsbG8=\\""', bytes, "blobTrigger") == b"hello"


def test_base64_with_json_escapes_is_decoded():
    """Some serialisers escape the plus sign."""
    assert decode('"\\u002B\\u002B\\u002B\\u002B"', bytes, "blobTrigger") == b"\xfb\xef\xbe"


def test_string_like_types_take_bare_message_text():
    """A message that is a UUID has no quotes."""
    id_ = uuid.UUID("2c0a9d61-6d0e-4c5f-9a54-0b7f4f1c8e10")
    assert decode(quoted(str(id_)), uuid.UUID) == id_
    assert decode(quoted(json.dumps(str(id_))), uuid.UUID) == id_


def test_text_in_a_union_stays_text():
    """`str | dict`: a message is text, an object is an object."""
    assert decode(quoted('{"a":1}'), str | dict) == '{"a":1}'
    assert decode('{"a":1}', str | dict) == {"a": 1}


def test_plain_text_that_no_host_quotes_is_kept():
    """Hand-written envelopes, as in the documentation, hold bare text."""
    assert decode('"Message sent"', str) == "Message sent"
    assert decode('"Message sent"', Any) == "Message sent"
    assert decode('"\\"hi\\" there"', str) == '"hi" there'


@pytest.mark.parametrize(
    ("member", "annotation", "message"),
    [
        (quoted('{"name":"a","quantity":"x"}'), Job, "Data.job.quantity: expected `int`, got `str`"),
        (quoted('[{"name":"a"},{}]'), list[Job], "Data.job[1]: object missing required field `name`"),
        (quoted('{"name":'), Job, "Data.job: expected JSON: Input data was truncated"),
        ('"*"', bytes, "Data.job: expected base64"),
    ],
)
def test_wrong_value_is_named_by_its_path(member, annotation, message):
    """Where, what was expected, what came."""
    type_ = "blobTrigger" if annotation is bytes else "queueTrigger"
    with pytest.raises(RequestError) as caught:
        decode(member, annotation, type_)
    assert caught.value.status == 400
    assert caught.value.detail.startswith(message)


def test_wrong_element_of_a_batch_is_named_by_its_index():
    """Also where each element is JSON text of its own."""
    with pytest.raises(RequestError, match=r"Data\.job\[1\]\.quantity: expected `int`, got `str`"):
        decode(
            quoted(['{"name":"a"}', '{"name":"b","quantity":"2"}']), list[Job], "eventHubTrigger", cardinality="many"
        )


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"Data": []}',
        b'{"Metadata": {}}',
        b'{"Data": {"job": "\\ud800"}}',
        b'{"Data": {"job": "\xff"}}',
        b'{"Data": {"job": ' + DEEP + b"}}",
        b'{"Data": {"job": ' + json.dumps(DEEP.decode()).encode() + b"}}",
        DEEP,
    ],
)
def test_malformed_envelope_is_a_400(body):
    """No crash and no RecursionError: invalid UTF-8, lone surrogates, 100,000 brackets."""
    decoder = argument_decoder(Binding("queueTrigger", "in", "job"), list)
    with pytest.raises(RequestError) as caught:
        envelope = read_envelope(body)
        decoder(envelope.Data["job"], envelope)
    assert caught.value.status == 400


def test_body_may_be_a_bytearray():
    """Values are views into it, and it cannot shrink below them."""
    body = bytearray(b'{"Data": {"job": "\\"abc\\""}}')
    envelope = read_envelope(body)
    with pytest.raises(BufferError):
        body.clear()
    assert argument_decoder(Binding("queueTrigger", "in", "job"), str)(envelope.Data["job"], envelope) == "abc"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.text())
def test_any_message_text_arrives_as_it_is(text):
    """What the host quotes twice comes out as the same text."""
    assert decode(quoted(text), str) == text
    assert decode(quoted(text), Any) == text
    assert decode(quoted([text, text]), list[str], "eventHubTrigger", cardinality="many") == [text, text]


@given(st.binary())
def test_any_bytes_arrive_as_they_are(data):
    """Whatever the base64 looks like."""
    member = msgspec.json.encode(data).decode()
    assert decode(member, bytes, "blobTrigger") == data


@given(json_values)
def test_any_json_message_is_parsed(value):
    """A JSON message into `dict | list | ...` is its value."""

    class Box(msgspec.Struct):
        value: Any

    assert decode(quoted(json.dumps({"value": value})), Box).value == value


@given(st.binary(max_size=60))
def test_garbage_never_raises_anything_but_a_400(data):
    """Whatever the bytes."""
    try:
        envelope = read_envelope(b'{"Data": {"job": ' + data + b"}}")
    except RequestError:
        return
    for annotation in (str, bytes, Any, Job, list[Job]):
        try:
            argument_decoder(Binding("queueTrigger", "in", "job"), annotation)(envelope.Data["job"], envelope)
        except (RequestError, KeyError):
            continue


# ---- Metadata -------------------------------------------------------------------------------------------------------


def metadata(**members: str) -> Metadata:
    text = ",".join(f'"{name}": {member}' for name, member in members.items())
    return Metadata(msgspec.Raw(f"{{{text}}}".encode()))


def test_metadata_is_decoded_member_by_member():
    """Vectors A 8 and 9: numbers as text, message members over the trigger's own, names in any case."""
    got = metadata(c='"1"', Id='"\\"zz\\""', ExpirationTime='"2026-01-09T10:00:00+00:00"', sys='{"MethodName": "f"}')
    assert got["c"] == 1
    assert got["Id"] == got["id"] == "zz"
    assert got["ExpirationTime"] == "2026-01-09T10:00:00+00:00"
    assert got["sys"] == {"MethodName": "f"}
    assert len(got) == 4
    assert "nothing" not in got


def test_metadata_converts_when_asked():
    """Typed access, with a default; dates without a zone are UTC."""
    got = metadata(DequeueCount='"3"', Code='"7"', EnqueuedTimeUtc='"2026-01-02T10:00:00"')
    assert got.get_as("DequeueCount", int) == 3
    assert got.get_as("Code", str) == "7"
    assert got.get_as("EnqueuedTimeUtc", datetime.datetime) == datetime.datetime(2026, 1, 2, 10, tzinfo=datetime.UTC)
    assert got.get_as("Missing", int, 5) == 5
    with pytest.raises(RequestError, match=r"Metadata\.EnqueuedTimeUtc: expected `int`"):
        got.get_as("EnqueuedTimeUtc", int)


def test_metadata_of_early_hosts_is_text_of_an_object():
    """Spring 2020 (protocol 2.6)."""
    assert Metadata(msgspec.Raw(b'"{\\"a\\": \\"1\\"}"'))["a"] == 1


@given(st.dictionaries(st.text(), json_values))
def test_any_metadata_is_readable(members):
    """Objects nested, everything else quoted."""
    sent = {k: v if isinstance(v, dict) else json.dumps(v) for k, v in members.items()}
    got = Metadata(msgspec.Raw(json.dumps(sent).encode()))
    assert {name: got[name] for name in got} == members
