"""Streams on their way: takes items from user code, makes bytes of them, and hands these to the connection.

Called by invocation.py within the invocation, whose deadline and log lines hold here as well.
Rule: an item is asked for when the one before is out. The source is closed whatever happens, so that its `finally`
blocks run: the client's going away is a GeneratorExit in a generator, or a cancellation where an async one waits.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

from fastworker.protocol.plain_http import FileBody, Streaming
from fastworker.protocol.streams import END, KEEP_ALIVE, Items
from fastworker.streaming.stream_writer import Outgoing


def send(out: Outgoing, body: Streaming | FileBody) -> None:
    """Sends a body from a sync handler, waiting in place.

    Raises whatever the source raises, UnencodableError, ClientGoneError, and TypeError for an async source.
    """
    with contextlib.closing(_file(out, body) if isinstance(body, FileBody) else _stream(out, body)) as steps:
        for is_full in steps:
            if is_full:
                out.wait()


async def send_async(out: Outgoing, body: Streaming | FileBody) -> None:
    """Sends a body from an async handler. Raises as `send` does, and CancelledError if the client has gone away."""
    if isinstance(body, FileBody):
        await _sent(out, _file(out, body))
        return
    task = asyncio.current_task()
    assert task is not None
    out.watch(task.cancel)
    try:
        if hasattr(body.source, "__aiter__"):
            await _stream_async(out, body)
        else:
            await _sent(out, _stream(out, body))
    finally:
        out.close()


def _stream(out: Outgoing, body: Streaming) -> Generator[bool, None, None]:
    """Yields True when there is no room, and False between two items."""
    if not hasattr(body.source, "__next__"):
        raise TypeError("the body is an async iterator: declare the handler with `async def`")
    source: Iterator[Any] = body.source
    try:
        if body.at_once:
            yield from _head(out, body, body.items_for(END))
        if out.head_only:
            yield from _without_items(out, body)
            return
        first = next(source, END)
        items = body.items_for(first)
        piece = b"" if first is END else items.encode(first)
        if not out.begun:
            yield from _head(out, body, items, send=False)
        if first is not END:
            yield from out.piece(piece)
            for item in source:
                yield from out.piece(items.encode(item))
                yield False
        yield from out.end(items.end())
    finally:
        if hasattr(source, "close"):
            source.close()


async def _stream_async(out: Outgoing, body: Streaming) -> None:
    source: AsyncIterator[Any] = aiter(body.source)
    try:
        if body.at_once:
            await _sent(out, _head(out, body, body.items_for(END)))
        if body.keep_alive_s is not None and not out.head_only:
            out.keep_alive(body.keep_alive_s, KEEP_ALIVE)
        if out.head_only:
            await _sent(out, _without_items(out, body))
            return
        first = await anext(source, END)
        items = body.items_for(first)
        piece = b"" if first is END else items.encode(first)
        if not out.begun:
            await _sent(out, _head(out, body, items, send=False))
        if first is not END:
            await _sent(out, out.piece(piece))
            async for item in source:
                await _sent(out, out.piece(items.encode(item)))
                await asyncio.sleep(0)  # a source that never waits must not keep the others from their turn
        await _sent(out, out.end(items.end()))
    finally:
        if hasattr(source, "aclose"):
            await source.aclose()


async def _sent(out: Outgoing, steps: Generator[bool, None, None]) -> None:
    with contextlib.closing(steps):
        for is_full in steps:
            await (out.ready() if is_full else asyncio.sleep(0))


def _head(out: Outgoing, body: Streaming, items: Items, *, send: bool = True) -> Generator[bool, None, None]:
    out.begin(body.status, items.content_type.encode("latin-1"), body.headers, body.length)
    if send:
        yield from out.piece(b"")


def _without_items(out: Outgoing, body: Streaming) -> Generator[bool, None, None]:
    """HEAD: nobody wants the items, so that they are not made, and a type that the first would tell is not told."""
    if not out.begun:
        content_type = body.items_for(END).content_type if body.is_typed else ""
        out.begin(body.status, content_type.encode("latin-1"), body.headers, body.length)
        yield from out.piece(b"")


def _file(out: Outgoing, body: FileBody) -> Generator[bool, None, None]:
    with open(body.path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        out.begin(body.status, body.content_type, body.headers, size)
        yield from out.file(file.fileno(), size)
