"""From a target to the App: which file holds it, importing that, and what becomes of whatever the import raises.

Used by loaded_app.py. An app that is none of ours is handed to adapters/.
Rule: an import that fails ends in an AppLoadError with the file and line of the user's code.
"""

import importlib.util
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fastworker import forks, logs
from fastworker.errors import AppLoadError, one_line
from fastworker.frames import is_ours
from fastworker.functions.app import App

L = TypeVar("L")
DEFAULT_FILE = "function_app.py"
# Files that may hold an app, in the order in which a folder is searched.
FILES = (DEFAULT_FILE, "main.py", "app.py", "asgi.py", "wsgi.py")


def find_app(target: str, base: Path) -> tuple[App, Path]:
    """The App that `target` names, found from the folder `base`, and the folder that it lies in.

    Raises AppLoadError if there is none, or its import fails.
    """
    path = base / target
    if path.is_dir():
        path = _file_in(path)
        if path.is_dir():
            return _adapted_folder(target, path.absolute()), path.absolute()
    elif target == DEFAULT_FILE and not path.is_file():
        return find_app(".", base)
    if path.suffix == ".py" and path.is_file():
        folder = path.absolute().parent
        last = _uses_azure_functions(path)
        module = _import(target, folder, lambda: _import_file(path.absolute()), is_last=last)
        return _app_in(target, module, None, folder), folder
    module_name, _, attribute = target.partition(":")
    if path.suffix == ".py" or path.is_file() or not all(part.isidentifier() for part in module_name.split(".")):
        raise AppLoadError(
            target,
            [
                f"{path.absolute()} does not exist: name a .py file, a folder with one of {', '.join(FILES)}, or "
                f"module:attribute"
            ],
        )
    folder = base.absolute()
    module = _import(target, folder, lambda: importlib.import_module(module_name))
    if module.__file__:
        folder = Path(module.__file__).absolute().parent
    return _app_in(target, module, attribute or None, folder), folder


def _file_in(folder: Path) -> Path:
    """The file of a folder that holds its app; the folder itself where functions lie in folders of their own (v1)."""
    if (folder / DEFAULT_FILE).is_file() and _names_fastworker(folder / DEFAULT_FILE):
        return folder / DEFAULT_FILE
    from fastworker.adapters.detection import is_v1_folder, script_name

    named = script_name()
    if named and (folder / named).is_file():
        return folder / named
    found = next((folder / name for name in FILES if (folder / name).is_file()), None)
    return found or (folder if is_v1_folder(folder) else folder / DEFAULT_FILE)


def holds_app(folder: Path) -> bool:
    """Whether a folder has a file that may hold an app, or functions of azure.functions' v1 model."""
    return _file_in(folder).exists()


def _names_fastworker(path: Path) -> bool:
    return b"fastworker" in path.read_bytes()


def _adapted_folder(target: str, folder: Path) -> App:
    from fastworker.adapters.detection import adapt_folder

    _extend_path(folder, is_last=True)
    return _guarded(target, folder, lambda: adapt_folder(folder))


def _extend_path(folder: Path, *, is_last: bool) -> None:
    """Makes the folder's modules importable. azure.functions apps expect installed packages to come first."""
    if is_last:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    elif sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def _uses_azure_functions(path: Path) -> bool:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return False
    return "azure.functions" in text and "fastworker" not in text


def _import(
    target: str, folder: Path, load: Callable[[], types.ModuleType], *, is_last: bool = False
) -> types.ModuleType:
    _extend_path(folder, is_last=is_last)
    return _guarded(target, folder, load)


def _guarded(target: str, folder: Path, load: Callable[[], L]) -> L:
    """What `load` gives; whatever user code raises meanwhile becomes an AppLoadError with its place."""
    me = os.getpid()
    try:
        found = load()
    except AppLoadError:
        raise
    except BaseException as exc:  # user code runs at import, and may raise anything
        if os.getpid() != me:
            forks.leave(exc)  # a child that the import has forked: it speaks for nobody but itself
        exc.with_traceback(_of_the_app(exc.__traceback__))
        if isinstance(exc, SystemExit):
            what = f"sys.exit({exc.code!r}) was called"
        else:
            if _adds_to_its_line(exc):
                logs.write_traceback("importing the app failed", exc)
            what = one_line(exc, qualified=True)
        raise AppLoadError(target, [f"{_place_of_error(exc, folder)}: at import: {what}"]) from exc
    if os.getpid() != me:
        logs.log.error("app.forked", detail="the import of the app forked, and the child came back out of it; ended")
        os._exit(1)
    return found


def _adds_to_its_line(exc: BaseException) -> bool:
    """Whether a traceback tells more than the file and line at which the app raised, which is told in any case."""
    frames = exc.__traceback__
    return (
        isinstance(exc, SyntaxError)
        or exc.__cause__ is not None
        or exc.__context__ is not None
        or (frames is not None and frames.tb_next is not None)
    )


def _of_the_app(frames: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback without our own frames, at both ends, and those of the import system, with which each begins."""
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if not is_ours(file) and "importlib" not in file:
            break
        frames = frames.tb_next
    last = inner = frames
    while inner is not None:
        if not is_ours(inner.tb_frame.f_code.co_filename):
            last = inner
        inner = inner.tb_next
    if last is not None:
        last.tb_next = None  # what we have raised ourselves is told with the line that asked for it
    return frames


def _import_file(path: Path) -> types.ModuleType:
    name = path.stem
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) != str(path):
        name = f"{name}_{abs(hash(path)):x}"  # another module has the name, perhaps one of the standard library
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it is a .py file
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _place_of_error(exc: BaseException, folder: Path) -> str:
    """`file:line` of the user's code that raised: the deepest frame below the app's folder, else the deepest."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{exc.filename}:{exc.lineno}"
    frames = traceback.extract_tb(exc.__traceback__)
    own = [f for f in frames if f.filename.startswith(str(folder) + os.sep)]
    for frame in reversed(own or frames):
        if not is_ours(frame.filename):
            return f"{frame.filename}:{frame.lineno}"
    return str(folder)


def _app_in(target: str, module: types.ModuleType, attribute: str | None, folder: Path) -> App:
    file = module.__file__ or module.__name__
    if attribute:
        value: Any = module
        for part in attribute.split("."):
            value = getattr(value, part, None)
        if isinstance(value, App):
            return value
        foreign = _adapted(target, module, attribute, folder)
        if foreign is not None:
            return foreign
        if hint := _hint(module, attribute):
            raise AppLoadError(target, [f"{file}: {hint}"])
        state = "is not defined" if value is None else f"is no app, but of the type {type(value).__name__}"
        raise AppLoadError(
            target,
            [
                f"{file}: {attribute!r} {state}: write `{attribute} = fastworker.App()` there, or name an "
                f"azure.functions, ASGI or WSGI app"
            ],
        )
    chosen = getattr(module, "app", None)
    apps = {id(value): (name, value) for name, value in vars(module).items() if isinstance(value, App)}
    apps = {key: found for key, found in apps.items() if not found[1].is_included}
    if isinstance(chosen, App):
        others = [name for name, app in apps.values() if app is not chosen and app.declarations]
        if others and not chosen.is_included:
            detail = f"{file}: `app` is served, and {', '.join(others)} not: write app.include({others[0]})"
            logs.log.warning("app.not_included", detail=detail)
        return chosen
    if len(apps) == 1:
        return next(iter(apps.values()))[1]
    if not apps:
        foreign = _adapted(target, module, None, folder)
        if foreign is not None:
            return foreign
        if hint := _hint(module, None):
            raise AppLoadError(target, [f"{file}: defines no app: {hint}"])
        raise AppLoadError(
            target,
            [
                f"{file}: defines no app: write `app = fastworker.App()` there, or name an azure.functions, ASGI or "
                f"WSGI app as module:attribute"
            ],
        )
    names = ", ".join(name for name, _ in apps.values())
    raise AppLoadError(
        target,
        [
            f"{file}: has several Apps ({names}): name the one that includes the others `app` "
            f"(app.include(other)), or say which as module:attribute"
        ],
    )


def _adapted(target: str, module: types.ModuleType, attribute: str | None, folder: Path) -> App | None:
    """The App for an azure.functions, ASGI or WSGI app in the module; adapters are imported for these only."""
    from fastworker.adapters.detection import adapted

    return _guarded(target, folder, lambda: adapted(target, module, attribute, folder))


def _hint(module: types.ModuleType, attribute: str | None) -> str:
    from fastworker.adapters.detection import hint

    return hint(vars(module), attribute)
