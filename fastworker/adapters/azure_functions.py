"""Apps of azure.functions, unchanged: a FunctionApp (the v2 model), or a folder of v1 functions.

Called by detection.py; azure_invocation.py makes each function.
Rule: what the official worker takes for an app is taken here, and what it refuses is refused with the place.
"""

import functools
import importlib
import json
import logging
import os
import re
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fastworker import logs
from fastworker.adapters.asgi import AsgiApp
from fastworker.adapters.azure_invocation import build_function, function_of
from fastworker.adapters.azure_web_app import build_web_function, web_application
from fastworker.adapters.wsgi import WsgiApp
from fastworker.config.app_files import function_document_of
from fastworker.config.config_files import ConfigFileError
from fastworker.config.function_json import from_json
from fastworker.config.host_json import HostJson
from fastworker.functions.app import App
from fastworker.functions.build import Function
from fastworker.functions.declarations import Declaration, place_of
from fastworker.protocol.bindings import Binding

DEFAULT_SCRIPTS: Final = ("__init__.py", "main.py")
DEFAULT_ENTRY: Final = "main"
# Settings of the official worker that mean nothing here, and why.
NOT_NEEDED: Final = {
    "PYTHON_ISOLATE_WORKER_DEPENDENCIES": "there is no worker whose libraries could clash with the app's",
    "PYTHON_THREADPOOL_THREAD_COUNT": "def functions run in processes; FASTWORKER_WORKERS says how many",
}
# The package in which v1 functions live, so that `from . import x` and `from __app__ import x` work as in Azure.
NAMESPACE: Final = "__app__"


class AzureApp(App):
    """An azure.functions app as fastworker loads it. `kind` says which model it is, for the line at start-up."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__()
        self.folder = folder
        self.kind = kind
        self.web_applications: list[AsgiApp | WsgiApp] = []

    def under_host(self, host: HostJson, *, has_file: bool) -> HostJson:
        """The host's route prefix is no part of the paths that a web application knows."""
        for application in self.web_applications:
            application.prefix = host.route_prefix
        return host


def adapt_register(register: Any, folder: Path) -> AzureApp:
    """The App of a FunctionApp (also AsgiFunctionApp, WsgiFunctionApp and other FunctionRegisters).

    Raises ValueError, as the library does, for functions that it cannot build (two of one name, no trigger).
    """
    app = AzureApp(folder, f"azure.functions {type(register).__name__}")
    for function in _functions_of(register):
        handler = function.get_user_function()
        name = function.get_function_name()
        where = place_of(handler)
        bindings = [from_json(_plain_members(json.loads(text)), where) for text in function.get_raw_bindings()]
        retry = function.get_settings_dict("retry_policy")
        declaration = _declare(app, handler, name, [_arranged(b, handler) for b in bindings])
        application = web_application(handler)
        if application is not None:
            _serve_by_bridge(app, application, declaration)
        if retry:
            declaration.members["retry"] = _retry(retry)
    _set_up_logging(folder)
    return app


# The functions of each FunctionApp that has been adapted, and how many decorators it had then.
_BUILT: Final["weakref.WeakKeyDictionary[Any, tuple[int, list[Any]]]"] = weakref.WeakKeyDictionary()


def _functions_of(register: Any) -> list[Any]:
    """`get_functions`, which the library lets nobody call twice; each test of an app makes a TestClient of it."""
    count = len(getattr(register, "_function_builders", ()))
    known = _BUILT.get(register)
    if known is None or known[0] != count:
        if known is not None:
            register.functions_bindings = {}  # more functions have been decorated since
        known = _BUILT[register] = (count, register.get_functions())
    return known[1]


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
    declaration.build = functools.partial(build_function, declaration, app.folder)
    app.declarations.append(declaration)
    return declaration


def _serve_by_bridge(app: AzureApp, application: AsgiApp | WsgiApp, declaration: Declaration) -> None:
    declaration.build = functools.partial(build_web_function, application, declaration, app.folder)
    app.web_applications.append(application)
    if isinstance(application, AsgiApp):
        app.on_worker_start(application.startup)
        app.on_worker_stop(application.shutdown)
        if application.has_def_endpoints:
            app.concurrency = 1


def _set_up_logging(root: Path) -> None:
    """Logging as the official worker has it.

    Its own loggers and the library's are no business of the app. DEBUG comes by its own switch only, and if host.json
    lets it pass: the host cannot tell our lines' levels, and so cannot leave them out by itself.
    """
    for name, why in NOT_NEEDED.items():
        if name in os.environ:
            logs.log.info("azure.setting", name=name, detail=f"it is not needed here: {why}")
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
    return function_of(declaration.function_name, declaration.handler, bindings, trigger), []
