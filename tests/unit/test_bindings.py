"""Declarations and function.json say the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.bindings import KINDS, Binding, from_json, is_http_only, parse_time_span_s, to_json

bindings = st.builds(
    Binding,
    type=st.sampled_from([kind.type for kind in KINDS.values()]),
    direction=st.sampled_from(["in", "out", "inout"]),
    name=st.from_regex(r"[a-zA-Z][a-zA-Z0-9]{0,5}", fullmatch=True),
    data_type=st.sampled_from([None, "string", "binary", "stream"]),
    cardinality=st.sampled_from([None, "one", "many"]),
    properties=st.dictionaries(st.sampled_from(["queueName", "path", "connection"]), st.text()),
)


@given(bindings)
def test_any_binding_survives_function_json(binding):
    """There and back."""
    assert from_json(json.loads(json.dumps(to_json(binding))), "x:1") == binding


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:05:00", 300),
        ("1.00:00:01.5", 86401.5),
        ("00:10", 600),
        ("-1", None),
        (-1, None),
        (None, None),
        ("-00:00:01", None),
    ],
)
def test_time_spans(text, seconds):
    """.NET's form; none, -1 and anything negative is no limit."""
    assert parse_time_span_s(text) == seconds


@pytest.mark.parametrize("text", ["5 minutes", 300, True, ["00:05:00"], {}])
def test_what_is_no_time_span_is_refused(text):
    """Whatever JSON holds."""
    with pytest.raises(ValueError, match="time span"):
        parse_time_span_s(text)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["httpTrigger:in", "http:out"], True),
        (["HTTPTRIGGER:in", "Http:out"], True),
        (["httpTrigger:in"], False),
        (["httpTrigger:in", "http:out", "queue:out"], False),
        (["httpTrigger:in", "http:out", "blob:inout"], False),
        (["queueTrigger:in", "http:out"], False),
    ],
)
def test_http_only(types, expected):
    """Vector B 16 and protocol 1.7."""
    declared = [Binding(t.partition(":")[0], t.partition(":")[2], f"b{i}") for i, t in enumerate(types)]
    assert is_http_only(declared) is expected
