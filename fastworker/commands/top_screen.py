"""The screen of `top`: a view as tables.

Used by top.py and docs/record.py. Rule: shows what top_view.py has computed, and computes nothing.
"""

import time

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastworker.commands.top_view import View, printable, sparkline

KEYS = "q quit   r reload   up/down choose a worker   t retire it   s its stack"
ENDS = 6


def screen(view: View, *, chosen: int | None = None, message: str = "") -> RenderableType:
    """The whole screen; `chosen` is the slot that keys act on, None where there are no keys."""
    state = "draining" if view.draining else f"generation {view.generation}"
    head = Text(
        f"fastworker {view.fastworker}  pid {view.pid}  up {view.uptime_s:.0f} s  {state}  "
        f"{view.in_flight} in flight  {view.connections} connections  {view.rate:.1f}/s over {view.seconds:.0f} s",
        style="bold",
    )
    parts: list[RenderableType] = [head]
    # First, for a terminal cuts off what is below its last line.
    if chosen is not None:
        parts.append(Text(KEYS, style="dim"))
    if message:
        parts.append(Text(message, style="yellow"))
    if view.rates:
        parts.append(Text(f"per second {sparkline(view.rates)} {view.rates[-1]:.1f}", style="cyan"))
        parts.append(Text(f"in flight {sparkline(view.in_flights)} {view.in_flights[-1]}", style="cyan"))
    parts.append(_workers(view, chosen))
    if view.ends:
        parts.append(Text("ended workers", style="bold"))
    for end in reversed(view.ends[-ENDS:]):
        at = time.strftime("%H:%M:%S", time.localtime(end.time))
        text = printable(f"{at}  slot {end.slot}  pid {end.pid}  {end.cause}  {end.detail}")
        parts.append(Text(text, style="dim" if end.planned else "red"))
    parts.append(_functions(view))
    return Group(*parts)


def _workers(view: View, chosen: int | None) -> Table:
    table = _table("slot", "pid", "state", "function", "elapsed", "left", "CPU", "resident", "served", "restarts")
    for row in view.workers:
        more = f" (+{row.running - 1})" if row.running > 1 else ""
        table.add_row(
            str(row.slot),
            str(row.pid),
            row.state,
            Text(printable(row.function or "") + more),
            _time(row.elapsed_s),
            _time(row.deadline_left_s),
            f"{row.cpu * 100:.0f} %",
            f"{row.resident_bytes / 2**20:.0f} MiB",
            str(row.served),
            str(row.restarts),
            style="reverse" if row.slot == chosen else "",
        )
    return table


def _functions(view: View) -> Table:
    table = _table("function", "per s", "p50", "p99", "wait p50", "wait p99", "errors", "total")
    for row in view.functions:
        times = (row.p50_s, row.p99_s, row.wait_p50_s, row.wait_p99_s)
        errors = Text(str(row.errors), style="red" if row.errors else "")
        table.add_row(Text(printable(row.name)), f"{row.rate:.1f}", *map(_time, times), errors, str(row.total))
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="bold")
    for name in names:
        table.add_column(name, justify="left" if name in ("function", "state") else "right", no_wrap=True)
    return table


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.1f} ms" if abs(seconds) < 1 else f"{seconds:.1f} s"
