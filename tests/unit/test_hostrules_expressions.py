"""Binding expressions, blob paths and retries as the real host has them."""

import uuid
from datetime import UTC, datetime

import pytest

from fastworker.hostrules.blob_properties import blob_properties
from fastworker.hostrules.envelope import BindingData
from fastworker.hostrules.expressions import ExpressionError, parse, resolve
from fastworker.hostrules.retries import failure, retry_context

NOW = datetime(2026, 11, 25, 12, 46, 13, 123456, tzinfo=UTC)
GUID = uuid.UUID("4256eb9a-e427-48b8-9011-c718ba3559d5")
DATA = BindingData(
    [
        ("Id", "7"),
        ("DequeueCount", 1),
        ("InsertionTime", NOW),
        ("A", {"B": "txt", "N": 42, "T": True, "Z": None}),
        ("Query", {"x": "2"}),
        ("Headers", {"X-Name": "h"}),
        ("optional", None),
        ("QueueTrigger", "the message"),
        ("sys", {"MethodName": "f", "RandGuid": "other"}),
    ]
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("q/{id}-{DEQUEUECOUNT}.txt", "q/7-1.txt"),
        ("{queueTrigger}", "the message"),
        ("ins-{InsertionTime}{InsertionTime:yyyy}.txt", "ins-.txt"),
        ("{a.b}-{A.n}-{a.T}", "txt-42-True"),
        ("{Query.x}", "2"),
        ("{headers.x-name}", "h"),
        ("one-{optional}", "one-"),
        ("{sys.methodname}-{sys.randguid}", f"f-{GUID}"),
        ("{rand-guid:N}", GUID.hex),
        ("{rand-guid:B}", f"{{{GUID}}}"),
        ("{DateTime}", "2026-11-25T12-46-13Z"),
        ("{datetime:yyyy-MM-dd}/{sys.utcnow:HH}", "2026-11-25/12"),
        ("{{x}}-{id}", "{x}-7"),
    ],
)
def test_an_expression_comes_to_what_the_host_makes_of_it(template, text):
    """B-232 to B-274, B-503 to B-511."""
    assert resolve(template, DATA, NOW, lambda: GUID) == text


@pytest.mark.parametrize(
    "template",
    ["{nope}", "{a.c}", "{a.b.c}", "{a.Z}", "{Query.X}", "{sys.nosuch}", "{A}", "{id", "id}", "{rand-guid:X}"],
)
def test_what_has_no_value_fails(template):
    """B-233, B-239, B-242, B-255, B-256, B-259, B-510; braces that cannot be read."""
    with pytest.raises(ExpressionError):
        resolve(template, DATA, NOW, lambda: GUID)


def test_a_template_is_read_in_one_pass():
    """Braces by the thousand take no longer than their text."""
    assert parse("{{" * 50_000) == ["{" * 50_000]
    with pytest.raises(ExpressionError):
        parse("{" * 50_001)


def test_retry_context_has_five_members_and_the_exception_of_the_host():
    """B-433, B-463."""
    first = retry_context(0, 2, None)
    assert first == {"RetryCount": 0, "MaxRetryCount": 2, "Exception": None, "Instance": None, "State": {}}
    error = failure("f", "id", "answered 500")
    assert (error["Message"], error["InnerException"]["Message"]) == (
        "Exception while executing function: Functions.f",
        "answered 500",
    )


def test_a_blob_has_45_properties():
    """B-275."""
    found = blob_properties(NOW, b"hello", "text/plain", {"n": "1"})
    assert (len(found), found["ContentHash"], found["Metadata"]) == (45, "XUFAKrxLKna5cZ2REBfFkg==", {"n": "1"})
    compressed = blob_properties(NOW, b"hello", "text/plain", {}, {"ContentEncoding": "gzip"})  # B-281
    assert list(compressed) == list(found)
    assert (compressed["ContentEncoding"], compressed["CacheControl"]) == ("gzip", None)
