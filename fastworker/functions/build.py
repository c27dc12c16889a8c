"""From a declared function to a Function: one decoder per argument, one encoder per output, all checks.

Used by app.py at load, so that an invocation inspects nothing any more.
Rule: every mistake is found here, at start-up, and each is reported with file, line and the way to mend it.
"""

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from fastworker.config.binding_checks import name_problems
from fastworker.config.retry import RetryError, read_retry
from fastworker.functions.context import Context, Out, Result
from fastworker.functions.declarations import Declaration, Handler, unwrapped
from fastworker.functions.signature import Signature, calls_stream, is_async, is_generator, read_signature
from fastworker.hostrules.functions import function_name_problem
from fastworker.protocol.arguments import (
    MISSING,
    Argument,
    body_conversion,
    http_decoder,
    request_argument,
    route_argument,
    route_decoder,
)
from fastworker.protocol.bindings import RETURN, Binding
from fastworker.protocol.envelope import (
    Decoder,
    ElementMetadata,
    Envelope,
    EnvelopeReader,
    Metadata,
    batch_decoder,
    bytes_decoder,
    conversion,
    envelope_reader,
    text_decoder,
)
from fastworker.protocol.messages import HTTP_VALUE, Request
from fastworker.protocol.outputs import Encoder, output_encoder
from fastworker.protocol.routing import Route, RouteError
from fastworker.protocol.triggers import MESSAGES, STRUCTS, Message

# Types whose value is base64 whatever `dataType` says (protocol 2.7).
ALWAYS_BYTES: Final = frozenset({"blobtrigger"})
# An event is an object whatever dataType says, as recorded.
NEVER_BYTES: Final = frozenset({"eventgridtrigger"})

# Inputs whose value is a payload, which the host hands over as text or as bytes: `dataType` says which.
PAYLOADS: Final = frozenset(
    {
        *("queuetrigger", "blobtrigger", "servicebustrigger", "eventhubtrigger", "kafkatrigger", "rabbitmqtrigger"),
        *("redispubsubtrigger", "redislisttrigger", "redisstreamtrigger", "blob"),
    }
)
BYTES: Final = (bytes, bytearray, memoryview)

# Triggers that can deliver batches; asked for by `list[...]` where a decorator leaves the cardinality open.
BATCH_TRIGGERS: Final = frozenset({"servicebustrigger", "eventhubtrigger", "kafkatrigger"})


@dataclass(frozen=True, slots=True)
class Function:
    """A function ready to be invoked. `deadline_s` is its own limit, if it has one.

    `decoders` are (argument, decoder), `http_arguments` the same for a request in plain HTTP; `outs` the arguments
    that get an Out; `context_argument` the one that gets the Context. `return_to` is the output that plain return
    values go to. `streams_request`: the handler reads its request's body by itself, piece by piece. `failure_title`
    is what stands in front of the traceback of what it raised. `limit_name` tells which limit ends it, once that is
    known (dispatch.py). `may_redirect` is False where the host would follow a redirection itself, to a function that
    needs more than it has asked for.
    """

    name: str
    handler: Handler
    is_async: bool
    deadline_s: float | None
    bindings: tuple[Binding, ...]
    trigger: Binding
    read_envelope: EnvelopeReader
    decoders: tuple[tuple[str, Decoder], ...]
    http_arguments: tuple[tuple[str, Argument], ...]
    outs: tuple[str, ...]
    context_argument: str | None
    encoders: dict[str, Encoder]
    return_to: str | None
    http_output: str | None
    streams_request: bool
    failure_title: "Callable[[BaseException], str] | None" = None
    limit_name: str = "the deadline"
    may_redirect: bool = True

    @property
    def route(self) -> str:
        """The template below the prefix; by default the function's name."""
        return str(self.trigger.properties.get("route") or self.name)


def make_function(
    declaration: Declaration, bindings: Sequence[Binding], extra_types: Iterable[str]
) -> tuple[Function | None, list[str]]:
    """The function, or None and everything that is wrong with it."""
    name = declaration.function_name
    problems = [*declaration.problems, *name_problems(bindings, extra_types)]
    where = declaration.where
    wrong_name = function_name_problem(name)
    if wrong_name is not None:
        problems.append(f"{where}: {wrong_name}; give another by @app.function(name=...)")
    deadline_s = declaration.deadline_s
    if deadline_s is not None and not (0 < deadline_s < math.inf):
        problems.append(f"{where}: function {name!r}: deadline={deadline_s} must be a number above 0")
    if "retry" in declaration.members:
        try:
            read_retry({key: str(value) for key, value in declaration.members["retry"].items()})
        except RetryError as exc:
            problems.append(f"{where}: function {name!r}: @app.retry: {exc}")
    triggers = [b for b in bindings if b.is_trigger]
    if not triggers:
        problems.append(
            f"{where}: function {name!r} has no trigger: add a trigger decorator such as @app.route(...) or "
            f"@app.queue_trigger(...)"
        )
    handler = declaration.handler
    if declaration.adaptation is not None:
        handler = declaration.adaptation.handler(handler)
    signature = read_signature(handler, name)
    problems += signature.problems
    if signature.parameters is None or not triggers:
        return None, problems
    is_http = triggers[0].key == "httptrigger"
    if not is_http and is_generator(declaration.handler):
        problems.append(
            f"{where}: function {name!r} is a generator, which streams to an http client, and its trigger is "
            f"{triggers[0].type}: return the value instead of yielding it"
        )
    arguments = _Arguments(name, bindings, signature)
    problems += arguments.problems
    if problems:
        return None, problems
    http_output = next((b.name for b in bindings if b.is_http_output), None)
    encoders = {b.name: output_encoder(b) for b in bindings if b.is_output}
    if RETURN not in encoders and triggers[0].takes_return_value:
        encoders[RETURN] = output_encoder(triggers[0])
    return Function(
        name=name,
        handler=handler,
        is_async=is_async(declaration.handler),
        deadline_s=deadline_s,
        bindings=tuple(bindings),
        trigger=triggers[0],
        read_envelope=envelope_reader(
            {b.name: HTTP_VALUE if b.key == "httptrigger" else msgspec.Raw for b in bindings if b.is_input}
        ),
        decoders=tuple(arguments.decoders),
        http_arguments=tuple(arguments.http_arguments),
        outs=tuple(arguments.outs),
        context_argument=arguments.context_argument,
        encoders=encoders,
        return_to=RETURN if RETURN in encoders else http_output,
        http_output=http_output,
        streams_request=arguments.request is not None and calls_stream(declaration.handler, arguments.request),
    ), []


class _Arguments:
    """The arguments of a handler, matched with the function's bindings by name."""

    def __init__(self, function_name: str, bindings: Sequence[Binding], signature: Signature) -> None:
        self.decoders: list[tuple[str, Decoder]] = []
        self.http_arguments: list[tuple[str, Argument]] = []
        self.outs: list[str] = []
        self.context_argument: str | None = None
        self.request: str | None = None  # unless its body is typed, and so whole before the handler runs
        self.problems: list[str] = []
        self._prefix = f"{signature.where}: function {function_name!r}"
        by_name = {b.name: b for b in bindings}
        self._http_trigger = next((b for b in bindings if b.key == "httptrigger"), None)
        self._route = self._route_parameters(function_name)
        for parameter in signature.parameters or ():
            self._match(parameter, by_name.pop(parameter.name, None), bindings)
        for binding in by_name.values():
            self._check_unmatched(binding, signature.returns)

    def _route_parameters(self, function_name: str) -> frozenset[str]:
        trigger = self._http_trigger
        if trigger is None:
            return frozenset()
        try:
            return frozenset(p.name for p in Route(str(trigger.properties.get("route") or function_name)).parameters)
        except RouteError as exc:
            self._problem(
                f"its route ({trigger.where}): {exc} (the host serves no function at all of "
                f"an app that has such a route)"
            )
            return frozenset()

    def _match(self, parameter: inspect.Parameter, binding: Binding | None, bindings: Sequence[Binding]) -> None:
        name, annotation = parameter.name, parameter.annotation
        if binding is None:
            if annotation is Context:
                if self.context_argument is not None:
                    self._problem(
                        f"arguments {self.context_argument!r} and {name!r} both ask for the Context; keep one"
                    )
                self.context_argument = name
            elif name in self._route:
                self._match_route(parameter)
            elif parameter.default is parameter.empty and not _is_variadic(parameter):
                names = ", ".join(repr(b.name) for b in bindings if b.name != RETURN)
                self._problem(
                    f"argument {name!r} has no binding (bindings: {names or 'none'}); add one of that name, rename "
                    f"the argument, or annotate it fastworker.Context"
                )
        elif binding.is_output and not binding.is_input:
            if annotation is parameter.empty or annotation is Out or typing.get_origin(annotation) is Out:
                self.outs.append(name)
            else:
                self._problem(
                    f"argument {name!r} belongs to an output ({binding.where}): annotate it "
                    f"fastworker.Out[{type_name(annotation)}]"
                )
        elif annotation is Out or typing.get_origin(annotation) is Out:
            self._problem(
                f"argument {name!r} is annotated Out, but its binding ({binding.type}, {binding.where}) is an input: "
                f"annotate it with the type of its value"
            )
        else:
            if annotation is parameter.empty:
                annotation = Request if binding.key == "httptrigger" else Any
            try:
                self.decoders.append((name, argument_decoder(binding, annotation)))
                if binding.key == "httptrigger":
                    self.http_arguments.append((name, http_argument(annotation)))
                    if annotation is Request or annotation == Request[Any]:
                        self.request = name
            except TypeError as exc:
                self._problem(f"argument {name!r} ({binding.type}, {binding.where}): {exc}")

    def _match_route(self, parameter: inspect.Parameter) -> None:
        assert self._http_trigger is not None
        name, annotation = parameter.name, parameter.annotation
        if annotation is parameter.empty:
            annotation = str
        default = MISSING if parameter.default is parameter.empty else parameter.default
        try:
            argument = route_argument(name, annotation, default, type_name(annotation))
        except TypeError as exc:
            self._problem(f"argument {name!r} (a route parameter, {self._http_trigger.where}): {exc}")
            return
        self.http_arguments.append((name, argument))
        self.decoders.append((name, route_decoder(self._http_trigger.name, argument)))

    def _check_unmatched(self, binding: Binding, returns: Any) -> None:
        if binding.name == RETURN or binding.is_http_output:
            return
        if binding.is_output and not binding.is_input:
            members = typing.get_args(returns) or (returns,)
            if any(m is Result or typing.get_origin(m) is Result for m in (returns, *members)):
                return
            self._problem(
                f"the output {binding.name!r} ({binding.type}, {binding.where}) is no argument: add `{binding.name}: "
                f"fastworker.Out[...]`, or annotate the handler `-> fastworker.Result` and return Result(..., "
                f"{binding.name}=...)"
            )
        else:
            self._problem(
                f"the {binding.type} binding {binding.name!r} ({binding.where}) is no argument: add `{binding.name}: "
                f"...` to the handler"
            )

    def _problem(self, text: str) -> None:
        self.problems.append(f"{self._prefix}: {text}")


def _is_variadic(parameter: inspect.Parameter) -> bool:
    return parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}


# ---- decoders ----------------------------------------------------------------------------------------------


def as_annotated(binding: Binding, handler: Handler) -> Binding:
    """A decorator's input with the cardinality and data type that the annotation asks for, where it leaves them open.

    Without them the host takes texts for JSON, element by element, and bytes for texts (protocol 2.2, 2.7).
    """
    if not binding.is_input or binding.key not in PAYLOADS:
        return binding
    try:
        annotation = typing.get_type_hints(unwrapped(handler)).get(binding.name, Any)
    except Exception:  # user code; read_signature reports it
        return binding
    annotation = _without_none(annotation)
    is_list = annotation is list or typing.get_origin(annotation) is list
    cardinality = binding.cardinality
    if cardinality is None and is_list and binding.key in BATCH_TRIGGERS:
        cardinality = "many"
    data_type = binding.data_type
    if data_type is None and binding.key not in ALWAYS_BYTES:
        is_batch = cardinality is not None and cardinality.lower() == "many"
        element = _without_none((typing.get_args(annotation) or (Any,))[0]) if is_list and is_batch else annotation
        if typing.get_origin(element) in MESSAGES:
            element = _without_none(typing.get_args(element)[0])
        if element in BYTES:
            data_type = "binary"
        elif binding.key in BATCH_TRIGGERS:
            data_type = "string"
    return replace(binding, cardinality=cardinality, data_type=data_type)


def _without_none(annotation: Any) -> Any:
    """`T` of `T | None`, and of `Annotated[T, ...]`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else annotation
    return annotation


def http_argument(annotation: Any) -> Argument:
    """What an annotation makes of an http request. Raises TypeError for a type that msgspec cannot decode."""
    if (typing.get_origin(annotation) or annotation) is Request:
        (body_type,) = typing.get_args(annotation) or (Any,)
        return request_argument(body_type, type_name(body_type))
    return body_conversion(annotation, type_name(annotation))


def argument_decoder(binding: Binding, annotation: Any) -> Decoder:
    """The decoder of an input for an annotation. Raises TypeError if the two do not fit."""
    name = binding.name
    origin = typing.get_origin(annotation) or annotation
    if binding.key == "httptrigger":
        return http_decoder(name, http_argument(annotation))
    if origin is Request:
        raise TypeError("a Request comes from an http trigger only: annotate it with the type of its value")
    is_bytes = binding.key in ALWAYS_BYTES or (binding.is_binary and binding.key not in NEVER_BYTES)
    if binding.is_batch:
        if annotation is not Any and origin is not list:
            raise TypeError(f"cardinality 'many' delivers a list: annotate it list[{type_name(annotation)}]")
        (element,) = typing.get_args(annotation) or (Any,)
        element_origin = typing.get_origin(element) or element
        if element_origin in MESSAGES:
            return _message_batch_decoder(binding, element_origin, element, is_bytes)
        return batch_decoder(name, conversion(element), binary=is_bytes)
    if origin in MESSAGES:
        return _message_decoder(binding, origin, annotation, is_bytes)
    if STRUCTS.get(origin, binding.key) != binding.key:
        raise TypeError(f"{type_name(annotation)} belongs to {STRUCTS[origin]}, not to {binding.type}")
    return _decoder(binding, annotation, is_bytes)


def _decoder(binding: Binding, annotation: Any, is_bytes: bool) -> Decoder:
    to = conversion(annotation)
    if is_bytes:
        return bytes_decoder(binding.name, to, is_trigger=binding.is_trigger)
    return text_decoder(binding.name, to)


def _message_types(binding: Binding, cls: type[Message[Any]], annotation: Any, is_bytes: bool) -> list[Any]:
    """The type of the payload, and that of the body."""
    if binding.key not in cls.triggers:
        raise TypeError(f"{cls.__name__} belongs to {' or '.join(sorted(cls.triggers))}, not to {binding.type}")
    payload = bytes if is_bytes else str
    (body,) = typing.get_args(annotation) or (payload,)
    return [payload, body]


def _message_decoder(binding: Binding, cls: type[Message[Any]], annotation: Any, is_bytes: bool) -> Decoder:
    payload_type, body_type = _message_types(binding, cls, annotation, is_bytes)
    payload_of = _decoder(binding, payload_type, is_bytes)
    body_of = payload_of if body_type is payload_type else _decoder(binding, body_type, is_bytes)

    def decode(raw: Any, envelope: Envelope) -> Message[Any]:
        return cls(payload_of(raw, envelope), body_of(raw, envelope), Metadata(envelope.Metadata))

    return decode


def _message_batch_decoder(binding: Binding, cls: type[Message[Any]], element: Any, is_bytes: bool) -> Decoder:
    payload_type, body_type = _message_types(binding, cls, element, is_bytes)
    payloads_of = batch_decoder(binding.name, conversion(payload_type), binary=is_bytes)
    bodies_of = batch_decoder(binding.name, conversion(body_type), binary=is_bytes)

    def decode(raw: Any, envelope: Envelope) -> list[Message[Any]]:
        whole = Metadata(envelope.Metadata)
        pairs = zip(payloads_of(raw, envelope), bodies_of(raw, envelope), strict=True)
        return [cls(payload, body, ElementMetadata(whole, i)) for i, (payload, body) in enumerate(pairs)]

    return decode


def type_name(annotation: Any) -> str:
    """An annotation as its user wrote it, or nearly so."""
    if typing.get_origin(annotation) is None and isinstance(annotation, type):
        return annotation.__qualname__.rpartition("<locals>.")[2]
    return str(annotation).replace("typing.", "")
