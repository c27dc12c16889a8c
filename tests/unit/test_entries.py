"""One entry cannot be split, disguised or misread, whatever it quotes."""

import json
import logging

import pytest

from fastworker.entries import LONGEST_SHOWN, entry, field, shown

HOSTILE = [
    "two\nlines",
    "carriage\rreturn",
    "cr\r\nlf",
    "\x1b[31mred\x1b[0m",
    "bell\x07 nul\x00 del\x7f",
    "\x85next \u2028line \u2029paragraph",
    "\u202eright to left",
    "LanguageWorkerConsoleLog x\nLanguageWorkerConsoleLog y",
    "\ud800 alone",
    "",
]


@pytest.mark.parametrize("form", ["line", "json"])
@pytest.mark.parametrize("message", HOSTILE)
def test_an_entry_is_one_line(form, message):
    """And so is each field."""
    data = entry(form, logging.ERROR, message, {"function": message, "invocationId": message})
    text = data.decode()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert text[:-1].isprintable() or "\u2060" in text


@pytest.mark.parametrize("message", HOSTILE)
def test_text_escapes_what_steers_a_terminal(message):
    """A traceback keeps its lines, indented; no line begins with what it quotes."""
    lines = entry("text", logging.INFO, message, {}).decode().split("\n")
    assert lines.pop() == ""
    assert lines[0].startswith("INFO ")
    assert all(line.startswith("  ") for line in lines[1:])
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("form", ["line", "json"])
@pytest.mark.parametrize("word", ["warn", "Warning", "warnings.warn(x)", "\\warn", '"WARN'])
def test_only_warnings_hold_the_word_that_makes_them_warnings(form, word):
    """Protocol 5.4: `warn` anywhere in a line of stderr makes it a warning."""
    told = entry(form, logging.ERROR, word, {"function": word}).decode()
    assert "warn" not in told.lower()
    if form == "json":
        record = json.loads(told)
        assert (record["event"], record["function"]) == (word, word)
    else:
        assert word in told.replace("\u2060", "")
    for level in (logging.WARNING, logging.WARNING + 1):
        assert form == "json" or level > logging.WARNING or "warn" in entry(form, level, "x", {}).decode().lower()


def test_a_field_that_cannot_be_shown_costs_no_entry():
    """User code: a failing __str__."""

    class Broken:
        def __str__(self):
            raise ValueError

    assert "Broken" in field(Broken())
    assert b"Broken" in entry("json", logging.INFO, "x", {"value": Broken()})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"/plain", "'/plain'"),
        (b"/\xff\x1b", r"'/\\xff\x1b'"),
        ("é\u202e", r"'é\u202e'"),
        ("x" * (LONGEST_SHOWN + 1), f"'{'x' * LONGEST_SHOWN}'..."),
    ],
)
def test_text_from_outside_is_quoted_and_shortened(text, expected):
    """For messages that name a path."""
    assert shown(text) == expected
