"""The worker process: waits on the shared epoll, reads requests, runs functions, writes answers.

Forked by zygote.py. http1.py parses, invoke.py runs one invocation, connections.py shares descriptors; what the
worker does is on the board at any instant, so that the supervisor can answer in its place.
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
import contextlib
import inspect
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import uvloop

from fastworker import linux
from fastworker.answer import Answer, problem, render
from fastworker.app import Function, LoadedApp, load_app
from fastworker.board import Seat
from fastworker.inherited import Inherited
from fastworker.connections import Held
from fastworker.control import (
    CAUSE_LIMIT,
    CloseConnection,
    ControlSocket,
    Drop,
    Dropped,
    Gone,
    Hold,
    Retire,
    Want,
    WorkerFailed,
    WorkerReady,
)
from fastworker.deadline import Deadline, deadline_from, limit_s
from fastworker.errors import FastworkerError
from fastworker.http1 import HTTP1Connection, Rejection, Request
from fastworker.interrupt import MainThread, OtherThread
from fastworker.invoke import Invocation, Rejected, begin, expire, run_async, run_sync
from fastworker.logs import inherit_invocation_in_threads, log, write_traceback
from fastworker.settings import Settings

READ_SIZE = 64 * 1024
BODY_READ_SIZE = 1024 * 1024
# An idle worker hears its control socket this often; nothing there is urgent (the board carries what is).
IDLE_S = 0.25
# How long a worker waits in place for the rest of a request, or for room to write, before it goes to the loop.
# On loopback the rest is some microseconds away; a client that dribbles must not hold the worker.
PATIENCE_NS = 2_000_000
# Entering and leaving uvloop costs about 30 us, so it is left only after it has been quiet for a while.
LEAVE_S = 0.005
STOP_HOOKS_S = 10.0

INVOCATION_ID = b"x-azure-functions-invocationid"
NOTHING = memoryview(b"")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ALIVE = Answer(200, b'{"status":"ready"}')
# Lasts about as long as a host takes to start the next process.
RETRY_AFTER = ((b"Retry-After", b"1"),)
ALLOW_POST = ((b"Allow", b"POST"),)


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
        loaded = app or load_app(settings.app, app_root=settings.app_root)
        worker = Worker(slot, control, inherited, settings, loaded, loop)
        worker.start()
    except FastworkerError as error:
        control.send(WorkerFailed(error.exit_code, str(error)[-CAUSE_LIMIT:]))
        return error.exit_code
    worker.serve()
    worker.stop()
    return 0


class Conversation:
    """A connection as one worker sees it, from the first event to the last."""

    __slots__ = ("closing", "head", "http", "linger", "number", "queue", "rest", "socket", "timer", "written")

    def __init__(self, number: int, connection: socket.socket, max_body: int) -> None:
        self.number = number
        self.socket = connection
        self.http = HTTP1Connection(max_body)
        self.queue: deque[Request | Rejection] = deque()
        self.closing = False  # after the answer, or at once if there is none to wait for
        self.linger = False  # the client may still be sending what was refused
        self.head = False  # the request in service wants no body
        self.written = 0  # bytes ever written when that request was taken up
        self.rest = NOTHING  # of an answer that a slow reader has not taken yet
        self.timer: asyncio.TimerHandle | None = None

    @property
    def ends_here(self) -> bool:
        """Nobody but this worker could go on with the connection: it closes, or this process has read ahead."""
        return self.closing or bool(self.queue) or self.http.mid_request


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
        self._board = inherited.board
        self._shared = inherited.shared
        self._pictures = inherited.pictures
        self._settings = settings
        self._app = app
        self._loop = loop
        self._seat = Seat(inherited.board, slot, os.getpid())
        self._held = Held(inherited.shared)
        self._conversations: dict[int, Conversation] = {}
        self._unfinished: set[Conversation] = set()
        self._tasks: set[asyncio.Future[Answer]] = set()
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="fastworker")
        self._routes = {b"/" + name.encode(): self._route(function) for name, function in app.functions.items()}
        self._grace_ns = int(settings.grace * 1e9)
        self._longest_ns = int(settings.deadline * 1e9)
        self._spin_ns = (settings.spin or 0) * 1000
        self._main_thread = MainThread()
        self._wanted: int | None = None
        self._mail = 0
        self._retiring = False
        self._in_loop = False
        self._watching = False

    def _route(self, function: Function) -> tuple[Function, int]:
        """A function with its limit in nanoseconds."""
        seconds = limit_s(
            own_s=function.deadline_s,
            server_s=self._settings.deadline,
            host_timeout_s=self._app.host.function_timeout_s,
            grace_s=self._settings.grace,
        )
        return function, int(seconds * 1e9)

    # -- start and end -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Runs the start hooks and reports for work.

        Raises:
            FastworkerError: a hook failed.
        """
        self._pictures.sit()
        self._main_thread.listen()
        signal.signal(signal.SIGTERM, self._on_sigterm)
        inherit_invocation_in_threads()
        for hook in self._app.app.start_hooks:
            self._run_hook(hook, "on_worker_start")
        self._control.send(WorkerReady())

    def stop(self) -> None:
        """Runs the stop hooks; one that fails or hangs keeps nobody from ending."""
        self._seat.arm(0, time.monotonic_ns() + int(STOP_HOOKS_S * 1e9))
        for hook in self._app.app.stop_hooks:
            try:
                self._run_hook(hook, "on_worker_stop")
            except FastworkerError as error:
                log.error("hook.failed", detail=str(error))
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()

    def _run_hook(self, hook: Callable[[], Any], kind: str) -> None:
        try:
            result = hook()
            if inspect.isawaitable(result):
                self._loop.run_until_complete(result)
        except (Exception, SystemExit) as error:  # user code
            name = getattr(hook, "__qualname__", repr(hook))
            write_traceback(f"the {kind} hook {name} failed", error)
            raise FastworkerError(f"the {kind} hook {name} failed: {type(error).__name__}: {error}") from error

    def _on_sigterm(self, *_: object) -> None:
        """Somebody wants this one worker gone: as if the supervisor had asked for it."""
        self._retiring = True

    # -- blocking on the shared epoll ----------------------------------------------------------------------------

    def serve(self) -> None:
        """Until retired: an event, an answer, the next event."""
        poll, seat, clock = self._shared.poll, self._seat, time.monotonic_ns
        spin_ns, spin_until = self._spin_ns, 0
        while not self._retiring or self._unfinished:
            if self._unfinished:
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
        self._seat.take(number, time.monotonic_ns() + self._longest_ns + self._grace_ns)
        conversation = self._conversations.get(number) or self._fetch(number)
        if conversation is None:
            self._seat.release(number)
        else:
            self._read(conversation)

    def _fetch(self, number: int) -> Conversation | None:
        """Asks the supervisor for a connection that this process does not hold yet; None if it is closed."""
        self._wanted = number
        self._control.send(Want(number))
        while self._wanted is not None:
            self._control.wait(IDLE_S)
            self._hear()
        return self._conversations.get(number)

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
            match message:
                case Hold(number):
                    assert fd is not None
                    self._wanted = None
                    self._hold(number, fd)
                case Gone():
                    self._wanted = None
                case Drop(number):
                    conversation = self._conversations.get(number)
                    if conversation is not None:
                        self._forget(conversation)
                    self._control.send(Dropped(number))
                case Retire():
                    self._retiring = True
                    self._watch()

    def _hold(self, number: int, fd: int) -> None:
        connection = self._held.place(fd, number)
        if connection is None:
            log.error("connection.refused", number=number, detail="the app has a descriptor of its own there")
            self._control.send(CloseConnection(number, linger=False))
        else:
            self._conversations[number] = Conversation(number, connection, self._settings.max_body)

    # -- in the loop ---------------------------------------------------------------------------------------------

    def _run_loop(self) -> None:
        """Serves on uvloop until nothing is unfinished and it has been quiet for a moment."""
        self._in_loop = True
        self._watch()
        self._loop.add_reader(self._control.fileno(), self._hear)
        self._turn()
        self._loop.run_forever()
        self._loop.remove_reader(self._control.fileno())
        self._in_loop = False
        self._watch()

    def _turn(self) -> None:
        """Shows four times a second that the loop still turns."""
        if self._in_loop:
            self._seat.beat()
            self._loop.call_later(IDLE_S, self._turn)

    def _watch(self) -> None:
        """Watches the shared epoll from the loop exactly while there is room for another invocation."""
        wanted = self._in_loop and not self._retiring and len(self._tasks) < self._settings.concurrency
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

    def _leave_loop(self) -> None:
        if not self._unfinished:
            self._loop.stop()

    def _end_unfinished(self, conversation: Conversation) -> None:
        if conversation in self._unfinished:
            self._unfinished.remove(conversation)
            if not self._unfinished and self._in_loop:
                self._loop.call_later(LEAVE_S, self._leave_loop)

    # -- reading -------------------------------------------------------------------------------------------------

    def _read(self, conversation: Conversation) -> None:
        """Reads and answers, until the connection is handed back or has to be waited for."""
        patient_until = time.monotonic_ns() + PATIENCE_NS
        while True:
            if self._receive(conversation):
                if not self._advance(conversation):
                    return
                patient_until = time.monotonic_ns() + PATIENCE_NS  # answered, and part of another is here
            elif conversation.closing:
                return
            elif not conversation.http.mid_request:
                self._hand_back(conversation)  # nothing had come after all
                return
            if time.monotonic_ns() > patient_until or not _ready(conversation.socket, select.POLLIN):
                self._read_in_loop(conversation)
                return

    def _receive(self, conversation: Conversation) -> bool:
        """Takes what has arrived; True when that makes a whole request. Closes what the client has closed."""
        http = conversation.http
        while not conversation.queue:
            try:
                data = conversation.socket.recv(BODY_READ_SIZE if http.mid_request else READ_SIZE)
            except BlockingIOError:
                return False
            except OSError:  # reset
                data = b""
            if not data:
                conversation.closing = True
                self._close(conversation)
                return False
            self._seat.reading(conversation.number)
            conversation.queue.extend(http.receive_data(data))
            if http.take_continue():
                with contextlib.suppress(OSError):
                    conversation.socket.send(CONTINUE)
        return True

    def _read_in_loop(self, conversation: Conversation) -> None:
        self._unfinished.add(conversation)
        # The loop's turns are watched instead: a slow client is no reason to kill the worker.
        self._seat.disarm(conversation.number)
        self._loop.add_reader(conversation.number, self._on_readable, conversation)
        conversation.timer = self._loop.call_later(self._settings.read_timeout, self._on_slow, conversation)

    def _on_readable(self, conversation: Conversation) -> None:
        if self._receive(conversation):
            self._end_reading(conversation)
            self._go_on(conversation)

    def _on_slow(self, conversation: Conversation) -> None:
        # The worker itself may have been busy meanwhile: what has arrived by now is in time.
        self._on_readable(conversation)
        if conversation.timer is not None:
            limit_s = self._settings.read_timeout
            conversation.queue.append(Rejection(408, f"the request was not whole within {limit_s:g} s"))
            self._end_reading(conversation)
            self._go_on(conversation)

    def _end_reading(self, conversation: Conversation) -> None:
        if conversation.timer is not None:
            conversation.timer.cancel()
            conversation.timer = None
            self._loop.remove_reader(conversation.number)

    # -- one request ---------------------------------------------------------------------------------------------

    def _go_on(self, conversation: Conversation) -> None:
        if self._advance(conversation):
            self._read(conversation)

    def _advance(self, conversation: Conversation) -> bool:
        """Serves what has been read, in order. True when all is answered and part of a next request is here."""
        while conversation.queue and not conversation.closing:
            if not self._serve(conversation, conversation.queue.popleft()):
                self._unfinished.add(conversation)
                return False
        if conversation.http.mid_request and not conversation.closing:
            return True
        self._hand_back(conversation)
        return False

    def _hand_back(self, conversation: Conversation) -> None:
        """The connection belongs to nobody again, or has ended."""
        if conversation.closing:
            self._close(conversation)
            return
        self._end_unfinished(conversation)
        self._seat.release(conversation.number)
        self._held.arm(conversation.number)

    def _serve(self, conversation: Conversation, request: Request | Rejection) -> bool:
        """True when the answer is out; False when it is yet to come, and `_advance` is called again then."""
        idle_ms, _, conversation.written = linux.tcp_info(conversation.socket)
        if isinstance(request, Rejection):
            conversation.closing = conversation.linger = True
            return self._send(conversation, problem(request.status, request.detail))
        now_ns = time.monotonic_ns()
        function, limit_ns = self._routes.get(request.target, (None, self._longest_ns))
        deadline = deadline_from(now_ns - idle_ms * 1_000_000, limit_ns, self._grace_ns)
        conversation.closing = not request.keep_alive
        conversation.head = request.method == b"HEAD"
        self._seat.begin(
            conversation.number,
            sent_ns=deadline.sent_ns,
            hard_ns=deadline.hard_ns,
            closing=conversation.ends_here,
            head=conversation.head,
            invocation_id=request.header(INVOCATION_ID) or b"",
            function=request.target[1:],
        )
        self._seat.count_wait(idle_ms)
        if function is None:
            answer = self._answer_without_function(request)
        elif request.method != b"POST":
            answer = problem(405, "an invocation comes by POST", function=function.name, headers=ALLOW_POST)
        elif self._board.drain_ns and deadline.sent_ns >= self._board.drain_ns:
            answer = problem(503, "the server is stopping", function=function.name, headers=RETRY_AFTER)
        elif now_ns >= deadline.soft_ns:
            detail = (
                f"never started: the request waited {idle_ms / 1000:g} s for a free worker, and its deadline is "
                f"{limit_ns / 1e9:g} s"
            )
            answer = problem(504, detail, function=function.name, invocation_id=_id_of(request))
        else:
            return self._invoke(conversation, request, function, deadline)
        return self._send(conversation, answer)

    def _answer_without_function(self, request: Request) -> Answer:
        path = request.target.partition(b"?")[0].decode("latin-1")
        if path == "/" and request.method in (b"GET", b"HEAD"):
            return ALIVE
        names = ", ".join(sorted(self._app.functions))
        return problem(404, f"no function at {path!r}; there are: {names}", function=path[1:])

    def _invoke(self, conversation: Conversation, request: Request, function: Function, deadline: Deadline) -> bool:
        """Runs the function: a sync one inline, unless async ones are in flight, that must go on meanwhile."""
        if function.is_async or self._tasks:
            try:
                invocation = _begin(request, function, deadline)
            except Rejected as rejected:
                return self._send(conversation, rejected.answer)
            self._start(conversation, invocation)
            return False
        self._seat.inline(True)
        answer = self._main_thread.run(
            deadline.soft_ns, partial(_run, request, function, deadline), partial(_late, request, function, deadline)
        )
        self._seat.inline(False)
        return self._send(conversation, answer)

    def _start(self, conversation: Conversation, invocation: Invocation) -> None:
        """Runs an invocation beside others: async ones as tasks, sync ones in a thread."""
        future: asyncio.Future[Answer]
        interrupt: Callable[[], None]
        if invocation.function.is_async:
            future = self._loop.create_task(run_async(invocation))
            interrupt = partial(_cancel, invocation, future)
        else:
            runner = OtherThread()
            late = partial(expire, invocation)
            future = self._loop.run_in_executor(self._threads, runner.run, partial(run_sync, invocation), late)
            interrupt = runner.interrupt
        self._tasks.add(future)
        self._watch()
        timer = self._loop.call_later(invocation.deadline.remaining_s(time.monotonic_ns()), interrupt)
        future.add_done_callback(partial(self._end, conversation, invocation, timer))

    def _end(
        self,
        conversation: Conversation,
        invocation: Invocation,
        timer: asyncio.TimerHandle,
        future: "asyncio.Future[Answer]",
    ) -> None:
        timer.cancel()
        self._tasks.discard(future)
        self._watch()
        # Cancelled before its first step, or by itself: then there is no answer yet.
        answer = expire(invocation) if future.cancelled() else future.result()
        if self._send(conversation, answer):
            self._go_on(conversation)

    # -- answering -----------------------------------------------------------------------------------------------

    def _send(self, conversation: Conversation, answer: Answer) -> bool:
        """Writes an answer; False when a slow reader makes the loop write the rest of it."""
        data = render(answer, keep_alive=not conversation.closing, head_only=conversation.head)
        self._seat.count(failed=answer.status >= 300)
        self._seat.answering(conversation.number, conversation.written, len(data), closing=conversation.ends_here)
        rest = memoryview(data)
        while True:
            try:
                rest = rest[conversation.socket.send(rest) :]
            except BlockingIOError:
                pass
            except OSError:  # the client is gone, and with it whoever wanted the answer
                conversation.closing = True
                return True
            if not rest:
                return True
            if not _ready(conversation.socket, select.POLLOUT):
                self._send_in_loop(conversation, rest)
                return False

    def _send_in_loop(self, conversation: Conversation, rest: memoryview) -> None:
        self._unfinished.add(conversation)
        self._seat.disarm(conversation.number)  # the handler has ended; a slow reader is no reason to kill
        conversation.rest = rest
        conversation.timer = self._loop.call_later(self._settings.read_timeout, self._end_sending, conversation, True)
        self._loop.add_writer(conversation.number, self._send_more, conversation)

    def _send_more(self, conversation: Conversation) -> None:
        try:
            conversation.rest = conversation.rest[conversation.socket.send(conversation.rest) :]
        except BlockingIOError:
            return
        except OSError:
            self._end_sending(conversation, True)
            return
        if not conversation.rest:
            self._end_sending(conversation, False)

    def _end_sending(self, conversation: Conversation, cut: bool) -> None:
        if conversation.timer is not None:
            conversation.timer.cancel()
            conversation.timer = None
        self._loop.remove_writer(conversation.number)
        conversation.rest = NOTHING
        conversation.closing = conversation.closing or cut
        self._go_on(conversation)

    def _close(self, conversation: Conversation) -> None:
        """The connection ends here: the supervisor closes it, and frees its number."""
        self._end_reading(conversation)
        self._seat.release(conversation.number)
        self._forget(conversation)
        self._control.send(CloseConnection(conversation.number, linger=conversation.linger))

    def _forget(self, conversation: Conversation) -> None:
        self._end_unfinished(conversation)
        del self._conversations[conversation.number]
        self._held.drop(conversation.number)


def _begin(request: Request, function: Function, deadline: Deadline) -> Invocation:
    traceparent = request.header(b"traceparent")
    return begin(
        function,
        request.body,
        invocation_id=_id_of(request),
        deadline=deadline,
        traceparent=None if traceparent is None else traceparent.decode("latin-1"),
    )


def _run(request: Request, function: Function, deadline: Deadline) -> Answer:
    try:
        return run_sync(_begin(request, function, deadline))
    except Rejected as rejected:
        return rejected.answer


def _late(request: Request, function: Function, deadline: Deadline) -> Answer:
    """The deadline struck outside of the handler, while its request was decoded or its answer was on the way."""
    limit_s = (deadline.soft_ns - deadline.sent_ns) / 1e9
    detail = f"the deadline of {limit_s:g} s passed while the function ran"
    return problem(504, detail, function=function.name, invocation_id=_id_of(request))


def _cancel(invocation: Invocation, future: "asyncio.Future[Answer]") -> None:
    invocation.expired = True
    future.cancel()


def _id_of(request: Request) -> str:
    return (request.header(INVOCATION_ID) or b"").decode("latin-1")


def _ready(connection: socket.socket, event: int) -> bool:
    """Waits for a moment until the connection can be read, or written."""
    waiter = select.poll()
    waiter.register(connection, event)
    return bool(waiter.poll(PATIENCE_NS / 1e6))
