"""Group C of the protocol's test vectors, as far as the handler decides them, and what survives the host.

What arrives is judged by hostrules/, which follows protocol 4.2 to 4.6 and shares no code with outputs.py.
"""

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.protocol.bindings import RETURN, Binding
from fastworker.protocol.jsontext import UnencodableError
from fastworker.protocol.messages import Response
from fastworker.protocol.outputs import NOTHING, output_encoder, render_answer
from fastworker.testing_host import HttpResponse, read_outputs

DATE = "2020-01-02T03:04:05"


def sent(value: Any, type_: str, name: str = "out", data_type: str | None = None) -> dict[str, Any]:
    """The answer's JSON for one output."""
    encoded = output_encoder(Binding(type_, "out", name, data_type=data_type))(value)
    if name == RETURN:
        return orjson.loads(render_answer({}, [], None if encoded is NOTHING else encoded))
    return orjson.loads(render_answer({} if encoded is NOTHING else {name: encoded}, [], None))


def arrives(value: Any, type_: str, name: str = "out", data_type: str | None = None) -> Any:
    """What the host writes for it."""
    binding = Binding(type_, "out", name, data_type=data_type)
    outputs, returned = read_outputs([binding], sent(value, type_, name, data_type))
    return returned if name == RETURN else outputs.get(name)


class Color(enum.Enum):
    RED = "red"


class Item(msgspec.Struct, rename="camel"):
    unit_price: float
    color: Color = Color.RED


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Model:
    """Quacks like a pydantic model."""

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        return {"mode": mode}


GUESSED = ["test", "1234", "true", "null", "OKOK", "aGVs bG8=", "", " ", "hello", "Order complete", '{"a": 1}', DATE]


@pytest.mark.parametrize("type_", ["queue", "serviceBus", "eventHub", "blob"])
@pytest.mark.parametrize("name", ["out", RETURN])
@pytest.mark.parametrize("text", GUESSED)
def test_text_arrives_as_it_is(type_, name, text):
    """Vectors C 37, 38, 40 seen from the handler: base64, JSON and dates are not touched."""
    assert arrives(text, type_, name) == text


@pytest.mark.parametrize("type_", ["queue", "serviceBus", "eventHub", "kafka"])
@pytest.mark.parametrize("text", ["test", "dGVzdA==", '{"a": 1}', '["a"]', "{broken", "hello"])
def test_text_arrives_with_data_type_binary(type_, text):
    """Vector C 39: there nothing is decoded, so text goes as text, and JSON text as an element."""
    assert arrives(text, type_, data_type="binary") == text


def test_bytes_arrive_as_they_are():
    """As base64, which the host undoes."""
    for type_ in ("queue", "blob", "eventHub"):
        assert arrives(b"\xff\x00", type_) == b"\xff\x00"
        assert arrives(bytearray(b"\xff"), type_) == arrives(memoryview(b"\xff"), type_) == b"\xff"


@pytest.mark.parametrize("type_", ["queue", "blob"])
def test_bytes_with_data_type_binary_are_refused(type_):
    """The host would store their base64 text; the error names the way out."""
    with pytest.raises(UnencodableError, match=r"Outputs\.out: .*leave dataType out"):
        sent(b"\xff", type_, data_type="binary")
    with pytest.raises(UnencodableError, match="takes for a date"):
        sent(DATE, type_, data_type="binary")


def test_list_is_one_message_per_element():
    """Vector C 38: and each element arrives as it is."""
    texts = ["test", "x", '{"a": 1}', "[1]", "1234", ""]
    assert arrives(texts, "queue") == texts
    assert arrives([b"a", "b", 7, True, {"a": 1}, [1]], "queue") == ["a", "b", "7", "true", '{"a":1}', "[1]"]
    assert arrives(("a", None, "b"), "queue") == ["a", "b"]


def test_list_of_one_is_the_message_itself():
    """So that dates and bytes survive there."""
    assert arrives([DATE], "queue") == DATE
    assert arrives([b"\xff"], "queue") == b"\xff"
    assert arrives([], "queue") is None


def test_what_cannot_be_one_of_several_messages_is_refused():
    """Rather than damaged: trap 26, and bytes."""
    with pytest.raises(UnencodableError, match=r"Outputs\.out\[1\]: the host would re-format"):
        sent(["a", DATE], "queue")
    with pytest.raises(UnencodableError, match=r"Outputs\.out\[0\]: bytes that are not UTF-8"):
        sent([b"\xff", "b"], "queue")


@pytest.mark.parametrize("type_", ["queue", "blob"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (7.5, "7.5"),
        (True, "true"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (Item(1.5), '{"unitPrice":1.5,"color":"red"}'),
        (Point(1), '{"x":1,"y":null}'),
        (Point(1, Item(2.0)), '{"x":1,"y":{"unitPrice":2.0,"color":"red"}}'),
        ({"when": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}, '{"when":"2026-01-02T00:00:00Z"}'),
        ({"id": uuid.UUID(int=1)}, '{"id":"00000000-0000-0000-0000-000000000001"}'),
        ({"n": decimal.Decimal("1.10")}, '{"n":"1.10"}'),
        ({"c": Color.RED}, '{"c":"red"}'),
        ({"b": b"hi", "t": (1, 2), "d": datetime.timedelta(seconds=1)}, '{"b":"aGk=","t":[1,2],"d":"PT1S"}'),
        ({"s": {1}, "f": frozenset({2})}, '{"s":[1],"f":[2]}'),
        ({1: "a"}, '{"1":"a"}'),
        (np.float32(1.5), "1.5"),
        (np.int64(3), "3"),
        (np.bool_(True), "true"),
        (np.arange(3), "[0,1,2]"),
        (np.array([["a", "b"]]), '[["a","b"]]'),
        (np.arange(6).reshape(2, 3).T, "[[0,3],[1,4],[2,5]]"),
        (Item(np.float64(2.5)), '{"unitPrice":2.5,"color":"red"}'),
        (Item(np.array([1.0, 2.0])), '{"unitPrice":[1.0,2.0],"color":"red"}'),  # type: ignore[arg-type]
        (Model(), '{"mode":"json"}'),
        (Item(Model()), '{"unitPrice":{"mode":"json"},"color":"red"}'),  # type: ignore[arg-type]
    ],
)
def test_values_become_compact_json(type_, value, text):
    """Vector C 45 and protocol 4.6: numbers as text, objects not re-indented, without the user's help."""
    assert arrives(value, type_) == text


def test_nothing_set_writes_nothing():
    """`None` leaves the output out."""
    assert sent(None, "queue") == {"Outputs": {}, "Logs": [], "ReturnValue": None}
    assert sent(None, "blob", RETURN)["ReturnValue"] is None


@pytest.mark.parametrize("type_", ["cosmosDB", "table", "eventGrid"])
def test_objects_stay_objects(type_):
    """Object collectors need them so; JSON text is parsed here, where an error has a name."""
    assert arrives({"a": 1}, type_) == {"a": 1}
    assert arrives([Item(1.0), Item(2.0)], type_)[1] == {"unitPrice": 2.0, "color": "red"}
    assert arrives('{"a": 1}', type_) == {"a": 1}
    with pytest.raises(UnencodableError, match="takes an object"):
        sent("text", type_)
    with pytest.raises(UnencodableError, match="no JSON"):
        sent("{broken", type_)


# ---- http -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["res", RETURN])
@pytest.mark.parametrize(
    ("value", "status", "body", "content_type"),
    [
        pytest.param(None, 204, b"", "text/plain; charset=utf-8", id="C28-nothing-is-204"),
        pytest.param("SomeBlah", 200, b"SomeBlah", "text/plain; charset=utf-8", id="C29-text"),
        pytest.param(Response("x", status_code=201), 201, b"x", "text/plain; charset=utf-8", id="C30-status"),
        pytest.param(Response("x", status_code=404), 404, b"x", "text/plain; charset=utf-8", id="C42-status"),
        pytest.param(Response(status_code=404), 404, b"", "text/plain; charset=utf-8", id="status-only"),
        pytest.param(
            Response("x", headers={"content-type": "text/html"}), 200, b"x", "text/html; charset=utf-8", id="C44"
        ),
        pytest.param(Response("x", content_type="text/html"), 200, b"x", "text/html; charset=utf-8", id="C44-own"),
        pytest.param("aGVsbG8=", 200, b"aGVsbG8=", "text/plain; charset=utf-8", id="C41-text-that-is-base64"),
        pytest.param("true", 200, b"true", "text/plain; charset=utf-8", id="text-that-is-json"),
        pytest.param("", 200, b"", "text/plain; charset=utf-8", id="empty-text"),
        pytest.param({"a": 1}, 200, b'{"a":1}', "application/json; charset=utf-8", id="object"),
        pytest.param([1, "x"], 200, b'[1,"x"]', "application/json; charset=utf-8", id="array"),
        pytest.param(True, 200, b"true", "application/json; charset=utf-8", id="bool"),
        pytest.param(
            Response({"a": 1}, headers={"Content-Type": "application/ld+json"}),
            200,
            b'{"a":1}',
            "application/ld+json; charset=utf-8",
            id="json-type-given",
        ),
        pytest.param(
            Item(1.5), 200, b'{"unitPrice":1.5,"color":"red"}', "application/json; charset=utf-8", id="struct"
        ),
    ],
)
def test_response_arrives_as_it_is(name, value, status, body, content_type):
    """Vectors C 28 to 32, 41, 42 and 44: whatever the rules for a named output and `$return`."""
    response = arrives(value, "http", name)
    assert (response.status_code, response.body) == (status, body)
    assert response.headers.get("content-type") == content_type


def test_http_output_is_always_set():
    """Vectors C 31 and 32: without it the host answers `200 {}`."""
    assert sent(None, "http", "res")["Outputs"] == {"res": {"statusCode": 204}}


def test_bytes_arrive_through_return_only():
    """Protocol 4.3 and 4.4; the error of a named output names the ways out."""
    assert arrives(b"\xff\x00", "http", RETURN) == HttpResponse(200, b"\xff\x00", {})
    with pytest.raises(UnencodableError, match=r"Outputs\.res\.body: .*'\$return'.*enableForwardingHttpRequest"):
        sent(b"\xff", "http", "res")
    with pytest.raises(UnencodableError, match=r"ReturnValue\.body: .*status 200 and without headers"):
        sent(Response(b"\xff", content_type="image/png"), "http", RETURN)


def test_bytes_that_are_text_arrive_through_a_named_output():
    """Such as JSON that the handler encoded itself."""
    response = arrives(Response(b'{"a":1}', content_type="application/json"), "http", "res")
    assert (response.body, response.headers["content-type"]) == (b'{"a":1}', "application/json; charset=utf-8")


def test_text_that_looks_like_a_date():
    """Trap 26: refused as a body of a named output, guarded by a space as a header."""
    with pytest.raises(UnencodableError, match="takes for a date"):
        sent(DATE, "http", "res")
    assert arrives(DATE, "http", RETURN).body == DATE.encode()
    assert arrives(Response("x", headers={"X-At": DATE}), "http", "res").headers["x-at"] == DATE


def test_one_cookie_passes_and_two_are_refused():
    """Trap 21."""
    assert arrives(Response("x", cookies={"a": "1"}), "http", "res").headers["set-cookie"] == "a=1"
    assert arrives(Response("x", cookies=["a=1; Path=/"]), "http", "res").headers["set-cookie"] == "a=1; Path=/"
    for response in (
        Response("x", cookies={"a": "1", "b": "2"}),
        Response("x", headers=[("Set-Cookie", "a=1"), ("set-cookie", "b=2")]),
        Response("x", headers={"Set-Cookie": "a=1"}, cookies={"b": "2"}),
    ):
        with pytest.raises(UnencodableError, match="one Set-Cookie only"):
            sent(response, "http", "res")


def test_headers_are_single_strings():
    """Vector of trap 21: an array or null would be a 500, so repeated names are joined, line breaks refused."""
    headers = [("X-A", "1"), ("x-a", "2"), ("X-N", 3)]
    assert sent(Response("x", headers=headers), "http", "res")["Outputs"]["res"]["headers"] == {  # type: ignore[arg-type]
        "X-A": "1, 2",
        "X-N": "3",
    }
    for value in ("a\r\nSet-Cookie: b", None):
        response = Response("x", headers={})
        response.headers["X-A"] = value
        with pytest.raises(UnencodableError, match=r"headers\.X-A"):
            sent(response, "http", "res")


def test_status_must_be_a_final_one():
    """Found where the Response is made."""
    with pytest.raises(ValueError, match="from 200 to 999"):
        Response(status_code=99)


# ---- what cannot be encoded -----------------------------------------------------------------------------------------


class Odd:
    pass


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"price": 1}, {"price": Odd()}], r"Outputs\.out\[1\]\.price: a value of type .*Odd cannot"),
        ({"a": {"b": [1, Odd()]}}, r"Outputs\.out\.a\.b\[1\]: .*Odd"),
        ({"a": float("nan")}, r"Outputs\.out\.a: a value of type float is nan"),
        ({"a": [None, float("inf")]}, r"Outputs\.out\.a\[1\]: .* is inf"),
        (float("nan"), r"Outputs\.out: a value of type float is nan"),
        (Item(float("nan")), r"Outputs\.out\.unit_price: .* is nan"),
        (Point(1, Odd()), r"Outputs\.out\.y: .*Odd"),
        (Item(Odd()), r"Outputs\.out\.unit_price: .*Odd"),  # type: ignore[arg-type]
        ({"a": np.array([1.0, np.nan])}, r"Outputs\.out\.a\[1\]: .* is nan"),
        ({"a": np.float32("nan")}, r"Outputs\.out\.a: .* is nan"),
        ({"a": "\ud800"}, r"Outputs\.out\.a: a value of type str"),
        ("\ud800", r"Outputs\.out: the text \(of type str\)"),
        ({Odd(): 1}, r"Outputs\.out: .*dict"),
        (cyclic(), r"contains itself"),
        ({"a": cyclic()}, r"contains itself"),
    ],
)
def test_unencodable_value_is_named_by_path_and_type(value, message):
    """Also what encoders would write as null without a word."""
    with pytest.raises(UnencodableError, match=message):
        sent(value, "queue")


def test_log_lines_never_fail_an_answer():
    """Lone surrogates in a log line are escaped; C 36: they are strings always."""
    assert orjson.loads(render_answer({}, ["a\ud800"], None))["Logs"] == ["a\\ud800"]


def test_text_of_a_response_with_lone_surrogates_is_named():
    """It is found when the answer is put together."""
    encoded = output_encoder(Binding("http", "out", "res"))("\ud800")
    with pytest.raises(UnencodableError, match=r"Outputs\.res\.body: a value of type str"):
        render_answer({"res": encoded}, [], None)


# ---- properties -----------------------------------------------------------------------------------------------------

texts = (
    st.text()
    | st.sampled_from(GUESSED)
    | st.datetimes().map(lambda d: d.isoformat())
    | st.from_regex(r"[A-Za-z0-9+/]{8}")
)


@given(texts, st.sampled_from(["queue", "serviceBus", "eventHub", "blob"]), st.sampled_from(["out", RETURN]))
def test_any_text_arrives(text, type_, name):
    """Byte for byte, whatever the host would guess."""
    assert arrives(text, type_, name) == text


@given(st.lists(texts, min_size=2))
def test_any_list_of_texts_arrives_or_is_refused(values):
    """One message per element; only what the host takes for a date is refused."""
    try:
        assert arrives(values, "queue") == values
    except UnencodableError as exc:
        assert "takes for a date" in str(exc)


@given(texts, st.sampled_from(["res", RETURN]))
def test_any_response_text_arrives_or_is_refused(text, name):
    """The same for what the client gets."""
    try:
        assert arrives(text, "http", name).body == text.encode()
    except UnencodableError as exc:
        assert name == "res"
        assert "takes for a date" in str(exc)


@given(st.binary())
def test_any_bytes_arrive(data):
    """UTF-8 or not."""
    got = arrives(data, "blob")
    assert (got.encode() if isinstance(got, str) else got) == data
