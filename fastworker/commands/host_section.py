"""host.json for an app that has none, and the section `customHandler` for a host.json without it.

Used by sync.py. docs/modes.md tells how the mode is chosen.
Rule: pure; what stands in a file already, its comments and its layout too, is kept as it is.
"""

import json
import re
from typing import Any, Final

from fastworker.config.config_files import JsonFile
from fastworker.functions.http_mode import Mode

NAME: Final = "customHandler"
# Nothing that has to be executable: remote builds lose that bit, and put commands elsewhere than packages.
COMMAND: Final = ("python", "-m", "fastworker", "serve")
LINE_END: Final = re.compile(r"\r\n|\r|\n")


def new_host_json(mode: Mode, named: str | None, prefix: str) -> dict[str, Any]:
    """The whole of host.json. `prefix` is the route prefix that the app is made for."""
    document: dict[str, Any] = {
        "version": "2.0",
        "functionTimeout": "00:01:00",
        NAME: handler_section(mode, named),
        "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"},
    }
    if prefix != "api":
        document["extensions"] = {"http": {"routePrefix": prefix}}
    return document


def handler_section(mode: Mode, named: str | None) -> dict[str, Any]:
    """`customHandler`, with the app that the command is to name (None: the one that lies in the folder)."""
    executable, *arguments = COMMAND
    if named is not None:
        arguments.append(named)
    section: dict[str, Any] = {"description": {"defaultExecutablePath": executable, "arguments": arguments}}
    return section if mode.switch is None else {**section, mode.switch: True}


def with_handler(text: str, section: dict[str, Any]) -> str:
    """A host.json with the section as its first member. Raises ConfigFileError if the text is no JSON object."""
    file = JsonFile("host.json", text.encode())
    first = min(((place, keys) for keys, place in file.places.items() if len(keys) == 1), default=None)
    if first is None or any(str(key).lower() == NAME.lower() for key in file.document):
        others = {key: value for key, value in file.document.items() if str(key).lower() != NAME.lower()}
        return render({**others, NAME: section})  # it is empty, or says null
    (line, column), _ = first
    start = _start_of_line(text, line)
    indent = text[start : start + column - 1]
    is_alone = not indent.strip()
    step = indent if is_alone and indent else "  "
    line_end = found[0] if (found := LINE_END.search(text)) else "\n"
    body = json.dumps({NAME: section}, indent=step, ensure_ascii=False)[1:-1].strip().replace("\n", line_end)
    at = start + column - 1
    return f"{text[:at]}{body},{line_end + indent if is_alone else ' '}{text[at:]}"


def render(document: dict[str, Any]) -> str:
    """A document as sync writes it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _start_of_line(text: str, line: int) -> int:
    ends = [0, *(found.end() for found in LINE_END.finditer(text))]
    return ends[line - 1]
