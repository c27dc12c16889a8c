"""Constraints of ASP.NET routes (`{id:int}`), and which texts .NET takes for a number, a GUID or a date.

Used by route_template.py. Rule: pure; the recordings of the host decide, and a text that is no value is not an error.
"""

import datetime
import re
import warnings
from collections.abc import Callable
from typing import Final, NamedTuple

Check = Callable[[str | None], bool]

# What .NET skips around a number: char.IsWhiteSpace is wider, NumberStyles is not.
NUMBER_BLANKS: Final = " \t\n\v\f\r"


class ConstraintError(ValueError):
    """A constraint that ASP.NET does not know or cannot make, which stops the whole host."""


class Constraint(NamedTuple):
    """`fits` says of a value (None: there is none) whether it may pass.

    `is_tame`: every value that passes consists of letters, digits and marks which mean nothing in a path, so that it
    is the same value after the host has written the path anew (see mixed_auth.py). `is_exact`: `fits` takes exactly
    what the host takes, beyond doubt. `doubt` says why it may take more.
    """

    fits: Check
    is_tame: bool = False
    is_exact: bool = False
    doubt: str = ""


def constraint(text: str) -> Constraint:
    """The constraint of `name` or `name(arguments)`. Raises ConstraintError."""
    name, arguments = text, None
    if "(" in text and text.endswith(")"):
        name, _, rest = text.partition("(")
        arguments = rest[:-1]
    kind = name.lower()
    if kind in WITHOUT:
        if arguments is not None:
            raise ConstraintError(f"the constraint {name!r} takes no arguments: write {name!r} alone, not {text!r}")
        return WITHOUT[kind]
    if kind in WITH:
        if arguments is None:
            raise ConstraintError(f"the constraint {text!r} needs its arguments in parentheses")
        return WITH[kind](text, arguments)
    known = ", ".join(sorted({*WITHOUT, *WITH} - {"exists"}))
    raise ConstraintError(f"there is no route constraint {name!r}: use one of {known}")


# ---- numbers -----------------------------------------------------------------------------------------------

WHOLE: Final = re.compile(r"[+-]?[0-9]+")
DECIMAL: Final = re.compile(r"[+-]?(?:[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)[+-]?")
FLOAT: Final = re.compile(r"[+-]?(?:[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?", re.IGNORECASE)
FLOAT_WORDS: Final = frozenset({"nan", "+nan", "-nan", "infinity", "+infinity", "-infinity"})
GREATEST_DECIMAL: Final = 79228162514264337593543950335
LONG: Final = (-(2**63), 2**63 - 1)
# A longer one is out of every range, and Python refuses to read thousands of digits.
DIGITS: Final = 400


def whole_number(text: str, low: int = LONG[0], high: int = LONG[1]) -> int | None:
    """The number that .NET's `NumberStyles.Integer` reads from a text within a range; None if there is none."""
    text = text.rstrip("\0").strip(NUMBER_BLANKS)
    if WHOLE.fullmatch(text) is None:
        return None
    digits = text.lstrip("+-").lstrip("0")
    if len(digits) > DIGITS:
        return None
    value = int(digits or "0")
    value = -value if text[0] == "-" else value
    return value if low <= value <= high else None


def _is_decimal(text: str) -> bool:
    text = text.rstrip("\0").strip(NUMBER_BLANKS)
    if DECIMAL.fullmatch(text) is None or (text[0] in "+-" and text[-1] in "+-"):
        return False
    digits = text.strip("+-").replace(",", "").partition(".")[0].lstrip("0")
    return len(digits) <= DIGITS and int(digits or "0") <= GREATEST_DECIMAL


def _is_float(text: str) -> bool:
    text = text.rstrip("\0").strip(NUMBER_BLANKS)
    return FLOAT.fullmatch(text) is not None or text.lower() in FLOAT_WORDS


# ---- dates -------------------------------------------------------------------------------------------------

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH_NAMES: Final = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
    *("november", "december"),
)
DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTH_NUMBERS: Final = {
    **{name: number for number, name in enumerate(MONTHS, 1)},
    **{name: number for number, name in enumerate(MONTH_NAMES, 1)},
}
DAY_NAMES: Final = frozenset({*DAYS, *(day[:3] for day in DAYS)})
TIME: Final = re.compile(
    r"(?:(?<![0-9.:])(?P<h>[0-9]{1,2}):(?P<m>[0-9]{1,2})(?::(?P<s>[0-9]{1,2})(?:[.,][0-9]{1,40})?)?(?![0-9:])"
    r"(?:\s*(?P<ap>am|pm|a|p)\b)?|(?<![0-9.:])(?P<h2>[0-9]{1,2})\s*(?P<ap2>am|pm)\b)"
    r"(?:\s*(?:z|gmt|[+-][0-9]{1,2}(?::?[0-9]{2})?)(?![0-9a-z]))?",
    re.IGNORECASE,
)
DATE_WORD: Final = re.compile(r"[0-9]+|[a-z]+|[-/.,\s]+", re.IGNORECASE)
LONGEST_DATE: Final = 100


def is_date(text: str) -> bool:
    """Whether .NET's `DateTime.TryParse` reads a date, a time or both from a text, by the invariant culture."""
    text = text.strip().strip("#").rstrip("\0")
    if not text or len(text) > LONGEST_DATE:
        return False
    time = TIME.search(text)
    if time is not None:
        if not _is_time(time):
            return False
        before, after = text[: time.start()], text[time.end() :]
        if before[-1:] in ("T", "t") and before[:-1][-1:].isdigit():
            before = before[:-1]
        if before.strip() and after.strip():
            return False
        text = before.strip() or after.strip()
        if not text:
            return True
    return _is_day(text)


def _is_time(time: re.Match[str]) -> bool:
    hour, half = int(time["h"] or time["h2"]), time["ap"] or time["ap2"]
    in_day = 0 <= hour <= 12 if half else hour <= 23
    return in_day and int(time["m"] or 0) <= 59 and int(time["s"] or 0) <= 59


def _is_day(text: str) -> bool:
    numbers: list[str] = []
    month = 0
    month_at = 0
    position = 0
    for word in DATE_WORD.finditer(text):
        if word.start() != position:
            return False
        position = word.end()
        piece = word[0].lower()
        if piece[0].isascii() and piece[0].isdigit():
            numbers.append(piece)
        elif piece.isalpha():
            if piece in MONTH_NUMBERS and not month:
                month, month_at = MONTH_NUMBERS[piece], len(numbers)
            elif piece not in DAY_NAMES:
                return False
        elif len(piece.strip()) > 1:
            return False
    if position != len(text) or any(len(number) > 4 for number in numbers):
        return False
    return _is_in_calendar(numbers, month, month_at)


def _is_in_calendar(numbers: list[str], month: int, month_at: int) -> bool:
    years = [index for index, number in enumerate(numbers) if len(number) >= 3]
    if len(years) > 1:
        return False
    values = [int(number) for number in numbers]
    if month:
        if len(values) == 1:
            return bool(years) or _exists(2000, month, values[0]) or values[0] > 31
        if len(values) != 2:
            return False
        year = years[0] if years else (1 if month_at < 2 else 0)
        return _exists(values[year], month, values[1 - year])
    if len(values) == 3:
        if years == [1]:
            return False
        year_first = years == [0]
        year, first, second = (values[0], values[1], values[2]) if year_first else (values[2], values[0], values[1])
        return _exists(year, first, second)
    if len(values) == 2:
        if years:
            return _exists(values[years[0]], values[1 - years[0]], 1)
        return _exists(2000, values[0], values[1])
    return False


def _exists(year: int, month: int, day: int) -> bool:
    try:
        datetime.date(year if year > 99 else 2000 + year, month, day)
    except ValueError:
        return False
    return True


# ---- the others --------------------------------------------------------------------------------------------

GUID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|"
    r"\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}|\([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\)|"
    r"\{0x[0-9a-f]{1,8},0x[0-9a-f]{1,4},0x[0-9a-f]{1,4},\{(?:0x[0-9a-f]{1,2},){7}0x[0-9a-f]{1,2}\}\}",
    re.IGNORECASE,
)
ALPHA: Final = re.compile("^[a-zA-Z\u212a]*$")  # the Kelvin sign is a K, ignoring case; $ takes a newline at the end


def _is_file(value: str | None) -> bool:
    """A dot in the last segment, and behind it something that is no dot."""
    name = (value or "").rpartition("/")[2]
    _, dot, rest = name.partition(".")
    return bool(dot) and rest.strip(".") != ""


def _utf16(value: str) -> int:
    return len(value) + sum(1 for character in value if character > "\uffff")


def _of(check: Callable[[str], bool]) -> Check:
    return lambda value: value is not None and check(value)


def _numbers(text: str, arguments: str, *, wide: bool = False) -> list[int]:
    low, high = LONG if wide else (-(2**31), 2**31 - 1)
    numbers = [whole_number(part, low, high) for part in arguments.split(",")]
    found = [number for number in numbers if number is not None]
    if len(found) != len(numbers):
        raise ConstraintError(f"the constraint {text!r} has the wrong arguments: whole numbers belong there")
    return found


def _length(text: str, arguments: str) -> Constraint:
    numbers = _numbers(text, arguments)
    if len(numbers) > 2 or numbers[0] < 0 or numbers[0] > numbers[-1]:
        raise ConstraintError(f"the constraint {text!r} has the wrong arguments: a length, or the least and the most")
    return Constraint(_of(lambda value: numbers[0] <= _utf16(value) <= numbers[-1]))


def _one_length(text: str, arguments: str) -> Constraint:
    numbers = _numbers(text, arguments)
    if len(numbers) != 1 or numbers[0] < 0:
        raise ConstraintError(f"the constraint {text!r} has the wrong arguments: one whole number from 0 belongs there")
    if text.lower().startswith("min"):
        return Constraint(_of(lambda value: _utf16(value) >= numbers[0]))
    return Constraint(_of(lambda value: _utf16(value) <= numbers[0]))


def _bounds(text: str, arguments: str) -> Constraint:
    numbers = _numbers(text, arguments, wide=True)
    kind = text.lower()
    if len(numbers) != (2 if kind.startswith("range") else 1) or numbers[0] > numbers[-1]:
        raise ConstraintError(f"the constraint {text!r} has the wrong arguments")
    low = LONG[0] if kind.startswith("max") else numbers[0]
    high = LONG[1] if kind.startswith("min") else numbers[-1]
    return Constraint(_of(lambda value: whole_number(value, low, high) is not None), is_tame=True, is_exact=True)


# .NET's regular expressions that Python's lack; the host takes them.
DOTNET_ONLY: Final = re.compile(r"\\[pPGk]|\(\?'|\(\?<[^=!]|-\[|\(\?[imnsx-]*n|\\c[A-Z]|\(\?\(|\\e")


def _regex(_: str, pattern: str) -> Constraint:
    spelt = re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", pattern).replace(r"\Z", r"(?=\n?\Z)").replace(r"\z", r"\Z")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `[[a-z]]` is a set and a bracket here as there
            found = re.compile(spelt, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as exc:
        if DOTNET_ONLY.search(pattern):
            return Constraint(
                _of(lambda _: True),
                doubt=f"the pattern {pattern!r} is .NET's, and Python cannot read it ({exc}): every value passes here",
            )
        raise ConstraintError(f"the pattern {pattern!r} cannot be read: {exc}") from None
    return Constraint(_of(lambda value: found.search(value) is not None))


WITHOUT: Final[dict[str, Constraint]] = {
    "int": Constraint(_of(lambda v: whole_number(v, -(2**31), 2**31 - 1) is not None), is_tame=True, is_exact=True),
    "long": Constraint(_of(lambda v: whole_number(v) is not None), is_tame=True, is_exact=True),
    "decimal": Constraint(_of(_is_decimal), is_tame=True),
    "float": Constraint(_of(_is_float), is_tame=True),
    "double": Constraint(_of(_is_float), is_tame=True),
    "bool": Constraint(_of(lambda v: v.strip(" \t\n\v\f\r\0\u00a0").lower() in ("true", "false")), is_tame=True),
    "guid": Constraint(_of(lambda v: GUID.fullmatch(v.strip()) is not None), is_tame=True),
    "alpha": Constraint(_of(lambda v: ALPHA.match(v) is not None), is_tame=True),
    "datetime": Constraint(_of(is_date)),
    "required": Constraint(_of(lambda v: v != "")),
    "file": Constraint(_is_file),
    "nonfile": Constraint(lambda v: not _is_file(v)),
    "exists": Constraint(lambda _: False),  # asks for controllers of MVC, which the host has none of
}
WITH: Final[dict[str, Callable[[str, str], Constraint]]] = {
    "regex": _regex,
    "length": _length,
    "minlength": _one_length,
    "maxlength": _one_length,
    "min": _bounds,
    "max": _bounds,
    "range": _bounds,
}
