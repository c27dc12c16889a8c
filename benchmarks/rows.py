"""A result row: what every scenario writes, one JSON object per line, and what the report reads.

Written through RowWriter by __main__.py, read by report/. Rule: a row that is not ok carries its failure and no
metrics, so that nothing that failed can be taken for a figure, least of all for zero.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

FILE_NAME: Final = "rows.jsonl"

# The contenders that the report treats in a way of their own: the server under test, and what it is compared with.
OURS: Final = "fastworker"
FLOOR: Final = "floor"
IDEAL: Final = "ideal"

Scalar = str | int | float | bool | None


class RowsError(Exception):
    """A file of rows that cannot be read: which file, which line, why."""


class Row(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=False):
    """One measurement of one contender. Units are in the metrics' names (`p50_us`, `per_second`, `private_bytes`).

    `variant` tells the rows of one scenario apart; rows that differ only in `round` are repetitions.
    Raises ValueError for a row both ok and failed, or neither.
    """

    scenario: str
    contender: str
    variant: dict[str, Scalar] = msgspec.field(default_factory=dict)
    round: int = 0
    ok: bool = True
    failure: str | None = None
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    machine: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ok == (self.failure is not None):
            raise ValueError(f"a row is either ok or has a failure: ok={self.ok}, failure={self.failure!r}")
        if not self.ok and self.metrics:
            raise ValueError(f"a failed row has no metrics: {self.failure}")

    @property
    def key(self) -> tuple[str, str, tuple[tuple[str, Scalar], ...]]:
        """The same for all repetitions of one measurement."""
        return self.scenario, self.contender, tuple(sorted(self.variant.items()))

    def with_machine(self, machine: dict[str, Any]) -> "Row":
        """The row on that machine."""
        return msgspec.structs.replace(self, machine=machine)


def failed(scenario: str, contender: str, failure: str, *, variant: dict[str, Scalar], round_: int = 0) -> Row:
    """A measurement that gave a wrong answer, or none."""
    return Row(scenario=scenario, contender=contender, variant=variant, round=round_, ok=False, failure=failure)


def absent(scenario: str, contender: str, reason: str) -> Row:
    """A contender that cannot be had on this machine."""
    return Row(scenario=scenario, contender=contender, ok=False, failure=f"absent: {reason}")


class RowWriter:
    """Appends rows to a folder's file, each whole and at once: an interrupted run keeps what it had."""

    def __init__(self, folder: Path, machine: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        self.rows: list[Row] = []
        self._machine = machine
        self.path.write_bytes(b"")

    def __call__(self, row: Row) -> None:
        complete = row.with_machine(self._machine)
        self.rows.append(complete)
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(complete) + b"\n")


def read(path: Path) -> list[Row]:
    """The rows of a file, or of the folder that it is in. Raises RowsError."""
    file = path / FILE_NAME if path.is_dir() else path
    try:
        lines = file.read_bytes().splitlines()
    except OSError as exc:
        raise RowsError(f"{file}: {exc.strerror}; give a rows.jsonl, or the --out folder of a run") from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(msgspec.json.decode(line, type=Row))
        except (msgspec.DecodeError, ValueError) as exc:
            raise RowsError(f"{file}:{number}: not a row: {exc}") from None
    return rows
