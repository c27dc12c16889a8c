"""Paths and queries as Kestrel, ASP.NET and System.Uri decode, resolve and write them (protocol 2.4, 3.1, 6.1).

Used by envelope.py, forwarded.py and the local host's front. Rule: pure text; one function per step of the host.
"""

import re
from typing import Final
from urllib.parse import quote

PERCENT: Final = re.compile("%[0-9A-Fa-f]{2}")
PATH_SAFE: Final = "/-._~:@!$&'()*+,;="
QUERY_SAFE: Final = "~!*()-._,;@$"  # of .NET's UrlEncoder; a space is %20
MAX_TARGET: Final = 8192


class BadTargetError(ValueError):
    """The request target is one that the host answers with 400."""


def percent_decoded(text: str, *, keep_slash: bool = False) -> str:
    """Percent-encoded UTF-8 decoded; what is no UTF-8, or no encoding, stays as it is written.

    >>> percent_decoded("%C3%A9 %FF %zz a%2fb", keep_slash=True)
    'é %FF %zz a%2fb'
    """
    if "%" not in text:
        return text
    parts: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "%" or not PERCENT.match(text, at):
            end = text.find("%", at + 1)
            end = len(text) if end < 0 else end
            parts.append(text[at:end])
            at = end
            continue
        size = _utf8_length(text, at)
        shown = text[at : at + 3 * max(size, 1)]
        is_slash = keep_slash and shown.upper() == "%2F"
        parts.append(bytes.fromhex(shown.replace("%", "")).decode() if size and not is_slash else shown)
        at += len(shown)
    return "".join(parts)


def _utf8_length(text: str, at: int) -> int:
    """How many encoded bytes from `at` on make one character of UTF-8; 0 if they make none."""
    first = int(text[at + 1 : at + 3], 16)
    size = 1 if first < 0x80 else 2 if 0xC2 <= first < 0xE0 else 3 if first < 0xF0 else 4
    encoded = re.match("(?:%[0-9A-Fa-f]{2})" + f"{{{size}}}", text[at:])
    if encoded is None or 0x80 <= first < 0xC2:
        return 0
    try:
        bytes.fromhex(encoded[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return 0
    return size


def request_path(raw_path: str) -> str:
    """The path as Kestrel hands it on: decoded but for `%2F`, dot segments resolved. Raises BadTargetError."""
    if not raw_path.isascii() or "%00" in raw_path:
        raise BadTargetError("the path holds NUL, or bytes that are not ASCII")
    return without_dots(percent_decoded(raw_path, keep_slash=True))


def without_dots(path: str) -> str:
    """`/./` and `/../` resolved (RFC 3986, 5.2.4); doubled slashes stay."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for number, segment in enumerate(segments):
        is_last = number == len(segments) - 1
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
            continue
        if is_last:
            kept.append("")
    return "/".join(kept) if len(kept) > 1 else "/"


def path_component(path: str) -> str:
    """A decoded path as ASP.NET writes it into an address: encodings that are left in it stay, the rest is encoded."""
    parts: list[str] = []
    at = 0
    for match in PERCENT.finditer(path):
        parts += [quote(path[at : match.start()], safe=PATH_SAFE, errors="replace"), match[0]]
        at = match.end()
    return "".join([*parts, quote(path[at:], safe=PATH_SAFE, errors="replace")])


def envelope_url(url: str) -> str:
    """`Data.req.Url`: the address that the client asked for, its path decoded and written anew (protocol 2.4)."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    before_query, question, query = rest.partition("?")
    host, slash, path = before_query.partition("/")
    try:
        written = path_component(request_path(f"/{path}")) if slash else "/"
    except BadTargetError:
        written = f"/{path}"
    return f"{scheme}://{host}{written}{question}{query}"


def forwarded_path(path: str) -> str:
    """The decoded path as the handler of a forwarding app sees it: read again as a URI (protocol 3.1).

    What stands behind a decoded `?` or `#` is lost, a backslash becomes a slash, and dot segments that appear by
    that are resolved. `path` is what `request_path` gives.

    >>> forwarded_path("/api/f/a b?c"), forwarded_path("/api/x\\\\..\\\\y")
    ('/api/f/a%20b', '/api/y')
    """
    path = re.split("[?#]", path, maxsplit=1)[0]
    path = percent_decoded_unreserved(path.replace("\\", "/"))
    return _uri_escaped(without_dots(path))


def percent_decoded_unreserved(path: str) -> str:
    """System.Uri decodes encoded letters, digits and `-._~` when it reads an address."""
    return PERCENT.sub(_unreserved, path)


def _unreserved(match: re.Match[str]) -> str:
    character = chr(int(match[0][1:], 16))
    return character if re.fullmatch("[A-Za-z0-9._~-]", character) else match[0]


def _uri_escaped(path: str) -> str:
    """Escaped as by System.Uri: valid encodings stay, a lone percent sign becomes %25."""
    parts: list[str] = []
    at = 0
    for match in PERCENT.finditer(path):
        parts += [quote(path[at : match.start()], safe=PATH_SAFE + "[]", errors="replace"), match[0]]
        at = match.end()
    return "".join([*parts, quote(path[at:], safe=PATH_SAFE + "[]", errors="replace")])


# ---- queries --------------------------------------------------------------------------------------------------------


def query_pairs(query: str) -> list[tuple[str, str]]:
    """The parameters in order, decoded: `+` is a space, an empty pair is none, a key without `=` has an empty value."""
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_query_decoded(name), _query_decoded(value)))
    return pairs


def _query_decoded(text: str) -> str:
    return percent_decoded(text.replace("+", " "))


def query_values(query: str) -> dict[str, list[str]]:
    """The values of each key, keys ignoring case; one that comes twice has its second spelling."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, value in query_pairs(query):
        spelling, values = found.setdefault(name.lower(), (name, []))
        values.append(value)
        found[name.lower()] = (name if len(values) == 2 else spelling, values)
    return dict(found.values())


def joined_query(query: str) -> dict[str, str]:
    """`Data.req.Query`, and what is forwarded: repeated values joined by a comma, empty ones left out."""
    return {
        name: values[0] if len(values) == 1 else ",".join(value for value in values if value)
        for name, values in query_values(query).items()
    }


def last_query(query: str) -> dict[str, str]:
    """`Metadata.Query` and binding expressions: the last of repeated values."""
    return {name: values[-1] for name, values in query_values(query).items()}


def forwarded_query(query: str) -> str:
    """The query as it is forwarded: written anew, the comma between repeated values not encoded; empty for none."""
    return "&".join(
        f"{quote(name, safe=QUERY_SAFE, errors='replace')}={quote(value, safe=QUERY_SAFE, errors='replace')}"
        for name, value in joined_query(query).items()
    )
