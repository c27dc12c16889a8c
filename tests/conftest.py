"""Fixtures for tests that run the real command."""

from collections.abc import Callable, Iterator

import pytest

from tests.harness import Server, alive, wait_for


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-minutes", type=float, default=0.8, help="how long the chaos runs take together")
    parser.addoption("--record", action="store_true", help="record the runs that the documentation shows, and compare")
    parser.addoption("--soak-minutes", type=float, default=0.2, help="how long the soak run takes")
    parser.addoption("--soak-samples", default=None, help="a file for what the soak run has sampled")
    parser.addoption("--requests-without-gc", type=int, default=2000, help="how many requests a worker without gc gets")
    parser.addoption("--chaos-app", choices=("own", "azure", "fastapi"), default="own", help="what chaos is made of")
    parser.addoption("--chaos-seed", type=int, default=20260102, help="the seed of the chaos runs")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that are ready; ends them, and fails the test if one of their processes outlives them."""
    servers: list[Server] = []

    def start(*arguments: str, **options: object) -> Server:
        server = Server(*arguments, **options)  # type: ignore[arg-type]
        servers.append(server)
        return server.wait_ready()

    yield start
    for server in servers:
        print(*server.stdout, *server.stderr, sep="\n")  # shown by pytest if the test has failed
        tree = server.descendants() | {server.pid}
        server.stop()
        wait_for(lambda tree=tree: not any(map(alive, tree)), "the end of every process", 5)
