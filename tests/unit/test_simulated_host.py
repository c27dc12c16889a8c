"""The host that tests are judged by: the vectors of groups A and C, seen from its side."""

import json
from typing import Any

import pytest

from fastworker.bindings import RETURN, Binding
from fastworker.simulated_host import HttpResponse, build_envelope, read_outputs


def member_of_data(value: Any, type_: str = "queueTrigger", **options: Any) -> Any:
    bindings = [Binding(type_, "in", "v", **options)]
    return json.loads(build_envelope("f", bindings, {"v": value}, {}))["Data"]["v"]


@pytest.mark.parametrize(
    ("value", "options", "member"),
    [
        pytest.param("abc", {}, '"abc"', id="A1"),
        pytest.param('{"a":1}', {}, '"{\\"a\\":1}"', id="A2"),
        pytest.param(None, {"type_": "blob"}, "null", id="A3"),
        pytest.param(["a", "b"], {"type_": "eventHubTrigger", "cardinality": "many"}, '["a", "b"]', id="A4"),
        pytest.param({"a": 1}, {"type_": "timerTrigger"}, {"a": 1}, id="A5"),
        pytest.param(b"hello", {"type_": "blobTrigger", "data_type": "string"}, "aGVsbG8=", id="A6-string"),
        pytest.param(b"hello", {"data_type": "binary"}, "aGVsbG8=", id="A6-binary"),
    ],
)
def test_vectors_of_group_a(value, options, member):
    """What a value becomes in `Data`."""
    assert member_of_data(value, **options) == member


def test_vector_a8_metadata():
    """Nulls are left out, the rest is quoted, `sys` is always there."""
    envelope = json.loads(build_envelope("f", [], {}, {"b": None, "c": 1, "d": {"e": 2}, "s": "x"}))
    assert envelope["Metadata"].pop("sys")["MethodName"] == "f"
    assert envelope["Metadata"] == {"c": "1", "d": {"e": 2}, "s": '"x"'}


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        pytest.param({"url": "http://h/?name=Mathew&name=Amy"}, "Query", {"name": "Mathew,Amy"}, id="A10"),
        pytest.param({"body": '{"a":1}'}, "Body", '{"a":1}', id="A11"),
        pytest.param(
            {"body": b"\1\2\3", "headers": {"content-type": "application/octet-stream"}}, "Body", "AQID", id="A12"
        ),
        pytest.param({"body": ""}, "Body", None, id="A13"),
    ],
)
def test_vectors_of_http_requests(fields, name, expected):
    """Vectors A 10 to 13."""
    assert member_of_data(fields, "httpTrigger").get(name) == expected


OUT = {"name": "out", "type": "queue", "data_type": None}


@pytest.mark.parametrize(
    ("binding", "answer", "written"),
    [
        pytest.param(
            {"type": "http"}, {"Outputs": {"out": {"statusCode": "204"}}}, HttpResponse(204, b"", {}), id="C28"
        ),
        pytest.param({}, {"Outputs": {"out": "test"}}, b"\xb5\xeb\x2d", id="C37"),
        pytest.param({}, {"Outputs": {"out": "hello"}}, "hello", id="C38-one"),
        pytest.param({}, {"Outputs": {"out": ["test", "x"]}}, ["test", "x"], id="C38-two"),
        pytest.param({"data_type": "binary"}, {"Outputs": {"out": "dGVzdA=="}}, "dGVzdA==", id="C39"),
        pytest.param({"name": RETURN}, {"ReturnValue": "hello", "Outputs": {"$return": "no"}}, "hello", id="C40"),
        pytest.param(
            {"type": "http", "name": RETURN}, {"ReturnValue": "aGVsbG8="}, HttpResponse(200, b"hello", {}), id="C41"
        ),
        pytest.param(
            {"type": "http", "name": RETURN},
            {"ReturnValue": {"status": 404, "body": "x"}},
            HttpResponse(404, b"x", {"content-type": "text/plain; charset=utf-8"}),
            id="C42",
        ),
        pytest.param(
            {"type": "http"},
            {"Outputs": {"out": {"body": "x", "headers": {"content-type": "text/html"}}}},
            HttpResponse(200, b"x", {"content-type": "text/html; charset=utf-8"}),
            id="C44",
        ),
        pytest.param(
            {}, {"Outputs": {"out": ["a", "2020-01-02T03:04:05"]}}, ["a", "01/02/2020 03:04:05"], id="trap-26"
        ),
        pytest.param({}, {"Outputs": {"out": '{"a":1}'}}, '{\n  "a": 1\n}', id="re-indented"),
    ],
)
def test_vectors_of_group_c(binding, answer, written):
    """What the host writes for an answer."""
    options = {**OUT, **binding}
    outputs, returned = read_outputs([Binding(direction="out", **options)], answer)
    assert (returned if options["name"] == RETURN else outputs["out"]) == written
