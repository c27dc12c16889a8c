"""JSON as Newtonsoft reads it: what the real host took and refused, in host.json, function.json, bodies and answers."""

import json
import math
from typing import Any

import pytest

from fastworker.hostrules.newtonsoft import ANSWER_DEPTH, EmptyJsonError, JsonError, decode, read_json

# Recordings: E-syn-*, E-fsyn-*, A-163-a-lenient, a-ctrl, a-nul, A-015-post-json-lenient, B-015, B-122, B-125, B-131.
TAKEN = [
    ('/* a */ {"a": 1, /* b */ "b": 2} // end', {"a": 1, "b": 2}),
    ('{"a": [1,],}', {"a": [1]}),
    ('{"a": 1, // last\n}', {"a": 1}),
    ("{'a': 'x\"y'}", {"a": 'x"y'}),
    ("{a: 1, $b_2: 2, \xe9: 3}", {"a": 1, "$b_2": 2, "\xe9": 3}),
    ('{"a": 1, "b": 0, "a": 2}', {"a": 2, "b": 0}),
    ('{"a": undefined, "b": NaN}', {"a": None, "b": math.nan}),
    ("[Infinity, -Infinity, 1e400, -0.0]", [math.inf, -math.inf, math.inf, -0.0]),
    ("[0xC9, 0x10, 017, .5, 1., -01]", [201, 16, 15, 0.5, 1.0, -1]),
    ('"a\tb\nc\x01"', "a\tb\nc\x01"),
    ('\0{\0"a"\0:\x001}\0', {"a": 1}),
    ("\x85\u2028{}\xa0", {}),
    ("[1,,2]", [1, None, 2]),
    ("[,]", [None]),
    ('{"a":,"b":1}', {"a": None, "b": 1}),
    ('"\\u0041\\/\\\'\\b"', "A/'\b"),
    ('"\\ud83d\\ude00 \\ud83d \\ude00"', "\U0001f600 \ufffd \ufffd"),
    ("12345678901234567890123", 12345678901234567890123),
    ("null", None),
]
REFUSED = [
    ('{"version": "2.0",, "x": 1}', (1, 19), "", "name is missing before ','"),
    ('{"a": 1} x', (1, 10), "", "more text after"),
    ('{"version": "2.0", "x": "a\\q"}', (1, 27), "x", "no escape"),
    ('{"a": "\\u12g4"}', (1, 8), "a", "no escape"),
    ('{"a": [{}\n {}]}', (2, 2), "a[0]", "comma or ] is missing before '{'"),
    ('{"a": 1\n "b": 2}', (2, 2), "a", "comma or } is missing"),
    ("+1", (1, 1), "", "cannot begin"),
    ("hello", (1, 1), "", "cannot begin"),
    ("{a 1}", (1, 4), "a", "colon is missing"),
    ('{"a" /* c */: 1}', (1, 6), "a", "colon is missing"),
    ("{a: truex}", (1, 5), "a", "did you mean true?"),
    ("[08]", (1, 2), "[0]", "no number"),
    ("[0x]", (1, 2), "[0]", "no number"),
    ("[1g]", (1, 3), "[0]", "does not belong in a number"),
    ("[-]", (1, 2), "[0]", "no number"),
    ("1" * 381, (1, 1), "", "no number"),
    ('{"a": "x', (1, 7), "a", "not closed"),
    ('{"a": 1', (1, 8), "a", "ends in the middle"),
    ("{} /* x", (1, 4), "", "not closed"),
    ("{} / x", (1, 4), "", "begins with"),
    ("\r\n\r{\n@}", (4, 1), "", "name is missing"),
]


def same(one, other):
    """Equal, NaN included, and of the same types."""
    return repr(one) == repr(other)


@pytest.mark.parametrize(("text", "value"), TAKEN)
def test_what_newtonsoft_takes_is_taken(text, value):
    """The same value, whether or not places are asked for (which rules out the fast way)."""
    assert same(read_json(text), value)
    assert same(read_json(text, places={}), value)


@pytest.mark.parametrize(("text", "place", "path", "words"), REFUSED)
def test_what_newtonsoft_refuses_is_refused_with_its_place(text, place, path, words):
    """Line, column and path name the spot."""
    with pytest.raises(JsonError) as info:
        read_json(text)
    assert ((info.value.line, info.value.column), info.value.path) == (place, path)
    assert words in info.value.message
    assert f"line {place[0]}, column {place[1]}" in str(info.value)


@pytest.mark.parametrize("text", ["", " \r\n\t", "\0", "// only a comment", "/* one */ // two\n"])
def test_a_text_without_a_value_is_an_error_of_its_own(text):
    """The host hangs on such an answer, and refuses such a file."""
    with pytest.raises(EmptyJsonError):
        read_json(text)


def test_text_behind_the_value_is_ignored_by_the_formatters_only():
    """A-161-a-trailing, A-162-a-two; E-027-syn-trailing-text is refused."""
    assert read_json('{"a": 1} zzz', trailing=True) == {"a": 1}
    assert read_json('{"a": 1}{"a": 2}', trailing=True) == {"a": 1}


@pytest.mark.parametrize("depth", [64, ANSWER_DEPTH])
@pytest.mark.parametrize("places", [None, {}])
def test_one_level_too_many_is_refused(depth, places):
    """64 levels pass and 65 do not (E-033-syn-deep); text within strings does not count."""
    whole = "[" * depth + '"[[["' + "]" * depth
    assert read_json(whole, max_depth=depth, places=places) is not None
    with pytest.raises(JsonError, match=f"more than {depth} levels"):
        read_json(f"[{whole}]", max_depth=depth, places=places)


def test_places_are_told_by_path():
    """A member's place is where its name begins."""
    places: dict[Any, Any] = {}
    read_json('{\n  "a": 1, // x\n  b: [10,\n\t{c: 2}]\n}', places=places)
    assert places == {
        ("a",): (2, 3),
        ("b",): (3, 3),
        ("b", 0): (3, 7),
        ("b", 1): (4, 2),
        ("b", 1, "c"): (4, 3),
    }


@pytest.mark.parametrize("places", [None, {}])
def test_the_hook_gets_values_and_no_names(places):
    """Both ways of reading apply it alike."""
    assert read_json('{"a": ["b", {"c": "d"}], "e": 1}', string=str.upper, places=places) == {
        "a": ["B", {"c": "D"}],
        "e": 1,
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_bytes_are_decoded_by_their_mark(encoding):
    """E-007-syn-bom, E-009-syn-utf16be, A-post-bom, b2-utf16be: the mark is removed."""
    assert decode("h\xe9\U0001f600".encode(encoding)) == "h\xe9\U0001f600"
    assert decode(b"\xfe\xff\0h\0i") == "hi"


def test_bytes_that_are_no_utf_8_become_replacement_characters():
    """E-010-syn-latin1: such a file loads."""
    assert read_json(decode(b'{"x": "caf\xe9"}')) == {"x": "caf\ufffd"}


def test_strict_json_is_read_as_everybody_reads_it():
    """Both ways agree with Python's reader where nothing is unusual."""
    document = {"a": [1, -2.5, 1e20, "\u20ac\u2028", True, None, {}], "": {"b": []}}
    for text in (json.dumps(document), json.dumps(document, indent=2, ensure_ascii=False)):
        assert read_json(text) == document == read_json(text, places={})
