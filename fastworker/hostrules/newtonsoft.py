"""JSON as Newtonsoft reads it, for everything that the Functions host reads: files, bodies, answers (protocol 4.1).

More lenient than the standard: comments, trailing commas, single quotes, bare names, `undefined`, NaN, hexadecimal and
octal numbers, raw control characters in strings. Rule: what is accepted and what is refused is Newtonsoft's
JsonTextReader to the letter; every refusal names line, column and path.
"""

import codecs
import json
import re
from collections.abc import Callable
from typing import Any, Final

CONFIG_DEPTH: Final = 64
ANSWER_DEPTH: Final = 256  # of ASP.NET's formatter, which reads the handler's answers

# .NET's Char.IsWhiteSpace, and NUL, which the reader skips like white space between tokens.
SPACE: Final = "\\0\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
BLANKS: Final = "".join(chr(code) for code in range(0x3001) if re.match(f"[{SPACE}]", chr(code)) and code)
SKIPPED: Final = re.compile(f"[{SPACE}]*")
PLAIN: Final = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
BARE_NAME: Final = re.compile(r"[\w$]+")
NUMBER: Final = re.compile(r"[-+0-9a-fA-FxX.]+")
FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
ENDS_A_WORD: Final = re.compile(f"[{SPACE},}}\\])/]|$")
ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
WORDS: Final[dict[str, Any]] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}
MAX_INTEGER_CHARACTERS: Final = 380
# What Python's strict and fast reader would take otherwise than Newtonsoft.
NEEDS_CARE: Final = re.compile(r"\\u[dD][89a-fA-F]|[0-9]{300}|[\ud800-\udfff]")

Path = tuple[str | int, ...]
Place = tuple[int, int]


class JsonError(ValueError):
    """Newtonsoft would refuse the text. `line` and `column` count from 1; `path` is like `bindings[0].name`."""

    def __init__(self, message: str, line: int, column: int, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.path = path

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}"
        return f"{self.message} ({where})" if not self.path else f"{self.message} (in {self.path!r}, {where})"


class EmptyJsonError(JsonError):
    """The text holds no value at all: it is empty, blank, or all comments."""


def read_json(
    text: str,
    *,
    max_depth: int = CONFIG_DEPTH,
    trailing: bool = False,
    string: Callable[[str], Any] | None = None,
    places: dict[Path, Place] | None = None,
) -> Any:
    """The value of a JSON text. `undefined` becomes None; of doubled members the last counts, in the first one's place.

    With `trailing` text behind the value is ignored, as by the host's formatters; else it is refused, as in
    host.json. `string` is applied to every string that is a value (not to names). `places` is filled with the line
    and column of every member (where its name begins) and element, by path. Raises JsonError.

    >>> read_json("{a: 'x', /* why */ b: [1, 0x10, .5,],}")
    {'a': 'x', 'b': [1, 16, 0.5]}
    """
    if places is None and not NEEDS_CARE.search(text):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            pass  # perhaps wrong, perhaps only unusual: the real reader decides
        else:
            if _depth_within(found, max_depth):
                return found if string is None else _with_strings(found, string)
    return _Reader(text, max_depth, string, places).read(trailing)


def looks_like_json(text: str) -> bool:
    """By its first and last character, as the host decides whether to parse a message or the text of an output.

    >>> looks_like_json(' {bad} '), looks_like_json('/* c */ {"a": 1}')
    (True, False)
    """
    packed = text.strip(BLANKS)
    return packed[:1] + packed[-1:] in ("{}", "[]")


def decode(data: bytes, *, errors: str = "replace") -> str:
    """Bytes as .NET's StreamReader decodes them: by byte order mark (UTF-8, 16, 32), else as UTF-8."""
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors)
    return data.decode("utf-8", errors)


def _depth_within(value: Any, levels: int) -> bool:
    level = [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        if levels == 0:
            return False
        levels -= 1
        level = [member for item in level for member in (item.values() if isinstance(item, dict) else item)]
    return True


def _with_strings(value: Any, string: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return string(value)
    if isinstance(value, list):
        return [_with_strings(item, string) for item in value]
    if isinstance(value, dict):
        return {name: _with_strings(item, string) for name, item in value.items()}
    return value


class _Reader:
    """One pass over a text. `_at` is the position of the next character."""

    def __init__(
        self, text: str, max_depth: int, string: Callable[[str], Any] | None, places: dict[Path, Place] | None
    ) -> None:
        self._text = text
        self._at = 0
        self._max_depth = max_depth
        self._string = string
        self._places = places
        self._path: list[str | int] = []

    def read(self, trailing: bool) -> Any:
        self._skip()
        if self._at == len(self._text):
            line, column = self._place(self._at)
            raise EmptyJsonError("there is no JSON value in it", line, column)
        value = self._value()
        if not trailing:
            self._skip()
            if self._at < len(self._text):
                raise self._wrong(f"there is more text after the JSON value: {self._next()!r}")
        return value

    # ---- places and errors ------------------------------------------------------------------------------------------

    def _place(self, at: int) -> Place:
        # A line ends with LF, CR or both, as in Newtonsoft's count.
        before = self._text[:at].replace("\r\n", " \n").replace("\r", "\n")
        return before.count("\n") + 1, at - (before.rfind("\n") + 1 if "\n" in before else 0) + 1

    def _note(self, at: int) -> None:
        if self._places is not None:
            self._places[tuple(self._path)] = self._place(at)

    def _wrong(self, message: str, at: int | None = None) -> JsonError:
        line, column = self._place(self._at if at is None else at)
        path = ""
        for key in self._path:
            path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else key
        return JsonError(message, line, column, path)

    def _next(self) -> str:
        if self._at == len(self._text):
            raise self._wrong("the text ends in the middle of the JSON value")
        return self._text[self._at]

    # ---- tokens -----------------------------------------------------------------------------------------------------

    def _skip(self) -> None:
        """White space and comments."""
        while True:
            self._blanks()
            if self._text[self._at : self._at + 1] != "/":
                return
            self._comment()

    def _blanks(self) -> None:
        match = SKIPPED.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _comment(self) -> None:
        start = self._at
        kind = self._text[start + 1 : start + 2]
        if kind == "*":
            end = self._text.find("*/", start + 2)
            if end < 0:
                raise self._wrong("a comment is not closed: */ is missing")
            self._at = end + 2
        elif kind == "/":
            match = re.compile(r"[^\r\n]*").match(self._text, start)
            self._at = match.end() if match else len(self._text)
        else:
            raise self._wrong("a comment begins with /* or //, not with a single /")

    def _value(self) -> Any:
        """The value that begins at the next character; white space and comments are behind us."""
        character = self._next()
        if character in "\"'":
            text = self._quoted()
            return text if self._string is None else self._string(text)
        if character in "{[":
            if len(self._path) >= self._max_depth:
                raise self._wrong(f"it is nested more than {self._max_depth} levels deep")
            return self._object() if character == "{" else self._array()
        if character in ",":
            return None  # a hole between commas is `undefined`; whoever comes next takes the comma
        for word, value in WORDS.items():
            if self._text.startswith(word, self._at):
                end = self._at + len(word)
                if not ENDS_A_WORD.match(self._text, end):
                    raise self._wrong(f"{self._text[self._at : end + 1]!r} is no JSON value; did you mean {word}?")
                self._at = end
                return value
        if character.isnumeric() or character in "-.":
            return self._number()
        raise self._wrong(f"{character!r} cannot begin a JSON value")

    def _number(self) -> int | float:
        start = self._at
        match = NUMBER.match(self._text, start)
        text = match[0] if match else ""
        end = start + len(text)
        if not ENDS_A_WORD.match(self._text, end):
            raise self._wrong(f"{self._text[end]!r} does not belong in a number", end)
        self._at = end
        number = _number(text)
        if number is None:
            raise self._wrong(f"{text or self._text[start]!r} is no number", start)
        return number

    def _quoted(self) -> str:
        start = self._at
        quote = self._text[start]
        parts: list[str] = []
        self._at += 1
        while True:
            match = PLAIN[quote].match(self._text, self._at)
            parts.append(match[0] if match else "")
            self._at += len(parts[-1])
            if self._at == len(self._text):
                raise self._wrong(f"a string is not closed: {quote} is missing", start)
            if self._text[self._at] == quote:
                self._at += 1
                return _paired("".join(parts))
            parts.append(self._escape())

    def _escape(self) -> str:
        code = self._text[self._at + 1 : self._at + 2]
        if code in ESCAPES:
            self._at += 2
            return ESCAPES[code]
        digits = self._text[self._at + 2 : self._at + 6]
        if code != "u" or not re.fullmatch("[0-9a-fA-F]{4}", digits):
            raise self._wrong(
                f"\\{code}{digits if code == 'u' else ''} is no escape of JSON; a backslash itself is \\\\"
            )
        self._at += 6
        return chr(int(digits, 16))

    # ---- objects and arrays -----------------------------------------------------------------------------------------

    def _object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._at += 1
        while True:
            self._skip()
            if self._next() == "}":
                self._at += 1
                return found
            start = self._at
            name = self._name()
            self._path.append(name)
            self._note(start)
            self._blanks()
            if self._next() != ":":
                raise self._wrong(f"a colon is missing after the name {name!r}, before {self._next()!r}")
            self._at += 1
            self._skip()
            self._next()
            found[name] = self._value()
            self._end_of_element("}")
            self._path.pop()

    def _name(self) -> str:
        if self._next() in "\"'":
            return self._quoted()
        match = BARE_NAME.match(self._text, self._at)
        if match is None:
            raise self._wrong(f"a member's name is missing before {self._next()!r}")
        self._at = match.end()
        return match[0]

    def _array(self) -> list[Any]:
        found: list[Any] = []
        self._at += 1
        while True:
            self._skip()
            if self._next() == "]":
                self._at += 1
                return found
            self._path.append(len(found))
            self._note(self._at)
            found.append(self._value())
            self._end_of_element("]")
            self._path.pop()

    def _end_of_element(self, closing: str) -> None:
        """A comma is taken; the closing bracket is left."""
        self._skip()
        character = self._next()
        if character == ",":
            self._at += 1
        elif character != closing:
            raise self._wrong(f"a comma or {closing} is missing before {character!r}")


def _number(text: str) -> int | float | None:
    if text[:1] == "0" and len(text) > 1 and text[1] not in ".eE":
        base = 16 if text[1] in "xX" else 8
        digits = text[2:] if base == 16 else text
        if not re.fullmatch("[0-9a-fA-F]+" if base == 16 else "[0-7]+", digits):
            return None
        number = int(digits, base)
        return number - 2**64 if 2**63 <= number < 2**64 else number if number < 2**63 else None
    if re.fullmatch("-?[0-9]+", text):
        return int(text) if len(text) <= MAX_INTEGER_CHARACTERS else None
    return float(text) if FLOAT.fullmatch(text) else None


def _paired(text: str) -> str:
    """Surrogates that came as escapes are joined; lone ones become U+FFFD, as in Newtonsoft."""
    if not NEEDS_CARE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
