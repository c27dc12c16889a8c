"""App, the object that user code decorates its functions with; and load_app, which turns a target into functions.

Uses declarations.py (what is declared), plan.py (what becomes of it) and app_files.py (function.json,
host.json). Rule: load_app reports all mistakes together, each with file, line and the way to mend it.
"""

import importlib.util
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, overload

from fastworker import forks, logs
from fastworker.app_files import function_folders, function_json_of, host_json_of, twin_folders
from fastworker.bindings import Binding, HostConfig, HttpShape, is_http_only, name_problems, name_warnings
from fastworker.config_files import ConfigFileError
from fastworker.declarations import Declaration, Decorator, call_site
from fastworker.errors import AppLoadError, one_line
from fastworker.frames import is_ours
from fastworker.http_routes import HttpRoute, http_routes, routes_of_host_json
from fastworker.input_decorators import InputDecorators
from fastworker.mixed_auth import MixedAuth, check_levels
from fastworker.output_decorators import OutputDecorators
from fastworker.plan import Function, as_annotated, make_function
from fastworker.route_checks import route_problems, route_warnings, without_leading_slash
from fastworker.trigger_checks import check_trigger
from fastworker.trigger_decorators import TriggerDecorators

F = TypeVar("F", bound=Callable[..., Any])
L = TypeVar("L")

__all__ = ["App", "Function", "LoadedApp", "assemble", "load_app"]

DEFAULT_FILE = "function_app.py"
# Files that may hold an app, in the order in which a folder is searched.
FILES = (DEFAULT_FILE, "main.py", "app.py", "asgi.py", "wsgi.py")


class App(TriggerDecorators, InputDecorators, OutputDecorators):
    """An app: a set of functions.

    `state` is a free namespace, one per worker, for what the hooks open; `folder` is that of the module that made it.

    Example:
        app = fw.App()

        @app.route("hello")
        def hello(req: fw.Request) -> str:
            return f"hello {req.query.get('name', 'you')}"

    See protocol 1.3.
    """

    # What an adapter made it of, for the line at start-up.
    kind = ""
    # Async invocations that may be in flight in one worker, unless FASTWORKER_CONCURRENCY says so.
    concurrency = 64

    def __init__(self, *, extra_binding_types: Iterable[str] = ()) -> None:
        """`extra_binding_types` are types of new extensions, for the generic decorators and function.json."""
        super().__init__()
        self.state = types.SimpleNamespace()
        self.start_hooks: list[Callable[[], Any]] = []
        self.stop_hooks: list[Callable[[], Any]] = []
        self.extra_binding_types = tuple(extra_binding_types)
        self.folder = Path(call_site().rpartition(":")[0]).parent

    def under_host(self, host: HostConfig, *, has_file: bool) -> HostConfig:
        """What holds for this app of what host.json says; `has_file` tells whether there is one."""
        return host

    @overload
    def function(self, name: F) -> F: ...
    @overload
    def function(self, name: str | None = None, *, deadline: float | None = None) -> Decorator: ...
    def function(self, name: Any = None, *, deadline: float | None = None) -> Any:
        """Name a function, limit its time, or bind it by name alone to `{name}/function.json`.

        Optional where a trigger decorator stands.

        Args:
            name: the function's name in the host; by default the handler's own.
            deadline: seconds after which `DeadlineExceeded` is raised in the handler, counted from the host's send. The
                smallest of this, FASTWORKER_DEADLINE and host.json's functionTimeout less a second holds.

        Example:
            @app.function("resize", deadline=20)
            @app.queue_trigger("name", queue_name="images")
            def resize_image(name: str) -> None: ...

        See protocol 5.1 and 7.
        """
        if callable(name):
            self.declare(name)
            return name
        where = call_site()

        def decorate(handler: F) -> F:
            declaration = self.declare(handler)
            declaration.where = where
            if name is not None:
                if declaration.name is not None and declaration.name != name:
                    declaration.problems.append(
                        f"{where}: one handler is named {declaration.name!r} and {name!r}; write a handler for each"
                    )
                declaration.name = name
            if deadline is not None:
                declaration.deadline_s = deadline
            return handler

        return decorate

    def on_worker_start(self, hook: F) -> F:
        """Run `hook`, sync or async, in each worker before its first invocation: open connections here, not at import.

        A hook that raises ends its worker; where no worker can start, the server ends with exit code 5.

        Example:
            @app.on_worker_start
            def connect() -> None:
                app.state.db = sqlite3.connect("shop.db")
        """
        self.start_hooks.append(hook)
        return hook

    def on_worker_stop(self, hook: F) -> F:
        """Run `hook`, sync or async, in each worker after its last invocation; it has 10 seconds.

        Example:
            @app.on_worker_stop
            def disconnect() -> None:
                app.state.db.close()
        """
        self.stop_hooks.append(hook)
        return hook


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """An app that passed all checks. `functions` is by name; `warnings` are lines worth showing at start-up."""

    app: App
    target: str
    root: Path
    functions: dict[str, Function]
    host: HostConfig
    warnings: tuple[str, ...]
    routes: tuple[HttpRoute, ...] = ()


def load_app(
    target: str | None,
    *,
    app_root: str | None,
    http_mode: HttpShape | None = None,
    host_settings: Mapping[str, str] | None = None,
    strict: bool = False,
    mixed_auth: MixedAuth = "warn",
) -> LoadedApp:
    """Import the app and check everything. Raises AppLoadError listing all that is wrong.

    `target` is a file, `module:attribute` or a folder with function_app.py; None is the current folder.
    `app_root` is where host.json and the function.json folders are (FUNCTIONS_APP_ROOT_PATH), by default the
    app's folder. `http_mode` overrides what host.json there says of http-only functions,
    `host_settings` are those that override host.json itself (AzureFunctionsJobHost__...). What puts one function in
    error at the host, or cannot stop a handler that runs already, is a warning unless `strict`.
    Where `mixed_auth` says so, raises MixedAuthError if the host would forward requests for functions that could be
    run without their key.
    """
    named = target or DEFAULT_FILE
    app, folder = _find_app(named)
    root = Path(app_root).absolute() if app_root else folder
    functions, host, problems, warnings = assemble(app, root, http_mode, host_settings, strict=strict)
    if problems:
        raise AppLoadError(named, problems)
    if app.kind:
        logs.log.info("app.found", kind=app.kind, folder=str(folder))
    routes, differences = http_routes(functions, root, host)
    all_routes = [*routes, *routes_of_host_json(host)]
    warnings += [*differences, *check_levels(all_routes, host, host.path, mixed_auth)]
    return LoadedApp(app, named, root, functions, host, tuple(warnings), tuple(routes))


# ---- finding the App ---------------------------------------------------------------------------------------


def _find_app(target: str) -> tuple[App, Path]:
    path = Path(target)
    if path.is_dir():
        path = _file_in(path)
        if path.is_dir():
            return _adapted_folder(target, path.absolute()), path.absolute()
    elif target == DEFAULT_FILE and not path.is_file():
        return _find_app(".")
    if path.suffix == ".py" and path.is_file():
        folder = path.absolute().parent
        last = _uses_azure_functions(path)
        module = _import(target, folder, lambda: _import_file(path.absolute()), is_last=last)
        return _app_in(target, module, None, folder), folder
    module_name, _, attribute = target.partition(":")
    if path.suffix == ".py" or path.is_file() or not all(part.isidentifier() for part in module_name.split(".")):
        raise AppLoadError(
            target,
            [f"{path.absolute()} does not exist: name a .py file, a folder with {DEFAULT_FILE}, or module:attribute"],
        )
    folder = Path.cwd()
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
            logs.write_traceback(f"importing {target} failed", exc)
            what = one_line(exc, qualified=True)
        raise AppLoadError(target, [f"{_place_of_error(exc, folder)}: at import: {what}"]) from exc
    if os.getpid() != me:
        logs.log.error("app.forked", detail="the import of the app forked, and the child came back out of it; ended")
        os._exit(1)
    return found


def _of_the_app(frames: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback without our own frames and those of the import system, with which each begins."""
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if not is_ours(file) and "importlib" not in file:
            break
        frames = frames.tb_next
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
        state = "is no fastworker.App" if value is not None else "is not defined"
        raise AppLoadError(target, [f"{file}: {attribute!r} {state}: write `{attribute} = fastworker.App()` there"])
    if isinstance(getattr(module, "app", None), App):
        return module.app  # type: ignore[no-any-return]
    apps = {id(value): (name, value) for name, value in vars(module).items() if isinstance(value, App)}
    if len(apps) == 1:
        return next(iter(apps.values()))[1]
    if not apps:
        foreign = _adapted(target, module, None, folder)
        if foreign is not None:
            return foreign
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
        [f"{file}: has several Apps ({names}): name one of them `app`, or say which as module:attribute"],
    )


def _adapted(target: str, module: types.ModuleType, attribute: str | None, folder: Path) -> App | None:
    """The App for an azure.functions, ASGI or WSGI app in the module; adapters are imported for these only."""
    from fastworker.adapters.detection import adapted

    return _guarded(target, folder, lambda: adapted(target, module, attribute, folder))


# ---- from declarations to functions ------------------------------------------------------------------------


def assemble(
    app: App,
    root: Path,
    http_mode: HttpShape | None = None,
    host_settings: Mapping[str, str] | None = None,
    *,
    strict: bool = False,
) -> tuple[dict[str, Function], HostConfig, list[str], list[str]]:
    """The app's functions by name, host.json, all problems, and warnings. Arguments as for `load_app`."""
    host = host_json_of(root, host_settings or {})
    has_file = (root / "host.json").exists()
    problems = [*host.problems, *twin_folders(root)]
    warnings = [*host.warnings]
    if has_file and strict:
        problems += host.lacks
    host = app.under_host(host, has_file=has_file)
    if http_mode is not None and http_mode != host.http_shape:
        host = replace(host, http_shape=http_mode, http_shape_key="--http-mode")
    functions: dict[str, Function] = {}
    taken: dict[str, Declaration] = {}
    for declaration in app.declarations:
        name = declaration.function_name
        first = taken.setdefault(name.lower(), declaration)
        if first is not declaration:
            problems.append(
                f"{declaration.where}: two functions are named {name!r} (the other: {first.where}); names are "
                f"compared ignoring case, rename one by @app.function(name=...)"
            )
        try:
            function, found = _complete(declaration, app, root, warnings)
        except ConfigFileError as exc:  # the host takes out this function only
            (problems if strict else warnings).append(f"{exc}; the host does not load function {name!r}")
            problems += declaration.problems
            continue
        problems += found
        if function is not None:
            problems += _lost_route_problems(function, host, declaration.where)
            warnings += [*_warnings(function), *name_warnings(function.bindings)]
            functions[name] = function
    broken_routes = route_problems(functions.values(), host.route_prefix)
    problems += broken_routes
    if not broken_routes:
        warnings += route_warnings(functions.values(), host.route_prefix)
    if not app.declarations:
        problems.append(f"{app.folder}: the app has no functions: decorate one with e.g. @app.route(...)")
    warnings += _folders_without_handler(root, taken)
    return functions, host, problems, warnings


def _complete(declaration: Declaration, app: App, root: Path, warnings: list[str]) -> tuple[Function | None, list[str]]:
    bindings = declaration.bindings
    if declaration.build is None:
        bindings = [as_annotated(b, declaration.handler) for b in bindings]
    bindings = without_leading_slash(bindings, warnings.append)
    if not bindings:
        path = root / declaration.function_name / "function.json"
        try:
            read = function_json_of(path)
        except FileNotFoundError:
            return None, [
                *declaration.problems,
                f"{declaration.where}: function {declaration.function_name!r} has no binding decorators, and {path} "
                f"does not exist: add a trigger decorator, or the file, or correct the name",
            ]
        bindings = list(read.bindings)
        warnings += read.warnings
        if wrong := name_problems(bindings, app.extra_binding_types):
            raise ConfigFileError("; ".join(wrong))
    found = _trigger_problems(bindings, declaration, warnings)
    if found:
        return None, [*declaration.problems, *found]
    if declaration.build is not None:
        return declaration.build(bindings)
    return make_function(declaration, bindings, app.extra_binding_types)


def _trigger_problems(bindings: Iterable[Binding], declaration: Declaration, warnings: list[str]) -> list[str]:
    """Schedules and containers that the host refuses. Raises ConfigFileError for one function's file."""
    problems = []
    for binding in bindings:
        check = check_trigger(binding) if binding.is_trigger else None
        if check is None:
            continue
        where = f"{binding.where}: function {declaration.function_name!r}"
        warnings += [f"{where}: {line}" for line in check.warnings]
        if check.problem is None:
            continue
        if not declaration.bindings and not check.stops_host:
            raise ConfigFileError(f"{where}: {check.problem}")
        if check.stops_host or binding.key == "timertrigger":
            problems.append(f"{where}: {check.problem}")
        else:
            warnings.append(f"{where}: {check.problem}; the host does not load this function")
    return problems


def _lost_route_problems(function: Function, host: HostConfig, where: str) -> list[str]:
    """Under `httpWorker` the client's path is replaced by the function's name, and its parameters with it."""
    needed = inspect.signature(function.handler).parameters
    bound = {b.name for b in function.bindings}
    lost = [n for n, _ in function.http_arguments if n not in bound and needed[n].default is inspect.Parameter.empty]
    if not lost or not host.forwards_by_name or not is_http_only(function.bindings):
        return []
    return [
        f"{where}: function {function.name!r} asks for the route parameter {lost[0]!r}, which never arrives with "
        f"httpWorker in host.json: use customHandler with enableForwardingHttpRequest, or give {lost[0]!r} a default"
    ]


def _warnings(function: Function) -> list[str]:
    return [
        f'{b.where}: output {b.name!r} of function {function.name!r} has "dataType": "binary": text '
        f"arrives, but bytes do not (the host would store their base64); leave dataType out"
        for b in function.bindings
        if b.is_output and not b.is_input and b.is_binary and b.output_form in {"collector", "stream"}
    ]


def _folders_without_handler(root: Path, taken: dict[str, Declaration]) -> list[str]:
    return [
        f"{path}:1: the host knows a function {path.parent.name!r}, but the app has no handler for it: add "
        f'@app.function("{path.parent.name}"), or remove the folder'
        for path in function_folders(root)
        if path.parent.name.lower() not in taken
    ]
