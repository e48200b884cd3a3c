"""Training the text encoder on several nodes of a cluster (Kubeflow Trainer)."""

from typing import Annotated, Final, Literal

from pydantic import Field

from counterpoint.config.base import Section

SHARED_MEMORY: Final = "1Gi"
"""Of /dev/shm, through which the processes of one node talk; a container has 64 MB by default."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
"""An RFC 1123 label, as Kubernetes wants names."""

Quantity = Annotated[str, Field(pattern=r"^([1-9][0-9]*|0?\.[0-9]*[1-9])(m|[kMGTP]|[KMGTP]i)?$")]
"""A positive Kubernetes quantity, such as ``8``, ``500m`` or ``32Gi``."""

Labels = dict[
    Annotated[str, Field(pattern=r"^([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9][-A-Za-z0-9_.]{0,62}$")],
    Annotated[str, Field(pattern=r"^([A-Za-z0-9][-A-Za-z0-9_.]{0,62})?$")],
]


class NodeConfig(Section):
    """What each node of the job asks for; requests and limits are equal."""

    cpu: Quantity = "8"
    memory: Quantity = "32Gi"
    accelerator: str = Field(default="nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    """Resource name of the GPUs."""

    accelerators: int = Field(default=1, ge=0)
    """GPUs; 0 trains on CPU nodes."""

    node_selector: Labels = Field(default_factory=dict)
    """Labels that a node must carry."""

    toleration_key: str = Field(default="nvidia.com/gpu", min_length=1)
    """Key of the taint of the GPU nodes; tolerated where ``accelerators`` is not 0."""

    toleration_effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class TrainJobConfig(Section):
    """A TrainJob of Kubeflow Trainer (2.2 or later) in place of processes of this machine.

    What is null here, a compiled pipeline takes from ``cluster``.
    """

    nodes: int = Field(default=2, ge=1)
    """Pods that train together."""

    processes_per_node: int = Field(default=0, ge=0)
    """0: one for each GPU of a node, or one on a CPU node."""

    runtime: Name = "torch-distributed"
    """Training runtime of the cluster; its policy must be ``torch``."""

    runtime_kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = "ClusterTrainingRuntime"
    """Whether the runtime belongs to the cluster or to the namespace."""

    namespace: Name | None = None
    """Of the job; null: that of the pod that starts it."""

    image: str | None = Field(default=None, pattern=r"^\S+$", max_length=500)
    """Image with this package; null: that of the step ``train``."""

    service_account: Name = "counterpoint-trainjob"
    """Of the job's pods, which need no rights (k8s/components/trainjob)."""

    claim: Name | None = None
    """ReadWriteMany PersistentVolumeClaim that the step ``train`` and the job share; null:
    ``cluster.state_claim``."""

    mount_path: str = Field(default="/app/var", pattern=r"^(/[A-Za-z0-9._-]+)+$")
    """Where the step ``train`` mounts the claim, and the job as well."""

    folder: str = Field(
        default="trainjobs",
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$",
    )
    """Below ``mount_path``: inputs, checkpoint and result of the jobs that run."""

    node: NodeConfig | None = None
    """Resources of a node; null: those of the step ``train``."""

    labels: Labels = Field(default_factory=dict)
    """Further labels of the TrainJob, such as ``kueue.x-k8s.io/queue-name``."""

    timeout_seconds: int = Field(default=5 * 3600, ge=1)
    """Longest time the job may run, and longest time the step waits for it."""

    poll_seconds: float = Field(default=10.0, gt=0)
    """Time between two looks at the job."""
