"""docs/reference.md: every public name stands there, and every example on it runs."""

import contextlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastworker
from fastworker.functions.app import App
from fastworker.functions.declarations import Declarations
from fastworker.functions.loaded_app import assemble
from fastworker.settings import PREFIX, options

DOCS = Path(__file__).parents[2] / "docs"


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = maker()
EXAMPLES = MAKER.examples()


def test_every_public_name_and_setting_is_on_the_page() -> None:
    """What has no heading there cannot be looked up."""
    page = MAKER.page()
    for name in set(fastworker.__all__) - {"__version__"}:
        assert f"\n### {name}\n" in page, name
    decorators = {
        n for cls in App.__mro__[1:] for n in vars(cls) if n.endswith(("trigger", "input", "output", "route"))
    }
    decorators |= {n for cls in App.__mro__[1:] for n in vars(cls) if n.endswith("binding")}
    for name in decorators - set(vars(Declarations)):
        assert f"\n### @app.{name}\n" in page, name
    for name in {n for n, member in vars(App).items() if callable(member)} - {"__init__", "__getattr__", "under_host"}:
        assert f"\n#### App.{name}\n" in page, name
    for name in options():
        assert f"`{PREFIX}{name.upper()}`" in page, name


def test_every_decorator_has_an_example_and_names_its_arguments() -> None:
    """And the section of the protocol that it is about."""
    page = MAKER.page()
    sections = page.split("\n### ")
    decorators = [s for s in sections if s.startswith("@app.")]
    assert len(decorators) >= 22
    for section in decorators:
        assert "```python" in section, section[:40]
        assert "See protocol " in section, section[:40]
        assert "\n- `" in section, section[:40]


@pytest.mark.parametrize(("heading", "code"), EXAMPLES, ids=[heading for heading, _ in EXAMPLES])
def test_an_example_runs(heading: str, code: str, tmp_path: Path) -> None:
    """As it stands there; and the app that it makes has no mistake."""
    app = fastworker.App()
    app.folder = tmp_path
    namespace: dict[str, Any] = {"fw": fastworker, "app": app, "sqlite3": sys.modules.get("sqlite3")}
    for name in ("asyncio", "datetime", "json", "time"):
        namespace[name] = importlib.import_module(name)
    exec(compile(code, heading, "exec"), namespace)
    made = namespace["app"]
    if made.declarations:
        with contextlib.suppress(FileNotFoundError):
            _, _, problems, _ = assemble(made, tmp_path)
            assert problems == []
