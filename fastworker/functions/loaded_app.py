"""load_app: from a target to functions that can be invoked, all checks passed.

Uses loading.py (which App), declarations.py (what is declared), build.py (what becomes of it) and app_files.py.
Rule: all mistakes are reported together, each with file, line and the way to mend it.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fastworker import logs
from fastworker.config.app_files import function_folders, function_json_of, host_json_of, twin_folders
from fastworker.config.binding_checks import name_problems, name_warnings
from fastworker.config.config_files import ConfigFileError
from fastworker.config.host_json import NO_HANDLER, HostJson, HttpMode
from fastworker.deadline import TimeLimits, cap_notes, limit_of
from fastworker.errors import AppLoadError, relative_paths
from fastworker.functions.app import App
from fastworker.functions.build import Function, as_annotated, make_function
from fastworker.functions.declarations import Declaration, place_of
from fastworker.functions.http_routes import HttpRoute, http_routes, routes_of_host_json
from fastworker.functions.loading import DEFAULT_FILE, find_app
from fastworker.functions.mixed_auth import MixedAuth, check_levels
from fastworker.functions.route_checks import http_problems, route_problems, route_warnings, without_leading_slash
from fastworker.functions.trigger_checks import check_trigger
from fastworker.protocol.bindings import Binding, is_http_only


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """An app that passed all checks. `functions` is by name; `warnings` and `notes` are lines to show at start-up."""

    app: App
    target: str
    root: Path
    functions: dict[str, Function]
    host: HostJson
    warnings: tuple[str, ...]
    routes: tuple[HttpRoute, ...] = ()
    notes: tuple[str, ...] = ()

    def tell(self) -> None:
        """Writes what is worth knowing at a start to the log."""
        for line in self.notes:
            logs.log.info("app.note", detail=line)
        for line in self.warnings:
            logs.log.warning("app.warning", detail=line)

    @property
    def names(self) -> list[str]:
        """Of the functions, in the order in which they are counted (ipc/counters.py)."""
        return sorted(self.functions)


def load_app(
    target: str | None,
    *,
    app_root: str | None,
    base: Path | None = None,
    http_mode: HttpMode | None = None,
    host_settings: Mapping[str, str] | None = None,
    strict: bool = False,
    mixed_auth: MixedAuth = "warn",
    limits: TimeLimits | None = None,
) -> LoadedApp:
    """Import the app and check everything. Raises AppLoadError listing all that is wrong.

    `target` is a file, `module:attribute` or a folder; None is the current folder. `base` is the folder that a relative
    one is found from, by default the current one.
    `app_root` is where host.json and the function.json folders are (FUNCTIONS_APP_ROOT_PATH), by default the
    app's folder. `http_mode` overrides what host.json there says of http-only functions,
    `host_settings` are those that override host.json itself (AzureFunctionsJobHost__...). What puts one function in
    error at the host, or cannot stop a handler that runs already, is a warning unless `strict`.
    Where `mixed_auth` says so, raises MixedAuthError if the host would forward requests for functions that could be
    run without their key. `limits` are those of the server that is to run it: a deadline beyond them is a problem.
    """
    named = target or DEFAULT_FILE
    try:
        app, folder = find_app(named, base or Path.cwd())
    except AppLoadError as error:
        folder = Path(app_root).absolute() if app_root else _folder_of(named, base or Path.cwd())
        raise AppLoadError(named, error.problems, str(folder)) from error
    root = Path(app_root).absolute() if app_root else folder
    functions, host, problems, warnings = assemble(app, root, http_mode, host_settings, strict=strict)
    notes: list[str] = []
    if limits is not None:
        problems += _deadline_problems(functions.values(), host, limits, warnings)
        notes += cap_notes(limits, host_timeout_s=host_timeout_s(host, limits), sets_timeout=host.sets_timeout)
    if problems:
        raise AppLoadError(named, problems, str(root))
    if app.kind:
        logs.log.info("app.found", kind=app.kind, folder=str(folder))
    routes, differences = http_routes(functions, root, host)
    all_routes = [*routes, *routes_of_host_json(host)]
    warnings += [*differences, *check_levels(all_routes, host, host.path, mixed_auth)]
    told = tuple(relative_paths(line, str(root)) for line in warnings)
    return LoadedApp(app, named, root, functions, host, told, tuple(routes), tuple(notes))


def _folder_of(target: str, base: Path) -> Path:
    """The folder that a target stands for, as far as its name tells."""
    path = base / target
    return path.absolute() if path.is_dir() else path.absolute().parent if path.is_file() else base.absolute()


def assemble(
    app: App,
    root: Path,
    http_mode: HttpMode | None = None,
    host_settings: Mapping[str, str] | None = None,
    *,
    strict: bool = False,
) -> tuple[dict[str, Function], HostJson, list[str], list[str]]:
    """The app's functions by name, host.json, all problems, and warnings. Arguments as for `load_app`."""
    host = host_json_of(root, host_settings or {})
    has_file = (root / "host.json").exists()
    problems = [*host.problems, *twin_folders(root)]
    warnings = [*host.warnings]
    if has_file and strict:
        problems += [line for line in host.lacks if host.has_handler or not line.endswith(NO_HANDLER)]  # sync adds it
    host = app.under_host(host, has_file=has_file)
    if http_mode is not None and http_mode != host.http_mode:
        host = replace(host, http_mode=http_mode, http_mode_key="--http-mode")
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
    if declaration.adaptation is not None:
        try:
            bindings = [declaration.adaptation.binding(b, declaration.handler) for b in bindings]
        except TypeError as exc:
            return None, [f"{declaration.where}: function {declaration.function_name!r}: {exc}"]
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
        wrong = name_problems(bindings, app.extra_binding_types)
        if read.indexing_problem is not None:
            wrong.append(read.indexing_problem)
        if wrong:
            raise ConfigFileError("; ".join(wrong))
    found = _trigger_problems(bindings, declaration, warnings)
    if declaration.bindings:  # of a function.json the host's own rules are asked
        found += http_problems(bindings, warnings.append)
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


def _lost_route_problems(function: Function, host: HostJson, where: str) -> list[str]:
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


def host_timeout_s(host: HostJson, limits: TimeLimits) -> float | None:
    """functionTimeout in seconds, None for no limit; where it is the cap, the host's default if host.json sets none."""
    return host.local_timeout_s if limits.cap_s is None else host.function_timeout_s


def _deadline_problems(
    functions: Iterable[Function], host: HostJson, limits: TimeLimits, warnings: list[str]
) -> list[str]:
    """Deadlines of functions that the server cannot give them; those that something else cuts are warned of."""
    problems = []
    timeout_s = host_timeout_s(host, limits)
    for function in functions:
        is_http = function.trigger.key == "httptrigger"
        limit = limit_of(function.deadline_s, limits, host_timeout_s=timeout_s, is_http=is_http)
        where = f"{place_of(function.handler)}: function {function.name!r}"
        problems += [f"{where}: {limit.problem}"] if limit.problem else []
        warnings += [f"{where}: {limit.warning}"] if limit.warning else []
    return problems


def _folders_without_handler(root: Path, taken: dict[str, Declaration]) -> list[str]:
    return [
        f"{path}:1: the host knows a function {path.parent.name!r}, but the app has no handler for it: add "
        f'@app.function("{path.parent.name}"), or remove the folder (fastworker sync --prune)'
        for path in function_folders(root)
        if path.parent.name.lower() not in taken
    ]
