"""The commands as a user runs them: dev, new, sync, invoke, and serve --debugpy's refusals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastworker.cli import main
from fastworker.commands.new import TEMPLATES
from fastworker.devhost.app import free_port
from tests.devhost.stand import HTTP_IN, HTTP_OUT, QUEUE_OUT, AppFolder, command, python
from tests.devhost.test_starting import ends_with, server
from tests.harness import alive, descendants, wait_for

APP = """
import fastworker as fw
app = fw.App()

@app.route("hi", methods=["GET"])
@app.queue_output("out", queue_name="results")
def hi(req: fw.Request, out: fw.Out[str]) -> str:
    out.set("said")
    return "one"
"""


class Dev:
    """`fastworker dev` as a process of its own."""

    def __init__(self, root: Path, *arguments: str, workers: int = 1) -> None:
        self.port = free_port()
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("FASTWORKER_", "FUNCTIONS_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastworker", "dev", str(root), "--port", str(self.port), *arguments],
            env={**environ, "FASTWORKER_WORKERS": str(workers), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            for line in pipe:
                self.output += line

    def says(self, text: str, times: int = 1) -> None:
        try:
            wait_for(lambda: self.output.count(text) >= times, text, 15)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as response:
            return bytes(response.read())

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(20)
        self._reader.join()
        return code


@contextlib.contextmanager
def dev(root: Path, *arguments: str, workers: int = 1) -> Iterator[Dev]:
    process = Dev(root, *arguments, workers=workers)
    try:
        yield process
    finally:
        tree = descendants(process.process.pid)
        if process.process.poll() is None:
            process.process.kill()
        process.wait()
        wait_for(lambda: not any(map(alive, tree)), "the end of every process", 5)


@pytest.fixture
def app(folder: AppFolder) -> AppFolder:
    """A fastworker app without host.json and function.json."""
    folder.write("function_app.py", APP)
    return folder


def test_dev_syncs_serves_reloads_and_ends_without_orphans(app: AppFolder) -> None:
    """One session: host.json and function.json are written, an edit is served, Ctrl-C leaves nothing behind."""
    with dev(app.root) as process:
        process.says("handler ready")
        assert process.get("/api/hi") == b"one"
        process.says("-> queue results: said")
        app.write("function_app.py", APP.replace('"one"', '"two"').replace('"hi"', '"hello"'))
        process.says("function_app.py changed: starting anew")
        process.says("handler ready", times=2)
        assert process.get("/api/hello") == b"two"
        app.write("function_app.py", APP + "\n1/0\n")
        process.says("ZeroDivisionError")
        process.says("waiting for a change")
        app.write("function_app.py", APP)
        process.says("handler ready", times=3)
        tree = descendants(process.process.pid)
        assert len(tree) >= 3  # the handler, its zygote, its worker
        began = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - began < 3
        wait_for(lambda: not any(map(alive, tree)), "the end of every process", 5)
        with socket.create_server(("127.0.0.1", process.port)):
            pass
        assert not (app.root / ".fastworker" / "dev.json").exists()


def test_killed_dev_takes_its_handler_along(folder: AppFolder) -> None:
    """SIGKILL cannot be handled: the kernel ends the handler."""
    server(folder)
    with dev(folder.root) as process:
        process.says("handler ready")
        tree = descendants(process.process.pid)
        process.end(signal.SIGKILL)
        wait_for(lambda: not any(map(alive, tree)), "the handler's end", 5)


def test_taken_port_is_told_with_its_owner(folder: AppFolder) -> None:
    """Exit code 4, and who has it."""
    server(folder)
    with dev(folder.root) as process, socket.create_server(("127.0.0.1", 0)) as other:
        process.says("handler ready")
        taken = command("dev", str(folder.root), "--port", str(other.getsockname()[1]), cwd=folder.root)
        assert taken.returncode == 4
        assert f"(pid {os.getpid()}) has the port; end it, or give another --port" in taken.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("host.json", '{\n "version": "2.0",\n oops', "host.json:3: is no JSON"),
        ("host.json", None, "host.json: does not exist"),
        ("local.settings.json", "[]", "local.settings.json:1: must hold a JSON object"),
    ],
)
def test_broken_file_ends_dev_with_file_and_line(folder: AppFolder, name: str, content: Any, message: str) -> None:
    """Exit code 2; the last line names the cause."""
    server(folder)
    if content is None:
        (folder.root / name).unlink()
    else:
        folder.write(name, content)
    with dev(folder.root) as process:
        assert process.wait() == 2
        assert message in process.output.splitlines()[-1]


def test_handler_that_keeps_crashing_ends_dev_without_reload(folder: AppFolder) -> None:
    """Exit code 1, with its last lines."""
    ends_with(folder, "sys.exit('no license')")
    with dev(folder.root, "--no-reload") as process:
        assert process.wait() == 1
        assert "its last lines: no license" in process.output


def test_crashed_app_is_started_again_after_an_edit(folder: AppFolder) -> None:
    """With reload, dev waits for the mistake to be mended."""
    ends_with(folder, "sys.exit(3)")
    with dev(folder.root) as process:
        process.says("waiting for a change")
        server(folder)
        process.says("handler ready")
        assert process.end() == 0


def test_invoke_goes_through_the_running_host(app: AppFolder, capfd: pytest.CaptureFixture[str]) -> None:
    """Found by DIR/.fastworker/dev.json; unknown functions get a hint."""
    with dev(app.root) as process:
        process.says("handler ready")
        assert main(["invoke", "hi", "--dir", str(app.root), "--json-output"]) == 0
        result = json.loads(capfd.readouterr().out)
        assert result["response"]["body"] == "one"
        assert result["outputs"][0]["target"] == "queue results"
        assert main(["invoke", "hiya", "--dir", str(app.root)]) == 2
        assert "did you mean 'hi'?" in capfd.readouterr().err
        assert main(["invoke", "hi", "--dir", str(app.root)]) == 0
        assert f"through http://127.0.0.1:{process.port}" in capfd.readouterr().out


def test_invoke_runs_in_process_without_a_host(app: AppFolder) -> None:
    """Nothing is written; an envelope works, too."""
    done = command("invoke", "hi", "--json-output", cwd=app.root)
    result = json.loads(done.stdout)
    assert (done.returncode, result["response"]["body"]) == (0, "one")
    request = {"Url": "http://x/api/hi", "Method": "GET", "Query": {}, "Headers": {}, "Params": {}, "Identities": []}
    app.write("envelope.txt", {"Data": {"req": request}, "Metadata": {}})
    assert command("invoke", "hi", "--envelope", "envelope.txt", cwd=app.root).returncode == 0
    wrong = command("invoke", "hi", "--json", "{oops", cwd=app.root)
    assert (wrong.returncode, "is no JSON" in wrong.stderr) == (2, True)


ITEMS = """
import fastworker as fw
app = fw.App()

@app.route("items/{id:int}", methods=["GET", "DELETE"])
def item(req: fw.Request, id: int) -> fw.Response:
    said = [req.method, id, req.query["color"], req.headers["x-who"], req.url]
    return fw.Response(" ".join(map(str, said)), status_code=404)
"""


def test_invoke_takes_method_query_headers_and_route_parameters(
    folder: AppFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same in this process and through the local host; with --fail a client's error is a failure."""
    folder.write("function_app.py", ITEMS)
    given = ["invoke", "item", "-X", "DELETE", "--query", "color=red&blue", "--header", "X-Who: me", "--json-output"]
    said = "DELETE 7 red&blue me http://"

    def body(text: str) -> str:
        response = json.loads(text)["response"]
        assert response["status"] == 404
        return str(response["body"])

    alone = command(*given, "--param", "id=7", "--fail", cwd=folder.root)
    assert alone.returncode == 1
    assert body(alone.stdout).startswith(said) and body(alone.stdout).endswith("/api/items/7?color=red%26blue")
    with dev(folder.root) as process:
        process.says("handler ready")
        assert main([*given, "--param", "id=7", "--dir", str(folder.root)]) == 0
        assert body(capfd.readouterr().out).startswith(said)
        assert main([*given, "--param", "ids=1", "--dir", str(folder.root)]) == 2
        assert "no such parameter; did you mean 'id'?" in capfd.readouterr().err


def test_sync_prunes_what_a_renamed_function_leaves_behind(app: AppFolder) -> None:
    """Only when asked to; what else lies in the folder stays."""
    assert command("sync", cwd=app.root).returncode == 0
    app.write("function_app.py", APP.replace("def hi(", "def hello("))
    app.function("mine", HTTP_IN, HTTP_OUT)
    app.write("mine/notes.txt", "keep me")
    told = command("sync", cwd=app.root)
    assert "no function 'hi': if it was renamed or removed, run fastworker sync --prune" in told.stderr
    assert (app.root / "hi" / "function.json").exists()
    checked = command("sync", "--check", "--prune", cwd=app.root)
    assert (checked.returncode, "to be removed: hi/function.json" in checked.stdout) == (1, True)
    done = command("sync", "--prune", cwd=app.root)
    assert done.returncode == 0
    assert "removed: hi/function.json\n" in done.stdout
    assert "removed: mine/function.json (mine/ stays, it has notes.txt)\n" in done.stdout
    assert not (app.root / "hi").exists()
    assert (app.root / "mine" / "notes.txt").exists()
    assert command("sync", "--check", "--prune", cwd=app.root).returncode == 0


def test_sync_writes_what_the_decorators_say_and_check_finds_differences(app: AppFolder) -> None:
    """Stable; other members of function.json stay; hand-written layouts that say the same are left alone."""
    assert command("sync", "--check", cwd=app.root).returncode == 1
    first = command("sync", cwd=app.root)
    assert '+      "queueName": "results",' in first.stdout
    assert command("sync", "--check", cwd=app.root).returncode == 0
    path = app.root / "hi" / "function.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({"disabled": True, **document}))
    before = path.read_text()
    assert command("sync", cwd=app.root).stdout.endswith("everything is in step (1 function)\n")
    assert path.read_text() == before
    app.write("function_app.py", APP.replace("results", "others"))
    again = command("sync", cwd=app.root)
    assert json.loads(path.read_text())["disabled"] is True
    assert '"queueName": "others"' in again.stdout
    app.function("stray", HTTP_IN, HTTP_OUT, QUEUE_OUT)
    stray = command("sync", "--check", cwd=app.root)
    assert (stray.returncode, "no function 'stray'" in stray.stderr) == (1, True)


def test_examples_are_in_step() -> None:
    """Also the documentation's own layout, which leaves the defaults out."""
    for example in sorted((Path(__file__).parents[2] / "docs" / "examples").iterdir()):
        done = command("sync", "--check", cwd=example)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", ["pipeline", "streaming"])
def test_example_passes_its_own_test(example: str) -> None:
    """What stands beside it for its readers."""
    cwd = Path(__file__).parents[2] / "docs" / "examples" / example
    tested = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-c", os.devnull, cwd=cwd
    )
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize("template", TEMPLATES)
def test_new_app_is_in_step_and_its_tests_pass(tmp_path: Path, template: str) -> None:
    """Every template, tested by its own test."""
    if template == "mcp":
        pytest.importorskip("mcp", reason="the official MCP SDK is not installed (extra `mcp`)")
    done = command("new", "shop", "--template", template, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    app = tmp_path / "shop"
    for name in (".gitignore", ".funcignore", ".vscode/launch.json", "requirements.txt", "local.settings.json"):
        assert (app / name).exists()
    assert command("sync", "--check", cwd=app).returncode == 0
    tested = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", cwd=app)
    assert tested.returncode == 0, tested.stdout


PIXEL = """

@app.route("pixel")
def pixel(req: fw.Request) -> fw.Response:
    return fw.Response(bytes(range(256)), content_type="image/png", cookies={"a": 1, "b": 2})
"""


def test_images_and_cookies_work_in_the_first_app(tmp_path: Path) -> None:
    """In the mode that `new` chooses: bytes as they are, and every cookie; its own picture, and one that is added."""
    assert command("new", "shop", cwd=tmp_path).returncode == 0
    app_file = tmp_path / "shop" / "function_app.py"
    app_file.write_text(app_file.read_text() + PIXEL)
    with dev(tmp_path / "shop") as process:
        process.says("handler ready")
        base = f"http://127.0.0.1:{process.port}/api"
        with urllib.request.urlopen(f"{base}/orders/7/label") as response:
            assert response.headers["Content-Type"] == "image/svg+xml"
            assert response.headers.get_all("Set-Cookie") == ["order=7"]
            assert b"No. 7" in response.read()
        with urllib.request.urlopen(f"{base}/pixel") as response:
            assert response.headers["Content-Type"] == "image/png"
            assert len(response.headers.get_all("Set-Cookie")) == 2
            assert response.read() == bytes(range(256))


def test_new_never_overwrites(tmp_path: Path) -> None:
    """Nothing at all is written if one file is there."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "host.json").write_text("mine")
    done = command("new", "shop", cwd=tmp_path)
    assert (done.returncode, "nothing is overwritten" in done.stderr) == (2, True)
    assert [p.name for p in (tmp_path / "shop").iterdir()] == ["host.json"]


def test_command_without_its_extra_says_what_to_install(tmp_path: Path) -> None:
    """The core has four dependencies; the commands bring theirs with fastworker-functions[dev]."""
    code = "import sys; sys.modules['rich'] = None; from fastworker.cli import main; sys.exit(main(['dev']))"
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'fastworker-functions[dev]'" in done.stderr


def test_server_imports_nothing_of_the_local_host() -> None:
    """Layering: the modules of `serve` know neither devhost nor its libraries."""
    code = (
        "import sys, fastworker.supervisor.run, fastworker.worker.run, fastworker.zygote.run, fastworker.cli\n"
        "print([m for m in sys.modules if m.startswith(('fastworker.devhost', 'fastworker.commands', 'aiohttp', "
        "'azure', 'rich', 'watchfiles', 'debugpy', 'cronsim'))])"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "[]"


def test_local_host_imports_nothing_of_the_handler_framework() -> None:
    """Layering: it talks the protocol, and could not favour fastworker if it wanted to."""
    code = (
        "import sys, fastworker.devhost.session as _\n"
        "ours = [m.split('.')[1] for m in sys.modules if m.startswith('fastworker.')]\n"
        "print(sorted(set(ours) - {'devhost', 'hostrules'}))"
    )
    done = python("-c", code)
    # How a request finds its function, and what an app's files say, is read by serve and dev alike.
    known = {"errors", "config", "protocol", "functions"}
    assert set(eval(done.stdout)) - known == set(), done.stdout
    code = "import sys, fastworker.devhost.session as _\nprint(sorted(m for m in sys.modules if '.functions.' in m))"
    of_functions = {name.rpartition(".")[2] for name in eval(python("-c", code).stdout) if "devhost" not in name}
    assert of_functions <= {"trigger_checks"}, of_functions
