"""A plain function as a tool of the host's MCP server: its arguments told to the host, and taken from a call.

Used by ai_decorators.py (`mcp_tool`); loaded_app.py completes the trigger, build.py puts `as_tool` around the handler.
Rule: the description of the arguments and their decoding come from one reading of the signature.
"""

import dataclasses
import functools
import inspect
from typing import Any, Final

import msgspec

from fastworker.errors import RequestError
from fastworker.functions.declarations import Adaptation, Handler, unwrapped
from fastworker.functions.signature import read_signature
from fastworker.protocol.bindings import Binding
from fastworker.protocol.envelope import wrong

# Property types of the host's MCP extension by those of JSON schema.
TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object"})


def with_properties(binding: Binding, handler: Handler) -> Binding:
    """A tool's trigger with its arguments as the host wants them: JSON text in `toolProperties`.

    Raises TypeError for an argument whose type JSON cannot hold.
    """
    if binding.key != "mcptooltrigger":
        return binding
    told = msgspec.json.encode([_property(p) for p in _parameters(handler)]).decode()
    return dataclasses.replace(binding, properties={**binding.properties, "toolProperties": told})


def as_tool(handler: Handler) -> Handler:
    """A handler with one argument, `context`: the call of a tool, whose arguments are checked and passed on."""
    parameters = _parameters(handler)

    @functools.wraps(handler)
    def call(context: Any) -> Any:
        return handler(**_arguments(context, parameters))

    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    )
    return call


def _parameters(handler: Handler) -> list[inspect.Parameter]:
    name = str(getattr(unwrapped(handler), "__name__", ""))
    return [
        p if p.annotation is not p.empty else p.replace(annotation=str)
        for p in read_signature(handler, name).parameters or ()
    ]


def _property(parameter: inspect.Parameter) -> dict[str, Any]:
    schema = msgspec.json.schema(parameter.annotation)
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    kind = options[0] if options else {}
    is_array = kind.get("type") == "array"
    item = kind.get("items", {}) if is_array else kind
    may_be_none = len(options) < len(schema.get("anyOf", [schema]))
    return {
        "propertyName": parameter.name,
        "propertyType": item["type"] if isinstance(item, dict) and item.get("type") in TYPES else "object",
        "description": kind.get("description") or schema.get("description") or "",
        "isRequired": parameter.default is parameter.empty and not may_be_none,
        "isArray": is_array,
    }


def _arguments(context: Any, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    given = (msgspec.json.decode(context) if isinstance(context, str) else context or {}).get("arguments") or {}
    found = {}
    for parameter in parameters:
        if parameter.name in given:
            try:
                found[parameter.name] = msgspec.convert(given[parameter.name], parameter.annotation)
            except msgspec.ValidationError as exc:
                raise wrong(f"arguments.{parameter.name}", exc) from None
        elif parameter.default is parameter.empty:
            if not _property(parameter)["isRequired"]:
                found[parameter.name] = None
            else:
                raise RequestError(400, f"the call of the tool lacks its argument {parameter.name!r}")
    return found


TOOL: Final = Adaptation(as_tool, with_properties)
