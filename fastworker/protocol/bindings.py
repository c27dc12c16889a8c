"""Bindings: what ties a handler's arguments to the outside, as declared by decorators or by function.json.

Made by declarations.py and read by function_json.py; understood by build.py (decoders, encoders, checks).
Rule: knows the protocol's names and shapes (protocol, sections 1.7 and 7), and no user code.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

RETURN: Final = "$return"

Direction = Literal["in", "out", "inout"]

# How a value travels in an output (protocol 4.3 to 4.6). "collector" splits arrays into messages, "object"
# takes objects only, "stream" writes one value.
OutputForm = Literal["collector", "stream", "object", "http"]


class Kind(NamedTuple):
    """What is known about a binding type: its spelling, its directions, how outputs of it are written."""

    type: str
    directions: frozenset[str]
    output: OutputForm


def _kinds(output: OutputForm, directions: Iterable[str], *types: str) -> dict[str, Kind]:
    return {t.lower(): Kind(t, frozenset(directions), output) for t in types}


# Keys are lower case: the host compares types ignoring case.
KINDS: Final[dict[str, Kind]] = {
    **_kinds(
        "collector",
        ["in"],
        *(
            "httpTrigger",
            "queueTrigger",
            "blobTrigger",
            "timerTrigger",
            "serviceBusTrigger",
            "eventHubTrigger",
        ),
        *(
            "cosmosDBTrigger",
            "eventGridTrigger",
            "manualTrigger",
            "warmupTrigger",
            "sqlTrigger",
            "mysqlTrigger",
        ),
        *("kafkaTrigger", "rabbitMQTrigger", "signalRTrigger", "webPubSubTrigger", "redisPubSubTrigger"),
        *("redisListTrigger", "redisStreamTrigger", "daprBindingTrigger", "daprServiceInvocationTrigger"),
        *(
            "daprTopicTrigger",
            "mcpToolTrigger",
            "mcpResourceTrigger",
            "mcpPromptTrigger",
            "assistantSkillTrigger",
            "connectorTrigger",
            "orchestrationTrigger",
            "activityTrigger",
        ),
        *(
            "entityTrigger",
            "durableClient",
            "signalRConnectionInfo",
            "webPubSubConnection",
            "webPubSubContext",
        ),
        *("daprSecret", "assistantQuery", "assistantPost", "textCompletion", "embeddings", "semanticSearch"),
    ),
    **_kinds("collector", ["out"], "queue", "serviceBus", "eventHub", "kafka", "rabbitMQ", "signalR"),
    **_kinds("collector", ["out"], "webPubSub", "sendGrid", "twilioSms", "daprPublish", "daprInvoke", "daprBinding"),
    **_kinds("collector", ["in", "out"], "daprState"),
    **_kinds("object", ["out"], "eventGrid", "assistantCreate", "embeddingsStore"),
    **_kinds("object", ["in", "out"], "cosmosDB", "table", "sql", "mysql", "redis"),
    **_kinds("stream", ["in", "out", "inout"], "blob"),
    **_kinds("http", ["out"], "http"),
}

# Triggers that make nothing of a return value; those of Durable Functions, MCP, SignalR and whatever comes do.
RETURN_NOTHING: Final = frozenset(
    {
        *("httptrigger", "queuetrigger", "blobtrigger", "timertrigger", "servicebustrigger", "eventhubtrigger"),
        *("cosmosdbtrigger", "eventgridtrigger", "manualtrigger", "warmuptrigger", "sqltrigger", "mysqltrigger"),
        *("kafkatrigger", "rabbitmqtrigger", "redispubsubtrigger", "redislisttrigger", "redisstreamtrigger"),
        *("daprbindingtrigger", "daprtopictrigger"),
    }
)


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding of a function. `properties` are function.json's own members (`queueName`, `path`, ...).

    `where` is the `file:line` it was declared at, for messages.
    """

    type: str
    direction: Direction
    name: str
    where: str = field(default="", compare=False)
    data_type: str | None = None
    cardinality: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The type for comparisons."""
        return self.type.lower()

    @property
    def is_trigger(self) -> bool:
        return self.type.lower().endswith("trigger")

    @property
    def is_input(self) -> bool:
        """Whether the host sends a value for it: it counts as input-side (protocol 1.7)."""
        return self.direction != "out"

    @property
    def is_output(self) -> bool:
        return self.direction != "in"

    @property
    def takes_return_value(self) -> bool:
        """Whether this trigger is handed the return value where no binding is named `$return` (protocol 4.2)."""
        return self.is_trigger and self.key not in RETURN_NOTHING

    @property
    def is_http_output(self) -> bool:
        return self.is_output and self.key == "http"

    @property
    def methods(self) -> tuple[str, ...]:
        """Of an http trigger: those that reach it, as written; none means all."""
        listed = self.properties.get("methods") or ()
        return tuple(str(method) for method in listed) if isinstance(listed, list | tuple) else (str(listed),)

    @property
    def allowed_methods(self) -> tuple[str, ...] | None:
        """The same for routing: None means all, and an empty list none."""
        return None if self.properties.get("methods") is None else self.methods

    @property
    def is_binary(self) -> bool:
        """Whether the host was told to treat the value as bytes; a stream is one it has read to its end."""
        return self.data_type is not None and self.data_type.lower() in {"binary", "stream"}

    @property
    def is_batch(self) -> bool:
        return self.cardinality is not None and self.cardinality.lower() == "many"

    @property
    def output_form(self) -> OutputForm:
        kind = KINDS.get(self.key)
        return kind.output if kind else "collector"


def to_json(binding: Binding) -> dict[str, Any]:
    """The binding as a member of function.json's `bindings`."""
    members: dict[str, Any] = {
        "type": binding.type,
        "direction": binding.direction,
        "name": binding.name,
        **binding.properties,
    }
    if binding.data_type is not None:
        members["dataType"] = binding.data_type
    if binding.cardinality is not None:
        members["cardinality"] = binding.cardinality
    return members


def is_http_only(bindings: Iterable[Binding]) -> bool:
    """Whether a function is one that the host may hand raw HTTP (protocol 1.7)."""
    bindings = list(bindings)
    inputs = [b.key for b in bindings if b.is_input]
    outputs = [b.key for b in bindings if b.is_output]
    return inputs == ["httptrigger"] and outputs == ["http"]
