"""Apps that were not written for fastworker, through the commands, exactly as their authors have them."""

import json
from pathlib import Path

import pytest

from tests.devhost.stand import AppFolder, command
from tests.devhost.test_commands import dev

AZURE = """
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
@app.route("hi")
def hi(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("said " + req.params.get("name", "nothing"))
"""
OF_FUNC = {"version": "2.0", "extensionBundle": {"id": "x", "version": "[4.*, 5.0.0)"}}
SITE = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
application = Starlette(routes=[Route("/hi", lambda request: PlainTextResponse("from the site"))])
"""


def test_dev_runs_an_azure_functions_app_as_func_left_it(folder: AppFolder) -> None:
    """host.json without a handler: the section is added, and said; `invoke` finds the app, too."""
    folder.write("function_app.py", AZURE)
    folder.write("host.json", OF_FUNC)
    with dev(folder.root) as process:
        process.says(f"written: {folder.root / 'host.json'}")
        process.says("handler ready")
        assert process.get("/api/hi?name=x") == b"said x"
    assert json.loads((folder.root / "host.json").read_text())["extensionBundle"] == OF_FUNC["extensionBundle"]
    folder.write("function_app.py", f"{AZURE}\nprint('printed at import')\n")
    done = command("invoke", "hi", "--json-output", cwd=folder.root)
    assert json.loads(done.stdout)["response"]["body"] == "said nothing", "nothing else is on stdout"


def test_the_app_that_host_json_names_is_found_by_dev_sync_and_invoke(folder: AppFolder) -> None:
    """By its working directory and its arguments; nothing in the folder has a usual name."""
    folder.write("src/web.py", SITE)
    command_line = ["-m", "fastworker", "serve", "--workers", "1", "web:application"]
    description = {"defaultExecutablePath": "python", "arguments": command_line, "workingDirectory": "src"}
    http = {"http": {"routePrefix": ""}}
    folder.write("host.json", {"version": "2.0", "customHandler": {"description": description}, "extensions": http})
    assert command("sync", "--check", cwd=folder.root).returncode == 1
    with dev(folder.root) as process:
        process.says("handler ready")
        assert process.get("/hi") == b"from the site"
    assert (folder.root / "http_app" / "function.json").exists()
    done = command("invoke", "http_app", cwd=folder.root)
    assert "ASGI" in done.stdout + done.stderr and done.returncode == 0, done.stderr


def test_app_by_option_is_written_into_a_new_host_json(folder: AppFolder, tmp_path: Path) -> None:
    """And where host.json names another one, dev says so: it runs what the host would."""
    folder.write("web.py", SITE)
    with dev(folder.root, "--app", "web:application") as process:
        process.says("handler ready")
        assert process.get("/hi") == b"from the site"
    other = command("dev", "--app", "web:other", "--port", "0", cwd=folder.root)
    assert other.returncode == 2
    assert "starts web:application" in other.stderr and '"serve", "web:other"]' in other.stderr


@pytest.mark.parametrize("name", ["sync", "invoke"])
def test_an_app_by_option_is_found_from_the_folder(folder: AppFolder, tmp_path: Path, name: str) -> None:
    """As host.json would name it, wherever the command is called."""
    folder.write("web.py", SITE)
    arguments = {"sync": [str(folder.root)], "invoke": ["http_app", "--dir", str(folder.root)]}[name]
    done = command(name, *arguments, "--app", "web:application", cwd=Path("/"))
    assert done.returncode == 0, done.stderr
