"""Manifests from an app's bindings: which trigger scales by what, and figures that agree."""

import json
from typing import Any

import pytest
import yaml

from fastworker.deployment.files import PARTS, Figures, part_files, resource_name
from fastworker.deployment.keda import scaling

FIGURES = Figures("My Shop", "3.12", 4, 30)
HTTP = [{"type": "httpTrigger", "name": "req"}, {"type": "http", "name": "res", "direction": "out"}]


def only(**members: Any) -> dict[str, Any]:
    """The one trigger for a function with this binding, of a pod with two workers."""
    (found,) = scaling({"f": [members]}, "shop", 2).triggers
    return found


@pytest.mark.parametrize(
    ("binding", "kind", "metadata"),
    [
        (
            {"type": "queueTrigger", "queueName": "orders"},
            "azure-queue",
            {"queueName": "orders", "queueLength": "8", "connectionFromEnv": "AzureWebJobsStorage"},
        ),
        (
            {"type": "serviceBusTrigger", "queueName": "q", "connection": "Bus"},
            "azure-servicebus",
            {"messageCount": "8", "connectionFromEnv": "Bus", "queueName": "q"},
        ),
        (
            {"type": "serviceBusTrigger", "topicName": "t", "subscriptionName": "s", "connection": "Bus"},
            "azure-servicebus",
            {"messageCount": "8", "connectionFromEnv": "Bus", "topicName": "t", "subscriptionName": "s"},
        ),
        (
            {"type": "blobTrigger", "path": "in/daily/{name}.csv", "connection": "Files"},
            "azure-blob",
            {"blobContainerName": "in", "blobPrefix": "daily/", "blobCount": "8", "connectionFromEnv": "Files"},
        ),
        (
            {"type": "timerTrigger", "schedule": "0 30 6 * * 1-5"},
            "cron",
            {"timezone": "Etc/UTC", "start": "30 6 * * 1-5", "end": "40 6 * * 1-5", "desiredReplicas": "1"},
        ),
        (
            {"type": "kafkaTrigger", "brokerList": "b:9092", "topic": "t", "consumerGroup": "g"},
            "kafka",
            {"bootstrapServers": "b:9092", "topic": "t", "consumerGroup": "g", "lagThreshold": "64"},
        ),
        (
            {"type": "rabbitMQTrigger", "queueName": "q", "connectionStringSetting": "Rabbit"},
            "rabbitmq",
            {"queueName": "q", "mode": "QueueLength", "value": "8", "hostFromEnv": "Rabbit"},
        ),
    ],
)
def test_each_trigger_scales_by_what_it_waits_for(binding: dict[str, Any], kind: str, metadata: dict[str, str]) -> None:
    assert only(name="x", **binding) == {"type": kind, "metadata": metadata}


def test_event_hubs_are_counted_by_the_hosts_own_checkpoints() -> None:
    found = only(type="eventHubTrigger", name="x", eventHubName="h", connection="Hub")
    assert found["metadata"]["checkpointStrategy"] == "azureFunction"
    assert found["metadata"]["storageConnectionFromEnv"] == "AzureWebJobsStorage"


@pytest.mark.parametrize(
    ("binding", "why"),
    [
        ({"type": "queueTrigger", "queueName": "%QUEUE%"}, "queueName '%QUEUE%' is known to the Functions host only"),
        ({"type": "blobTrigger", "path": "{c}/{name}"}, "the container of its path"),
        ({"type": "timerTrigger", "schedule": "0 */5 * * * *"}, "is due too often"),
        ({"type": "timerTrigger", "schedule": "0 59 5 * * *"}, "leaves no window"),
        ({"type": "timerTrigger", "schedule": "%SCHEDULE%"}, "known to the Functions host only"),
        ({"type": "cosmosDBTrigger"}, "KEDA has no scaler for a cosmosDBTrigger"),
    ],
)
def test_what_no_scaler_can_watch_keeps_an_instance_and_is_noted(binding: dict[str, Any], why: str) -> None:
    found = scaling({"f": [{"name": "x", **binding}], "web": HTTP}, "shop", 2)
    assert found.minimum == 1
    assert [trigger["type"] for trigger in found.triggers] == ["external-push"]
    (note,) = found.notes
    assert note.startswith("f: ")
    assert why in note


def test_one_scaled_object_names_all_triggers_and_http_has_a_route() -> None:
    """KEDA takes one ScaledObject for a Deployment."""
    functions = {"q": [{"type": "queueTrigger", "name": "m", "queueName": "orders"}], "web": HTTP}
    files = part_files("kubernetes", functions, FIGURES)
    (name,) = [name for name, text in files.items() if "kind: ScaledObject" in text]
    scaled = yaml.safe_load(files[name])
    assert [trigger["type"] for trigger in scaled["spec"]["triggers"]] == ["azure-queue", "external-push"]
    route = yaml.safe_load(files["k8s/interceptorroute.yaml"])
    service = yaml.safe_load(files["k8s/service.yaml"])
    assert route["spec"]["target"] == {
        "service": service["metadata"]["name"],
        "port": service["spec"]["ports"][0]["port"],
    }


def test_workers_cpus_memory_and_grace_agree() -> None:
    deployment = yaml.safe_load(part_files("kubernetes", {"web": HTTP}, FIGURES)["k8s/deployment.yaml"])
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environ["FASTWORKER_WORKERS"] == container["resources"]["limits"]["cpu"] == "4"
    assert pod["terminationGracePeriodSeconds"] > float(environ["FASTWORKER_DRAIN"])
    assert container["resources"]["requests"] == container["resources"]["limits"]


@pytest.mark.parametrize("part", PARTS)
def test_no_placeholder_is_left(part: str) -> None:
    """`${{ }}` is GitHub's own."""
    files = part_files(part, {"web": HTTP}, FIGURES)
    assert files
    for name, text in files.items():
        assert "{{" not in text.replace("${{", ""), name
        if name.endswith("devcontainer.json"):
            assert json.loads(text)["image"].endswith(":3.12")


@pytest.mark.parametrize(
    ("name", "made"),
    [("My Shop_2", "my-shop-2"), ("--", "app"), ("x" * 60, "x" * 40), ("Bücher", "b-cher"), ("a.b", "a-b")],
)
def test_a_folders_name_becomes_one_that_kubernetes_takes(name: str, made: str) -> None:
    assert resource_name(name) == made
