"""Makes docs/images/dev.svg: a real run of `fastworker dev`, with a real curl, as an SVG picture.

    python docs/images/record.py [APP_FOLDER] [--as NAME] [--out FILE]

The app is copied to a temporary folder first, so that the run leaves nothing in the tree. Needs curl, and
fastworker-functions[dev] installed. Nothing is edited but the temporary folder's name, which is cut out.
"""

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
ORDER = '{"id": 1005, "quantity": 3, "color": "black"}'
CURL = ["curl", "-s", "-d", ORDER, "http://127.0.0.1:7071/api/order"]
WIDTH = 118
PATIENCE_S = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Record docs/images/dev.svg.")
    parser.add_argument("app", nargs="?", default="docs/examples/order")
    parser.add_argument("--as", dest="name", help="the folder's name in the picture (default: its own)")
    parser.add_argument("--out", default=str(HERE / "dev.svg"))
    parser.add_argument("--quiet-for", type=float, default=0.5, help="seconds without a line that end the recording")
    arguments = parser.parse_args()
    name = arguments.name or arguments.app
    picture = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(
            arguments.app, Path(temporary, name), ignore=shutil.ignore_patterns(".fastworker", "__pycache__")
        )
        record(picture, name, temporary, arguments.quiet_for)
    picture.save_svg(arguments.out, title="fastworker dev")


def record(picture: Console, name: str, folder: str, quiet_for: float) -> None:
    """Starts the local host, waits until it is ready, posts an order, and ends it by Ctrl-C."""
    lines: list[tuple[float, str]] = []
    environ = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    command = [sys.executable, "-m", "fastworker", "dev", name]
    host = subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def read() -> None:
        for line in host.stdout or ():
            lines.append((time.monotonic(), line.rstrip("\n").replace(f"{folder}/", "")))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait(lambda: any("handler ready" in line for _, line in lines), lines)
        before = len(lines)
        answer = subprocess.run(CURL, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
        wait(lambda: len(lines) > before and time.monotonic() - lines[-1][0] > quiet_for, lines)
        asked = len(lines)
        host.send_signal(signal.SIGINT)
        code = host.wait(PATIENCE_S)
    finally:
        if host.poll() is None:
            host.kill()
        reader.join()
    prompt(picture, f"fastworker dev {name} &")
    show(picture, [line for _, line in lines[:before]])
    prompt(picture, f"curl -d '{ORDER}' {CURL[-1]}")
    picture.print(Text(answer))
    show(picture, [line for _, line in lines[before:asked]])
    assert code == 0, lines


def wait(done, lines) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until, lines
        time.sleep(0.02)


def prompt(picture: Console, command: str) -> None:
    picture.print(Text.assemble(("$ ", "bold green"), (command, "bold")))


def show(picture: Console, lines: list[str]) -> None:
    for line in lines:
        picture.print(Text.from_ansi(line), soft_wrap=False)


if __name__ == "__main__":
    main()
