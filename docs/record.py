"""Records what docs/ shows of real runs: first-hour.md and the pictures images/dev.svg, pipeline.svg and top.svg.

    python docs/record.py [--out FOLDER] [first-hour] [dev] [pipeline] [top]

Everything runs in a temporary folder, with the `fastworker` of this Python. Needs bash, curl, pytest and
fastworker-functions[dev]. Nothing is edited but the temporary folder's name, which is cut out, and the port, which is
shown as 7071.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from fastworker.commands.status_client import StatusClient, find_server
from fastworker.commands.top_screen import screen
from fastworker.commands.top_view import History

DOCS = Path(__file__).parent
WIDTH = 118
# Seconds until something must have happened; a busy machine has more.
PATIENCE_S = 30.0 * float(os.environ.get("TEST_PATIENCE", "1"))
QUIET_S = 0.5
TURNS = 40
PORT = "7071"
ORDER = '{"id": 1005, "quantity": 3, "color": "black"}'
PICTURES = {"dev": "order", "pipeline": "pipeline"}


class Shell:
    """A terminal in a folder. `screen` gets each command and each line of output, as it would stand there."""

    def __init__(self, folder: Path, screen: Callable[[str], None], *, colors: bool) -> None:
        self.folder = folder
        self._top = f"{folder}/"
        self._screen = screen
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FASTWORKER_", "FUNCTIONS_"))}
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        color = {"FORCE_COLOR": "1", "TERM": "xterm-256color"} if colors else {"NO_COLOR": "1"}
        self._environ = {**kept, **color, "PATH": path, "COLUMNS": str(WIDTH), "FASTWORKER_WORKERS": "1"}
        # Of this Python's plugins a new user has none.
        self._environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        self._lines: list[tuple[float, str]] = []
        self._shown = 0

    def run(self, command: str) -> int:
        """Runs a command to its end and shows it with what it has written, and its exit code where that is not 0."""
        self._screen(f"$ {command}")
        done = subprocess.run(
            ["bash", "-c", command.replace(f":{PORT}", f":{self.port}")],
            cwd=self.folder, env=self._environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        for line in done.stdout.splitlines():
            self._screen(self._clean(line))
        if done.returncode:
            self._screen(f"(exit code {done.returncode})")
        return done.returncode

    def enter(self, name: str) -> None:
        """`cd name`."""
        self._screen(f"$ cd {name}")
        self.folder /= name

    @contextlib.contextmanager
    def dev(self, name: str = "") -> Iterator[None]:
        """Within it `fastworker dev` runs in the background; then it gets its Ctrl-C."""
        words = ["fastworker", "dev", *([name] if name else [])]
        self._screen(f"$ {' '.join(words)} &")
        host = subprocess.Popen(
            [*words, "--port", str(self.port)], cwd=self.folder, env=self._environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        reader = threading.Thread(target=self._read, args=(host.stdout,))
        reader.start()
        try:
            self.until("handler ready")
            yield
            host.send_signal(signal.SIGINT)
            assert host.wait(PATIENCE_S) == 0, self._lines
        finally:
            if host.poll() is None:
                host.kill()
            reader.join()
        self._show_new()

    def until(self, text: str) -> None:
        """Waits until `dev` has written a line that the pattern `text` fits and is quiet, and shows what is new."""
        before, until = self._shown, time.monotonic() + PATIENCE_S
        while not any(re.search(text, line) for _, line in self._lines[before:]) or self._is_busy():
            assert time.monotonic() < until, f"no {text!r} in {self._lines[before:]}"
            time.sleep(0.02)
        self._show_new()

    def _is_busy(self) -> bool:
        return not self._lines or time.monotonic() - self._lines[-1][0] < QUIET_S

    def _read(self, pipe: io.TextIOBase) -> None:
        with pipe:
            for line in pipe:
                self._lines.append((time.monotonic(), self._clean(line.rstrip("\n"))))

    def _show_new(self) -> None:
        new = self._lines[self._shown :]
        self._shown += len(new)
        for _, line in new:
            self._screen(line)

    def _clean(self, line: str) -> str:
        line = line.replace(self._top, "").replace(self._top.rstrip("/"), "~")
        return line.replace(f":{self.port}", f":{PORT}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- the page ------------------------------------------------------------------------------------------------------

INTRODUCTION = """# The first hour

What a new user sees, command by command. Made by `python docs/record.py` from real runs; nothing is edited but the
folder's name and the port. Before it: a virtual environment with `pip install 'fastworker-functions[dev]' pytest`.
"""


class Page:
    """first-hour.md while it is written: texts, and what stands on the terminal between them."""

    def __init__(self) -> None:
        self._parts = [INTRODUCTION]
        self._lines: list[str] = []

    def screen(self, line: str) -> None:
        self._lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip())

    def say(self, text: str) -> None:
        self._close()
        self._parts.append(text)

    def text(self) -> str:
        self._close()
        return "\n\n".join(part.rstrip("\n") for part in self._parts) + "\n"

    def _close(self) -> None:
        if self._lines:
            self._parts.append("\n".join(["```console", *self._lines, "```"]))
        self._lines = []


def first_hour(folder: Path) -> str:
    """The page, from a run in `folder`."""
    page = Page()
    shell = Shell(folder, page.screen, colors=False)
    page.say("## An app that runs")
    shell.run("fastworker new shop")
    shell.enter("shop")
    shell.run("python -m pytest -q")
    page.say("`fastworker dev` is the local stand-in for the Functions host; it needs no account and no Docker.")
    with shell.dev():
        shell.run(f"curl -s -d '{ORDER}' http://127.0.0.1:{PORT}/api/order")
        shell.until(r"receipt +succeeded")
        page.say("The order went through a queue, and its receipt lies in a blob. A picture with a cookie:")
        shell.run(f"curl -si http://127.0.0.1:{PORT}/api/orders/1005/label")
        shell.until(r"label +succeeded")
        page.say("One function alone, with a value of your own; and an address that nobody serves:")
        shell.run('fastworker invoke receipt --json \'{"id": 7, "quantity": 2, "color": "red"}\'')
        shell.until(r"receipt +succeeded")
        shell.run(f"curl -si http://127.0.0.1:{PORT}/api/odrer")
        shell.until("no function has this route")
        page.say("## A mistake\n\nSave a file, and the app starts anew. With a mistake in it:")
        edit(shell.folder, "def label(req: fw.Request, id: int)", "def label(req: fw.Request, number: int)")
        page.screen("$ sed -i 's/id: int) -> fw.Response/number: int) -> fw.Response/' function_app.py")
        shell.until("no binding")
        page.say("What is wrong, where, and what to do. Mended, it goes on:")
        edit(shell.folder, "def label(req: fw.Request, number: int)", "def label(req: fw.Request, id: int)")
        page.screen("$ sed -i 's/number: int) -> fw.Response/id: int) -> fw.Response/' function_app.py")
        shell.until("handler ready")
        page.say("Ctrl-C ends it all:")
    page.say("## Names that differ\n\nWhat other frameworks call otherwise is answered with its name here:")
    shell.run("fastworker start 2>&1 | tail -n 1")
    shell.run("fastworker serve --host 0.0.0.0 --reload --port 0")
    edit(shell.folder, "@app.function(deadline=10.0)", '@app.function_name(name="receipt")')
    page.screen("$ sed -i 's/@app.function(deadline=10.0)/@app.function_name(name=\"receipt\")/' function_app.py")
    shell.run("fastworker sync")
    edit(shell.folder, '@app.function_name(name="receipt")', "@app.function(deadline=300)")
    page.say("A deadline beyond the cap of 60 s is refused by the server, with the sum:")
    page.screen("$ sed -i 's/@app.function_name(name=\"receipt\")/@app.function(deadline=300)/' function_app.py")
    shell.run("fastworker serve --port 0")
    edit(shell.folder, "@app.function(deadline=300)", '@app.function("bill", deadline=10.0)')
    page.say("## A function is renamed\n\nThe host reads function.json files. `dev` writes them, and so does `sync`:")
    page.screen("$ sed -i 's/@app.function(deadline=300)/@app.function(\"bill\", deadline=10.0)/' function_app.py")
    shell.run("fastworker sync --check")
    shell.run("fastworker sync --prune")
    shell.run("fastworker sync --check")
    page.say("Then: [modes](modes.md), [settings](configuration.md), [reference](reference.md).")
    return page.text()


def edit(folder: Path, before: str, after: str) -> None:
    """Replaces a text of function_app.py, which must be there."""
    path = folder / "function_app.py"
    text = path.read_text()
    assert before in text, before
    path.write_text(text.replace(before, after))


# ---- pictures ------------------------------------------------------------------------------------------------------


def picture(folder: Path, example: str, out: Path) -> None:
    """A run of an example under `dev`, with an order by curl, as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)

    def screen(line: str) -> None:
        prompted = line.startswith("$ ")
        text = Text.assemble(("$ ", "bold green"), (line[2:], "bold")) if prompted else Text.from_ansi(line)
        console.print(text, soft_wrap=False)

    ignored = shutil.ignore_patterns(".fastworker", "__pycache__")
    shutil.copytree(DOCS / "examples" / example, folder / example, ignore=ignored)
    shell = Shell(folder, screen, colors=True)
    with shell.dev(example):
        shell.run(f"curl -s -d '{ORDER}' http://127.0.0.1:{PORT}/api/order")
        shell.until("succeeded")
    console.save_svg(str(out), title="fastworker dev")


def picture_of_top(folder: Path, out: Path) -> None:
    """`top` over a `dev` that takes orders, as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    shell = Shell(folder, lambda _: None, colors=False)
    shell.run("fastworker new shop")
    shell.enter("shop")
    history = History()
    with shell.dev():
        client = StatusClient(find_server(str(shell.folder), os.environ.get("XDG_RUNTIME_DIR")))
        with contextlib.closing(client):
            for turn in range(TURNS):
                shell.run(
                    f"for i in {{0..{turn % 5}}}; do curl -s -d '{ORDER}' http://127.0.0.1:{PORT}/api/order; done"
                )
                if turn == TURNS // 2:
                    client.ask("retire 0")
                history.add(client.status())
        shell.until("succeeded")
    view = history.view()
    console.print(screen(view, chosen=view.workers[0].slot))
    console.save_svg(str(out), title="fastworker top")


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the real runs that docs/ shows.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="first-hour, dev, pipeline, top (default: all)")
    parser.add_argument("--out", type=Path, default=DOCS, help="in the place of docs/")
    arguments = parser.parse_args()
    (arguments.out / "images").mkdir(parents=True, exist_ok=True)
    for name in arguments.names or ["first-hour", *PICTURES, "top"]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary).resolve()
            if name == "first-hour":
                path = arguments.out / "first-hour.md"
                path.write_text(first_hour(folder))
            elif name == "top":
                path = arguments.out / "images" / "top.svg"
                picture_of_top(folder, path)
            else:
                path = arguments.out / "images" / f"{name}.svg"
                picture(folder, PICTURES[name], path)
        print(f"written: {path}")


if __name__ == "__main__":
    main()
