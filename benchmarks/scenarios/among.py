"""Which contenders a scenario has an app for: fewer than there are, and some with settings of their own.

Used by the scenarios whose functions are in folders of their own. No scenario itself: it has no NAME.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.calls import Call
from benchmarks.contenders import Contender
from benchmarks.scenario import Emit, Options, present


def among(options: Options, scenario: str, emit: Emit, names: Sequence[str]) -> list[Contender]:
    """Those of `names` that were asked for and are there, in their order. The absent get their row."""
    wanted = tuple(name for name in names if not options.contenders or name in options.contenders)
    if not wanted:
        return []
    there = {contender.name: contender for contender in present(replace(options, contenders=wanted), scenario, emit)}
    return [there[name] for name in wanted if name in there]


def call(function: str, job: int, problem: Callable[[Any], str | None] = lambda answer: None) -> Call:
    """An invocation of a function with a manual trigger `job`. Without `problem`, status and bytes alone are judged."""
    metadata = {"sys": {"MethodName": function, "UtcNow": "2026-01-02T10:00:05.1234567Z", "RandGuid": "0" * 32}}
    envelope = json.dumps({"Data": {"job": str(job)}, "Metadata": metadata}, separators=(",", ":")).encode()
    return Call(function, function, envelope, problem)


def fault(function: str) -> Call:
    """An invocation that is meant to go wrong: any answer will do, and none."""
    return replace(call(function, 0), lenient=True)
