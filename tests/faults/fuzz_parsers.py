"""Coverage-guided fuzzing of the HTTP and envelope parsers.

`pip install atheris`, then `python -m tests.faults.fuzz_parsers tests/faults/corpus -max_total_time=600`. What it finds
worth keeping stands in tests/faults/corpus, and test_corpus.py replays it.
The first byte of an input chooses the parser; what follows is for it.
"""

import sys
from pathlib import Path
from typing import Any

import fastworker as fw
from fastworker.deadline import Deadline
from fastworker.functions.app import App
from fastworker.functions.invocation import Rejected, begin
from fastworker.functions.loaded_app import assemble
from fastworker.protocol.http1 import HTTP1Connection
from fastworker.protocol.http_request import BodyPieces, Rejection, Request

app = App()


@app.route()
def http(req: fw.Request[dict[str, int]]) -> None: ...


@app.queue_trigger("job", queue_name="q")
def queue(job: fw.QueueMessage[list[float]], ctx: fw.Context) -> None: ...


@app.blob_trigger("blob", path="c/{name}", connection="S")
def blob(blob: bytes) -> None: ...


@app.service_bus_queue_trigger("jobs", queue_name="q", connection="S", cardinality="many")
def batch(jobs: list[str]) -> None: ...


FUNCTIONS = list(assemble(app, Path(__file__).parent)[0].values())
DEADLINE = Deadline(0, 1, 2)
MAX_BODY = 1000


def check(data: bytes) -> None:
    """Raises if a parser does what it must never do."""
    if not data:
        return
    if data[0] % 2:
        check_http(data[1:])
    else:
        check_envelope(FUNCTIONS[data[0] // 2 % len(FUNCTIONS)], data[1:])


def check_http(data: bytes) -> None:
    """However the bytes are cut, the same requests come out; a refusal is the last event; bodies keep their limit."""
    whole = HTTP1Connection(MAX_BODY, is_streamed).receive_data(data)
    for event in whole[:-1]:
        assert not isinstance(event, Rejection)
    for event in whole:
        assert isinstance(event, Rejection) or isinstance(event.body, BodyPieces) or len(event.body) <= MAX_BODY
    cut = len(data) // 2
    connection = HTTP1Connection(MAX_BODY, is_streamed)
    assert kinds(connection.receive_data(data[:cut]) + connection.receive_data(data[cut:])) == kinds(whole)


def is_streamed(method: bytes, target: bytes, headers: object) -> bool:
    """Some bodies are handed over as they come."""
    return target.startswith(b"/s")


def kinds(events: list[Any]) -> list[Any]:
    """Events, but for what a refusal says: of two mistakes, the one that is read first is told."""
    return ["refused" if isinstance(event, Rejection) else seen(event) for event in events]


def seen(request: Request) -> tuple[Any, ...]:
    body = request.body
    whole, data = (body.whole, b"".join(body.pieces)) if isinstance(body, BodyPieces) else (True, bytes(body))
    return request.method, request.target, request.headers, request.keep_alive, whole, data


def check_envelope(function: Any, data: bytes) -> None:
    """An invocation, or an answer of the 4xx kind (200 for a client's mistake); never another exception."""
    try:
        begin(function, data, invocation_id="i", deadline=DEADLINE)
    except Rejected as rejected:
        assert rejected.answer.status in (200, 400)


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
