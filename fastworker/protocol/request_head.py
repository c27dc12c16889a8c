"""What a request's head may say (RFC 9112), and where fastworker is stricter than its parser.

Used by http1.py, for what llhttp lets through. Rule: pure; a refusal is raised with the status that answers it.
"""

import re
from typing import Final, NoReturn

# The headers that mean something here.
HOST, INVOCATION_ID, TRANSFER_ENCODING, CONTENT_LENGTH, TRACEPARENT, EXPECT = range(6)
_NAMES: Final = {
    b"Host": HOST,
    b"X-Azure-Functions-InvocationId": INVOCATION_ID,
    b"Transfer-Encoding": TRANSFER_ENCODING,
    b"Content-Length": CONTENT_LENGTH,
    b"traceparent": TRACEPARENT,
    b"Expect": EXPECT,
}
# In the host's spelling and in lower case; other spellings are found by their length first, which spares most
# headers the conversion.
TELLING: Final = {**_NAMES, **{name.lower(): kind for name, kind in _NAMES.items()}}
TELLING_LENGTHS: Final = frozenset(map(len, _NAMES))

LINE_END: Final = b" HTTP/1.1\r\n"
SLASH, HASH = b"/#"
# RFC 9110, 7.2 and RFC 3986, 3.2: a name or address and a port, and no user. Empty where a target has no authority.
HOST_VALUE: Final = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+;=%]*|\[[0-9A-Za-z:.%]+\])(?::[0-9]*)?")
# What llhttp takes for one.
PROTOCOL: Final = re.compile(rb" (?:HTTP|RTSP|ICE)/")
ABSOLUTE_FORM: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://[^/?]+(.*)", re.DOTALL)


class RefusedError(Exception):
    """Leaves the parser from inside one of its callbacks."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)


def why(error: BaseException) -> tuple[int, str]:
    """Status and reason of what the parser makes of an error in a callback.

    A function of its own: a frame that kept the error would be held by its traceback, and hold what was read.
    """
    refused = error.__context__
    return (refused.status, refused.detail) if isinstance(refused, RefusedError) else (400, "not HTTP/1.1")


def check_version(version: str) -> None:
    """Of those that llhttp takes, two are HTTP as it is spoken here."""
    if version not in ("1.0", "1.1"):
        raise RefusedError(505, f"HTTP/{version} is not served here, HTTP/1.1 is")


def refuse_line() -> NoReturn:
    form = "METHOD, TARGET and HTTP/1.1 with single blanks between them"
    raise RefusedError(400, f"not HTTP/1.1: the first line is {form}")


def path_of(method: bytes, target: bytes) -> bytes:
    """The target of a request as a path, if it is none already: an absolute one has one (RFC 9112, 3.2.2)."""
    absolute = None if HASH in target else ABSOLUTE_FORM.fullmatch(target)
    if absolute is not None:
        path = absolute[1]
        return path if path.startswith(b"/") else b"/" + path
    if method != b"CONNECT" and (target, method) != (b"*", b"OPTIONS"):
        raise RefusedError(400, "not HTTP/1.1: the target is no path")
    return target


def check_host(value: bytes) -> None:
    if HOST_VALUE.fullmatch(value) is None:
        raise RefusedError(400, "the Host header is no host")


def check_host_count(hosts: int, minor: int) -> None:
    """One, or none in HTTP/1.0 (RFC 9112, 3.2)."""
    if hosts > 1 or (minor and not hosts):
        raise RefusedError(400, f"{hosts or 'no'} Host headers: a request has one")


def check_coding(value: bytes, minor: int) -> None:
    """Chunked is the only transfer coding that is known here, and HTTP/1.0 knows none (RFC 9112, 6.1)."""
    if not minor:
        raise RefusedError(400, "HTTP/1.0 knows no Transfer-Encoding")
    if value.strip(b" \t").lower() != b"chunked":
        raise RefusedError(501, "a Transfer-Encoding other than chunked is not served here")
