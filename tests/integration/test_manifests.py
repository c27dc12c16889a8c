"""What `new --with` and `add` write is judged by the tools of those who read it (extra `manifests`)."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

APP = """
import fastworker as fw
app = fw.App()

@app.route("hello", auth_level="anonymous")
def hello(req: fw.Request) -> str:
    return "hi"

@app.queue_trigger("job", queue_name="orders")
def orders(job: str) -> None: ...

@app.service_bus_queue_trigger("message", queue_name="bus", connection="Bus")
def bus(message: str) -> None: ...

@app.event_hub_message_trigger("event", event_hub_name="hub", connection="Hub")
def hub(event: str) -> None: ...

@app.blob_trigger("blob", path="in/{name}", connection="Files")
def blob(blob: bytes) -> None: ...

@app.timer_trigger("timer", schedule="0 30 6 * * *")
def nightly(timer: fw.TimerRequest) -> None: ...

@app.timer_trigger("timer", schedule="0 */5 * * * *")
def often(timer: fw.TimerRequest) -> None: ...
"""
PARTS = "docker,azd,kubernetes,github,devcontainer"


def tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} comes with the extra `manifests`")
    return found


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def fastworker(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fastworker", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app with every kind of trigger that scales, and one that keeps an instance alive."""
    root: Path = tmp_path_factory.mktemp("made") / "My Shop"
    root.mkdir()
    (root / "function_app.py").write_text(APP)
    done = fastworker("add", *PARTS.split(","), cwd=root)
    assert done.returncode == 0, done.stderr
    return root


def test_dockerfiles_pass_hadolint(app: Path) -> None:
    run(tool("hadolint"), "Dockerfile", "Dockerfile.slim", cwd=app)


def test_the_workflow_passes_actionlint(app: Path) -> None:
    run(tool("actionlint"), ".github/workflows/deploy.yml", cwd=app)


@pytest.mark.parametrize("name", ["deployment", "service", "poddisruptionbudget"])
def test_kubernetes_own_kinds_pass_its_schemas(app: Path, name: str) -> None:
    run(tool("kubernetes-validate"), "--strict", f"k8s/{name}.yaml", cwd=app)


def test_the_scaled_object_passes_kedas_schema(app: Path) -> None:
    models = pytest.importorskip("cloudcoil.models.keda.v1alpha1", reason="comes with the extra `manifests`")
    found: Any = models.ScaledObject.model_validate(yaml.safe_load((app / "k8s/scaledobject.yaml").read_text()))
    kinds = [trigger.type for trigger in found.spec.triggers]
    assert kinds == ["azure-blob", "azure-servicebus", "azure-eventhub", "cron", "azure-queue", "external-push"]
    assert found.spec.min_replica_count == 1


def test_the_bicep_file_parses(app: Path) -> None:
    """No registry has the compiler; the grammar finds what is misspelled, not what is mistyped."""
    grammar = pytest.importorskip("tree_sitter_bicep", reason="comes with the extra `manifests`")
    tree_sitter = pytest.importorskip("tree_sitter", reason="comes with the extra `manifests`")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    text = (app / "infra/main.bicep").read_bytes()
    assert not parser.parse(text).root_node.has_error
    assert parser.parse(text.replace(b"resource plan", b"resource plan plan")).root_node.has_error


def test_nothing_is_overwritten_and_a_wrong_part_is_named(app: Path) -> None:
    before = (app / "Dockerfile").read_bytes()
    done = fastworker("add", "docker", cwd=app)
    assert done.returncode == 2
    assert "Dockerfile" in done.stderr
    assert "nothing is overwritten" in done.stderr
    assert (app / "Dockerfile").read_bytes() == before
    done = fastworker("add", "helm", cwd=app)
    assert done.returncode == 2
    assert "no such part: helm; there are docker, azd, kubernetes" in done.stderr


def test_new_writes_the_parts_beside_the_app(tmp_path: Path) -> None:
    done = fastworker("new", "shop", "--with", "docker,github", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "  Dockerfile" in done.stdout
    assert (tmp_path / "shop/.github/workflows/deploy.yml").exists()
    done = fastworker("new", "other", "--with", "helm", cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "other").exists()
