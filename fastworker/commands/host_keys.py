"""Numbers in host.json, set or replaced in its text; all the rest stays byte for byte.

Used by `sync --tune`.
Rule: pure; where the text is written in a way that cannot be changed safely, that is told instead.
"""

import json
import re
from typing import Final

from fastworker.config.config_files import ConfigFileError, JsonFile

VALUE: Final = re.compile(r"""("[^"]*"|'[^']*'|[\w$]+)\s*:\s*(?P<value>"[^"]*"|-?[\w.]+|\{)""")
LINE_END: Final = re.compile(r"\r\n|\r|\n")
Keys = tuple[str, ...]


def with_number(text: str, keys: Keys, number: int) -> str:
    """`text` with `number` under `keys`, found ignoring case. Raises ConfigFileError."""
    file = JsonFile("host.json", text.encode())
    there = _existing(file, keys)
    if len(there) == len(keys):
        value = _value(file, text, there)
        return f"{text[: value.start('value')]}{number}{text[value.end('value') :]}"
    member = json.dumps(keys[-1]) + f": {number}"
    for key in reversed(keys[len(there) + 1 :]):
        member = f"{json.dumps(keys[keys.index(key) - 1])}: {{{member}}}"
    if not there:
        if not text.lstrip().startswith("{"):
            raise ConfigFileError(f"host.json:1: begins with a comment: write {member} into it by hand")
        at = text.index("{") + 1
        return _inserted(text, at, member, is_empty=not file.document)
    value = _value(file, text, there)
    if value["value"] != "{":
        raise ConfigFileError(f"{file.where(*there)}: {there[-1]!r} is no object: write {member} into it by hand")
    inner: object = file.document
    for key in there:
        inner = inner[key]  # type: ignore[index]
    return _inserted(text, value.end("value"), member, is_empty=not inner)


def _existing(file: JsonFile, keys: Keys) -> Keys:
    """As far as `keys` lead in the file, as they are spelt there."""
    found: Keys = ()
    inner: object = file.document
    for key in keys:
        spelt = next((k for k in inner if k.lower() == key.lower()), None) if isinstance(inner, dict) else None
        if spelt is None:
            break
        found = (*found, spelt)
        inner = inner[spelt]  # type: ignore[index]
    return found


def _value(file: JsonFile, text: str, keys: Keys) -> re.Match[str]:
    line, column = file.places[keys]
    start = [0, *(end.end() for end in LINE_END.finditer(text))][line - 1] + column - 1
    found = VALUE.match(text, start)
    if found is None:
        raise ConfigFileError(f"{file.where(*keys)}: {keys[-1]!r} cannot be changed by sync, write it by hand")
    return found


def _inserted(text: str, at: int, member: str, *, is_empty: bool) -> str:
    """A member behind the brace before `at`, laid out as what follows there."""
    if is_empty:
        return f"{text[:at]}{member}{text[at:]}"
    blank = text[at : at + len(text[at:]) - len(text[at:].lstrip())]
    return f"{text[:at]}{blank}{member},{blank or ' '}{text[at:].lstrip()}"
