"""Group C of the protocol's test vectors: what the host makes of answers."""

from typing import Any

import pytest

from fastworker.hostrules.answers import AnswerError, NothingError, accept
from fastworker.hostrules.dotnet_values import from_base64, to_text
from tests.devhost.stand import (
    BLOB_OUT,
    HTTP_IN,
    HTTP_OUT,
    QUEUE_OUT,
    RETURN_OUT,
    Answering,
    LocalHost,
    Reply,
    ScriptedHandler,
    answering,
    scripted,
)

HTTP = [HTTP_IN, HTTP_OUT]
RETURNS = [HTTP_IN, RETURN_OUT]
QUEUE_RETURN = {**QUEUE_OUT, "name": "$return"}
TEXT = "text/plain; charset=utf-8"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One host for all cases: `named` has the http output res, `returns` has $return, and so on."""
    functions = (
        ("named", HTTP),
        ("returns", RETURNS),
        ("queues", [*HTTP, QUEUE_OUT]),
        ("binary", [*HTTP, {**QUEUE_OUT, "dataType": "binary"}]),
        ("queuereturn", [HTTP_IN, QUEUE_RETURN]),
        ("blobs", [*HTTP, BLOB_OUT]),
        ("tables", [*HTTP, {"type": "table", "direction": "out", "name": "t", "tableName": "rows"}]),
        ("cosmos", [*HTTP, {"type": "cosmosDB", "direction": "out", "name": "docs", "containerName": "c"}]),
        ("nothing", [HTTP_IN]),
    )
    with scripted(tmp_path_factory.mktemp("answers"), *functions) as pair:
        yield pair


def ask(stand: tuple[LocalHost, ScriptedHandler], function: str, document: Any, **options: Any) -> Reply:
    """The client's reply when the handler answers with `document`."""
    host, handler = stand
    handler.script = answering(document, **options)
    return host.call("GET", f"/api/{function}")


@pytest.mark.parametrize(
    ("document", "status", "body", "content_type"),
    [
        pytest.param({"Outputs": {"res": {"statusCode": "204"}}}, 204, b"", TEXT, id="C28"),
        pytest.param({"Outputs": {"res": "SomeBlah"}}, 500, b"", None, id="C29"),
        pytest.param({"outputs": {"res": {"STATUSCODE": 201, "Body": "x"}}}, 201, b"x", TEXT, id="C30"),
        pytest.param({"Outputs": {"RES": {"body": "x"}}}, 200, b"{}", TEXT, id="C31"),
        pytest.param({}, 204, b"", None, id="C32"),
        pytest.param({"Outputs": {}}, 200, b"{}", TEXT, id="trap-22"),
        pytest.param({"Outputs": {"res": None}}, 500, b"", None, id="null"),
        pytest.param({"Outputs": {"res": 3}}, 500, b"", None, id="number"),
        pytest.param({"Outputs": {"res": []}}, 500, b"", None, id="array"),
        pytest.param({"Outputs": {"res": {}}}, 200, b"", TEXT, id="empty"),
        pytest.param({"Outputs": {"res": {"status": 404, "body": "x"}}}, 200, b"x", TEXT, id="trap-19"),
        pytest.param({"Outputs": {"res": {"statusCode": "404"}}}, 404, b"", TEXT, id="text-status"),
        pytest.param({"Outputs": {"res": {"statusCode": "abc", "body": "x"}}}, 200, b"x", TEXT, id="no-status"),
        pytest.param({"Outputs": {"res": {"body": {"a": 1}}}}, 200, b'{\n  "a": 1\n}', TEXT, id="trap-20"),
        pytest.param({"Outputs": {"res": {"body": True}}}, 200, b"True", TEXT, id="bool"),
        pytest.param({"Outputs": {"res": {"body": 3}}}, 200, b"3", TEXT, id="int-body"),
        pytest.param({"Outputs": {"res": {"body": "aGk="}}}, 200, b"aGk=", TEXT, id="no-base64-here"),
        pytest.param({"Outputs": {"res": '{"statusCode":202,"body":"x"}'}}, 202, b"x", TEXT, id="json-text"),
        pytest.param({"Outputs": {"res": {"headers": {"a": ["x"]}}}}, 500, b"", None, id="trap-21"),
        pytest.param({"Outputs": {"res": {"headers": {"a": None}}}}, 500, b"", None, id="null-header"),
        pytest.param(
            {"Outputs": {"res": {"body": "x", "headers": {"content-type": "text/html"}}}},
            200, b"x", "text/html; charset=utf-8", id="C44",
        ),
        pytest.param({"Outputs": {"res": {"headers": {"bad name": "x"}}}}, 500, b"", None, id="header-name"),
        pytest.param({"Outputs": {"res": {"headers": {"a": "x\r\ny"}}}}, 500, b"", None, id="header-break"),
        pytest.param({"Outputs": {"res": {"statusCode": 204, "body": "x"}}}, 204, b"", TEXT, id="204-with-body"),
        pytest.param({"Outputs": {"res": {"statusCode": 299, "body": "x"}}}, 299, b"x", TEXT, id="odd-status"),
        pytest.param({"ReturnValue": {"res": {"statusCode": 202, "body": "x"}}}, 202, b"x", TEXT, id="merged"),
    ],
)  # fmt: skip
def test_named_http_output(stand: Any, document: Any, status: int, body: bytes, content_type: str | None) -> None:
    """Section 4.3."""
    reply = ask(stand, "named", document)
    assert (reply.status, reply.body, reply.header("content-type")) == (status, body, content_type)


@pytest.mark.parametrize(
    ("value", "status", "body", "content_type"),
    [
        pytest.param("aGVsbG8=", 200, b"hello", None, id="C41"),
        pytest.param({"status": 404, "body": "x"}, 404, b"x", TEXT, id="C42"),
        pytest.param("hello", 200, b"hello", TEXT, id="text"),
        pytest.param('{"statusCode":201,"body":{"a":1}}', 201, b'{"a":1}', TEXT, id="json-text"),
        pytest.param({"a": 1}, 200, b'{\n  "a": 1\n}', TEXT, id="object-without-body"),
        pytest.param({"body": [1]}, 200, b"System.Collections.Generic.List`1[System.Object]", TEXT, id="array-body"),
        pytest.param(None, 204, b"", None, id="null"),
    ],
)
def test_http_output_named_return(stand: Any, value: Any, status: int, body: bytes, content_type: str | None) -> None:
    """Section 4.4."""
    reply = ask(stand, "returns", {"ReturnValue": value, "Outputs": {"$return": {"body": "ignored"}}})
    assert (reply.status, reply.body, reply.header("content-type")) == (status, body, content_type)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param(Answering(200, b"{}", (("Content-Type", "text/plain"),)), 500, id="C34"),
        pytest.param(Answering(200, b"{}", ()), 500, id="no-type"),
        pytest.param(Answering(200, b"{}", (("Content-Type", "application/problem+json"),)), 500, id="problem"),
        pytest.param(Answering(200, b"{}", (("Content-Type", "text/json; charset=utf-8"),)), 204, id="text-json"),
        pytest.param(Answering(500, b'{"Logs":["lost"],"Outputs":{"res":{"body":"x"}}}'), 500, id="C35-500"),
        pytest.param(Answering(404, b'{"Logs":["lost"],"Outputs":{"res":{"body":"x"}}}'), 500, id="C35-404"),
        pytest.param(Answering(200, b"{oops"), 500, id="malformed"),
        pytest.param(Answering(200, b'{"a":"\xff"}'), 500, id="no-utf8"),
        pytest.param(Answering(200, b'{"Outputs":[]}'), 500, id="outputs-array"),
    ],
)
def test_answer_is_accepted_or_fails(stand: Any, answer: Answering, status: int) -> None:
    """Section 4.1: anything that is not accepted is a 500 with an empty body, and its logs are lost."""
    host, handler = stand
    before = len(list(host.console.lines))
    handler.script = lambda _: answer
    reply = host.call("GET", "/api/named")
    assert (reply.status, reply.body) == (status, b"")
    assert not any("lost" in line and "answered" not in line for line in list(host.console.lines)[before:])


@pytest.mark.parametrize("body", [b"", b"null"])
def test_empty_answer_is_none_at_all(body: bytes) -> None:
    """Vector C33 and trap 1: accepted by nobody, refused by nobody; the host goes on waiting."""
    with pytest.raises(NothingError):
        accept(200, "application/json", body)


def test_logs_are_lines_of_scalars(stand: Any) -> None:
    """Vector C36: numbers and booleans become text."""
    host, _ = stand
    before = len(list(host.console.lines))
    ask(stand, "named", {"Logs": ["a", 1, True]})
    assert [line for line in list(host.console.lines)[before:] if line in ("[named] a", "[named] 1", "[named] true")]
    assert accept(200, "application/json", b'{"Logs":["a",1,true]}').logs == ("a", "1", "true")
    for wrong in (b'{"Logs":[{}]}', b'{"Logs":"a"}'):
        with pytest.raises(AnswerError):
            accept(200, "application/json", wrong)


def queue_of(stand: Any, function: str, document: Any) -> list[bytes]:
    """What lies in the queue after the answer; the queue is emptied."""
    host, _ = stand
    account = host.app.accounts.open("AzureWebJobsStorage")
    ask(stand, function, document)

    async def drain() -> list[bytes]:
        messages = await account.take_messages("results", 32, 60)
        for message in messages:
            await account.delete_message("results", message)
        return [message.content for message in messages]

    return list(host.run(drain()))


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        pytest.param("test", [b"\xb5\xeb-"], id="C37"),
        pytest.param("hello", [b"hello"], id="C38-one"),
        pytest.param(["test", "x"], [b"test", b"x"], id="C38-two"),
        pytest.param({"a": 1}, [b'{\n  "a": 1\n}'], id="object"),
        pytest.param('{"a":1}', [b'{\n  "a": 1\n}'], id="json-text"),
        pytest.param("[1,true]", [b"1", b"True"], id="json-array-text"),
        pytest.param("{oops", [b"{oops"], id="half-json-is-text"),
        pytest.param(7, [b"7"], id="int"),
        pytest.param(1.5, [b"1.5"], id="float"),
        pytest.param(True, [b"True"], id="bool"),
        pytest.param(None, [], id="null"),
        pytest.param("", [b""], id="empty"),
        pytest.param("2020-01-02T03:04:05", [b"01/02/2020 03:04:05"], id="trap-26"),
        pytest.param("aGVs bG8=", [b"hello"], id="spaced-base64"),
    ],
)
def test_queue_output(stand: Any, value: Any, messages: list[bytes]) -> None:
    """Sections 4.5 and 4.6: base64 is guessed, text that looks like JSON is parsed, arrays are split."""
    assert queue_of(stand, "queues", {"Outputs": {"out": value}}) == messages


def test_binary_data_type_stores_the_base64_text(stand: Any) -> None:
    """Vector C39."""
    assert queue_of(stand, "binary", {"Outputs": {"out": "dGVzdA=="}}) == [b"dGVzdA=="]


def test_return_value_goes_to_the_output_named_return(stand: Any) -> None:
    """Vector C40: and Outputs["$return"] is ignored."""
    assert queue_of(stand, "queuereturn", {"ReturnValue": "hello", "Outputs": {"$return": "no"}}) == [b"hello"]


def test_return_value_without_return_output_is_merged_by_name(stand: Any) -> None:
    """Vector C43: and its strings skip the base64 rule."""
    assert queue_of(stand, "queues", {"ReturnValue": {"out": "hello"}}) == [b"hello"]
    assert queue_of(stand, "queues", {"ReturnValue": {"out": "test"}, "Outputs": {"out": "x"}}) == [b"test"]


def test_plain_return_value_answers_an_http_trigger_without_output(stand: Any) -> None:
    """Section 4.2."""
    assert ask(stand, "nothing", {"ReturnValue": "hi"}).body == b"hi"
    assert ask(stand, "nothing", {}).status == 204


@pytest.mark.parametrize(
    ("value", "content"),
    [
        pytest.param(7, b"\x07\0\0\0", id="C45"),
        pytest.param(2**40 + 7, b"\x07\0\0\0", id="cut-to-32-bits"),
        pytest.param(True, b"\x01", id="bool"),
        pytest.param(1.5, b"\0\0\0\0\0\0\xf8?", id="float"),
        pytest.param({"a": [1]}, b'{"a":[1]}', id="object"),
        pytest.param([1, "x"], b'[1,"x"]', id="array"),
        pytest.param("plain text", b"plain text", id="text"),
        pytest.param("aGk=", b"hi", id="base64"),
    ],
)
def test_blob_output(stand: Any, value: Any, content: bytes) -> None:
    """Section 4.6."""
    ask(stand, "blobs", {"Outputs": {"b": value}})
    assert stand[0].blob("things", "one") == content


def test_date_text_cannot_be_written_to_a_blob(stand: Any) -> None:
    """Section 4.1: it fails, and the line on the terminal says why."""
    assert ask(stand, "blobs", {"Outputs": {"b": "2020-01-02T03:04:05"}}).status == 500
    stand[0].says("takes '2020-01-02T03:04:05' for a date")


def test_table_output_takes_objects_and_their_json_text(stand: Any) -> None:
    """Section 4.6: an object or an array of them; anything else fails the invocation."""
    host, _ = stand
    rows = [{"PartitionKey": "p", "RowKey": str(i), "n": i} for i in range(2)]
    assert ask(stand, "tables", {"Outputs": {"t": rows}}).status == 200
    assert ask(stand, "tables", {"Outputs": {"t": "nothing like an object"}}).status == 500
    assert ask(stand, "tables", {"Outputs": {"t": {"RowKey": "x"}}}).status == 500
    account = host.app.accounts.open("AzureWebJobsStorage")
    assert host.run(account.query_entities("rows", "p", "", 10)) == rows


def test_output_of_a_service_that_is_not_here_is_shown(stand: Any) -> None:
    """It is recorded, by the rules of its type."""
    ask(stand, "cosmos", {"Outputs": {"docs": [{"id": "1"}]}})
    stand[0].says('cosmosDB c (recorded only): {"id":"1"}')


def test_unknown_output_is_dropped_with_a_word(stand: Any) -> None:
    """Trap 24: the host says nothing, the local one warns."""
    ask(stand, "queues", {"Outputs": {"Out": "x"}})
    stand[0].says("Outputs.Out is no output and is dropped (there are: out, res)")


@pytest.mark.parametrize("text", ["test", "data", "true", "null", "1234", "OKOK", "aGVs bG8=", "", " "])
def test_text_that_dotnet_takes_for_base64(text: str) -> None:
    """Section 4.5."""
    assert from_base64(text) is not None


@pytest.mark.parametrize("text", ["hello", "Order complete", "a-b_", '{"a":1}', "hello!!!", "a===", "=aaa", "ab=c"])
def test_text_that_dotnet_does_not_take_for_base64(text: str) -> None:
    """Section 4.5."""
    assert from_base64(text) is None


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.1, "0.1"), (1e20, "1E+20"), (1e-7, "1E-07"), (-2.5, "-2.5"), (False, "False")]
)
def test_scalars_are_written_as_dotnet_writes_them(value: Any, text: str) -> None:
    """Section 4.6: what ToString gives."""
    assert to_text(value) == text
