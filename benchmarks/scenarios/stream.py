"""stream: time to the first byte of an answer that is made while it is sent, and of each item.

Plain HTTP, as the host proxies it. With a pause of 2 ms between items: how late each is read after it was made, by the
item's own word (one clock for all processes). Without pauses: the time per item of a long answer. From async
generators, and from ordinary ones where the contender takes them. One request at a time.
Rule: an item that is missing, out of order or not JSON fails the row.
"""

import contextlib
import http.client
import statistics
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson
from rich.progress import Progress

from benchmarks import latencies
from benchmarks.calls import WrongAnswerError
from benchmarks.contenders import FUNCTIONS, Running
from benchmarks.rows import OURS, Row
from benchmarks.scenario import Case, Emit, Options, Variant, attempt, present, rounds, row

NAME: Final = "stream"
PATHS: Final = {"async": "/api/items", "sync": "/api/items-sync"}
# The bare ASGI app has async generators only.
BODIES: Final = {OURS: ("async", "sync"), "uvicorn+fastapi": ("async", "sync"), "uvicorn": ("async",)}
PAUSE_US: Final = 2000
TIMEOUT_S: Final = 30.0


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, kind of generator and round."""
    seconds = options.pick(1.5, 4.0)

    def measure(server: Running, case: Case, round_: int) -> None:
        for body in BODIES[case.contender.name]:
            variant: Variant = {"body": body}
            with attempt(emit, NAME, case.contender.name, variant, round_):
                emit(_measure(server, variant, round_, PATHS[body], options))

    contenders = present(options, NAME, emit, names=list(BODIES))
    cases = [Case(one, seconds * len(BODIES[one.name]), functions=FUNCTIONS / "stream") for one in contenders]
    rounds(NAME, cases, measure, options, emit, progress)


def _measure(server: Running, variant: Variant, round_: int, path: str, options: Options) -> Row:
    paced, long, times = options.pick((200, 5_000, 20), (800, 20_000, 60))
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)) as connection:
        _ask(connection, f"{path}/10/0")  # imports and connections that the first one makes
        first = [_ask(connection, f"{path}/2/{PAUSE_US}").first_ns for _ in range(times)]
        late = latencies.metrics(_ask(connection, f"{path}/{paced}/{PAUSE_US}").late_ns, "ms", "late_")
        whole = [_ask(connection, f"{path}/{long}/0", look_at_each=False).whole_ns / long for _ in range(3)]
    metrics = {"first_byte_ms": statistics.median(first) / 1e6, **late, "item_us": statistics.median(whole) / 1e3}
    settings = {"paced": paced, "pause_us": PAUSE_US, "long": long}
    return row(NAME, server.contender, variant, round_, metrics, settings)


class Stream(NamedTuple):
    """One streamed answer: from the request to the first item and to the end, and how late each item was."""

    first_ns: int
    whole_ns: int
    late_ns: Sequence[int]


def _ask(connection: http.client.HTTPConnection, path: str, *, look_at_each: bool = True) -> Stream:
    """Reads an answer item by item, or whole. Raises WrongAnswerError."""
    count = int(path.split("/")[-2])
    began = time.monotonic_ns()
    connection.request("GET", path)
    answer = connection.getresponse()
    if answer.status != 200:
        raise WrongAnswerError(f"GET {path}: status {answer.status}: {answer.read()[:200]!r}")
    read = [answer.readline()]
    instants = [time.monotonic_ns()]
    if look_at_each:
        while line := answer.readline():
            instants.append(time.monotonic_ns())
            read.append(line)
    else:
        read += answer.read().splitlines()
    ended = time.monotonic_ns()
    items = items_of(path, read, count)
    late = [now - item["made_ns"] for now, item in zip(instants, items, strict=False)]
    return Stream(instants[0] - began, ended - began, late)


def items_of(path: str, lines: Sequence[bytes], count: int) -> list[dict[str, int]]:
    """The lines as items. Raises WrongAnswerError unless there are `count`, in order."""
    try:
        items = [orjson.loads(line) for line in lines]
        numbers = [item["number"] for item in items]
    except (ValueError, KeyError, TypeError) as exc:
        raise WrongAnswerError(f"GET {path}: a line is no item: {exc}") from None
    if numbers != list(range(count)):
        raise WrongAnswerError(f"GET {path}: {len(numbers)} items, not 0 to {count - 1} in order")
    return items
