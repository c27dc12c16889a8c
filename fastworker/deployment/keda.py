"""KEDA's triggers from an app's bindings: what makes more instances of it, and what keeps one alive.

Used by kubernetes.py. Rule: what a scaler cannot know is never guessed; the reason becomes a comment in the manifest.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

Members = Mapping[str, Any]
DEFAULT_CONNECTION: Final = "AzureWebJobsStorage"
# Where the HTTP add-on's scaler answers when it was installed by its chart.
HTTP_SCALER: Final = "keda-add-ons-http-external-scaler.keda:9090"
EXPRESSION: Final = re.compile(r"[{%]")
CRON_WINDOW_MIN: Final = 10


class Scaling(NamedTuple):
    """`triggers` are KEDA's, `connections` the settings that they read, `notes` what a reader of the file must know."""

    triggers: list[dict[str, Any]]
    connections: list[str]
    notes: list[str]
    minimum: int
    has_http: bool


class UnknownToKedaError(Exception):
    """No scaler can watch this trigger; the message says why."""


def scaling(functions: Mapping[str, Sequence[Members]], name: str, workers: int) -> Scaling:
    """What follows from all functions' bindings.

    Args:
        functions: by function, the members of its bindings as in function.json.
        name: of the Deployment, the Service and the InterceptorRoute.
        workers: of one pod; each trigger's target is what so many work off in a few turns.
    """
    triggers: list[dict[str, Any]] = []
    connections: list[str] = []
    notes: list[str] = []
    minimum = 0
    has_http = False
    for function, bindings in sorted(functions.items()):
        trigger = next((b for b in bindings if str(b["type"]).lower().endswith("trigger")), None)
        if trigger is None:
            continue
        kind = str(trigger["type"]).lower()
        if kind == "httptrigger":
            has_http = True
            continue
        make = MAKERS.get(kind)
        try:
            if make is None:
                raise UnknownToKedaError(f"KEDA has no scaler for a {trigger['type']}")
            triggers.append(make(trigger, workers))
        except UnknownToKedaError as reason:
            notes.append(f"{function}: {reason}; one instance stays for it.")
            minimum = 1
        if kind != "timertrigger":
            connections.append(_connection(trigger))
    if has_http:
        triggers.append(_http(name))
    return Scaling(triggers, sorted({*connections, DEFAULT_CONNECTION}), notes, minimum, has_http)


def _connection(trigger: Members) -> str:
    return str(trigger.get("connection") or trigger.get("connectionStringSetting") or DEFAULT_CONNECTION)


def _literal(trigger: Members, member: str) -> str:
    """A member that must be a plain text: `%SETTING%` and `{expressions}` are known to the Functions host only."""
    text = str(trigger.get(member) or "")
    if not text or EXPRESSION.search(text):
        raise UnknownToKedaError(f"its {member} {text!r} is known to the Functions host only")
    return text


def _queue(trigger: Members, workers: int) -> dict[str, Any]:
    metadata = {
        "queueName": _literal(trigger, "queueName"),
        "queueLength": str(workers * 4),
        "connectionFromEnv": _connection(trigger),
    }
    return {"type": "azure-queue", "metadata": metadata}


def _service_bus(trigger: Members, workers: int) -> dict[str, Any]:
    metadata = {"messageCount": str(workers * 4), "connectionFromEnv": _connection(trigger)}
    if trigger.get("topicName"):
        metadata |= {"topicName": _literal(trigger, "topicName")}
        metadata |= {"subscriptionName": _literal(trigger, "subscriptionName")}
    else:
        metadata |= {"queueName": _literal(trigger, "queueName")}
    return {"type": "azure-servicebus", "metadata": metadata}


def _event_hub(trigger: Members, workers: int) -> dict[str, Any]:
    metadata = {
        "eventHubName": _literal(trigger, "eventHubName"),
        "consumerGroup": str(trigger.get("consumerGroup") or "$Default"),
        "connectionFromEnv": _connection(trigger),
        "storageConnectionFromEnv": DEFAULT_CONNECTION,
        "blobContainer": "azure-webjobs-eventhub",
        "checkpointStrategy": "azureFunction",
        "unprocessedEventThreshold": str(workers * 32),
    }
    return {"type": "azure-eventhub", "metadata": metadata}


def _blob(trigger: Members, workers: int) -> dict[str, Any]:
    path = str(trigger.get("path") or "")
    container, _, rest = path.partition("/")
    if not container or EXPRESSION.search(container):
        raise UnknownToKedaError(f"the container of its path {path!r} is known to the Functions host only")
    metadata = {
        "blobContainerName": container,
        "blobCount": str(workers * 4),
        "connectionFromEnv": _connection(trigger),
    }
    prefix = EXPRESSION.split(rest)[0].rpartition("/")[0]
    return {"type": "azure-blob", "metadata": metadata | ({"blobPrefix": f"{prefix}/"} if prefix else {})}


def _timer(trigger: Members, _: int) -> dict[str, Any]:
    """An instance for ten minutes from each occurrence; the host runs a timer that is past due when it starts."""
    schedule = _literal(trigger, "schedule")
    fields = schedule.split()
    if len(fields) == 6:
        fields = fields[1:]
    if len(fields) != 5 or not fields[0].isdecimal() or not re.fullmatch(r"[\d,]+", fields[1]):
        raise UnknownToKedaError(f"its schedule {schedule!r} is due too often for an instance to come and go")
    minute = int(fields[0])
    rest = " ".join(fields[1:])
    end = f"{minute + CRON_WINDOW_MIN} {rest}" if minute + CRON_WINDOW_MIN < 60 else f"59 {rest}"
    metadata = {"timezone": "Etc/UTC", "start": f"{minute} {rest}", "end": end, "desiredReplicas": "1"}
    if minute == 59:
        raise UnknownToKedaError(f"its schedule {schedule!r} leaves no window within the hour")
    return {"type": "cron", "metadata": metadata}


def _kafka(trigger: Members, workers: int) -> dict[str, Any]:
    metadata = {
        "bootstrapServers": _literal(trigger, "brokerList"),
        "topic": _literal(trigger, "topic"),
        "consumerGroup": _literal(trigger, "consumerGroup"),
        "lagThreshold": str(workers * 32),
    }
    return {"type": "kafka", "metadata": metadata}


def _rabbitmq(trigger: Members, workers: int) -> dict[str, Any]:
    metadata = {
        "queueName": _literal(trigger, "queueName"),
        "mode": "QueueLength",
        "value": str(workers * 4),
        "hostFromEnv": _connection(trigger),
    }
    return {"type": "rabbitmq", "metadata": metadata}


def _http(name: str) -> dict[str, Any]:
    return {"type": "external-push", "metadata": {"interceptorRoute": name, "scalerAddress": HTTP_SCALER}}


MAKERS: Final[dict[str, Callable[[Members, int], dict[str, Any]]]] = {
    "queuetrigger": _queue,
    "servicebustrigger": _service_bus,
    "eventhubtrigger": _event_hub,
    "blobtrigger": _blob,
    "timertrigger": _timer,
    "kafkatrigger": _kafka,
    "rabbitmqtrigger": _rabbitmq,
}
