"""Fixtures of the local host's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devhost.azurite import AzuriteServer, start_azurite
from tests.devhost.stand import AppFolder


@pytest.fixture
def folder(tmp_path: Path) -> AppFolder:
    """An empty app folder."""
    return AppFolder(tmp_path / "app")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteServer]:
    """A real Azurite on ports of its own, for the whole session."""
    yield from start_azurite(tmp_path_factory.mktemp("azurite"))
