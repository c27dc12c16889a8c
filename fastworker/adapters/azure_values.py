"""Values of azure.functions: from the envelope into the library's own types, and from these into outputs.

Used by azure_functions.py, which builds one decoder per input and calls `written` for each output.
Rule: the library's own converters (azure.functions.meta) decide what fits; here is only what the official worker
does around them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from fastworker.functions.build import ALWAYS_BYTES, argument_decoder
from fastworker.protocol.bindings import Binding
from fastworker.protocol.envelope import Decoder, Envelope, Metadata, batch_decoder, conversion

# Triggers and inputs whose value is JSON for their converters; everything else is text or bytes.
JSON_VALUES: Final = frozenset(
    {"timertrigger", "eventgridtrigger", "cosmosdbtrigger", "cosmosdb", "sqltrigger", "sql", "mysqltrigger", "mysql"}
    | {"activitytrigger", "orchestrationtrigger", "entitytrigger", "durableclient", "table"}
    | {"mcptooltrigger", "mcpresourcetrigger", "mcpprompttrigger", "warmuptrigger", "assistantskilltrigger"}
)
# Members of a batch's metadata that Kafka's converter takes as collections of gRPC alone, and of what kind.
KAFKA_COLLECTIONS: Final = {"OffsetArray": "sint64", "TopicArray": "string"}


def azure_decoder(binding: Binding, converter: Any, datum: Any) -> Decoder:
    """The decoder of one input. `converter` is the library's (or Generic), `datum` its Datum class.

    It raises whatever the converter raises, and TypeError where that does not know the kind of value.
    """
    is_kafka = binding.key == "kafkatrigger"
    values = _batch(binding, datum) if binding.is_batch else _single(binding, datum)

    def decode(raw: msgspec.Raw, envelope: Envelope) -> Any:
        value = values(raw, envelope)
        metadata = TriggerMetadata(envelope, datum, is_kafka=is_kafka) if binding.is_trigger else None
        try:
            return converter.decode(value, trigger_metadata=metadata)
        except NotImplementedError as exc:
            kind = getattr(value, "type", None)
            raise TypeError(
                f"Data.{binding.name}: the converter {converter.__name__} of azure.functions takes no value of the "
                f"kind {kind!r}: {exc}"
            ) from exc

    return decode


def _single(binding: Binding, datum: Any) -> Callable[[msgspec.Raw, Envelope], Any]:
    is_bytes = binding.key in ALWAYS_BYTES or binding.is_binary
    read = argument_decoder(binding, bytes | None if is_bytes else str | None)
    kind = "bytes" if is_bytes else "json" if binding.key in JSON_VALUES else "string"

    def value(raw: msgspec.Raw, envelope: Envelope) -> Any:
        found = read(raw, envelope)
        if found is not None and binding.key == "table" and found.lstrip()[:1] == "{":
            found = f"[{found}]"  # the official worker's host gives a list, also of the one entity of a key
        return None if found is None else datum(found, kind)

    return value


def _batch(binding: Binding, datum: Any) -> Callable[[msgspec.Raw, Envelope], Any]:
    is_bytes = binding.is_binary
    read = batch_decoder(binding.name, conversion(bytes if is_bytes else str), binary=is_bytes)
    kind = "bytes" if is_bytes else "string"

    def value(raw: msgspec.Raw, envelope: Envelope) -> Any:
        items = read(raw, envelope)
        if binding.key in JSON_VALUES:
            return datum(f"[{','.join(items)}]", "json")
        return datum(SimpleNamespace(**{kind: items}), f"collection_{kind}")

    return value


class TriggerMetadata(Mapping[str, Any]):
    """The envelope's Metadata as converters ask for it: each member as a Datum, names found ignoring case."""

    def __init__(self, envelope: Envelope, datum: Any, *, is_kafka: bool = False) -> None:
        self._is_kafka = is_kafka
        self._metadata = Metadata(envelope.Metadata)
        self._datum = datum

    def __getitem__(self, key: str) -> Any:
        try:
            value = self._metadata[key]
        except KeyError:
            # The host leaves out every member whose name ends so (protocol 2.3); the blob's address has it, too.
            if key != "BlobTrigger":
                raise
            value = unquote(urlsplit(str(self._metadata["Uri"])).path).lstrip("/").removeprefix("devstoreaccount1/")
        if isinstance(value, str):
            return self._datum(value, "string")
        if self._is_kafka and key in KAFKA_COLLECTIONS:
            kind = KAFKA_COLLECTIONS[key]
            return self._datum(SimpleNamespace(**{kind: value}), f"collection_{kind}")
        return self._datum(json.dumps(value), "json")

    def __iter__(self) -> Iterator[str]:
        return iter(self._metadata)

    def __len__(self) -> int:
        return len(self._metadata)


class Generic:
    """The converter for binding types that the library does not know, and for `str` and `bytes` arguments."""

    @staticmethod
    def decode(data: Any, *, trigger_metadata: Any) -> Any:
        """The text or bytes as they came; None for no value."""
        return None if data is None else data.value

    @staticmethod
    def check_input_type_annotation(pytype: Any) -> bool:
        """Whether an argument may be annotated so."""
        return issubclass(pytype, str | bytes)

    @staticmethod
    def check_output_type_annotation(pytype: Any) -> bool:
        """Whether an output may be annotated so."""
        return issubclass(pytype, str | bytes | bytearray)


def written(binding: Binding, converter: Any, value: Any, expected_type: Any) -> Any:
    """What an output binding is to write, for its fastworker encoder; None writes nothing.

    Raises TypeError for a value that the library's converter refuses.
    """
    if converter is Generic:
        if value is None or isinstance(value, str | bytes | bytearray | dict | list | int | float):
            return value
        raise _refused(binding, value)
    try:
        found = converter.encode(value, expected_type=expected_type)
    except NotImplementedError as exc:
        raise _refused(binding, value) from exc
    if found is None or found.type is None:
        return None
    if found.type != "json" or binding.output_form == "object":
        return found.value
    parsed = json.loads(found.value)
    if binding.key != "queue":
        return parsed
    # A QueueMessage is written as its body: the host knows no object with a message's members here.
    if isinstance(parsed, list):
        return [_body(item) for item in parsed]
    return _body(parsed)


def _body(message: Any) -> Any:
    return message["body"] if isinstance(message, dict) and set(message) == {"id", "body"} else message


def _refused(binding: Binding, value: Any) -> TypeError:
    return TypeError(
        f"the output {binding.name!r} ({binding.type}, {binding.where}) takes no value of the type "
        f"{type(value).__name__}: see azure.functions for the types that it takes"
    )
