"""Form bodies: url-encoded and multipart, into fields and files.

Used by messages.py when a handler asks for `Request.form()`.
Rule: pure; raises ValueError for what is no form.
"""

from collections.abc import Mapping
from email.message import Message
from typing import NamedTuple
from urllib.parse import parse_qsl


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
    lists: dict[str, list[str]] = {}
    files: dict[str, list[File]] = {}
    delimiter = b"\r\n--" + boundary.encode()
    # A leading line break makes the first delimiter look like the others (RFC 2046).
    _, *parts = (b"\r\n" + body).split(delimiter)
    if not parts or not parts[-1].startswith(b"--"):
        raise ValueError("the multipart body does not end with its boundary")
    for part in parts[:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        if not separator:
            raise ValueError("a part of the multipart body has no end of headers")
        fields = dict(_header(line) for line in head.decode().split("\r\n") if line)
        _, options = _parse_options("content-disposition", fields.get("content-disposition", ""))
        if "name" not in options:
            raise ValueError("a part of the multipart body has no name")
        if "filename" in options:
            kind = fields.get("content-type", "application/octet-stream")
            files.setdefault(options["name"], []).append(File(options["filename"], kind, content))
        else:
            lists.setdefault(options["name"], []).append(content.decode())
    return Form(lists, files)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _parse_options(header: str, value: str) -> tuple[str, dict[str, str]]:
    """`form-data; name="a"` as its first word and its options."""
    message = Message()
    message[header] = value
    pairs = message.get_params([], header) or [("", "")]
    return pairs[0][0].lower(), {name.lower(): option for name, option in pairs[1:] if isinstance(option, str)}
