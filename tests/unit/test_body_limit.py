"""body_limit.py: a limit counts what the client sent, in whatever form the host has put it."""

import base64
import json

import msgspec
import pytest

from fastworker.errors import RequestError
from fastworker.protocol.bindings import Binding
from fastworker.protocol.body_limit import BESIDE, check_bodies, decoded_size, envelope_limit
from fastworker.protocol.messages import ClientError, HttpData

TEXTS = ["", "a", "abc" * 50, '"' * 100, "\0" * 100, "\u00e9\u20ac\U0001f600" * 20, "\\" * 7, "\ud800", "\r\n\t"]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("as_ascii", [True, False])
def test_text_counts_as_utf8(text: str, as_ascii: bool) -> None:
    """However it was escaped."""
    if not as_ascii and text == "\ud800":
        pytest.skip("no UTF-8")
    raw = msgspec.Raw(json.dumps(text, ensure_ascii=as_ascii).encode())
    size = decoded_size(raw, binary=False)
    assert size == len(text.encode("utf-8", "replace" if text == "\ud800" else "strict")) or text == "\ud800"


@pytest.mark.parametrize("size", range(9))
def test_base64_counts_as_the_bytes_in_it(size: int) -> None:
    """With every padding."""
    raw = msgspec.Raw(json.dumps(base64.b64encode(bytes(size)).decode()).encode())
    assert decoded_size(raw, binary=True) == size


def http(body: str, content_type: str) -> HttpData:
    headers = msgspec.Raw(json.dumps({"Content-Type": [content_type]}).encode())
    return HttpData(Headers=headers, Body=msgspec.Raw(json.dumps(body).encode()))


def test_the_client_is_told_of_a_body_that_is_too_large():
    """413 for the client of an http function; exactly the limit passes, and so does no body."""
    check_bodies([], {"req": http("\0" * 100, "text/plain"), "other": HttpData()}, 100)
    check_bodies([], {"req": http(base64.b64encode(bytes(100)).decode(), "application/octet-stream")}, 100)
    for wrong in (
        http("\0" * 101, "text/plain"),
        http(base64.b64encode(bytes(101)).decode(), "multipart/form-data; boundary=x"),
    ):
        with pytest.raises(ClientError) as caught:
            check_bodies([], {"req": wrong}, 100)
        assert caught.value.status == 413
        assert "101 bytes" in caught.value.detail


def test_the_host_is_told_of_a_message_that_is_too_large():
    """413, with its place; blobs and binary messages count as bytes, objects as their JSON."""
    bindings = [Binding("blobTrigger", "in", "blob"), Binding("queueTrigger", "in", "text")]
    coded = msgspec.Raw(json.dumps(base64.b64encode(bytes(100)).decode()).encode())
    check_bodies(bindings, {"blob": coded}, 100)
    for data in ({"text": coded}, {"unknown": msgspec.Raw(b'{"a":"%b"}' % (b"x" * 100))}):
        with pytest.raises(RequestError, match=r"^Data\.(text|unknown): ") as caught:
            check_bodies(bindings, data, 100)
        assert caught.value.status == 413


def test_an_envelope_may_be_as_large_as_the_worst_body_makes_it():
    """Six bytes for a NUL in the body, and seven more in the metadata."""
    body = "\0" * 10_000
    data = {"Data": {"req": {"Body": body}}, "Metadata": {"a": json.dumps(body)}}
    assert len(json.dumps(data)) < envelope_limit(len(body)) - BESIDE + 100
    assert len(json.dumps(data)) > 12 * len(body)
