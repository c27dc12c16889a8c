"""One function of azure.functions: its arguments in the library's types, its results as fastworker's.

Made by azure_functions.py. azure_signature.py matches arguments with bindings, azure_values.py and azure_http.py
convert values; invocation.py calls the handlers made here like any other.
Rule: what the official worker does with a function is done here; what only its host can do is not imitated.
"""

import asyncio
import functools
import inspect
import threading
import types
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from fastworker.adapters.azure_extensions import around_invocation, function_loaded
from fastworker.adapters.azure_http import azure_request, azure_response
from fastworker.adapters.azure_signature import AzureSignature, Parameter, azure_signature
from fastworker.adapters.azure_values import azure_decoder, written
from fastworker.adapters.web_extension import web_request_type, web_response
from fastworker.functions.build import Function, argument_decoder, http_argument
from fastworker.functions.context import Context, Result
from fastworker.functions.declarations import Declaration
from fastworker.logs import CURRENT, Capture
from fastworker.protocol.bindings import RETURN, Binding
from fastworker.protocol.envelope import envelope_reader
from fastworker.protocol.messages import HTTP_VALUE, Request, Response
from fastworker.protocol.outputs import output_encoder


def function_of(
    name: str,
    handler: Callable[..., Any],
    bindings: Sequence[Binding],
    trigger: Binding,
    **more: Any,
) -> Function:
    """A Function; `more` are the fields in which it differs from one that takes nothing."""
    outputs = {b.name: b for b in bindings if b.is_output}
    http_output = next((b.name for b in bindings if b.is_http_output), None)
    fields: dict[str, Any] = {
        "is_async": False,
        "deadline_s": None,
        "decoders": (),
        "http_arguments": (),
        "context_argument": None,
        "encoders": {key: output_encoder(binding) for key, binding in outputs.items()},
        "return_to": RETURN if RETURN in outputs else http_output,
        "streams_request": False,
        **more,
    }
    return Function(
        name=name,
        handler=handler,
        bindings=tuple(bindings),
        trigger=trigger,
        read_envelope=envelope_reader(
            {b.name: HTTP_VALUE if b.key == "httptrigger" else msgspec.Raw for b in bindings if b.is_input}
        ),
        outs=(),
        http_output=http_output,
        failure_title=_failure_title,
        **fields,
    )


def _failure_title(error: BaseException) -> str:
    """What the official worker logs of a failed invocation, up to the stack."""
    try:
        text = str(error)
    except Exception:  # user code: an exception's own __str__
        text = "(its __str__ failed)"
    return f"Result: Failure\nException: {type(error).__name__}: {text}\nStack:"


def build_function(
    declaration: Declaration, folder: Path, bindings: Sequence[Binding]
) -> tuple[Function | None, list[str]]:
    """The Function of one azure.functions handler, or None and everything that is wrong with it."""
    import azure.functions as azf
    from azure.functions import meta

    name, handler = declaration.function_name, declaration.handler
    trigger = next((b for b in bindings if b.is_trigger), None)
    if trigger is None:
        return None, [f"{declaration.where}: function {name!r} has no trigger"]
    types_by_key = {str(key).lower(): converter for key, converter in meta._ConverterMeta._bindings.items()}
    web_type = web_request_type()
    signature = azure_signature(name, handler, bindings, types_by_key.get, web_type)
    if signature.problems:
        return None, signature.problems
    function_loaded(azf, name, str(folder / name))
    decoders = []
    http_arguments: list[tuple[str, Any]] = []
    for parameter in signature.inputs.values():
        binding = parameter.binding
        if binding.key == "httptrigger":
            decoders.append((binding.name, argument_decoder(binding, Request)))
            http_arguments.append((binding.name, http_argument(Request)))
        else:
            decoders.append((binding.name, azure_decoder(binding, parameter.converter, meta.Datum)))
    encoders = {b.name: output_encoder(b) for b in bindings if b.is_output}
    returns = signature.returns
    if returns is not None and returns.binding.is_trigger:
        encoders[RETURN] = output_encoder(returns.binding)
    http_output = next((b.name for b in bindings if b.is_http_output), None)
    uses_web = trigger.key == "httptrigger" and web_type is not None
    call = _Call(name, handler, signature, azf, folder / name, uses_web=uses_web)
    is_async = inspect.iscoroutinefunction(handler) or uses_web
    return function_of(
        name,
        call.run_async if is_async else call.run,
        bindings,
        trigger,
        is_async=is_async,
        deadline_s=declaration.deadline_s,
        decoders=tuple(decoders),
        http_arguments=tuple(http_arguments),
        context_argument=CONTEXT,
        encoders=encoders,
        return_to=RETURN if RETURN in encoders else http_output,
        streams_request=uses_web,
    ), []


# The argument that brings fastworker's Context; no handler's own can be called so.
CONTEXT: Final = "fastworker context"


class _Out:
    """azure.functions.Out: what was set last."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, value: Any) -> None:
        self._value = value

    def get(self) -> Any:
        return self._value


class _Call:
    """Calls one handler: its arguments in the library's types, its results as fastworker's."""

    def __init__(
        self,
        name: str,
        handler: Callable[..., Any],
        signature: AzureSignature,
        azf: Any,
        directory: Path,
        *,
        uses_web: bool,
    ) -> None:
        self.uses_web = uses_web
        self._name = name
        self._handler = handler
        self._signature = signature
        self._azf = azf
        self._directory = str(directory)
        self._http_inputs = [n for n, p in signature.inputs.items() if p.binding.key == "httptrigger"]

    def run(self, **arguments: Any) -> Any:
        context = self._prepare(arguments)
        with around_invocation(self._azf, context, arguments) as extension:
            result = extension.result = self._handler(**arguments)
        return self._finish(arguments, result)

    async def run_async(self, **arguments: Any) -> Any:
        if self.uses_web:
            return await web_response(arguments[self._http_inputs[0]], functools.partial(self._run_web, arguments))
        context = self._prepare(arguments)
        with around_invocation(self._azf, context, arguments) as extension:
            result = extension.result = await self._handler(**arguments)
        return self._finish(arguments, result)

    async def _run_web(self, arguments: dict[str, Any], request: Any) -> Any:
        """With a web extension the handler gets its framework's request, and gives that one's response."""
        arguments = {**arguments, self._http_inputs[0]: request}
        context = self._prepare(arguments, http=False)
        with around_invocation(self._azf, context, arguments) as extension:
            if inspect.iscoroutinefunction(self._handler):
                result = await self._handler(**arguments)
            else:
                result = await asyncio.to_thread(self._handler, **arguments)
            extension.result = result
        return result

    def _prepare(self, arguments: dict[str, Any], *, http: bool = True) -> Any:
        """Makes the arguments what the handler asks for; returns azure.functions' Context."""
        context = azure_context(self._azf, arguments.pop(CONTEXT), self._directory)
        if http:
            for name in self._http_inputs:
                arguments[name] = azure_request(arguments[name], self._azf.http)
        for name in self._signature.outputs:
            arguments[name] = _Out()
        if self._signature.wants_context:
            arguments["context"] = context
        return context

    def _finish(self, arguments: dict[str, Any], result: Any) -> Result[Any]:
        """The outputs and the return value. Raises TypeError or RuntimeError for what the official worker refuses."""
        returns = self._signature.returns
        if result is not None and returns is None:
            raise RuntimeError(f"function {self._name!r} without a $return binding returned a non-None value")
        outputs: dict[str, Any] = {}
        for name, parameter in self._signature.outputs.items():
            value = arguments[name].get()
            if value is not None:
                outputs[name] = self._written(parameter, value)
            elif parameter.binding.is_http_output:
                outputs[name] = Response(status_code=200)
        if returns is None or not (returns.binding.name == RETURN or returns.binding.is_trigger):
            result = None  # a function with a binding that the library does not know may return what nobody reads
        else:
            result = self._written(returns, result)
        return Result(result, **outputs)

    def _written(self, parameter: Parameter, value: Any) -> Any:
        if not parameter.binding.is_http_output:
            return written(parameter.binding, parameter.converter, value, parameter.pytype)
        try:
            return azure_response(parameter.converter.encode(value, expected_type=parameter.pytype))
        except NotImplementedError:
            raise TypeError(
                f"function {self._name!r} returned a value of the type {type(value).__name__} for its http output "
                f"{parameter.binding.name!r}: return an azure.functions.HttpResponse or a str"
            ) from None


def azure_context(azf: Any, context: Context, directory: str) -> Any:
    """azure.functions.Context of an invocation."""
    cls = _context_class(azf)
    found = cls()
    found.invocation_id = context.invocation_id
    found.function_name = context.function_name
    found.function_directory = directory
    found.thread_local_storage = _THREAD_LOCAL
    capture = CURRENT.get()
    if capture is not None:
        _CAPTURES[context.invocation_id] = capture
    _THREAD_LOCAL.invocation_id = context.invocation_id
    found.trace_context = types.SimpleNamespace(
        traceparent=context.traceparent,
        tracestate=None,
        attributes={},
        Traceparent=context.traceparent,
        Tracestate=None,
        Attributes={},
    )
    found.retry_context = _Retry(context)
    return found


class _ThreadLocal(threading.local):
    """`Context.thread_local_storage`: a thread that says by it which invocation it works for logs into that one.

    Threads that an invocation starts do so by themselves; this is for those that were there before.
    """

    _id: str | None = None

    @property
    def invocation_id(self) -> str | None:
        return self._id

    @invocation_id.setter
    def invocation_id(self, value: str | None) -> None:
        self._id = value
        CURRENT.set(_CAPTURES.get(value or ""))


_THREAD_LOCAL: Final = _ThreadLocal()
# The logs of the invocations that run now, by their id.
_CAPTURES: Final["weakref.WeakValueDictionary[str, Capture]"] = weakref.WeakValueDictionary()


class _Retry:
    """azure.functions' RetryContext, read when it is asked for. `exception` is of the attempt before."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def retry_count(self) -> int:
        return self._context.retry_count

    @property
    def max_retry_count(self) -> int | None:
        return self._context.max_retry_count

    @property
    def exception(self) -> Any:
        retry = self._context.metadata.get("RetryContext")
        found = retry.get("Exception") if isinstance(retry, dict) else None
        if not isinstance(found, dict):
            return None
        message = found.get("Message") or found.get("message")
        return types.SimpleNamespace(
            source=found.get("Source"), stack_trace=found.get("StackTraceString"), message=message
        )


@functools.cache
def _context_class(azf: Any) -> Any:
    """A Context whose members can be set: the library's is abstract, and `isinstance` must hold."""
    names = ("invocation_id", "function_name", "function_directory", "thread_local_storage", "trace_context")
    return type("Context", (azf.Context,), dict.fromkeys((*names, "retry_context")))
