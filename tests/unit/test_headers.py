"""headers.py: what a handler gives as headers and cookies, as lines; and nothing that would end its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.protocol.headers import (
    cookie_lines,
    given_content_type,
    header_bytes,
    header_name,
    header_pairs,
    header_text,
)
from fastworker.protocol.jsontext import UnencodableError
from fastworker.protocol.messages import Response


@pytest.mark.parametrize("headers", [{"A": "1", "b": "2"}, [("A", "1"), ("b", "2")], iter([("A", "1"), ("b", "2")])])
def test_headers_are_pairs_in_their_order(headers):
    """A mapping, a list or any other iterable of pairs."""
    assert header_pairs(Response(headers=headers)) == [("A", "1"), ("b", "2")]


def test_headers_are_the_same_however_often_they_are_read():
    """Also those of a generator, in which the content type is looked for first."""
    response = Response("x", headers=(pair for pair in [("Content-Type", "text/css"), ("A", "1")]))
    assert given_content_type(response) == "text/css"
    assert header_pairs(response) == [("Content-Type", "text/css"), ("A", "1")]


def test_a_name_may_come_more_than_once():
    """As pairs; that is what pairs are for."""
    assert header_pairs(Response(headers=[("Link", "a"), ("Link", "b")])) == [("Link", "a"), ("Link", "b")]
    assert header_pairs(Response()) == []


@pytest.mark.parametrize(
    ("cookies", "lines"),
    [
        (None, []),
        ({}, []),
        ({"a": "1", "b": "2"}, ["a=1", "b=2"]),
        (["a=1; Path=/", "b=2"], ["a=1; Path=/", "b=2"]),
        ("a=1; Path=/", ["a=1; Path=/"]),
    ],
)
def test_cookies_are_lines(cookies, lines):
    """Made of names and values, or given whole."""
    assert cookie_lines(Response(cookies=cookies)) == lines


@pytest.mark.parametrize(
    ("response", "content_type"),
    [
        (Response(), None),
        (Response(content_type="text/css"), "text/css"),
        (Response(headers={"content-TYPE": "text/css"}), "text/css"),
        (Response(headers=[("Content-Type", "text/css")], content_type="text/html"), "text/html"),
    ],
)
def test_content_type_is_an_argument_or_a_header(response, content_type):
    """The argument counts if there are both."""
    assert given_content_type(response) == content_type


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ä", "a\0", "a(b)", None, 1, b"a"])
def test_what_is_no_token_is_no_name(name):
    """RFC 9110, 5.6.2."""
    with pytest.raises(UnencodableError, match="cannot be the name of a header"):
        header_name(name, "here")


@given(st.text())
def test_no_text_ends_its_line(text):
    """Every value that passes is one line of ASCII, unchanged; all that is refused has something else."""
    try:
        passed = header_text(text, "here")
    except UnencodableError:
        assert any(not (c == "\t" or 32 <= ord(c) <= 126) for c in text)
    else:
        assert passed == text
        assert not set(text) & {"\r", "\n", "\0"}


def test_values_are_texts_or_become_texts():
    """Numbers, too; None is a mistake."""
    assert header_text(5, "here") == "5"
    with pytest.raises(UnencodableError, match=r"here: None"):
        header_text(None, "here")


def test_lines_are_ascii_and_say_where_they_are_not():
    """What no header can carry has to be percent-encoded by somebody who knows how."""
    assert header_bytes([("X-A", "u\t~"), ("X-B", 1)], "here") == ((b"X-A", b"u\t~"), (b"X-B", b"1"))
    for beyond in "€ü":
        with pytest.raises(UnencodableError, match=rf"here\.X-A: '{beyond}' .*percent-encode"):
            header_bytes([("X-A", beyond)], "here")
    with pytest.raises(UnencodableError, match=r"here\.X-A: 'a\\nb'"):
        header_bytes([("X-A", "a\nb")], "here")
