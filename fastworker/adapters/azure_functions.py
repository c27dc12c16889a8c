"""Apps of azure.functions, unchanged: a FunctionApp (the v2 model), or a folder of v1 functions.

Called by detection.py. azure_signature.py matches arguments with bindings, azure_values.py and azure_http.py convert
values; invoke.py calls the handlers made here like any other.
Rule: what the official worker does with a function is done here; what only its host can do is not imitated.
"""

import asyncio
import functools
import importlib
import inspect
import json
import logging
import os
import re
import sys
import threading
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from fastworker import logs
from fastworker.adapters.azure_extensions import around_invocation, function_loaded
from fastworker.adapters.azure_http import azure_request, azure_response
from fastworker.adapters.azure_signature import AzureSignature, Parameter, azure_signature
from fastworker.adapters.azure_values import azure_decoder, written
from fastworker.adapters.web_extension import web_request_type, web_response
from fastworker.app import App
from fastworker.app_files import function_document_of
from fastworker.bindings import RETURN, Binding
from fastworker.config_files import ConfigFileError
from fastworker.context import Context, Result
from fastworker.declarations import Declaration, place_of
from fastworker.envelope import envelope_reader
from fastworker.function_json import from_json
from fastworker.messages import HTTP_VALUE, Request, Response
from fastworker.outputs import output_encoder
from fastworker.plan import Function, argument_decoder, http_argument

DEFAULT_SCRIPTS: Final = ("__init__.py", "main.py")
DEFAULT_ENTRY: Final = "main"
# The package in which v1 functions live, so that `from . import x` and `from __app__ import x` work as in Azure.
NAMESPACE: Final = "__app__"


class AzureApp(App):
    """An azure.functions app as fastworker loads it. `kind` says which model it is, for the line at start-up."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__()
        self.folder = folder
        self.kind = kind


def adapt_register(register: Any, folder: Path) -> AzureApp:
    """The App of a FunctionApp (also AsgiFunctionApp, WsgiFunctionApp and other FunctionRegisters).

    Raises ValueError, as the library does, for functions that it cannot build (two of one name, no trigger).
    """
    app = AzureApp(folder, f"azure.functions {type(register).__name__}")
    for function in register.get_functions():
        handler = function.get_user_function()
        name = function.get_function_name()
        where = place_of(handler)
        bindings = [from_json(_plain_members(json.loads(text)), where) for text in function.get_raw_bindings()]
        retry = function.get_settings_dict("retry_policy")
        declaration = _declare(app, handler, name, [_arranged(b, handler) for b in bindings])
        if retry:
            declaration.members["retry"] = _retry(retry)
    _set_up_logging(folder)
    return app


def adapt_v1(root: Path) -> AzureApp:
    """The App of a folder of v1 functions: each folder with a function.json and a Python script.

    A script that cannot be imported fails the invocations of its function only, as in Azure.
    """
    app = AzureApp(root, "azure.functions folders (v1)")
    for path in sorted(root.glob("*/function.json")):
        document = function_document_of(path)
        try:
            handler = _load_v1(root, path.parent, document)
        except (Exception, SystemExit) as exc:  # user code runs at import, and may raise anything
            error = _explained(exc)
            logs.write_traceback(f"function {path.parent.name!r} cannot be loaded", exc)
            declaration = Declaration(_unusable(error), f"{path}:1", path.parent.name)
            declaration.build = functools.partial(_build_unusable, declaration)
            app.declarations.append(declaration)
        else:
            _declare(app, handler, path.parent.name, []).where = f"{path}:1"
    _set_up_logging(root)
    return app


def _declare(app: AzureApp, handler: Callable[..., Any], name: str, bindings: list[Binding]) -> Declaration:
    declaration = Declaration(handler, place_of(handler), name, bindings=bindings)
    declaration.build = functools.partial(_build, declaration, app.folder)
    app.declarations.append(declaration)
    return declaration


def _set_up_logging(root: Path) -> None:
    """Logging as the official worker has it.

    Its own loggers and the library's are no business of the app. DEBUG comes by its own switch only, and if host.json
    lets it pass: the host cannot tell our lines' levels, and so cannot leave them out by itself.
    """
    for name in ("azure_functions_worker", "azure.functions"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    if os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").strip().lower() in ("1", "true"):
        level = _host_level(root)
        logging.getLogger().setLevel(logging.DEBUG if level in ("trace", "debug") else logging.INFO)


def _host_level(root: Path) -> str:
    """The level below which the host drops a function's lines; without a word in host.json Information."""
    try:
        document = function_document_of(root / "host.json")
    except (FileNotFoundError, ConfigFileError):
        return "information"
    section = document.get("logging")
    levels = section.get("logLevel") if isinstance(section, dict) else None
    if not isinstance(levels, dict):
        return "information"
    return str(levels.get("Function") or levels.get("default") or "information").lower()


# ---- v2: what the library says of a binding --------------------------------------------------------------------


def _plain_members(members: dict[str, Any]) -> dict[str, Any]:
    """The members of function.json: the library spells enums in capitals and writes what is not set as null."""
    found = {name: value for name, value in members.items() if value is not None}
    for name in ("direction", "dataType", "cardinality", "authLevel"):
        if isinstance(found.get(name), str):
            found[name] = found[name].lower()
    if found.get("dataType") == "undefined":
        del found["dataType"]
    if isinstance(found.get("route"), str):
        # AsgiFunctionApp's own route begins with a slash, which stops the whole app in the host.
        found["route"] = found["route"].lstrip("/")
    return found


def _arranged(binding: Binding, handler: Callable[..., Any]) -> Binding:
    """A blob input without dataType arrives as text, and is damaged if it is none: `binary` where nothing is said."""
    if binding.key == "blob" and binding.is_input and binding.data_type is None:
        annotation = getattr(handler, "__annotations__", {}).get(binding.name)
        if annotation is not str:
            return replace(binding, data_type="binary")
    return binding


def _retry(policy: dict[str, Any]) -> dict[str, Any]:
    """function.json's `retry` of a retry policy: numbers as numbers, the strategy in the host's spelling."""
    names = {"fixed_delay": "fixedDelay", "exponential_backoff": "exponentialBackoff"}
    found: dict[str, Any] = {}
    for snake, value in policy.items():
        name = re.sub(r"_([a-z])", lambda m: m[1].upper(), snake)
        if value is not None and name != "settingName":
            found[name] = names.get(str(value), value) if name == "strategy" else value
    if "maxRetryCount" in found:
        found["maxRetryCount"] = int(found["maxRetryCount"])
    return found


# ---- v1: scripts ---------------------------------------------------------------------------------------------


def _script(folder: Path, document: dict[str, Any]) -> Path | None:
    """The Python file of a v1 function, found as the host finds it: named, or by its usual name, or the only one."""
    named = document.get("scriptFile")
    if isinstance(named, str) and named:
        return (folder / named).resolve()
    for name in DEFAULT_SCRIPTS:
        if (folder / name).is_file():
            return folder / name
    scripts = sorted(folder.glob("*.py"))
    return scripts[0] if len(scripts) == 1 else None


def _load_v1(root: Path, folder: Path, document: dict[str, Any]) -> Callable[..., Any]:
    script = _script(folder, document)
    if script is None:
        raise ValueError(
            f'{folder / "function.json"}:1: no Python script for this function: name it by "scriptFile", or call it '
            f"__init__.py"
        )
    if script.suffix != ".py" or not script.is_file():
        raise ValueError(f'{folder / "function.json"}:1: "scriptFile" names {script}, which is no Python file')
    package = sys.modules.get(NAMESPACE)
    if package is None:
        package = sys.modules[NAMESPACE] = types.ModuleType(NAMESPACE)
        package.__path__ = []
    if str(root) not in package.__path__:
        package.__path__ = [*package.__path__, str(root)]
    parts = list(script.relative_to(root.resolve()).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    module = importlib.import_module(".".join([NAMESPACE, *parts]))
    entry = document.get("entryPoint") or DEFAULT_ENTRY
    handler = getattr(module, entry, None)
    if not callable(handler):
        raise ValueError(
            f"{script}:1: defines no function {entry!r}, which {folder.name}/function.json asks for: define it, or "
            f'name another by "entryPoint"'
        )
    return handler  # type: ignore[no-any-return]


def _explained(error: BaseException) -> BaseException:
    """A missing module in the official worker's words, which people search for."""
    if not isinstance(error, ModuleNotFoundError):
        return error
    return ModuleNotFoundError(
        f"{error}. Cannot find module. Please check the requirements.txt file for the missing module. For more info, "
        f"please refer the troubleshooting guide: https://aka.ms/functions-modulenotfound. "
        f"Current sys.path: {sys.path}",
        name=error.name,
    )


def _unusable(error: BaseException) -> Callable[..., Any]:
    """The handler of a function whose script could not be imported: each call fails with what the import raised."""

    def handler(**_: Any) -> Any:
        raise error.with_traceback(None)

    return handler


def _build_unusable(declaration: Declaration, bindings: Sequence[Binding]) -> tuple[Function | None, list[str]]:
    trigger = next((b for b in bindings if b.is_trigger), None)
    if trigger is None:
        return None, [f"{declaration.where}: function {declaration.function_name!r} has no trigger"]
    return _function(declaration.function_name, declaration.handler, bindings, trigger), []


def _function(
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


# ---- one function --------------------------------------------------------------------------------------------


def _build(declaration: Declaration, folder: Path, bindings: Sequence[Binding]) -> tuple[Function | None, list[str]]:
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
    return _function(
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
        context = _context(self._azf, arguments.pop(CONTEXT), self._directory)
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


def _context(azf: Any, context: Context, directory: str) -> Any:
    """azure.functions.Context of an invocation."""
    cls = _context_class(azf)
    found = cls()
    found.invocation_id = context.invocation_id
    found.function_name = context.function_name
    found.function_directory = directory
    found.thread_local_storage = _THREAD_LOCAL
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


_THREAD_LOCAL = threading.local()


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
