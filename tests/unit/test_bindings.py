"""Declarations and function.json say the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.config.binding_checks import name_problems, name_warnings
from fastworker.config.function_json import from_json
from fastworker.protocol.bindings import KINDS, Binding, is_http_only, to_json

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


@pytest.mark.parametrize("name", ["my_timer", "_req", "req_", "_", "a_b_c", "http_req"])
def test_single_underscores_are_taken_with_a_word_on_the_host_that_needs_them(name):
    """Host 4.1038 and newer take them; 4.1037 refuses (E-fname-nunder*, case a1-03)."""
    declared = [Binding("timerTrigger", "in", name, "app.py:3")]
    assert name_problems(declared) == []
    assert [line.startswith("app.py:3: ") and "4.1038" in line for line in name_warnings(declared)] == [True]


@pytest.mark.parametrize(
    "name", ["my__req", "__", "1req", "my.req", "my req", "gr\xf6\xdfe", "", " ", "a" * 129, "$RETURN"]
)
def test_other_names_are_refused_with_their_place(name):
    """E-fname-*: two underscores in a row, digits first, other characters, more than 128."""
    [problem] = name_problems([Binding("timerTrigger", "in", name, "app.py:3")])
    assert problem.startswith(f"app.py:3: the binding name {name!r} is illegal")


@pytest.mark.parametrize("name", ["req1", "a" * 128, "req\n"])
def test_names_that_every_host_takes_are_taken_without_a_word(name):
    """128 characters, and .NET's `$` lets a newline follow (E-fname-nlong128, E-fname-ntrailnl)."""
    declared = [Binding("timerTrigger", "in", name, "app.py:3")]
    assert (name_problems(declared), name_warnings(declared)) == ([], [])
