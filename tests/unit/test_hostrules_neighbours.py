"""What holds for every neighbour of a recording: any status, reason, headers, body; by properties, not by sample."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.hostrules.answers import AnswerError, accept, check_named_outputs, http_reply
from fastworker.hostrules.forwarded import RESPONSE_RANK, forwarded_reply
from fastworker.hostrules.http_headers import is_sendable
from fastworker.hostrules.reason_phrases import reason_phrase
from tests.unit.test_hostrules_answers import RES, RET

LATIN_1 = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=12)
NAMES = st.one_of(
    st.sampled_from(["Content-Type", "content-length", "Transfer-Encoding", "Set-Cookie", "Allow", "Location", "X-A"]),
    st.text("abcXYZ-_'!", min_size=1, max_size=6),
)
VALUES = st.one_of(st.sampled_from(["", "0", "3", "chunked", "gzip, chunked", "a/b", "a, b", "/x y"]), LATIN_1)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "statusCode": st.one_of(JSON_VALUES, st.integers(-10, 1100), st.integers(-10, 1100).map(str)),
        "body": JSON_VALUES,
        "headers": st.one_of(JSON_VALUES, st.dictionaries(NAMES, st.one_of(VALUES, JSON_VALUES), max_size=4)),
        "enableContentNegotiation": st.booleans(),
    },
)


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        # A-s-*, D-102 to D-135, E-966: those that a recording shows without a reason of its handler's
        (200, "OK"), (201, "Created"), (205, "Reset Content"), (226, "IM Used"), (300, "Multiple Choices"),
        (405, "Method Not Allowed"), (406, "Not Acceptable"), (414, "URI Too Long"), (418, "I'm a teapot"),
        (431, "Request Header Fields Too Large"), (199, ""), (600, ""), (999, ""), (1000, ""), (99999, ""), (-1, ""),
        # ASP.NET's own
        (413, "Payload Too Large"), (416, "Range Not Satisfiable"), (422, "Unprocessable Entity"), (425, ""),
    ],
)  # fmt: skip
def test_reason_phrases_are_those_of_kestrel(status, phrase):
    """The same under each version of Python, whose own list changes."""
    assert reason_phrase(status) == phrase


@given(st.integers(-1000, 100_000))
def test_each_status_has_a_reason_for_one_line(status):
    """A reason is ASCII, and ends no line."""
    assert reason_phrase(status).isascii()
    assert not set(reason_phrase(status)) & set("\r\n")


@given(
    st.integers(200, 999), LATIN_1, st.lists(st.tuples(NAMES, VALUES), max_size=5), st.binary(max_size=5),
    st.sampled_from(["GET", "HEAD", "POST"]),
)  # fmt: skip
def test_a_forwarded_answer_can_be_sent_or_is_a_500(status, reason, headers, body, method):
    """Whatever the handler gave: fields that Kestrel sends, in .NET's order, and the length of what goes out."""
    try:
        reply = forwarded_reply(status, reason, headers, body, method=method)
    except AnswerError as error:
        assert error.too_late
        return
    assert (reply.status, reply.breaks) == (status, False)
    assert reply.reason is None or (reply.reason.isascii() and len(reply.reason) == len(reason))
    assert all(is_sendable(name, value) and value for name, value in reply.headers)
    ranks = [RESPONSE_RANK[name.lower()][0] for name, _ in reply.headers if name.lower() in RESPONSE_RANK]
    assert ranks[1:] == sorted(ranks[1:])
    lengths = [value for name, value in reply.headers if name.lower() == "content-length"]
    if status == 204:
        assert (lengths, reply.body) == ([], b"")
    elif method == "HEAD" or status == 304:
        assert len(lengths) == 1
    else:
        assert (lengths, reply.body) == ([str(len(body))], body)


@given(st.sampled_from([RES, RET]), MEMBERS, st.sampled_from(["", "application/json", "text/plain", "*/*"]))
def test_a_response_can_be_sent_or_is_a_500(outputs, members, accept_header):
    """Any status, headers and body of a response object, by name and by convention."""
    document = {"Outputs": {"res": members}} if outputs is RES else {"ReturnValue": members}
    answer = accept(200, "application/json", json.dumps(document).encode())
    try:
        check_named_outputs(outputs, answer)
        reply = http_reply(outputs, answer, accept_header)
    except AnswerError:
        return
    assert all(is_sendable(name, value) for name, value in reply.headers)
    names = [name.lower() for name, _ in reply.headers]
    assert len(names) == len(set(names))
    if reply.status == 406:
        assert reply.body == b""
    if outputs is RES:
        # A body always has a type, and so has an empty one (4.3).
        assert "content-type" in names
