"""A stand-in for the Functions host towards the official Python worker: starts it, loads the app, and drives it.

Run by ../../official.py with the worker's own interpreter, for there the protocol's messages are. On its port it
bridges: POST /{function} with a custom handler's envelope is one invocation of every worker, answered as a custom
handler would. POST /-/load is a load, whose side is rpc.c; benchmarks/load.py asks for it. Rule: a load compares only
with answers that were given through the bridge before, where they could be judged; plain Python 3.8.
"""

from __future__ import annotations

import base64
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any

HOST_VERSION = "4.1037.0.0"
CONNECT_TIMEOUT_MS = 60_000
ANSWER_TIMEOUT_MS = 60_000
MOST_BYTES = 128 << 20  # what the host allows as a message
# Workers put it into all their messages; with one for all, a right answer is the same from each.
REQUEST_ID = "d7f3a1c2-9b0e-4a55-8c4d-1e2f3a4b5c6d"
WRONG = -3
STOPPED = {
    -1: "a worker ended the stream",
    -2: "no answer for a long time",
    WRONG: "a wrong answer",
    -4: "more invocations than there is room for",
}


class Call(ctypes.Structure):
    """struct call of rpc.c."""

    _fields_ = [
        ("request", ctypes.c_char_p),
        ("request_size", ctypes.c_uint32),
        ("request_id_at", ctypes.c_uint32),
        ("answer", ctypes.c_char_p),
        ("answer_size", ctypes.c_uint32),
        ("answer_id_at", ctypes.c_uint32),
    ]


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In a worker before its exec: should this process crash, nobody else knows of the worker."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class HostError(Exception):
    """What the worker did not do."""


class Host:
    """The workers of one app. Everything raises HostError."""

    def __init__(self, protos: str, library: str, app: str) -> None:
        """`protos` is the module with the protocol's messages, `library` the compiled rpc.c."""
        self.protos: Any = importlib.import_module(protos)
        self.library: Any = ctypes.CDLL(library)
        self.library.host_load.restype = ctypes.c_int64
        self.app = app
        self.buffer = ctypes.create_string_buffer(MOST_BYTES)
        self.ids: dict[str, str] = {}
        self.calls: dict[tuple[str, str], Call] = {}
        self.workers: list[subprocess.Popen[bytes]] = []
        self.numbers: list[int] = []

    def start(self, command: list[str], processes: int, indexes: bool) -> None:
        """Starts that many workers and loads the app into each; `indexes`: the worker finds functions by itself."""
        port = self.library.host_listen()
        for _ in range(processes):
            arguments = ["--host", "127.0.0.1", "--port", str(port), "--workerId", str(uuid.uuid4())]
            arguments += ["--requestId", REQUEST_ID, "--grpcMaxMessageLength", str(MOST_BYTES)]
            worker = subprocess.Popen(
                command + arguments,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - there is one thread
            )
            self.workers.append(worker)
        self.numbers = [self._accepted() for _ in self.workers]
        for number in self.numbers:
            self._initialise(number, indexes)

    def _accepted(self) -> int:
        number: int = self.library.host_accept(CONNECT_TIMEOUT_MS)
        if number < 0:
            raise HostError("a worker does not connect")
        self._received(number, "start_stream")
        return number

    def _send(self, number: int, **content: Any) -> None:
        message = self.protos.StreamingMessage(request_id=str(uuid.uuid4()), **content).SerializeToString()
        self.library.host_send(number, message, len(message))

    def _bytes(self, number: int, wanted: str) -> bytes:
        size = self.library.host_receive(number, self.buffer, MOST_BYTES, ANSWER_TIMEOUT_MS)
        if size <= 0:
            raise HostError(f"no {wanted} came: {'the worker has gone' if size else 'time is over'}")
        return ctypes.string_at(self.buffer, size)

    def _received(self, number: int, wanted: str) -> Any:
        message = self.protos.StreamingMessage.FromString(self._bytes(number, wanted))
        if message.WhichOneof("content") != wanted:
            raise HostError(f"{message.WhichOneof('content')} came, not {wanted}")
        content = getattr(message, wanted)
        if wanted != "start_stream" and content.result.status != self.protos.StatusResult.Success:
            raise HostError(f"{wanted}: {content.result.exception.message}")
        return content

    def _initialise(self, number: int, indexes: bool) -> None:
        protos = self.protos
        request = protos.WorkerInitRequest(host_version=HOST_VERSION)
        if indexes:
            request.function_app_directory = self.app
        self._send(number, worker_init_request=request)
        self._received(number, "worker_init_response")
        for metadata, function_id in self._indexed(number) if indexes else self._declared():
            load = protos.FunctionLoadRequest(function_id=function_id, metadata=metadata)
            self._send(number, function_load_request=load)
            self._received(number, "function_load_response")
            self.ids[metadata.name] = function_id

    def _indexed(self, number: int) -> list[tuple[Any, str]]:
        """The functions that the worker itself finds (the decorator model)."""
        request = self.protos.FunctionsMetadataRequest(function_app_directory=self.app)
        self._send(number, functions_metadata_request=request)
        results = self._received(number, "function_metadata_response").function_metadata_results
        return [(metadata, metadata.function_id) for metadata in results]

    def _declared(self) -> Iterable[tuple[Any, str]]:
        """The functions as the host reads them from function.json files (the first model)."""
        incoming, outgoing = (
            self.protos.BindingInfo.Direction.Value("in"),
            self.protos.BindingInfo.Direction.Value("out"),
        )
        job = {"job": ("manualTrigger", incoming), "$return": ("blob", outgoing)}
        http = {"req": ("httpTrigger", incoming), "$return": ("http", outgoing)}
        bindings = {"order": {**http, "message": ("queue", outgoing)}, "echo": http, "work": job, "wait": job}
        for name, of_function in bindings.items():
            metadata = self.protos.RpcFunctionMetadata(
                name=name, directory=self.app, script_file=os.path.join(self.app, "functions.py"), entry_point=name
            )
            for binding, (kind, direction) in of_function.items():
                metadata.bindings[binding].type = kind
                metadata.bindings[binding].direction = direction
            yield metadata, name

    def _request(self, function: str, envelope: dict[str, Any]) -> tuple[bytes, bytes]:
        """The bytes of an invocation of what a custom handler's envelope says."""
        invocation = self.protos.InvocationRequest(invocation_id=str(uuid.uuid4()), function_id=self.ids[function])
        for name, value in envelope["Data"].items():
            data = self._http(value) if isinstance(value, dict) else self.protos.TypedData(string=value)
            invocation.input_data.add(name=name, data=data)
        for name, value in envelope["Metadata"].items():
            invocation.trigger_metadata[name].json = value if isinstance(value, str) else json.dumps(value)
        invocation.trace_context.trace_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        message = self.protos.StreamingMessage(request_id=str(uuid.uuid4()), invocation_request=invocation)
        return message.SerializeToString(), invocation.invocation_id.encode()

    def _http(self, value: dict[str, Any]) -> Any:
        http = self.protos.RpcHttp(method=value["Method"], url=value["Url"])
        for name, values in value["Headers"].items():
            http.headers[name.lower()] = ",".join(values)
        http.query.update(value["Query"])
        http.params.update(value["Params"])
        http.body.bytes = value["Body"].encode()  # the worker has said RawHttpBodyBytes
        return self.protos.TypedData(http=http)

    def invoke(self, function: str, envelope: str) -> dict[str, Any]:
        """Invokes once in every worker: what a custom handler would have answered."""
        if function not in self.ids:
            raise HostError(f"no function {function!r}; there are {', '.join(self.ids)}")
        request, request_id = self._request(function, json.loads(envelope))
        answers = set()
        for number in self.numbers:
            self.library.host_send(number, request, len(request))
            answers.add(self._bytes(number, "invocation_response"))
        if len(answers) != 1:
            raise HostError(f"the workers' answers differ: {answers}")
        answer = answers.pop()
        response = self.protos.StreamingMessage.FromString(answer).invocation_response
        if response.result.status != self.protos.StatusResult.Success:
            raise HostError(response.result.exception.message)
        places = request.index(request_id), answer.index(request_id)
        self.calls[function, envelope] = Call(request, len(request), places[0], answer, len(answer), places[1])
        return self._as_handler(response)

    def _as_handler(self, response: Any) -> dict[str, Any]:
        outputs = {parameter.name: self._value(parameter.data) for parameter in response.output_data}
        returned = self._value(response.return_value)
        if isinstance(returned, dict):
            outputs["res"], returned = returned, None
        return {"Outputs": outputs, "Logs": [], "ReturnValue": returned}

    def _value(self, data: Any) -> Any:
        kind = data.WhichOneof("data")
        if kind == "http":
            body = data.http.body
            text = body.bytes.decode() if body.WhichOneof("data") == "bytes" else body.string
            return {"statusCode": data.http.status_code, "body": text}
        if kind == "bytes":
            return base64.b64encode(data.bytes).decode()
        return getattr(data, kind) if kind else None

    def load(
        self,
        calls: list[tuple[str, str]],
        capacity: int,
        file: str,
        in_flight: int = 0,
        seconds: float = 0.0,
        spin_us: int = 0,
        silence_s: float = 30.0,
        intended: str | None = None,
        kinds: str | None = None,
    ) -> dict[str, float]:
        """A closed or an open loop (see rpc.c) of calls (function and envelope) that were answered before.

        The instants go into `file`: sent, then done. Answers how many there are, and what the load side took.
        """
        instants = ctypes.c_uint64 * capacity
        sent, done, began, wrong = instants(), instants(), ctypes.c_uint64(), ctypes.c_uint32()
        cpu_s, elapsed_s = time.process_time(), time.perf_counter()
        made = self.library.host_load(
            (Call * len(calls))(*[self.calls[function, envelope] for function, envelope in calls]),
            None if kinds is None else base64.b64decode(kinds),
            None if intended is None else instants.from_buffer_copy(base64.b64decode(intended)),
            ctypes.c_uint32(in_flight),
            ctypes.c_uint64(int(seconds * 1e9)),
            ctypes.c_uint64(int(silence_s * 1e9)),
            ctypes.c_uint64(spin_us * 1000),
            sent,
            done,
            ctypes.c_uint32(capacity),
            ctypes.byref(began),
            ctypes.byref(wrong),
        )
        cpu_s, elapsed_s = time.process_time() - cpu_s, time.perf_counter() - elapsed_s
        if made < 0:
            raise HostError(STOPPED[made] + (f" to invocation {wrong.value}" if made == WRONG else ""))
        with open(file, "wb") as into:
            for column in (sent, done):
                into.write(memoryview(column).cast("B")[: 8 * made])
        return {"made": made, "began_ns": began.value, "cpu_share": cpu_s / elapsed_s}

    def end(self) -> None:
        """Ends the workers."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait()


class Bridge(BaseHTTPRequestHandler):
    """HTTP in front of the one Host, which is the server's attribute `host`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One invocation, or a load."""
        body = self._body()
        host: Host = self.server.host  # type: ignore[attr-defined]
        try:
            answer = (
                host.load(**json.loads(body)) if self.path == "/-/load" else host.invoke(self.path[1:], body.decode())
            )
            status, text = 200, json.dumps(answer).encode()
        except HostError as exc:
            status, text = 500, str(exc).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        chunks: list[bytes] = []
        while True:
            size = int(self.rfile.readline(), 16)
            chunk = self.rfile.read(size + 2)  # and its end of line
            if size == 0:
                return b"".join(chunks)
            chunks.append(chunk[:-2])

    def log_message(self, *args: Any) -> None:
        """Nothing: what is in the output should be the workers'."""


def main() -> None:
    options = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    host = Host(options["protos"], options["library"], options["app"])
    try:
        host.start(options["command"], options["processes"], options["indexes"])
        with TCPServer(("127.0.0.1", options["port"]), Bridge) as server:
            server.host = host  # type: ignore[attr-defined]
            server.serve_forever()
    finally:
        host.end()


if __name__ == "__main__":
    main()
