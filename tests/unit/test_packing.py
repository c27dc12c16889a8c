"""What goes into the zip: files by .funcignore, the lines of requirements.txt, and the same bytes each time."""

import os
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from fastworker import __version__
from fastworker.packing.archive import copy_app, write_zip
from fastworker.packing.dependencies import Target, _reason
from fastworker.packing.errors import PackError
from fastworker.packing.requirements import wanted


def folder(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def packed(root: Path, tmp_path: Path) -> list[str]:
    staging = tmp_path / "staging"
    staging.mkdir()
    copy_app(root, staging, root / "app.zip")
    return sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())


def test_funcignore_decides_and_some_files_are_never_deployed(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "app",
        {
            "function_app.py": "",
            "lib/code.py": "",
            "lib/data.bin": "",
            "lib/keep.bin": "",
            "tests/test_a.py": "",
            "local.settings.json": "{}",
            ".git/config": "",
            ".venv/bin/python": "",
            "lib/__pycache__/code.pyc": "",
            "app.zip": "",
            ".funcignore": "# comment\ntests/\n*.bin\n!keep.bin\n",
        },
    )
    assert packed(root, tmp_path) == ["function_app.py", "lib/code.py", "lib/keep.bin"]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Whatever their dates and the order in which they were written."""
    names = ["b/two.py", "a.py", "b/one.py"]
    zips = []
    for number, order in enumerate((names, names[::-1])):
        root = folder(tmp_path / str(number), dict.fromkeys(order, "x = 1\n"))
        os.utime(root / "a.py", (number, number))
        write_zip(root, tmp_path / f"{number}.zip")
        zips.append((tmp_path / f"{number}.zip").read_bytes())
    assert zips[0] == zips[1]
    assert zipfile.ZipFile(tmp_path / "0.zip").namelist() == ["a.py", "b/one.py", "b/two.py"]


def test_a_program_stays_one(tmp_path: Path) -> None:
    root = folder(tmp_path / "app", {"run.sh": "", "data": ""})
    (root / "run.sh").chmod(0o700)
    write_zip(root, tmp_path / "x.zip")
    modes = {
        entry.filename: entry.external_attr >> 16 & 0o777 for entry in zipfile.ZipFile(tmp_path / "x.zip").infolist()
    }
    assert modes == {"run.sh": 0o755, "data": 0o644}


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "app", {"a.py": ""})
    (root / "lost").symlink_to("nowhere")
    with pytest.raises(PackError, match=r"lost: cannot be read: No such file .*\.funcignore"):
        packed(root, tmp_path)


def test_a_zip_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    root = folder(tmp_path / "app", {"a.py": ""})
    with pytest.raises(PackError, match="cannot be written"):
        write_zip(root, tmp_path / "missing" / "x.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["app"]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = ["uvloop>=0.21", 'multipart>=1.2 ; extra == "forms"', 'x>=1 ; python_version < "3"']
    monkeypatch.setattr(metadata, "requires", lambda name: declared)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["uvloop>=0.21"]),
        ("fastworker-functions\n", ["uvloop>=0.21"]),
        ("Fastworker_Functions[forms]>=0.1  # ours\nnumpy==2.1\n", ["numpy==2.1", "multipart>=1.2", "uvloop>=0.21"]),
        (
            "-r more.txt\n--extra-index-url https://x.example/\n./local\n",
            ["orjson", "--extra-index-url https://x.example/"],
        ),
        ("\ufeffnumpy \\\n  ==2.1\n", ["numpy   ==2.1"]),
    ],
)
def test_fastworkers_line_becomes_its_dependencies(tmp_path: Path, text: str, lines: list[str]) -> None:
    folder(tmp_path, {"requirements.txt": text, "more.txt": "orjson\nfastworker-functions\n"})
    found = wanted(tmp_path)
    assert set(lines) <= set(found)
    assert not any("fastworker" in line.lower() for line in found)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("numpy\nfastworker>=1\n", r"requirements\.txt:2: 'fastworker' is another project's package"),
        (
            "fastworker-functions>=99\n",
            rf"requirements\.txt:1: asks for fastworker-functions>=99, and version {__version__}",
        ),
        ("-r lost.txt\n", r"lost\.txt:1: cannot be read"),
    ],
)
def test_a_line_that_would_bring_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    folder(tmp_path, {"requirements.txt": text})
    with pytest.raises(PackError, match=message):
        wanted(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "ERROR: Could not find a version that satisfies the requirement odd==1 (from versions: none)\n"
        "ERROR: No matching distribution found for odd==1\n",
        "  x No solution found when resolving dependencies:\n  Because odd==1 has no wheels with a matching tag\n",
    ],
)
def test_a_package_without_a_wheel_is_one_line(text: str) -> None:
    """Of pip and of uv."""
    told = _reason(text, Target("3.12", "aarch64"))
    assert told.startswith("odd==1 has no wheel for Python 3.12 on Linux aarch64")
    assert "\n" not in told
