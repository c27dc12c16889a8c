"""One invocation from trigger to outcome: inputs, envelope, the call, the answer, outputs, retries, functionTimeout.

Used by front.py and the triggers; calls the handler that process.py runs.
Rule: every call to the handler goes through here, and whatever happens, there is an Outcome.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from fastworker.devhost import HOST_VERSION, USER_AGENT
from fastworker.devhost.answers import (
    FAILED,
    Answer,
    AnswerError,
    HttpReply,
    NothingError,
    accept,
    http_reply,
    output_values,
)
from fastworker.devhost.console import REMIND_AFTER_S, Console, shortened
from fastworker.devhost.envelope import BindingData, TriggerData, binding_data, build_envelope
from fastworker.devhost.expressions import ExpressionError
from fastworker.devhost.functions import Binding, Function
from fastworker.devhost.hostjson import HostJson
from fastworker.devhost.inputs import read_input
from fastworker.devhost.outputs import OutputWriter, Written
from fastworker.devhost.process import HandlerProcess, HandlerState
from fastworker.devhost.storage import Accounts, StorageError

KILL_GRACE_S: Final = 2.0
CLIENT_EXTRA_S: Final = 60.0
IDLE_CONNECTION_S: Final = 60.0


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


# One call of the handler: the invocation id and the binding data in, a filled outcome out.
Attempt = Callable[[str, Mapping[str, Any] | None], Awaitable[Outcome]]


class Invoker:
    """Runs invocations against one handler process."""

    def __init__(
        self, host: HostJson, handler: HandlerProcess, accounts: Accounts, writer: OutputWriter, console: Console
    ) -> None:
        self.host = host
        self.handler = handler
        self.console = console
        self._accounts = accounts
        self._writer = writer
        self._kills: set[asyncio.Task[None]] = set()
        limit = host.function_timeout_s
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None if limit is None else limit + CLIENT_EXTRA_S),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            auto_decompress=False,
        )

    async def close(self) -> None:
        for task in self._kills:
            task.cancel()
        await self.session.close()

    @property
    def handler_url(self) -> str:
        return f"http://127.0.0.1:{self.handler.port}"

    async def invoke(self, function: Function, trigger: TriggerData, why: str) -> Outcome:
        """Runs a function by envelope, with its retry policy."""

        async def attempt(invocation_id: str, retry: Mapping[str, Any] | None) -> Outcome:
            return await self._by_envelope(function, trigger, invocation_id, retry)

        return await self.run(function, attempt, why)

    async def send_envelope(self, function: Function, body: bytes, why: str) -> Outcome:
        """Sends an envelope as it is given, e.g. one of the documentation's for a service that is not here."""

        async def attempt(invocation_id: str, _: Mapping[str, Any] | None) -> Outcome:
            answer = await self._post(function, body, invocation_id)
            return await self._finish(function, answer, BindingData(), invocation_id)

        return await self.run(function, attempt, why)

    async def run(self, function: Function, attempt: Attempt, why: str) -> Outcome:
        """Attempts until one succeeds or the retry policy is used up (protocol 5.5)."""
        policy, done, error = function.retry, 0, None
        while True:
            retry = None
            if policy is not None:
                retry = {"RetryCount": done, "MaxRetryCount": policy.max_retries, "Exception": error, "Instance": None}
            outcome = await self._one_attempt(function, attempt, why, retry)
            over = self.handler.state is HandlerState.STOPPED
            if outcome.ok or policy is None or over or not policy.allows(done):
                return outcome
            delay = policy.delay_s(done)
            self.console.warn(f"{function.name}: retry {done + 1} in {delay:g} s")
            await asyncio.sleep(delay)
            done += 1
            error = {"ClassName": "System.Exception", "Message": outcome.error}

    async def _one_attempt(
        self, function: Function, attempt: Attempt, why: str, retry: Mapping[str, Any] | None
    ) -> Outcome:
        invocation_id = str(uuid.uuid4())
        self.console.started(function.name, invocation_id, why)
        began = time.monotonic()
        try:
            if not await self.handler.wait_ready():
                raise InvocationError("the handler is not running")
            outcome = await self._in_time(function, attempt(invocation_id, retry))
        except (InvocationError, AnswerError, ExpressionError, StorageError) as error:
            outcome = Outcome(function.name, invocation_id, str(error), FAILED)
        except aiohttp.ClientError as error:
            outcome = Outcome(function.name, invocation_id, self._connection_failed(error), FAILED)
        outcome.duration_s = time.monotonic() - began
        self._show(outcome)
        return outcome

    async def _in_time(self, function: Function, work: Awaitable[Outcome]) -> Outcome:
        limit = self.host.function_timeout_s
        try:
            async with self.console.reminding(function.name, self._still_waiting()), asyncio.timeout(limit):
                return await work
        except TimeoutError:
            why = f"{function.name} overran functionTimeout ({limit:g} s)"
            task = asyncio.create_task(self._kill_later(why))
            self._kills.add(task)
            task.add_done_callback(self._kills.discard)
            raise OverrunError(
                f"functionTimeout ({limit:g} s) is over; the handler is killed in {KILL_GRACE_S:g} s, and every other "
                f"invocation with it"
            ) from None

    def _still_waiting(self) -> str:
        limit = self.host.function_timeout_s
        until = "for ever" if limit is None else f"until functionTimeout ({limit:g} s), then the handler is killed"
        return f"no answer for {REMIND_AFTER_S:g} s; the host waits {until}"

    async def _kill_later(self, why: str) -> None:
        pid = self.handler.pid
        await asyncio.sleep(KILL_GRACE_S)
        if self.handler.pid == pid:
            await self.handler.kill_for_timeout(why)

    def _connection_failed(self, error: aiohttp.ClientError) -> str:
        text = str(error) or type(error).__name__
        if isinstance(error, aiohttp.ClientPayloadError):
            return "the handler's answer broke off before its end"
        if isinstance(error, aiohttp.ClientResponseError):
            return f"the handler's answer is no HTTP: {shortened(error.message or text)}"
        return f"no answer from the handler at 127.0.0.1:{self.handler.port}: {shortened(text)}"

    # ---- the envelope call ----

    async def _by_envelope(
        self, function: Function, trigger: TriggerData, invocation_id: str, retry: Mapping[str, Any] | None
    ) -> Outcome:
        data = binding_data(function.name, trigger)
        inputs = {function.trigger.name: trigger.value}
        for binding in function.inputs:
            if not binding.is_trigger:
                inputs[binding.name] = await self._input(binding, data)
        answer = await self._post(function, build_envelope(inputs, data, retry), invocation_id)
        return await self._finish(function, answer, data, invocation_id)

    async def _input(self, binding: Binding, data: BindingData) -> Any:
        try:
            return await read_input(binding, data, self._accounts)
        except (ExpressionError, StorageError):
            raise
        except Exception as error:  # the SDKs raise what they like: an input that cannot be read fails the invocation
            what = f"{type(error).__name__}: {shortened(error)}"
            raise InvocationError(f"input {binding.name!r} cannot be read: {what}") from error

    async def _post(self, function: Function, body: bytes, invocation_id: str) -> Answer:
        async with self.session.post(
            f"{self.handler_url}/{function.name}",
            data=body,
            headers={
                "X-Azure-Functions-HostVersion": HOST_VERSION,
                "X-Azure-Functions-InvocationId": invocation_id,
                "User-Agent": USER_AGENT,
                "Content-Type": "application/json; charset=utf-8",
                "traceparent": f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-00",
            },
            chunked=True,
            allow_redirects=self.host.follows_redirects,
        ) as response:
            content = await response.read()
            try:
                return accept(response.status, response.headers.get("Content-Type", ""), content)
            except NothingError as nothing:
                limit = self.host.function_timeout_s
                self.console.warn(
                    f"{function.name}: {nothing}: the host waits for more until functionTimeout "
                    f"({'never' if limit is None else f'{limit:g} s'}), then kills the handler; answer {{}} instead"
                )
                await asyncio.Event().wait()
                raise AssertionError("unreachable") from None

    async def _finish(self, function: Function, answer: Answer, data: BindingData, invocation_id: str) -> Outcome:
        outcome = Outcome(function.name, invocation_id, logs=answer.logs, return_value=answer.return_value)
        for line in answer.logs:
            self.console.log(function.name, line)
        values = output_values(function, answer)
        self._warn_of_unknown(function, answer)
        for binding in function.outputs:
            if binding.name in values:
                for item in await self._writer.write(binding, values[binding.name], data):
                    outcome.written.append(item)
                    self.console.output(function.name, str(item))
        if function.is_http:
            outcome.reply = http_reply(function, answer)
        return outcome

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
