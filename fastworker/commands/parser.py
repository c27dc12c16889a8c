"""The parser of the commands beside `serve`: flags in full, and a word of help for those of other tools.

Used by dev, new, sync, invoke and storage. Rule: what is refused is told with what to type (flag_hints.py).
"""

import argparse
from collections.abc import Sequence
from typing import Any

from fastworker.flag_hints import unknown_flags


class CommandParser(argparse.ArgumentParser):
    """argparse, but for what it says of a flag that it does not know."""

    def __init__(self, command: str, hints: dict[str, str], **more: Any) -> None:
        super().__init__(prog=f"fastworker {command}", allow_abbrev=False, **more)
        self._command = command
        self._hints = hints

    def parse_args(  # type: ignore[override]  # the overloads differ in nothing that is used
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Exits with 2 and a line for each argument that is not known."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            names = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            self.error("; ".join(unknown_flags(rest, names, self._hints, self._command)))
        return found
