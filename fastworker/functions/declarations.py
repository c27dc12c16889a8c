"""What decorators note about a handler, before anything is checked.

Filled by the decorators (trigger_decorators.py and its neighbours) and App; build.py makes Functions of it.
Rule: a decorator returns the handler itself, so that decorated functions stay plain callables, and may be
stacked in any order; nothing is checked here, for build.py reports every mistake of an app together.
"""

import functools
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeVar

from fastworker.frames import is_ours
from fastworker.protocol.bindings import Binding, Direction

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)


class Decorator(Protocol):
    """Notes something about a handler and gives it back; generic, so that type checkers keep its signature."""

    def __call__(self, handler: H, /) -> H: ...


DataType = Literal["string", "binary", "stream"]
Cardinality = Literal["one", "many"]

STORAGE: Final = "AzureWebJobsStorage"


@dataclass(slots=True)
class Declaration:
    """A handler with what decorators said about it, before anything is checked."""

    handler: Handler
    where: str
    name: str | None = None
    deadline_s: float | None = None
    bindings: list[Binding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Members of function.json beside the bindings, such as `retry`.
    members: dict[str, Any] = field(default_factory=dict)
    # An adapter's way from the bindings to the Function, in place of build.py's; it also gives what is wrong.
    build: "Callable[[Sequence[Binding]], tuple[Any, list[str]]] | None" = None

    @property
    def function_name(self) -> str:
        return self.name if self.name is not None else str(getattr(unwrapped(self.handler), "__name__", ""))


def unwrapped(handler: Handler) -> Any:
    """The plain function within partials, wrappers and callable objects."""
    while True:
        if isinstance(handler, functools.partial):
            handler = handler.func
        elif hasattr(handler, "__wrapped__"):
            handler = handler.__wrapped__
        elif inspect.isroutine(handler) or isinstance(handler, type) or not callable(handler):
            return handler
        else:
            handler = type(handler).__call__


def place_of(handler: Handler) -> str:
    """`file:line` of the handler's definition."""
    code = getattr(unwrapped(handler), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else "<built-in>"


def call_site() -> str:
    """`file:line` of the user's code that is calling."""
    frame = sys._getframe(1)
    while frame.f_back is not None and is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Declarations:
    """Collects declarations, one per handler."""

    def __init__(self) -> None:
        self.declarations: list[Declaration] = []

    def declare(self, handler: Handler) -> Declaration:
        """The declaration of `handler`, or of what it wraps: then the wrapper takes its place."""
        inner = handler
        while True:
            for declaration in self.declarations:
                if declaration.handler is inner:
                    declaration.handler = handler
                    return declaration
            if not hasattr(inner, "__wrapped__"):
                break
            inner = inner.__wrapped__
        declaration = Declaration(handler, place_of(handler))
        self.declarations.append(declaration)
        return declaration

    def bind(
        self,
        binding_type: str,
        direction: Direction,
        arg_name: str,
        *,
        data_type: str | None = None,
        cardinality: str | None = None,
        properties: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Decorator:
        """A decorator that adds one binding. Extra keyword arguments are further members of function.json."""
        members = {name: value for name, value in (properties or {}).items() if value is not None}
        for name, value in (extra or {}).items():
            members[re.sub(r"_([a-z])", lambda m: m[1].upper(), name)] = value
        binding = Binding(
            binding_type, direction, arg_name, call_site(), plain_text(data_type), plain_text(cardinality), members
        )

        def decorate(handler: H) -> H:
            # Decorators are applied bottom up; the list reads top down, as the source does.
            self.declare(handler).bindings.insert(0, binding)
            return handler

        return decorate


def plain_text(value: Any) -> Any:
    """A plain string of what may be a member of azure-functions' enums."""
    return getattr(value, "value", value)
