"""How the compiled pipelines run on Kubernetes; ignored by the local runner."""

from typing import Literal

from pydantic import Field

from counterpoint.config.base import Section


class Resources(Section):
    """Requests and limits of one step, in Kubernetes quantities."""

    cpu_request: str = "500m"
    cpu_limit: str = "2"
    memory_request: str = "1Gi"
    memory_limit: str = "4Gi"


class ClusterConfig(Section):
    """Images, resources, GPU scheduling, retries and caching: read when a pipeline is compiled."""

    registry: str = ""
    """Prefix of the image names, for example ``registry.example.com/ml``; empty: plain names."""

    tag: str = "0.1.0"
    """Tag of all component images."""

    steps: dict[str, Resources] = Field(
        default_factory=lambda: {
            "features": Resources(memory_request="2Gi", memory_limit="8Gi"),
            "train": Resources(
                cpu_request="2", cpu_limit="8", memory_request="8Gi", memory_limit="32Gi"
            ),
        }
    )
    """Step name -> resources; a step that is not named has the defaults."""

    accelerator: str = "nvidia.com/gpu"
    """Resource name of the GPUs."""

    accelerators: int = Field(default=1, ge=0)
    """GPUs of the ``train`` step; 0 trains on CPU nodes. More than one train the text encoder
    together with ``train.encoder.tune.processes: 0``."""

    gpu_node_selector: dict[str, str] = Field(
        default_factory=lambda: {"counterpoint.dev/node-pool": "gpu"}
    )
    """Labels a GPU node carries."""

    gpu_toleration_key: str = "nvidia.com/gpu"
    """Key of the taint that keeps other pods off GPU nodes."""

    gpu_toleration_effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """Effect of that taint."""

    retries: int = Field(default=2, ge=0)
    """Attempts after a step failed."""

    retry_backoff: str = "30s"
    """Wait before the first retry."""

    retry_backoff_factor: float = Field(default=2.0, ge=1)
    """Growth of the wait from retry to retry."""

    timeout_seconds: int = Field(default=6 * 3600, ge=60)
    """Deadline of one step."""

    caching: bool = True
    """Reuse the outputs of a step whose inputs did not change (never of deploy and monitor)."""

    service_account: str = "counterpoint-pipeline"
    """Service account of the runs (k8s/base/rbac)."""

    state_claim: str = "counterpoint-state"
    """PersistentVolumeClaim mounted as ``var/`` in every step: registry, feature store, audit log
    of the monitoring; empty: none, all of these paths must then be URLs."""

    redis_secret: str = "redis-auth"
    """Secret whose key ``password`` the step ``features`` gets as ``REDIS_PASSWORD``
    (``feature_repo/stores/cluster.yaml``); empty: the online store needs none."""
