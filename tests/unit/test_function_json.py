"""function.json as the real host judged it."""

import json

import pytest

from fastworker.config.config_files import ConfigFileError
from fastworker.config.function_json import FunctionJson, read_function_json

TRIGGER = {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"}
OUTPUT = {"type": "http", "direction": "out", "name": "res"}
WHOLE = json.dumps({"bindings": [TRIGGER, OUTPUT]})


def read(document: object) -> FunctionJson:
    text = document if isinstance(document, str) else json.dumps(document)
    return read_function_json("/app/f/function.json", text.encode())


def trigger(**members: object) -> dict[str, object]:
    return {"bindings": [{**TRIGGER, **members}, OUTPUT]}


@pytest.mark.parametrize(
    "document",
    [
        WHOLE,
        "/* a */" + WHOLE.replace("}]", "},]"),
        WHOLE.replace('"', "'"),
        '{"Bindings": [], ' + WHOLE[1:],
        {"bindings": [{name.upper(): value for name, value in TRIGGER.items()}, OUTPUT]},
        trigger(type="HTTPTRIGGER"),
        trigger(direction="IN"),
        trigger(direction=0),
        trigger(dataType=""),
        trigger(dataType=1),
        trigger(dataType="undefined"),
        trigger(dataType=None),
        trigger(cardinality="MANY"),
        trigger(authLevel="ANONYMOUS"),
        trigger(authLevel="0"),
        trigger(authLevel=None),
        trigger(methods=None),
        trigger(methods=["get", None]),
        trigger(route=None),
        {**trigger(), "disabled": True, "retry": None, "language": "python", "configurationSource": "config"},
    ],
    ids=lambda document: json.dumps(document)[:70],
)
def test_what_the_host_takes_is_taken(document):
    """E-fsyn-*, E-fbind-*, E-fmore-*."""
    assert [binding.key for binding in read(document).bindings] == ["httptrigger", "http"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "is empty"),
        ("[]", "must hold a JSON object"),
        (WHOLE + "x", "is no JSON"),
        (WHOLE.replace("}, {", "} {"), "is no JSON"),
        ({}, "at least one binding"),
        ({"bindings": []}, "at least one binding"),
        ({"BINDINGS": [TRIGGER]}, 'is spelt "bindings", not "BINDINGS"'),
        ({"bindings": TRIGGER}, "must be an array of bindings, not an object"),
        ({"bindings": None}, "must be an array of bindings, not null"),
        ({"bindings": ["x"]}, "a binding is an object"),
        ({"bindings": [{**TRIGGER, "type": ""}]}, 'needs a "type"'),
        ({"bindings": [{**TRIGGER, "name": None}]}, 'needs a "name"'),
        (trigger(direction="sideways"), '"direction" is one of in, out, inout, not "sideways"'),
        (trigger(direction=""), '"direction" is one of'),
        (trigger(direction=None), '"direction" is one of'),
        (trigger(dataType="bad"), '"dataType" is one of'),
        (trigger(cardinality="bad"), '"cardinality" is one of'),
        (trigger(authLevel="%ANON%"), '"authLevel" is one of'),
        (trigger(methods="get"), '"methods" is an array of texts'),
        (trigger(methods={"a": "get"}), '"methods" is an array of texts'),
        ({**trigger(), "configurationSource": "x"}, "not for custom handlers"),
        ({**trigger(), "retry": "x"}, '"retry" is an object'),
        ({**trigger(), "retry": {}}, '"maxRetryCount" is a whole number'),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_puts_a_function_in_error_is_told_with_its_place(document, words):
    """The same recordings: the host leaves this one function out."""
    with pytest.raises(ConfigFileError, match=r"^/app/f/function\.json:1: ") as caught:
        read(document)
    assert words in str(caught.value)


def test_values_are_what_the_host_makes_of_them():
    """Enums by name or number, methods as texts, spellings of members."""
    [found, _] = read(
        trigger(authLevel=4, METHODS=["GET", 1], dataType=2, cardinality=1, QUEUENAME="q", own={"a": 1})
    ).bindings
    assert (found.data_type, found.cardinality, found.where) == ("binary", "many", "/app/f/function.json:1")
    assert found.properties == {"authLevel": "admin", "methods": ["GET", "1"], "queueName": "q", "own": {"a": 1}}


def test_a_binding_knows_its_line():
    """Each in its own, also when names repeat in other places."""
    text = '{"x": "res",\n"bindings": [\n{"type": "httpTrigger", "name": "req"},\n{"type": "http",\n"name": "res"}]}'
    assert [binding.where.rpartition(":")[2] for binding in read(text).bindings] == ["3", "5"]


def test_a_retry_policy_is_read():
    """B-477: any case, a count as text."""
    policy = {"strategy": "FIXEDDELAY", "maxRetryCount": "1", "delayInterval": "00:00:02"}
    found = read({**trigger(), "retry": policy}).retry
    assert found is not None
    assert (found.max_retries, found.delay_s(0, jitter=1.0)) == (1, 2.0)


def test_what_the_host_finds_after_it_has_mapped_the_route_is_told_apart():
    """E-516: the function's bindings are read, for its route is answered: with 500."""
    found = read({**trigger(), "configurationSource": "attributes"})
    assert found.indexing_problem is not None and "not for custom handlers" in found.indexing_problem
    assert found.bindings[0].key == "httptrigger"
    assert read({**trigger(), "configurationSource": "Config"}).indexing_problem is None


@pytest.mark.parametrize(
    ("retries_done", "jitter", "delay_s"),
    [(0, 0.8, 1.0), (0, 1.2, 1.0), (1, 1.2, 2.2), (2, 1.2, 3.4), (2, 0.8, 2.6), (3, 1.2, 5.0), (90, 1.0, 5.0)],
)
def test_pauses_between_retries_grow_with_a_random_part(retries_done, jitter, delay_s):
    """B-465: 1.0, 2.2 and 3.4 s for a policy from 1 s to 5 s."""
    members = {"strategy": "exponentialBackoff", "minimumInterval": "00:00:01", "maximumInterval": "00:00:05"}
    policy = read({**trigger(), "retry": {**members, "maxRetryCount": 3}}).retry
    assert policy is not None and policy.delay_s(retries_done, jitter) == pytest.approx(delay_s)


def test_disabled_in_the_file_does_nothing_and_that_is_told():
    """B-478, E-fmore-dis*."""
    [warning] = read({**trigger(), "disabled": True}).warnings
    assert "does nothing" in warning and "AzureWebJobs.NAME.Disabled" in warning
