"""Conversations: requests are read from a connection and their answers written to it, in order.

A conversation is in one thread's hands at a time. Worker.py hands it to InPlace, here, at each event: the main thread,
where `def` handlers run. What takes turns goes on in turns.py, on the worker's loop. Both are an Exchange; dispatch.py
says what to answer.
Rule: whatever can be read or written at once is, in place; only what has to be waited for goes to the loop, and the
worker stays free for others meanwhile. The board is told before each step that another process may have to finish.

    event --> InPlace.read --whole, def--> run, answer, arm                         main thread
                  |    |                      ^
                  |    +--whole, async--+     | whole, def
                  +--not whole yet------+     |
                  +--answer not all out-+     |
                                        v     |
                                        Turns --> read on, run async, write on, arm      loop's thread
"""

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from fastworker.errors import NOT_OURS, ClientGoneError, RequestError
from fastworker.ipc import linux
from fastworker.ipc.counters import BLOCK, NO_FUNCTION, is_ok
from fastworker.ipc.seat import LoopSeat, Seat
from fastworker.outcomes import NONE
from fastworker.protocol.answer import RETRY_AFTER, Answer, Streamed, problem, render, render_head
from fastworker.protocol.http1 import HTTP1Connection
from fastworker.protocol.http_request import BodyPieces, Rejection, Request
from fastworker.streaming.request_body import ArrivingBody
from fastworker.streaming.stream_writer import Outgoing
from fastworker.worker.dispatch import Call, Plain, Service
from fastworker.worker.loop_thread import LoopThread

if TYPE_CHECKING:
    import asyncio

    from fastworker.worker.turns import Turns

READ_SIZE = 64 * 1024
BODY_READ_SIZE = 1024 * 1024
# How long a worker waits in place for the rest of a request, or for room to write, before it goes to the loop.
# On loopback the rest is some microseconds away; a client that dribbles must not hold the worker.
PATIENCE_NS = 2_000_000
# A larger body is written behind its head instead of being copied there.
COPIED = 64 * 1024
# More than enough to write a refusal.
REFUSING_NS = 5_000_000_000

NOTHING = memoryview(b"")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Conversation:
    """A connection as one worker sees it, from the first event to the last."""

    __slots__ = (
        *("began_ns", "closing", "counters", "head", "http", "linger", "more", "number", "queue", "rest", "socket"),
        *("tally", "timer", "written"),
    )

    def __init__(self, number: int, connection: socket.socket, http: HTTP1Connection) -> None:
        self.number = number
        self.socket = connection
        self.http = http
        self.queue: deque[Request | Rejection] = deque()
        self.closing = False  # after the answer, or at once if there is none to wait for
        self.linger = False  # the client may still be sending what was refused
        self.head = False  # the request in service wants no body
        self.written = 0  # bytes ever written when that request was taken up
        self.rest = NOTHING  # of an answer that a slow reader has not taken yet
        self.more = NOTHING  # behind `rest`: a large body, which is not copied behind its head
        self.timer: asyncio.TimerHandle | None = None  # on the loop
        self.began_ns = 0  # when this worker turned to that request
        self.counters = NO_FUNCTION  # where its end is counted (board.py)
        self.tally = 0  # as what; 0: it has none yet, or is counted already

    @property
    def ends_here(self) -> bool:
        """Nobody but this worker could go on with the connection: it closes, or this process has read ahead."""
        return self.closing or bool(self.queue) or self.http.mid_request


class Exchange:
    """What both threads do with conversations that are in their hands. `seat` is the thread's own.

    `let_go` is called when a conversation's connection is done with here: for all workers to take again, or, if it
    is `closing`, for nobody.
    """

    def __init__(
        self,
        service: Service,
        seat: Seat,
        thread: LoopThread,
        read_timeout_s: float,
        let_go: Callable[[Conversation], None],
    ) -> None:
        self._service = service
        self._seat = seat
        self._thread = thread
        self._read_timeout_s = read_timeout_s
        self._let_go = let_go

    # -- what the threads do differently -------------------------------------------------------------------------

    def _answer(self, conversation: Conversation, call: Call) -> Answer | Streamed | None:
        """The answer; None when it is given later, or by the other thread, which also goes on then."""
        raise NotImplementedError

    def _write_on(self, conversation: Conversation) -> bool:
        """The client has no room for all of an answer. True once it is out; False when that is waited for."""
        raise NotImplementedError

    def _between_requests(self) -> None:
        """The next request of a pipeline is here already."""
        raise NotImplementedError

    # -- reading -------------------------------------------------------------------------------------------------

    def _receive(self, conversation: Conversation, data: bytes | None = None) -> bool:
        """Takes what has arrived, behind `data`, which somebody else has read.

        True when there is a whole request; False when there is not, or never will be.
        """
        http = conversation.http
        while not conversation.queue:
            if data is None:
                try:
                    data = conversation.socket.recv(BODY_READ_SIZE if http.mid_request else READ_SIZE)
                except BlockingIOError:
                    return False
                except OSError as error:  # reset
                    if error.errno in NOT_OURS:
                        raise
                    data = b""
            if not data:
                conversation.closing = True
                return False
            self._seat.reading(conversation.number)
            conversation.queue.extend(http.receive_data(data))
            data = None
            if http.mid_request:
                self._seat.beat()  # a large body may keep this thread busy for long
                if http.take_continue():
                    self._seat.ask_kernel(conversation.number)
                    with contextlib.suppress(OSError):
                        conversation.socket.send(CONTINUE)
        return True

    # -- one request ---------------------------------------------------------------------------------------------

    def _advance(self, conversation: Conversation) -> bool:
        """Serves what has been read, in order. True when all is answered and part of a next request is here."""
        while conversation.queue and not conversation.closing:
            if not self._serve(conversation, conversation.queue.popleft()):
                return False
            if conversation.queue:
                self._count(conversation)
                self._between_requests()
        if conversation.http.mid_request and not conversation.closing:
            self._count(conversation)
            return True
        self._let_go(conversation)
        return False

    def _count(self, conversation: Conversation) -> None:
        """Counts how a request has ended, before another one of the same connection; else its release does."""
        if conversation.tally:
            self._seat.count(conversation.number, conversation.tally)
            conversation.tally = 0

    def _serve(self, conversation: Conversation, request: Request | Rejection) -> bool:
        """True when the answer is out; False when somebody goes on once it is."""
        waited_ms, _, conversation.written = linux.tcp_info(conversation.socket)
        if isinstance(request, Rejection):
            conversation.closing = conversation.linger = True
            conversation.head = False
            conversation.began_ns = now_ns = time.monotonic_ns()
            conversation.counters = NO_FUNCTION
            self._seat.begin(conversation.number, now_ns, now_ns + REFUSING_NS, True, False, b"", b"")
            headers = RETRY_AFTER if request.status == 503 else ()
            self._service.tell_rejected(request)
            return self._send(conversation, problem(request.status, request.detail, headers=headers))
        conversation.began_ns = now_ns = time.monotonic_ns()
        call = self._service.call(request, now_ns, waited_ms)
        conversation.counters = call.counters
        conversation.closing = not request.keep_alive
        conversation.head = request.method == b"HEAD"
        self._seat.begin(
            conversation.number,
            call.deadline.sent_ns,
            call.deadline.hard_ns,
            conversation.ends_here,
            conversation.head,
            request.invocation_id,
            call.name,
        )
        if waited_ms:
            self._seat.count_wait(call.counters, waited_ms)
            conversation.counters += BLOCK
        answer = self._answer(conversation, call)
        return answer is not None and self._end(conversation, answer)

    def _end(self, conversation: Conversation, answer: Answer | Streamed) -> bool:
        """Sends an answer, or counts the one that was sent while it was made; as `_serve` tells."""
        if isinstance(answer, Answer):
            return self._send(conversation, answer)
        self._seat.streamed(conversation.number, not answer.complete, self._tally(conversation, answer.outcome))
        if not answer.complete:
            conversation.closing = True
        elif conversation.http.in_pieces:  # what is unread must not reset the connection before all is received
            conversation.closing = conversation.linger = True
        return True

    def _tally(self, conversation: Conversation, outcome: int) -> int:
        """As what a request that has ended is to be counted, once its answer is out."""
        took_ns = time.monotonic_ns() - conversation.began_ns
        if not outcome:
            tally = self._seat.counting.tally(conversation.counters, took_ns)
        else:
            tally = self._seat.counting.otherwise(conversation.counters, outcome, took_ns) if outcome != NONE else 0
        conversation.tally = tally
        return tally

    def _client_gone(self, conversation: Conversation) -> None:
        """Whatever the answer was, nobody has it."""
        conversation.closing = True
        conversation.rest = conversation.more = NOTHING
        if conversation.tally and is_ok(conversation.tally):
            conversation.tally = self._seat.gone(conversation.number, conversation.tally)

    # -- plain HTTP ----------------------------------------------------------------------------------------------

    def _plain(self, conversation: Conversation, call: Call) -> Plain | None:
        """The ways that the body of a request and that of its answer take, should they be streams."""
        if call.params is None:
            return None
        outgoing = Outgoing(
            conversation.socket,
            self._thread.loop,
            chunks=call.request.takes_chunks,
            head_only=conversation.head,
            on_begin=partial(self._on_stream, conversation),
        )
        body = call.request.body
        if not isinstance(body, BodyPieces):
            return Plain(outgoing, None)
        return Plain(
            outgoing,
            ArrivingBody(
                body,
                conversation.number,
                partial(self._receive_piece, conversation),
                self._thread.loop,
                max_body=conversation.http.max_body,
                hold=conversation.http.hold,
                read_timeout_s=self._read_timeout_s,
            ),
        )

    def _receive_piece(self, conversation: Conversation) -> bool:
        """Takes what has arrived of a body, for a handler that asks for it; False if that is nothing yet."""
        http = conversation.http
        if not conversation.queue:  # else what is wrong with the body came along with its head
            try:
                data = conversation.socket.recv(BODY_READ_SIZE)
            except BlockingIOError:
                return False
            except OSError as error:  # reset
                if error.errno in NOT_OURS:
                    raise
                data = b""
            if not data:
                conversation.closing = True
                raise ClientGoneError("the client went away before the end of its body")
            conversation.queue.extend(http.receive_data(data))
        if http.in_pieces and conversation.queue:  # behind the end of the body it would be the next request's
            rejection = conversation.queue[0]
            assert isinstance(rejection, Rejection)
            conversation.closing = conversation.linger = True
            raise RequestError(rejection.status, rejection.detail)
        return True

    def _on_stream(self, conversation: Conversation, ends_with_connection: bool) -> bool:
        """The first bytes of a stream are about to go out; whether the connection stays open behind it."""
        conversation.closing = conversation.closing or ends_with_connection
        self._seat.streaming(conversation.number, conversation.written, conversation.ends_here)
        return not conversation.closing

    # -- answering -----------------------------------------------------------------------------------------------

    def _send(self, conversation: Conversation, answer: Answer) -> bool:
        """Writes an answer; False when a slow reader is waited for on the loop."""
        if conversation.http.in_pieces:  # nobody reads on where the handler has stopped
            conversation.closing = conversation.linger = True
        if len(answer.body) > COPIED and not conversation.head:
            status, body, content_type, headers, _ = answer
            head = render_head(status, content_type, headers, length=len(body), keep_alive=not conversation.closing)
            conversation.rest, conversation.more = memoryview(head), memoryview(body)
            length = len(head) + len(body)
        else:
            data = render(answer, keep_alive=not conversation.closing, head_only=conversation.head)
            conversation.rest, length = memoryview(data), len(data)
        self._seat.answering(
            conversation.number,
            conversation.written,
            length,
            conversation.ends_here,
            answer.status >= 300,
            self._tally(conversation, answer.outcome),
        )
        return self._write(conversation) or self._write_on(conversation)

    def _write(self, conversation: Conversation) -> bool:
        """Writes what the client has room for; True when that was all, or when the client is gone."""
        try:
            conversation.rest = conversation.rest[conversation.socket.send(conversation.rest) :]
        except BlockingIOError:
            return False
        except OSError as error:  # reset, and with it whoever wanted the answer
            if error.errno in NOT_OURS:
                raise
            self._client_gone(conversation)
            return True
        if conversation.rest:
            return False
        conversation.rest, conversation.more = conversation.more, NOTHING  # an empty view, too, holds its body
        return not conversation.rest or self._write(conversation)


class InPlace(Exchange):
    """The main thread's: the way of a `def` function, from the event to the answer, without a detour.

    `turns` and `loop_seat` are set once; `away` are the conversations that are not in this thread's hands.
    `mail` is called between the requests of a pipeline, which may be thousands.
    """

    def __init__(
        self,
        service: Service,
        seat: Seat,
        thread: LoopThread,
        read_timeout_s: float,
        let_go: Callable[[Conversation], None],
        mail: Callable[[], None],
    ) -> None:
        super().__init__(service, seat, thread, read_timeout_s, let_go)
        self.away: set[Conversation] = set()
        self.turns: Turns
        self.loop_seat: LoopSeat
        self._between_requests = mail  # type: ignore[method-assign]

    def read(self, conversation: Conversation, data: bytes | None = None) -> None:
        """Reads on behind `data` and answers, until the connection is let go, or is in the loop's hands."""
        patient_until = 0
        while True:
            data, taken = None, data
            if self._receive(conversation, taken):
                if not self._advance(conversation):
                    return
                patient_until = 0  # answered, and part of another is here
            elif conversation.closing or not conversation.http.mid_request:
                self._let_go(conversation)  # the client has ended it, or nothing had come after all
                return
            # While others are waited for, the loop turns anyway, and hundreds of slow clients must not add up.
            now_ns = time.monotonic_ns()
            patient_until = patient_until or now_ns + PATIENCE_NS
            if self.turns.slow or now_ns > patient_until or not _ready(conversation.socket, select.POLLIN):
                self._hand_over(conversation, self.turns.read)
                return

    def resume(self, conversation: Conversation, call: Call) -> None:
        """A whole request for a `def` function, which has been read on the loop."""
        self._seat.arm(conversation.number, call.deadline.hard_ns)
        self.loop_seat.disarm(conversation.number)
        conversation.began_ns = now_ns = time.monotonic_ns()
        answer: Answer | Streamed
        if now_ns >= call.deadline.soft_ns:
            answer = self._service.never_started(call, (now_ns - call.deadline.sent_ns) / 1e9)
        else:
            answer = self._service.run(call, self._plain(conversation, call))
        self.go_on(conversation, answer)

    # -- what the straight line (straight_line.py) leaves to this one ----------------------------------------------

    def read_whole(self, conversation: Conversation, request: Request) -> None:
        """A whole request is here, and it is not one for the straight line."""
        conversation.queue.append(request)
        self.read(conversation)

    def go_on(self, conversation: Conversation, answer: Answer | Streamed) -> None:
        """The handler has ended; its answer is to be sent, or counted."""
        if self._end(conversation, answer) and self._advance(conversation):
            self.read(conversation)

    def write_on(self, conversation: Conversation, rest: memoryview) -> None:
        """`rest` is what the client has had no room for."""
        conversation.rest = rest
        if (self._write(conversation) or self._write_on(conversation)) and self._advance(conversation):
            self.read(conversation)

    def _answer(self, conversation: Conversation, call: Call) -> Answer | Streamed | None:
        refused = self._service.refusal(call)
        if refused is not None:
            return refused
        assert call.function is not None
        if call.function.is_async:
            self.turns.started()
            self._hand_over(conversation, self.turns.start, call)
            return None
        return self._service.run(call, None if call.params is None else self._plain(conversation, call))

    def _write_on(self, conversation: Conversation) -> bool:
        while True:
            self._seat.beat()  # a large answer may keep this thread busy for long
            if self.turns.slow or not _ready(conversation.socket, select.POLLOUT):
                self._hand_over(conversation, self.turns.write)
                return False
            if self._write(conversation):
                return True

    def _hand_over(self, conversation: Conversation, step: Callable[..., None], *arguments: object) -> None:
        """To the loop, which takes `step` with it; until then its end is watched as the loop will watch it."""
        self.away.add(conversation)
        until_ns = arguments[0].deadline.hard_ns if arguments and isinstance(arguments[0], Call) else 0
        self.loop_seat.arm(conversation.number, until_ns or self.turns.backstop_ns())
        self._seat.disarm(conversation.number)
        self._thread.call(self.turns.take, conversation, step, *arguments)


def _ready(connection: socket.socket, event: int) -> bool:
    """Waits for a moment until the connection can be read, or written."""
    waiter = select.poll()
    waiter.register(connection, event)
    return bool(waiter.poll(PATIENCE_NS / 1e6))
