"""What the local host shows on the terminal: its own lines, the handler's, and what became of each invocation.

Used by everything that has something to tell. Rule: nobody else prints; one event is one line where it can be.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any, Final

from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text

from fastworker.devhost.functions import Function

STYLES: Final = {"Information": "", "Warning": "yellow", "Error": "red", "Debug": "dim"}
LONGEST: Final = 400
# A session may last for weeks.
REMEMBERED: Final = 10_000


# Nobody looks at a terminal that says nothing for longer.
REMIND_AFTER_S: Final = 10.0


class Console:
    """The terminal. `lines` keeps what was shown last, for tests."""

    def __init__(self, rich: RichConsole | None = None) -> None:
        self.rich = rich or RichConsole(highlight=False, soft_wrap=True)
        self.lines: deque[str] = deque(maxlen=REMEMBERED)

    # ---- the host's own lines ----

    def info(self, text: str) -> None:
        self._line("host", text)

    def good(self, text: str) -> None:
        self._line("host", text, "green")

    def warn(self, text: str) -> None:
        self._line("host", text, "yellow")

    def error(self, text: str) -> None:
        self._line("host", text, "red")

    # ---- the handler's lines ----

    def handler(self, level: str, text: str) -> None:
        """One line of the handler's output, at the level that the cloud would give it (protocol 5.4)."""
        self._line("handler", text, STYLES[level], level)

    # ---- invocations ----

    def started(self, function: str, invocation_id: str, why: str) -> None:
        self._line(function, f"started {_short(invocation_id)} ({why})", "dim")

    def log(self, function: str, text: str) -> None:
        self._line(function, text)

    def output(self, function: str, text: str) -> None:
        self._line(function, f"-> {text}", "cyan")

    def succeeded(self, function: str, invocation_id: str, seconds: float, result: str) -> None:
        self._line(function, f"succeeded {_short(invocation_id)} in {seconds * 1000:.0f} ms{result}", "green")

    def failed(self, function: str, invocation_id: str, seconds: float, why: str) -> None:
        self._line(function, f"failed {_short(invocation_id)} after {seconds * 1000:.0f} ms: {why}", "red")

    # ---- start-up ----

    def functions(self, rows: Iterable[tuple[Function, str, str]]) -> None:
        """The list of functions: name, trigger, and where it can be called."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        for function, trigger, place in rows:
            style = "red" if function.problem else "dim" if function.disabled else "bold yellow"
            table.add_row(Text(f"  {function.name}", style), Text(trigger, "magenta"), Text(place, style="default"))
            self.lines.append(f"{function.name} {trigger} {place}")
        self.rich.print(table)

    @contextlib.asynccontextmanager
    async def reminding(self, source: str, text: str) -> AsyncIterator[None]:
        """Around something that may hang: says so, once, when it has taken a while."""
        handle = asyncio.get_running_loop().call_later(REMIND_AFTER_S, self._line, source, text, "yellow")
        try:
            yield
        finally:
            handle.cancel()

    def blank(self) -> None:
        self.rich.print()

    def _line(self, source: str, text: str, style: str = "", level: str = "") -> None:
        stamp = datetime.fromtimestamp(time.time()).strftime("%H:%M:%S.%f")[:-3]
        shown = text if len(text) <= LONGEST * 10 else f"{text[: LONGEST * 10]}..."
        self.lines.append(f"[{source}] {level}{': ' if level else ''}{shown}")
        line = Text()
        line.append(f"{stamp} ", "dim")
        line.append(f"{source:<9} ", "dim" if source in ("host", "handler") else "bold")
        if level in ("Warning", "Error"):
            line.append(f"{level.lower()} ", f"bold {style}")
        line.append(Text.from_ansi(shown, style=style))
        self.rich.print(line)


def shortened(value: Any) -> str:
    """A value on one line of reasonable length."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _short(invocation_id: str) -> str:
    return invocation_id[:8]
