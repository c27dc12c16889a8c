"""AsgiFunctionApp and WsgiFunctionApp of azure.functions: their web application on our own bridges.

Used by azure_functions.py. The library's middleware collects bodies and runs no lifespan before the first request.
Rule: what the application finds in its scope or environ under the library is there, too.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastworker.adapters.asgi import AsgiApp
from fastworker.adapters.azure_extensions import has_hooks
from fastworker.adapters.azure_invocation import CONTEXT, azure_context, function_of
from fastworker.adapters.wsgi import WsgiApp
from fastworker.functions.build import Function, argument_decoder, http_argument
from fastworker.functions.context import Context
from fastworker.functions.declarations import Declaration
from fastworker.protocol.bindings import Binding
from fastworker.protocol.messages import Request

# What the library puts into the scope or environ, each an attribute of its Context.
MEMBERS = (
    "function_directory",
    "function_name",
    "invocation_id",
    "thread_local_storage",
    "trace_context",
    "retry_context",
)


def web_application(handler: Callable[..., Any]) -> AsgiApp | WsgiApp | None:
    """The application behind the function that AsgiFunctionApp or WsgiFunctionApp makes; None for any other handler.

    None also where worker extensions are registered: they are shown the library's own request.
    """
    import azure.functions as azf

    if not str(getattr(handler, "__module__", "")).startswith("azure.functions.") or has_hooks(azf, handler.__name__):
        return None
    for value in inspect.getclosurevars(handler).nonlocals.values():
        application = getattr(value, "_app", None)
        if callable(application) and isinstance(value, azf.AsgiMiddleware):
            return AsgiApp(application)
        if callable(application) and isinstance(value, azf.WsgiMiddleware):
            return WsgiApp(application)
    return None


def build_web_function(
    application: AsgiApp | WsgiApp, declaration: Declaration, folder: Path, bindings: Sequence[Binding]
) -> tuple[Function | None, list[str]]:
    """The Function for an application, in the place of the one that the library makes."""
    name = declaration.function_name
    trigger = next(b for b in bindings if b.is_trigger)
    call = _WebCall(application, trigger.name, str(folder / name))
    is_async = isinstance(application, AsgiApp)
    return function_of(
        name,
        call.run_async if is_async else call.run,
        bindings,
        trigger,
        is_async=is_async,
        deadline_s=declaration.deadline_s,
        decoders=((trigger.name, argument_decoder(trigger, Request)),),
        http_arguments=((trigger.name, http_argument(Request)),),
        context_argument=CONTEXT,
        streams_request=True,
    ), []


class _WebCall:
    def __init__(self, application: Any, argument: str, directory: str) -> None:
        self._application = application
        self._argument = argument
        self._directory = directory

    def run(self, **arguments: Any) -> Any:
        return self._application(arguments[self._argument], self._members(arguments[CONTEXT]))

    async def run_async(self, **arguments: Any) -> Any:
        return await self._application(arguments[self._argument], self._members(arguments[CONTEXT]))

    def _members(self, context: Context) -> Mapping[str, Any]:
        import azure.functions as azf

        found = azure_context(azf, context, self._directory)
        return {f"azure_functions.{name}": getattr(found, name) for name in MEMBERS}
