"""The files that an app is configured by, read as the Functions host reads them: JSON, and .NET configuration above it.

Used by host_json.py, function_json.py and local_settings.py. Rule: pure, it is given bytes; whatever is wrong with a
file is told with file, line and column, and what was expected there.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from fastworker.hostrules.newtonsoft import EmptyJsonError, JsonError, Path, Place, decode, read_json

# Settings of this name override host.json (protocol 1.1).
OVERRIDE: Final = "azurefunctionsjobhost__"


class ConfigFileError(ValueError):
    """A configuration file is broken; the message starts with file and line."""


class JsonFile:
    """A JSON object in a file, whose members can be found again: `where` is told for every complaint."""

    def __init__(self, path: str, data: bytes) -> None:
        """Raises ConfigFileError for what the host's reader refuses, or does not find an object in."""
        self.path = path
        self.places: dict[Path, Place] = {}
        try:
            document = read_json(decode(data), places=self.places)
        except EmptyJsonError:
            raise ConfigFileError(f"{path}:1: is empty: a JSON object {{...}} was expected") from None
        except JsonError as error:
            raise ConfigFileError(
                f"{path}:{error.line}: is no JSON: {error.message}, at column {error.column}"
            ) from None
        if not isinstance(document, dict):
            raise ConfigFileError(f"{path}:1: must hold a JSON object {{...}}, not {shown(document)}")
        self.document: dict[str, Any] = document

    def where(self, *keys: str | int) -> str:
        """`file:line` of a member, given by the exact keys that lead to it; of the nearest one above it, if need be."""
        place = self._place(keys)
        return f"{self.path}:{place[0]}"

    def wrong(self, keys: tuple[str | int, ...], message: str) -> ConfigFileError:
        """The error for a member."""
        line, column = self._place(keys)
        return ConfigFileError(f"{self.path}:{line}: {message} (column {column})")

    def _place(self, keys: tuple[str | int, ...]) -> Place:
        while keys:
            if keys in self.places:
                return self.places[keys]
            keys = keys[:-1]
        return (1, 1)


def shown(value: Any) -> str:
    """A value in a message: as JSON, and short."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool | None) else None
    text = text or (f'"{value}"' if isinstance(value, str) else str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def find_key(document: Mapping[str, Any], name: str) -> str | None:
    """The key of a member as it is spelt: `name` itself, else one that differs in case only."""
    if name in document:
        return name
    lower = name.lower()
    return next((key for key in document if key.lower() == lower), None)


def member(document: Mapping[str, Any], name: str) -> Any:
    """A member, whatever the case of its name; None if there is none."""
    key = find_key(document, name)
    return None if key is None else document[key]


# ---- .NET configuration ----------------------------------------------------------------------------------------------


class Node:
    """A place in .NET configuration: perhaps a value, which is always text, and perhaps children, found in any case."""

    __slots__ = ("children", "key", "value", "where")

    def __init__(self, key: str, where: str) -> None:
        self.key = key
        self.where = where
        self.value: str | None = None
        self.children: dict[str, Node] = {}

    def child(self, key: str, where: str) -> "Node":
        """The child of that name, made if need be; the one who comes last says where it is."""
        found = self.children.get(key.lower())
        if found is None:
            found = self.children[key.lower()] = Node(key, where)
        found.where = where
        return found

    def at(self, *keys: str) -> "Node | None":
        """The node that the keys lead to, None if there is none."""
        node: Node | None = self
        for key in keys:
            node = node.children.get(key.lower()) if node is not None else None
        return node

    def __iter__(self) -> Iterator["Node"]:
        """The children in .NET's order: numbers by value, then names."""
        return iter(sorted(self.children.values(), key=_order))

    @property
    def exists(self) -> bool:
        """Whether there is a value or children, as IConfigurationSection.Exists tells."""
        return self.value is not None or bool(self.children)


def _order(node: Node) -> tuple[bool, int, str]:
    return (False, int(node.key), "") if node.key.isdecimal() else (True, 0, node.key.lower())


def configuration(file: JsonFile | None, environ: Mapping[str, str]) -> Node:
    """host.json with its overrides: `AzureFunctionsJobHost__a__b=x`, or with `:` instead of `__`, in any case."""
    root = Node("", file.path if file else "host.json")
    if file is not None:
        _add(root, file.document, file, ())
    for name, value in environ.items():
        normal = name.replace(":", "__")
        if normal.lower().startswith(OVERRIDE):
            node = root
            for key in normal[len(OVERRIDE) :].split("__"):
                node = node.child(key, f"the setting {name}")
            node.value = value
    return root


def _add(node: Node, value: Any, file: JsonFile, keys: tuple[str | int, ...]) -> None:
    items: Iterable[tuple[str | int, Any]]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        node.value = net_text(value)
        return
    for key, item in items:
        _add(node.child(str(key), file.where(*keys, key)), item, file, (*keys, key))


def net_text(value: Any) -> str:
    """A scalar as .NET configuration keeps it: `True`, `1.5`, and nothing at all for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


# ---- keys that nobody reads ------------------------------------------------------------------------------------------


def unread_keys(node: Node, known: Mapping[str, Any], above: str = "") -> list[str]:
    """One line for each key that is not in `known`: a tree of names, where None stands for "whatever is below".

    A name "*" in the tree stands for any name.
    """
    lines = []
    names = {name.lower(): name for name in known}
    for child in node.children.values():
        path = f"{above}{child.key}"
        name = names.get(child.key.lower()) or names.get("*")
        if name is None:
            near = get_close_matches(child.key.lower(), names, 1)
            hint = f'did you mean "{names[near[0]]}"?' if near else "check its spelling and its place"
            lines.append(f'{child.where}: nobody reads "{path}": {hint}')
        elif known[name] is not None:
            lines += unread_keys(child, known[name], f"{path}.")
    return lines
