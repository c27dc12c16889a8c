"""Worker extensions of azure.functions (AppExtensionBase, FuncExtensionBase): their hooks around each invocation.

Used by azure_functions.py.
Rule: an extension that fails is logged and changes nothing, as in the official worker.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


def has_hooks(azf: Any, name: str) -> bool:
    """Whether an extension wants to be called around the invocations of a function."""
    kinds = ("pre_invocation_app_level", "pre_invocation", "post_invocation", "post_invocation_app_level")
    return any(getattr(hooks, kind, ()) for hooks, kind in _hooks(azf, name, kinds))


def function_loaded(azf: Any, name: str, directory: str) -> None:
    """Tells extensions that a function has been loaded."""
    for hooks, kind in _hooks(azf, name, ("post_function_load", "post_function_load_app_level")):
        for hook in getattr(hooks, kind, ()):
            try:
                hook.ext_impl(name, directory)
            except Exception:  # user code
                logging.getLogger(f"azure_functions_worker.extension.{hook.ext_name}").exception("a hook failed")


@contextmanager
def around_invocation(azf: Any, context: Any, arguments: dict[str, Any]) -> Iterator[Any]:
    """Runs the hooks before and, if the handler returned, behind it. Set `result` of what is given."""
    outcome = SimpleNamespace(result=None)
    _run(azf, context, ("pre_invocation_app_level", "pre_invocation"), arguments)
    yield outcome
    _run(azf, context, ("post_invocation", "post_invocation_app_level"), arguments, outcome.result)


def _run(azf: Any, context: Any, kinds: tuple[str, ...], *arguments: Any) -> None:
    for hooks, kind in _hooks(azf, context.function_name, kinds):
        for hook in getattr(hooks, kind, ()):
            logger = logging.getLogger(f"azure_functions_worker.extension.{hook.ext_name}")
            try:
                hook.ext_impl(logger, context, *arguments)
            except Exception:  # user code
                logger.exception("a hook failed")


def _hooks(azf: Any, name: str, kinds: tuple[str, ...]) -> Iterator[tuple[Any, str]]:
    meta = getattr(azf, "ExtensionMeta", None)
    if meta is None:
        return
    for kind in kinds:
        hooks = meta.get_application_hooks() if kind.endswith("app_level") else meta.get_function_hooks(name)
        if hooks is not None:
            yield hooks, kind
