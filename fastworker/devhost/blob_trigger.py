"""The blob trigger: scans a container, and runs the function once for each version of a blob.

Started by app.py. Rule: a version is done when it has a receipt, after success or after the last try; then it is
told in the queue webjobs-blobtrigger-poison (protocol 5.5).
"""

import asyncio
import contextlib
import os
from typing import Any, Final

from fastworker.devhost.console import Console, shortened
from fastworker.devhost.functions import Function
from fastworker.devhost.invocations import Invoker
from fastworker.devhost.state import TriggerState
from fastworker.devhost.storage import Account, Blob
from fastworker.hostrules.blob_paths import BlobPath
from fastworker.hostrules.blob_properties import blob_properties
from fastworker.hostrules.dotnet_values import to_text
from fastworker.hostrules.envelope import TriggerData

POISON_QUEUE: Final = "webjobs-blobtrigger-poison"
AT_ONCE: Final = 8 * (os.cpu_count() or 1)


class BlobListener:
    """Watches the container of one function."""

    def __init__(
        self,
        function: Function,
        account: Account,
        invoker: Invoker,
        state: TriggerState,
        console: Console,
        *,
        max_tries: int,
        at_once: int | None,
        scan_every_s: float,
    ) -> None:
        self._path_rule = BlobPath(function.trigger.text("path"))
        self.container = self._path_rule.container
        self._function = function
        self._account = account
        self._invoker = invoker
        self._state = state
        self._console = console
        self._max_tries = max_tries
        self._at_once = at_once or AT_ONCE
        self._scan_every_s = scan_every_s
        self._tries: dict[tuple[str, str], int] = {}
        self._wake = asyncio.Event()
        self._takes = True
        self._reported = ""
        self.in_flight = 0

    def notify(self) -> None:
        """A blob was written by this very host: look at once."""
        self._wake.set()

    def stop_taking(self) -> None:
        """No further blob is taken; `run` returns when those in work are done."""
        self._takes = False
        self._wake.set()

    async def run(self) -> None:
        while self._takes:
            self._wake.clear()
            await self._scan()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._scan_every_s):
                    await self._wake.wait()

    async def _scan(self) -> None:
        limit = asyncio.Semaphore(self._at_once)
        try:
            async with asyncio.TaskGroup() as group:
                for blob in await self._account.list_blobs(self.container):
                    names = self._path_rule.match(blob.name)
                    if names is not None and not self._state.has_receipt(
                        self._function.name, self._path(blob), blob.etag
                    ):
                        group.create_task(self._process(blob, names, limit))
            self._reported = ""
        except Exception as error:  # whatever the storage says, the next scan tries again
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            text = f"container {self.container!r} cannot be read: {shortened(cause)}"
            if text != self._reported:
                self._console.error(text)
            self._reported = text

    async def _process(self, listed: Blob, names: dict[str, str], limit: asyncio.Semaphore) -> None:
        async with limit:
            blob = await self._account.read_blob(self.container, listed.name) if self._takes else None
            if blob is None:
                return  # deleted in the meantime, or left to the next session
            data = TriggerData(blob.content, {**metadata(self.container, blob), **names})
            why = f"blob {self._path(blob)}"
            self.in_flight += 1
            try:
                outcome = await self._invoker.invoke(self._function, data, why, is_triggered=True)
            finally:
                self.in_flight -= 1
        version = (blob.name, blob.etag)
        tries = self._tries[version] = self._tries.get(version, 0) + 1
        if not outcome.ok and tries < self._max_tries:
            self._wake.set()  # the next scan finds it without a receipt
            return
        del self._tries[version]
        if not outcome.ok:
            await self._poison(blob, tries)
        self._state.write_receipt(self._function.name, self._path(blob), blob.etag)

    async def _poison(self, blob: Blob, tries: int) -> None:
        message = {
            "Type": "BlobTrigger",
            "FunctionId": f"Host.Functions.{self._function.name}",
            "BlobType": "BlockBlob",
            "ContainerName": self.container,
            "BlobName": blob.name,
            "ETag": blob.etag,
        }
        await self._account.put_message(POISON_QUEUE, to_text(message).encode())
        self._console.error(f"blob {self._path(blob)!r} failed {tries} times: told in {POISON_QUEUE!r}")

    def _path(self, blob: Blob) -> str:
        return f"{self.container}/{blob.name}"


def metadata(container: str, blob: Blob) -> dict[str, Any]:
    """The binding data of a blob (protocol 2.7); `BlobTrigger` is for names, and left out of the envelope."""
    return {
        "BlobTrigger": f"{container}/{blob.name}",
        "Uri": blob.uri,
        "Properties": blob_properties(blob.modified, blob.content, blob.content_type, blob.metadata, blob.settings),
        "Metadata": blob.metadata,
    }
