"""`fastworker top`: watches a running server, and asks it to reload, to retire a worker or for a stack.

Called by cli.py. Asks by status_client.py, computes in top_view.py, shows by top_screen.py.
Rule: reads the status socket and nothing else; the terminal is left as it was, whatever happens.
"""

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Console
from rich.live import Live

from fastworker.commands.parser import CommandParser
from fastworker.commands.status_client import StatusClient, find_server
from fastworker.commands.top_screen import screen
from fastworker.commands.top_view import History, printable

INTERVAL_S = 1.0
UP, DOWN = ("\x1b[A", "\x1bOA", "k"), ("\x1b[B", "\x1bOB", "j")
WIDTH_OF_TEXT = 160


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = CommandParser("top", {}, description="Watch a running server: workers, functions, deaths.")
    parser.add_argument("target", nargs="?", metavar="PID|DIR", help="of serve or dev; or the folder of its app")
    parser.add_argument("--once", action="store_true", help="show it once, as text, and end")
    parser.add_argument("--json", action="store_true", help="with --once: as JSON")
    arguments = parser.parse_args(argv)
    if arguments.json and not arguments.once:
        parser.error("--json needs --once")
    if not arguments.once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        parser.error("this is no terminal: use --once, or --once --json")
    client = StatusClient(find_server(arguments.target, os.environ.get("XDG_RUNTIME_DIR")))
    with contextlib.closing(client):
        if not arguments.once:
            return Top(client).run()
        history = History()
        history.add(client.status())
    if arguments.json:
        print(msgspec.json.encode(history.view()).decode())
    else:
        width = None if sys.stdout.isatty() else WIDTH_OF_TEXT
        Console(width=width, highlight=False).print(screen(history.view()))
    return 0


class Top:
    """The live screen: what is chosen, and what was answered last."""

    def __init__(self, client: StatusClient) -> None:
        self._client = client
        self._history = History()
        self._chosen = 0
        self._message = ""

    def run(self) -> int:
        """Until `q`, Ctrl-C or the server's end."""
        stdin = sys.stdin.fileno()
        with contextlib.suppress(KeyboardInterrupt), _keys(stdin), Live(screen=True, auto_refresh=False) as live:
            while True:
                self._history.add(self._client.status())
                until = time.monotonic() + INTERVAL_S
                while True:
                    view = self._history.view()
                    slots = [worker.slot for worker in view.workers]
                    if slots and self._chosen not in slots:  # its worker has gone: keys act on what is marked
                        self._chosen = slots[0]
                    live.update(screen(view, chosen=self._chosen, message=self._message), refresh=True)
                    if not select.select([stdin], [], [], max(until - time.monotonic(), 0))[0]:
                        break
                    typed = os.read(stdin, 64).decode("latin-1")
                    if not typed or not self.press(typed, slots):
                        return 0
        return 0

    def press(self, typed: str, slots: Sequence[int]) -> bool:
        """Does what was typed; False to end."""
        if typed in UP or typed in DOWN:
            at = slots.index(self._chosen) if self._chosen in slots else 0
            if slots:
                self._chosen = slots[(at + (1 if typed in DOWN else -1)) % len(slots)]
            return True
        for key in "" if typed.startswith("\x1b") else typed:
            if key == "q":
                return False
            if key == "r":
                self._ask("reload")
            elif key == "t":
                self._ask(f"retire {self._chosen}")
            elif key == "s":
                self._ask(f"stack {self._chosen}")
        return True

    def _ask(self, request: str) -> None:
        answer = self._client.ask(request)
        if "error" in answer:
            self._message = printable(f"{request}: {answer['error']}")
        elif "stack" in answer:
            lines = [printable(str(line)) for line in answer["stack"]] or ["nothing of the app runs there"]
            self._message = "\n".join([f"{request}: pid {answer['pid']}", *lines])
        else:
            self._message = f"{request}: the server does it"


@contextlib.contextmanager
def _keys(stdin: int) -> Iterator[None]:
    """Keys come one by one and are not echoed, until it is left; SIGTERM leaves it in order, too."""
    before = termios.tcgetattr(stdin)
    handler = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        tty.setcbreak(stdin)
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, handler)
