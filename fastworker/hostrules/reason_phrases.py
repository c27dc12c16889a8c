"""The reason phrase that Kestrel writes behind a status, where nobody gives another (protocol 6.1).

Used by the local host's web server. Rule: pure; ASP.NET's own list, which is not Python's, and the same under each
version of it.
"""

from http import HTTPStatus
from typing import Final

# Where ASP.NET's phrase is another than that of some Python, or Python has none (A-s-418 and D-115 for the teapot).
OTHERS: Final = {
    306: "Switch Proxy",
    413: "Payload Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    418: "I'm a teapot",
    419: "Authentication Timeout",
    422: "Unprocessable Entity",
    499: "Client Closed Request",
}
UNKNOWN: Final = (103, 425)
PHRASES: Final = {
    status: phrase
    for status, phrase in ({status.value: status.phrase for status in HTTPStatus} | OTHERS).items()
    if status not in UNKNOWN
}


def reason_phrase(status: int) -> str:
    """Empty for a status that is in no list.

    >>> reason_phrase(418), reason_phrase(299)
    ("I'm a teapot", '')
    """
    return PHRASES.get(status, "")
