"""bytecode.py: which folders are the app's, so that no import may write there."""

import os

import pytest

from fastworker.zygote.bytecode import roots_of


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, "."),
        (".", "."),
        ("sub", "sub"),
        ("function_app.py", "."),
        ("sub/main.py", "sub"),
        ("main:app", "."),
        ("package.main:app", "."),
    ],
)
def test_the_apps_folder_is_found_as_the_app_is(tmp_path, monkeypatch, target, expected):
    """A file's folder, a folder, or the current one; and the one that host.json is in, wherever links lead."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    monkeypatch.chdir(tmp_path)
    here = os.path.realpath(tmp_path)
    wanted = os.path.normpath(os.path.join(here, expected))
    assert roots_of(target, None) == [wanted]
    assert roots_of(target, str(tmp_path / "link")) == [wanted, os.path.join(here, "sub")]
