"""JSON files as the host reads them, with a place for every complaint.

Used by hostjson.py, functions.py and appsettings.py.
Rule: whatever is wrong with a file is told with the file and the line.
"""

import json
import re
from pathlib import Path
from typing import Any, Final, cast

from fastworker.errors import FastworkerError

# The host reads its files with Newtonsoft, which skips comments.
COMMENT: Final = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
TIME_SPAN: Final = re.compile(r"(-)?(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?")


class ConfigError(FastworkerError):
    """The app's files are wrong; the message starts with `file:line`."""

    exit_code = 2


class JsonFile:
    """A JSON object in a file, whose members can be found again in the text."""

    def __init__(self, path: Path, text: str, document: dict[str, Any]) -> None:
        self.path = path
        self.text = text
        self.document = document

    def where(self, *keys: str) -> str:
        """`file:line` of a member, given by the keys that lead to it."""
        position = 0
        for key in keys:
            found = self.text.lower().find(json.dumps(key).lower(), position)
            position = max(found, position)
        return f"{self.path}:{self.text.count(chr(10), 0, position) + 1}"

    def wrong(self, keys: tuple[str, ...], message: str) -> ConfigError:
        return ConfigError(f"{self.where(*keys)}: {message}")


def read_json(path: Path) -> JsonFile:
    """Raises FileNotFoundError if there is no such file, and ConfigError if it is no JSON object."""
    try:
        raw = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1: is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from None
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(path)) from None
    except OSError as error:
        raise ConfigError(f"{path}:1: cannot be read: {error.strerror}") from None
    text = COMMENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), raw)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: is no JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ConfigError(f"{path}:1: is nested too deeply") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}:1: must hold a JSON object, not {type(document).__name__}")
    return JsonFile(path, raw, cast("dict[str, Any]", document))


def member(document: dict[str, Any], name: str) -> Any:
    """A member, whatever the case of its name: .NET configuration ignores it."""
    if name in document:
        return document[name]
    return next((value for key, value in document.items() if key.lower() == name.lower()), None)


def seconds(file: JsonFile, keys: tuple[str, ...], value: Any) -> float:
    """The seconds of a .NET time span `[d.]hh:mm:ss`; negative for a negative one."""
    match = TIME_SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise file.wrong(keys, f'"{keys[-1]}" is a time span like "00:05:00", not {json.dumps(value)}')
    sign, days, hours, minutes, secs, fraction = match.groups()
    span = (int(days or 0) * 24 + int(hours)) * 3600 + int(minutes) * 60 + int(secs or 0)
    return (span + float(f"0.{fraction or 0}")) * (-1 if sign else 1)
