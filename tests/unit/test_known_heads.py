"""known_heads.py: whatever is found there is what the parser would have made of the same bytes."""

import random
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastworker.protocol.http1 import HTTP1Connection
from fastworker.protocol.http_request import Rejection, Request
from fastworker.protocol.known_heads import LONGEST, LONGEST_CHUNKED, MOST, KnownHeads

ID = b"7b4f3a0e-5d0b-4a37-b0a9-0d7d6a1f2c11"
OTHER = b"00000000-0000-4000-8000-00000000000A"
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = b"00-1111111111111111111111111111111f-2222222222222222-00"
CHUNKED = (b"Transfer-Encoding", b"chunked")
JSON = (b"Content-Type", b"application/json; charset=utf-8")


def head(line: bytes, *headers: tuple[bytes, bytes], own: bytes | None = ID) -> bytes:
    lines = [line, b"Host: 127.0.0.1:40123", b"X-Azure-Functions-HostVersion: 4.1037.0.0"]
    if own is not None:
        lines.append(b"X-Azure-Functions-InvocationId: " + own)
    lines += [b"User-Agent: Azure-Functions-Host/4.1037.0.0", *(b"%b: %b" % header for header in headers)]
    return b"\r\n".join([*lines, b"", b""])


def in_chunks(body: bytes, size: int = 1024) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join([*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"])


def envelope(own: bytes = ID, body: bytes = b"{}", *more: tuple[bytes, bytes]) -> bytes:
    return head(b"POST /order HTTP/1.1", CHUNKED, *more, JSON, own=own) + in_chunks(body)


def counted(own: bytes = ID, body: bytes = b"{}", length: bytes | None = None) -> bytes:
    tells = length if length is not None else b"%d" % len(body)
    return head(b"POST /order HTTP/1.1", JSON, (b"Content-Length", tells), own=own) + body


def forwarded(own: bytes = ID, line: bytes = b"GET /api/greet?name=x HTTP/1.1") -> bytes:
    return head(line, (b"Accept", b"*/*"), own=own)


def proxied(own: bytes = ID) -> bytes:
    return head(
        b"GET /api/greet HTTP/1.1", (b"x-ms-invocation-id", own), (b"X-Forwarded-Host", b"example.test"), own=own
    )


def parsed(data: bytes) -> list[Request | Rejection]:
    """What the parser makes of all of it."""
    return HTTP1Connection(1 << 20).receive_data(data)


def learned(*examples: bytes) -> KnownHeads:
    heads = KnownHeads()
    for example in examples:
        HTTP1Connection(1 << 20, heads=heads).receive_data(example)
    return heads


def found(heads: KnownHeads, data: bytes) -> Request | None:
    seen = heads.find(data)
    return None if seen is None else seen[0].request_of(*seen[1:])


KINDS = [
    (envelope(), envelope(OTHER, b"x" * 3000)),
    (envelope(ID, b"{}", (b"traceparent", TRACE)), envelope(OTHER, b"[]", (b"traceparent", OTHER_TRACE))),
    (counted(), counted(OTHER, b"x" * 30_000)),
    (counted(), counted(OTHER, b"1")),
    (forwarded(), forwarded(OTHER)),
    (proxied(), proxied(OTHER)),
    (head(b"GET / HTTP/1.1", own=None), head(b"GET / HTTP/1.1", own=None)),
]


@pytest.mark.parametrize(("example", "data"), KINDS)
def test_a_request_of_a_known_kind_is_found_as_the_parser_reads_it(example, data):
    """Other ids, another length, other chunks: the same head."""
    heads = learned(example)
    assert found(heads, data) is not None
    assert [found(heads, data)] == parsed(data)


@pytest.mark.parametrize(("example", "data"), KINDS)
def test_nothing_is_found_that_is_cut_or_has_something_behind_it(example, data):
    """What is not one whole request is the parser's."""
    heads = learned(example)
    for cut in range(len(data)):
        assert found(heads, data[:cut]) is None
    for more in (b"\r\n", b"G", b"\0", data):
        assert found(heads, data + more) is None


UNKNOWN = [
    (envelope(), envelope(ID[:-1])),
    (envelope(), envelope(ID + b"0")),
    (envelope(), envelope(b"mine, " + ID[6:])),
    (envelope(), envelope(ID[:-1] + b"\xe9")),
    (envelope(), envelope(b"\0")),
    (envelope(), envelope(b"")),
    (envelope(), envelope().replace(b"POST", b"PUT ")),
    (envelope(), envelope().replace(b"/order", b"/Order")),
    (envelope(), envelope().replace(b"chunked", b"Chunked")),
    (envelope(), envelope().replace(b"2\r\n{}", b"2;x=y\r\n{}")),
    (envelope(), envelope().replace(b"2\r\n{}", b"+2\r\n{}")),
    (envelope(), envelope().replace(b"2\r\n{}", b"0x2\r\n{}")),
    (envelope(), envelope().replace(b"2\r\n{}", b" 2\r\n{}")),
    (envelope(), envelope().replace(b"2\r\n{}", b"1_0\r\n{}")),
    (envelope(), envelope().replace(b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n")),
    (envelope(), envelope().replace(b"{}\r\n", b"{}\n\n")),
    (envelope(), head(b"POST /order HTTP/1.1", CHUNKED, JSON) + b"000000002\r\n{}\r\n0\r\n\r\n"),
    (counted(), counted(length=b"")),
    (counted(), counted(length=b"02")),
    (counted(), counted(length=b"+2")),
    (counted(), counted(length=b"3")),
    (counted(), counted(length=b"0000002")),
    (proxied(), proxied().replace(b"x-ms-invocation-id: " + ID, b"x-ms-invocation-id: " + OTHER)),
    (proxied(), proxied().replace(b"x-ms-invocation-id: " + ID, b"x-ms-invocation-id: \0")),
    (forwarded(), forwarded(line=b"GET /api/greet?name=%b HTTP/1.1" % ID)),
    (forwarded(), forwarded(line=b"GET /api/greet?name=x HTTP/1.0")),
]


@pytest.mark.parametrize(("example", "data"), UNKNOWN)
def test_what_differs_in_anything_else_is_the_parsers(example, data):
    """It may be refused there, or be another request."""
    assert found(learned(example), data) is None


@pytest.mark.parametrize(
    "example",
    [
        envelope(ID[:-1]),
        envelope(b"mine," + ID),
        envelope().replace(b"InvocationId", b"INVOCATIONID"),
        envelope().replace(b"InvocationId: ", b"InvocationId:  "),
        envelope(ID, b"{}", (b"X-Azure-Functions-InvocationId", ID)),
        envelope(ID, b"{}", (b"X-Other", ID)),
        envelope(ID, b"{}", (b"X-Other", b"x" + ID)),
        envelope(ID, b"{}", (b"Connection", b"close")),
        envelope(ID, b"{}", (b"Expect", b"100-continue")),
        envelope(ID, b"{}", (b"traceparent", b"00-1-2-3")),
        envelope(ID, b"{}", (b"traceparent", TRACE), (b"traceparent", TRACE)),
        envelope(ID, b"{}", (b"X-Long", b"x" * LONGEST)),
        envelope().replace(b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n"),
        envelope() + envelope(),
        b"\r\n" + envelope(),
        counted().replace(b"Content-Length: 2\r\n", b"Content-Length: 2\r\nX: y\r\n"),
        forwarded(line=b"GET /api/%b HTTP/1.1" % ID),
        forwarded(line=b"GET http://example.test/api/greet HTTP/1.1"),
        forwarded(line=b"GET /api/greet HTTP/1.0"),
    ],
)
def test_nothing_is_learned_from_what_is_unusual(example):
    """The parser reads the next of its kind, too."""
    heads = learned(example)
    assert not heads._heads
    assert found(heads, example) is None


@pytest.mark.parametrize("pieces", [[envelope()[:40], envelope()[40:]], [envelope()[:-3], envelope()[-3:]]])
def test_nothing_is_learned_from_what_came_in_pieces(pieces):
    """Only from one read is it known what stood where."""
    heads = KnownHeads()
    connection = HTTP1Connection(1 << 20, heads=heads)
    assert [event for piece in pieces for event in connection.receive_data(piece)] == parsed(envelope())
    assert not heads._heads


def test_a_large_chunked_body_is_the_parsers():
    """Its chunks are many, and the parser is the quicker reader of those."""
    heads = learned(envelope())
    assert found(heads, envelope(ID, b"x" * LONGEST_CHUNKED)) is None


def test_no_more_heads_are_kept_than_there_is_room_for():
    """Paths that never come again take no memory for ever."""
    heads = KnownHeads()
    for number in range(MOST * 2 + 3):
        HTTP1Connection(1 << 20, heads=heads).receive_data(forwarded(line=b"GET /api/%d HTTP/1.1" % number))
    assert 0 < len(heads._heads) <= MOST
    assert found(heads, forwarded(OTHER, line=b"GET /api/%d HTTP/1.1" % (MOST * 2 + 2))) is not None


EXAMPLES = [example for example, _ in KINDS]
TOKENS = [
    *(b"\r\n", b"\r\n\r\n", b"\n", b" ", b"\t", b":", b",", b"\0", b"\1", b"0", b"1", b"a", b"-", b"_", b";", b"%"),
    *(
        ID,
        OTHER,
        TRACE,
        OTHER_TRACE,
        b"Content-Length: 2\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"HTTP/1.0",
        b"Host: x\r\n",
    ),
]


@settings(max_examples=400, deadline=None)
@given(
    example=st.sampled_from(EXAMPLES),
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 40), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4))),
        max_size=3,
    ),
    fresh_id=st.booleans(),
)
def test_a_mutated_request_is_found_as_parsed_or_not_at_all(example, changes, fresh_id):
    """Whatever is cut out or put in: found means that the parser would have said the very same."""
    heads = ALL
    data = example.replace(ID, str(uuid.UUID(int=random.getrandbits(128))).encode()) if fresh_id else example
    for place, size, put in changes:
        at = int(place * len(data))
        data = data[:at] + put + data[at + (0 if size > 36 else size) :]
    seen = found(heads, data)
    if seen is not None:
        assert [seen] == parsed(data)


ALL = learned(*EXAMPLES)
