"""Libraries that apps import at module level, used in a `def` and in an `async def` handler, on four workers."""

import importlib.util
import json
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.harness import STOPPED, Server, in_threads, wait_for

Serve = Callable[..., Server]

HEAD = """
import asyncio, os, threading
from pathlib import Path
import fastworker as fw

app = fw.App()
here = Path(__file__).parent
address = os.environ["TEST_ADDRESS"]

def function(handler):
    decorated = app.generic_trigger("job", type="manualTrigger")(handler)
    return app.generic_output_binding("$return", type="queue", queueName="q", connection="S")(decorated)

def both(use, use_async=None):
    name = use.__name__

    @app.function(name=f"{name}_def")
    @function
    def sync(job):
        return [[os.getpid(), use()]]

    @app.function(name=f"{name}_async")
    @function
    async def concurrent(job):
        await asyncio.sleep(0)
        return [[os.getpid(), use() if use_async is None else await use_async()]]
"""

# By the module's name: what the app does with it, in which `use_NAME` gives `NAME_def` and `NAME_async` their result.
USES = {
    "numpy": """
import numpy
matrix = numpy.eye(50) * 2
def use_numpy():
    return float(numpy.linalg.inv(matrix @ matrix).trace())
both(use_numpy)
""",
    "pandas": """
import pandas
frame = pandas.DataFrame({"key": list("abab"), "value": [1, 2, 3, 4]})
def use_pandas():
    return {key: int(value) for key, value in frame.groupby("key")["value"].sum().items()}
both(use_pandas)
""",
    "sklearn": """
import numpy
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit(numpy.arange(10).reshape(-1, 1), numpy.arange(10) * 3)
def use_sklearn():
    return round(float(model.predict([[7]])[0]), 6)
both(use_sklearn)
""",
    "PIL": """
import io
from PIL import Image
picture = Image.new("RGB", (64, 64), "red")
def use_PIL():
    buffer = io.BytesIO()
    picture.resize((8, 8)).save(buffer, "PNG")
    return list(Image.open(io.BytesIO(buffer.getvalue())).getpixel((3, 3)))
both(use_PIL)
""",
    "sqlite3": """
import sqlite3
database = sqlite3.connect(here / "data.db", check_same_thread=False)
database.execute("create table if not exists facts (name, value)")
database.execute("insert into facts values ('answer', 42)")
database.commit()
def use_sqlite3():
    own = sqlite3.connect(here / "data.db")
    try:
        return [database.execute("select value from facts").fetchone()[0], own.execute("select 1").fetchone()[0]]
    finally:
        own.close()
both(use_sqlite3)
""",
    "requests": """
import requests
session = requests.Session()
def use_requests():
    return session.get(address, timeout=10).json()
both(use_requests)
""",
    "httpx": """
import httpx
client = httpx.Client(trust_env=False)
def use_httpx():
    return client.get(address).json()
async def use_httpx_async():
    async with httpx.AsyncClient(trust_env=False) as own:
        return (await own.get(address)).json()
both(use_httpx, use_httpx_async)
""",
    "aiohttp": """
import aiohttp
async def use_aiohttp_async():
    async with aiohttp.ClientSession() as own, own.get(address) as response:
        return await response.json()
def use_aiohttp():
    return asyncio.run(use_aiohttp_async())
both(use_aiohttp, use_aiohttp_async)
""",
    "loguru": """
import loguru
loguru.logger.remove()
loguru.logger.add(here / "loguru.txt", enqueue=True, format="{message}")
def use_loguru():
    loguru.logger.info("said by {}", os.getpid())
    return "said"
both(use_loguru)
""",
    "structlog": """
import structlog
log = structlog.get_logger().bind(bound=1)
def use_structlog():
    log.info("structured", pid=os.getpid())
    return "said"
both(use_structlog)
""",
    "prometheus_client": """
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess
calls = Counter("calls", "of all workers", registry=None)
def use_prometheus_client():
    calls.inc()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return "calls_total" in generate_latest(registry).decode()
both(use_prometheus_client)
""",
    "grpc": """
import concurrent.futures, grpc

class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])

@app.on_worker_start
def serve_grpc():
    app.state.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=(Echo(),))
    port = app.state.server.add_insecure_port("127.0.0.1:0")
    app.state.server.start()
    app.state.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    app.state.port = port

@app.on_worker_stop
def stop_grpc():
    app.state.channel.close()
    app.state.server.stop(None)

def use_grpc():
    return app.state.channel.unary_unary("/test.Echo/Turn")(b"abc", timeout=10).decode()
async def use_grpc_async():
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.state.port}") as own:
        return (await own.unary_unary("/test.Echo/Turn")(b"abc", timeout=10)).decode()
both(use_grpc, use_grpc_async)
""",
}
RESULTS = {
    "numpy": 12.5,
    "pandas": {"a": 4, "b": 6},
    "sklearn": 21.0,
    "PIL": [255, 0, 0],
    "sqlite3": [42, 1],
    **{name: {"hello": "world"} for name in ("requests", "httpx", "aiohttp")},
    "loguru": "said",
    "structlog": "said",
    "prometheus_client": True,
    "grpc": "cba",
}
THERE = [name for name in USES if importlib.util.find_spec(name)]


class _World(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"hello": "world"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    """Of a web server for the clients among the libraries."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _World) as world:
        thread = threading.Thread(target=world.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{world.server_port}/"
        world.shutdown()
        thread.join()


@pytest.mark.timeout(180)
def test_libraries_work_in_both_kinds_of_handlers_on_four_workers(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Imported once, before the fork; every one that is installed here, before and after a reload."""
    (tmp_path / "function_app.py").write_text(HEAD + "".join(USES[name] for name in THERE))
    (tmp_path / "metrics").mkdir()
    monkeypatch.setenv("TEST_ADDRESS", address)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    server = serve(cwd=tmp_path, app="function_app.py", workers=4)
    wait_for(lambda: len(server.workers()) == 4, "four workers", 30)
    pids = set()

    def use(_: int) -> None:
        with server.connect() as host:
            for name in THERE:
                for kind in ("def", "async"):
                    response = host.invoke(f"use_{name}_{kind}")
                    assert response.status == 200, (name, kind, response.body)
                    pid, result = response.value
                    assert result == RESULTS[name], (name, kind)
                    pids.add(pid)

    in_threads(6, use)
    assert len(pids) > 1
    before = server.workers()
    server.signal(signal.SIGHUP)
    wait_for(lambda: len(server.workers()) == 4 and not server.workers() & before, "new workers", 60)
    in_threads(2, use)
    server.signal(signal.SIGTERM)
    assert server.wait(30) in (0, STOPPED)
    assert not any("died" in line or "killed" in line for line in server.stderr)
    if "loguru" in THERE:
        assert len((tmp_path / "loguru.txt").read_text().splitlines()) == 2 * (6 + 2)
