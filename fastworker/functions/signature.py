"""A handler's signature, read once at load: its arguments with evaluated annotations, and what kind of function it is.

Used by build.py, which matches the arguments with bindings.
Rule: pure but for the user's annotations, which are evaluated here and nowhere else.
"""

import dis
import inspect
import itertools
import typing
from dataclasses import dataclass
from typing import Any

from fastworker.functions.declarations import Handler, place_of, unwrapped


@dataclass(frozen=True, slots=True)
class Signature:
    """A handler's arguments, with annotations evaluated. `parameters` is None if they cannot be told."""

    where: str
    parameters: list[inspect.Parameter] | None
    returns: Any
    problems: list[str]


def is_async(handler: Handler) -> bool:
    """Whether a call gives something that only a loop can run, also through wrappers that do not show it."""
    plain = unwrapped(handler)
    return (
        inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)
    )


def is_generator(handler: Handler) -> bool:
    plain = unwrapped(handler)
    return inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)


def calls_stream(handler: Handler, request: str) -> bool:
    """Whether the handler's own code has `.stream` of its argument `request`: it starts before that body is whole then.

    The `.stream` of something else, as client libraries have one, is none of ours: a body that is waited for in place
    holds up the worker's loop.
    """
    todo = [getattr(unwrapped(handler), "__code__", None)]
    while todo:
        code = todo.pop()
        if code is None:
            continue
        for before, step in itertools.pairwise(dis.get_instructions(code)):
            if step.argval == "stream" and step.opname in {"LOAD_ATTR", "LOAD_METHOD"} and _loads(before, request):
                return True
        todo += [const for const in code.co_consts if inspect.iscode(const)]
    return False


def _loads(step: dis.Instruction, name: str) -> bool:
    """Whether an instruction's last act is to load a local variable, also of the function around."""
    loaded = step.argval[-1:] if isinstance(step.argval, tuple) else (step.argval,)
    return step.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and loaded == (name,)


def read_signature(handler: Handler, function_name: str) -> Signature:
    """The handler's signature and what makes it unusable."""
    where = place_of(handler)
    plain = unwrapped(handler)
    try:
        parameters = list(inspect.signature(handler).parameters.values())
        hints = typing.get_type_hints(plain, include_extras=True)
    except Exception as exc:  # user code: annotations are evaluated, and may raise anything
        return Signature(where, None, None, [
            f"{where}: function {function_name!r}: its annotations cannot be evaluated ({type(exc).__name__}: {exc}); "
            f"the names in them must be defined at module level"
        ])  # fmt: skip
    problems = [
        f"{where}: function {function_name!r}: argument {p.name!r} is of the kind {p.kind.description!r}; bindings "
        f"are passed by name, so list them one by one (a wrapper keeps them with functools.wraps)"
        for p in parameters
        if p.kind not in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}
    ]
    named = [p.replace(annotation=hints.get(p.name, p.empty)) for p in parameters]
    return Signature(where, named, hints.get("return", inspect.Signature.empty), problems)
