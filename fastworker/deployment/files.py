"""The files of each part (docker, azd, kubernetes, ...): templates with this app's name and figures filled in.

Used by commands/add.py and commands/new.py. Rule: one set of figures for all parts: they agree.
"""

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from fastworker.deployment.keda import Members, Scaling, scaling

PARTS: Final = ("docker", "azd", "kubernetes", "github", "devcontainer", "mcp")
SUFFIX: Final = ".tmpl"
# Where kubectl, and whoever reads the repository, look for manifests.
KUBERNETES_FOLDER: Final = "k8s"
# The Functions host itself, and what a worker takes beside the app's own data.
HOST_MIB, WORKER_MIB = 400, 150
# The host's own steps before and after the drain.
GRACE_BESIDE_DRAIN_S: Final = 15
MOST_PODS: Final = 20
# Requests at a time for an instance of Flex Consumption with one CPU.
HTTP_CONCURRENCY: Final = 8


class Figures(NamedTuple):
    """What all parts agree on. `drain` in seconds."""

    name: str
    python: str
    workers: int
    drain: int


def part_files(part: str, functions: Mapping[str, Sequence[Members]], figures: Figures) -> dict[str, str]:
    """Path below the app's folder -> text, for one of PARTS.

    Args:
        functions: by function, the members of its bindings as in function.json.
    """
    name = resource_name(figures.name)
    scaled = scaling(functions, name, figures.workers)
    values = {
        "name": name,
        "python": figures.python,
        "workers": str(figures.workers),
        "drain": str(figures.drain),
        "grace": str(figures.drain + GRACE_BESIDE_DRAIN_S),
        "memory": str(HOST_MIB + figures.workers * WORKER_MIB),
        "connections": ", ".join(scaled.connections),
        "http_concurrency": str(HTTP_CONCURRENCY),
    }
    base = Path(str(resources.files("fastworker"))) / "templates" / "with" / part
    folder = f"{KUBERNETES_FOLDER}/" if part == "kubernetes" else ""
    found = {}
    for path in sorted(base.rglob(f"*{SUFFIX}")):
        text = re.sub(r"(?<!\$)\{\{(\w+)\}\}", lambda match: values[match[1]], path.read_text())
        found[folder + str(path.relative_to(base)).removesuffix(SUFFIX)] = text
    if part == "kubernetes":
        found |= {f"{folder}{file}": text for file, text in _scaled_files(name, scaled).items()}
    return found


def resource_name(name: str) -> str:
    """A folder's name as Kubernetes and azd take one: `My Shop_2` becomes `my-shop-2`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "app"


def _scaled_files(name: str, scaled: Scaling) -> dict[str, str]:
    found = {"scaledobject.yaml": _with_notes(scaled.notes, _scaled_object(name, scaled))}
    if scaled.has_http:
        found["interceptorroute.yaml"] = _with_notes(
            ["Requests come through the HTTP add-on of KEDA, which counts them. Name your own host."],
            _interceptor_route(name),
        )
    return found


def _scaled_object(name: str, scaled: Scaling) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "scaleTargetRef": {"name": name},
        "minReplicaCount": scaled.minimum,
        "maxReplicaCount": MOST_PODS,
        "triggers": scaled.triggers,
    }
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name}, "spec": spec}


def _interceptor_route(name: str) -> dict[str, Any]:
    spec = {
        "target": {"service": name, "port": 80},
        "rules": [{"hosts": [f"{name}.example.com"]}],
        "scalingMetric": {"concurrency": {"targetValue": HTTP_CONCURRENCY}},
    }
    return {"apiVersion": "http.keda.sh/v1beta1", "kind": "InterceptorRoute", "metadata": {"name": name}, "spec": spec}


def _with_notes(notes: Sequence[str], document: Mapping[str, Any]) -> str:
    return "".join(f"# {note}\n" for note in notes) + str(yaml.safe_dump(document, sort_keys=False))
