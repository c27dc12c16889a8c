"""App, the object that user code decorates its functions with.

Filled by user code at its import; loaded_app.py turns it into functions that can be invoked.
Rule: notes what it is told, and checks nothing.
"""

import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from fastworker.config.host_json import HostJson
from fastworker.functions import v2_names
from fastworker.functions.ai_decorators import AiDecorators
from fastworker.functions.dapr_decorators import DaprDecorators
from fastworker.functions.database_decorators import DatabaseDecorators
from fastworker.functions.declarations import Decorator, H, call_site, camel_case, plain_text
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

    def __init__(self, *, extra_binding_types: Iterable[str] = (), **unknown: Any) -> None:
        """`extra_binding_types` are types of new extensions, for the generic decorators and function.json."""
        if unknown:
            raise TypeError(
                "; ".join(v2_names.missing("fastworker.App()", n, v2_names.ARGUMENTS, "argument") for n in unknown)
            )
        super().__init__()
        self.state = types.SimpleNamespace()
        self.start_hooks: list[Callable[[], Any]] = []
        self.stop_hooks: list[Callable[[], Any]] = []
        self.extra_binding_types = tuple(extra_binding_types)
        self.folder = Path(call_site().rpartition(":")[0]).parent
        self.is_included = False

    if not TYPE_CHECKING:  # a type checker should still see that a name is not there

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(v2_names.missing("fastworker.App", name, v2_names.APP), name=name, obj=self)

    def include(self, other: "App") -> None:
        """Take over the functions and hooks of another app, as of a blueprint in a module of its own.

        From then on both are one: they have the same functions, hooks and `state`.

        Args:
            other: the app that is taken over; a function of a name that is there already is a mistake.

        Example:
            orders = fw.App()  # in a module of its own

            @orders.route("orders/{id:int}")
            def order(req: fw.Request, id: int) -> dict[str, int]:
                return {"id": id}

            app = fw.App()
            app.include(orders)

        See protocol 1.3.
        """
        if not isinstance(other, App):
            kind = f"{type(other).__module__.partition('.')[0]}'s {type(other).__name__}"
            raise TypeError(
                f"include takes a fastworker.App, not {kind}: an azure.functions, ASGI or WSGI app is served by "
                f"itself, as module:attribute (docs/migrating.md)"
            )
        if other.is_included or other is self:
            return
        other.is_included = True
        for mine, theirs in (
            (self.declarations, other.declarations),
            (self.start_hooks, other.start_hooks),
            (self.stop_hooks, other.stop_hooks),
        ):
            mine.extend(theirs)  # type: ignore[arg-type]
        other.declarations, other.start_hooks, other.stop_hooks = self.declarations, self.start_hooks, self.stop_hooks
        vars(self.state).update(vars(other.state))
        other.state = self.state
        self.extra_binding_types += other.extra_binding_types

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

    def retry(
        self,
        strategy: Literal["fixed_delay", "exponential_backoff"],
        max_retry_count: int | str,
        *,
        delay_interval: str | None = None,
        minimum_interval: str | None = None,
        maximum_interval: str | None = None,
    ) -> Decorator:
        """Have the host try a failed invocation again: `retry` in function.json, which wins over host.json's.

        Officially for timer, Event Hubs, Cosmos DB and Kafka triggers; the queues and blobs of Storage, Service Bus and
        Event Grid deliver again by themselves.

        Args:
            strategy: `fixed_delay`, or `exponential_backoff`, which doubles the delay each time.
            max_retry_count: tries after the first one; -1 for ever.
            delay_interval: between two tries, as `00:00:05`; of `fixed_delay`.
            minimum_interval: before the second try, as `00:00:05`; of `exponential_backoff`.
            maximum_interval: between two tries at most, as `00:05:00`; of `exponential_backoff`.

        Example:
            @app.retry("fixed_delay", max_retry_count=3, delay_interval="00:00:05")
            @app.timer_trigger("timer", schedule="0 0 * * * *")
            def report(timer: fw.TimerRequest) -> None:
                print("hourly")

        See protocol 5.5.
        """
        members = {
            "strategy": camel_case(plain_text(strategy)),
            "maxRetryCount": int(count) if (count := str(max_retry_count)).removeprefix("-").isdigit() else count,
            "delayInterval": delay_interval,
            "minimumInterval": minimum_interval,
            "maximumInterval": maximum_interval,
        }

        def decorate(handler: H) -> H:
            self.declare(handler).members["retry"] = {n: value for n, value in members.items() if value is not None}
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
