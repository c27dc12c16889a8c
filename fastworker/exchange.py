"""Conversations: requests are read from a connection and their answers written to it, in order.

Driven by worker.py, which hands over a connection at each event; service.py says what to answer.
Rule: whatever can be read or written at once is, in place; only what has to be waited for goes to the loop, and the
worker stays free for others meanwhile. The board is told before each step that another process may have to finish.
"""

import asyncio
import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from fastworker import linux
from fastworker.answer import RETRY_AFTER, Answer, Streamed, problem, render, render_head
from fastworker.arriving import ArrivingBody
from fastworker.board import Seat
from fastworker.errors import ClientGoneError, RequestError
from fastworker.http1 import BodyPieces, HTTP1Connection, Rejection, Request
from fastworker.outgoing import Outgoing
from fastworker.service import Call, Plain, Service

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

    __slots__ = ("closing", "head", "http", "linger", "more", "number", "queue", "rest", "socket", "timer", "written")

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
        self.timer: asyncio.TimerHandle | None = None

    @property
    def ends_here(self) -> bool:
        """Nobody but this worker could go on with the connection: it closes, or this process has read ahead."""
        return self.closing or bool(self.queue) or self.http.mid_request


class Exchange:
    """All conversations of one worker. `unfinished` are those that wait for something, on the loop.

    `let_go` is called when a conversation's connection is done with here: for all workers to take again, or, if it
    is `closing`, for nobody.
    """

    def __init__(
        self,
        service: Service,
        seat: Seat,
        loop: asyncio.AbstractEventLoop,
        read_timeout_s: float,
        let_go: Callable[[Conversation], None],
    ) -> None:
        self.unfinished: set[Conversation] = set()
        self._service = service
        self._seat = seat
        self._loop = loop
        self._read_timeout_s = read_timeout_s
        self._tell_let_go = let_go

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, conversation: Conversation) -> None:
        """Reads and answers, until the connection is let go or has to be waited for."""
        patient_until = 0
        while True:
            if self._receive(conversation):
                if not self._advance(conversation):
                    return
                patient_until = 0  # answered, and part of another is here
            elif conversation.closing or not conversation.http.mid_request:
                self._let_go(conversation)  # the client has ended it, or nothing had come after all
                return
            # While others are unfinished, the loop turns anyway, and hundreds of slow clients must not add up.
            now_ns = time.monotonic_ns()
            patient_until = patient_until or now_ns + PATIENCE_NS
            if self.unfinished or now_ns > patient_until or not _ready(conversation.socket, select.POLLIN):
                self._read_in_loop(conversation)
                return

    def _receive(self, conversation: Conversation) -> bool:
        """Takes what has arrived. True when there is a whole request; False when there is not, or never will be."""
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
                return False
            self._seat.reading(conversation.number)
            conversation.queue.extend(http.receive_data(data))
            if http.mid_request:
                self._seat.beat()  # a large body may keep this loop busy for long
                if http.take_continue():
                    with contextlib.suppress(OSError):
                        conversation.socket.send(CONTINUE)
        return True

    def _read_in_loop(self, conversation: Conversation) -> None:
        # Its deadline is ours to keep; as for the worker, the loop's turns are watched instead.
        self._wait(conversation, self._on_slow)
        self._loop.add_reader(conversation.number, self._on_readable, conversation)

    def _on_readable(self, conversation: Conversation) -> None:
        if self._receive(conversation):
            self._go_on(conversation)
        elif conversation.closing:
            self._let_go(conversation)

    def _on_slow(self, conversation: Conversation) -> None:
        # The worker itself may have been busy meanwhile: what has arrived by now is in time.
        if not self._receive(conversation) and not conversation.closing:
            detail = f"the request was not whole within {self._read_timeout_s:g} s"
            conversation.queue.append(Rejection(408, detail))
        self._go_on(conversation)

    # -- one request ---------------------------------------------------------------------------------------------

    def _go_on(self, conversation: Conversation) -> None:
        """What was waited for is here."""
        self._end_wait(conversation)
        if self._advance(conversation):
            self.read(conversation)

    def _advance(self, conversation: Conversation) -> bool:
        """Serves what has been read, in order. True when all is answered and part of a next request is here."""
        while conversation.queue and not conversation.closing:
            if not self._serve(conversation, conversation.queue.popleft()):
                return False
        if conversation.http.mid_request and not conversation.closing:
            return True
        self._let_go(conversation)
        return False

    def _serve(self, conversation: Conversation, request: Request | Rejection) -> bool:
        """True when the answer is out; False when `_go_on` is called once it is."""
        waited_ms, _, conversation.written = linux.tcp_info(conversation.socket)
        if isinstance(request, Rejection):
            conversation.closing = conversation.linger = True
            conversation.head = False
            now_ns = time.monotonic_ns()
            self._seat.begin(conversation.number, now_ns, now_ns + REFUSING_NS, True, False, b"", b"")
            headers = RETRY_AFTER if request.status == 503 else ()
            return self._send(conversation, problem(request.status, request.detail, headers=headers))
        call = self._service.call(request, time.monotonic_ns(), waited_ms)
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
            self._seat.count_wait(waited_ms)
        plain = None if call.params is None else self._plain(conversation, call)
        answer = self._service.answer(call, self._loop, plain)
        if isinstance(answer, Answer):
            return self._send(conversation, answer)
        if isinstance(answer, Streamed):
            return self._after_stream(conversation, answer)
        self.unfinished.add(conversation)
        self._seat.keep(conversation.number, call.deadline.hard_ns)
        answer.add_done_callback(partial(self._on_answer, conversation))
        return False

    def _on_answer(self, conversation: Conversation, future: "asyncio.Future[Answer | Streamed]") -> None:
        answer = future.result()
        if isinstance(answer, Streamed):
            self._after_stream(conversation, answer)
            self._go_on(conversation)
        elif self._send(conversation, answer):
            self._go_on(conversation)

    # -- plain HTTP ----------------------------------------------------------------------------------------------

    def _plain(self, conversation: Conversation, call: Call) -> Plain:
        """The ways that the body of a request and that of its answer take, should they be streams."""
        outgoing = Outgoing(
            conversation.socket,
            self._loop,
            chunks=conversation.http.version == b"1.1",
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
                self._loop,
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
            except OSError:  # reset
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

    def _after_stream(self, conversation: Conversation, streamed: Streamed) -> bool:
        """Counts it; one that is not complete, or whose request was not read to its end, ends the connection."""
        self._seat.count_served(not streamed.complete)
        if not streamed.complete:
            conversation.closing = True
        elif conversation.http.in_pieces:  # what is unread must not reset the connection before all is received
            conversation.closing = conversation.linger = True
        return True

    # -- answering -----------------------------------------------------------------------------------------------

    def _send(self, conversation: Conversation, answer: Answer) -> bool:
        """Writes an answer; False when a slow reader makes the loop write the rest of it."""
        if conversation.http.in_pieces:  # nobody reads on where the handler has stopped
            conversation.closing = conversation.linger = True
        if len(answer.body) > COPIED and not conversation.head:
            status, body, content_type, headers = answer
            head = render_head(status, content_type, headers, length=len(body), keep_alive=not conversation.closing)
            conversation.rest, conversation.more = memoryview(head), memoryview(body)
            length = len(head) + len(body)
        else:
            data = render(answer, keep_alive=not conversation.closing, head_only=conversation.head)
            conversation.rest, length = memoryview(data), len(data)
        self._seat.answering(
            conversation.number, conversation.written, length, conversation.ends_here, answer.status >= 300
        )
        while not self._write(conversation):
            self._seat.beat()  # a large answer may keep this loop busy for long
            if self.unfinished or not _ready(conversation.socket, select.POLLOUT):
                self._wait(conversation, self._on_unread)
                self._loop.add_writer(conversation.number, self._on_writable, conversation)
                return False
        return True

    def _write(self, conversation: Conversation) -> bool:
        """Writes what the client has room for; True when that was all, or when the client is gone."""
        try:
            conversation.rest = conversation.rest[conversation.socket.send(conversation.rest) :]
        except BlockingIOError:
            return False
        except OSError:  # reset, and with it whoever wanted the answer
            conversation.closing = True
            conversation.rest = conversation.more = NOTHING
            return True
        if conversation.rest:
            return False
        conversation.rest, conversation.more = conversation.more, NOTHING  # an empty view, too, holds its body
        return not conversation.rest or self._write(conversation)

    def _on_writable(self, conversation: Conversation) -> None:
        if self._write(conversation):
            self._go_on(conversation)

    def _on_unread(self, conversation: Conversation) -> None:
        conversation.closing = True
        self._go_on(conversation)

    # -- waiting -------------------------------------------------------------------------------------------------

    def _wait(self, conversation: Conversation, on_timeout: Callable[[Conversation], None]) -> None:
        """Waits on the loop. The worker is not to blame for a slow client: its deadline there is off."""
        self.unfinished.add(conversation)
        self._seat.disarm(conversation.number)
        conversation.timer = self._loop.call_later(self._read_timeout_s, on_timeout, conversation)

    def _end_wait(self, conversation: Conversation) -> None:
        if conversation.timer is not None:
            conversation.timer.cancel()
            conversation.timer = None
            self._loop.remove_reader(conversation.number)
            self._loop.remove_writer(conversation.number)

    def _let_go(self, conversation: Conversation) -> None:
        self._end_wait(conversation)
        self.unfinished.discard(conversation)
        if conversation.http.held:
            conversation.http.release()
        self._tell_let_go(conversation)


def _ready(connection: socket.socket, event: int) -> bool:
    """Waits for a moment until the connection can be read, or written."""
    waiter = select.poll()
    waiter.register(connection, event)
    return bool(waiter.poll(PATIENCE_NS / 1e6))
