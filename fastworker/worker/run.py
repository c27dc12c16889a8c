"""The worker process: waits on the shared epoll, and has a conversation on whatever connection that gives it.

Forked by zygote/run.py. connection.py and turns.py read and write, dispatch.py runs functions, connections.py shares
descriptors; what the worker does is on the board at any instant, so that the supervisor can answer in its place.
Rule: the main thread takes the requests and runs every `def` handler, one after the other; the loop's thread
(loop_thread.py) runs every `async def` one and waits for slow clients. Only the main thread takes from the shared
epoll: while it is busy, other workers do.

          +------------------------------------------------------------------+
          v                                                                  |
    shared.poll --event--> take, read --whole request--> run def, answer, arm        main thread
                              |   ^                         |
           not whole yet, or  |   | whole, for a def        +-- async def, or a client that is slow to read
                              v   |                         v
                            the loop: reads on, runs async, writes on, arms           its own thread, once it is needed
"""

import contextlib
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Sequence

from fastworker import forks
from fastworker.errors import NOT_OURS, FastworkerError, HookError
from fastworker.functions.loaded_app import LoadedApp, load_app
from fastworker.ipc import linux
from fastworker.ipc.board import REST_S
from fastworker.ipc.buffered import Buffered, default_limit
from fastworker.ipc.connections import Held
from fastworker.ipc.control import (
    CloseConnection,
    ControlSocket,
    Drop,
    Dropped,
    Gone,
    Hold,
    Leaving,
    Occupied,
    Retire,
    Wake,
    Want,
    WorkerFailed,
    WorkerReady,
    cause_of,
)
from fastworker.ipc.inherited import Inherited
from fastworker.ipc.seat import LoopSeat, Seat
from fastworker.ipc.signals import DUMP_SIGNAL, LOOP_SIGNAL, SOFT_SIGNAL, WAKE_SIGNAL
from fastworker.log_records import inherit_invocation_in_threads, log_into_invocations_directly
from fastworker.logs import log
from fastworker.protocol.http1 import HTTP1Connection
from fastworker.protocol.known_heads import KnownHeads
from fastworker.settings import Settings
from fastworker.worker.connection import READ_SIZE, Conversation, InPlace
from fastworker.worker.dispatch import Call, make_service
from fastworker.worker.hooks import run_hook
from fastworker.worker.loop_thread import LoopThread
from fastworker.worker.rest import Rest
from fastworker.worker.slow_loop import SlowLoop
from fastworker.worker.spin import Spin, scheduler_figures
from fastworker.worker.straight_line import straight_line
from fastworker.worker.turns import Turns

# A worker that waits hears its control socket this often; nothing there is urgent (the board carries what is).
IDLE_S = 0.25
STOP_HOOKS_S = 10.0
OURS = (SOFT_SIGNAL, LOOP_SIGNAL, WAKE_SIGNAL)
# Of the time for a drain, what the stop hooks and the clean-up of cancelled tasks have for themselves.
RESERVE_S = 1.5


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
    try:
        if settings.debugpy is not None:
            from fastworker.worker import debugger  # noqa: PLC0415 - nobody else pays for it

            debugger.listen(settings.debugpy)
        loaded = app or load_app(
            settings.app,
            app_root=settings.app_root,
            http_mode=settings.http_mode,
            host_settings=settings.host_settings,
            mixed_auth=settings.on_mixed_auth,
            limits=settings.limits,
        )
        if app is None and slot == 0:  # of all that import the app by themselves one tells
            loaded.tell()
        linux.keep_streams_taken()
        worker = Worker(slot, control, inherited, settings, loaded)
        worker.start(names=loaded.names if app is None else [])
    except FastworkerError as error:
        control.send(WorkerFailed(error.exit_code, cause_of(error)))
        return error.exit_code
    try:
        worker.serve()
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        # What it has in hand stands on the board: the supervisor answers that.
        log.error("worker.unusable", detail=f"the app has closed descriptors that are not its own: {error}")
        return 1
    worker.stop()
    return 0


class Worker:
    """Serves until it is told to retire. All methods run on the main thread, but those in the section on the loop."""

    def __init__(
        self, slot: int, control: ControlSocket, inherited: Inherited, settings: Settings, app: LoadedApp
    ) -> None:
        self._control = control
        self._shared, self._pictures = inherited.shared, inherited.pictures
        self._settings = settings
        self._concurrency = settings.concurrency or app.app.concurrency
        self._app = app.app
        self._thread = LoopThread(OURS)
        self._rest = Rest(self._thread.loop)
        self._seat = Seat(inherited.board, slot, os.getpid())
        self._loop_seat = LoopSeat(inherited.board, slot, os.getpid())
        self._held = Held(inherited.shared)
        self._conversations: dict[int, Conversation] = {}
        self._service = make_service(app, settings, inherited, self._seat, slot)
        self._buffered = Buffered(self._seat, settings.max_buffered or default_limit())
        self._slow_loop = SlowLoop(app.root, self._thread, self._service.capture_of)
        self._exchange = InPlace(
            self._service, self._seat, self._thread, settings.read_timeout, self._let_go, self._between_requests
        )
        self._turns = Turns(
            self._service,
            self._loop_seat,
            self._thread,
            settings.read_timeout,
            self._let_go_from_loop,
            self._hand_back,
            self._claim,
            self._on_room,
        )
        self._exchange.turns, self._exchange.loop_seat = self._turns, self._loop_seat
        self._inbox: dict[Conversation, Call] = {}  # handed back by the loop
        self._taken_ns = int((settings.limits.server_s + settings.grace) * 1e9)
        self._heads = KnownHeads()
        self._wanted: int | None = None
        self._mail = 0
        self._retiring = False
        self._crowded = False
        self._leaving = self._told_leaving = False  # somebody has asked for that; the supervisor knows it

    # -- start and end -------------------------------------------------------------------------------------------

    def start(self, names: Sequence[str] = ()) -> None:
        """Runs the start hooks and reports for work. `names` of functions are those that only this process knows.

        Raises:
            HookError: one of them failed.
            AppLoadError: the import has left no room for the descriptors of connections.
        """
        board = self._seat.board
        self._held.check_room(board.first_number + board.connections - 1, self._settings.app or "the app")
        self._pictures.sit()
        self._service.listen(self._on_broken_import)
        self._slow_loop.listen()
        self._rest.listen()
        signal.signal(signal.SIGTERM, self._on_sigterm)
        forks.watch(self._shed, (*OURS, signal.SIGTERM))
        inherit_invocation_in_threads()
        log_into_invocations_directly()
        for hook in self._app.start_hooks:
            run_hook(hook, "on_worker_start", self._thread, self._seat.beat)
        linux.keep_streams_taken()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)  # whatever the import or a hook has blocked
        self._thread.note_hooks()
        self._service.settle_in()
        self._control.send(WorkerReady(os.getpid(), [*names]))

    def stop(self) -> None:
        """Waits for what handlers left on the loop, runs the stop hooks, ends the loop; nothing of that for ever."""
        drain_s = self._settings.drain
        began = (self._seat.board.drain_ns or time.monotonic_ns()) / 1e9
        until = began + drain_s - min(RESERVE_S, drain_s / 4)
        self._seat.arm(0, int((max(until, time.monotonic()) + STOP_HOOKS_S) * 1e9))
        self._thread.finish_work(until, self._seat.beat)
        self._seat.inline(time.monotonic_ns() + int(STOP_HOOKS_S * 1e9))
        for hook in self._app.stop_hooks:
            try:
                run_hook(hook, "on_worker_stop", self._thread, self._seat.beat)
            except HookError as error:
                log.error("hook.failed", detail=str(error))
        self._seat.inline(0)
        self._thread.end(until, self._seat.beat)
        self._service.close(began + drain_s - time.monotonic(), self._seat.beat)

    def _on_broken_import(self, modules: list[str]) -> None:
        """A deadline strikes inside an import: these modules are half-made, so this worker serves nobody after it."""
        log.warning(
            "import.broken",
            modules=modules,
            detail="the deadline has struck while a handler imported them; this worker is replaced, for what they had "
            "done by then would be done twice. Import them with the app, or in @app.on_worker_start",
        )
        self._leaving = self._retiring = self._rest.wanted = True

    def _on_sigterm(self, *_: object) -> None:
        """Somebody wants this one worker gone: the supervisor is told, and asks for it when a successor is there.

        Once more, and it is not waited for.
        """
        self._retiring = self._leaving
        self._leaving = self._rest.wanted = True
        self._rest.on_signal()

    def _shed(self) -> None:
        """In a child that user code has forked: nothing of the server is left there."""
        self._seat.leave()
        self._loop_seat.leave()
        self._held.drop_all()
        for leave in (self._control.close, self._shared.close, self._thread.leave):
            with contextlib.suppress(OSError):
                leave()
        faulthandler.unregister(DUMP_SIGNAL)
        linux.name_process("fastworker-fork")

    # -- blocking on the shared epoll ----------------------------------------------------------------------------

    def serve(self) -> None:
        """Until retired: an event, an answer, the next event."""
        poll, seat, rest, clock = self._shared.poll, self._seat, self._rest, time.monotonic_ns
        away = self._exchange.away
        spin, spin_until = Spin(self._settings.spin, scheduler_figures), 0
        go = straight_line(self._exchange, self._shared, self._heads, self._conversations, self._taken_ns)
        while not rest.wanted or self._turn_aside():
            seat.beat()
            events: list[tuple[int, int]] = []
            while clock() < spin_until and not (events := poll(0, 1)):
                os.sched_yield()  # else a client that could run would wait for the very CPU that it is polled on
            if not events:
                events = rest.rest(poll, IDLE_S) or self._rest_long()
            if events:
                if not go(number := events[0][0], clock()):
                    self._take(number)
                if away:  # no spin: the loop's thread wants the interpreter
                    rest.wanted = rest.wanted or self._turns.in_flight >= self._concurrency
                else:
                    spin_until = spin.until(clock())
            if not events or self._mail != seat.mail:
                self._hear()

    def _rest_long(self) -> list[tuple[int, int]]:
        """After IDLE_S without an event: waits for one without a beat, until it comes or there is something else to do.

        The supervisor wakes it for messages. Should that signal, or another, come in the instant between the last look
        and the system call, it is sent again, or heard after REST_S.
        """
        seat, rest = self._seat, self._rest
        events: list[tuple[int, int]] = []
        seat.resting(True)
        while not events and not rest.wanted:
            if self._mail != seat.mail:
                self._hear()
            seat.beat()
            events = rest.rest(self._shared.poll, REST_S)
        seat.resting(False)
        if seat.board.asleep:  # after that store; see board.py
            self._control.send(Wake())
        return events

    def _turn_aside(self) -> bool:
        """What is not on the shared epoll. True when that may be waited on again, False when this worker is done."""
        while True:
            self._rest.wanted = False
            self._seat.beat()
            if self._mail != self._seat.mail:
                self._hear()
            if self._leaving and not self._told_leaving:
                self._told_leaving = True
                self._control.send(Leaving())
            self._resume_one()
            if not self._retiring:
                self._crowded = True  # before the look at what is in flight: whatever ends from now on wakes us
                if self._turns.in_flight < self._concurrency:
                    self._crowded = False
                    self._rest.wanted = self._rest.wanted or bool(self._inbox)
                    return True
            elif not self._exchange.away:
                return False
            if not self._inbox:
                self._rest.rest(self._wait_for_mail, IDLE_S)
                self._hear()

    def _wait_for_mail(self, timeout_s: float, _: int) -> None:
        self._control.wait(timeout_s)

    def _resume_one(self) -> None:
        """A request for a `def` function that the loop has read."""
        conversation = next(iter(self._inbox), None)
        if conversation is not None and (call := self._inbox.pop(conversation, None)) is not None:
            if conversation.timer is not None:
                self._thread.call(conversation.timer.cancel)
                conversation.timer = None
            self._exchange.away.discard(conversation)
            self._exchange.resume(conversation, call)

    def _take(self, number: int) -> None:
        """An event on a connection that this worker does not hold yet."""
        self._seat.take(number, time.monotonic_ns() + self._taken_ns)
        conversation = self._fetch(number)
        if conversation is None:
            self._seat.release(number)
        else:
            self._exchange.read(conversation)

    def _let_go(self, conversation: Conversation) -> None:
        """Its row goes first: once armed, the connection may be another worker's at any moment."""
        if conversation.http.held:
            conversation.http.release()
        tally, conversation.tally = conversation.tally, 0
        self._seat.release(conversation.number, tally)
        if conversation.closing:
            self._close(conversation)
        else:
            self._held.arm(conversation.number)

    def _close(self, conversation: Conversation) -> None:
        if self._drop(conversation.number):
            self._control.send(CloseConnection(conversation.number, conversation.linger))

    def _between_requests(self) -> None:
        """In a pipeline, which may be long: this worker moves, and hears."""
        self._seat.beat()
        if self._mail != self._seat.mail:
            self._hear()

    def _fetch(self, number: int) -> Conversation | None:
        """Asks the supervisor for a connection that this process does not hold yet; None if it is closed."""
        self._wanted = number
        self._control.send(Want(number))
        while self._wanted is not None:
            self._seat.beat()  # the supervisor may have thousands of others to tell of first
            self._control.wait(IDLE_S)
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
            self._seat.beat()
            match message:
                case Hold(number):
                    assert fd is not None
                    self._hold(number, fd)
                    if number == self._wanted:
                        self._wanted = None
                case Gone():
                    self._wanted = None
                case Drop(number):
                    conversation = self._conversations.get(number)
                    if conversation is not None and conversation in self._exchange.away:
                        self._thread.call(self._turns.drop, conversation, self._dropped)
                    elif conversation is not None:
                        self._dropped(conversation)
                case Retire():
                    self._retiring = self._rest.wanted = True

    def _dropped(self, conversation: Conversation) -> None:
        if self._drop(conversation.number):
            self._control.send(Dropped(conversation.number))

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
                heads=self._heads if self._settings.max_body >= READ_SIZE else None,
            )
            self._seat.ask_kernel(number)
            self._conversations[number] = Conversation(number, connection, http)

    def _drop(self, number: int) -> bool:
        """Closes the descriptor here; False if that was done, and told, before."""
        self._held.drop(number)
        conversation = self._conversations.pop(number, None)
        if conversation is None:
            return False
        conversation.http.close()
        return True

    # -- on the loop's thread ------------------------------------------------------------------------------------

    def _let_go_from_loop(self, conversation: Conversation) -> None:
        # First: the main thread may take it again as soon as it is armed. `stop` waits for the end of this callback.
        self._exchange.away.discard(conversation)
        if conversation.http.held:
            conversation.http.release()
        tally, conversation.tally = conversation.tally, 0
        self._loop_seat.letting(True)
        self._loop_seat.release(conversation.number, tally)
        if conversation.closing:
            self._close(conversation)
        else:
            self._held.arm(conversation.number)
        self._loop_seat.letting(False)
        if self._retiring:
            self._rest.wake()

    def _hand_back(self, conversation: Conversation, call: Call) -> None:
        self._inbox[conversation] = call
        self._rest.wake()

    def _claim(self, conversation: Conversation, call: Call) -> bool:
        """Takes a call back that the main thread has not begun with."""
        return self._inbox.get(conversation) is call and self._inbox.pop(conversation, None) is call

    def _on_room(self) -> None:
        """An async invocation has ended."""
        if self._crowded:
            self._rest.wake()
