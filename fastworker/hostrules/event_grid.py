"""The Event Grid trigger's webhook, `/runtime/webhooks/eventgrid` (protocol 6.2, extension 3.3.0).

Used by the local host. Rule: pure; says what a request means, the caller runs the functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastworker.hostrules.envelope import TriggerData
from fastworker.hostrules.http_headers import header_value
from fastworker.hostrules.newtonsoft import JsonError, decode, read_json

PATH: Final = "/runtime/webhooks/eventgrid"
TEXT: Final = (("Content-Type", "text/plain; charset=utf-8"),)
ALLOWED_ORIGIN: Final = (("Webhook-Allowed-Origin", "eventgrid.azure.net"),)


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """What the sender of the events gets."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Calls:
    """One invocation per member of `triggers`, all at once; then `replied` tells the answer."""

    triggers: list[TriggerData] = field(default_factory=list)


def webhook(method: str, headers: tuple[tuple[str, str], ...], body: bytes, *, is_batch: bool) -> WebhookReply | Calls:
    """What a request for a function with an Event Grid trigger means. `is_batch` is its cardinality `many`."""
    if method.upper() == "OPTIONS":
        return WebhookReply(200, headers=ALLOWED_ORIGIN)
    kind = header_value(headers, "aeg-event-type").strip().lower()
    if method.upper() != "POST" or kind not in ("subscriptionvalidation", "notification", "unsubscribe"):
        return WebhookReply(400)
    if kind == "unsubscribe":
        return WebhookReply(202)
    events = _events(headers, body)
    if events is None:
        return WebhookReply(500)
    if kind == "notification":
        return Calls(trigger_data(events, is_batch=is_batch))
    code = _validation_code(events)
    return (
        WebhookReply(500) if code is None else WebhookReply(200, b'{"validationResponse":"%b"}' % code.encode(), TEXT)
    )


def no_function(name: str) -> WebhookReply:
    """For a function that does not exist, or has another trigger; names are compared with their case."""
    return WebhookReply(404, f"cannot find function: '{name}'".encode(), TEXT)


def replied(function: str, failed: bool) -> WebhookReply:
    """The answer when the invocations are over."""
    if failed:
        return WebhookReply(500, f"Exception while executing function: Functions.{function}".encode(), TEXT)
    return WebhookReply(202)


def _events(headers: tuple[tuple[str, str], ...], body: bytes) -> list[dict[str, Any]] | None:
    if header_value(headers, "content-type").lower().strip().startswith("application/x-www-form-urlencoded"):
        return None
    try:
        document = read_json(decode(body))
    except JsonError:
        return None
    events = document if isinstance(document, list) else [document]
    return events if all(isinstance(event, dict) for event in events) else None


def _validation_code(events: list[dict[str, Any]]) -> str | None:
    data = events[0].get("data") if events else None
    if isinstance(data, str):  # so CloudEvents subscriptions send it
        try:
            data = read_json(data)
        except JsonError:
            return None
    code = data.get("validationCode") if isinstance(data, Mapping) else None
    return code if isinstance(code, str) else None


def trigger_data(events: list[dict[str, Any]], *, is_batch: bool) -> list[TriggerData]:
    """The trigger's values: each event as it was sent, or one array of them as text."""
    if is_batch:
        data = [event.get("data") for event in events]
        return [TriggerData(events, {"data": data})] if events else []
    return [TriggerData(event, {"data": event["data"]} if event.get("data") is not None else {}) for event in events]
