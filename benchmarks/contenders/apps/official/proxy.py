"""A stand-in for the process around azure-functions-runtime: its own (the "proxy worker") is not on PyPI.

Started by host.py. The library is handed every request and makes every answer, as in Azure; only the stream is ours,
of the same make as the official one's: a blocking gRPC stream in a thread, a queue back, tasks on asyncio's loop, and
each log record a message to the host. Rule: nothing is done here that the library could do, and nothing is left out
that the host would notice.
"""

import argparse
import asyncio
import logging
import queue
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime
import functions_protocol as protos  # of azure-functions-runtime-v1's wheel; official.py renames it
import grpc

LEVELS = {logging.INFO: 2, logging.WARNING: 3, logging.ERROR: 4, logging.CRITICAL: 5}  # RpcLog.Level
ANSWERS = {
    "worker_init_request": ("worker_init_response", runtime.worker_init_request),
    "functions_metadata_request": ("function_metadata_response", runtime.functions_metadata_request),
    "function_load_request": ("function_load_response", runtime.function_load_request),
    "invocation_request": ("invocation_response", runtime.invocation_request),
}


class LogsToHost(logging.Handler):
    """Sends each record to the host, with the id of the invocation that it belongs to."""

    def __init__(self, outgoing: "queue.SimpleQueue[Any]", request_id: str) -> None:
        super().__init__()
        self._outgoing = outgoing
        self._request_id = request_id

    def emit(self, record: logging.LogRecord) -> None:
        category = "System" if record.name.startswith("azure.functions") else "User"
        log = protos.RpcLog(
            level=LEVELS.get(record.levelno, 1),
            message=self.format(record),
            category=record.name,
            log_category=protos.RpcLog.RpcLogCategory.Value(category),
            invocation_id=runtime.invocation_id_cv.get() or "",
        )
        self._outgoing.put(protos.StreamingMessage(request_id=self._request_id, rpc_log=log))


class Worker:
    """One stream to the host."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._properties = {"host": arguments.host, "protos": protos}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Until the host closes the stream."""
        root = logging.getLogger()
        root.setLevel(logging.INFO)
        root.addHandler(LogsToHost(self._outgoing, self._arguments.requestId))
        runtime.start_threadpool_executor()
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._stream, args=(loop, over), name="grpc", daemon=True).start()
        await over.wait()

    def _stream(self, loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
        size = self._arguments.grpcMaxMessageLength
        options = [("grpc.max_receive_message_length", size), ("grpc.max_send_message_length", size)]
        start = protos.StartStream(worker_id=self._arguments.workerId)
        self._outgoing.put(protos.StreamingMessage(request_id=self._arguments.requestId, start_stream=start))
        try:
            with grpc.insecure_channel(f"{self._arguments.host}:{self._arguments.port}", options) as channel:
                for request in protos.FunctionRpcStub(channel).EventStream(self._answers()):
                    loop.call_soon_threadsafe(self._begin, request)
        except grpc.RpcError as exc:
            print(f"the stream ended: {exc}", file=sys.stderr)
        finally:
            loop.call_soon_threadsafe(over.set)

    def _answers(self) -> Iterator[Any]:
        while True:
            yield self._outgoing.get()

    def _begin(self, request: Any) -> None:
        task = asyncio.create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Any) -> None:
        content = request.WhichOneof("content")
        if content not in ANSWERS:
            return
        member, make = ANSWERS[content]
        answer = await make(SimpleNamespace(request=request, properties=self._properties))
        self._outgoing.put(protos.StreamingMessage(request_id=self._arguments.requestId, **{member: answer}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--workerId")
    parser.add_argument("--requestId")
    parser.add_argument("--grpcMaxMessageLength", type=int)
    parser.add_argument("--app")
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.app)
    asyncio.run(Worker(arguments).serve())


if __name__ == "__main__":
    main()
