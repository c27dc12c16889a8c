"""Header fields of a Response: read from what a handler gave, checked, for both shapes of an answer.

Used by outputs.py (envelopes) and plain.py (plain HTTP).
Rule: pure. A name or value that could end its line early is refused, whoever wrote it: header injection.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastworker.jsontext import UnencodableError
from fastworker.messages import Response

NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Everything but visible characters, space and tab (RFC 9110, 5.5).
FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def header_pairs(response: Response) -> list[tuple[str, Any]]:
    """The headers as the handler gave them, in order."""
    headers = response.headers
    if headers is None:
        return []
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def cookie_lines(response: Response) -> list[str]:
    """The values of `Set-Cookie`: `name=value` for each of a mapping, or the lines that were given."""
    cookies = response.cookies
    if not cookies:
        return []
    if isinstance(cookies, str):
        return [cookies]
    return [f"{name}={value}" for name, value in cookies.items()] if isinstance(cookies, Mapping) else list(cookies)


def given_content_type(response: Response) -> str | None:
    """The content type that the handler set, by argument or as a header."""
    if response.content_type is not None:
        return response.content_type
    return next((str(value) for name, value in header_pairs(response) if name.lower() == "content-type"), None)


def header_name(name: Any, place: str) -> str:
    """`name`, if it can be one. Raises UnencodableError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UnencodableError(f"{place}: {name!r} cannot be the name of a header")
    return name


def header_text(value: Any, place: str) -> str:
    """`value` as text, if that can stand in a header. Raises UnencodableError."""
    text = value if isinstance(value, str) else str(value)
    if value is None or FORBIDDEN.search(text):
        raise UnencodableError(f"{place}: {value!r} cannot be a header's value")
    return text


def header_bytes(values: Iterable[tuple[Any, Any]], place: str) -> tuple[tuple[bytes, bytes], ...]:
    """Names and values as they stand on the wire. Raises UnencodableError, also for text beyond Latin-1."""
    lines = []
    for name, value in values:
        text = header_text(value, f"{place}.{name}")
        try:
            lines.append((header_name(name, place).encode(), text.encode("latin-1")))
        except UnicodeEncodeError:
            raise UnencodableError(
                f"{place}.{name}: {text!r} has characters that no header can carry; percent-encode it"
            ) from None
    return tuple(lines)
