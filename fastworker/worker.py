"""The worker process: waits on the shared epoll, and has a conversation on whatever connection that gives it.

Forked by zygote.py. exchange.py reads and writes, service.py runs functions, connections.py shares descriptors; what
the worker does is on the board at any instant, so that the supervisor can answer in its place.
Rule: one thread reads and writes. It blocks in the shared epoll itself while nothing is unfinished, and enters
uvloop only for what takes turns: async invocations, requests that arrive in pieces, readers that are slow.

          +------------------------------------------------------------------+
          v                                                                  |
    shared.poll --event--> take, read --whole request--> run inline, answer, arm
                              |                             |
                              +-- not whole yet             +-- async, slow reader
                              v                             v
                            uvloop (watches the shared epoll, too) until nothing is unfinished
"""

import asyncio
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from fastworker import linux
from fastworker.app import LoadedApp, load_app
from fastworker.board import Seat
from fastworker.buffered import Buffered, default_limit
from fastworker.connections import Held
from fastworker.control import (
    CloseConnection,
    ControlSocket,
    Drop,
    Dropped,
    Gone,
    Hold,
    Occupied,
    Retire,
    Want,
    WorkerFailed,
    WorkerReady,
    cause_of,
)
from fastworker.errors import FastworkerError, HookError
from fastworker.exchange import Conversation, Exchange
from fastworker.http1 import HTTP1Connection
from fastworker.inherited import Inherited
from fastworker.logs import inherit_invocation_in_threads, log, log_into_invocations_directly, write_traceback
from fastworker.service import Service
from fastworker.settings import Settings
from fastworker.slow_loop import SlowLoop

# An idle worker hears its control socket this often; nothing there is urgent (the board carries what is).
IDLE_S = 0.25
# In uvloop its turns are watched more closely: user code there holds up others (slow_loop.py).
TURN_S = 0.05
# Entering and leaving uvloop costs about 30 us, so it is left only after it has been quiet for a while.
LEAVE_S = 0.005
STOP_HOOKS_S = 10.0


def main(
    slot: int,
    control: ControlSocket,
    inherited: Inherited,
    settings: Settings,
    app: LoadedApp | None,
    parent: int,
) -> int:
    """The life of a worker, in a process of its own; returns its exit code."""
    linux.die_with_parent(parent)
    linux.name_process(f"fastworker:{slot}")
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "numpy.random" in sys.modules:
        # Python's own generator reseeds itself after a fork; numpy's would repeat its numbers in every worker.
        sys.modules["numpy.random"].seed()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        if settings.debugpy is not None:
            from fastworker import debugger  # noqa: PLC0415 - nobody else pays for it

            debugger.listen(settings.debugpy)
        loaded = app or load_app(settings.app, app_root=settings.app_root, http_mode=settings.http_mode)
        worker = Worker(slot, control, inherited, settings, loaded, loop)
        worker.start()
    except FastworkerError as error:
        control.send(WorkerFailed(error.exit_code, cause_of(error)))
        return error.exit_code
    worker.serve()
    worker.stop()
    return 0


class Worker:
    """Serves until it is told to retire."""

    def __init__(
        self,
        slot: int,
        control: ControlSocket,
        inherited: Inherited,
        settings: Settings,
        app: LoadedApp,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._control = control
        self._shared = inherited.shared
        self._pictures = inherited.pictures
        self._settings = settings
        self._app = app.app
        self._loop = loop
        self._seat = Seat(inherited.board, slot, os.getpid())
        self._held = Held(inherited.shared)
        self._conversations: dict[int, Conversation] = {}
        self._slow_loop = SlowLoop(app.root)
        self._service = Service(app, settings, inherited.board, self._seat)
        self._buffered = Buffered(self._seat, settings.max_buffered or default_limit())
        self._exchange = Exchange(self._service, self._seat, loop, settings.read_timeout, self._let_go)
        self._taken_ns = int((settings.deadline + settings.grace) * 1e9)
        self._wanted: int | None = None
        self._mail = 0
        self._retiring = False
        self._in_loop = False
        self._watching = False

    # -- start and end -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Runs the start hooks and reports for work.

        Raises:
            HookError: one of them failed.
        """
        self._pictures.sit()
        self._service.listen()
        self._slow_loop.listen()
        signal.signal(signal.SIGTERM, self._on_sigterm)
        inherit_invocation_in_threads()
        log_into_invocations_directly()
        for hook in self._app.start_hooks:
            self._run_hook(hook, "on_worker_start")
        self._control.send(WorkerReady(os.getpid()))

    def stop(self) -> None:
        """Runs the stop hooks; one that fails or hangs keeps nobody from ending."""
        self._seat.arm(time.monotonic_ns() + int(STOP_HOOKS_S * 1e9))
        self._seat.inline(time.monotonic_ns() + int(STOP_HOOKS_S * 1e9))
        for hook in self._app.stop_hooks:
            try:
                self._run_hook(hook, "on_worker_stop")
            except HookError as error:
                log.error("hook.failed", detail=str(error))

    def _run_hook(self, hook: Callable[[], Any], kind: str) -> None:
        try:
            result = hook()
            if inspect.isawaitable(result):
                self._loop.run_until_complete(result)
        except (Exception, SystemExit) as error:  # user code
            name = getattr(hook, "__qualname__", repr(hook))
            write_traceback(f"the {kind} hook {name} failed", error)
            raise HookError(f"the {kind} hook {name} failed: {type(error).__name__}: {error}") from error

    def _on_sigterm(self, *_: object) -> None:
        """Somebody wants this one worker gone: as if the supervisor had asked for it."""
        self._retiring = True

    # -- blocking on the shared epoll ----------------------------------------------------------------------------

    def serve(self) -> None:
        """Until retired: an event, an answer, the next event."""
        poll, seat, clock = self._shared.poll, self._seat, time.monotonic_ns
        spin_ns, spin_until = (self._settings.spin or 0) * 1000, 0
        while not self._retiring or self._exchange.unfinished:
            if self._exchange.unfinished:
                self._run_loop()
                continue
            seat.beat()
            events: list[tuple[int, int]] = []
            while clock() < spin_until and not events:
                events = poll(0, 1)
            if not events:
                events = poll(IDLE_S, 1)
            if events:
                self._take(events[0][0])
                if spin_ns:
                    spin_until = clock() + spin_ns
            if not events or self._mail != seat.mail:
                self._hear()

    def _take(self, number: int) -> None:
        self._seat.take(number, time.monotonic_ns() + self._taken_ns)
        conversation = self._conversations.get(number) or self._fetch(number)
        if conversation is None:
            self._seat.release(number)
        else:
            self._exchange.read(conversation)

    def _let_go(self, conversation: Conversation) -> None:
        """Its row goes first: once armed, the connection may be another worker's at any moment."""
        self._seat.release(conversation.number)
        if conversation.closing:
            if self._drop(conversation.number):
                self._control.send(CloseConnection(conversation.number, conversation.linger))
        else:
            self._held.arm(conversation.number)
        if self._in_loop:
            self._watch()
            if not self._exchange.unfinished:
                self._loop.call_later(LEAVE_S, self._leave_loop)

    def _fetch(self, number: int) -> Conversation | None:
        """Asks the supervisor for a connection that this process does not hold yet; None if it is closed."""
        self._wanted = number
        self._control.send(Want(number))
        while self._wanted is not None:
            self._control.wait(IDLE_S)
            self._seat.beat()  # the supervisor may be busy: nobody stands still who waits for it
            self._hear()
        return self._conversations.get(number)

    # -- the supervisor's messages -------------------------------------------------------------------------------

    def _hear(self) -> None:
        self._mail = self._seat.mail
        self._control.flush()
        while True:
            try:
                message, fd = self._control.receive()
            except BlockingIOError:
                return
            except EOFError:
                os._exit(1)  # no supervisor, no server
            self._seat.beat()  # thousands of them may have come together
            match message:
                case Hold(number):
                    assert fd is not None
                    self._hold(number, fd)
                    if number == self._wanted:
                        self._wanted = None
                case Gone():
                    self._wanted = None
                case Drop(number):
                    if self._drop(number):
                        self._control.send(Dropped(number))
                case Retire():
                    self._retiring = True
                    self._watch()

    def _hold(self, number: int, fd: int) -> None:
        connection = self._held.place(fd, number)
        if isinstance(connection, int):
            # The app has a descriptor of its own there. What is not wanted yet may never be.
            self._control.send(Occupied(number, connection) if number == self._wanted else Dropped(number))
        else:
            http = HTTP1Connection(
                self._settings.max_body,
                self._service.reads_in_pieces,
                envelope_limit=self._service.envelope_limit,
                budget=self._buffered,
            )
            self._conversations[number] = Conversation(number, connection, http)

    def _drop(self, number: int) -> bool:
        """Closes the descriptor here; False if that was done, and told, before."""
        self._held.drop(number)
        conversation = self._conversations.pop(number, None)
        if conversation is None:
            return False
        conversation.http.close()
        return True

    # -- in the loop ---------------------------------------------------------------------------------------------

    def _run_loop(self) -> None:
        """Serves on uvloop until nothing is unfinished and it has been quiet for a moment."""
        self._in_loop = True
        self._loop.add_reader(self._control.fileno(), self._hear)
        self._turn()
        self._loop.run_forever()
        self._next_turn.cancel()
        self._in_loop = False
        self._watch()
        self._loop.remove_reader(self._control.fileno())

    def _turn(self) -> None:
        """Shows that the loop still turns."""
        self._seat.beat()
        self._watch()
        self._next_turn = self._loop.call_later(TURN_S, self._turn)

    def _watch(self) -> None:
        """Watches the shared epoll from the loop exactly while there is room for another invocation."""
        room = len(self._service.in_flight) < self._settings.concurrency
        wanted = self._in_loop and room and not self._retiring
        if wanted and not self._watching:
            self._loop.add_reader(self._shared.fileno(), self._on_shared)
        elif self._watching and not wanted:
            self._loop.remove_reader(self._shared.fileno())
        self._watching = wanted

    def _on_shared(self) -> None:
        self._seat.beat()
        # A nested epoll wakes every worker that watches it; only one of them finds the event.
        for number, _ in self._shared.poll(0, 1):
            self._take(number)
        self._watch()

    def _leave_loop(self) -> None:
        if not self._exchange.unfinished:
            self._loop.stop()
