"""Clients that people use, each against docs/examples/streaming: directly, and with the local host in between."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.browser import find_chromium, new_page, running
from tests.devhost.test_commands import dev
from tests.harness import PATIENCE, Server, cpu_seconds, descendants, process_name, wait_for

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "streaming"
STEP = 2_000
LARGE = bytes(range(256)) * (12 * 2**20 // 256)
TIMEOUT_S = 15 * PATIENCE

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node on this machine")


class Site(NamedTuple):
    """The example, being served."""

    port: int
    pid: int
    files: Path

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/api/{path}"

    def workers(self) -> set[int]:
        return {pid for pid in descendants(self.pid) if re.fullmatch(r"fastworker:\d+", process_name(pid))}

    def kill_workers(self) -> None:
        """As the out-of-memory killer would, in the middle of whatever they do."""
        for pid in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_idle(self) -> None:
        """Until no worker computes any more."""

        def is_idle() -> bool:
            workers = self.workers()
            before = sum(map(cpu_seconds, workers))
            time.sleep(0.1)  # the time over which it is measured
            return sum(map(cpu_seconds, workers)) - before < 0.03

        wait_for(is_idle, "idle workers", 5)


@pytest.fixture(scope="module", params=["direct", "local host"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`fastworker serve`, and `fastworker dev`, which starts it and proxies to it."""
    root, files = tmp_path_factory.mktemp("app") / "streaming", tmp_path_factory.mktemp("files")
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("STREAMING_FILES", str(files))
        if request.param == "direct":
            with Server(app="function_app.py", cwd=root, workers=2) as server:
                server.wait_ready()
                yield Site(server.port, server.pid, files)
                print(*server.stdout, *server.stderr, sep="\n")
        else:
            with dev(root, "--no-reload", workers=2) as host:
                host.says("handler ready")
                yield Site(host.port, host.process.pid, files)
                print(host.output)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a browser that runs."""
    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with running(path, tmp_path_factory.mktemp("chromium") / "profile") as address:
        yield address


@pytest.fixture(autouse=True)
def no_files(site: Site) -> None:
    for file in site.files.iterdir():
        file.unlink()


def steps_of(limit: int) -> list[int]:
    return [*range(STEP, limit, STEP), limit]


def events_of(text: str) -> list[dict[str, Any]]:
    """Server-sent events with their data parsed; what has no data is left out."""
    events = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        event: dict[str, Any] = dict(line.split(": ", 1) for line in block.split("\n"))
        if "data" in event:
            events.append({**event, "data": json.loads(event["data"])})
    return events


def table_of(rows: int) -> list[dict[str, Any]]:
    return [{"id": n, "name": f"row {n}", "square": n * n} for n in range(rows)]


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- curl ------------------------------------------------------------------------------------------------------------


CURL = ("curl", "-sSN", "--noproxy", "*")


def curl(*arguments: str, stdin: Any = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*CURL, *arguments], stdin=stdin, capture_output=True, timeout=60, check=True)


@contextlib.contextmanager
def curling(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([*CURL, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@needs_curl
def test_curl_gets_table_and_events(site: Site) -> None:
    """NDJSON, one array, and server-sent events, each with its content type."""
    lines = curl("-D", "/dev/stderr", site.url("table?rows=3000"))
    assert [json.loads(line) for line in lines.stdout.splitlines()] == table_of(3000)
    assert b"content-type: application/x-ndjson\r\n" in lines.stderr.lower()
    array = curl("-D", "/dev/stderr", site.url("table?rows=3000&format=json"))
    assert json.loads(array.stdout) == table_of(3000)
    assert b"content-type: application/json\r\n" in array.stderr.lower()
    events = curl("-D", "/dev/stderr", site.url("primes?limit=5000"))
    assert [event["data"]["tested"] for event in events_of(events.stdout.decode())] == steps_of(5000)
    assert b"content-type: text/event-stream\r\n" in events.stderr.lower()


@needs_curl
def test_curl_gets_events_as_they_are_made_and_ends_the_work_by_leaving(site: Site) -> None:
    """The first ones come long before the end; nobody goes on computing for a client that has left."""
    with curling(site.url("primes?limit=10000000")) as process:
        assert process.stdout is not None
        seen = b""
        while seen.count(b"event: progress") < 3:
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, "the end"
            seen += piece
        process.terminate()  # not SIGINT, which CI's background jobs ignore
        process.wait(TIMEOUT_S)
    site.wait_idle()


@needs_curl
def test_curl_sees_that_a_stream_was_cut(site: Site) -> None:
    """A worker that dies in the middle is no end in good order: exit code 18, a partial file."""
    with curling(site.url("primes?limit=10000000")) as process:
        assert process.stdout is not None
        assert process.stdout.read(100)
        site.kill_workers()
        process.stdout.read()
        assert process.wait(TIMEOUT_S) == 18
    assert curl(site.url("table?rows=1")).stdout.count(b"\n") == 1


@needs_curl
@pytest.mark.parametrize("chunked", [False, True])
def test_curl_uploads_and_downloads(site: Site, tmp_path: Path, chunked: bool) -> None:
    """With a length, and without; the file comes back byte for byte."""
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(LARGE)
    with sent.open("rb") as file:
        stored = curl("-T", "-" if chunked else str(sent), site.url("files/large.bin"), stdin=file)
    assert json.loads(stored.stdout) == {"name": "large.bin", "size": len(LARGE), "sha256": digest_of(LARGE)}
    curl("-f", "-o", str(got), site.url("files/large.bin"))
    assert got.read_bytes() == LARGE


@needs_curl
def test_upload_that_curl_breaks_off_leaves_nothing(site: Site) -> None:
    """The handler is told, and takes away what it has written."""
    with curling("-T", "-", site.url("files/half")) as process:
        assert process.stdin is not None
        process.stdin.write(bytes(2**20))
        process.stdin.flush()
        wait_for(lambda: any(file.stat().st_size for file in site.files.iterdir()), "the first piece of the file")
        process.terminate()  # not SIGINT, which CI's background jobs ignore
        process.wait(TIMEOUT_S)
    wait_for(lambda: not list(site.files.iterdir()), "the end of the half file")


@needs_curl
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["primes?limit=many"], 400),
        (["primes?limit=0"], 400),
        (["-H", "Last-Event-ID: evil", "primes"], 400),
        (["-H", "Last-Event-ID: 400000-33860", "primes"], 204),
        (["table?rows=-1"], 400),
        (["files/nobody"], 404),
        (["-T", "/dev/null", "files/.hidden"], 400),
        (["-X", "DELETE", "table"], 404),
        (["nowhere"], 404),
    ],
)
def test_curl_is_told_what_was_wrong(site: Site, arguments: list[str], status: int) -> None:
    """Before anything streams, an answer still has a status of its own."""
    *options, path = arguments
    answer = curl("-o", "/dev/null", "-w", "%{http_code}", *options, site.url(path))
    assert int(answer.stdout) == status


# -- httpx -----------------------------------------------------------------------------------------------------------


def test_httpx_streams_both_ways(site: Site) -> None:
    """Lines of a table as they come; an upload from a generator; a download."""

    def made() -> Iterator[bytes]:
        for start in range(0, len(LARGE), 2**20):
            yield LARGE[start : start + 2**20]

    with httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client:
        with client.stream("GET", site.url("table?rows=2000")) as response:
            assert [json.loads(line) for line in response.iter_lines()] == table_of(2000)
        stored = client.put(site.url("files/httpx.bin"), content=made())
        assert (stored.status_code, stored.json()["sha256"]) == (201, digest_of(LARGE))
        with client.stream("GET", site.url("files/httpx.bin")) as response:
            assert digest_of(b"".join(response.iter_bytes())) == digest_of(LARGE)
            assert response.headers["content-length"] == str(len(LARGE))


def test_httpx_sees_that_a_stream_was_cut(site: Site) -> None:
    """As an exception, not as the end."""
    with (
        httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client,
        client.stream("GET", site.url("primes?limit=10000000")) as response,
    ):
        lines = response.iter_lines()
        next(lines)
        site.kill_workers()
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in lines:
                pass


def test_httpx_async_uploads_run_at_once_beside_a_computing_function(site: Site) -> None:
    """Twelve uploads that hold on in the middle, on two workers, while another function computes."""
    count, sent, rest = 12, b"first half, ", b"second half"

    async def upload(client: httpx.AsyncClient, number: int, go_on: asyncio.Event) -> Any:
        async def made() -> AsyncIterator[bytes]:
            yield sent
            await go_on.wait()
            yield rest

        return (await client.put(site.url(f"files/{number}"), content=made())).json()

    async def scenario() -> tuple[str, list[Any]]:
        go_on = asyncio.Event()
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as client:
            uploads = [asyncio.create_task(upload(client, n, go_on)) for n in range(count)]
            await asyncio.to_thread(wait_for, lambda: len(list(site.files.glob(".*"))) == count, "all uploads at once")
            async with client.stream("GET", site.url("primes?limit=20000")) as response:
                text = "".join([piece async for piece in response.aiter_text()])
            go_on.set()
            return text, await asyncio.gather(*uploads)

    text, stored = asyncio.run(scenario())
    assert events_of(text)[-1]["data"] == {"tested": 20000, "limit": 20000, "primes": 2262}
    assert [s["sha256"] for s in stored] == [digest_of(sent + rest)] * count
    assert {file.name for file in site.files.iterdir()} == set(map(str, range(count)))


# -- Node's fetch (undici) ---------------------------------------------------------------------------------------------

FETCH = """
const [base] = process.argv.slice(2);
const result = {};

const rows = await fetch(base + "table?rows=2000");
result.rows = (await rows.text()).trim().split("\\n").map(JSON.parse);
result.array = await (await fetch(base + "table?rows=2000&format=json")).json();

const abort = new AbortController();
const events = await fetch(base + "primes?limit=10000000", {signal: abort.signal});
result.type = events.headers.get("content-type");
let text = "";
for await (const piece of events.body.pipeThrough(new TextDecoderStream())) {
  text += piece;
  if (text.includes("event: progress")) break;
}
result.first = text;
abort.abort();

let left = 300;
const body = new ReadableStream({
  pull(controller) {
    if (left-- === 0) controller.close();
    else controller.enqueue(new Uint8Array(10000).fill(left));
  },
});
const stored = await fetch(base + "files/node.bin", {method: "PUT", body, duplex: "half"});
result.stored = await stored.json();
result.length = (await (await fetch(base + "files/node.bin")).arrayBuffer()).byteLength;
console.log(JSON.stringify(result));
"""

CUT = """
const [base] = process.argv.slice(2);
const events = await fetch(base + "primes?limit=10000000");
try {
  for await (const piece of events.body) console.log("piece");
  console.log("end");
} catch (error) {
  console.log("cut", error.name, error.message);
}
"""


def node(script: str, site: Site) -> list[str]:
    return ["node", "--input-type=module", "-e", script, "x", site.url("")]


@needs_node
def test_fetch_streams_both_ways(site: Site) -> None:
    """Node's fetch reads streams, leaves one in the middle, and sends a ReadableStream."""
    done = subprocess.run(node(FETCH, site), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows"] == result["array"] == table_of(2000)
    assert result["type"] == "text/event-stream"
    assert "id: 2000-303\n" in result["first"]
    sent = b"".join(bytes([n % 256]) * 10_000 for n in reversed(range(300)))
    assert (result["stored"]["sha256"], result["length"]) == (digest_of(sent), 3_000_000)
    site.wait_idle()


@needs_node
def test_fetch_sees_that_a_stream_was_cut(site: Site) -> None:
    """The body's iteration throws; it does not just end."""
    with subprocess.Popen(node(CUT, site), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "piece\n"
        site.kill_workers()
        last = process.stdout.read().splitlines()[-1]
        assert last.startswith("cut TypeError"), last
        assert process.wait(TIMEOUT_S) == 0


# -- a browser's EventSource -----------------------------------------------------------------------------------------

LOG = "[...document.querySelectorAll('#log li')].map(item => item.textContent)"
LISTEN = """
window.ids = [];
window.EventSource = class extends EventSource {
    constructor(...parameters) {
        super(...parameters);
        for (const name of ["progress", "done"]) this.addEventListener(name, (event) => ids.push(event.lastEventId));
    }
};
"""


def test_event_source_goes_on_behind_a_cut(site: Site, chromium: str) -> None:
    """The page's worker dies; the browser comes back with the last id, and no step is lost or done twice."""
    limit = 300_000

    async def scenario() -> tuple[list[str], str, list[str]]:
        async with new_page(chromium) as page:
            await page.open(site.url(f"page?limit={limit}"), before=LISTEN)
            await page.until("ids.length >= 10")
            site.kill_workers()
            await page.until("source.readyState === EventSource.CLOSED")
            text = await page.run("document.getElementById('count').textContent")
            return await page.run(LOG), text, await page.run("ids")

    log, text, ids = asyncio.run(scenario())
    assert log == ["connected", "cut off: connecting again", "connected", "done"]
    assert text == f"25997 primes up to {limit}"
    assert [int(event_id.partition("-")[0]) for event_id in ids] == steps_of(limit)


def test_event_source_is_told_by_204_to_stay_away(site: Site, chromium: str) -> None:
    """One that connects again behind the end is not sent round and round."""
    script = """new Promise((resolve) => {
        const seen = [];
        const source = new EventSource("primes?limit=4000");
        source.onopen = () => seen.push("open");
        source.addEventListener("done", (event) => seen.push(event.lastEventId));
        source.onerror = () => {
            seen.push(source.readyState);
            if (source.readyState === EventSource.CLOSED) resolve(seen);
        };
    })"""

    async def scenario() -> list[Any]:
        async with new_page(chromium) as page:
            await page.open(site.url("page?limit=1"))
            async with asyncio.timeout(TIMEOUT_S):
                return list(await page.run(script))

    connecting, closed = 0, 2
    assert asyncio.run(scenario()) == ["open", "4000-550", connecting, closed]
