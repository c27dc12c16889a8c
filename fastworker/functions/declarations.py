"""What decorators note about a handler, before anything is checked.

Filled by the decorators (trigger_decorators.py and its neighbours) and App; build.py makes Functions of it.
Rule: a decorator returns the handler itself, so that decorated functions stay plain callables, and may be
stacked in any order; nothing is checked here, for build.py reports every mistake of an app together.
"""

import enum
import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

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

# Arguments of decorators that are no members of function.json, or stand beside them.
NO_MEMBERS: Final = frozenset({"self", "arg_name", "type", "data_type", "cardinality", "extra"})

# What arguments mean that many decorators have; docs/make_reference.py writes it where a docstring leaves it out.
COMMON_ARGUMENTS: Final = {
    "connection": "the name of the app setting that holds the connection (its name, never the secret itself).",
    "connection_string_setting": "the name of the app setting that holds the connection string (its name, never the "
    "secret itself).",
    "queue_name": "the queue; `%SETTING%` is replaced by an app setting.",
    "data_type": "how the host reads the value: `string`, `binary` or `stream`. By default what the annotation of an "
    "input needs; leave it out of outputs, so that text and bytes arrive unchanged.",
    "cardinality": "`many` for batches, `one` for single messages; by default `many` if the argument is a `list[...]`.",
    "access_rights": "`manage` or `listen`, of the connection.",
    "is_sessions_enabled": "whether the queue or subscription has sessions.",
    "extra": "further members of function.json, in snake case.",
    "preferred_locations": "regions of a geo-replicated account in their order, separated by commas.",
    "dapr_address": "the address of the Dapr sidecar; by default `http://localhost:${DAPR_HTTP_PORT}`.",
    "ai_connection_name": "the prefix of the settings of the AI service; by default those of `AZURE_OPENAI_ENDPOINT`.",
    "chat_model": "the deployment or model that answers; the extension's default is `gpt-3.5-turbo`.",
    "embeddings_model": "the deployment or model of embeddings; the extension's default is `text-embedding-ada-002`.",
    "temperature": "the sampling temperature from 0 to 2, as text; the extension's default is `0.5`.",
    "top_p": "nucleus sampling from 0 to 1, as text, in the place of `temperature`.",
    "max_tokens": "tokens of an answer at most, as text; the extension's default is `100`.",
    "is_reasoning_model": "whether the model reasons: it takes neither `temperature` nor `top_p` then.",
    "chat_storage_connection_setting": "the setting of the storage account of chats; by default `AzureWebJobsStorage`.",
    "collection_name": "the table of chats; by default `ChatState`.",
    "max_chunk_length": "characters of a chunk of text at most; the extension's default is 8,192.",
    "max_overlap": "characters that neighbouring chunks share at most; the extension's default is 128.",
    "leases_table_name": "the table of leases, which the extension makes; by default one named after the function.",
    "broker_list": "the brokers, or `%SETTING%` with them.",
    "topic": "the topic, or `%SETTING%` with it.",
    "protocol": "`NOTSET`, `PLAINTEXT`, `SSL`, `SASLPLAINTEXT` or `SASLSSL`.",
    "authentication_mode": "`NOTSET`, `GSSAPI`, `PLAIN`, `SCRAMSHA256`, `SCRAMSHA512` or `OAUTHBEARER`.",
    "username": "of SASL, or `%SETTING%` with it.",
    "password": "the name of the app setting that holds the password of SASL.",
    "avro_schema": "the schema of the value, as Avro.",
    "ssl_ca_location": "the file of the certificate authority.",
    "title": "what a person reads in the place of the name.",
    "description": "what it is for: models choose by this.",
    "metadata": "a JSON object, as text, that clients get with it.",
}


class Adaptation(NamedTuple):
    """What stands between bindings and handler: `handler` wraps it, `binding` completes a binding by it.

    Both are called when the app is loaded, for only then can annotations be evaluated. `binding` raises TypeError.
    """

    handler: Callable[[Handler], Handler]
    binding: Callable[[Binding, Handler], Binding]


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
    # Where the handler's arguments are none of the bindings', as those of MCP tools.
    adaptation: "Adaptation | None" = None
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

    def bind(self, binding_type: str, direction: Direction, given: Mapping[str, Any]) -> Decorator:
        """A decorator that adds one binding.

        `given` are the arguments of the decorator's method by name, its `locals()`: each is a member of function.json,
        in camel case, unless it is None or of those that a binding has beside its members.
        """
        members = {camel_case(n): plain_text(v) for n, v in given.items() if n not in NO_MEMBERS and v is not None}
        members |= {camel_case(name): value for name, value in given.get("extra", {}).items()}
        data_type, cardinality = (plain_text(given.get(name)) for name in ("data_type", "cardinality"))
        binding = Binding(binding_type, direction, given["arg_name"], call_site(), data_type, cardinality, members)

        def decorate(handler: H) -> H:
            # Decorators are applied bottom up; the list reads top down, as the source does.
            self.declare(handler).bindings.insert(0, binding)
            return handler

        return decorate


def camel_case(name: str) -> str:
    """`queue_name` as function.json has it: `queueName`."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def plain_text(value: Any) -> Any:
    """A plain string of what may be a member of azure-functions' enums, some of which are numbers."""
    if not isinstance(value, enum.Enum):
        return value
    return value.value if isinstance(value.value, str) else value.name.lower()
