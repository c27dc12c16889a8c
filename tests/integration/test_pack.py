"""`fastworker pack` with real packages, and so where FASTWORKER_TEST_INDEX says that there is an index."""

import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
TEMPLATES = ("order", "http", "queue", "timer", "empty")
pytestmark = [
    pytest.mark.skipif("FASTWORKER_TEST_INDEX" not in os.environ, reason="installs packages (FASTWORKER_TEST_INDEX=1)"),
    pytest.mark.timeout(240),
]


def installed() -> bool:
    try:
        return bool(metadata.version("fastworker-functions"))
    except metadata.PackageNotFoundError:
        return False


def fastworker(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fastworker", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def _needs_installation() -> None:
    if not installed():
        pytest.skip("fastworker is not installed as a package here")


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_starts_from_its_zip(tmp_path: Path, template: str) -> None:
    assert fastworker("new", "app", "--template", template, cwd=tmp_path).returncode == 0
    done = fastworker("pack", "app", "--check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "checked: it starts" in done.stdout
    names = zipfile.ZipFile(tmp_path / "app.zip").namelist()
    assert "host.json" in names
    assert ".python_packages/lib/site-packages/fastworker/cli.py" in names
    assert "local.settings.json" not in names


@pytest.mark.parametrize("example", sorted(path.parent.name for path in EXAMPLES.glob("*/function_app.py")))
def test_each_example_starts_from_its_zip(tmp_path: Path, example: str) -> None:
    out = tmp_path / "app.zip"
    done = fastworker("pack", str(EXAMPLES / example), "--check", "--out", str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_numpy_for_another_python_than_the_one_that_packs(tmp_path: Path) -> None:
    """The zip holds the other one's extension modules, and the same bytes each time."""
    other = "3.12" if sys.version_info[:2] != (3, 12) else "3.13"
    assert fastworker("new", "app", "--template", "http", cwd=tmp_path).returncode == 0
    with (tmp_path / "app" / "requirements.txt").open("a") as file:
        file.write("numpy==2.2.*\n")
    packs = []
    for name in ("one.zip", "two.zip"):
        done = fastworker("pack", "app", "--python", other, "--out", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        packs.append((tmp_path / name).read_bytes())
    assert packs[0] == packs[1]
    extensions = [n for n in zipfile.ZipFile(tmp_path / "one.zip").namelist() if n.endswith(".so") and "cpython" in n]
    tag = f"cpython-{other.replace('.', '')}-x86_64-linux-gnu"
    assert any("numpy" in name for name in extensions)
    assert [name for name in extensions if tag not in name] == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no-such-package-of-anybody==1", "has no wheel for Python"),
        ("fastworker", "another project's package"),
    ],
)
def test_what_cannot_be_packed_is_told_in_a_line(tmp_path: Path, line: str, message: str) -> None:
    assert fastworker("new", "app", "--template", "http", cwd=tmp_path).returncode == 0
    (tmp_path / "app" / "requirements.txt").write_text(f"{line}\n")
    done = fastworker("pack", "app", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "app.zip").exists()


def test_what_does_not_start_says_why(tmp_path: Path) -> None:
    """A module that is here and not in the zip."""
    assert fastworker("new", "app", "--template", "http", cwd=tmp_path).returncode == 0
    file = tmp_path / "app" / "function_app.py"
    (tmp_path / "app" / "hidden.py").write_text("")
    file.write_text(file.read_text().replace("import fastworker as fw", "import hidden\nimport fastworker as fw"))
    (tmp_path / "app" / ".funcignore").write_text("hidden.py\n")
    done = fastworker("pack", "app", "--check", cwd=tmp_path)
    assert done.returncode == 1
    assert "hidden" in done.stderr
