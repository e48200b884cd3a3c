"""Several GPUs of one pod, and several nodes, in the compiled training pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from counterpoint.config import Config, TrainConfig, load
from counterpoint.config.trainjob import SHARED_MEMORY, TrainJobConfig
from counterpoint.errors import ConfigError
from pipelines.nodes import with_nodes
from pipelines.placement import STATE
from pipelines.training import build, sections

PROD = Path("k8s/overlays/prod/counterpoint.yaml")
CONFIGS = Path("pipelines/configs")
TRAINJOB = "train.encoder.tune.trainjob"


def compiled(config: Config, folder: Path) -> tuple[dict[str, Any], dict[str, Any], TrainConfig]:
    """The container of the step, its settings for Kubernetes, and what it is told."""
    target = folder / "training.yaml"
    compiler.Compiler().compile(build(config), str(target))
    spec, platform = yaml.safe_load_all(target.read_text())
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    told = TrainConfig.model_validate(parameters["train_config"]["defaultValue"])
    placed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    return spec["deploymentSpec"]["executors"]["exec-train"]["container"], placed, told


def job_of(config: TrainConfig) -> TrainJobConfig:
    assert config.encoder.tune is not None and config.encoder.tune.trainjob is not None
    return config.encoder.tune.trainjob


def test_several_gpus_of_one_pod(tmp_path: Path) -> None:
    container, placed, told = compiled(load([PROD, CONFIGS / "gpus.yaml"]), tmp_path)
    accelerator = container["resources"]["accelerator"]
    assert int(accelerator["resourceCount"]) == 4
    assert accelerator["resourceType"] == "nvidia.com/gpu"
    assert told.encoder.tune is not None and told.encoder.tune.processes == 0
    (shared,) = placed["emptyDirMounts"]
    assert shared["mountPath"] == "/dev/shm" and shared["medium"] == "Memory"
    assert shared["sizeLimit"] == SHARED_MEMORY
    assert "nodeSelector" in placed and "tolerations" in placed


def test_one_gpu_needs_no_shared_memory(tmp_path: Path) -> None:
    container, placed, told = compiled(load([PROD]), tmp_path)
    assert int(container["resources"]["accelerator"]["resourceCount"]) == 1
    assert "emptyDirMounts" not in placed and told.encoder.tune is None


def test_several_nodes_run_the_image_of_the_step_on_its_claim(tmp_path: Path) -> None:
    container, placed, told = compiled(load([PROD, CONFIGS / "nodes.yaml"]), tmp_path)
    job = job_of(told)
    assert job.image == container["image"] == "registry.example.com/ml/counterpoint-train:0.1.0"
    (mount,) = placed["pvcMount"]
    assert (mount["constant"], mount["mountPath"]) == (job.claim, job.mount_path)
    assert job.mount_path == STATE
    assert (job.nodes, job.namespace) == (2, None)
    assert job.node is not None and (job.node.cpu, job.node.accelerators) == ("16", 4)


def test_a_node_is_what_the_step_would_be(tmp_path: Path) -> None:
    config = load([PROD], [f"{TRAINJOB}.nodes=3", "cluster.accelerators=2"])
    container, placed, told = compiled(config, tmp_path)
    node = job_of(told).node
    assert node is not None
    limits = container["resources"]
    assert node.cpu == limits["resourceCpuLimit"]
    assert node.memory == limits["resourceMemoryLimit"]
    assert node.accelerators == int(limits["accelerator"]["resourceCount"])
    assert node.node_selector == placed["nodeSelector"]["labels"]
    (toleration,) = placed["tolerations"]
    assert (toleration["key"], toleration["effect"]) == (
        node.toleration_key,
        node.toleration_effect,
    )


def test_cpu_nodes_are_not_sought_among_gpu_nodes() -> None:
    config = load([], [f"{TRAINJOB}.nodes=2", "cluster.accelerators=0"])
    node = job_of(with_nodes(config).train).node
    assert node is not None and node.accelerators == 0 and node.node_selector == {}


def test_it_survives_the_way_through_kubeflow() -> None:
    """KFP sends every number as a float and knows no null."""
    config = load([PROD, CONFIGS / "nodes.yaml"])
    sent = json.loads(json.dumps(sections(config)["train"]), parse_int=float)
    assert TrainConfig.model_validate(sent) == with_nodes(config).train
    assert isinstance(job_of(TrainConfig.model_validate(sent)).nodes, int)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["cluster.state_claim="], "cluster.state_claim is empty"),
        ([f"{TRAINJOB}.claim=other"], "Both must be one claim"),
        (["cluster.timeout_seconds=3600"], "more time than the job"),
        (["cluster.steps={train: {cpu_limit: 8 cores}}"], "cpu = '8 cores'"),
    ],
)
def test_settings_that_do_not_fit(overrides: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        sections(load([], [f"{TRAINJOB}.nodes=2", *overrides]))


def test_without_a_job_nothing_changes() -> None:
    config = load([PROD])
    assert with_nodes(config) is config
