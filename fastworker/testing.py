"""TestClient: calls an app's functions through the same codec as the server, without any process.

Builds the envelope as the host would, runs invocation.py, and reads the answer as the host would (hosting rules in
testing_host.py and hostrules/), so that a test sees what would be in the queue.
Rule: nothing here is imported by the server.
"""

import asyncio
import inspect
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson

from fastworker import logs
from fastworker.deadline import deadline_from
from fastworker.errors import AppLoadError
from fastworker.functions.app import App
from fastworker.functions.build import Function
from fastworker.functions.invocation import Invocation, Rejected, begin, run_async, run_sync
from fastworker.functions.loaded_app import assemble
from fastworker.protocol.answer import Answer, Streamed
from fastworker.testing_host import HttpResponse, build_envelope, read_outputs

T = TypeVar("T")
__all__ = ["HttpResponse", "InvocationResult", "TestClient"]

# Long enough for a debugger; the client arms nothing, `Context.remaining` counts down from it.
TEST_LIMIT_NS = 3600 * 10**9
GRACE_NS = 10**9


class InvocationResult:
    """What the host makes of an answer.

    `outputs` maps output names to what would be written (for http outputs an HttpResponse), `return_value` is the
    `$return` output, or what a trigger that takes the return value is handed, `response` the http response if the
    function has one. `status` is the answer's own status, `problem` its body if that is not 200.
    """

    def __init__(self, function: Function, answer: Answer) -> None:
        self.status = answer.status
        self.logs: list[str] = []
        self.outputs: dict[str, Any] = {}
        self.return_value: Any = None
        self.response: HttpResponse | None = None
        self.problem: dict[str, Any] | None = None
        body = orjson.loads(answer.body)
        if answer.status != 200:
            self.problem = body
            return
        self.logs = body["Logs"]
        self.outputs, self.return_value = read_outputs(function.bindings, body)
        if function.trigger.takes_return_value and not any(b.name == "$return" for b in function.bindings):
            self.return_value = body["ReturnValue"]  # the trigger is handed it as it is (protocol 4.2)
        if function.http_output is not None:
            self.response = self.outputs.get(function.http_output, self.return_value)


class TestClient:
    """Calls the functions of `app`, which may also be an azure.functions, ASGI or WSGI app.

    As a context manager it runs the worker's start and stop hooks, too.

    `root` is the folder of function.json files, by default that of the app's module. With `raise_errors` (the
    default) what a handler raises, and RequestError for input that does not fit, reach the test; without, the
    result's `problem` tells. Raises AppLoadError listing everything that is wrong with the app.
    """

    __test__ = False  # no test case, whatever pytest thinks of the name

    def __init__(self, app: Any, *, root: str | Path | None = None, raise_errors: bool = True) -> None:
        if not isinstance(app, App):
            app = _adapted(app, Path(root) if root is not None else Path.cwd())
        folder = Path(root) if root is not None else app.folder
        self._functions, _, problems, _ = assemble(app, folder)
        if problems:
            raise AppLoadError(str(folder), problems, str(folder))
        self._app = app
        self._raise_errors = raise_errors
        self._runner: asyncio.Runner | None = None
        if not logs.is_configured():
            logs.configure()

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()  # one loop for all: an ASGI application's lifespan is a task of it
        try:
            for hook in self._app.start_hooks:
                self._call_hook(hook)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            for hook in self._app.stop_hooks:
                self._call_hook(hook)
        finally:
            self._close()

    def invoke(self, function: str, /, *, metadata: dict[str, Any] | None = None, **inputs: Any) -> InvocationResult:
        """Call `function` as the host would, with trigger and inputs by binding name.

        An http trigger also takes `method`, `url`, `query`, `headers`, `params`, and `body` (text or bytes) or
        `json`; another trigger's `metadata` is given as plain values. Not for use within a running event loop:
        there, await `ainvoke`.
        """
        invocation = self._begin(function, metadata, inputs)
        if not isinstance(invocation, Invocation):
            return invocation
        if invocation.function.is_async:
            return self._result(invocation, self._run(run_async(invocation)))
        return self._result(invocation, run_sync(invocation))

    async def ainvoke(
        self, function: str, /, *, metadata: dict[str, Any] | None = None, **inputs: Any
    ) -> InvocationResult:
        """`invoke` within a running event loop."""
        invocation = self._begin(function, metadata, inputs)
        if not isinstance(invocation, Invocation):
            return invocation
        if invocation.function.is_async:
            return self._result(invocation, await asyncio.create_task(run_async(invocation)))
        return self._result(invocation, run_sync(invocation))

    def _close(self) -> None:
        if self._runner is not None:
            self._runner.close()
        self._runner = None

    def _call_hook(self, hook: Callable[[], Any]) -> None:
        result = hook()
        if inspect.iscoroutine(result):
            self._run(result)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(coroutine) if self._runner is None else self._runner.run(coroutine)

    def _begin(
        self, name: str, metadata: dict[str, Any] | None, inputs: dict[str, Any]
    ) -> Invocation | InvocationResult:
        function = self._functions.get(name)
        if function is None:
            raise KeyError(f"no function {name!r}; there are: {', '.join(self._functions)}")
        body = build_envelope(function.name, function.bindings, inputs, metadata or {})
        deadline = deadline_from(time.monotonic_ns(), TEST_LIMIT_NS, GRACE_NS)
        try:
            return begin(function, body, invocation_id=str(uuid.uuid4()), deadline=deadline)
        except Rejected as rejected:
            # A 200 is the client's fault, answered to the client: a result like any other.
            if self._raise_errors and rejected.answer.status != 200:
                raise rejected.error from None
            return InvocationResult(function, rejected.answer)

    def _result(self, invocation: Invocation, answer: Answer | Streamed) -> InvocationResult:
        assert isinstance(answer, Answer)  # only plain HTTP streams
        if self._raise_errors and invocation.error is not None and answer.status != 200:
            raise invocation.error
        return InvocationResult(invocation.function, answer)


def _adapted(value: Any, folder: Path) -> App:
    from fastworker.adapters.detection import adapt_object, hint  # noqa: PLC0415 - for apps that are not fastworker's own

    app = adapt_object("the app", value, "app", folder)
    if app is None:
        more = hint({"app": value}, "app")
        raise TypeError(
            f"TestClient takes a fastworker, azure.functions, ASGI or WSGI app, not {type(value).__name__}"
            f"{f': {more}' if more else ''}"
        )
    return app
