"""What can stand in a header or a cookie, and what is said of what cannot.

Used by messages.py when a Response gets its fields, and by headers.py when they are sent, for a dict may have changed.
Rule: pure. What the host cannot send (Kestrel: ASCII without control characters but tab) never reaches it, for there
it would be a 500 of a function that has succeeded, without a word in any log.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Everything but visible ASCII, space and tab.
FORBIDDEN: Final = re.compile(r"[^\t\x20-\x7e]")
# What would end a cookie's value, and begin another cookie or an attribute.
COOKIE_SEPARATORS: Final = re.compile(r"[;,\t]")

_is_name: Final = NAME.fullmatch
_find_forbidden: Final = FORBIDDEN.search

# Final statuses that the host sends on as they are: 1xx are no answer, and beyond it breaks the connection.
STATUSES: Final = range(200, 1000)


def name_problem(name: Any) -> str | None:
    """Why `name` cannot name a header; None if it can."""
    if isinstance(name, str) and NAME.fullmatch(name):
        return None
    return f"{name!r} cannot be the name of a header"


def value_problem(value: Any) -> str | None:
    """Why `value` cannot be a header's value; None if it can. What is no text counts as its text."""
    text = value if isinstance(value, str) else str(value)
    found = FORBIDDEN.search(text)
    if found is None and value is not None:
        return None
    problem = f"{value!r} cannot be a header's value"
    if found is None:
        return problem
    character = found[0]
    what = f"{problem}: it has {character!r} (U+{ord(character):04X}) at {found.start()}"
    return what if ord(character) < 128 else f"{what}, and the host sends ASCII only; percent-encode it"


def cookie_problem(name: Any, value: Any) -> str | None:
    """Why a cookie cannot be made of a name and a value; None if it can."""
    if name_problem(name) is not None:
        return f"{name!r} cannot be the name of a cookie"
    text = value if isinstance(value, str) else str(value)
    found = COOKIE_SEPARATORS.search(text)
    if found is not None:
        return (
            f"{name}: {value!r} cannot be a cookie's value, in which {found[0]!r} separates; percent-encode it, or "
            f"give whole Set-Cookie lines for attributes"
        )
    problem = value_problem(value)
    return None if problem is None else f"{name}: {problem}"


# ---- what is given to a Response ------------------------------------------------------------------------------


def checked_status(status: Any) -> int:
    """Raises ValueError for what is no final HTTP status as a whole number."""
    if isinstance(status, bool) or not isinstance(status, int):
        raise ValueError(f"status_code is a whole number, not {status!r} (of type {type(status).__name__})")
    if status not in STATUSES:
        raise ValueError(f"status_code is from {STATUSES.start} to {STATUSES.stop - 1}, not {int(status)}")
    return int(status)


def checked_headers(headers: Any) -> Any:
    """The mapping as it is, or a list of the pairs. Raises ValueError."""
    if type(headers) is dict:  # the usual headers, at the price of two looks at each
        for name, value in headers.items():
            if type(name) is not str or type(value) is not str or not _is_name(name) or _find_forbidden(value):
                break
        else:
            return headers
    if headers is None:
        return None
    if not isinstance(headers, Mapping) and not isinstance(headers, list):
        headers = _listed(headers, "headers", "a mapping or pairs of a name and a value")
    for pair in headers.items() if isinstance(headers, Mapping) else headers:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise ValueError(f"headers is a mapping or pairs of a name and a value, and {pair!r} is no pair") from None
        problem = name_problem(name)
        if problem is not None:
            raise ValueError(f"headers: {problem}")
        problem = value_problem(value)
        if problem is not None:
            raise ValueError(f"headers.{name}: {problem}")
    return headers


def checked_content_type(content_type: Any) -> str | None:
    """Raises ValueError."""
    if content_type is None:
        return None
    if not isinstance(content_type, str):
        raise ValueError(f"content_type is text, not {content_type!r} (of type {type(content_type).__name__})")
    problem = value_problem(content_type)
    if problem is not None:
        raise ValueError(f"content_type: {problem}")
    return content_type


def checked_cookies(cookies: Any) -> Any:
    """The mapping as it is, or a list of the lines. Raises ValueError."""
    if cookies is None:
        return None
    if isinstance(cookies, Mapping):
        for name, value in cookies.items():
            problem = cookie_problem(name, value)
            if problem is not None:
                raise ValueError(f"cookies: {problem}")
        return cookies
    lines = cookies
    if not isinstance(cookies, str | list):
        lines = cookies = _listed(cookies, "cookies", "a mapping or Set-Cookie lines")
    for line in [lines] if isinstance(lines, str) else lines:
        problem = value_problem(line)
        if problem is not None:
            raise ValueError(f"cookies: {problem}")
    return cookies


def _listed(values: Any, name: str, expected: str) -> list[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ValueError(f"{name} is {expected}, not {values!r}")
    return list(values)  # a generator gives them once
