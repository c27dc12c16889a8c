"""The usual request, from its event to the connection's next one, in one straight line.

Called by worker/run.py for each event on a connection that this worker holds. Usual is a request for a `def` function
that came whole in one read, whose like has been parsed before (known_heads.py), and whose answer leaves in one write.
Rule: one of two ways, and it must not be possible to tell which was taken, but by the clock: everything else is
connection.py's, which is given what has been read, made or written by then. Whatever this line stores on the board, it
stores where connection.py would, and in that order; tests/unit/test_straight_line.py holds the two to the same answers
and rows, tests/faults/test_straight_line.py kills a worker at each line of it.

The board's stores stand here in place, instead of calls of `Seat`: a call costs more than the store.
"""

import select
import time
from collections.abc import Callable, Mapping
from functools import partial

from fastworker.deadline import Deadline
from fastworker.ipc import linux
from fastworker.ipc.board import (
    ANSWERED,
    ANSWERING,
    BEFORE,
    BEGUN,
    BEGUN_OFFSET,
    CONNECTION_WORDS,
    DRAIN_NS,
    LENGTH,
    PHASE,
    READING,
    RUNNING,
    TAKEN,
    TALLY,
    TARGET,
)
from fastworker.ipc.connections import ARMED
from fastworker.ipc.counters import BLOCK, SUM
from fastworker.outcomes import OK
from fastworker.protocol.answer import Answer, render
from fastworker.protocol.http_request import Request
from fastworker.protocol.known_heads import KnownHeads
from fastworker.streaming.stream_writer import Outgoing
from fastworker.worker.connection import COPIED, READ_SIZE, Conversation, InPlace
from fastworker.worker.dispatch import Call, Plain

# The kernel counts a wait in its ticks, which are no shorter on most machines. Who was answered within the last so many
# nanoseconds, to a request taken within them, cannot have waited longer, and all that was written to him is known.
TRUSTED_NS = 4_000_000


def straight_line(
    exchange: InPlace,
    shared: select.epoll,
    heads: KnownHeads,
    conversations: Mapping[int, Conversation],
    taken_ns: int,
) -> Callable[[int, int], bool]:
    """Of the main thread. `taken_ns` is what a worker has between an event and the request's own deadline."""
    service, seat, loop = exchange._service, exchange._seat, exchange._thread.loop
    reads_headers = service.reads_headers  # of an envelope; else they need not be made
    clock, find, modify, run, choose = time.monotonic_ns, heads.find, shared.modify, service.run, service.target_of
    begun, offset, owner = BEGUN, seat._offset, seat._owner
    deadline, served, failed, counting = seat._deadline, seat._served, seat._failed, seat.counting

    def go(number: int, now_ns: int) -> bool:
        """Serves the request whose event came at `now_ns`; False for a connection that this worker does not hold."""
        conversation = conversations.get(number)
        if conversation is None:
            return False
        words = seat._words
        row = number * CONNECTION_WORDS + offset
        words[row + PHASE] = TAKEN
        words[row] = owner
        words[deadline] = now_ns + taken_ns
        connection = conversation.socket
        try:
            data = connection.recv(READ_SIZE)
        except OSError:  # nothing has come after all, or the client has reset it
            exchange.read(conversation)
            return True
        if not data:
            exchange.read(conversation, data)
            return True
        words[row + PHASE] = READING
        found = find(data)
        if found is None:
            exchange.read(conversation, data)
            return True
        known, invocation_id, traceparent, body = found
        target, params, is_usual = known.chosen or choose(known)
        if params is None and is_usual and not reads_headers:
            like = known.request
            request = Request(like.method, like.target, like.headers, body, True, invocation_id, traceparent)
        else:
            request = known.request_of(invocation_id, traceparent, body)
        if not is_usual or words[DRAIN_NS]:
            exchange.read_whole(conversation, request)
            return True
        function, name, limit_ns, grace_ns, counters = target
        answered_ns = words[row + ANSWERED]
        if answered_ns and now_ns - answered_ns < TRUSTED_NS:
            waited_ms, sent_ns, written = 0, now_ns, words[row + BEFORE] + words[row + LENGTH]
        else:
            waited_ms, _, written = linux.tcp_info(connection)
            sent_ns = now_ns - waited_ms * 1_000_000
            if waited_ms and now_ns >= sent_ns + limit_ns:
                exchange.read_whole(conversation, request)
                return True
        soft_ns = sent_ns + limit_ns
        hard_ns = soft_ns + grace_ns
        begun.pack_into(seat._memory, row * 8 + BEGUN_OFFSET, sent_ns, hard_ns, 0, 0, 0, 0, 0, 0, invocation_id, name)
        words[row + PHASE] = RUNNING
        words[deadline] = hard_ns
        conversation.written, conversation.began_ns, conversation.head = written, now_ns, False
        conversation.counters = ends = counters
        if waited_ms:
            seat.count_wait(counters, waited_ms)
            conversation.counters = ends = counters + BLOCK
        plain = None
        if params is not None:
            on_begin = partial(exchange._on_stream, conversation)
            plain = Plain(Outgoing(connection, loop, chunks=True, head_only=False, on_begin=on_begin), None)
        call = Call(request, function, Deadline(sent_ns, soft_ns, hard_ns), waited_ms, name, counters, params)
        answer = run(call, plain)
        if type(answer) is not Answer or answer.outcome != OK or len(answer.body) > COPIED:
            exchange.go_on(conversation, answer)
            return True
        data = render(answer)
        size = len(data)
        words = seat._words  # others, in a child that user code has forked
        counts = counting.words
        took_ns = clock() - now_ns
        counts[ends + SUM] += took_ns
        tally = ends + took_ns.bit_length()
        words[row + BEFORE] = written
        words[row + LENGTH] = size
        words[row + TALLY] = tally
        words[row + PHASE] = ANSWERING
        words[served] += 1
        if answer.status >= 300:
            words[failed] += 1
        try:
            sent = connection.send(data)
        except OSError:  # no room, or the client has gone: connection.py will see which
            sent = 0
        if sent != size:
            conversation.tally = tally
            exchange.write_on(conversation, memoryview(data)[sent:])
            return True
        target_count = counts[tally] + 1
        words[row + TARGET] = target_count
        counts[tally] = target_count
        words[row + ANSWERED] = now_ns
        if words[row] == owner:
            words[row] = 0
        words[deadline] = 0
        try:  # noqa: SIM105 - in the way of every request
            modify(number, ARMED)
        except FileNotFoundError:  # the supervisor has taken it out of service
            pass
        return True

    return go
