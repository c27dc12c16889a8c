"""How .NET reads and writes dates, numbers, JSON and base64: the recordings of host 4.1037, by kind."""

import math
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from fastworker.hostrules.dotnet_values import (
    depth_of,
    float_text,
    from_base64,
    json_scalar,
    parse_date,
    read_values,
    to_text,
    wire,
    write_json,
)

# A-post-dates, A-b2-dates2, A-date-*, A-b-objnums: the text, as ToString writes it, and within JSON.
DATES = [
    ("2020-01-02T03:04:05Z", "01/02/2020 03:04:05", "2020-01-02T03:04:05Z"),
    ("2020-01-02T03:04:05z", "01/02/2020 03:04:05", "2020-01-02T03:04:05Z"),
    ("2020-01-02T03:04:05", "01/02/2020 03:04:05", "2020-01-02T03:04:05"),
    ("2020-01-02T03:04:05.1234567Z", "01/02/2020 03:04:05", "2020-01-02T03:04:05.1234567Z"),
    ("2020-01-02T03:04:05.100", "01/02/2020 03:04:05", "2020-01-02T03:04:05.1"),
    ("2020-01-02T03:04:05.5+05:30", "01/01/2020 21:34:05", "2020-01-01T21:34:05.5+00:00"),
    ("2020-01-02T03:04:05+02", "01/02/2020 01:04:05", "2020-01-02T01:04:05+00:00"),
    ("2020-01-02T03:04:05+0200", "01/02/2020 01:04:05", "2020-01-02T01:04:05+00:00"),
    ("2020-01-02T03:04:05-08:00", "01/02/2020 11:04:05", "2020-01-02T11:04:05+00:00"),
    ("2020-01-02T03:04:05+15:00", "01/01/2020 12:04:05", "2020-01-01T12:04:05+00:00"),
    ("2020-01-02T24:00:00Z", "01/03/2020 00:00:00", "2020-01-03T00:00:00Z"),
    ("0001-01-01T00:00:00", "01/01/0001 00:00:00", "0001-01-01T00:00:00"),
    ("9999-12-31T23:59:59-05:00", "12/31/9999 23:59:59", "9999-12-31T23:59:59.9999999+00:00"),
    ("0001-01-01T00:00:00+05:00", "01/01/0001 00:00:00", "0001-01-01T00:00:00+00:00"),
    ("/Date(1234567890000)/", "02/13/2009 23:31:30", "2009-02-13T23:31:30Z"),
    ("/Date(-1)/", "12/31/1969 23:59:59", "1969-12-31T23:59:59.999Z"),
    ("/Date(1234567890000+0100)/", "02/13/2009 23:31:30", "2009-02-13T23:31:30+00:00"),
]
NO_DATES = [
    *("2020-01-02", "2020-01-02 03:04:05", "2020-01-02T03:04", "2020-01-02T03:04Z", "2020-01-02T03:04:60Z"),
    *("2020-01-02T25:04:05Z", "2020-01-02T24:00:01Z", "2020-13-02T03:04:05Z", "2020-02-30T00:00:00"),
    *("0000-01-02T03:04:05Z", "2020-01-02t03:04:05z", "2020-01-02T03:04:05.Z", "2020-01-02T03:04:05ZZ"),
    *("2020-01-02T03:04:05,5Z", "2020-01-02T03:04:05.12345678Z", "2020-W01-2T03:04:05Z", "2020-1-2T03:04:05Z"),
    *(" 2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z\n", "2020-01-02T03:04:05 is the day", "20200102T030405Z"),
    *("/Date(abc)/", "/Date()/", "03:04:05", "2c0a9d61-6d0e-4c5f-9a54-0b7f4f1c8e10", "", "/"),
]


@pytest.mark.parametrize(("text", "invariant", "iso"), DATES)
def test_what_newtonsoft_takes_for_a_date(text, invariant, iso):
    """An offset moves it to the host's zone; the text itself stays what it was."""
    date = parse_date(text)
    assert date is not None
    assert (date.invariant, date.iso, str(date)) == (invariant, iso, text)
    assert to_text(date) == invariant
    assert write_json([date]) == f'["{iso}"]'


@pytest.mark.parametrize("text", NO_DATES)
def test_what_newtonsoft_leaves_alone(text):
    """One character more or less, and it is a text."""
    assert parse_date(text) is None


def test_only_an_offset_is_moved_to_the_zone_of_the_host():
    """B-615 to B-619 with TZ=Europe/Berlin: `Z` and no zone stay."""
    berlin = timezone(timedelta(hours=1))
    shown = [parse_date(f"2026-01-02T03:04:05{zone}", berlin) for zone in ("Z", "", ".5+05:00")]
    assert [date.iso for date in shown if date] == [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05",
        "2026-01-01T23:04:05.5+01:00",
    ]


@pytest.mark.parametrize(
    ("number", "text", "in_json"),
    [
        # A-post-numbers, A-b2-numbers2, B-016, B-139
        (1.0, "1", "1.0"),
        (1e2, "100", "100.0"),
        (1.10, "1.1", "1.1"),
        (1e-7, "1E-07", "1E-07"),
        (0.0001, "0.0001", "0.0001"),
        (0.00001, "1E-05", "1E-05"),
        (1e15, "1000000000000000", "1000000000000000.0"),
        (1e16, "10000000000000000", "10000000000000000.0"),
        (1e20, "1E+20", "1E+20"),
        (1.5e300, "1.5E+300", "1.5E+300"),
        (5e-324, "5E-324", "5E-324"),
        (123456789.123456789, "123456789.12345679", "123456789.12345679"),
        (-0.0, "-0", "-0.0"),
        (math.inf, "Infinity", '"Infinity"'),
        (-math.inf, "-Infinity", '"-Infinity"'),
        (math.nan, "NaN", '"NaN"'),
    ],
)
def test_doubles_as_dotnet_writes_them(number, text, in_json):
    """Shortest digits; an exponent above 17 digits and below 0.0001."""
    assert (float_text(number), json_scalar(number)) == (text, in_json)


def test_doubles_survive_their_text():
    """Whatever is written is the same number again."""
    for number in (1 / 3, 2**70 + 0.0, 1e23, 9007199254740993.0, 6.02e-23, 123.456e10):
        assert float(float_text(number)) == number
        assert float(float_text(-number)) == -number


@pytest.mark.parametrize(
    ("value", "compact", "indented"),
    [
        ({"a": 1, "b": {"c": [1, "x", None, True]}}, '{"a":1,"b":{"c":[1,"x",null,true]}}', 11),
        ({}, "{}", 1),
        ([], "[]", 1),
        ([[], {}], "[[],{}]", 4),
        (['\x85\u2028\u2029/\x7f\xe9\b\x01"\\'], '["\\u0085\\u2028\\u2029/\x7f\xe9\\b\\u0001\\"\\\\"]', 3),
        (["\ud800"], '["\ufffd"]', 3),
    ],
)
def test_json_as_newtonsoft_writes_it(value, compact, indented):
    """Two blanks a level, nothing within empty containers; A-z-nel, B-151."""
    assert write_json(value) == compact
    text = write_json(value, indented=True)
    assert text.count("\n") + 1 == indented
    assert read_values(text) == read_values(compact)


def test_values_by_dotnets_tostring():
    """What queues and http bodies get."""
    assert [to_text(value) for value in (None, True, False, 7, "x", 1.5)] == ["", "True", "False", "7", "x", "1.5"]
    assert to_text({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'


def test_depth_counts_objects_and_arrays():
    """A scalar has none."""
    assert [depth_of(value) for value in (1, "[[", {}, [[]], {"a": [{}]})] == [0, 0, 1, 2, 3]  # type: ignore[var-annotated]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        # Protocol 4.5, A-ret2-b64*
        *(("test", b"\xb5\xeb-"), ("aGVs bG8=", b"hello"), ("aGVsbG9=", b"hello"), ("\taGVs\r\nbG8= ", b"hello")),
        *(("", b""), (" \n", b""), ("1234", b"\xd7m\xf8"), ("null", b"\x9e\xe9e")),
        *(("hello", None), ("aGVs\fbG8=", None), ("a===", None), ("aG==Vsbw", None), ("_-8=", None)),
        *(("aGVsbG8", None), ("aGVsbG8==", None), ("=", None), ("\xe9\xe9\xe9\xe9", None)),
    ],
)
def test_what_decodes_as_base64(text, data):
    """Blank, TAB, CR and LF are skipped; spare bits do not matter."""
    assert from_base64(text) == data


@pytest.mark.parametrize(
    ("value", "member"),
    [
        # Vectors A 1 to 7
        ("abc", '"\\"abc\\""'),
        ('{"a":1}', '"\\"{\\\\\\"a\\\\\\":1}\\""'),
        (4, '"4"'),
        (True, '"true"'),
        (None, '"null"'),
        (["a", "b"], '"[\\"a\\",\\"b\\"]"'),
        ({"a": 1}, '{"a":1}'),
        (b"hello", '"aGVsbG8="'),
        (datetime(2026, 1, 2, 10, 0, 0, 500_000), '"2026-01-02T10:00:00"'),
        (datetime(2026, 1, 2, 10, 0, 0, 500_000, UTC), '"2026-01-02T10:00:00+00:00"'),
        (UUID(int=1), '"\\"00000000-0000-0000-0000-000000000001\\""'),
    ],
)
def test_members_of_an_envelope(value, member):
    """Objects, bytes and dates are plain, everything else is JSON text within a string."""
    assert wire(value) == member
