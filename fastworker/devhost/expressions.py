"""Names with binding expressions filled in, by the clock and with new GUIDs.

Used by outputs.py and inputs.py. Rule: what an expression comes to is said by hostrules/expressions.py.
"""

import uuid
from datetime import UTC, datetime

from fastworker.hostrules.blob_paths import container_and_blob
from fastworker.hostrules.envelope import BindingData
from fastworker.hostrules.expressions import ExpressionError
from fastworker.hostrules.expressions import resolve as resolve_at

__all__ = ["ExpressionError", "blob_name", "resolve"]


def resolve(template: str, data: BindingData) -> str:
    """The template with every `{expression}` filled in. Raises ExpressionError."""
    return resolve_at(template, data, datetime.now(UTC), uuid.uuid4)


def blob_name(path: str, data: BindingData) -> tuple[str, str]:
    """Container and blob of a path. Raises ExpressionError for one that names no blob (B-243, B-267)."""
    found = resolve(path, data)
    container, name = container_and_blob(found)
    if not container or not name:
        raise ExpressionError(f"the path {found!r} (of {path!r}) names no blob")
    return container, name
