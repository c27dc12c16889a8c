"""A blob trigger's path: which blobs it takes, and what its names come to (protocol 7).

Rule: pure, and linear in the blob's name, whatever the path. Names are greedy from the left and may be empty; the same
name twice holds what came last (B-285 to B-302, B-515, B-608).
"""

import ipaddress
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from fastworker.hostrules.expressions import Name, parse

# Ports of the emulators, whose addresses have the account as the first segment of the path.
EMULATOR_PORTS: Final = frozenset(start + service for start in (10000, 10100, 11000, 11100) for service in range(5))


class BlobPath:
    """`container/pattern`; a path of a container alone takes every blob, and has no names."""

    def __init__(self, path: str) -> None:
        """Raises ExpressionError for braces that cannot be read."""
        self.container, slash, pattern = path.partition("/")
        self._pieces = parse(pattern) if slash and pattern else None

    def match(self, blob: str) -> dict[str, str] | None:
        """The values of the names; None if the path does not take the blob.

        >>> BlobPath("in/{name}.{ext}").match("file.tar.gz")
        {'name': 'file.tar', 'ext': 'gz'}
        """
        if self._pieces is None:
            return {}
        names = [piece.text for piece in self._pieces if isinstance(piece, Name)]
        first, *literals = [piece for piece in self._pieces if isinstance(piece, str)]
        if not literals:
            return {} if blob == first else None
        # The last literal stands at the end, each before it as far to the right as it can: so the first names are long.
        values: list[str] = []
        end = len(blob)
        for i, literal in enumerate(reversed(literals)):
            at = end - len(literal) if i == 0 else blob.rfind(literal, len(first), end)
            if at < len(first) or blob[at : at + len(literal)] != literal:
                return None
            values.append(blob[at + len(literal) : end] if i else "")
            end = at
        if not blob.startswith(first):
            return None
        found = [blob[len(first) : end], *reversed(values[1:])]
        return dict(zip(names, found, strict=True))


def container_and_blob(path: str) -> tuple[str, str]:
    """What a path of an input or output names, its expressions filled in: `container/name`, or a blob's whole URL.

    A part that is missing is empty. The account of a URL does not count: the binding's connection does.

    >>> container_and_blob("https://a.blob.core.windows.net/images/my%20cat.jpg?sig=x")
    ('images', 'my cat.jpg')
    >>> container_and_blob("http://127.0.0.1:10000/devstoreaccount1/images/cat.jpg")
    ('images', 'cat.jpg')
    """
    if not path.lower().startswith(("http://", "https://")):
        container, _, name = path.partition("/")
        return container, name
    try:
        parts = urlsplit(path)
        is_emulator = parts.port in EMULATOR_PORTS or _is_address(parts.hostname or "")
    except ValueError:
        return "", ""
    inner = parts.path.lstrip("/")
    if is_emulator:
        inner = inner.partition("/")[2]
    container, _, name = inner.partition("/")
    return container, unquote(name)


def blob_url(container: str, name: str) -> str:
    """The URL of a blob in the development store, as Azurite has it."""
    return f"http://127.0.0.1:10000/devstoreaccount1/{container}/{quote(name)}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
