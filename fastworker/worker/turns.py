"""Conversations that take turns: the worker's loop reads what comes in pieces, runs what is async, writes on to who
is slow.

Handed over by connection.py, on the main thread; runs on the loop (loop_thread.py) only. A `def` handler is not run
here: a whole request for one is handed back.
Rule: a conversation that was taken is answered or ended whatever happens: no exception of a callback goes unseen.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import TypeVarTuple

from fastworker.errors import NOT_OURS
from fastworker.ipc import linux
from fastworker.ipc.seat import LoopSeat
from fastworker.logs import log, write_traceback
from fastworker.protocol.answer import Answer, Streamed, problem, render
from fastworker.worker.connection import Conversation, Exchange
from fastworker.worker.dispatch import Call, Service
from fastworker.worker.loop_thread import LoopThread

Ts = TypeVarTuple("Ts")

# While anything is unfinished here, the loop's turns are watched so closely: user code there holds up others.
TURN_S = 0.05
# Behind the time that a slow client has, the loop ends the wait itself, unless it stands still for so long.
BACKSTOP_S = 5.0


class Turns(Exchange):
    """The loop's. `slow` counts the clients that are waited for.

    `hand_back` gives a call to the main thread; `claim` takes it back, if that has not begun with it. `on_end` is told
    whenever an async invocation has ended.
    """

    def __init__(
        self,
        service: Service,
        seat: LoopSeat,
        thread: LoopThread,
        read_timeout_s: float,
        let_go: Callable[[Conversation], None],
        hand_back: Callable[[Conversation, Call], None],
        claim: Callable[[Conversation, Call], bool],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(service, seat, thread, read_timeout_s, let_go)
        self.slow = 0
        self._loop_seat = seat
        self._loop = thread.loop
        self._tell_let_go = let_go
        self._let_go = self._finish
        self._hand_back = hand_back
        self._claim = claim
        self._on_end = on_end
        self._unfinished: set[Conversation] = set()
        self._turning = False
        # Each counter has one writer: the main thread, and the loop's.
        self._started = 0
        self._arrived = 0

    # -- for the main thread -------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Async invocations, those on their way here included."""
        return len(self._service.in_flight) + self._started - self._arrived

    def started(self) -> None:
        """The main thread is about to hand over an async invocation."""
        self._started += 1

    def backstop_ns(self) -> int:
        """Until when a slow client is waited for, if all is well."""
        return time.monotonic_ns() + int((self._read_timeout_s + BACKSTOP_S) * 1e9)

    # -- handed over ---------------------------------------------------------------------------------------------

    def take(self, conversation: Conversation, step: Callable[[Conversation, *Ts], None], *arguments: *Ts) -> None:
        """A conversation comes into this thread's hands, which begin with `step`."""
        self._unfinished.add(conversation)
        if not self._turning:
            self._turning = True
            self._turn()
        self._guarded(conversation, step, *arguments)

    def read(self, conversation: Conversation) -> None:
        """Part of a request is here; the rest is waited for."""
        while self._receive(conversation):
            if not self._advance(conversation):
                return
        if conversation.closing:
            self._let_go(conversation)
            return
        # Its deadline is ours to keep; as for the worker, the loop's turns are watched instead.
        self._wait(conversation, self._on_slow)
        self._loop.add_reader(conversation.number, self._guarded, conversation, self._on_readable)

    def start(self, conversation: Conversation, call: Call) -> None:
        """A whole request for an async function."""
        self._arrived += 1
        answer = self._run(conversation, call)
        if answer is not None:
            self._on_end()
            self._go_on(conversation, answer)

    def write(self, conversation: Conversation) -> None:
        """Part of an answer is out; the client is waited for."""
        self._wait(conversation, self._on_unread)
        self._loop.add_writer(conversation.number, self._guarded, conversation, self._on_writable)

    def drop(self, conversation: Conversation, close: Callable[[Conversation], None]) -> None:
        """The supervisor has taken the connection out of service."""
        if conversation in self._unfinished:
            conversation.closing = True
        else:
            close(conversation)

    # -- one request ---------------------------------------------------------------------------------------------

    def _answer(self, conversation: Conversation, call: Call) -> Answer | Streamed | None:
        refused = self._service.refusal(call)
        if refused is not None:
            return refused
        assert call.function is not None
        if call.function.is_async:
            return self._run(conversation, call)
        # It may have to wait for the main thread, but not for longer than its deadline.
        conversation.timer = self._loop.call_later(
            call.deadline.remaining_s(time.monotonic_ns()), self._guarded, conversation, self._on_unstarted, call
        )
        self._unfinished.discard(conversation)
        self._hand_back(conversation, call)
        return None

    def _run(self, conversation: Conversation, call: Call) -> Answer | None:
        task = self._service.start(call, self._plain(conversation, call), self._loop)
        if isinstance(task, Answer):
            return task
        if len(self._service.in_flight) == 1:
            self._loop_seat.counting.busy(True, time.monotonic_ns())
        task.add_done_callback(lambda task: self._guarded(conversation, self._on_answer, task))
        return None

    def _on_answer(self, conversation: Conversation, task: "asyncio.Task[Answer | Streamed]") -> None:
        answer = self._service.outcome(task)
        if not self._service.in_flight:
            self._loop_seat.counting.busy(False, time.monotonic_ns())
        self._on_end()
        self._go_on(conversation, answer)

    def _on_unstarted(self, conversation: Conversation, call: Call) -> None:
        if self._claim(conversation, call):
            conversation.timer = None
            self._unfinished.add(conversation)
            self._go_on(
                conversation, self._service.never_started(call, (time.monotonic_ns() - call.deadline.sent_ns) / 1e9)
            )

    def _go_on(self, conversation: Conversation, answer: Answer | Streamed) -> None:
        if self._end(conversation, answer) and self._advance(conversation):
            self.read(conversation)

    def _between_requests(self) -> None:
        self._seat.beat()

    # -- waiting for a client ------------------------------------------------------------------------------------

    def _wait(self, conversation: Conversation, on_timeout: Callable[[Conversation], None]) -> None:
        """The worker is not to blame for a slow client: no deadline but the one behind all patience."""
        self.slow += 1
        self._seat.arm(conversation.number, self.backstop_ns())
        conversation.timer = self._loop.call_later(self._read_timeout_s, self._guarded, conversation, on_timeout)

    def _end_wait(self, conversation: Conversation) -> None:
        if conversation.timer is not None:
            self.slow -= 1
            conversation.timer.cancel()
            conversation.timer = None
            self._loop.remove_reader(conversation.number)
            self._loop.remove_writer(conversation.number)

    def _on_readable(self, conversation: Conversation) -> None:
        if self._receive(conversation):
            self._end_wait(conversation)
            if self._advance(conversation):
                self.read(conversation)
        elif conversation.closing:
            self._let_go(conversation)

    def _on_slow(self, conversation: Conversation) -> None:
        # The worker itself may have been busy meanwhile: what has arrived by now is in time.
        if not self._receive(conversation) and not conversation.closing:
            detail = f"the request was not whole within {self._read_timeout_s:g} s"
            conversation.queue.append(conversation.http.rejection(408, detail))
        self._end_wait(conversation)
        if self._advance(conversation):
            self.read(conversation)

    def _write_on(self, conversation: Conversation) -> bool:
        self.write(conversation)
        return False

    def _on_writable(self, conversation: Conversation) -> None:
        if self._write(conversation):
            self._on_written(conversation)

    def _on_unread(self, conversation: Conversation) -> None:
        self._client_gone(conversation)  # it is there, but reads no more
        self._on_written(conversation)

    def _on_written(self, conversation: Conversation) -> None:
        self._end_wait(conversation)
        if self._advance(conversation):
            self.read(conversation)

    # -- the end -------------------------------------------------------------------------------------------------

    def _finish(self, conversation: Conversation) -> None:
        self._end_wait(conversation)
        self._unfinished.discard(conversation)
        self._tell_let_go(conversation)

    def _turn(self) -> None:
        """Shows that the loop still turns."""
        if self._unfinished:
            self._loop_seat.beat()
            self._loop.call_later(TURN_S, self._turn)
        else:
            self._turning = False
            self._loop_seat.rest()

    def _guarded(self, conversation: Conversation, step: Callable[[Conversation, *Ts], None], *arguments: *Ts) -> None:
        try:
            step(conversation, *arguments)
        except BaseException as error:  # ours to answer for, whatever it is
            self._failed(conversation, error)

    def _failed(self, conversation: Conversation, error: BaseException) -> None:
        """A defect, or the app has closed descriptors that are not its own: then the worker is of no use any more."""
        if isinstance(error, OSError) and error.errno in NOT_OURS:
            log.error("worker.unusable", detail=f"the app has closed descriptors that are not its own: {error}")
            os._exit(1)
        write_traceback(f"the worker failed while it served connection {conversation.number}", error)
        conversation.closing = True
        self._end_wait(conversation)
        if linux.tcp_info(conversation.socket).written == conversation.written:  # nothing of an answer is out
            answer = problem(500, "the worker failed while it served this request; its log tells why")
            self._tally(conversation, answer.outcome)
            with contextlib.suppress(OSError):  # full, or reset: nobody is reading there
                conversation.socket.send(render(answer, keep_alive=False, head_only=conversation.head))
        self._finish(conversation)
