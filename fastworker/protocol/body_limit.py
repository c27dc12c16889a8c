"""How large a request may be: FASTWORKER_MAX_BODY counts what the client sent, and an envelope is larger than that.

Used by dispatch.py (the limit on the wire) and invocation.py (the body in an envelope).
Rule: pure. Nothing is decoded that may be within the limit by its length alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fastworker.errors import RequestError
from fastworker.protocol.bindings import Binding
from fastworker.protocol.envelope import DECODE_ERRORS, QUOTE, decode_str
from fastworker.protocol.messages import ClientError, HttpData, is_base64

# The host escapes a NUL as six characters in `Body`, and as seven in the metadata, where it puts the members of a JSON
# body once more (protocol 2.3).
GROWTH = 13
# For what does not grow with the body: URL, headers, identities, and the names of it all.
BESIDE = 2 * 1024 * 1024


def envelope_limit(max_body: int) -> int:
    """Bytes that an envelope may have whose client's body has up to `max_body`."""
    return GROWTH * max_body + BESIDE


def check_bodies(bindings: Iterable[Binding], data: Mapping[str, Any], max_body: int) -> None:
    """Raises ClientError or RequestError (413) if a value of the envelope's `Data` is larger, decoded, than that."""
    by_name = {binding.name: binding for binding in bindings}
    for name, value in data.items():
        body = value.Body if isinstance(value, HttpData) else value
        if not isinstance(body, msgspec.Raw):
            continue
        if isinstance(value, HttpData):
            binary = is_base64(value)
        else:
            binding = by_name.get(name)
            binary = binding is not None and (binding.is_binary or binding.key == "blobtrigger")
        size = decoded_size(body, binary=binary)
        if size > max_body:
            detail = f"the body of {size} bytes is over the limit of {max_body} (FASTWORKER_MAX_BODY)"
            raise (
                ClientError(detail, 413) if isinstance(value, HttpData) else RequestError(413, f"Data.{name}: {detail}")
            )


def decoded_size(raw: msgspec.Raw, *, binary: bool) -> int:
    """The bytes that a JSON value stands for: those of a string's text or base64, else those of the JSON itself."""
    view = memoryview(raw)
    if not view or view[0] != QUOTE:
        return len(view)
    if binary:
        padding = bytes(view[-4:-1]).count(b"=")
        return (len(view) - 2) * 3 // 4 - padding
    try:
        text = decode_str(raw)
    except DECODE_ERRORS:
        return 0  # whoever reads it says what is wrong with it
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
