"""How numbers, metrics and variants are written: the same in the table, on the page and at the axes.

Rule: pure; a metric's unit is the end of its name (`p50_us`, `extra_mb`), and nobody else takes a name apart.
"""

import re
from collections.abc import Mapping
from typing import Any

UNITS = {"us": "us", "ms": "ms", "s": "s", "mb": "MB", "bytes": "bytes", "percent": "%"}
SINGULAR = {"workers": "worker", "processes": "process", "items": "item"}
PER_SECOND = "per_second"
# Members of a variant whose value tells nothing without their name, though it is no number.
PREFIXED = frozenset({"spin", "threads", "trigger", "app"})


def unit_of(metric: str) -> str:
    """The unit in a metric's name; empty for a plain number."""
    if metric.endswith(PER_SECOND):
        return "/s"
    name, _, last = metric.rpartition("_")
    return UNITS.get(last, "") if name else ""


def quantity_of(metric: str) -> str:
    """What is measured, in words: `p99_us` is `p99`."""
    if metric.endswith(PER_SECOND):
        return metric.replace(PER_SECOND, "per second").replace("_", " ").strip()
    name, _, last = metric.rpartition("_")
    quantity = name if name and last in UNITS else metric
    return re.sub(r"(p\d+)_(\d+)", r"\1.\2", quantity).replace("_", " ")


def number(value: float) -> str:
    """Three telling digits, and no more than are there."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.01 or size == 0 else f"{value:.2g}"


def amount(metric: str, value: float) -> str:
    """A number with its unit. A whole number of things has no digits behind the point."""
    unit = unit_of(metric)
    if not unit and float(value).is_integer():
        return f"{value:,.0f}"
    return f"{number(value)}{unit}" if unit.startswith("/") else f"{number(value)} {unit}".strip()


def plain(metric: str, value: float) -> str:
    """The number without its unit, for a column that names it."""
    return f"{value:,.0f}" if not unit_of(metric) and float(value).is_integer() else number(value)


def heading(metric: str) -> str:
    """A column's name, with the unit of its numbers."""
    unit = unit_of(metric)
    return f"{quantity_of(metric)}, {unit}" if unit and not unit.startswith("/") else quantity_of(metric)


def size(payload: int) -> str:
    """Bytes as people say them."""
    for factor, name in ((1 << 20, "MB"), (1 << 10, "KB")):
        if payload >= factor:
            return f"{payload / factor:g} {name}"
    return f"{payload} B"


def member(name: str, value: Any) -> str:
    """One member of a variant in formats."""
    told = name.replace("_", " ")
    if name in PREFIXED:
        return f"{told} {value}"
    if name == "payload" and isinstance(value, int):
        return size(value)
    if isinstance(value, bool):
        return told if value else f"no {told}"
    if name == "load" and isinstance(value, float) and value <= 1:
        return f"{value:.0%} load"
    if isinstance(value, int | float):
        base, _, last = name.rpartition("_")
        if base and last in UNITS:
            return f"{base.replace('_', ' ')} {value:g} {UNITS[last]}"
        if name in UNITS:
            return f"{value:g} {UNITS[name]}"
        return f"{value:g} {SINGULAR.get(told, told) if value == 1 else told}"
    return f"{value} {told}" if name == "in_flight" else str(value)


def variant(members: Mapping[str, Any], leave_out: frozenset[str] = frozenset()) -> str:
    """A whole variant in formats."""
    return ", ".join(member(name, value) for name, value in members.items() if name not in leave_out)
