"""Which handlers read their request's body by themselves, piece by piece, and what they can ask of it."""

import asyncio
from typing import Any

import pytest

import fastworker as fw
from fastworker.functions.loaded_app import assemble
from fastworker.protocol.http_request import BodyPieces
from fastworker.protocol.http_request import Request as HttpRequest
from fastworker.protocol.plain_http import PlainRequest
from fastworker.streaming.request_body import ArrivingBody

app = fw.App()


@app.route()
async def own_loop(req: fw.Request) -> int:
    return sum([len(chunk) async for chunk in req.stream()])


@app.route()
def in_a_nested_function(req: fw.Request[Any]) -> list[int]:
    def sizes():
        for chunk in req.stream():
            yield len(chunk)

    return list(sizes())


@app.route()
def elsewhere(req: fw.Request) -> int:
    return helper(req)


def helper(req):
    return sum(map(len, req.stream()))


@app.route()
async def another_stream(req: fw.Request[dict[str, int]]) -> None:
    """As a client library has one."""
    async with app.state.client.stream("GET", "/"):
        pass


@app.route()
async def beside_another_stream(req: fw.Request) -> list[int]:
    client, first = app.state.client, req
    async with client.stream("GET", "/"):
        return [len(first.bytes), len(client.stream.req)]


@app.route()
async def as_an_argument(req: fw.Request) -> int:
    unlike = [req]
    return max(*unlike, *[len(chunk) async for chunk in req.stream()])  # type: ignore[call-overload]


@app.route()
def body_alone(req: dict[str, int]) -> int:
    return req.stream  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "streams"),
    [
        ("own_loop", True),
        ("in_a_nested_function", True),
        ("elsewhere", False),
        ("another_stream", False),
        ("beside_another_stream", False),
        ("as_an_argument", True),
        ("body_alone", False),
    ],
)
def test_handler_streams_its_request_if_its_own_code_says_so(tmp_path, name: str, streams: bool):
    """One whose body is typed gets it whole: waiting for it in place would hold up the worker's loop."""
    functions, _, problems, _ = assemble(app, tmp_path)
    assert not problems
    assert functions[name].streams_request is streams


def arriving_request(*pieces: bytes) -> PlainRequest[Any]:
    body = BodyPieces()
    body.pieces.extend(pieces)
    body.whole = True
    loop = asyncio.new_event_loop()
    loop.close()  # nothing here waits
    head = HttpRequest(b"POST", b"/x", [], body, True, b"", None)
    return PlainRequest(head, {}, ArrivingBody(body, 0, lambda: False, loop, max_body=10, read_timeout_s=1))


def test_pieces_are_handed_out_once():
    """They are not kept, so that a body may be larger than memory."""
    request = arriving_request(b"a", b"b")
    assert list(request.stream()) == [b"a", b"b"]
    assert list(request.stream()) == []


def test_body_that_was_read_as_a_whole_can_be_streamed_still():
    """As in the other shapes, where it is always whole."""
    request = arriving_request(b"a", b"b")
    assert request.bytes == b"ab"
    assert list(request.stream()) == [b"ab"]


def test_rest_of_a_stream_is_the_body():
    """Who stops in the middle may ask for what is left."""
    request = arriving_request(b"a", b"b", b"c")
    assert next(iter(request.stream())) == b"a"
    assert request.bytes == b"bc"
