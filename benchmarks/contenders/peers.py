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


def _uvicorn(app: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        fast = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        served = ["--app-dir", _app_folder(launch, app), "--port", str(launch.port), "--workers", str(launch.processes)]
        return python("-m", "uvicorn", f"{app}:app", *served, *fast, "--timeout-keep-alive", KEEP_ALIVE_S)

    return command


def _gunicorn(app: str, *worker: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        bound = ["--bind", f"127.0.0.1:{launch.port}", "--workers", str(launch.processes), "--keep-alive", KEEP_ALIVE_S]
        options = ["--chdir", _app_folder(launch, app), "--log-level", "warning"]
        return python("-m", "gunicorn", f"{app}:app", *bound, *options, *worker)

    return command


def _granian(launch: Launch) -> list[str]:
    served = ["--port", str(launch.port), "--workers", str(launch.processes)]
    fast = ["--interface", "asgi", "--http", "1", "--loop", "uvloop", "--no-ws", "--log-level", "warning"]
    return python("-m", "granian", "raw_asgi:app", *served, *fast, "--working-dir", _app_folder(launch, "raw_asgi"))


def _without(*modules: str) -> Callable[[], str | None]:
    """Tells which of `modules` are not installed."""

    def absent() -> str | None:
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        return f"{', '.join(missing)} not installed (pip install 'fastworker-functions[bench]')" if missing else None

    return absent


# What the bare ASGI app has.
BARE: Final = frozenset({"order", "echo", "work", "wait", "plain"})
UVICORN: Final = f"uvloop, httptools, keep-alive {KEEP_ALIVE_S} s (its default is 5)"

CONTENDERS: Final = [
    Contender(
        "uvicorn",
        _uvicorn("raw_asgi"),
        _without("uvicorn", "uvloop", "httptools", "orjson"),
        conditions=f"a bare ASGI app with orjson, which computes on its loop; {UVICORN}",
        functions=BARE,
    ),
    Contender(
        "uvicorn+fastapi",
        _uvicorn("with_fastapi"),
        _without("uvicorn", "uvloop", "httptools", "fastapi"),
        conditions=f"pydantic models; what computes is a plain def, and so runs in its threads; {UVICORN}",
    ),
    Contender(
        "gunicorn+uvicorn",
        _gunicorn("raw_asgi", "--worker-class", "uvicorn_worker.UvicornWorker"),
        _without("gunicorn", "uvicorn_worker", "uvloop", "httptools", "orjson"),
        conditions=f"the bare ASGI app of the uvicorn contender; {UVICORN}",
        functions=BARE,
    ),
    Contender(
        "gunicorn+flask",
        _gunicorn("with_flask", "--worker-class", "gthread", "--threads", FLASK_THREADS),
        _without("gunicorn", "flask", "orjson"),
        conditions=f"gthread workers with {FLASK_THREADS} threads each (sync workers keep no connection alive); orjson",
    ),
    Contender(
        "granian",
        _granian,
        _without("granian", "uvloop", "orjson"),
        conditions="the bare ASGI app of the uvicorn contender; uvloop, its own HTTP in Rust, which hands "
        "the app each chunk of a body by itself, of which the host sends one per KiB",
        functions=BARE,
    ),
]
