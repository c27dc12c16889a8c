"""Groups A and B of the protocol's test vectors: what the handler is sent."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fastworker.hostrules.dotnet_values import wire
from fastworker.hostrules.envelope import BindingData, TriggerData, binding_data, build_envelope
from tests.devhost.stand import (
    HTTP_IN,
    HTTP_OUT,
    MANUAL,
    QUEUE_IN,
    QUEUE_OUT,
    Answering,
    answering,
    scripted,
)

MOMENT = datetime(2026, 1, 2, 10, 0, 0, 500_000)


@pytest.mark.parametrize(
    ("value", "member"),
    [
        pytest.param("abc", '"\\"abc\\""', id="A1-string"),
        pytest.param('{"a":1}', '"\\"{\\\\\\"a\\\\\\":1}\\""', id="A2-json-text"),
        pytest.param(4, '"4"', id="A3-number"),
        pytest.param(True, '"true"', id="A3-bool"),
        pytest.param(None, '"null"', id="A3-null"),
        pytest.param(["a", "b"], '"[\\"a\\",\\"b\\"]"', id="A4-list"),
        pytest.param({"a": 1}, '{"a":1}', id="A5-object"),
        pytest.param(b"hello", '"aGVsbG8="', id="A6-bytes"),
        pytest.param(MOMENT, '"2026-01-02T10:00:00"', id="A7-date"),
        pytest.param(MOMENT.replace(tzinfo=UTC), '"2026-01-02T10:00:00+00:00"', id="date-with-offset"),
        pytest.param(uuid.UUID(int=1), '"\\"00000000-0000-0000-0000-000000000001\\""', id="guid"),
    ],
)
def test_value_becomes_the_member_that_the_host_makes_of_it(value: Any, member: str) -> None:
    """Vectors A1 to A7: only objects, bytes and dates are not JSON text inside a string."""
    assert wire(value) == member


def test_metadata_drops_nulls_and_names_ending_in_trigger() -> None:
    """Vector A8."""
    data = BindingData([("myTrigger", "x"), ("b", None), ("c", 1)])
    assert json.loads(build_envelope({}, data))["Metadata"] == {"c": "1"}


def test_member_of_a_message_hides_metadata_of_the_same_name() -> None:
    """Vector A9: the key keeps the queue's spelling, the value is the message's."""
    data = binding_data(TriggerData('{"id":"zz"}', {"Id": "5f3c"}), {})
    metadata = json.loads(build_envelope({}, data))["Metadata"]
    assert metadata["Id"] == '"zz"'
    assert "id" not in metadata


def test_members_of_a_json_message_become_text_first() -> None:
    """Protocol 2.3: scalars as text and then quoted, objects nested, arrays and nulls not at all."""
    message = '{"orderId":7,"rush":true,"who":{"n":"Ann"},"tags":["a"],"no":null}'
    metadata = json.loads(build_envelope({}, binding_data(TriggerData(message), {"MethodName": "f"})))["Metadata"]
    assert metadata.pop("sys") == {"MethodName": "f"}
    assert metadata == {"orderId": '"7"', "rush": '"True"', "who": {"n": "Ann"}}


def test_http_request_object_follows_the_worked_example(tmp_path: Path) -> None:
    """Vectors A10, A11 and section 2.7: query joined, body as text, headers as arrays, parameters in Metadata."""
    with scripted(tmp_path, ("order", [HTTP_IN, HTTP_OUT, QUEUE_OUT])) as (host, handler):
        path = "/api/order?name=Mathew&name=Amy&code=k"
        host.call("POST", path, '{"a":1}', Content_Type="application/json", X_Two="1")
        document = handler.received[0].envelope
    request = document["Data"]["req"]
    assert request["Query"] == {"name": "Mathew,Amy", "code": "k"}
    assert request["Body"] == '{"a":1}'
    assert request["Method"] == "POST"
    assert request["Url"].endswith(path)
    assert request["Headers"]["X-Two"] == ["1"]
    assert request["Identities"][0]["IsAuthenticated"] is False
    metadata = document["Metadata"]
    assert metadata["a"] == '"1"'
    assert metadata["name"] == '"Amy"'  # the last of repeated keys, where Data joins them
    assert "code" not in metadata
    assert metadata["Query"]["code"] == "k"
    assert metadata["Headers"]["X-Two"] == "1"


def test_octet_stream_body_is_base64(tmp_path: Path) -> None:
    """Vector A12."""
    with scripted(tmp_path, ("f", [HTTP_IN, HTTP_OUT])) as (host, handler):
        host.call("POST", "/api/f", b"\x01\x02\x03", Content_Type="application/octet-stream")
        assert handler.received[0].envelope["Data"]["req"]["Body"] == "AQID"


def test_body_without_length_is_no_body(tmp_path: Path) -> None:
    """Vector A13, and trap 14: an empty body and a chunked one leave no member `Body`."""
    with scripted(tmp_path, ("f", [HTTP_IN, HTTP_OUT])) as (host, handler):
        host.call("POST", "/api/f", b"")
        host.call("POST", "/api/f", b"lost", Transfer_Encoding="chunked")
        assert ["Body" in r.envelope["Data"]["req"] for r in handler.received] == [False, False]


def test_envelope_call_has_the_headers_of_the_host(tmp_path: Path) -> None:
    """Vector B14 and section 2.1: POST to the function's name, chunked, and nothing that .NET would not send."""
    with scripted(tmp_path, ("Hello", [MANUAL])) as (host, handler):
        assert host.call("POST", "/admin/functions/hello", '{"input":"hi"}').status == 202
        host.says("succeeded")
        request = handler.received[0]
    assert (request.method, request.path) == ("POST", "/Hello")
    assert request.header("X-Azure-Functions-HostVersion") == "4.1037.0.0"
    assert str(uuid.UUID(request.header("X-Azure-Functions-InvocationId"))) in request.headers.__repr__()
    assert request.header("User-Agent") == "Azure-Functions-Host/4.1037.0.0"
    assert request.header("Content-Type") == "application/json; charset=utf-8"
    assert request.header("Transfer-Encoding") == "chunked"
    assert not {k.lower() for k, _ in request.headers} & {"accept", "accept-encoding", "expect", "content-length"}
    assert b": " not in request.body


@pytest.mark.parametrize(
    ("section", "more", "path", "is_envelope"),
    [
        ("httpWorker", {}, "/hello", False),
        ("customHandler", {}, "/hello", True),
        ("customHandler", {"enableForwardingHttpRequest": True}, "/api/hello", False),
        ("customHandler", {"enableProxyingHttpRequest": True}, "/api/hello", False),
    ],
)
def test_http_only_function_gets_the_shape_of_its_section(
    tmp_path: Path, section: str, more: dict[str, Any], path: str, is_envelope: bool
) -> None:
    """Vector B15."""
    with scripted(tmp_path, ("hello", [HTTP_IN, HTTP_OUT]), section=section, **more) as (host, handler):
        host.call("POST", "/api/hello", "text")
        request = handler.received[0]
    assert request.path == path
    assert (b'"Data"' in request.body) is is_envelope
    assert is_envelope or request.body == b"text"


def test_function_with_a_second_output_gets_the_envelope_in_forward_mode(tmp_path: Path) -> None:
    """Vector B16: it is not http-only."""
    bindings = [HTTP_IN, HTTP_OUT, QUEUE_OUT]
    with scripted(tmp_path, ("f", bindings), enableForwardingHttpRequest=True) as (host, handler):
        host.call("POST", "/api/f", "x")
        assert handler.received[0].path == "/f"
        assert "req" in handler.received[0].envelope["Data"]


def test_queue_message_arrives_quoted_twice_with_its_metadata(tmp_path: Path) -> None:
    """The queue example of section 2.7."""
    with scripted(tmp_path, ("work", [QUEUE_IN])) as (host, handler):
        account = host.app.accounts.open("AzureWebJobsStorage")
        host.run(account.put_message("jobs", b'{"orderId":7}'))
        host.says("succeeded")
        document = handler.received[0].envelope
    assert document["Data"] == {"item": json.dumps('{"orderId":7}')}
    metadata = document["Metadata"]
    assert metadata["DequeueCount"] == "1"
    assert metadata["orderId"] == '"7"'
    assert json.loads(metadata["Id"]).count("-") == 4
    assert datetime.fromisoformat(metadata["InsertionTime"]).tzinfo is not None
    assert "QueueTrigger" not in metadata


def test_missing_blob_input_is_null_and_a_binary_one_is_base64(tmp_path: Path) -> None:
    """The blob input example of section 2.7, with the path filled from the route."""
    route = {**HTTP_IN, "route": "docs/{id}"}
    text = {"type": "blob", "direction": "in", "name": "doc", "path": "docs/{id}.json"}
    binary = {**text, "name": "raw", "dataType": "binary"}
    with scripted(tmp_path, ("f", [route, text, binary, HTTP_OUT])) as (host, handler):
        account = host.app.accounts.open("AzureWebJobsStorage")
        host.run(account.write_blob("docs", "42.json", b'{"k":1}'))
        host.call("GET", "/api/docs/42")
        host.call("GET", "/api/docs/43")
        there, missing = (r.envelope["Data"] for r in handler.received)
    assert there["doc"] == '"{\\"k\\":1}"'
    assert there["raw"] == "eyJrIjoxfQ=="
    assert there["req"]["Params"] == {"id": "42"}
    assert missing["doc"] == "null"


def test_retry_context_is_an_object_with_numbers(tmp_path: Path) -> None:
    """Vector D46 and section 2.5: counts 0, 1, 2; the client waits for the third answer."""
    retry = {"strategy": "fixedDelay", "maxRetryCount": 2, "delayInterval": "00:00:00.01"}
    with scripted(tmp_path, ("f", [HTTP_IN, HTTP_OUT]), members={"retry": retry}) as (host, handler):

        def third_time_lucky(request: Any) -> Answering:
            if request.envelope["Metadata"]["RetryContext"]["RetryCount"] < 2:
                return Answering(500)
            return answering({"Outputs": {"res": {"body": "at last"}}})(request)

        handler.script = third_time_lucky
        assert host.call("GET", "/api/f").body == b"at last"
        contexts = [r.envelope["Metadata"]["RetryContext"] for r in handler.received]
    assert [c["RetryCount"] for c in contexts] == [0, 1, 2]
    assert {c["MaxRetryCount"] for c in contexts} == {2}
    assert contexts[0]["Exception"] is None
    assert contexts[2]["Exception"] is not None
