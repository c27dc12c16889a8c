"""What is wrong with a function's bindings, looking at them alone: names, types, directions, triggers.

Used by functions/build.py for decorators and by the local host for function.json files.
Rule: pure; each mistake is told with its place and the way to mend it. Which names the host takes, hostrules/ says.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from fastworker.hostrules.functions import (
    TAKEN_TRIGGER_NAMES,
    UNDERSCORES_SINCE,
    binding_name_problem,
    needs_newer_host,
)
from fastworker.protocol.bindings import KINDS, Binding


def name_problems(bindings: Iterable[Binding], extra_types: Iterable[str] = ()) -> list[str]:
    """What is wrong with a function's bindings, looking at them alone: names, types, directions, triggers."""
    listed = list(bindings)
    return [*loading_problems(listed, extra_types), *indexing_problems(listed)]


def indexing_problems(bindings: Iterable[Binding]) -> list[str]:
    """What the host finds after it has mapped the function's route: each call of it is answered with 500 (E-478)."""
    return [
        f"{binding.where}: an http trigger cannot be named {binding.name!r}, the host's own name: each call fails"
        for binding in bindings
        if binding.key == "httptrigger" and binding.name.lower() in TAKEN_TRIGGER_NAMES
    ]


def loading_problems(bindings: Iterable[Binding], extra_types: Iterable[str] = ()) -> list[str]:
    """What takes the function out: the host has no route for it, and answers 404."""
    problems = []
    seen: dict[str, Binding] = {}
    triggers = []
    known = KINDS.keys() | {t.lower() for t in extra_types}
    for binding in bindings:
        first = seen.setdefault(binding.name.lower(), binding)
        if first is not binding:
            problems.append(
                f"{binding.where}: two bindings are named {binding.name!r} (the other: {first.where}); names are "
                f"compared ignoring case, rename one"
            )
        if binding.is_trigger:
            triggers.append(binding)
        problems += _name_problems_of_one(binding)
        problems += _type_problems(binding, known)
    if len(triggers) > 1:
        named = ", ".join(f"{t.name!r} ({t.type}, {t.where})" for t in triggers)
        problems.append(f"{triggers[1].where}: a function has one trigger, this one has {named}: keep one")
    return problems


def _name_problems_of_one(binding: Binding) -> list[str]:
    name = binding.name
    problem = binding_name_problem(name, returns=binding.direction == "out")
    if problem is None:
        return []
    suggestion = re.sub(r"__+", "_", name)
    if suggestion != name and binding_name_problem(suggestion, returns=False) is None:
        problem += f"; call it {suggestion!r}, here and in the handler's arguments"
    return [f"{binding.where}: {problem}"]


def name_warnings(bindings: Iterable[Binding]) -> list[str]:
    """Names and types that the host takes, some hosts only, or with a surprise."""
    warnings = []
    for binding in bindings:
        if needs_newer_host(binding.name):
            warnings.append(
                f"{binding.where}: the binding name {binding.name!r} has an underscore: it needs host "
                f"{UNDERSCORES_SINCE} or newer, and is refused by older ones"
            )
        kind = KINDS.get(binding.key)
        if kind is not None and kind.output == "http" and binding.type != "http":
            warnings.append(
                f'{binding.where}: the type {binding.type!r} should be spelt "http" (docs/protocol.md, 4.3)'
            )
    return warnings


def _type_problems(binding: Binding, known: Iterable[str]) -> list[str]:
    kind = KINDS.get(binding.key)
    if kind is None:
        if binding.key in known:
            return []
        near = get_close_matches(binding.key, list(known), n=1)
        hint = f"did you mean {KINDS[near[0]].type!r}?" if near and near[0] in KINDS else "check its spelling"
        return [
            f"{binding.where}: binding {binding.name!r}: unknown binding type {binding.type!r}: {hint} (a new "
            f"extension's type is made known by fastworker.App(extra_binding_types=[...]))"
        ]
    if binding.direction not in kind.directions:
        allowed = " or ".join(sorted(kind.directions))
        return [
            f"{binding.where}: binding {binding.name!r}: a {kind.type} binding has direction {allowed}, not "
            f"{binding.direction!r}"
        ]
    return []
