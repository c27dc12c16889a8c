"""streaming: answers that go out while they are made, and an upload that is read while it comes in.

host.json has `enableProxyingHttpRequest`, so that the host streams both ways. CPU-heavy functions are `def`: each has a
worker to itself. The one that waits for its client is `async def`: a worker serves many of its kind at once.

Try it:  fastworker dev
         open http://127.0.0.1:7071/api/page                            a browser counts primes, and survives a cut
         curl -N http://127.0.0.1:7071/api/primes                       the same events; Ctrl-C ends the work, too
         curl -N 'http://127.0.0.1:7071/api/table?rows=1000000' | tail -n 1
         curl -N 'http://127.0.0.1:7071/api/table?rows=1000000&format=json' | tail -c 80
         head -c 300M /dev/zero | curl -T - http://127.0.0.1:7071/api/files/zeros
         curl http://127.0.0.1:7071/api/files/zeros | sha256sum

Without a host:  fastworker serve --port 7071
"""

import hashlib
import logging
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

import fastworker as fw

app = fw.App()

FOLDER = Path(__file__).parent
FILES = Path(os.environ.get("STREAMING_FILES") or Path(tempfile.gettempdir(), "fastworker-streaming"))
STEP = 2_000

Limit = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Rows = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]


@app.route("page", methods=["GET"], auth_level="anonymous")
def page(req: fw.Request) -> fw.Response:
    return fw.Response.file(FOLDER / "page.html", content_type="text/html; charset=utf-8")


# -- events ----------------------------------------------------------------------------------------------------------


class Progress(msgspec.Struct):
    tested: int
    limit: int
    primes: int


@app.route("primes", methods=["GET"], auth_level="anonymous")
def primes(req: fw.Request, ctx: fw.Context) -> fw.Response:
    """Counts the primes up to `limit`, with an event for every step.

    An event's id is all that it takes to go on from there, in whatever worker: the browser sends the last one that
    it has had whenever it connects again. It may be forged; then the forger is told a wrong number.
    """
    limit = req.query.get_as("limit", Limit, 400_000)
    try:
        tested, found = read_checkpoint(req.headers.get("last-event-id", "0-0"))
    except ValueError as error:
        return fw.Response(f"Last-Event-ID: {error}\n", status_code=400)
    if tested >= limit:
        return fw.Response(status_code=204)  # the one answer that keeps an EventSource from coming back
    return fw.EventStream(counted(tested, found, limit, ctx), retry=200)


def read_checkpoint(text: str) -> tuple[int, int]:
    """Of an id, how many numbers had been tested, and how many of them were prime. Raises ValueError."""
    tested, separator, found = text.partition("-")
    if not (separator and tested.isdecimal() and found.isdecimal()):
        raise ValueError(f"{text!r} is none of ours")
    return int(tested), int(found)


def counted(tested: int, found: int, limit: int, ctx: fw.Context) -> Iterator[fw.Event]:
    while tested < limit:
        if ctx.remaining() < 2:
            return  # in good order, ahead of the deadline; the client comes back and goes on
        end = min(tested + STEP, limit)
        found += sum(map(is_prime, range(tested + 1, end + 1)))
        tested = end
        name = "done" if tested == limit else "progress"
        yield fw.Event(data=Progress(tested, limit, found), id=f"{tested}-{found}", event=name)


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


# -- a large table ---------------------------------------------------------------------------------------------------


class Row(msgspec.Struct):
    id: int
    name: str
    square: int


@app.route("table", methods=["GET"], auth_level="anonymous")
def table(req: fw.Request) -> fw.Response:
    """`rows` rows, none of which is kept: one JSON text per line, or one array with `format=json`."""
    rows = (Row(n, f"row {n}", n * n) for n in range(req.query.get_as("rows", Rows, 1_000)))
    is_array = req.query.get("format") == "json"
    return fw.Response(rows, content_type="application/json" if is_array else "application/x-ndjson")


# -- files -----------------------------------------------------------------------------------------------------------


@app.route("files/{name}", methods=["PUT"], auth_level="anonymous")
async def store(req: fw.Request, name: str) -> fw.Response:
    """Stores a file of any size, and hashes it on its way; half of a file is never seen."""
    if not is_file_name(name):
        return fw.Response(f"{name!r} cannot be the name of a file\n", status_code=400)
    FILES.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=FILES, prefix=".", delete=False) as file:
        try:
            async for chunk in req.stream():
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
            os.replace(file.name, FILES / name)
        except BaseException:  # the client has gone away, or the time is over
            os.unlink(file.name)
            raise
    logging.info("%s: %d bytes", name, size)
    stored: dict[str, Any] = {"name": name, "size": size, "sha256": digest.hexdigest()}
    return fw.Response(stored, status_code=201)


@app.route("files/{name}", methods=["GET"], auth_level="anonymous")
def fetch(req: fw.Request, name: str) -> fw.Response:
    if not is_file_name(name) or not (FILES / name).is_file():
        return fw.Response(f"there is no file {name!r}\n", status_code=404)
    return fw.Response.file(FILES / name, download_as=name)


def is_file_name(name: str) -> bool:
    """Whether this is a name, and no way out of the folder; those of files on their way begin with a dot."""
    return name == Path(name).name and not name.startswith(".") and name.isprintable() and len(name.encode()) < 200
