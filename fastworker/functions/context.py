"""What a handler gets beside its payload: the Context, and Out and Result to answer with.

Made by invocation.py for each call; metadata is decoded by the rules of envelope.py, when asked for.
Rule: only `Context.remaining` reads a clock.
"""

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fastworker.deadline import Deadline
from fastworker.protocol.envelope import Metadata, RetryContext

if TYPE_CHECKING:
    import typing_extensions

    T = typing_extensions.TypeVar("T", default=Any)  # so that a type checker takes a plain `Result`
else:
    T = TypeVar("T")

NO_RETRY = RetryContext()


class Out(Generic[T]):
    """An output binding's value, as an argument of the handler. What was set last counts; None writes nothing.

    Example:
        @app.route("order")
        @app.queue_output("message", queue_name="orders")
        def order(req: fw.Request, message: fw.Out[str]) -> None:
            message.set(req.text)

    See protocol 4.6.
    """

    # Of the class until it is set: there are as many of these as there are outputs in each invocation.
    _value: T | None = None

    def set(self, value: T | None) -> None:
        """Make `value` what this output writes."""
        self._value = value

    def get(self) -> T | None:
        """What was set last, else None."""
        return self._value


class Result(Generic[T]):
    """What a handler returns to answer and write outputs in one go.

    Args:
        value: goes where a plain return value goes (the http output, or `$return`).
        outputs: output bindings by name; they win over what was `set` before.

    Example:
        @app.route("order")
        @app.queue_output("message", queue_name="orders")
        def order(req: fw.Request) -> fw.Result:
            return fw.Result("accepted", message=req.text)

    See protocol 4.2.
    """

    __slots__ = ("outputs", "value")

    def __init__(self, value: T | None = None, **outputs: Any) -> None:
        self.value = value
        self.outputs = outputs


class Context:
    """One invocation, as its handler sees it: an argument that is annotated so.

    `function_name` and `invocation_id` are the host's; `metadata` is the trigger's, decoded when asked for;
    `traceparent` is the host's, if it sent one.

    Example:
        @app.queue_trigger("item", queue_name="items")
        def work(item: str, context: fw.Context) -> None:
            if context.remaining() < 5:
                raise TimeoutError(f"try {context.retry_count}: not enough time left")

    See protocol 2.3 and 2.5.
    """

    __slots__ = ("_deadline", "_retry", "function_name", "invocation_id", "metadata", "traceparent")

    def __init__(
        self,
        function_name: str,
        invocation_id: str,
        deadline: Deadline,
        metadata: Metadata,
        traceparent: str | None,
    ) -> None:
        self.function_name = function_name
        self.invocation_id = invocation_id
        self.metadata = metadata
        self.traceparent = traceparent
        self._deadline = deadline
        self._retry: RetryContext | None = None

    def remaining(self) -> float:
        """Seconds until `DeadlineExceeded` is raised in the handler; never negative."""
        return self._deadline.remaining_s(time.monotonic_ns())

    @property
    def retry_count(self) -> int:
        """Which attempt this is: 0 is the first (protocol 2.5)."""
        return self._retry_context().RetryCount

    @property
    def max_retry_count(self) -> int | None:
        """How many retries the policy allows: -1 is for ever, None means that there is no policy."""
        return self._retry_context().MaxRetryCount

    def _retry_context(self) -> RetryContext:
        if self._retry is None:
            self._retry = self.metadata.get_as("RetryContext", RetryContext, NO_RETRY)
        return self._retry
