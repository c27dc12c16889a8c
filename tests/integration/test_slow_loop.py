"""A loop that user code holds up is told of, once, with function and line."""

from collections.abc import Callable
from pathlib import Path

from tests.harness import Server, wait_for

Serve = Callable[..., Server]
PLAIN = Path(__file__).parents[1] / "apps" / "plain"


def get(server: Server, path: str) -> int:
    with server.connect() as client:
        client.send(f"GET /api/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client.receive().status


def told(server: Server) -> list[str]:
    return [line for line in server.stderr if "loop.blocked" in line]


def test_blocked_loop_is_told_once_with_function_and_line(serve: Serve) -> None:
    """A CPU-bound async handler; the line is the app's own."""
    server = serve(cwd=PLAIN, app="function_app.py", workers=1)
    assert get(server, "async-busy?seconds=0.6") == 200
    wait_for(lambda: told(server), "the warning")
    assert get(server, "async-busy?seconds=0.6") == 200
    (line,) = told(server)
    assert "function=async_busy" in line
    assert "function_app.py:" in line
    assert "in async_busy" in line


def test_loop_that_turns_is_not_told_of(serve: Serve) -> None:
    """Neither one that waits, nor a sync handler that computes, nor one beside an async one."""
    server = serve(cwd=PLAIN, app="function_app.py", workers=1)
    assert get(server, "nap?seconds=0.5") == 200
    assert get(server, "busy?seconds=0.5") == 200
    with server.connect() as napping:
        napping.send(b"GET /api/nap?seconds=0.7 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert get(server, "busy?seconds=0.4") == 200
        assert napping.receive().status == 200
    assert told(server) == []
