"""Where an app's code stood when something struck it."""

import json

import pytest

from fastworker.frames import stood_at


class Struck(BaseException):
    pass


def strike():
    raise Struck


def caught_and_replaced():
    try:
        strike()
    except Struck:
        raise ValueError from None


def behind_a_library():
    json.dumps(object(), default=lambda _: strike())


def while_another_was_handled():
    try:
        int("x")
    except ValueError:
        strike()


@pytest.mark.parametrize("code", [strike, caught_and_replaced, behind_a_library, while_another_was_handled])
def test_the_innermost_line_of_the_app_is_told(code):
    """Whatever was made of the exception, and whichever library stands in between."""
    with pytest.raises((Struck, ValueError)) as caught:
        code()
    place = stood_at(caught.value, (Struck,))
    assert place == f"{__file__}:{strike.__code__.co_firstlineno + 1}, in strike"


def test_without_frames_there_is_no_place():
    """An exception that was never raised."""
    assert stood_at(Struck(), (Struck,)) is None
