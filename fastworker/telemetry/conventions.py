"""What a span of an invocation is called and says, by OpenTelemetry's semantic conventions (FaaS, HTTP, messaging).

Used by tracing.py, for each function once and for each invocation. docs/tracing.md is the user's view of it.
Rule: pure, and knows no OpenTelemetry library: names and plain values. Nothing of a body, a query or a key is told.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

SERVER: Final = "server"
CONSUMER: Final = "consumer"

# The trigger of a function as `faas.trigger`; all others are `other`.
TRIGGERS: Final = {
    "httptrigger": "http",
    "timertrigger": "timer",
    **dict.fromkeys(("blobtrigger", "cosmosdbtrigger", "sqltrigger"), "datasource"),
    **dict.fromkeys(("queuetrigger", "servicebustrigger", "eventhubtrigger", "eventgridtrigger"), "pubsub"),
    **dict.fromkeys(("kafkatrigger", "rabbitmqtrigger", "redispubsubtrigger"), "pubsub"),
    **dict.fromkeys(("redislisttrigger", "redisstreamtrigger"), "pubsub"),
}
# `messaging.system` by trigger. The conventions have no name for Storage queues.
SYSTEMS: Final = {
    "queuetrigger": "azure_queue_storage",
    "servicebustrigger": "servicebus",
    "eventhubtrigger": "eventhubs",
    "eventgridtrigger": "eventgrid",
    "kafkatrigger": "kafka",
    "rabbitmqtrigger": "rabbitmq",
    **dict.fromkeys(("redispubsubtrigger", "redislisttrigger", "redisstreamtrigger"), "redis"),
}
# Members of a binding that name where its messages come from.
DESTINATIONS: Final = ("queueName", "topicName", "eventHubName", "topic", "key", "channel")
COLLECTIONS: Final = ("path", "containerName", "collectionName", "tableName")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
OTHER_METHOD: Final = "_OTHER"
# Text from outside is cut there: an attribute is no place for a megabyte.
LONGEST: Final = 256

Attributes = dict[str, str | int | float | bool]


class Described(NamedTuple):
    """What is known of a function's spans before any invocation. An http one's name begins with its method."""

    name: str
    kind: str
    attributes: Attributes
    key: str  # of the trigger

    @property
    def is_http(self) -> bool:
        return self.key == "httptrigger"


def describe(name: str, key: str, properties: Mapping[str, Any], prefix: str, site: Mapping[str, str]) -> Described:
    """A function: its name, its trigger's key and members, the app's route prefix and what Azure says of the app."""
    owner = site.get("WEBSITE_SITE_NAME")
    attributes: Attributes = {
        "faas.trigger": TRIGGERS.get(key, "other"),
        # The conventions have the function app's name before that of its function.
        "faas.name": f"{owner}/{name}" if owner else name,
    }
    if key == "httptrigger":
        route = str(properties.get("route") or name).strip("/")
        attributes["http.route"] = route = f"/{prefix}/{route}" if prefix else f"/{route}"
        return Described(route, SERVER, attributes, key)
    if key in SYSTEMS:
        attributes["messaging.system"] = SYSTEMS[key]
        attributes["messaging.operation.name"] = attributes["messaging.operation.type"] = "process"
        destination = _first(properties, DESTINATIONS)
        if destination:
            attributes["messaging.destination.name"] = destination
        if subscription := properties.get("subscriptionName"):
            attributes["messaging.destination.subscription.name"] = str(subscription)
        if group := properties.get("consumerGroup"):
            attributes["messaging.consumer.group.name"] = str(group)
        return Described(f"process {destination or name}", CONSUMER, attributes, key)
    if key == "timertrigger":
        attributes["faas.cron"] = str(properties.get("schedule", ""))
    elif collection := _first(properties, COLLECTIONS):
        attributes["faas.document.collection"] = collection
    return Described(name, SERVER, attributes, key)


def http_request(method: str, url_path: str, scheme: str = "", host: str = "", agent: str = "") -> Attributes:
    """A request of an http function. Its query is left out: it may hold the function's key."""
    known = method.upper() in METHODS
    attributes: Attributes = {"http.request.method": method.upper() if known else OTHER_METHOD}
    if not known or method not in METHODS:
        attributes["http.request.method_original"] = method[:LONGEST]
    attributes["url.path"] = url_path.partition("?")[0][:LONGEST]
    if scheme:
        attributes["url.scheme"] = scheme
    if host:
        name, colon, port = host.rpartition(":")
        is_numbered = bool(colon) and port.isdigit() and len(port) <= 5
        attributes["server.address"] = (name if is_numbered else host)[:LONGEST]
        if is_numbered:
            attributes["server.port"] = int(port)
    if agent:
        attributes["user_agent.original"] = agent[:LONGEST]
    return attributes


def trigger_data(key: str, metadata: Mapping[str, Any]) -> Attributes:
    """What the trigger's metadata say of a message, a blob, an event."""
    found: Attributes = {}
    if key in SYSTEMS:
        message = metadata.get("MessageId") or metadata.get("Id")
        if isinstance(message, str):
            found["messaging.message.id"] = message[:LONGEST]
        several = next((v for k in ("MessageIdArray", "SequenceNumberArray") if (v := metadata.get(k))), None)
        if isinstance(several, list):
            found["messaging.batch.message_count"] = len(several)
        deliveries = metadata.get("DeliveryCount")
        if key == "servicebustrigger" and isinstance(deliveries, int):
            found["messaging.servicebus.message.delivery_count"] = deliveries
    elif key == "blobtrigger" and isinstance(path := metadata.get("BlobTrigger"), str):
        found["faas.document.name"] = path.partition("/")[2][:LONGEST]
    return found


def resource(site: Mapping[str, str], app: str) -> Attributes:
    """Who the server is: the resource of all its spans, where the standard variables do not say otherwise."""
    attributes: Attributes = {"service.name": site.get("WEBSITE_SITE_NAME") or app}
    if site.get("WEBSITE_SITE_NAME"):
        attributes |= {"cloud.provider": "azure", "cloud.platform": "azure.functions"}
    for name, variables in {
        "cloud.region": ("REGION_NAME",),
        "faas.instance": ("WEBSITE_INSTANCE_ID", "CONTAINER_NAME"),
        "deployment.environment.name": ("WEBSITE_SLOT_NAME",),
    }.items():
        if value := next((site[v] for v in variables if site.get(v)), None):
            attributes[name] = value
    # `{subscription}+{region}-webspace...`
    subscription = site.get("WEBSITE_OWNER_NAME", "").partition("+")[0]
    group, app_name = site.get("WEBSITE_RESOURCE_GROUP"), site.get("WEBSITE_SITE_NAME")
    if subscription and group and app_name:
        attributes["cloud.account.id"] = subscription
        attributes["cloud.resource_id"] = (
            f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{app_name}"
        )
    return attributes


def _first(properties: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(properties[name])[:LONGEST] for name in names if properties.get(name)), "")
