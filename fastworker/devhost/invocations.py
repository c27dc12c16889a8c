"""One invocation from trigger to outcome: inputs, envelope, the call, the answer, outputs, retries, functionTimeout.

Used by front.py and the triggers; calls the handler that process.py runs.
Rule: every call to the handler goes through here, and whatever happens, there is an Outcome.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from fastworker.config.retry import JITTER
from fastworker.devhost import HOST_VERSION
from fastworker.devhost.console import REMIND_AFTER_S, Console, shortened
from fastworker.devhost.expressions import ExpressionError
from fastworker.devhost.functions import Binding, Function
from fastworker.devhost.handler_client import HandlerClient, HandlerConnectError, HandlerError, HandlerResponse
from fastworker.devhost.hostjson import HostJson
from fastworker.devhost.inputs import read_input
from fastworker.devhost.outputs import OutputWriter, Written
from fastworker.devhost.process import HandlerProcess, HandlerState
from fastworker.devhost.storage import Accounts, StorageError
from fastworker.devhost.tracing import NO_TRACES, HostTraces
from fastworker.hostrules.answers import (
    FAILED,
    Answer,
    AnswerError,
    HttpReply,
    NothingError,
    accept,
    check_named_outputs,
    http_reply,
    output_values,
    redirect,
)
from fastworker.hostrules.envelope import (
    BindingData,
    EnvelopeError,
    TriggerData,
    binding_data,
    build_envelope,
    envelope_headers,
    trace_headers,
)
from fastworker.hostrules.envelope import in_chunks as in_pieces
from fastworker.hostrules.principals import PrincipalError
from fastworker.hostrules.retries import failure, retry_context

KILL_GRACE_S: Final = 2.0
BODY_HEADERS: Final = frozenset({"transfer-encoding", "content-type", "content-length"})


class InvocationError(Exception):
    """The invocation failed; the message is for the user."""


class OverrunError(InvocationError):
    """It overran functionTimeout: the handler is killed for it."""


@dataclass(slots=True)
class Outcome:
    """What became of an invocation."""

    function: str
    invocation_id: str
    error: str | None = None
    reply: HttpReply | None = None
    logs: tuple[str, ...] = ()
    written: list[Written] = field(default_factory=list)
    return_value: Any = None
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the host's environment changes of its requests: Core Tools, Application Insights, its time zone."""

    core_tools: bool = False
    insights: bool = False
    zone: tzinfo = UTC


CLOUD_LIKE: Final = Circumstances()

# One call of the handler: the invocation id and the binding data in, a filled outcome out.
Attempt = Callable[[str, Mapping[str, Any] | None], Awaitable[Outcome]]


class Invoker:
    """Runs invocations against one handler process."""

    def __init__(
        self,
        host: HostJson,
        handler: HandlerProcess,
        accounts: Accounts,
        writer: OutputWriter,
        console: Console,
        circumstances: Circumstances = CLOUD_LIKE,
        traces: HostTraces = NO_TRACES,
    ) -> None:
        self.host = host
        self.traces = traces
        self.handler = handler
        self.console = console
        self._accounts = accounts
        self._writer = writer
        self._kills: set[asyncio.Task[None]] = set()
        self.client = HandlerClient()
        self.circumstances = circumstances

    async def close(self) -> None:
        for task in self._kills:
            task.cancel()
        await self.client.close()

    @property
    def handler_address(self) -> tuple[str, int]:
        return "127.0.0.1", self.handler.port

    async def invoke(
        self, function: Function, trigger: TriggerData, why: str, *, is_triggered: bool = False
    ) -> Outcome:
        """Runs a function by envelope, with its retry policy.

        A run that a queue, blob or timer has triggered keeps its invocation id over its attempts (B-462, B-470, B-496).
        """

        async def attempt(invocation_id: str, retry: Mapping[str, Any] | None) -> Outcome:
            return await self._by_envelope(function, trigger, invocation_id, retry)

        client = trigger.request.headers if trigger.request else ()
        parent = self.traces.parent(client, trigger.metadata)
        return await self.run(function, attempt, why, keeps_id=is_triggered, parent=parent)

    def refuse(self, function: Function, why: str, error: str) -> None:
        """A run that fails before the handler is called."""
        outcome = Outcome(function.name, str(uuid.uuid4()), error, FAILED)
        self.console.started(function.name, outcome.invocation_id, why)
        self._show(outcome)

    async def send_envelope(self, function: Function, body: bytes, why: str) -> Outcome:
        """Sends an envelope as it is given, e.g. one of the documentation's for a service that is not here."""

        async def attempt(invocation_id: str, _: Mapping[str, Any] | None) -> Outcome:
            answer = await self._post(function, body, invocation_id, TriggerData(None))
            return await self._finish(function, answer, BindingData(), invocation_id, TriggerData(None))

        return await self.run(function, attempt, why)

    async def run(
        self, function: Function, attempt: Attempt, why: str, *, keeps_id: bool = False, parent: Any = None
    ) -> Outcome:
        """Attempts until one succeeds or the retry policy is used up (protocol 5.5). `parent` is of tracing.py."""
        policy, done, error = function.retry, 0, None
        invocation_id = str(uuid.uuid4())
        while True:
            retry = None
            if policy is not None:
                retry = retry_context(done, policy.max_retries, error)
            with self.traces.run(function.name, invocation_id, function.trigger.key, parent) as traced:
                outcome = await self._one_attempt(function, attempt, why, retry, invocation_id)
                traced.end(outcome.error, outcome.reply.status if outcome.reply and function.is_http else 0)
            over = self.handler.state is HandlerState.STOPPED
            if outcome.ok or policy is None or over or not policy.allows(done):
                return outcome
            delay = policy.delay_s(done, random.uniform(*JITTER))
            self.console.warn(f"{function.name}: retry {done + 1} in {delay:g} s")
            await asyncio.sleep(delay)
            done += 1
            error = failure(function.name, invocation_id, outcome.error or "")
            if not keeps_id:
                invocation_id = str(uuid.uuid4())

    async def _one_attempt(
        self, function: Function, attempt: Attempt, why: str, retry: Mapping[str, Any] | None, invocation_id: str
    ) -> Outcome:
        self.console.started(function.name, invocation_id, why)
        began = time.monotonic()
        try:
            outcome = await self._in_time(function, self._when_ready(attempt, invocation_id, retry))
        except AnswerError as error:
            reply = FAILED if not error.too_late else replace(FAILED, reason=error.reason)
            outcome = Outcome(function.name, invocation_id, str(error), reply)
        except (InvocationError, ExpressionError, StorageError, EnvelopeError, PrincipalError) as error:
            outcome = Outcome(function.name, invocation_id, str(error), FAILED)
        except HandlerError as error:
            outcome = Outcome(function.name, invocation_id, self._connection_failed(error), FAILED)
        outcome.duration_s = time.monotonic() - began
        self._show(outcome)
        return outcome

    async def _when_ready(self, attempt: Attempt, invocation_id: str, retry: Mapping[str, Any] | None) -> Outcome:
        """The wait for a handler that starts counts against functionTimeout, too (protocol 5.1)."""
        if not await self.handler.wait_ready():
            raise InvocationError("the handler is not running")
        return await attempt(invocation_id, retry)

    async def _in_time(self, function: Function, work: Awaitable[Outcome]) -> Outcome:
        """Of an invocation that overruns the log tells at once, and its client when the handler is killed (5.1)."""
        limit = self.host.local_timeout_s
        try:
            async with self.console.reminding(function.name, self._still_waiting()), asyncio.timeout(limit):
                return await work
        except TimeoutError:
            why = f"{function.name} overran functionTimeout ({limit:g} s)"
            self.console.warn(f"{why}; the handler is killed in {KILL_GRACE_S:g} s, and every other invocation with it")
            task = asyncio.create_task(self._kill_later(why))
            self._kills.add(task)
            task.add_done_callback(self._kills.discard)
            await asyncio.shield(task)
            raise OverrunError(f"functionTimeout ({limit:g} s) was over") from None

    def _still_waiting(self) -> str:
        limit = self.host.local_timeout_s
        until = "for ever" if limit is None else f"until functionTimeout ({limit:g} s), then the handler is killed"
        return f"no answer for {REMIND_AFTER_S:g} s; the host waits {until}"

    async def _kill_later(self, why: str) -> None:
        pid = self.handler.pid
        await asyncio.sleep(KILL_GRACE_S)
        if self.handler.pid == pid:
            await self.handler.kill_for_timeout(why)

    def _connection_failed(self, error: HandlerError) -> str:
        text = shortened(str(error))
        if isinstance(error, HandlerConnectError):
            return f"no answer from the handler at 127.0.0.1:{self.handler.port}: {text}"
        return f"no valid answer from the handler: {text}"

    # ---- the envelope call ----

    async def _by_envelope(
        self, function: Function, trigger: TriggerData, invocation_id: str, retry: Mapping[str, Any] | None
    ) -> Outcome:
        system = {"MethodName": function.name, "UtcNow": utc_now(), "RandGuid": str(uuid.uuid4())}
        data = binding_data(trigger, system, trigger_name=function.trigger.name, zone=self.circumstances.zone)
        inputs = {function.trigger.name: trigger.value}
        for binding in function.inputs:
            if not binding.is_trigger:
                inputs[binding.name] = await self._input(binding, data)
        answer = await self._post(function, build_envelope(inputs, data, retry), invocation_id, trigger)
        return await self._finish(function, answer, data, invocation_id, trigger)

    async def _input(self, binding: Binding, data: BindingData) -> Any:
        try:
            return await read_input(binding, data, self._accounts)
        except (ExpressionError, StorageError):
            raise
        except Exception as error:  # the SDKs raise what they like: an input that cannot be read fails the invocation
            what = f"{type(error).__name__}: {shortened(error)}"
            raise InvocationError(f"input {binding.name!r} cannot be read: {what}") from error

    async def _post(self, function: Function, body: bytes, invocation_id: str, trigger: TriggerData) -> Answer:
        by_length = self.circumstances.core_tools
        trace = self.traces.headers(())
        if self.circumstances.insights and not self.traces.is_on:
            client = trigger.request.headers if trigger.request else ()
            trace = trace_headers(client, uuid.uuid4().hex, uuid.uuid4().hex[:16])
        headers = envelope_headers(HOST_VERSION, invocation_id, len(body) if by_length else None, trace)
        async with self.following("POST", f"/{function.name}", headers, body, in_chunks=not by_length) as response:
            content = await response.read()
        try:
            return accept(response.status, response.header("content-type"), content, self.circumstances.zone)
        except NothingError as nothing:
            limit = self.host.local_timeout_s
            self.console.warn(
                f"{function.name}: {nothing}: the host waits for more until functionTimeout "
                f"({'never' if limit is None else f'{limit:g} s'}), then kills the handler; answer {{}} instead"
            )
            await asyncio.Event().wait()
            raise AssertionError("unreachable") from None

    @contextlib.asynccontextmanager
    async def following(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes,
        *,
        in_chunks: bool = False,
        tries: int = 1,
        expect_wait_s: float = 0.0,
    ) -> AsyncIterator[HandlerResponse]:
        """The handler's answer, its redirects followed where the host does that (protocol 1.7)."""
        address, followed = self.handler_address, 0
        has_host = any(name.lower() == "host" for name, _ in headers)
        while True:
            sent = headers if has_host else [("Host", f"{address[0]}:{address[1]}"), *headers]
            framed = in_pieces(body) if in_chunks and method == "POST" else body
            async with self.client.request(
                address, method, target, sent, framed, tries=1 if body else tries, expect_wait_s=expect_wait_s
            ) as response:
                to = None
                if self.host.follows_redirects:
                    to = redirect(response.status, response.header("location"), followed)
                if to is None:
                    yield response
                    return
                await response.read()
            followed += 1
            address, target = _next(address, target, to.location)
            if not to.keeps_body and (method == "POST" or response.status == 303):
                method, body, in_chunks = "HEAD" if method == "HEAD" else "GET", b"", False
                headers = [(name, value) for name, value in headers if name.lower() not in BODY_HEADERS]

    async def _finish(
        self, function: Function, answer: Answer, data: BindingData, invocation_id: str, trigger: TriggerData
    ) -> Outcome:
        """Logs, outputs, the response. One output that fails stops no other, but empties the blobs (protocol 4.6)."""
        outcome = Outcome(function.name, invocation_id, logs=answer.logs, return_value=answer.return_value)
        for line in answer.logs:
            self.console.log(function.name, line)
        self._warn_of_unknown(function, answer)
        check_named_outputs(function.outputs, answer)
        values = output_values(function.outputs, answer)
        failed: AnswerError | None = None
        for binding in (b for b in function.outputs if b.name in values):
            try:
                for item in await self._writer.write(binding, values[binding.name], data):
                    outcome.written.append(item)
                    self.console.output(function.name, str(item))
            except AnswerError as error:
                failed = failed or error
        if failed is not None:
            for binding in (b for b in function.outputs if b.name in values):
                if await self._writer.empty(binding, data):
                    self.console.warn(
                        f"{function.name}: the blob of output {binding.name!r} is left empty, as in Azure"
                    )
            raise failed
        if function.is_http:
            outcome.reply = self._reply(function, answer, trigger)
        return outcome

    def _reply(self, function: Function, answer: Answer, trigger: TriggerData) -> HttpReply:
        accepted = trigger.request.header("accept") if trigger.request else ""
        try:
            return http_reply(function.outputs, answer, accepted)
        except AnswerError as error:
            if not error.too_late:
                raise
            self.console.warn(
                f"{function.name}: {error}; the client gets 500, although the host counts the invocation as succeeded"
            )
            return FAILED

    def _warn_of_unknown(self, function: Function, answer: Answer) -> None:
        names = {binding.name for binding in function.outputs}
        for name in answer.outputs or ():
            if name not in names:
                known = ", ".join(sorted(names)) or "none"
                self.console.warn(f"{function.name}: Outputs.{name} is no output and is dropped (there are: {known})")

    def _show(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.console.failed(outcome.function, outcome.invocation_id, outcome.duration_s, outcome.error)
            return
        status = f", {outcome.reply.status}" if outcome.reply else ""
        self.console.succeeded(outcome.function, outcome.invocation_id, outcome.duration_s, status)


def _next(address: tuple[str, int], target: str, location: str) -> tuple[tuple[str, int], str]:
    """Where a redirect leads: host and port, and the path with its query."""
    parts = urlsplit(urljoin(f"http://{address[0]}:{address[1]}{target}", location))
    query = f"?{parts.query}" if parts.query else ""
    return (parts.hostname or address[0], parts.port or 80), f"{parts.path or '/'}{query}"


def utc_now() -> str:
    """Now, as the host writes it into `sys`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
