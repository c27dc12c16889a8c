"""The `fastworker` command: from the command line to a role.

Called by the entry point and by __main__.py; the only place where process roles meet.
Rule: each command imports what it needs when it is called, so that `serve` starts without anything but itself.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from fastworker.errors import FastworkerError, PortInUseError
from fastworker.foreign import foreign_installation

if TYPE_CHECKING:
    from fastworker.ipc.control import ControlSocket
    from fastworker.ipc.inherited import Inherited
    from fastworker.settings import Settings

USAGE = """usage: fastworker COMMAND [options]

Serve Azure Functions as a custom handler of the Functions host. COMMAND --help tells more.

commands:
  serve     what host.json starts (fastworker serve --help)
  dev       run a function app on this machine, as the Functions host would
  new       write a new function app
  add       add a Dockerfile, manifests, a workflow ... to an app
  sync      write function.json and host.json from the decorators
  invoke    call one function
  pack      write a zip that runs in Azure, packages included
  doctor    what this machine, this app and its configuration contradict
  top       watch a running server: its workers, functions and deaths
  storage   look into the queues, blobs and tables that dev uses
  version   the version of fastworker
"""

BACKLOG = 4096
EXPOSED = (
    "whoever reaches this address can run every function, for nobody asks for keys here: let only those reach it "
    "who may run everything, or a proxy that asks"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command given by `argv` (default: the process's own); returns the exit code."""
    command, *rest = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command in ("version", "--version", "-V"):
        from fastworker import __version__

        print(f"fastworker {__version__}")
        return 0
    if command not in COMMANDS:
        from fastworker.flag_hints import unknown_command

        hint = unknown_command(command, COMMANDS)
        print(f"{USAGE}\nfastworker: no such command: {command!r}{hint}", file=sys.stderr)
        return 2
    foreign = foreign_installation(os.path.dirname(__file__))
    if foreign is not None:
        return _fail(2, foreign)
    try:
        return COMMANDS[command](rest)
    except FastworkerError as error:
        return _fail(error.exit_code, str(error))


def serve(argv: Sequence[str]) -> int:
    """`fastworker serve`: the process that the Functions host starts."""
    if sys.platform != "linux":
        return _fail(
            2,
            f"fastworker serve needs Linux (epoll, prctl), where Functions runs Python; this is {sys.platform}",
        )

    from fastworker import logs
    from fastworker.cpus import thread_variables, usable_cpus
    from fastworker.ipc import linux
    from fastworker.settings import LOOPBACK, parse_settings
    from fastworker.supervisor import run as supervisor

    settings = parse_settings(argv, os.environ)
    # The host makes an entry, and an alert, of each line (protocol 5.4).
    logs.configure(settings.log_level, settings.log_format or ("line" if settings.under_host else "text"))
    if settings.debugpy is not None:
        from fastworker.worker.debugger import settings_for_debugging

        settings = settings_for_debugging(settings)
    logs.take_over_streams()
    if settings.traces is not None:
        from fastworker.telemetry.extra import checked

        settings = checked(settings)
    linux.keep_freed_memory(os.environ)  # of this process and all that are forked from it: the workers
    # What the app starts imports from the app's root, too, where no bytecode may appear (bytecode.py).
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    cpus = usable_cpus()
    workers = settings.workers or cpus
    # Before the app is imported, and only where its user has not decided.
    for name, value in thread_variables(settings.threads, cpus=cpus, workers=workers).items():
        os.environ.setdefault(name, value)
    with open_listener(settings.address, settings.port) as listener:
        address, port = listener.getsockname()
        elsewhere = {} if settings.address == LOOPBACK else {"address": address}
        logs.log.info("server.listening", port=port, workers=workers, **elsewhere)
        if elsewhere:
            logs.log.warning("server.exposed", address=address, detail=EXPOSED)
        outcome = supervisor.run(settings, workers, listener, _warden_main)
    return _fail(*outcome) if outcome.cause else outcome.exit_code


def dev(argv: Sequence[str]) -> int:
    """`fastworker dev`: a local stand-in for the Functions host."""
    return _with_extra("dev", argv)


def new(argv: Sequence[str]) -> int:
    """`fastworker new`: a function app to begin with."""
    return _with_extra("new", argv)


def sync(argv: Sequence[str]) -> int:
    """`fastworker sync`: function.json and host.json from the decorators."""
    return _with_extra("sync", argv)


def doctor(argv: Sequence[str]) -> int:
    """`fastworker doctor`: what machine, app and configuration contradict."""
    return _with_extra("doctor", argv)


def add(argv: Sequence[str]) -> int:
    """`fastworker add`: what an app needs to be deployed."""
    return _with_extra("add", argv)


def invoke(argv: Sequence[str]) -> int:
    """`fastworker invoke`: one call of one function."""
    return _with_extra("invoke", argv)


def storage(argv: Sequence[str]) -> int:
    """`fastworker storage`: the store that `dev` uses."""
    return _with_extra("storage", argv)


def top(argv: Sequence[str]) -> int:
    """`fastworker top`: a live view of a running server."""
    return _with_extra("top", argv)


def pack(argv: Sequence[str]) -> int:
    """`fastworker pack`: a zip that runs in Azure."""
    return _with_extra("pack", argv)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "serve": serve,
    "dev": dev,
    "new": new,
    "sync": sync,
    "doctor": doctor,
    "invoke": invoke,
    "pack": pack,
    "add": add,
    "storage": storage,
    "top": top,
}


def _with_extra(name: str, argv: Sequence[str]) -> int:
    """Runs commands/{name}.py; what it imports may need the extra."""
    import importlib

    try:
        module = importlib.import_module(f"fastworker.commands.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "fastworker":
            raise
        return _fail(2, f"fastworker {name} needs {error.name!r}: pip install 'fastworker-functions[dev]'")
    return int(module.main(argv))


def open_listener(address: str, port: int) -> socket.socket:
    """Listens there; port 0 takes a free one.

    Raises:
        PortInUseError: the port is taken, or not ours to take.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # The host starts the next process on the port that its predecessor held a moment ago.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = "another process listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise PortInUseError(f"cannot listen on {address}:{port}: {reason}; free it, or give another --port") from None
    return listener


def _warden_main(control: "ControlSocket", inherited: "Inherited", settings: "Settings") -> NoReturn:
    from fastworker.supervisor import warden

    warden.main(control, inherited, settings, _zygote_main, _writer_main)


def _writer_main(inherited: "Inherited", settings: "Settings", parent: int) -> None:
    """Runs in the process that writes the spans of the dead."""
    from fastworker.telemetry import dead_spans

    dead_spans.main(inherited, settings, parent)


def _zygote_main(control: "ControlSocket", inherited: "Inherited", settings: "Settings", parent: int) -> NoReturn:
    """Runs in the zygote: the app, HTTP and the codec are imported there and never in the supervisor."""
    from fastworker.worker import run as worker
    from fastworker.zygote import run as zygote

    zygote.main(control, inherited, settings, parent, worker.main)


def _fail(exit_code: int, cause: str) -> int:
    """The cause goes last: the host shows the last lines of stderr (protocol 5.3)."""
    print(f"fastworker: {cause}", file=sys.stderr, flush=True)
    return exit_code
