"""conventions.py: what spans are called and say, held against OpenTelemetry's own list of names."""

import importlib
import pkgutil

import pytest

from fastworker.telemetry.conventions import SYSTEMS, TRIGGERS, describe, http_request, resource, trigger_data

SITE = {
    "WEBSITE_SITE_NAME": "shop",
    "WEBSITE_OWNER_NAME": "1234+westeurope-webspace",
    "WEBSITE_RESOURCE_GROUP": "group",
    "WEBSITE_INSTANCE_ID": "abc",
    "WEBSITE_SLOT_NAME": "staging",
    "REGION_NAME": "West Europe",
}


@pytest.mark.parametrize(
    ("key", "properties", "name", "kind", "told"),
    [
        ("httptrigger", {"route": "orders/{id}"}, "/api/orders/{id}", "server", {"http.route": "/api/orders/{id}"}),
        ("httptrigger", {}, "/api/f", "server", {"faas.trigger": "http"}),
        (
            "queuetrigger",
            {"queueName": "orders"},
            "process orders",
            "consumer",
            {"messaging.destination.name": "orders"},
        ),
        (
            "servicebustrigger",
            {"topicName": "t", "subscriptionName": "s"},
            "process t",
            "consumer",
            {"messaging.system": "servicebus", "messaging.destination.subscription.name": "s"},
        ),
        (
            "eventhubtrigger",
            {"eventHubName": "hub", "consumerGroup": "g"},
            "process hub",
            "consumer",
            {"messaging.system": "eventhubs", "messaging.consumer.group.name": "g"},
        ),
        ("blobtrigger", {"path": "in/{name}"}, "f", "server", {"faas.document.collection": "in/{name}"}),
        ("timertrigger", {"schedule": "0 * * * * *"}, "f", "server", {"faas.cron": "0 * * * * *"}),
        ("manualtrigger", {}, "f", "server", {"faas.trigger": "other"}),
    ],
)
def test_a_function_is_described_by_its_trigger(key, properties, name, kind, told):
    found = describe("f", key, properties, "api", {})
    assert (found.name, found.kind) == (name, kind)
    assert told.items() <= found.attributes.items()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("GET", "/a?code=secret"), {"http.request.method": "GET", "url.path": "/a"}),
        (("get", "/"), {"http.request.method": "GET", "http.request.method_original": "get", "url.path": "/"}),
        (("FOO", "/"), {"http.request.method": "_OTHER", "http.request.method_original": "FOO", "url.path": "/"}),
        (
            ("GET", "/", "https", "x:443", "curl"),
            {
                "http.request.method": "GET",
                "url.path": "/",
                "url.scheme": "https",
                "server.address": "x",
                "server.port": 443,
                "user_agent.original": "curl",
            },
        ),
        (("GET", "/", "", "[::1]"), {"http.request.method": "GET", "url.path": "/", "server.address": "[::1]"}),
        (("GET", "/" + "x" * 999), {"http.request.method": "GET", "url.path": "/" + "x" * 255}),
    ],
)
def test_a_request_is_told_without_its_query_and_cut(arguments, told):
    assert http_request(*arguments) == told


@pytest.mark.parametrize(
    ("key", "metadata", "told"),
    [
        ("queuetrigger", {"Id": "m1"}, {"messaging.message.id": "m1"}),
        (
            "servicebustrigger",
            {"MessageId": "m", "DeliveryCount": 2},
            {"messaging.message.id": "m", "messaging.servicebus.message.delivery_count": 2},
        ),
        ("eventhubtrigger", {"SequenceNumberArray": [1, 2]}, {"messaging.batch.message_count": 2}),
        ("blobtrigger", {"BlobTrigger": "in/a/b.png"}, {"faas.document.name": "a/b.png"}),
        ("queuetrigger", {"Id": 7}, {}),
    ],
)
def test_metadata_tell_of_the_message(key, metadata, told):
    assert trigger_data(key, metadata) == told


def test_every_name_is_one_of_the_conventions():
    """None is made up, but for what begins with fastworker's own."""
    attributes = pytest.importorskip("opentelemetry.semconv._incubating.attributes")
    names = set()
    for package in (attributes, importlib.import_module("opentelemetry.semconv.attributes")):
        for module in pkgutil.iter_modules(package.__path__):
            found = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
            names |= {value for value in found.values() if isinstance(value, str)}
    said = {*resource(SITE, "app"), *http_request("FOO", "/", "http", "x:1", "curl")}
    members = {"queueName": "q", "subscriptionName": "s", "consumerGroup": "g", "schedule": "s", "path": "p"}
    metadata = {"MessageId": "m", "DeliveryCount": 1, "MessageIdArray": ["m"], "BlobTrigger": "a/b"}
    for key in TRIGGERS:
        said |= {*describe("f", key, members, "api", SITE).attributes, *trigger_data(key, metadata)}
    said |= {"http.response.status_code", "error.type", "faas.invocation_id"}
    assert said - names == set()


def test_systems_are_named_as_the_conventions_have_them():
    """But for Storage queues and Redis, for which they have no name."""
    module = pytest.importorskip("opentelemetry.semconv._incubating.attributes.messaging_attributes")
    known = {member.value for member in module.MessagingSystemValues}
    assert set(SYSTEMS.values()) - known == {"azure_queue_storage", "redis"}
    assert set(SYSTEMS) <= {key for key, trigger in TRIGGERS.items() if trigger == "pubsub"}


def test_in_azure_an_app_is_named_as_azure_names_it():
    assert resource(SITE, "app") == {
        "service.name": "shop",
        "cloud.provider": "azure",
        "cloud.platform": "azure.functions",
        "cloud.region": "West Europe",
        "faas.instance": "abc",
        "deployment.environment.name": "staging",
        "cloud.account.id": "1234",
        "cloud.resource_id": "/subscriptions/1234/resourceGroups/group/providers/Microsoft.Web/sites/shop",
    }
    assert resource({}, "app") == {"service.name": "app"}
    assert describe("f", "timertrigger", {}, "", SITE).attributes["faas.name"] == "shop/f"
