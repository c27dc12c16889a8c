"""What the fuzzer has found interesting, replayed."""

from pathlib import Path

import pytest

from tests.faults.fuzz_parsers import check

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_parsers_hold_for_the_corpus(path: Path) -> None:
    """Each input ends in requests, invocations or refusals, never in another exception."""
    check(path.read_bytes())
