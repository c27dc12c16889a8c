"""A blob trigger's path: which blobs it takes, and what its names come to (protocol 7).

Rule: pure, and linear in the blob's name, whatever the path. Names are greedy from the left and may be empty; the same
name twice holds what came last (B-285 to B-302, B-515, B-608).
"""

from fastworker.hostrules.expressions import Name, parse


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
