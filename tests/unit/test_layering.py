"""The layering of the package, read from its sources: who imports whom, and who touches the system."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fastworker"
NAMES = sorted(path.stem for path in PACKAGE.glob("*.py"))
DEPENDENCIES = {"httptools", "msgspec", "orjson", "uvloop"}
# Development tools, imported by nobody that serves.
TOOLS = {"testing", "testing_host"}
# Imported inside of a function, when a flag or a handler asks for it.
OPTIONAL = {"debugger": {"debugpy"}, "forms": {"multipart"}}


class _Imports(ast.NodeVisitor):
    """Dotted names of everything a module imports, but for its TYPE_CHECKING blocks."""

    def __init__(self, *, deep: bool) -> None:
        self.found: set[str] = set()
        self._deep = deep

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if self._deep:
            self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]  # noqa: N815

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports in this package are absolute"
        assert node.module is not None
        if node.module == "fastworker":
            self.found |= {f"fastworker.{alias.name}" for alias in node.names if alias.name in NAMES}
        else:
            self.found.add(node.module)


def imports_of(name: str, *, deep: bool = True) -> set[str]:
    """What a module imports; with `deep`, also inside of functions."""
    visitor = _Imports(deep=deep)
    visitor.visit(ast.parse((PACKAGE / f"{name.replace('.', '/')}.py").read_text()))
    return visitor.found


def ours(imports: set[str]) -> set[str]:
    return {name.removeprefix("fastworker.") for name in imports if name.startswith("fastworker.")}


def tops(imports: set[str]) -> set[str]:
    return {name.split(".")[0] for name in imports}


def reach(*names: str, deep: bool = True) -> set[str]:
    """The modules of ours that come with `names`, themselves included."""
    seen: set[str] = set()
    todo = [*names]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += ours(imports_of(name, deep=deep))
    return seen


def test_the_reader_of_imports_sees_what_is_there():
    """A test of imports that finds none proves nothing."""
    assert {"uvloop", "fastworker.supervisor.pool", "fastworker.ipc.linux", "fastworker.ipc.control"} <= imports_of(
        "supervisor"
    )
    assert "fastworker.worker.run" in imports_of("cli")
    assert "fastworker.worker.run" not in imports_of("cli", deep=False)
    assert "fastworker.functions.app" not in imports_of("__init__")  # TYPE_CHECKING only
    assert {"worker", "exchange", "service", "http1", "app"} <= reach("worker")


def test_the_supervisor_knows_no_http_no_app_and_no_user_code():
    """Nothing that a client sends or a handler does can hold it up."""
    modules = reach("supervisor", "__init__")
    forbidden = {"http1", "app", "envelope", "invoke", "worker", "zygote", "service", "exchange", "messages", "context"}
    forbidden |= {"arriving", "headers", "outgoing", "plain", "routing", "sending", "streams"}
    assert set() == modules & forbidden
    assert set() == {name for name in modules if "httptools" in tops(imports_of(name))}


def test_roles_meet_only_in_the_command():
    """supervisor, warden, zygote and worker are one process each, and none imports another."""
    roles = {"supervisor", "warden", "zygote", "worker"}
    for role in roles:
        assert set() == reach(role) & (roles - {role})
    assert [name for name in NAMES if ours(imports_of(name)) & roles] == ["cli"]


def test_the_command_imports_nothing_before_it_knows_which_one_it_is():
    """`fastworker` with a wrong word, or --help, loads next to nothing of ours."""
    assert ours(imports_of("cli", deep=False)) == {"errors", "foreign"}
    assert tops(imports_of("cli", deep=False)) & DEPENDENCIES == set()


def test_serve_loads_nothing_that_only_other_commands_need():
    """Reading the settings needs no uvloop; serving needs no development tool."""
    assert reach("settings") == {"settings", "deadline", "errors"}
    assert tops(set().union(*map(imports_of, reach("settings")))) & DEPENDENCIES == {"msgspec"}
    assert set() == reach("cli", "worker", "zygote") & TOOLS


SYSTEM = {"os", "socket", "signal", "asyncio", "time", "select", "threading", "subprocess", "mmap", "uvloop", "fcntl"}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "answer",
            "arguments",
            "deadline",
            "envelope",
            "errors",
            "forms",
            "headers",
            "http1",
            "jsontext",
            "messages",
            "orphans",
            "request_head",
            "body_limit",
        ),
        *(
            "outputs",
            "plain",
            "plan",
            "pool",
            "choice",
            "mixed_auth",
            "route_checks",
            "route_constraint",
            "route_template",
            "routing",
            "settings",
            "streams",
            "triggers",
        ),
    ],
)
def test_a_pure_module_touches_no_system(name):
    """It imports nothing that can block, fork, or read a clock or the environment."""
    assert set() == tops(imports_of(name)) & SYSTEM


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("answer", set()),
        ("entries", set()),
        ("output", set()),
        ("frames", set()),
        ("deadline", set()),
        ("errors", set()),
        ("pool", set()),
        ("http1", {"request_head"}),
        ("request_head", set()),
        ("routing", {"route_template"}),
        ("route_template", {"route_constraint"}),
        ("route_constraint", set()),
        ("headers", {"header_rules", "jsontext", "messages"}),
        ("header_rules", set()),
        ("dates", set()),
        ("streams", {"headers", "jsontext", "messages"}),
        ("arriving", {"errors", "http1", "request_head"}),
        ("outgoing", {"answer", "arriving", "errors"}),
        ("sending", {"outgoing", "plain", "streams"}),
        ("linux", set()),
        ("interrupt", {"errors"}),
        ("orphans", {"answer", "board"}),
        ("settings", {"deadline", "errors"}),
        ("board", set()),
        ("control", set()),
        ("connections", {"board", "linux"}),
    ],
)
def test_a_lower_layer_knows_only_what_is_below_it(name, expected):
    """Dependencies point one way."""
    assert ours(imports_of(name)) == expected


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TOOLS])
def test_the_core_needs_four_libraries(name):
    """uvloop, httptools, orjson, msgspec and the standard library."""
    import sys  # noqa: PLC0415 - only this test asks it for names

    known = DEPENDENCIES | set(sys.stdlib_module_names) | {"fastworker"} | OPTIONAL.get(name, set())
    assert set() == tops(imports_of(name)) - known


def test_only_the_command_reads_the_environment():
    """Everybody else is handed the settings."""
    readers = []
    for name in NAMES:
        for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text())):
            attribute = isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb")
            imported = isinstance(node, ast.ImportFrom) and {"environ", "getenv"} & {a.name for a in node.names}
            if attribute or imported:
                readers.append(name)
    assert set(readers) == {"cli"}


def test_only_the_supervisor_the_warden_and_the_zygote_fork():
    """A fork anywhere else would copy a loop, a lock or a connection in the middle of something."""
    forkers = [name for name in NAMES if "os.fork()" in (PACKAGE / f"{name}.py").read_text()]
    assert forkers == ["warden", "zygote", "zygotes"]


@pytest.mark.parametrize("path", sorted((PACKAGE / "hostrules").glob("*.py")), ids=lambda path: path.stem)
def test_the_rules_of_the_host_are_pure_and_know_nothing_of_ours(path):
    """The judge is independent of what it judges, and touches no system."""
    imported = imports_of(f"hostrules/{path.stem}")
    assert set() == tops(imported) & SYSTEM
    assert {name for name in ours(imported) if not name.startswith("hostrules")} == set()


def test_nothing_that_serves_knows_the_rules_of_the_host():
    """They are for dev, invoke and tests: a server that shared them could not be judged by them.

    The one exception is what an app's files mean: host, dev and serve must read those alike.
    """
    files = {f"hostrules.{name}" for name in ("newtonsoft", "timespan", "schedules", "functions")}
    for name in reach("cli", "worker", "zygote", "warden", "supervisor"):
        known = {other for other in ours(imports_of(name)) if other.startswith("hostrules")}
        assert known <= files
