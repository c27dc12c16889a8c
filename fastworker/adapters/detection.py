"""What kind of app a module holds: azure.functions, ASGI or WSGI, told by type, and the fastworker App for it.

Called by app.py for a module in which there is no fastworker.App, and for a folder.
Rule: one app or none. Where it cannot be told which one is meant, the message names them and how to choose.
"""

import inspect
import os
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastworker.adapters.http_app import adapt_application
from fastworker.errors import AppLoadError
from fastworker.functions.app import App

# Whose objects are never an application, though some can be called.
LIBRARIES: Final = frozenset({"builtins", "typing", "fastworker", "functools", "azure", "werkzeug", "logging"})
# Usual names of functions that make an application.
FACTORIES: Final = ("create_app", "make_app", "get_app", "build_app", "create_application", "app_factory")
# Attributes that hold an application, in the order in which they are looked for; any other name if it is the only one.
NAMES: Final = ("app", "application", "asgi_app", "wsgi_app", "api", "server")


def adapted(target: str, module: types.ModuleType, attribute: str | None, folder: Path) -> App | None:
    """The App for what the module holds, or None if it holds nothing that can be served.

    Raises AppLoadError for an app that cannot be loaded, and for several of which none is called `app`.
    """
    if attribute is not None:
        value: Any = module
        for part in attribute.split("."):
            value = getattr(value, part, None)
        return adapt_object(target, value, attribute, folder)
    register = _register_class()
    found = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and (_is_a(value, register) or _is_application(name, value))
    }
    registers = {n: v for n, v in found.items() if _is_a(v, register)}
    candidates = registers or found
    distinct = {id(value): name for name, value in candidates.items()}
    if not candidates:
        return None
    chosen: str | None = next((n for n in NAMES if n in candidates), None)
    if registers and len(distinct) > 1:
        chosen = None  # as in Azure: the host would not know which one to index
    if chosen is None:
        if len(distinct) > 1:
            raise AppLoadError(
                target,
                [
                    f"{module.__file__}: has several apps ({', '.join(sorted(candidates))}): keep one, call one of "
                    f"them `app`, or say which as module:attribute"
                ],
            )
        chosen = next(iter(candidates))
    return adapt_object(target, candidates[chosen], chosen, folder, is_named=False)


def adapt_object(target: str, value: Any, name: str, folder: Path, *, is_named: bool = True) -> App | None:
    """The App for one object that is called `name`; None if it is nothing that can be served.

    `is_named`: somebody said that this is the app, by its name or by the object itself.

    Raises AppLoadError for an azure.functions app whose functions cannot be built.
    """
    register = _register_class()
    if _is_a(value, register):
        from fastworker.adapters.azure_functions import adapt_register

        try:
            return adapt_register(value, folder)
        except ValueError as exc:
            raise AppLoadError(target, [str(exc)]) from exc
    return adapt_application(value, name, folder) if _is_application(name, value, is_named=is_named) else None


def hint(named: Mapping[str, Any], attribute: str | None) -> str:
    """What a module (or one attribute of it) holds in place of an app, and what to do; empty if nothing is known.

    `named` are the module's attributes.
    """
    if attribute is not None:
        first = attribute.partition(".")[0].removesuffix("()")
        named = {first: named[first]} if first in named else {}
    library = sys.modules.get("azure.functions")
    for name, value in named.items():
        if _is_a(value, getattr(library, "Blueprint", None)):
            return (
                f"{name!r} is a Blueprint of azure.functions, a part of an app: write `app = "
                f"azure.functions.FunctionApp()` and `app.register_functions({name})`"
            )
        if type(value).__name__ == "Blueprint" and type(value).__module__.partition(".")[0] in ("flask", "quart"):
            return f"{name!r} is a Blueprint, a part of an app: register it in one, and name that"
        is_one = attribute is not None or name in FACTORIES
        if is_one and _is_a(value, types.FunctionType) and _needs_nothing(value):
            return f"{name!r} is a function: if it makes the app, write `app = {name}()` there"
    return ""


def _needs_nothing(value: Any) -> bool:
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


def script_name() -> str:
    """The file that azure.functions' own setting names; empty if it is not set."""
    return os.environ.get("PYTHON_SCRIPT_FILE_NAME", "").strip()


def is_v1_folder(root: Path) -> bool:
    """Whether a folder has functions of azure.functions' v1 model: a function.json with a Python script beside it."""
    return any(True for path in root.glob("*/function.json") for _ in path.parent.glob("*.py"))


def adapt_folder(root: Path) -> App:
    """The App of a folder of v1 functions."""
    from fastworker.adapters.azure_functions import adapt_v1

    return adapt_v1(root)


ROUTINES: Final = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)


def _can_be_called(value: Any) -> bool:
    return any("__call__" in vars(cls) for cls in type(value).__mro__)


def _is_a(value: Any, cls: Any) -> bool:
    """isinstance without asking the object: proxies (flask.request) raise when they are asked outside a request."""
    return cls is not None and issubclass(type(value), cls)


def _register_class() -> Any:
    """azure.functions.FunctionRegister, if the app has imported the library."""
    library = sys.modules.get("azure.functions")
    return getattr(library, "FunctionRegister", None)


def _is_application(name: str, value: Any, *, is_named: bool = False) -> bool:
    """Whether a module's attribute is an ASGI or WSGI application.

    Objects count by what they can be called with; plain functions only where they are named, or of a usual name.
    """
    if _is_a(value, (types.ModuleType, App, type)) or not _can_be_called(value):
        return False
    if _is_a(value, types.FunctionType):
        return (is_named or name in NAMES) and (is_asgi(value) or takes(value) == 2)
    if type(value).__module__.partition(".")[0] in LIBRARIES:
        return False
    return is_asgi(value) or takes(value) == 2


def is_asgi(value: Any) -> bool:
    """Whether it is called with scope, receive and send, and has to be awaited."""
    call = value if _is_a(value, ROUTINES) else type(value).__call__
    return (inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(value)) and takes(value) == 3


def takes(value: Any) -> int:
    """How many positional arguments a call needs or takes at most; 0 if that cannot be told."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return 0
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
