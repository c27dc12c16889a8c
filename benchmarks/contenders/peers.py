"""The Python servers that a user would pick instead: uvicorn, gunicorn and granian, with the same functions.

Their apps are in apps/, each served from there, or from a scenario's own folder where that has an app of the same
name. Rule: the same number of processes, the fastest loop and parser each can have, no access log; connections are
kept for ten minutes, for the host keeps them, and a server's default of five seconds would only measure reconnecting.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.contenders.interface import Contender, Launch, python

APPS: Final = Path(__file__).with_name("apps")
KEEP_ALIVE_S: Final = "600"
FLASK_THREADS: Final = "8"


def _app_folder(launch: Launch, app: str) -> str:
    own = launch.functions / f"{app}.py"
    return str(own.parent if own.exists() else APPS)


GUNICORN_UVICORN: Final = ("--worker-class", "uvicorn_worker.UvicornWorker")
GUNICORN_THREADS: Final = ("--worker-class", "gthread", "--threads", FLASK_THREADS)


def uvicorn(app: str, interface: str = "asgi3") -> Callable[[Launch], list[str]]:
    """`app`:app in its folder, or in the scenario's own."""

    def command(launch: Launch) -> list[str]:
        fast = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        served = ["--app-dir", _app_folder(launch, app), "--port", str(launch.port), "--workers", str(launch.processes)]
        kept = ["--interface", interface, "--timeout-keep-alive", KEEP_ALIVE_S]
        return python("-m", "uvicorn", f"{app}:app", *served, *fast, *kept)

    return command


def gunicorn(app: str, *worker: str) -> Callable[[Launch], list[str]]:
    """The same, with options that choose the kind of worker."""

    def command(launch: Launch) -> list[str]:
        bound = ["--bind", f"127.0.0.1:{launch.port}", "--workers", str(launch.processes), "--keep-alive", KEEP_ALIVE_S]
        options = ["--chdir", _app_folder(launch, app), "--log-level", "warning"]
        return python("-m", "gunicorn", f"{app}:app", *bound, *options, *worker)

    return command


def granian(app: str, interface: str) -> Callable[[Launch], list[str]]:
    """The same."""

    def command(launch: Launch) -> list[str]:
        served = ["--port", str(launch.port), "--workers", str(launch.processes), "--respawn-failed-workers"]
        fast = ["--interface", interface, "--http", "1", "--loop", "uvloop", "--no-ws", "--log-level", "warning"]
        return python("-m", "granian", f"{app}:app", *served, *fast, "--working-dir", _app_folder(launch, app))

    return command


def missing(*modules: str) -> Callable[[], str | None]:
    """Tells which of `modules` are not installed."""

    def absent() -> str | None:
        absent_ = [module for module in modules if importlib.util.find_spec(module) is None]
        return f"{', '.join(absent_)} not installed (pip install 'fastworker-functions[bench]')" if absent_ else None

    return absent


# What the bare ASGI app has.
BARE: Final = frozenset({"order", "echo", "work", "wait", "plain"})
UVICORN: Final = f"uvloop, httptools, keep-alive {KEEP_ALIVE_S} s (its default is 5)"

CONTENDERS: Final = [
    Contender(
        "uvicorn",
        uvicorn("raw_asgi"),
        missing("uvicorn", "uvloop", "httptools", "orjson"),
        conditions=f"a bare ASGI app with orjson, which computes on its loop; {UVICORN}",
        functions=BARE,
    ),
    Contender(
        "uvicorn+fastapi",
        uvicorn("with_fastapi"),
        missing("uvicorn", "uvloop", "httptools", "fastapi"),
        conditions=f"pydantic models; what computes is a plain def, and so runs in its threads; {UVICORN}",
    ),
    Contender(
        "gunicorn+uvicorn",
        gunicorn("raw_asgi", *GUNICORN_UVICORN),
        missing("gunicorn", "uvicorn_worker", "uvloop", "httptools", "orjson"),
        conditions=f"the bare ASGI app of the uvicorn contender; {UVICORN}",
        functions=BARE,
    ),
    Contender(
        "gunicorn+flask",
        gunicorn("with_flask", *GUNICORN_THREADS),
        missing("gunicorn", "flask", "orjson"),
        conditions=f"gthread workers with {FLASK_THREADS} threads each (sync workers keep no connection alive); orjson",
    ),
    Contender(
        "granian",
        granian("raw_asgi", "asgi"),
        missing("granian", "uvloop", "orjson"),
        conditions="the bare ASGI app of the uvicorn contender; uvloop, its own HTTP in Rust, which hands "
        "the app each chunk of a body by itself, of which the host sends one per KiB",
        functions=BARE,
    ),
]
