"""What one log entry looks like: text for people, one line for the Functions host, JSON for machines.

Used by logs.py, which writes entries, and by whoever shows text from outside in a message (`shown`).
Rule: pure. An entry cannot be told to end early, or to look like another one, by anything that it quotes.

    text    INFO order 7b4f...: first line      control characters escaped, further lines indented by two spaces
    line    INFO order 7b4f...: first\\nsecond   one line whatever happens, because the host makes an entry of each
    json    {"time": ..., "level": "info", "event": "first\\nsecond", "function": "order", ...}
"""

import json
import logging
import re
import time
from typing import Any, Final, Literal

Format = Literal["text", "json", "line"]

LONGEST_SHOWN: Final = 200

# Control characters (C0 but tab, DEL, C1), line and paragraph separators, and what changes the direction of text.
_UNSAFE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_LINE_ENDS: Final = re.compile("\r\n|\r|\n")
_SHORT: Final = {"\n": "\\n", "\r": "\\r"}
# The host takes a line of stderr for a warning if this is anywhere in it, in any case (protocol 5.4).
_WARN: Final = re.compile("w(?=arn)", re.IGNORECASE)
_WORD_JOINER: Final = "\u2060"


def entry(form: Format, level: int, message: str, fields: dict[str, Any]) -> bytes:
    """One record, its line end included. `fields` are the record's origin: function, invocation id and the like.

    The level stands first, so that user text never does: there the host looks for `LanguageWorkerConsoleLog` and the
    like (protocol 5.4).
    """
    name = logging.getLevelName(level)
    if form == "json":
        record = {"time": _timestamp(), "level": name.lower(), "event": message, **fields}
        text = json.dumps(record, default=_readable)
        if level >= logging.ERROR:  # the same text, but no warning to the host
            text = _WARN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
        return f"{text}\n".encode()
    origin = "".join(f" {field(value)}" for value in fields.values())
    begin = f"{name}{origin}: " if origin else f"{name} "
    if form == "line":
        text = begin + escaped(message)
        if level >= logging.ERROR:
            text = _WARN.sub(rf"\g<0>{_WORD_JOINER}", text)
    elif _UNSAFE.search(message) is None:
        text = begin + message
    else:
        first, *rest = _LINE_ENDS.split(message)
        text = "\n".join([begin + escaped(first), *(f"  {escaped(line)}" for line in rest)])
    return f"{text}\n".encode("utf-8", "backslashreplace")


def escaped(text: str) -> str:
    """`text` with an escape in place of everything that could end its line or steer a terminal."""
    return text if _UNSAFE.search(text) is None else _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def field(value: Any) -> str:
    """A field's value as text without blanks of its own, or in quotes."""
    text = value if isinstance(value, str) else f"{value:.3f}" if isinstance(value, float) else _readable(value)
    if text and not any(c in text for c in ' "=') and _UNSAFE.search(text) is None:
        return text
    return escaped(json.dumps(text, ensure_ascii=False))


def shown(text: str | bytes, limit: int = LONGEST_SHOWN) -> str:
    """Text from outside (a path, a header) for a message: in quotes, escaped, and no longer than `limit`.

    >>> shown(b"/a\\x1b[2J")
    "'/a\\\\x1b[2J'"
    """
    if isinstance(text, bytes):
        text = text[: limit + 1].decode("utf-8", "backslashreplace")
    more = "..." if len(text) > limit else ""
    return escaped(repr(text[:limit])) + more


def _readable(value: Any) -> str:
    """Logging must not fail for a value that cannot be shown."""
    try:
        return str(value)
    except Exception:  # user code: a failing __str__
        return f"<{type(value).__name__} that cannot be shown>"


def _timestamp() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
