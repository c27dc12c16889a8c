"""A stand-in for the Functions host towards the official Python worker: starts it, loads the app, and drives it.

Run by ../../official.py with the worker's own interpreter, for there grpcio and the protocol's messages are. On its
port it bridges: POST /{function} with a custom handler's envelope is one invocation of every worker, answered as a
custom handler would. POST /-/load is a load; benchmarks/load.py asks for it. Rule: under load, messages are bytes that
are neither made nor taken apart, and answers are compared with those that were given through the bridge before, where
they could be judged; plain Python 3.8.
"""

from __future__ import annotations

import array
import base64
import ctypes
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any, NamedTuple

import grpc

HOST_VERSION = "4.1037.0.0"
SERVICE = "AzureFunctionsRpcMessages.FunctionRpc"
ANSWER_TIMEOUT_S = 60
MOST_BYTES = 128 << 20  # what the host allows as a message
# Workers put it into all their messages; with one for all, a right answer is the same from each.
REQUEST_ID = "d7f3a1c2-9b0e-4a55-8c4d-1e2f3a4b5c6d"
ID_SIZE = 36
# A worker's message: member 1 is the request's id, and this is the tag of the next one in an answer to an invocation.
TAG_AT = 2 + ID_SIZE
INVOCATION_RESPONSE = 5 << 3 | 2
RPC_LOG = 2 << 3 | 2
OVER = None


class Call(NamedTuple):
    """One kind of invocation: the request around the 36 bytes of its id, and the right answer to it likewise."""

    request: tuple[bytes, bytes]
    answer: tuple[bytes, bytes]

    def numbered(self, number: int) -> bytes:
        """The request with an id of its own."""
        return self.request[0] + b"%036d" % number + self.request[1]

    def number_of(self, message: bytes) -> int | None:
        """The number of the invocation that this is a right answer to."""
        before, after = self.answer
        right = len(message) == len(before) + ID_SIZE + len(after) and message.startswith(before)
        return int(message[len(before) : len(before) + ID_SIZE]) if right and message.endswith(after) else None


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In a worker before its exec: should this process crash, nobody else knows of the worker."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class HostError(Exception):
    """What the worker did not do."""


class Peer:
    """One worker's stream: what is to be sent, and who is told what came (OVER: the stream has ended)."""

    def __init__(self) -> None:
        self.outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.incoming: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.on_message: Callable[[bytes | None], None] = self.incoming.put

    def read(self, messages: Iterator[bytes]) -> None:
        """Until the stream ends: every message but the worker's logs."""
        try:
            for message in messages:
                if message[TAG_AT] != RPC_LOG:
                    self.on_message(message)
        except grpc.RpcError:
            pass
        self.on_message(OVER)


class Load:
    """One closed or open loop over all workers in turn. Answers come in the peers' threads."""

    def __init__(self, peers: list[Peer], calls: list[Call], kinds: bytes, capacity: int) -> None:
        self.peers, self.calls, self.kinds = peers, calls, kinds
        self.sent, self.done = array.array("q", bytes(8 * capacity)), array.array("q", bytes(8 * capacity))
        self.made = self.answered = 0
        self.until_ns = 0
        self.problem = ""
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def send(self) -> None:
        """The next invocation, to the worker whose turn it is."""
        with self._lock:
            number = self.made
            self.made += 1
        self.sent[number] = time.monotonic_ns()
        self.peers[number % len(self.peers)].outgoing.put(self.calls[self.kinds[number]].numbered(number))

    def on_message(self, message: bytes | None) -> None:
        """An answer; in a closed loop it is followed by the next invocation."""
        now = time.monotonic_ns()
        numbers = [] if message is OVER else [call.number_of(message) for call in self.calls]
        number = next((number for number in numbers if number is not None), None)
        if number is None or numbers[self.kinds[number]] != number:
            self.problem = self.problem or ("a worker ended the stream" if message is OVER else "a wrong answer")
        else:
            self.done[number] = now
            with self._lock:
                self.answered += 1
            if now < self.until_ns and self.made < len(self.sent):
                self.send()
        self._changed.set()

    def closed(self, in_flight: int, seconds: float) -> None:
        """So many in flight for so long."""
        self.until_ns = time.monotonic_ns() + int(seconds * 1e9)
        for _ in range(in_flight):
            self.send()

    def open(self, began_ns: int, at_ns: array.array[int]) -> None:
        """At planned instants."""
        for at in at_ns:
            pause = (began_ns + at - time.monotonic_ns()) / 1e9
            if pause > 0:
                time.sleep(pause)
            self.send()

    def wait(self, silence_s: float) -> None:
        """Until everything is answered. Raises HostError for a wrong answer, or none for so long."""
        while not self.problem and (self.answered < self.made or time.monotonic_ns() < self.until_ns):
            self._changed.clear()
            if self.answered < self.made and not self._changed.wait(silence_s):
                self.problem = "no answer for a long time"
        if self.problem:
            raise HostError(self.problem)


class Host:
    """The workers of one app. Everything raises HostError."""

    def __init__(self, protos: str, app: str) -> None:
        """`protos` is the module with the protocol's messages."""
        self.protos: Any = importlib.import_module(protos)
        self.app = app
        self.ids: dict[str, str] = {}
        self.calls: dict[tuple[str, str], Call] = {}
        self.workers: list[subprocess.Popen[bytes]] = []
        self.peers: list[Peer] = []
        self._connected: queue.SimpleQueue[Peer] = queue.SimpleQueue()

    def start(self, command: list[str], processes: int, indexes: bool) -> None:
        """Starts that many workers and loads the app into each; `indexes`: the worker finds functions by itself."""
        options = [("grpc.max_receive_message_length", MOST_BYTES), ("grpc.max_send_message_length", MOST_BYTES)]
        self._server = grpc.server(ThreadPoolExecutor(processes), options=options)
        stream = grpc.stream_stream_rpc_method_handler(self._stream)  # without a decoder: messages are bytes
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"EventStream": stream})])
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        for _ in range(processes):
            arguments = ["--host", "127.0.0.1", "--port", str(port), "--workerId", str(uuid.uuid4())]
            arguments += ["--requestId", REQUEST_ID, "--grpcMaxMessageLength", str(MOST_BYTES)]
            worker = subprocess.Popen(
                command + arguments,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - what is set there is the child's alone
            )
            self.workers.append(worker)
        try:
            self.peers = [self._connected.get(timeout=ANSWER_TIMEOUT_S) for _ in self.workers]
        except queue.Empty:
            raise HostError("a worker does not connect") from None
        for peer in self.peers:
            self._received(peer, "start_stream")
            self._initialise(peer, indexes)

    def _stream(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        peer = Peer()
        self._connected.put(peer)
        threading.Thread(target=peer.read, args=[messages], daemon=True).start()
        while context.is_active():
            yield peer.outgoing.get()

    def _send(self, peer: Peer, **content: Any) -> None:
        message = self.protos.StreamingMessage(request_id=str(uuid.uuid4()), **content)
        peer.outgoing.put(message.SerializeToString())

    def _bytes(self, peer: Peer, wanted: str) -> bytes:
        try:
            message = peer.incoming.get(timeout=ANSWER_TIMEOUT_S)
        except queue.Empty:
            raise HostError(f"no {wanted} came in {ANSWER_TIMEOUT_S} s") from None
        if message is None:
            raise HostError(f"no {wanted} came: the worker has gone")
        return message

    def _received(self, peer: Peer, wanted: str) -> Any:
        message = self.protos.StreamingMessage.FromString(self._bytes(peer, wanted))
        if message.WhichOneof("content") != wanted:
            raise HostError(f"{message.WhichOneof('content')} came, not {wanted}")
        content = getattr(message, wanted)
        if wanted != "start_stream" and content.result.status != self.protos.StatusResult.Success:
            raise HostError(f"{wanted}: {content.result.exception.message}")
        return content

    def _initialise(self, peer: Peer, indexes: bool) -> None:
        protos = self.protos
        request = protos.WorkerInitRequest(host_version=HOST_VERSION)
        if indexes:
            request.function_app_directory = self.app
        self._send(peer, worker_init_request=request)
        self._received(peer, "worker_init_response")
        for metadata, function_id in self._indexed(peer) if indexes else self._declared():
            load = protos.FunctionLoadRequest(function_id=function_id, metadata=metadata)
            self._send(peer, function_load_request=load)
            self._received(peer, "function_load_response")
            self.ids[metadata.name] = function_id

    def _indexed(self, peer: Peer) -> list[tuple[Any, str]]:
        """The functions that the worker itself finds (the decorator model)."""
        request = self.protos.FunctionsMetadataRequest(function_app_directory=self.app)
        self._send(peer, functions_metadata_request=request)
        results = self._received(peer, "function_metadata_response").function_metadata_results
        return [(metadata, metadata.function_id) for metadata in results]

    def _declared(self) -> Iterable[tuple[Any, str]]:
        """The functions as the host reads them from function.json files (the first model)."""
        incoming, outgoing = (
            self.protos.BindingInfo.Direction.Value("in"),
            self.protos.BindingInfo.Direction.Value("out"),
        )
        job = {"job": ("manualTrigger", incoming), "$return": ("blob", outgoing)}
        http = {"req": ("httpTrigger", incoming), "$return": ("http", outgoing)}
        message = {"msg": ("queueTrigger", incoming), "$return": ("blob", outgoing)}
        bindings = {
            "compute": http,
            "consume": message,
            "order": {**http, "message": ("queue", outgoing)},
            "echo": http,
            "work": job,
            "wait": job,
        }
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
            if isinstance(value, dict):
                data = self._http(value)
            else:  # an envelope has the text of a queue message as JSON
                text = json.loads(value) if value.startswith('"') else value
                data = self.protos.TypedData(string=text)
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
        request, invocation_id = self._request(function, json.loads(envelope))
        answers = set()
        for peer in self.peers:
            peer.outgoing.put(request)
            answers.add(self._bytes(peer, "invocation_response"))
        if len(answers) != 1:
            raise HostError(f"the workers' answers differ: {answers!r}")
        answer = answers.pop()
        response = self.protos.StreamingMessage.FromString(answer).invocation_response
        if response.result.status != self.protos.StatusResult.Success:
            raise HostError(response.result.exception.message)
        before, _, after = request.partition(invocation_id)
        answer_before, _, answer_after = answer.partition(invocation_id)
        self.calls[function, envelope] = Call((before, after), (answer_before, answer_after))
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
        kinds: str,
        in_flight: int = 0,
        seconds: float = 0.0,
        silence_s: float = 30.0,
        intended: str | None = None,
    ) -> dict[str, float]:
        """A closed or an open loop of calls (function and envelope) that were answered before.

        The instants go into `file`: sent, then done. Answers how many there are, and what the load side took.
        """
        known = [self.calls[function, envelope] for function, envelope in calls]
        load = Load(self.peers, known, base64.b64decode(kinds), capacity)
        for peer in self.peers:
            peer.on_message = load.on_message
        cpu_s, began_ns = time.process_time(), time.monotonic_ns()
        try:
            if intended is None:
                load.closed(in_flight, seconds)
            else:
                load.open(began_ns, array.array("q", base64.b64decode(intended)))
            load.wait(silence_s)
        finally:
            for peer in self.peers:
                peer.on_message = peer.incoming.put
        elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
        with open(file, "wb") as into:
            for column in (load.sent, load.done):
                into.write(column[: load.made].tobytes())
        return {"made": load.made, "began_ns": began_ns, "cpu_share": (time.process_time() - cpu_s) / elapsed_s}

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
    host = Host(options["protos"], options["app"])
    try:
        host.start(options["command"], options["processes"], options["indexes"])
        with TCPServer(("127.0.0.1", options["port"]), Bridge) as server:
            server.host = host  # type: ignore[attr-defined]
            server.serve_forever()
    finally:
        host.end()


if __name__ == "__main__":
    main()
