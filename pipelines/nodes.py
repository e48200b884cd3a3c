"""What a TrainJob of the step ``train`` takes from the settings of the cluster."""

from pydantic import ValidationError

from components.images import image
from counterpoint.config import Config
from counterpoint.config.cluster import ClusterConfig, Resources
from counterpoint.config.trainjob import NodeConfig
from counterpoint.errors import ConfigError


def with_nodes(config: Config) -> Config:
    """Return a configuration whose TrainJob, if it has one, has image, claim and node.

    A node is what the pod of the step ``train`` would be, unless the configuration says otherwise.

    Raises:
        ConfigError: The cluster names no claim, or the step would end before the job may.
    """
    tune = config.train.encoder.tune
    if tune is None or tune.trainjob is None:
        return config
    cluster, job = config.cluster, tune.trainjob
    faults = []
    claim = job.claim or cluster.state_claim
    if not claim:
        faults.append(
            "train.encoder.tune.trainjob.claim is null and cluster.state_claim is empty: the step "
            "'train' and the nodes need a ReadWriteMany claim that both mount."
        )
    elif cluster.state_claim != claim:
        faults.append(
            f"train.encoder.tune.trainjob.claim = {claim!r}, but the steps mount "
            f"cluster.state_claim = {cluster.state_claim!r}. Both must be one claim."
        )
    if job.timeout_seconds >= cluster.timeout_seconds:
        faults.append(
            f"train.encoder.tune.trainjob.timeout_seconds = {job.timeout_seconds}, but the step "
            f"that waits ends after cluster.timeout_seconds = {cluster.timeout_seconds}. Give the "
            "step more time than the job."
        )
    if faults:
        raise ConfigError(faults)
    filled = {
        "image": job.image or image("train", registry=cluster.registry, tag=cluster.tag),
        "claim": claim,
        "node": job.node or _node(cluster),
    }
    tune = tune.model_copy(update={"trainjob": job.model_copy(update=filled)})
    encoder = config.train.encoder.model_copy(update={"tune": tune})
    train = config.train.model_copy(update={"encoder": encoder})
    return config.model_copy(update={"train": train})


def _node(cluster: ClusterConfig) -> NodeConfig:
    resources = cluster.steps.get("train", Resources())
    try:
        return NodeConfig(
            cpu=resources.cpu_limit,
            memory=resources.memory_limit,
            accelerator=cluster.accelerator,
            accelerators=cluster.accelerators,
            node_selector=cluster.gpu_node_selector if cluster.accelerators else {},
            toleration_key=cluster.gpu_toleration_key,
            toleration_effect=cluster.gpu_toleration_effect,
        )
    except ValidationError as error:
        raise ConfigError(
            f"cluster gives no node of a TrainJob: {fault['loc'][-1]} = {fault['input']!r}: "
            f"{fault['msg']}. Correct it, or give train.encoder.tune.trainjob.node."
            for fault in error.errors()
        ) from None
