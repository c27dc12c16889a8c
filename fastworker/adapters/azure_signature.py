"""The arguments of an azure.functions handler, matched with its bindings as the official worker matches them.

Used by azure_functions.py at load.
Rule: what the official worker refuses is refused here, with file, line and the way to mend it; nothing else is.
"""

import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastworker.adapters.azure_values import Generic
from fastworker.functions.declarations import place_of
from fastworker.protocol.bindings import RETURN, Binding

# What to annotate in place of a type of Azure's SDKs, and how to get one: by binding type.
_BLOB: Final = ("azure.functions.InputStream", "azure.storage.blob.BlobClient.from_connection_string(...)")
_BUS: Final = ("azure.functions.ServiceBusMessage", "azure.servicebus.ServiceBusClient.from_connection_string(...)")
IN_PLACE_OF_SDK_TYPES: Final = {
    "blob": _BLOB,
    "blobtrigger": _BLOB,
    "servicebustrigger": _BUS,
    "eventhubtrigger": ("azure.functions.EventHubEvent", ""),
    "cosmosdb": ("azure.functions.DocumentList", "azure.cosmos.CosmosClient.from_connection_string(...)"),
    "cosmosdbtrigger": ("azure.functions.DocumentList", "azure.cosmos.CosmosClient.from_connection_string(...)"),
}


@dataclass(slots=True)
class Parameter:
    """One argument: its binding, the converter for it, and the Python type that it is annotated with (or None)."""

    binding: Binding
    converter: Any
    pytype: Any


@dataclass(slots=True)
class AzureSignature:
    """What a handler takes and gives. `returns` is the binding that its return value goes to, if there is one."""

    inputs: dict[str, Parameter] = field(default_factory=dict)
    outputs: dict[str, Parameter] = field(default_factory=dict)
    returns: Parameter | None = None
    wants_context: bool = False
    problems: list[str] = field(default_factory=list)


def azure_signature(
    name: str,
    handler: Callable[..., Any],
    bindings: Sequence[Binding],
    converter_of: Callable[[str], Any],
    web_type: Any = None,
) -> AzureSignature:
    """Matches a handler with its bindings. `converter_of` gives the library's converter for a binding type, or None.

    `web_type` is the request class of a web extension, which then comes in place of HttpRequest.
    """
    found = AzureSignature()
    where = f"{place_of(handler)}: function {name!r}"
    try:
        parameters = dict(inspect.signature(handler).parameters)
        hints = typing.get_type_hints(handler)
    except Exception as exc:  # user code: annotations are evaluated, and may raise anything
        found.problems.append(f"{where}: its annotations cannot be evaluated ({type(exc).__name__}: {exc})")
        return found
    by_name = {b.name: b for b in bindings}
    if "context" in parameters and "context" not in by_name:
        found.wants_context = True
        del parameters["context"]
        annotation = hints.get("context")
        if annotation is not None and getattr(annotation, "__name__", "") != "Context":
            found.problems.append(
                f"{where}: the argument 'context' is annotated {annotation!r}: annotate it azure.functions.Context"
            )
    _match_names(found, where, parameters, by_name)
    for binding in bindings:
        if binding.direction == "inout":
            found.problems.append(f'{where}: binding {binding.name!r} has the direction "inout": use "in" or "out"')
        elif binding.name != RETURN and binding.name in parameters and not found.problems:
            converter = _WebRequests(web_type) if web_type and binding.key == "httptrigger" else None
            _match(found, where, binding, hints.get(binding.name), converter or converter_of(binding.key))
    _find_return(found, bindings, hints.get("return"), converter_of)
    return found


class _WebRequests:
    """Stands for the converter of http triggers where a web extension gives its framework's requests."""

    def __init__(self, web_type: Any) -> None:
        self._web_type = web_type

    def check_input_type_annotation(self, pytype: Any) -> bool:
        """Whether it is the framework's request class."""
        return issubclass(pytype, self._web_type)


def _match_names(
    found: AzureSignature, where: str, parameters: dict[str, inspect.Parameter], by_name: dict[str, Binding]
) -> None:
    undeclared = sorted(set(parameters) - set(by_name))
    if undeclared:
        found.problems.append(
            f"{where}: the arguments {', '.join(undeclared)} have no binding of that name: add one to each, or "
            f"remove the argument"
        )
    # An http output may be named and yet be given by `return` only where it is `$return`; all others are arguments.
    missing = sorted(n for n in set(by_name) - set(parameters) if n != RETURN)
    if missing:
        found.problems.append(
            f"{where}: the bindings {', '.join(missing)} have no argument of that name: add it to the handler, or "
            f"remove the binding"
        )


def _match(found: AzureSignature, where: str, binding: Binding, annotation: Any, converter: Any) -> None:
    origin = typing.get_origin(annotation)
    is_out = getattr(origin or annotation, "__name__", "") == "Out"
    pytype = annotation
    if is_out:
        arguments = typing.get_args(annotation)
        if len(arguments) != 1:
            found.problems.append(f"{where}: argument {binding.name!r}: annotate it azure.functions.Out[TYPE]")
            return
        (pytype,) = arguments
    if annotation is not None and binding.is_output and not is_out:
        found.problems.append(
            f"{where}: argument {binding.name!r} belongs to an output: annotate it azure.functions.Out[...]"
        )
        return
    if is_out and not binding.is_output:
        found.problems.append(
            f"{where}: argument {binding.name!r} is annotated azure.functions.Out, but its binding is an input"
        )
        return
    if converter is None or (pytype in (str, bytes) and not _has_implicit_output(converter)):
        converter = Generic
    if _is_sdk_type(pytype):
        found.problems.append(f"{where}: argument {binding.name!r} is annotated {_way_out(binding, pytype)}")
        return
    module = str(getattr(pytype, "__module__", "")).partition(".")[0]
    if module == "fastworker":
        found.problems.append(
            f"{where}: argument {binding.name!r} is annotated fastworker.{pytype.__name__}, which is for functions of "
            f"a fastworker.App, and this app is one of azure.functions: annotate the type of azure.functions, or make "
            f"it a fastworker.App"
        )
        return
    if annotation is not None and not _fits(converter, pytype, is_out):
        found.problems.append(
            f"{where}: argument {binding.name!r} is annotated {annotation!r}, which azure.functions does not give for "
            f"a binding of the type {binding.type!r}{_of_data_type(binding)}"
        )
        return
    target = found.outputs if binding.is_output else found.inputs
    target[binding.name] = Parameter(binding, converter, pytype)


def _is_sdk_type(pytype: Any) -> bool:
    """Whether an argument asks for a client of one of Azure's SDKs (azurefunctions-extensions-bindings-...)."""
    base = getattr(sys.modules.get("azurefunctions.extensions.base"), "SdkType", None)
    element = next(iter(typing.get_args(pytype)), pytype)
    return base is not None and isinstance(element, type) and issubclass(element, base)


def _way_out(binding: Binding, pytype: Any) -> str:
    element = next(iter(typing.get_args(pytype)), pytype)
    instead, client = IN_PLACE_OF_SDK_TYPES.get(binding.key, ("the type of azure.functions for this binding", ""))
    way = f", or open the client in the function: {client}" if client else ""
    return (
        f"{element.__module__.rpartition('.')[0]}.{element.__name__}: the host hands types of Azure's SDKs (deferred "
        f"bindings) to its own workers only; annotate it {instead}{way}"
    )


def _of_data_type(binding: Binding) -> str:
    return "" if binding.data_type is None else f' with dataType "{binding.data_type}"'


def _fits(converter: Any, pytype: Any, is_out: bool) -> bool:
    if typing.get_origin(pytype) is list:
        (element,) = typing.get_args(pytype)
        pytype = typing.List[element]  # type: ignore[valid-type]  # noqa: UP006 - the spelling that the library knows
    check = converter.check_output_type_annotation if is_out else converter.check_input_type_annotation
    try:
        return bool(check(pytype))
    except TypeError:  # issubclass of what is no class: a generic type that the converter does not look into
        return typing.get_origin(pytype) is not None


def _has_implicit_output(converter: Any) -> bool:
    try:
        return bool(getattr(converter, "has_implicit_output", lambda: False)())
    except TypeError:
        return False


def _find_return(
    found: AzureSignature, bindings: Sequence[Binding], annotation: Any, converter_of: Callable[[str], Any]
) -> None:
    explicit = next((b for b in bindings if b.name == RETURN), None)
    if explicit is not None:
        found.returns = Parameter(explicit, converter_of(explicit.key) or Generic, annotation)
        return
    for binding in bindings:
        converter = converter_of(binding.key)
        # Triggers that answer by themselves (durable functions, MCP tools), and types the library does not know.
        implicit = binding.key != "durableclient" if converter is None else _has_implicit_output(converter)
        if implicit and (binding.is_trigger or found.returns is None):
            found.returns = Parameter(binding, converter or Generic, annotation)
