"""Where and how the steps of a pipeline run on Kubernetes: resources, GPU nodes, retries, caching.

The local runner ignores all of it; a step that must behave the same everywhere has it in its code.
"""

from kfp import dsl, kubernetes

from components.images import COMPONENTS, image
from counterpoint.config import ClusterConfig
from counterpoint.config.cluster import Resources
from counterpoint.config.trainjob import SHARED_MEMORY

NEVER_CACHED = ("ingest", "features", "evaluate", "deploy", "monitor")
"""Steps that read or change something outside their inputs: the source, the feature store, the
registry, the clock."""

STATE = "/app/var"
"""``var/`` in the images (components/Dockerfile)."""


def place(task: dsl.PipelineTask, name: str, cluster: ClusterConfig) -> None:
    """Give a task its display name, image, resources, retries, deadline and caching.

    Args:
        task: The task of the step.
        name: Name of the step, such as ``train``; a key of ``cluster.steps``.
        cluster: Settings.
    """
    resources = cluster.steps.get(name, Resources())
    group = next(group for group, members in COMPONENTS.items() if name in members)
    task.set_display_name(name.capitalize())
    task.set_container_image(image(group, registry=cluster.registry, tag=cluster.tag))
    task.set_cpu_request(resources.cpu_request).set_cpu_limit(resources.cpu_limit)
    task.set_memory_request(resources.memory_request).set_memory_limit(resources.memory_limit)
    if cluster.retries:
        task.set_retry(
            cluster.retries,
            backoff_duration=cluster.retry_backoff,
            backoff_factor=cluster.retry_backoff_factor,
        )
    task.set_caching_options(cluster.caching and name not in NEVER_CACHED)
    kubernetes.set_timeout(task, cluster.timeout_seconds)
    if cluster.state_claim:
        kubernetes.mount_pvc(task, pvc_name=cluster.state_claim, mount_path=STATE)
    if name == "features" and cluster.redis_secret:
        kubernetes.use_secret_as_env(
            task,
            secret_name=cluster.redis_secret,
            secret_key_to_env={"password": "REDIS_PASSWORD"},
        )


def place_on_gpu(task: dsl.PipelineTask, cluster: ClusterConfig) -> None:
    """Ask for accelerators and for the nodes that carry them."""
    if cluster.accelerators == 0:
        return
    task.set_accelerator_type(cluster.accelerator).set_accelerator_limit(cluster.accelerators)
    if cluster.accelerators > 1:
        # The processes of the GPUs talk through it; a container has 64 MB by default.
        kubernetes.empty_dir_mount(
            task,
            volume_name="shm",
            mount_path="/dev/shm",
            medium="Memory",
            size_limit=SHARED_MEMORY,
        )
    for key, value in cluster.gpu_node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    kubernetes.add_toleration(
        task,
        key=cluster.gpu_toleration_key,
        operator="Exists",
        effect=cluster.gpu_toleration_effect,
    )
