"""sync for apps that were not written for fastworker: the handler's section in host.json, in the mode that fits."""

import json
from pathlib import Path

import pytest

from fastworker.commands import sync
from fastworker.commands.host_section import with_handler
from fastworker.config.host_json import read_host_json

V2 = """
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
@app.route("hi")
def hi(req: func.HttpRequest) -> str: return "hi"
"""
V2_QUEUE = """
import azure.functions as func
app = func.FunctionApp()
@app.queue_trigger("msg", "in-queue", "AzureWebJobsStorage")
def work(msg: func.QueueMessage) -> None: ...
"""
V1_FUNCTION = {
    "scriptFile": "__init__.py",
    "bindings": [
        {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"},
        {"type": "http", "direction": "out", "name": "$return"},
    ],
}
V1 = "import azure.functions as func\ndef main(req: func.HttpRequest) -> str: return 'hi'\n"
ASGI = "from starlette.applications import Starlette\napplication = Starlette()\n"
WSGI = "from flask import Flask\napp = Flask(__name__)\n"
V1_FILES = {"hi/function.json": json.dumps(V1_FUNCTION), "hi/__init__.py": V1}

# As `func init --python` writes it.
OF_FUNC = """{
  "version": "2.0",
  "logging": {
    "applicationInsights": {"samplingSettings": {"isEnabled": true}}
  },
  // what the extension bundle is for
  "extensionBundle": {
    "id": "Microsoft.Azure.Functions.ExtensionBundle",
    "version": "[4.*, 5.0.0)"
  }
}
"""
SERVE = ["-m", "fastworker", "serve"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHON_SCRIPT_FILE_NAME", raising=False)
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "arguments", "switch", "named"),
    [
        ({"function_app.py": V2}, [], "enableForwardingHttpRequest", []),
        ({"function_app.py": V2_QUEUE}, [], None, []),
        (V1_FILES, [], "enableForwardingHttpRequest", []),
        ({"asgi.py": ASGI}, [], "enableProxyingHttpRequest", []),
        ({"wsgi.py": WSGI}, [], "enableProxyingHttpRequest", []),
        (
            {"web/site.py": ASGI},
            ["--app", "web.site:application"],
            "enableProxyingHttpRequest",
            ["web.site:application"],
        ),
    ],
    ids=["v2", "v2 without http", "v1", "asgi", "wsgi", "named"],
)
@pytest.mark.parametrize("before", [OF_FUNC, None], ids=["as func writes it", "none"])
def test_the_handler_is_added_in_the_mode_that_fits(
    folder: Path, files: dict[str, str], arguments: list[str], switch: str | None, named: list[str], before: str | None
) -> None:
    """What stands in a file stays; the command needs no execute bit; the second sync finds nothing to do."""
    write(folder, files if before is None else {**files, "host.json": before})
    assert sync.main([str(folder), "--quiet", *arguments]) == 0
    text = (folder / "host.json").read_text()
    host = read_host_json("host.json", text.encode(), {})
    assert (host.problems, host.lacks) == ((), ())
    assert host.description.executable == "python"
    assert host.description.arguments == (*SERVE, *named)
    assert host.http_mode_key == (switch and f"customHandler.{switch}")
    if before is not None:
        assert text.endswith(before.removeprefix("{\n")), "the rest of the file, comments too, is as it was"
    assert sync.main([str(folder), "--check"]) == 0


def test_a_web_application_keeps_its_paths_under_a_new_host_json(folder: Path) -> None:
    """It has no idea of a prefix `api`; where there is a host.json, its prefix is the user's."""
    write(folder, {"main.py": ASGI})
    sync.main([str(folder), "--quiet"])
    assert read_host_json("host.json", (folder / "host.json").read_bytes(), {}).route_prefix == ""


def test_what_azure_needs_beside_the_file_is_said_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two app settings; a folder in step is told nothing."""
    write(folder, {"function_app.py": V2, "host.json": OF_FUNC})
    sync.main([str(folder), "--quiet"])
    said = capsys.readouterr().err
    assert "FUNCTIONS_WORKER_RUNTIME=custom" in said
    assert "PYTHONPATH=/home/site/wwwroot/.python_packages/lib/site-packages" in said
    sync.main([str(folder)])
    assert "FUNCTIONS_WORKER_RUNTIME" not in capsys.readouterr().err


def test_a_section_that_starts_something_is_never_changed(folder: Path) -> None:
    """It is the user's."""
    text = '{"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": "./start.sh"}}}'
    write(folder, {"function_app.py": V2, "host.json": text})
    sync.main([str(folder), "--quiet"])
    assert (folder / "host.json").read_text() == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", '{\n  "customHandler": {\n    "a": 1\n  }\n}\n'),
        ('{"version": "2.0"}', '{"customHandler": {\n    "a": 1\n  }, "version": "2.0"}'),
        ('{\r\n\t"version": "2.0"\r\n}', '{\r\n\t"customHandler": {\r\n\t\t"a": 1\r\n\t},\r\n\t"version": "2.0"\r\n}'),
        (
            '{"customHandler": null, "version": "2.0"}',
            '{\n  "version": "2.0",\n  "customHandler": {\n    "a": 1\n  }\n}\n',
        ),
        (
            '// {\n{ /* "x": */ "version": "2.0"}',
            '// {\n{ /* "x": */ "customHandler": {\n    "a": 1\n  }, "version": "2.0"}',
        ),
    ],
)
def test_the_section_comes_first_and_the_rest_is_kept(text: str, expected: str) -> None:
    """Whatever the layout, byte for byte."""
    assert with_handler(text, {"a": 1}) == expected
