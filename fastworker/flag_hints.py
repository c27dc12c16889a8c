"""Flags and commands of uvicorn, gunicorn and func, with what to type here in their place.

Used by cli.py, settings.py and the commands' parsers. Rule: pure; a flag that is refused is told once, with what to do.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

SERVE: Final = {
    "--reload": "serve imports the app anew on SIGHUP; while you edit, use `fastworker dev`, which reloads by itself",
    "--host": "give --address; without it serve listens on 127.0.0.1, where the Functions host looks",
    "--bind": "give --address and --port",
    "-b": "give --address and --port",
    "--timeout": "give --deadline, the seconds of an invocation",
    "-t": "give --deadline, the seconds of an invocation",
    "--graceful-timeout": "give --drain, the seconds for what is in flight after SIGTERM",
    "--timeout-graceful-shutdown": "give --drain, the seconds for what is in flight after SIGTERM",
    "--timeout-keep-alive": "the host decides how long it keeps its connections",
    "--keep-alive": "the host decides how long it keeps its connections",
    "--max-requests-jitter": "give --max-requests alone: workers are replaced at up to a fifth more or less",
    "--limit-max-requests": "give --max-requests",
    "--limit-concurrency": "give --concurrency, the async invocations of one worker",
    "--worker-connections": "give --concurrency, the async invocations of one worker",
    "--worker-class": "every worker runs `def` and `async def` functions: leave it out",
    "-k": "every worker runs `def` and `async def` functions: leave it out",
    "--loop": "every worker runs on uvloop: leave it out",
    "--http": "requests are read by httptools: leave it out",
    "--interface": "ASGI and WSGI applications are told apart by themselves: leave it out",
    "--lifespan": "an ASGI application's lifespan runs in each worker: leave it out",
    "--factory": "name the made application: a module with `app = create_app()`",
    "--app-dir": "name the file or folder: fastworker serve FOLDER",
    "--chdir": "name the file or folder: fastworker serve FOLDER",
    "--preload-app": "the app is imported once before workers are forked; --preload 0 turns that off",
    "--access-logfile": "the host writes an entry for each request",
    "--access-log": "the host writes an entry for each request",
    "--log-config": "give --log-level and --log-format",
    "--env-file": "the host sets the environment; `fastworker dev` reads local.settings.json",
    "--root-path": "routePrefix in host.json is the prefix of all routes",
    "--ssl-keyfile": "TLS ends before the Functions host",
    "--ssl-certfile": "TLS ends before the Functions host",
    "--daemon": "the Functions host starts and watches it",
    "-D": "the Functions host starts and watches it",
    "--uds": "the Functions host calls a port: give --port",
    "--verbose": "give --log-level debug",
    "--debug": "give --log-level debug, or --debugpy for a debugger",
    "--version": "`fastworker --version` tells it",
    "-V": "`fastworker --version` tells it",
}
DEV: Final = {
    "--workers": "set FASTWORKER_WORKERS in the environment or in local.settings.json",
    "-w": "set FASTWORKER_WORKERS in the environment or in local.settings.json",
    "--enableAuth": "give --auth",
    "--enable-auth": "give --auth",
    "--functions": 'host.json\'s "functions" lists those that run',
    "--cors": "Host.CORS in local.settings.json lists the origins",
    "--cors-credentials": "Host.CORSCredentials in local.settings.json",
    "--verbose": "set FASTWORKER_LOG_LEVEL=debug",
    "--debug": "the task of .vscode/tasks.json that `fastworker new` writes starts a debugger",
    "--debugpy": "the task of .vscode/tasks.json that `fastworker new` writes starts a debugger",
    "--useHttps": "it speaks plain HTTP, on this machine only",
    "--cert": "it speaks plain HTTP, on this machine only",
    "--language-worker": "there is no language worker: host.json names the program",
    "--script-root": "name the folder: fastworker dev FOLDER",
    "--no-build": "nothing is built: leave it out",
    "--python": "the interpreter that runs fastworker runs the app",
    "--timeout": "give initializationTimeout in host.json's customHandler",
    "--log-level": "set FASTWORKER_LOG_LEVEL",
    "--version": "`fastworker --version` tells it",
    "-V": "`fastworker --version` tells it",
}
NEW: Final = {
    "--name": "name the folder: fastworker new FOLDER",
    "-n": "name the folder: fastworker new FOLDER",
    "-t": "give --template",
    "--authlevel": 'the level stands in the code: @app.route(..., auth_level="anonymous")',
    "--worker-runtime": "apps of fastworker are custom handlers: leave it out",
    "--python": "apps of fastworker are written in Python: leave it out",
    "--model": "functions are declared by decorators: leave it out",
    "--docker": "leave it out",
}
SYNC: Final = {
    "--dry-run": "give --check, which writes nothing",
    "--force": "files that differ are written anyway: leave it out",
    "--delete": "give --prune",
}
ADD: Final = {
    "--with": "name the parts alone: fastworker add docker kubernetes",
    "--force": "move the files away first",
}
PACK: Final = {
    "-o": "give --out",
    "--output": "give --out",
    "--build": "packages are always built in: leave it out",
    "--no-build": "packages are always built in; Azure need not build",
    "--python-version": "give --python",
    "--arch": "give --platform",
}
DOCTOR: Final = {
    "--format": "give --json",
    "--fix": "doctor changes nothing: write the lines that it names (concurrency keys: fastworker sync --tune)",
    "--tune": "fastworker sync --tune",
}
INVOKE: Final = {
    "-d": "give --data",
    "--data-raw": "give --data",
    "--body": "give --data",
    "--content": "give --data",
    "--payload": "give --data",
    "--request": "give --method",
    "-f": "give --fail",
    "--name": "name the function: fastworker invoke FUNCTION",
}
STORAGE: Final = {
    "--connection-string": "give --connection, the name of the app setting that holds it",
    "--account-name": "give --connection, the name of the app setting that holds the connection string",
    "--account-key": "give --connection, the name of the app setting that holds the connection string",
    "--queue-name": "name the place: queues/NAME",
    "--container-name": "name the place: blobs/CONTAINER/NAME",
    "--content": "the text stands behind the queue's name: fastworker storage send QUEUE TEXT",
    "--data": "the text stands behind the queue's name: fastworker storage send QUEUE TEXT",
    "-f": "give --file",
}
COMMANDS: Final = {
    "start": "dev",
    "host": "dev",
    "run": "dev",
    "up": "dev",
    "watch": "dev",
    "init": "new",
    "create": "new",
    "startapp": "new",
    "call": "invoke",
    "trigger": "invoke",
    "build": "sync",
    "extensions": "sync",
    "worker": "serve",
}


def unknown_flags(words: Sequence[str], names: Iterable[str], hints: dict[str, str], command: str) -> list[str]:
    """One line for each flag of `words` that `command` does not have; what follows such a flag is its value."""
    names = list(names)
    told = []
    after_flag = False
    for word in words:
        flag = word.partition("=")[0]
        if not flag.startswith("-") and after_flag:
            after_flag = False
            continue
        after_flag = flag.startswith("-") and "=" not in word
        near = difflib.get_close_matches(flag, names, 1)
        meant = f"did you mean {near[0]}?" if near else f"see fastworker {command} --help"
        told.append(f"{flag}: no such argument; {hints.get(flag) or meant}")
    return told


def unknown_command(word: str, names: Iterable[str]) -> str:
    """What to type in the place of a command that there is not."""
    near = difflib.get_close_matches(word, list(names), 1)
    meant = COMMANDS.get(word) or (near[0] if near else "")
    if word in ("publish", "deploy", "azure"):
        return "; `func azure functionapp publish NAME` deploys an app"
    return f"; did you mean `fastworker {meant}`?" if meant else ""
