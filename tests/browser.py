"""A headless Chromium for tests, driven by its DevTools protocol over a web socket.

Rule: it sees the loopback interface only, keeps what it writes in a temporary folder, and ends with the test.
"""

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.harness import PATIENCE, alive, descendants, wait_for

NAMES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # of no use in a container, where tests run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """The path of one that runs (some distributions have a script of that name which only gives advice)."""
    for path in filter(None, map(shutil.which, NAMES)):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([path, "--version"], capture_output=True, check=True, timeout=30)
            return path
    return None


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def open(self, url: str, *, before: str = "") -> None:
        """Loads `url`, where the script `before` runs ahead of its own. Raises AssertionError if it is not reached."""
        await self._call("Page.enable")
        await self._call("Page.addScriptToEvaluateOnNewDocument", source=before)
        answer = await self._call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        await self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    async def until(self, condition: str, timeout_s: float = 15.0) -> None:
        """Waits until an expression in the page is true."""
        async with asyncio.timeout(timeout_s * PATIENCE):
            while not await self.run(condition):
                await asyncio.sleep(0.02)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise's, if it is one. Raises AssertionError if it throws."""
        answer = await self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])


@contextlib.contextmanager
def running(chromium: str, profile: Path) -> Iterator[str]:
    """The DevTools address of a Chromium of its own; `profile` is a folder that does not exist."""
    with open(profile.with_suffix(".log"), "wb") as log:
        process = subprocess.Popen(
            [chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        ready = profile / "DevToolsActivePort"

        def port() -> str:
            assert process.poll() is None, profile.with_suffix(".log").read_text(errors="replace")
            return ready.read_text().partition("\n")[0] if ready.exists() else ""

        yield f"http://127.0.0.1:{wait_for(port, 'the browser', 30)}"
    finally:
        tree = descendants(process.pid)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        wait_for(lambda: not any(map(alive, tree)), "the end of the browser's processes")


@contextlib.asynccontextmanager
async def new_page(address: str) -> AsyncIterator[Page]:
    """A new tab of the browser at that address."""
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{address}/json/new?about:blank") as answer:
            tab = await answer.json()
        async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            yield Page(socket)
        async with session.get(f"{address}/json/close/{tab['id']}"):
            pass
