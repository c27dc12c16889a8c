"""One run of an app: its files read, its handler and triggers running, until it is stopped.

Made by session.py, once per reload; front.py asks it for functions.
Rule: everything that a run starts is owned here, and is gone when `stop` returns.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastworker.devhost.appsettings import AppSettings, read_app_settings
from fastworker.devhost.blob_trigger import BlobListener
from fastworker.devhost.config_error import ConfigError
from fastworker.devhost.console import Console
from fastworker.devhost.expressions import ExpressionError
from fastworker.devhost.front import Router
from fastworker.devhost.functions import Function, read_functions
from fastworker.devhost.hostjson import HostJson, longest_pause_s, read_host_json
from fastworker.devhost.invocations import Circumstances, Invoker
from fastworker.devhost.outputs import OutputWriter
from fastworker.devhost.process import HandlerProcess
from fastworker.devhost.queue_trigger import QueueListener
from fastworker.devhost.state import TriggerState
from fastworker.devhost.storage import Accounts, StorageError
from fastworker.devhost.timer_trigger import Timer
from fastworker.devhost.tracing import traces_of
from fastworker.hostrules.schedules import Schedule

STORED = ("queuetrigger", "blobtrigger", "queue", "blob", "table")
Job = Coroutine[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class AppFiles:
    """What was read from the app's folder."""

    root: Path
    settings: AppSettings
    host: HostJson
    functions: list[Function]


def read_app(root: Path, environ: Mapping[str, str], max_poll_s: float | None = None) -> AppFiles:
    """Raises ConfigError for anything that stops the whole app."""
    settings = read_app_settings(root, environ)
    host = read_host_json(root, settings)
    if max_poll_s is not None:
        host = replace(host, queues=host.queues._replace(max_polling_s=max_poll_s))
    return AppFiles(root, settings, host, read_functions(root, settings, host))


class RunningApp:
    """`stopped` holds the reason once the host has given up."""

    def __init__(
        self,
        files: AppFiles,
        console: Console,
        base_url: str,
        on_stop: Callable[[str], None],
        *,
        asks_for_keys: bool = False,
    ) -> None:
        self.root = files.root
        self.settings = files.settings
        self.host = files.host
        self.base_url = base_url
        self.stopped: str | None = None
        self._console = console
        self._on_stop = on_stop
        self._jobs: set[asyncio.Task[Any]] = set()
        self._listeners: dict[tuple[str, str], list[QueueListener | BlobListener]] = {}
        self._triggers: dict[asyncio.Task[Any], QueueListener | BlobListener | Timer] = {}
        self.router = Router(files.functions, self.host.route_prefix)
        self.functions = files.functions
        self.timers: dict[str, Timer] = {}
        self.outstanding = 0  # requests of http functions
        self.turns = asyncio.Semaphore(max(self.host.http.max_concurrent, 1))
        state = self.root / ".fastworker"
        self.accounts = Accounts(self.settings, state, self.host.queues.encoding)
        self._state = TriggerState(state / "triggers.db")
        self.handler = HandlerProcess(
            self.host,
            self.root,
            _environ(self.settings, asks_for_keys),
            self.host.port or free_port(),
            console,
            self._give_up,
        )
        traces = traces_of(self.settings.values, console)
        writer = OutputWriter(self.accounts, self._notify, traces)
        circumstances = _circumstances(self.settings)
        self.invoker = Invoker(self.host, self.handler, self.accounts, writer, console, circumstances, traces)

    def function(self, name: str) -> Function | None:
        return next((f for f in self.functions if f.name.lower() == name.lower()), None)

    def _loaded(self) -> list[Function]:
        return [f for f in self.functions if f.problem is None and not f.left_out]

    def spawn(self, job: Job) -> asyncio.Task[Any]:
        """Runs a job that ends with the app."""
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._job_done)
        return task

    @property
    def in_flight(self) -> int:
        """Runs that triggers have begun."""
        return sum(trigger.in_flight for trigger in self._triggers.values())

    def stop_taking(self) -> None:
        """Triggers begin no further run."""
        for trigger in self._triggers.values():
            trigger.stop_taking()

    async def triggers_end(self) -> None:
        """After `stop_taking`: until the runs that have begun are done."""
        if self._triggers:
            await asyncio.wait(self._triggers)

    async def start(self) -> None:
        """Starts the handler and the triggers; does not wait for the handler to be ready."""
        for line in (*self.settings.warnings, *self.host.warnings):
            self._console.warn(line)
        if self.settings.get("WEBSITE_TIME_ZONE") and any(f.trigger.key == "timertrigger" for f in self._loaded()):
            self._console.warn("WEBSITE_TIME_ZONE does nothing for timers on Linux plans; TZ is what counts (B-429)")
        if self.host.not_obeyed:
            self._console.info(f"host.json: not obeyed here: {', '.join(self.host.not_obeyed)}")
        self._check_storage()
        self._console.functions((f, *self._described(f)) for f in self.functions)
        for function in self.functions:
            if function.problem:
                self._console.error(f"function {function.name} is not loaded: {function.problem}")
            for line in function.warnings:
                self._console.warn(line)
        if not any(f.problem is None for f in self.functions):
            # The handler is started all the same: its own mistakes are told, too, and not only after the next change.
            self._console.warn(
                "no functions: in Azure the host starts no handler for an app without any (fastworker sync?)"
            )
        self.handler.start()
        for function in self.functions:
            if function.problem is None and not function.disabled and not function.left_out:
                self._start_trigger(function)

    async def stop(self) -> None:
        for task in list(self._jobs):
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self.handler.stop()
        await self.invoker.close()
        await self.accounts.close()
        self._state.close()

    # ---- triggers ----

    def _start_trigger(self, function: Function) -> None:
        trigger = function.trigger
        options = self.host.queues
        try:
            if trigger.key == "queuetrigger":
                account = self.accounts.open(trigger.connection)
                queue = QueueListener(function, account, self.invoker, options, self._console)
                self._listeners.setdefault((self._key(trigger.connection), f"queue {queue.queue}"), []).append(queue)
                self._triggers[self.spawn(queue.run())] = queue
            elif trigger.key == "blobtrigger":
                account = self.accounts.open(trigger.connection)
                blob = BlobListener(
                    function,
                    account,
                    self.invoker,
                    self._state,
                    self._console,
                    max_tries=self.host.max_blob_tries,
                    at_once=self.host.max_blobs_at_once,
                    scan_every_s=longest_pause_s(options),
                )
                self._listeners.setdefault((self._key(trigger.connection), f"blob {blob.container}"), []).append(blob)
                self._triggers[self.spawn(blob.run())] = blob
            elif trigger.key == "timertrigger":
                zone = self.invoker.circumstances.zone if self.settings.get("TZ") else UTC
                schedule = Schedule(trigger.text("schedule"))
                timer = Timer(function, schedule, self.invoker, self._state, self._console, zone)
                self.timers[function.name] = timer
                self._triggers[self.spawn(timer.run())] = timer
        except (ConfigError, StorageError, ExpressionError) as error:
            self._console.error(f"the trigger of {function.name} does not run: {error}")

    def _check_storage(self) -> None:
        """Opens the accounts that bindings name, so that a wrong one is told at once and not at the first message."""
        for function in self.functions:
            for binding in function.bindings:
                if binding.key in STORED and function.problem is None:
                    try:
                        self.accounts.open(binding.connection)
                    except StorageError as error:
                        self._console.error(f"{binding.where}: {error}")
        for account in self.accounts.in_use:
            self._console.info(f"storage: {account.description}")

    def _notify(self, connection: str, place: str) -> None:
        for listener in self._listeners.get((self._key(connection), place), ()):
            listener.notify()

    def _key(self, connection: str) -> str:
        return self.accounts.open(connection).description

    def _job_done(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._console.error(f"a trigger has failed and does not run any more: {task.exception()!r}")

    def _give_up(self, why: str) -> None:
        self.stopped = why
        for task in list(self._jobs):
            task.cancel()  # or the triggers would go on, and every message end in a poison queue
        self._on_stop(why)

    def _described(self, function: Function) -> tuple[str, str]:
        """What the list of functions says: the trigger and the place."""
        if function.problem:
            return "in error", ""
        trigger = function.trigger
        place = self.router.url(self.base_url, function) if function.is_http else _place(function)
        kind = trigger.type.removesuffix("Trigger")
        if function.is_http:
            kind = "any method" if function.methods is None else ",".join(function.methods) or "no method"
        return kind, f"{place} (disabled)" if function.disabled else place


def _place(function: Function) -> str:
    trigger = function.trigger
    names = ("queueName", "path", "schedule", "topicName", "eventHubName", "containerName")
    place = next((trigger.text(name) for name in names if trigger.text(name)), "")
    if trigger.key in ("queuetrigger", "blobtrigger", "timertrigger"):
        return place
    return f"{place}{' ' if place else ''}(call it: fastworker invoke {function.name})"


def _circumstances(settings: AppSettings) -> Circumstances:
    """What the settings change of the host's requests (protocol 2.1, 4.1)."""
    insights = ("APPLICATIONINSIGHTS_CONNECTION_STRING", "APPINSIGHTS_INSTRUMENTATIONKEY")
    try:
        zone: tzinfo | None = ZoneInfo(settings.get("TZ") or "")
    except (ZoneInfoNotFoundError, ValueError):
        zone = datetime.now().astimezone().tzinfo
    return Circumstances(
        core_tools=bool(settings.get("FUNCTIONS_CORETOOLS_ENVIRONMENT")),
        insights=any(settings.get(name) for name in insights),
        zone=zone or UTC,
    )


def _environ(settings: AppSettings, asks_for_keys: bool) -> dict[str, str]:
    """The handler's environment; commands installed beside this one are found, after everything in PATH.

    Where nobody is asked for a key, none can be walked around: a fastworker app with several auth levels is told so in
    its log, and runs. A traceback is for eyes here, and no alert a line: fastworker writes it as text.
    """
    beside = str(Path(sys.executable).parent)
    path = settings.values.get("PATH", os.defpath)
    if beside not in path.split(os.pathsep):
        path = f"{path}{os.pathsep}{beside}"
    own = {"FASTWORKER_LOG_FORMAT": "text", **({} if asks_for_keys else {"FASTWORKER_MIXED_AUTH": "allow"})}
    return {**own, **settings.values, "PATH": path}


def free_port() -> int:
    """A port that nobody uses now; found as the host finds it (protocol 1.4)."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
