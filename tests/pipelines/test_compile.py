"""The compiled YAML against golden files, and what the cluster needs of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from counterpoint.config import load
from pipelines.catalogue import PIPELINES
from pipelines.commands.compile import compile_all

GOLDEN = Path(__file__).parent / "golden"
PROD = Path("k8s/overlays/prod/counterpoint.yaml")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    compile_all(load([PROD]), folder)
    return folder


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.safe_load_all(path.read_text())
    return spec, platform


@pytest.mark.parametrize("name", PIPELINES)
def test_compiled_yaml_equals_the_golden_file(compiled: Path, name: str) -> None:
    """Parsed, since the head comment lists defaults in an order that changes from run to run.

    Renew with:
    counterpoint compile -c k8s/overlays/prod/counterpoint.yaml --output tests/pipelines/golden
    """
    assert documents(compiled / f"{name}.yaml") == documents(GOLDEN / f"{name}.yaml")


def test_every_step_has_our_image_resources_retries_and_a_name(compiled: Path) -> None:
    spec, _ = documents(compiled / "training.yaml")
    executors = spec["deploymentSpec"]["executors"]
    assert len(executors) == 8
    for executor in executors.values():
        container = executor["container"]
        assert container["image"].startswith("registry.example.com/ml/counterpoint-")
        assert not container["image"].endswith("latest")
        assert {"cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit"} <= set(
            container["resources"]
        )
    tasks = [
        task
        for component in [spec["root"], *spec["components"].values()]
        for task in component.get("dag", {}).get("tasks", {}).values()
        if not task["componentRef"]["name"].startswith("comp-condition")
    ]
    assert len(tasks) == 8
    for task in tasks:
        assert task["retryPolicy"]["maxRetryCount"] == 2
        assert task["taskInfo"]["name"][0].isupper()


def test_only_train_asks_for_a_gpu_and_goes_to_gpu_nodes(compiled: Path) -> None:
    spec, platform = documents(compiled / "training.yaml")
    executors = spec["deploymentSpec"]["executors"]
    with_gpu = [n for n, e in executors.items() if "accelerator" in e["container"]["resources"]]
    assert with_gpu == ["exec-train"]
    placed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, settings in placed.items():
        on_gpu_nodes = "nodeSelector" in settings and "tolerations" in settings
        assert on_gpu_nodes == (name == "exec-train")


def test_deployment_hangs_on_the_gate(compiled: Path) -> None:
    spec, _ = documents(compiled / "training.yaml")
    tasks = spec["root"]["dag"]["tasks"]
    (condition,) = [task for name, task in tasks.items() if name.startswith("condition")]
    assert "'promote'" in condition["triggerPolicy"]["condition"]
    inner = spec["components"][condition["componentRef"]["name"]]["dag"]["tasks"]
    assert set(inner) == {"export", "deploy"}
    assert not {"export", "deploy"} & set(tasks)


def test_monitoring_nests_the_training_pipeline(compiled: Path) -> None:
    spec, _ = documents(compiled / "monitoring.yaml")
    assert "comp-training" in spec["components"]
    (condition,) = [
        task for name, task in spec["root"]["dag"]["tasks"].items() if name.startswith("condition")
    ]
    assert "'retrain'" in condition["triggerPolicy"]["condition"]
