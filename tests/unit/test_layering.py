"""The rooms of the package and the directions between them, read from its sources: one rule a room, no circles."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fastworker"
DEPENDENCIES = {"httptools", "msgspec", "orjson", "uvloop"}
SYSTEM = {"os", "socket", "signal", "asyncio", "time", "select", "threading", "subprocess", "mmap", "uvloop", "fcntl"}

# What each room may import of the others, beside the files at the top that every role may.
FOR_ALL = {"errors", "deadline", "frames", "outcomes"}
LOGGING = {"logs", "log_records", "entries", "output"}
ROOMS = {
    "protocol": set(),
    "hostrules": set(),
    "config": {"hostrules", "protocol"},
    "ipc": {"cpus"},
    "streaming": {"protocol"},
    "telemetry": {"ipc", "settings", *LOGGING},
    "functions": {"protocol", "config", "hostrules", "streaming", "adapters", "forks", *LOGGING},
    "adapters": {"functions", "protocol", "config", *LOGGING},
    "worker": {"functions", "ipc", "protocol", "streaming", "telemetry", "settings", "forks", *LOGGING},
    "zygote": {"functions", "ipc", "telemetry", "settings", "exits", *LOGGING},
    "supervisor": {"cpus", "ipc", "protocol", "settings", "telemetry", *LOGGING},
    "devhost": {"settings", "hostrules", "protocol", "config", "functions"},
    "deployment": set(),
    "packing": {"config", "devhost", "foreign", "__init__"},
    "commands": {
        "packing",
        "deployment",
        "devhost",
        "hostrules",
        "protocol",
        "config",
        "functions",
        "settings",
        "telemetry",
        "flag_hints",
        "cpus",
        *LOGGING,
    },
}
# Rules of one file, where its room's is too wide.
FILES = {
    # The only one that knows of adapters, and imports them when an app is none of ours.
    "functions.loading": {"adapters"},
    # What an app's files mean the host, dev and serve must read alike; else nothing that serves knows hostrules/.
    "hostrules that serve knows": {"newtonsoft", "timespan", "schedules", "functions"},
    # Measures an app as the server would.
    "commands.doctor": {"ipc.linux", "zygote.native_threads"},
    # Finds the server of a `dev` among its descendants.
    "commands.status_client": {"ipc.processes"},
    # The text of an answer for the dead, and no more of the protocol.
    "protocol that the supervisor knows": {"answer"},
}
# Development tools, imported by nobody that serves.
TOOLS = {"testing", "testing_host", "devhost", "commands", "packing", "deployment"}
# Imported inside of a function, when a flag or a handler asks for it.
OPTIONAL = {
    "worker.debugger": {"debugpy"},
    "protocol.forms": {"multipart"},
    # These two modules are imported by nobody but inside of a function, if traces are on.
    "telemetry.tracing": {"opentelemetry"},
    "telemetry.exporting": {"opentelemetry", "azure"},
}


def _module(path: Path) -> str:
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


SOURCES = {_module(path): path for path in sorted(PACKAGE.rglob("*.py")) if "templates" not in path.parts}


@cache
def imports_of(module: str, *, deep: bool = True) -> frozenset[str]:
    """Dotted names of all that a module imports, but for TYPE_CHECKING; with `deep`, also inside of functions."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports in this package are absolute"
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    found.add(whole if whole.removeprefix("fastworker.") in SOURCES else str(child.module))
            elif deep or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                visit(child)

    visit(ast.parse(SOURCES[module].read_text()))
    return frozenset(found)


def ours(module: str, *, deep: bool = True) -> set[str]:
    """The modules of ours that a module imports."""
    names = {n.removeprefix("fastworker.") for n in imports_of(module, deep=deep) if n.startswith("fastworker.")}
    return {name for name in names if name in SOURCES}


def others(module: str) -> set[str]:
    """The top names of everything else that it imports."""
    return {name.partition(".")[0] for name in imports_of(module)} - {"fastworker"}


def room(module: str) -> str:
    return module.partition(".")[0]


def reach(*names: str, deep: bool = True) -> set[str]:
    """The modules of ours that come with `names`, themselves included."""
    seen: set[str] = set()
    todo = [*names]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += ours(name, deep=deep)
    return seen


IN_ROOMS = [module for module in SOURCES if room(module) in ROOMS]


def test_the_reader_of_imports_sees_what_is_there() -> None:
    """A test of imports that finds none proves nothing."""
    assert {"supervisor.pool", "ipc.linux", "ipc.control"} <= ours("supervisor.run")
    assert "worker.run" in ours("cli")
    assert "worker.run" not in ours("cli", deep=False)
    assert ours("__init__") == set()  # TYPE_CHECKING only
    assert {"worker.connection", "worker.dispatch", "protocol.http1", "functions.loading"} <= reach("worker.run")


@pytest.mark.parametrize("module", IN_ROOMS)
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    """Directions between rooms point one way."""
    mine = room(module)
    allowed = ROOMS[mine] | FOR_ALL | {mine}
    assert {name for name in ours(module) - FILES.get(module, set()) if room(name) not in allowed} == set()
    if mine == "functions" and module != "functions.loading":
        assert {name for name in ours(module) if room(name) in FILES["functions.loading"]} == set()


def test_there_is_no_circle() -> None:
    """Each module could be read after all that it imports."""
    order: dict[str, int] = {}

    def depth(module: str, path: tuple[str, ...] = ()) -> int:
        assert module not in path, f"a circle: {' -> '.join((*path[path.index(module) :], module))}"
        if module not in order:
            order[module] = 1 + max((depth(n, (*path, module)) for n in ours(module, deep=False)), default=0)
        return order[module]

    for module in SOURCES:
        depth(module)


@pytest.mark.parametrize("module", [m for m in SOURCES if room(m) in ("protocol", "hostrules")])
def test_protocol_and_rules_of_the_host_touch_no_system(module: str) -> None:
    """Bytes and values in, bytes and values out: no file, no socket, no clock."""
    assert others(module) & SYSTEM == set()


@pytest.mark.parametrize(
    "module",
    [
        "deadline",
        "errors",
        "settings",
        "functions.build",
        "functions.choice",
        "functions.mixed_auth",
        "functions.route_checks",
        "supervisor.crash_rules",
        "supervisor.pool",
    ],
)
def test_a_pure_module_touches_no_system(module: str) -> None:
    """Outside of the pure rooms, too, there are modules whose rule says so."""
    assert others(module) & SYSTEM == set()


def test_the_supervisor_knows_no_http_no_app_and_no_user_code() -> None:
    """Nothing that a client sends or a handler does can hold it up."""
    modules = reach("supervisor.run", "supervisor.warden")
    assert {name.partition(".")[2] for name in modules if room(name) == "protocol"} - {""} == FILES[
        "protocol that the supervisor knows"
    ]
    assert {name for name in modules if "httptools" in others(name)} == set()


def test_roles_meet_only_in_the_command() -> None:
    """Supervisor, zygote and worker are one process each, and none imports another."""
    roles = {"supervisor", "zygote", "worker"}
    for role in roles:
        for module in (m for m in SOURCES if room(m) == role):
            assert {room(name) for name in ours(module)} & (roles - {role}) == set()
    assert [m for m in SOURCES if m not in IN_ROOMS and {room(n) for n in ours(m)} & roles] == ["cli"]


def test_the_command_imports_nothing_before_it_knows_which_one_it_is() -> None:
    """`fastworker` with a wrong word, or --help, loads next to nothing of ours."""
    assert ours("cli", deep=False) == {"errors", "foreign"}
    assert others("cli") & DEPENDENCIES <= {"msgspec"}


def test_serve_loads_nothing_that_only_other_commands_need() -> None:
    """Reading the settings needs no uvloop; serving needs no development tool, and few of the host's rules."""
    assert reach("settings") == {"settings", "deadline", "errors", "flag_hints", "option_texts"}
    assert "flag_hints" not in reach("settings", deep=False)
    served = reach("supervisor.run", "zygote.run", "worker.run")
    assert {room(name) for name in served} & TOOLS == set()
    rules = {name.partition(".")[2] for name in served if room(name) == "hostrules"} - {""}
    assert rules <= FILES["hostrules that serve knows"]


@pytest.mark.parametrize("module", [m for m in SOURCES if room(m) not in TOOLS | {"adapters"}])
def test_the_core_needs_four_libraries(module: str) -> None:
    """uvloop, httptools, orjson, msgspec and the standard library."""
    assert others(module) - DEPENDENCIES - set(sys.stdlib_module_names) - OPTIONAL.get(module, set()) == set()


def test_only_the_command_reads_the_environment() -> None:
    """Everybody else that serves is handed the settings."""
    readers = set()
    for module, path in SOURCES.items():
        if room(module) in TOOLS | {"adapters"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            attribute = isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb")
            imported = isinstance(node, ast.ImportFrom) and {"environ", "getenv"} & {a.name for a in node.names}
            if attribute or imported:
                readers.add(module)
    assert readers == {"cli"}


def test_only_the_warden_the_zygote_and_what_starts_the_warden_fork() -> None:
    """A fork anywhere else would copy a loop, a lock or a connection in the middle of something."""
    forkers = {module for module, path in SOURCES.items() if "os.fork()" in path.read_text()}
    assert forkers == {"supervisor.warden", "supervisor.zygotes", "zygote.run"}
