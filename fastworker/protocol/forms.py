"""Form bodies: url-encoded and multipart, into fields and files.

Used by messages.py when a handler asks for `Request.form()`.
Rule: pure; raises ValueError for what is no form.
"""

import io
from collections.abc import Mapping
from email.message import Message
from typing import NamedTuple
from urllib.parse import parse_qsl

MOST_PARTS = 10_000


class File(NamedTuple):
    """An uploaded file."""

    filename: str
    content_type: str
    content: bytes


class Form(dict[str, str]):
    """The fields of a form, the last of each name; `lists` has all of them, `files` the uploads by field name."""

    def __init__(self, lists: Mapping[str, list[str]], files: Mapping[str, list[File]]) -> None:
        super().__init__({name: values[-1] for name, values in lists.items()})
        self.lists = dict(lists)
        self.files = dict(files)


def read_form(content_type: str, body: bytes) -> Form:
    """The form in `body`. Raises ValueError if the content type is no form's, or the body does not hold one."""
    kind, options = _parse_options("content-type", content_type)
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(body)
    if kind == "multipart/form-data":
        return _multipart(options.get("boundary", ""), body)
    raise ValueError(f"expected a form, got content type {content_type or 'none'!r}")


def _urlencoded(body: bytes) -> Form:
    lists: dict[str, list[str]] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        lists.setdefault(name, []).append(value)
    return Form(lists, {})


def _multipart(boundary: str, body: bytes) -> Form:
    if not boundary:
        raise ValueError("the content type multipart/form-data names no boundary")
    try:
        from multipart import MultipartParser  # noqa: PLC0415 - only who asks for such a form needs the library
    except ImportError:
        raise RuntimeError("multipart forms are read by a library: pip install 'fastworker-functions[forms]'") from None
    lists: dict[str, list[str]] = {}
    files: dict[str, list[File]] = {}
    size = len(body)
    # The body is in memory already, and so are its parts.
    parts = MultipartParser(
        io.BytesIO(body),
        boundary,
        content_length=size,
        strict=True,
        part_limit=MOST_PARTS,
        spool_limit=size,
        memory_limit=size,
    )
    for part in parts:
        if part.filename is None:
            lists.setdefault(part.name, []).append(part.value)
        else:
            kind = part.headers.get("Content-Type", "application/octet-stream")
            files.setdefault(part.name, []).append(File(part.filename, kind, part.raw))
    return Form(lists, files)


def _parse_options(header: str, value: str) -> tuple[str, dict[str, str]]:
    """`form-data; name="a"` as its first word and its options."""
    message = Message()
    message[header] = value
    pairs = message.get_params([], header) or [("", "")]
    return pairs[0][0].lower(), {name.lower(): option for name, option in pairs[1:] if isinstance(option, str)}
