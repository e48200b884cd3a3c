"""The TrainJob that trains a saved encoder job on several nodes.

API: trainer.kubeflow.org/v1alpha1 as of Kubeflow Trainer 2.2 (``runtimePatches``). Its torch plugin
starts nothing itself: it sets PET_NNODES, PET_NPROC_PER_NODE, PET_NODE_RANK, PET_MASTER_ADDR and
PET_MASTER_PORT, which torchrun reads as its options, so the command must be torchrun.
"""

from pathlib import Path
from typing import Any, Final

from counterpoint.config.trainjob import SHARED_MEMORY, NodeConfig, TrainJobConfig
from counterpoint.encoder.job import WORKER

GROUP, VERSION, PLURAL, KIND = "trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob"

COMMAND: Final = ("python", "-m", "torch.distributed.run", "--module", WORKER)

NODE: Final = "node"
"""What Kubeflow Trainer calls the replicated job and its container."""

USER: Final = 10001
"""User and group of the project's images (components/Dockerfile): the files on the shared folder
belong to it."""


def manifest(
    name: str, config: TrainJobConfig, node: NodeConfig, *, job: Path, target: Path
) -> dict[str, Any]:
    """Return the TrainJob without its namespace.

    Args:
        name: Its name.
        config: With image and claim.
        node: What each node asks for.
        job: Folder of the saved job (job.py).
        target: Folder to make.
    """
    amounts = {"cpu": node.cpu, "memory": node.memory}
    if node.accelerators:
        amounts[node.accelerator] = str(node.accelerators)
    trainer = {
        "image": config.image,
        "command": list(COMMAND),
        "args": [str(job), str(target)],
        "numNodes": config.nodes,
        "numProcPerNode": config.processes_per_node or max(1, node.accelerators),
        "resourcesPerNode": {"requests": amounts, "limits": dict(amounts)},
    }
    labels = {"app.kubernetes.io/managed-by": "counterpoint"} | config.labels
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "runtimeRef": {
                "apiGroup": GROUP,
                "kind": config.runtime_kind,
                "name": config.runtime,
            },
            # It ends in the cluster even if nobody waits any more.
            "activeDeadlineSeconds": config.timeout_seconds,
            "trainer": trainer,
            "runtimePatches": [_patch(_pod(config, node))],
        },
    }


def _patch(pod: dict[str, Any]) -> dict[str, Any]:
    """Wrap a pod template as a patch of the runtime's job of that name."""
    job = {"name": NODE, "template": {"spec": {"template": pod}}}
    return {
        "manager": "counterpoint.dev/train",
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
    }


def _pod(config: TrainJobConfig, node: NodeConfig) -> dict[str, Any]:
    user = {"runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": True}
    seccomp = {"seccompProfile": {"type": "RuntimeDefault"}}
    spec: dict[str, Any] = {
        "serviceAccountName": config.service_account,
        "securityContext": user | seccomp,
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": config.claim}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
        ],
        "containers": [
            {
                "name": NODE,
                # The runtime of the cluster may name another user here, which counts before the
                # pod's.
                "securityContext": user
                | seccomp
                | {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [
                    {"name": "shared", "mountPath": config.mount_path},
                    {"name": "shm", "mountPath": "/dev/shm"},
                ],
            }
        ],
    }
    if node.node_selector:
        spec["nodeSelector"] = dict(node.node_selector)
    if node.accelerators:
        spec["tolerations"] = [
            {
                "key": node.toleration_key,
                "operator": "Exists",
                "effect": node.toleration_effect,
            }
        ]
    # A sidecar would keep the pods from ever ending.
    return {"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": spec}
