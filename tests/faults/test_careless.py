"""Handlers that reach for what is not theirs: descriptors closed by the range, floods on one connection."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Server, envelope, request_bytes, wait_for

Serve = Callable[..., Server]
APPS = Path(__file__).parents[1] / "apps"
# Everything; the connections only; all but these.
RANGES = [(3, 70_000), (10_000, 65_536), (3, 9_999)]


@pytest.mark.parametrize("function", ["close_range", "close_range_async"])
def test_closing_descriptors_by_the_range_costs_at_most_ones_own_invocation(serve: Serve, function: str) -> None:
    """Whichever they are: answered at once; who is in another worker, or comes next, notices nothing."""
    server = serve(app="surroundings:app", cwd=APPS, workers=2, deadline=20, grace=1)
    wait_for(lambda: len(server.workers()) == 2, "both workers")
    for range_ in RANGES:
        with server.connect() as busy, server.connect() as careless:
            busy.send(request_bytes("/burn", envelope(0.5)))
            time.sleep(0.1)  # one worker is busy: the other one is to suffer
            began = time.monotonic()
            response = careless.invoke(function, list(range_))
            assert response.status in (200, 500), range_
            assert time.monotonic() - began < 3 * PATIENCE
            assert busy.receive().status == 200, range_
            # On the same connection, too, unless that has been closed in good order.
            assert careless.invoke("pid").status == 200
        for _ in range(4):
            with server.connect() as client:
                assert client.invoke("pid").status == 200
        wait_for(lambda: len(server.workers()) == 2, "both workers again")
    assert "worker.killed" not in "".join(server.stderr)


def test_a_long_pipeline_is_served_to_its_end(serve: Serve) -> None:
    """Longer than a worker may stand still, on one connection; the supervisor is heard in between."""
    server = serve(app="surroundings:app", cwd=APPS, workers=1)
    [worker] = server.workers()
    request, count = request_bytes("/burn", envelope(0.001), chunked=False), 3500
    with socket.create_connection(("127.0.0.1", server.port), timeout=60 * PATIENCE) as client:
        sending = threading.Thread(target=client.sendall, args=(request * count,))
        sending.start()
        received = b""
        while received.count(b"HTTP/1.1 200") < count:
            data = client.recv(1 << 20)
            assert data, f"closed behind {received.count(b'HTTP/1.1 200')} answers"
            received += data
        sending.join()
    assert server.workers() == {worker}


def test_the_only_worker_is_replaced_before_it_leaves(serve: Serve) -> None:
    """Somebody sends it SIGTERM, a handler of its own perhaps; what it has left on its loop keeps nobody waiting."""
    server = serve(app="surroundings:app", cwd=APPS, workers=1, drain=6)
    [worker] = server.workers()
    with server.connect() as client:
        assert client.invoke("leave_task", {"seconds": 2, "word": "accepted"}).status == 200
        os.kill(worker, signal.SIGTERM)
        until = time.monotonic() + 30 * PATIENCE
        while client.invoke("pid").value == worker:
            assert time.monotonic() < until
    wait_for(lambda: "later: accepted" in server.stdout, "the task of the old one")
    wait_for(lambda: worker not in server.workers(), "its end")
    assert len(server.workers()) == 1
