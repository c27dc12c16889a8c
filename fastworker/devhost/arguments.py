"""The handler's command line (protocol 1.3): one string, built as the host does and split as .NET does on Linux.

Used by process.py. Rule: pure.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from fastworker.devhost.hostjson import Description

# What is left of `%...%` is removed, over blanks and from argument to argument (E-pctarg-*).
LEFT_OVER: Final = re.compile(r"%.+?%", re.DOTALL)


class Command(NamedTuple):
    """What is started: the executable, its one argument string, and where."""

    executable: str
    arguments: str
    cwd: Path


def build_command(
    description: Description, root: Path, environ: Mapping[str, str], added: Mapping[str, str]
) -> Command:
    """`environ` is the host's environment, `added` the variables that the host adds (protocol 1.2)."""
    base = root / description.worker_directory
    cwd = root / description.working_directory
    executable = _below(base, expand(description.executable, environ))
    parts = [expand(item, environ) for item in description.arguments]
    if description.worker_path:
        # As it is written: it is found from the working directory (E-wpath-relative, E-wkdir).
        parts.append(f'"{expand(description.worker_path, environ)}"')
    parts += [expand(item, environ) for item in description.worker_arguments]
    text = "".join(f" {part}" for part in parts)
    for name, value in added.items():
        text = text.replace(f"%{name}%", value)
    return Command(executable, LEFT_OVER.sub("", text), cwd)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """`%NAME%` by its value, as .NET does it: what is not set stays, and its second % may begin the next name."""
    found = []
    start = 0
    while start < len(text) and (end := text.find("%", start + 1)) >= 0:
        value = environ.get(text[start + 1 : end]) if text[start] == "%" else None
        found.append(text[start:end] if value is None else value)
        start = end if value is None else end + 1
    return "".join(found) + text[start:]


def split_arguments(text: str) -> list[str]:
    """As .NET splits ProcessStartInfo.Arguments: spaces separate, double quotes hold together, `\\"` is a quote.

    Single quotes mean nothing, a backslash is one unless quotes follow, and `""` within quotes is a quote.
    """
    found: list[str] = []
    position = 0
    while position < len(text):
        if text[position] in " \t":
            position += 1
            continue
        argument, position = _next_argument(text, position)
        found.append(argument)
    return found


def _next_argument(text: str, position: int) -> tuple[str, int]:
    current: list[str] = []
    quoted = False
    while position < len(text):
        slashes = len(text[position:]) - len(text[position:].lstrip("\\"))
        position += slashes
        if slashes and text[position : position + 1] == '"':
            current.append("\\" * (slashes // 2))
            if slashes % 2:
                current.append('"')
                position += 1
            continue
        current.append("\\" * slashes)
        character = text[position : position + 1]
        if character == '"':
            if quoted and text[position + 1 : position + 2] == '"':
                current.append('"')
                position += 1
            else:
                quoted = not quoted
        elif character in (" ", "\t") and not quoted:
            break
        else:
            current.append(character)
        position += 1
    return "".join(current), position


def _below(base: Path, path: str) -> str:
    """Relative and present below `base`: made absolute. Otherwise as written, for PATH or the working directory."""
    if not os.path.isabs(path) and (base / path).is_file():
        return str(base / path)
    return path
