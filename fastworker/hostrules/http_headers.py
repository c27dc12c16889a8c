"""Header fields as .NET orders, joins, cuts and checks them (protocol 2.4, 3.1, 4.3).

Used by envelope.py, forwarded.py, answers.py and the local host's front. Rule: pure; names are compared ignoring case.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

Pairs = tuple[tuple[str, str], ...]

# The fields that Kestrel knows, in the order in which it tells them: they come before all others.
KNOWN: Final = (
    *("Accept", "Connection", "Host", "User-Agent", "Accept-Charset", "Accept-Encoding", "Accept-Language"),
    *("Access-Control-Request-Headers", "Access-Control-Request-Method", "Authorization", "baggage", "Cache-Control"),
    *("Content-Type", "Cookie", "Correlation-Context", "Date", "Expect", "From", "grpc-accept-encoding"),
    *("grpc-encoding", "grpc-timeout", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range"),
    *("If-Unmodified-Since", "Keep-Alive", "Max-Forwards", "Origin", "Pragma", "Proxy-Authorization", "Range"),
    *("Referer", "Request-Id", "TE", "traceparent", "tracestate", "Transfer-Encoding", "Translate", "Upgrade"),
    *("Upgrade-Insecure-Requests", "Via", "Warning", "Content-Length"),
)
RANK: Final = {name.lower(): (number, name) for number, name in enumerate(KNOWN)}
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
SENDABLE: Final = re.compile(r"[\t\x20-\x7e]*")
CHARSET: Final = re.compile(r'(;\s*charset\s*=\s*"?)([^";\s]*)', re.IGNORECASE)
MEDIA_TYPE: Final = re.compile(r"\s*([^\s/;,]+/[^\s/;,]+)\s*(;.*)?", re.DOTALL)
PARAMETER: Final = re.compile(r'\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)\s*')


def header_lists(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """All values by name, as the host tells a client's header: its known fields first, in its spelling."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, value in headers:
        lower = name.lower()
        text = value.strip(" \t")
        spelling = RANK[lower][1] if lower in RANK else name
        found.setdefault(lower, (spelling, []))[1].append(text)
    if "connection" in found:  # Kestrel takes out what it acts on itself
        found["connection"] = (found["connection"][0], [_cut_connection(value) for value in found["connection"][1]])
    order = sorted(found, key=lambda lower: RANK[lower][0] if lower in RANK else len(KNOWN))
    return {found[lower][0]: found[lower][1] for lower in order}


def _cut_connection(value: str) -> str:
    options = [option.strip().lower() for option in value.split(",")]
    return "keep-alive" if "keep-alive" in options and len(options) > 1 else value


def header_value(headers: Iterable[tuple[str, str]], name: str) -> str:
    """The first value of that name; empty if there is none."""
    return next((value for known, value in headers if known.lower() == name.lower()), "")


def without_doubles(headers: Mapping[str, str]) -> dict[str, str]:
    """Names that differ in case only are one: the first spelling and value stay, of content-type the last value."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower not in found or lower == "content-type":
            found[lower] = (found[lower][0] if lower in found else name, value)
    return dict(found.values())


def is_sendable(name: str, value: str) -> bool:
    """Whether Kestrel sends the field: a token, and a value of ASCII without control characters but TAB."""
    return bool(TOKEN.fullmatch(name) and SENDABLE.fullmatch(value))


def with_charset(content_type: str) -> tuple[str, str]:
    """The content type that goes out, and the encoding of the text: UTF-8, or UTF-16 where that is asked for.

    >>> with_charset("text/html"), with_charset("text/html; charset=iso-8859-1")
    (('text/html; charset=utf-8', 'utf-8'), ('text/html; charset=utf-8', 'utf-8'))
    """
    if not content_type.strip():
        return "text/plain; charset=utf-8", "utf-8"
    match = CHARSET.search(content_type)
    if match is None:
        return f"{content_type}; charset=utf-8", "utf-8"
    named = match[2].lower()
    if named == "utf-16":
        return content_type, "utf-16-le"
    return content_type if named == "utf-8" else CHARSET.sub(r"\g<1>utf-8", content_type, count=1), "utf-8"


def respaced_type(content_type: str) -> str | None:
    """A content type as .NET writes one that it has parsed: `a/b; c=d`. None for one that it cannot parse."""
    match = MEDIA_TYPE.fullmatch(content_type)
    if match is None:
        return None
    parts = [match[1]]
    rest = match[2] or ""
    while rest:
        parameter = PARAMETER.match(rest, 1)
        if parameter is None:
            if rest.strip(" \t;"):
                return None
            return "; ".join(parts) if rest.count(";") <= 1 else None
        parts.append(f"{parameter[1]}={parameter[2]}" if parameter[2] else parameter[1])
        rest = rest[parameter.end() :]
        if rest and rest[0] != ";":
            return None
    return "; ".join(parts)
