"""fastworker: Python functions behind Azure Functions, on every core, with deadlines that hold.

Rule: importing this package is cheap, for the supervisor does it, too; a public name is imported when it is
used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fastworker.errors import DeadlineExceeded
    from fastworker.functions.app import App
    from fastworker.functions.context import Context, Out, Result
    from fastworker.protocol.messages import Request, Response
    from fastworker.protocol.streams import Event, EventStream
    from fastworker.protocol.triggers import (
        Blob,
        CloudEvent,
        EventGridEvent,
        EventHubEvent,
        QueueMessage,
        ServiceBusMessage,
        TimerRequest,
    )

__all__ = [
    "App",
    "Blob",
    "CloudEvent",
    "Context",
    "DeadlineExceeded",
    "Event",
    "EventGridEvent",
    "EventHubEvent",
    "EventStream",
    "Out",
    "QueueMessage",
    "Request",
    "Response",
    "Result",
    "ServiceBusMessage",
    "TimerRequest",
    "__version__",
]

_MODULES = {
    "App": "functions.app",
    "Context": "functions.context",
    "Out": "functions.context",
    "Result": "functions.context",
    "DeadlineExceeded": "errors",
    "Request": "protocol.messages",
    "Response": "protocol.messages",
    "Event": "protocol.streams",
    "EventStream": "protocol.streams",
    "Blob": "protocol.triggers",
    "CloudEvent": "protocol.triggers",
    "EventGridEvent": "protocol.triggers",
    "EventHubEvent": "protocol.triggers",
    "QueueMessage": "protocol.triggers",
    "ServiceBusMessage": "protocol.triggers",
    "TimerRequest": "protocol.triggers",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        names = importlib.import_module("fastworker.functions.v2_names")
        raise AttributeError(names.missing("module 'fastworker'", name, names.MODULE))
    value = getattr(importlib.import_module(f"fastworker.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
