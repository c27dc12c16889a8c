"""From an http request to an argument of the handler: the request, its body as a type, a route parameter.

build.py picks one per argument at start-up. The same Argument serves both shapes: a decoder puts the envelope's request
object in front of it, plain HTTP brings a request of its own (plain_http.py).
Rule: pure. What does not fit is the client's 400, told with the place and what was expected.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from fastworker.protocol.envelope import DECODE_ERRORS, Decoder, Envelope, conversion, explain
from fastworker.protocol.messages import ClientError, HttpData, Request, read_http, wrong_body


def body_conversion(annotation: Any, type_name: str) -> Callable[[Request[Any]], Any]:
    """How a request's body becomes `annotation`. Raises TypeError for a type that msgspec cannot decode."""
    from_text, _, from_bytes, optional = conversion(annotation)
    as_bytes = from_text is str.encode

    def convert(request: Request[Any]) -> Any:
        payload = request._payload_of(as_bytes=True) if as_bytes else request._payload_of()
        try:
            if type(payload) is str:
                return from_text(payload)
            if payload is not None:
                return from_bytes(payload)  # type: ignore[arg-type]
        except DECODE_ERRORS as exc:
            raise wrong_body(exc) from None
        if optional:
            return None
        raise ClientError(f"body: expected {type_name}, got nothing")

    return convert


# From a request to an argument of the handler.
Argument = Callable[[Request[Any]], Any]


def request_argument(body_type: Any, type_name: str) -> Argument:
    """For a handler that asks for `Request[body_type]`; Any leaves the body to be read when asked for."""
    if body_type is Any:
        return _same_request
    convert = body_conversion(body_type, type_name)

    def argument(request: Request[Any]) -> Request[Any]:
        request._body = convert(request)
        return request

    return argument


def route_argument(name: str, annotation: Any, default: Any, type_name: str) -> Argument:
    """For a handler that asks for a route parameter by name; `default` is what an absent one becomes.

    Raises TypeError for a type that msgspec cannot convert to.
    """
    if annotation is not str and annotation is not Any:
        conversion(annotation)

    def argument(request: Request[Any]) -> Any:
        value = request.params.get(name)
        if value is None:
            if default is MISSING:
                raise ClientError(f"route parameter {name!r}: expected {type_name}, got nothing")
            return default
        if annotation is str or annotation is Any:
            return value
        try:
            return msgspec.convert(value, annotation, strict=False)
        except msgspec.ValidationError as exc:
            raise ClientError(f"route parameter {name!r}: {explain(exc)[1]}") from None

    return argument


# A parameter without a default.
MISSING = object()


def _same_request(request: Request[Any]) -> Request[Any]:
    return request


def http_decoder(trigger: str, argument: Argument) -> Decoder:
    """The argument, from the request object that the envelope holds under the trigger's name."""
    if argument is _same_request:

        def decode(value: Any, envelope: Envelope) -> Any:
            return Request(trigger, value if type(value) is HttpData else read_http(trigger, value))
    else:

        def decode(value: Any, envelope: Envelope) -> Any:
            return argument(Request(trigger, value if type(value) is HttpData else read_http(trigger, value)))

    return decode


def route_decoder(trigger: str, argument: Argument) -> Decoder:
    """A route parameter, whose place in the envelope is within the trigger's value."""
    null = msgspec.Raw(b"{}")
    return lambda raw, envelope: argument(Request(trigger, read_http(trigger, envelope.Data.get(trigger, null))))
