"""An app's configuration files on disk: host.json, function.json, local.settings.json.

Used by app.py, the adapters, sync, invoke and dev. Rule: only reads bytes; what they mean is said by host_json.py,
function_json.py and local_settings.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastworker.config.config_files import ConfigFileError, JsonFile
from fastworker.config.function_json import FunctionJson, read_function_json
from fastworker.config.host_json import HostJson, read_host_json
from fastworker.hostrules.functions import twins


class UnreadableFileError(ConfigFileError):
    """A file is there, and cannot be read: nobody knows what it says."""


def read_bytes(path: Path) -> bytes | None:
    """A file's content, None if there is no such file. Raises UnreadableFileError."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnreadableFileError(f"{path}:1: cannot be read: {error.strerror}") from None


def host_json_of(root: Path, environ: Mapping[str, str]) -> HostJson:
    """host.json of an app's root folder, with its overrides from `environ`. Its mistakes are in `problems`."""
    path = root / "host.json"
    try:
        data = read_bytes(path)
    except ConfigFileError as error:
        return HostJson(path=str(path), problems=(str(error),))
    return read_host_json(str(path), data, environ)


def function_json_of(path: Path) -> FunctionJson:
    """A function.json. Raises ConfigFileError, and FileNotFoundError if there is none."""
    data = read_bytes(path)
    if data is None:
        raise FileNotFoundError(str(path))
    found = read_function_json(str(path), data)
    if found.script_file and not (path.parent / found.script_file).is_file():
        raise found.file.wrong(
            ("scriptFile",), f'"scriptFile" {found.script_file!r} does not exist; a custom handler needs none'
        )
    return found


def function_document_of(path: Path) -> dict[str, Any]:
    """All members of a function.json, as they stand there. Raises as `function_json_of`."""
    data = read_bytes(path)
    if data is None:
        raise FileNotFoundError(str(path))
    return JsonFile(str(path), data).document


def function_folders(root: Path) -> list[Path]:
    """The function.json files of an app, by the names of their folders."""
    try:
        return sorted(root.glob("*/function.json"))
    except OSError:
        return []


def twin_folders(root: Path) -> list[str]:
    """A line for each pair of function folders that differ in case only, which the host takes for one function."""
    return [
        f"{root / second / 'function.json'}:1: the folders {first!r} and {second!r} differ in case only, and the host "
        f"takes them for one function and may not start: rename one"
        for first, second in twins(path.parent.name for path in function_folders(root))
    ]
