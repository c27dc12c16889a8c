"""Values of .NET configuration by their types: flags, numbers, time spans, names of an enum, texts (protocol 1.1).

Base of host_json.py's reader. Rule: pure; what cannot be converted is noted in `problems`, and its default taken.
"""

from typing import TypeVar

from fastworker.config.config_files import ConfigFileError, JsonFile, Node, net_text, shown
from fastworker.hostrules.timespan import TimeSpanError, parse_time_span

T = TypeVar("T")


class TypedValues:
    """The values below `root`, each by the keys that lead to it."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.problems: list[str] = []

    def wrong(self, where: str, message: str) -> None:
        """Notes a mistake, with its place."""
        self.problems.append(f"{where}: {message}")

    def value(self, *keys: str) -> Node | None:
        """The node with a value of its own, None if there is none."""
        node = self.root.at(*keys)
        return node if node is not None and node.value is not None else None

    def flag(self, *keys: str, default: bool) -> bool:
        """`true` or `false`, in any case, also as text."""
        node = self.value(*keys)
        if node is None or node.value is None:
            return default
        text = node.value.strip().lower()
        if text in ("true", "false"):
            return text == "true"
        self.wrong(node.where, f'"{keys[-1]}" is true or false, not {shown(node.value)}')
        return default

    def number(self, *keys: str, default: int, least: int = -(2**31), most: int = 2**31 - 1) -> int:
        """A whole number within bounds, of 32 bits."""
        node = self.value(*keys)
        if node is None or node.value is None:
            return default
        try:
            number = int(node.value.strip())
        except ValueError:
            self.wrong(node.where, f'"{keys[-1]}" is a whole number, not {shown(node.value)}')
            return default
        if not least <= number <= most:
            limit = f"from {least} to {most}" if most < 2**31 - 1 else f"from {least}"
            self.wrong(node.where, f'"{keys[-1]}" is a whole number {limit}, not {number}')
            return default
        return number

    def span(self, *keys: str, default: T) -> float | T:
        """A time span in seconds."""
        node = self.value(*keys)
        if node is None or node.value is None:
            return default
        try:
            return parse_time_span(node.value)
        except TimeSpanError as error:
            self.wrong(node.where, f'"{keys[-1]}": {error}')
            return default

    def choice(self, keys: tuple[str, ...], allowed: tuple[str, ...], default: str) -> str:
        """A name of an enum, in lower case."""
        node = self.value(*keys)
        if node is None or node.value is None:
            return default
        if node.value.lower() in allowed:
            return node.value.lower()
        self.wrong(node.where, f'"{keys[-1]}" is one of {", ".join(allowed)}, not {shown(node.value)}')
        return default

    def text(self, *keys: str) -> str:
        """A text; empty if it is absent."""
        node = self.root.at(*keys)
        if node is not None and node.value is None and node.children:
            self.wrong(node.where, f'"{keys[-1]}" is a text, not {"an array" if "0" in node.children else "an object"}')
        return node.value or "" if node is not None else ""

    def texts(self, node: Node | None) -> tuple[str, ...]:
        """The values of an array; one text may hold a whole JSON array, any other text is ignored (protocol 1.1)."""
        if node is None:
            return ()
        if node.value is not None and node.value.lstrip().startswith("["):
            try:
                listed = JsonFile(node.where, f'{{"it": {node.value}}}'.encode()).document["it"]
            except ConfigFileError:
                listed = None
            if isinstance(listed, list):
                return tuple(net_text(item) for item in listed if not isinstance(item, dict | list))
        return tuple(child.value for child in node if child.value is not None)
