"""Kubeflow Trainer understands every TrainJob that the configuration lets through."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from counterpoint.config.trainjob import NodeConfig, TrainJobConfig
from counterpoint.encoder.trainjob_manifest import USER, manifest
from tests.counterpoint.encoder.kube_api import strictly
from tests.k8s.checks.resources import quantity

ROOT = Path(__file__).resolve().parents[3]
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
QUANTITIES = st.sampled_from(["1", "500m", "0.5", "32Gi", "2", "1500M", "1Ti"])
LABELS = st.dictionaries(
    st.sampled_from(["a", "kueue.x-k8s.io/queue-name", "counterpoint.dev/node-pool"]),
    st.sampled_from(["", "gpu", "a.b-c_d"]),
)
NODES = st.builds(
    NodeConfig,
    cpu=QUANTITIES,
    memory=QUANTITIES,
    accelerators=st.integers(0, 16),
    node_selector=LABELS,
)
CONFIGS = st.builds(
    TrainJobConfig,
    nodes=st.integers(1, 64),
    processes_per_node=st.integers(0, 16),
    runtime=NAMES,
    runtime_kind=st.sampled_from(["ClusterTrainingRuntime", "TrainingRuntime"]),
    image=st.just("registry.example.com/ml/counterpoint-train:0.1.0"),
    claim=NAMES,
    labels=LABELS,
    timeout_seconds=st.integers(1, 10**6),
)


def made(config: TrainJobConfig, node: NodeConfig) -> dict[str, Any]:
    return manifest("encoder-1", config, node, job=Path("/app/var/j"), target=Path("/app/var/j/r"))


@given(CONFIGS, NODES)
@settings(max_examples=50, deadline=None)
def test_every_field_is_known_and_of_its_type(config: TrainJobConfig, node: NodeConfig) -> None:
    found = made(config, node)
    # The models drop what they do not know: what comes back must be all.
    assert strictly(found) == found
    assert (found["apiVersion"], found["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    trainer = found["spec"]["trainer"]
    for amounts in trainer["resourcesPerNode"].values():
        assert all(quantity(value) > 0 for value in amounts.values())
        assert (node.accelerator in amounts) == (node.accelerators > 0)
    assert trainer["numProcPerNode"] >= 1
    if not config.processes_per_node:
        assert trainer["numProcPerNode"] == max(1, node.accelerators)
    (patch,) = found["spec"]["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert ("tolerations" in pod) == (node.accelerators > 0)
    assert pod.get("nodeSelector", {}) == node.node_selector


@pytest.mark.parametrize(
    "change",
    [
        {"node": 2},
        {"nodes": 0},
        {"nodes": "two"},
        {"nodes": 1.5},
        {"processes_per_node": -1},
        {"processes_per_node": "gpu"},
        {"runtime": "Torch"},
        {"runtime": "torch\n"},
        {"runtime_kind": "Runtime"},
        {"namespace": ""},
        {"namespace": "a/b"},
        {"image": "a b"},
        {"claim": "-x"},
        {"mount_path": "var"},
        {"mount_path": "/app/var/"},
        {"folder": "/jobs"},
        {"folder": "../jobs"},
        {"folder": "a/../b"},
        {"labels": {"a b": "x"}},
        {"labels": {"a": 1}},
        {"timeout_seconds": 0},
        {"poll_seconds": 0},
        {"numNodes": 2},
        {"node": {"cpu": 8}},
        {"node": {"cpu": "0"}},
        {"node": {"memory": "2GB"}},
        {"node": {"memory": "-1Gi"}},
        {"node": {"accelerator": "gpu"}},
        {"node": {"accelerators": -1}},
        {"node": {"gpus": 1}},
        {"node": {"toleration_effect": "Never"}},
    ],
    ids=str,
)
def test_what_no_cluster_would_take_is_refused_before(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainJobConfig.model_validate(change)


@pytest.mark.parametrize("path", ["spec.trainer.nodes", "spec.runtimePatches.0.volumes", "spec.x"])
def test_the_comparison_finds_unknown_fields(path: str) -> None:
    found = made(TrainJobConfig(image="i", claim="c"), NodeConfig())
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    node: Any = found
    for key in parents:
        node = node[key]
    node[last] = 1
    assert strictly(found) != found


def test_pods_are_the_user_of_the_images() -> None:
    dockerfile = (ROOT / "components" / "Dockerfile").read_text("utf-8")
    assert f"groupadd --gid {USER}" in dockerfile and f"useradd --uid {USER}" in dockerfile
