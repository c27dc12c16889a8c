"""One invocation: decode, call the handler, encode; and what becomes of every way in which that can fail.

The worker calls `begin`, then `run_sync` or `run_async`; both always end in an Answer.
Rule: user code is called here and nowhere else, and whatever it raises becomes its invocation's answer.
"""

import asyncio
import inspect
import types
from typing import Any, Final

import msgspec

from fastworker import forks, logs
from fastworker.deadline import Deadline
from fastworker.errors import ClientGoneError, DeadlineExceeded, RequestError
from fastworker.frames import stood_at
from fastworker.functions.build import Function
from fastworker.functions.context import Context, Out, Result
from fastworker.outcomes import CLIENT_GONE, DEADLINE_SOFT, REJECTED
from fastworker.protocol.answer import RETRY_AFTER, Answer, Streamed, problem, problem_body
from fastworker.protocol.body_limit import check_bodies
from fastworker.protocol.envelope import Metadata
from fastworker.protocol.jsontext import UnencodableError
from fastworker.protocol.messages import LARGE, ClientError, Response
from fastworker.protocol.outputs import NOTHING, as_response, problem_response, render_answer
from fastworker.protocol.plain_http import FileBody, PlainRequest, Streaming, plain_answer, text_answer
from fastworker.streaming.stream_sender import send, send_async
from fastworker.streaming.stream_writer import Outgoing

# Stands for a member of `Data` that did not come; decoders treat it like a null.
ABSENT: Final = msgspec.Raw(b"null")

# Statuses whose Location the host follows, but where it forwards to the client's own path (protocol 1.7).
REDIRECTIONS: Final = frozenset({300, 301, 302, 303, 307, 308})

LONGEST_DETAIL: Final = 2000

NO_METADATA: Final = Metadata(msgspec.Raw(b"{}"))

# What a handler gets at its deadline.
STRIKES: Final = (DeadlineExceeded, asyncio.CancelledError)

COMPLETE: Final = Streamed(complete=True)
CUT_LATE: Final = Streamed(complete=False, outcome=DEADLINE_SOFT)
CUT_GONE: Final = Streamed(complete=False, outcome=CLIENT_GONE)


class Rejected(Exception):  # noqa: N818 - an outcome, not an error of ours
    """The invocation ends before its handler is called; `answer` is what the host gets."""

    def __init__(self, answer: Answer, error: Exception) -> None:
        self.answer = answer
        self.error = error
        super().__init__(str(error))


class Invocation:
    """A handler's call in the making.

    A worker that interrupts an invocation at its deadline sets `expired` first: that tells this interruption
    from any other. `error` is what went wrong, for testing.py. `outgoing` is the way of an answer in plain HTTP, and
    None where an envelope is answered.
    """

    # Of the class until they change.
    expired = False
    error: BaseException | None = None
    outgoing: Outgoing | None = None

    def __init__(self, function: Function, invocation_id: str, deadline: Deadline) -> None:
        self.function = function
        self.id = invocation_id
        self.deadline = deadline
        self.capture = logs.Capture(function.name, invocation_id)
        self.arguments: dict[str, Any] = {}


def begin(
    function: Function,
    body: bytes | bytearray | memoryview,
    *,
    invocation_id: str,
    deadline: Deadline,
    traceparent: str | None = None,
    max_body: int = 0,
) -> Invocation:
    """Decode the envelope in `body`, which must not change until the invocation is over.

    `max_body` is the limit in bytes of what the client sent, where the envelope is larger than that.
    Raises Rejected, which holds the answer, if the request does not fit the function.
    """
    invocation = Invocation(function, invocation_id, deadline)
    arguments = invocation.arguments
    try:
        envelope = function.read_envelope(body)
        data = envelope.Data
        if max_body:
            check_bodies(function.bindings, data, max_body)
        for name, decode in function.decoders:
            arguments[name] = decode(data.get(name, ABSENT), envelope)
        for name in function.outs:
            arguments[name] = Out()
        if function.context_argument is not None:
            metadata = envelope.Metadata if len(body) < LARGE else envelope.Metadata.copy()
            arguments[function.context_argument] = Context(
                function.name, invocation_id, deadline, Metadata(metadata), traceparent
            )
    except RequestError as exc:
        raise Rejected(_refused(invocation, exc), exc) from None
    except Exception as exc:  # user code: a Struct's __post_init__ may raise anything
        answer = _failed(invocation, exc)
        invocation.error = None  # its traceback holds this frame
        raise Rejected(answer, exc) from exc
    return invocation


def begin_plain(
    function: Function,
    request: PlainRequest[Any],
    outgoing: Outgoing,
    *,
    invocation_id: str,
    deadline: Deadline,
    traceparent: str | None = None,
) -> Invocation:
    """`begin` for a request in plain HTTP. Its log lines, which no answer takes along, are written at once."""
    invocation = Invocation(function, invocation_id, deadline)
    invocation.outgoing = outgoing
    invocation.capture.is_open = False
    arguments = invocation.arguments
    try:
        for name, argument in function.http_arguments:
            arguments[name] = argument(request)
        for name in function.outs:
            arguments[name] = Out()
        if function.context_argument is not None:
            arguments[function.context_argument] = Context(
                function.name, invocation_id, deadline, NO_METADATA, traceparent
            )
    except RequestError as exc:
        raise Rejected(_refused(invocation, exc), exc) from None
    except Exception as exc:  # user code: a Struct's __post_init__ may raise anything
        answer = _failed(invocation, exc)
        invocation.error = None  # its traceback holds this frame
        raise Rejected(answer, exc) from exc
    return invocation


def run_sync(invocation: Invocation) -> Answer | Streamed:
    """Call a sync handler; always returns its answer.

    Catches every BaseException, SystemExit too: a handler that calls sys.exit must not end its worker.
    """
    token = logs.CURRENT.set(invocation.capture)
    try:
        result = invocation.function.handler(**invocation.arguments)
        if forks.in_child:
            forks.leave(None)
        if type(result) is types.CoroutineType:
            result.close()
            raise TypeError("the handler returned a coroutine: declare it with `async def`")
        if invocation.outgoing is None:
            return _answer(invocation, result)
        answer = _plain_answer(invocation, result)
        if isinstance(answer, Answer):
            return answer
        send(invocation.outgoing, answer)
        return COMPLETE
    except DeadlineExceeded as exc:
        return expire(invocation, exc)
    except BaseException as exc:  # user code: any failure becomes this invocation's answer
        return unsuccessful(invocation, exc)
    finally:
        logs.CURRENT.reset(token)
        invocation.capture.is_open = False


async def run_async(invocation: Invocation) -> Answer | Streamed:
    """Await an async handler; returns its answer, or lets a cancellation through that is not the deadline's.

    Runs in a task (or context) of its own, whose current invocation it sets.
    """
    logs.CURRENT.set(invocation.capture)
    try:
        result = invocation.function.handler(**invocation.arguments)
        if inspect.isawaitable(result):
            result = await result
        if forks.in_child:
            forks.leave(None)
        if invocation.outgoing is None:
            if invocation.function.http_output is not None:
                result = await _collected(result)
            return _answer(invocation, result)
        answer = _plain_answer(invocation, result)
        if isinstance(answer, Answer):
            return answer
        await send_async(invocation.outgoing, answer)
        return COMPLETE
    except DeadlineExceeded as exc:
        return expire(invocation, exc)
    except asyncio.CancelledError as exc:
        if invocation.expired:
            return expire(invocation, exc)
        if invocation.outgoing is not None and invocation.outgoing.gone:
            return _client_gone(invocation)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return unsuccessful(invocation, exc)  # user code cancelled itself, or awaited what was cancelled
    except GeneratorExit:  # the coroutine is being closed: it must end here
        raise
    except BaseException as exc:  # user code: any failure becomes this invocation's answer
        return unsuccessful(invocation, exc)
    finally:
        invocation.capture.is_open = False


def _values(invocation: Invocation, result: Any) -> dict[str, Any]:
    """What the handler set and returned, by output."""
    function, arguments = invocation.function, invocation.arguments
    values = {}
    for name in function.outs:
        values[name] = arguments[name]._value
    if isinstance(result, Result):
        _check_names(function, result.outputs)
        values.update(result.outputs)
        result = result.value
    if result is not None:
        if function.return_to is None:
            _warn_of_lost_return(invocation, result)
        else:
            values[function.return_to] = result
    return values


def _plain_answer(invocation: Invocation, result: Any) -> Answer | Streaming | FileBody:
    """The answer in plain HTTP. Raises UnencodableError."""
    output = invocation.function.http_output
    assert output is not None  # plain HTTP is for functions that have one
    value = _values(invocation, result).get(output)
    if type(value) is str:
        return text_answer(value)
    answer = plain_answer(value if isinstance(value, Response) else as_response(value))
    if answer.status in REDIRECTIONS and not invocation.function.may_redirect:
        raise UnencodableError(
            f"the host follows a redirection ({answer.status}) itself under httpWorker, and would run whatever "
            f"function it names without asking for its key (docs/security.md): answer with a link instead"
        )
    return answer


async def _collected(result: Any) -> Any:
    """A result whose body is an async iterator, with its items instead: an envelope cannot stream."""
    response = result if isinstance(result, Response) else None
    source = result if response is None else response.body
    if not hasattr(source, "__aiter__"):
        return result
    items = iter([item async for item in source])
    if response is None:
        return items
    response.body = items
    return response


def _answer(invocation: Invocation, result: Any) -> Answer:
    """The 200 for what the handler set and returned. Raises UnencodableError."""
    function = invocation.function
    values = _values(invocation, result)
    outputs = {}
    return_value = None
    for name, encode in function.encoders.items():
        # An http output is always set, for without one the host answers `200 {}` (trap 22).
        encoded = encode(values.get(name))
        if encoded is not NOTHING:
            if name == "$return":
                return_value = encoded
            else:
                outputs[name] = encoded
    return Answer(200, render_answer(outputs, invocation.capture.finished(), return_value))


def _check_names(function: Function, outputs: dict[str, Any]) -> None:
    for name in outputs:
        if name not in function.encoders:
            there = ", ".join(repr(n) for n in function.encoders) or "none"
            raise ValueError(
                f"Result has an output {name!r}, which function {function.name!r} has not (there are: {there})"
            )


def _warn_of_lost_return(invocation: Invocation, result: Any) -> None:
    invocation.capture.add(
        f"WARNING: the return value (a {type(result).__name__}) goes nowhere: {invocation.function.name!r} has "
        f"neither an http output nor one named $return"
    )


def unsuccessful(invocation: Invocation, exc: BaseException) -> Answer | Streamed:
    """The answer when `exc` has come out of the handler, or of the task that ran it."""
    if forks.in_child:
        forks.leave(exc)
    if invocation.expired:  # whatever the handler raised instead when it was interrupted
        return expire(invocation, exc)
    if isinstance(exc, ClientGoneError):
        return _client_gone(invocation)
    if isinstance(exc, RequestError):
        invocation.error = exc
        return _unless_begun(invocation, _refused(invocation, exc))
    return _unless_begun(invocation, _failed(invocation, exc))


def _unless_begun(invocation: Invocation, answer: Answer) -> Answer | Streamed:
    """Behind the first bytes of a stream no other answer can come: it is cut."""
    if invocation.outgoing is not None and invocation.outgoing.begun:
        return Streamed(complete=False, outcome=answer.outcome)
    return answer


def _client_gone(invocation: Invocation) -> Streamed:
    """Nobody is there to be answered, and nobody is to blame."""
    if forks.in_child:  # in the middle of a stream, whose connection it has no more
        forks.leave(None)
    invocation.error = ClientGoneError()
    logs.log.debug("client.gone", function=invocation.function.name, id=invocation.id)
    return CUT_GONE


def _refused(invocation: Invocation, exc: RequestError) -> Answer:
    """The request is wrong. The client of an http function hears of it as a 400 in a successful invocation."""
    function = invocation.function
    if invocation.outgoing is None and isinstance(exc, ClientError) and function.http_output is not None:
        body = problem_body(exc.status, exc.detail, function=function.name, invocation_id=invocation.id)
        encoded = function.encoders[function.http_output](problem_response(exc.status, body))
        if function.http_output == "$return":
            whole = render_answer({}, invocation.capture.finished(), encoded)
        else:
            whole = render_answer({function.http_output: encoded}, invocation.capture.finished(), None)
        return Answer(200, whole, outcome=REJECTED)
    logs.write_failed(invocation.capture)
    # A body or parameter that does not fit is the client's mistake where a client is, and is passed on to it.
    is_clients = isinstance(exc, ClientError) or (invocation.outgoing is not None and exc.status < 500)
    logs.write_refusal(
        exc.status, exc.detail, function=function.name, invocation_id=invocation.id, is_clients=is_clients
    )
    return _problem(invocation, exc.status, exc.detail)


def _failed(invocation: Invocation, exc: BaseException) -> Answer:
    """The handler raised, or gave what cannot be encoded: 500, with the traceback on stderr only."""
    invocation.error = exc
    logs.write_failed(invocation.capture)
    if isinstance(exc, UnencodableError):
        detail = str(exc)
        logs.write_error(invocation.capture, detail)
    else:
        detail = _described(exc)
        title = invocation.function.failure_title
        logs.write_exception(invocation.capture, "the handler raised" if title is None else title(exc), exc)
    if invocation.outgoing is not None:
        # The host passes this on to the client, who must not read what an exception says.
        detail = "the function failed; its log tells why, under this invocation's id"
    return _problem(invocation, 500, detail)


def expire(invocation: Invocation, exc: BaseException | None = None) -> Answer | Streamed:
    """The deadline passed while the handler ran, or while its answer streamed; `exc` has come out of it then."""
    invocation.error = DeadlineExceeded()
    logs.write_failed(invocation.capture)
    limit_s = (invocation.deadline.soft_ns - invocation.deadline.sent_ns) / 1e9
    detail = f"the deadline of {limit_s:g} s passed while the function ran"
    begun = invocation.outgoing is not None and invocation.outgoing.begun
    place = None if exc is None else stood_at(exc, STRIKES)
    told = f"{detail}{', so its answer is cut' if begun else ''} ({invocation.function.limit_name})"
    logs.write_refusal(
        504,
        told if place is None else f"{told}; the code stood at {place}",
        function=invocation.function.name,
        invocation_id=invocation.id,
    )
    if begun:
        return CUT_LATE
    return _problem(invocation, 504, detail)


def _problem(invocation: Invocation, status: int, detail: str) -> Answer:
    # The detail may quote user data: a lone surrogate in it cannot be encoded, and nobody reads megabytes.
    readable = detail[:LONGEST_DETAIL].encode("utf-8", "backslashreplace").decode()
    headers = RETRY_AFTER if status == 503 else ()
    return problem(status, readable, function=invocation.function.name, invocation_id=invocation.id, headers=headers)


def _described(exc: BaseException) -> str:
    try:
        text = str(exc)
    except Exception:  # user code: an exception's own __str__
        text = "(its __str__ failed)"
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
