"""The queue trigger: takes messages in batches, runs the function for each, and deals with those that fail.

Started by app.py. Rule: a message is deleted after success, put back after a failure, and moved to the poison queue
after maxDequeueCount tries (protocol 5.5, 8.2).
"""

import asyncio
import contextlib
import random
from typing import Any, Final

from fastworker.devhost.console import Console, shortened
from fastworker.devhost.functions import Function
from fastworker.devhost.hostjson import QueueOptions, batch_threshold, longest_pause_s
from fastworker.devhost.invocations import Invoker
from fastworker.devhost.storage import Account, Message
from fastworker.hostrules.envelope import TriggerData

POLL_S: Final = 0.1
# A message in work is hidden for this long, and again before that is over.
HIDDEN_S: Final = 600.0
POISON: Final = "-poison"


class QueueListener:
    """Listens to one function's queue."""

    def __init__(
        self, function: Function, account: Account, invoker: Invoker, options: QueueOptions, console: Console
    ) -> None:
        self.queue = function.trigger.text("queueName").lower()
        self._function = function
        self._account = account
        self._invoker = invoker
        self._options = options
        self._threshold = batch_threshold(options)
        self._console = console
        self._running: dict[asyncio.Task[None], Message] = {}
        self._wake = asyncio.Event()
        self._takes = True
        self._reported = ""

    @property
    def in_flight(self) -> int:
        """Messages in work."""
        return len(self._running)

    def notify(self) -> None:
        """A message was written by this very host: look at once."""
        self._wake.set()

    def stop_taking(self) -> None:
        """No further message is taken; `run` returns when those in work are done."""
        self._takes = False
        self._wake.set()

    async def run(self) -> None:
        pause = POLL_S
        try:
            while self._takes:
                found = 0
                if len(self._running) <= self._threshold:
                    found = await self._take_batch()
                pause = POLL_S if found else min(pause * random.uniform(1.5, 2.5), longest_pause_s(self._options))
                if self._takes and (not found or len(self._running) > self._threshold):
                    await self._pause(pause)
            if self._running:
                await asyncio.wait(self._running)
        finally:
            await self._give_back()

    async def _take_batch(self) -> int:
        try:
            messages = await self._account.take_messages(self.queue, self._options.batch_size, HIDDEN_S)
            self._reported = ""
        except Exception as error:  # whatever the storage says, the listener tries again
            text = f"queue {self.queue!r} cannot be read: {shortened(error)}"
            if text != self._reported:
                self._console.error(text)
            self._reported = text
            return 0
        for message in messages:
            task = asyncio.create_task(self._process(message))
            self._running[task] = message
            task.add_done_callback(self._done)
        return len(messages)

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            self._console.error(f"queue {self.queue!r}: {task.exception()}")

    async def _process(self, message: Message) -> None:
        if message.content is None:
            why = "is no base64, which extensions.queues.messageEncoding in host.json asks for"
            await self._poison(message, why)
            return
        try:
            value = self._value(message.content)
        except UnicodeDecodeError:
            self._console.error(f"a message of {self.queue!r} is no UTF-8, and is not handed over: ask for bytes")
            ok = False
        else:
            renewal = asyncio.create_task(self._renew(message))
            try:
                data = TriggerData(value, metadata(message, value))
                outcome = await self._invoker.invoke(self._function, data, f"queue {self.queue}", is_triggered=True)
            finally:
                renewal.cancel()
            ok = outcome.ok
        if ok:
            await self._account.delete_message(self.queue, message)
        elif message.dequeue_count >= self._options.max_dequeue_count:
            await self._poison(message, f"failed {message.dequeue_count} times")
        else:
            await self._account.release_message(self.queue, message, self._options.visibility_timeout_s)

    def _value(self, content: bytes) -> bytes | str:
        """Raises UnicodeDecodeError: the host's own conversion fails there, and no call is made (B-011, B-607)."""
        if self._function.trigger.data_type == "binary":
            return content
        if self._function.trigger.data_type == "stream":
            raise UnicodeDecodeError("utf-8", content, 0, 1, "a stream cannot be handed over")
        return content.decode()

    async def _poison(self, message: Message, why: str) -> None:
        """The message goes on as it is stored, also where its encoding was wrong (B-036)."""
        if self.queue.endswith(POISON):
            self._console.error(f"a message of {self.queue!r} {why}; it is dropped, for a poison queue has none")
        else:
            await self._account.put_text(self.queue + POISON, message.raw)
            self._console.error(f"a message of {self.queue!r} {why}: moved to {self.queue + POISON!r}")
        await self._account.delete_message(self.queue, message)

    async def _renew(self, message: Message) -> None:
        while True:
            await asyncio.sleep(HIDDEN_S / 2)
            await self._account.release_message(self.queue, message, HIDDEN_S)

    async def _give_back(self) -> None:
        """At the end: what was in work is visible again at once, rather than in ten minutes."""
        unfinished = dict(self._running)
        for task in unfinished:
            task.cancel()
        for message in unfinished.values():
            with contextlib.suppress(Exception):
                await self._account.release_message(self.queue, message, 0)


def metadata(message: Message, value: bytes | str) -> dict[str, Any]:
    """The binding data of a message; `QueueTrigger` is for names, and left out of the envelope (protocol 2.3)."""
    return {
        "QueueTrigger": value if isinstance(value, str) else value.decode("utf-8", "replace"),
        "DequeueCount": message.dequeue_count,
        "ExpirationTime": message.expires,
        "Id": message.id,
        "InsertionTime": message.inserted,
        "NextVisibleTime": message.next_visible,
        "PopReceipt": message.pop_receipt,
    }
