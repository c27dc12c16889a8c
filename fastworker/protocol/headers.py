"""Header fields of a Response: read from what a handler gave, checked, for both shapes of an answer.

Used by outputs.py (envelopes) and plain_http.py (plain HTTP).
Rule: pure. A name or value that could end its line early, or that the host cannot send, is refused.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastworker.protocol.header_rules import FORBIDDEN, NAME, cookie_problem, name_problem, value_problem
from fastworker.protocol.jsontext import UnencodableError
from fastworker.protocol.messages import Response

# They frame the message, or belong to one connection: the server's own business, and the host's.
FRAMING: Final = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


def header_pairs(response: Response) -> list[tuple[str, Any]]:
    """The headers as the handler gave them, in order."""
    headers = response.headers
    if headers is None:
        return []
    if isinstance(headers, Mapping):
        return list(headers.items())
    if not isinstance(headers, list):
        response.headers = headers = list(headers)  # a generator's pairs come once
    return [*headers]


def cookie_lines(response: Response) -> list[str]:
    """The values of `Set-Cookie`: `name=value` for each of a mapping, or the lines that were given."""
    cookies = response.cookies
    if not cookies:
        return []
    if isinstance(cookies, str):
        return [cookies]
    if not isinstance(cookies, Mapping):
        return list(cookies)
    for name, value in cookies.items():
        problem = cookie_problem(name, value)
        if problem is not None:
            raise UnencodableError(f"the response's cookies: {problem}")
    return [f"{name}={value}" for name, value in cookies.items()]


def given_content_type(response: Response) -> str | None:
    """The content type that the handler set, by argument or as a header."""
    if response.content_type is not None:
        return response.content_type
    return next((str(value) for name, value in header_pairs(response) if str(name).lower() == "content-type"), None)


def header_name(name: Any, place: str) -> str:
    """`name`, if it can be one. Raises UnencodableError."""
    if type(name) is str and NAME.fullmatch(name):
        return name
    problem = name_problem(name)
    if problem is not None:
        raise UnencodableError(f"{place}: {problem}")
    return str(name)


def header_text(value: Any, place: str) -> str:
    """`value` as text, if that can stand in a header. Raises UnencodableError."""
    if type(value) is str and FORBIDDEN.search(value) is None:
        return value
    problem = value_problem(value)
    if problem is not None:
        raise UnencodableError(f"{place}: {problem}")
    return value if isinstance(value, str) else str(value)


def header_bytes(values: Iterable[tuple[Any, Any]], place: str) -> tuple[tuple[bytes, bytes], ...]:
    """Names and values as they stand on the wire. Raises UnencodableError."""
    return tuple(
        (header_name(name, place).encode(), header_text(value, f"{place}.{name}").encode()) for name, value in values
    )
