"""App, the object that user code decorates its functions with.

Filled by user code at its import; loaded_app.py turns it into functions that can be invoked.
Rule: notes what it is told, and checks nothing.
"""

import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, overload

from fastworker.config.host_json import HostJson
from fastworker.functions.ai_decorators import AiDecorators
from fastworker.functions.dapr_decorators import DaprDecorators
from fastworker.functions.database_decorators import DatabaseDecorators
from fastworker.functions.declarations import Decorator, call_site
from fastworker.functions.input_decorators import InputDecorators
from fastworker.functions.output_decorators import OutputDecorators
from fastworker.functions.trigger_decorators import TriggerDecorators

F = TypeVar("F", bound=Callable[..., Any])


class App(TriggerDecorators, InputDecorators, OutputDecorators, DatabaseDecorators, DaprDecorators, AiDecorators):
    """An app: a set of functions.

    Decorators note what they are told and raise nothing: mistakes (names, types, missing arguments) are reported
    together when the app is loaded, each with its file and line, and `serve` ends with exit code 3.
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

    def under_host(self, host: HostJson, *, has_file: bool) -> HostJson:
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
            deadline: seconds after which `DeadlineExceeded` is raised in the handler, counted from the host's send; by
                default FASTWORKER_DEADLINE, 55 s. With FASTWORKER_GRACE it must stay under FASTWORKER_CAP, 60 s. Where
                FASTWORKER_DEADLINE is set or host.json's functionTimeout less a second is smaller, that holds.

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
