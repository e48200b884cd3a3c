"""Trains the encoder of a job on several nodes: a TrainJob of Kubeflow Trainer.

The step ``train`` saves the job and the weights on a folder that it shares with the nodes, creates
the TrainJob, waits for it, and takes the result into the encoder cache. The TrainJob is named after
the job, so a step that is started again finds the one that is there and waits for it.
"""

import logging
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from counterpoint.config.encoder import TuneConfig
from counterpoint.config.trainjob import NodeConfig, TrainJobConfig
from counterpoint.encoder import saved, trainjob_api
from counterpoint.encoder.job import REPORT, Job
from counterpoint.encoder.loading import load_backbone
from counterpoint.encoder.trainjob_api import TrainJobs
from counterpoint.encoder.trainjob_manifest import manifest
from counterpoint.encoder.trainjob_waiting import Waiting
from counterpoint.errors import ConfigError, SetupError

logger = logging.getLogger(__name__)

WEIGHTS, RESULT = "weights", "result"


def run(job: Job, target: Path, cluster: TrainJobs | None = None) -> None:
    """Train the encoder of a job on the nodes of a cluster.

    Args:
        job: With ``train.encoder.tune.trainjob``.
        target: Folder to make; its name is the key of the job.
        cluster: None: the one this process runs in.

    Raises:
        ConfigError: The settings leave open what a compiled pipeline fills in.
        ServerError: The job did not end in time, or the cluster gives no answer.
        SetupError: The cluster refuses the job, the job failed or was deleted, or the shared folder
            is not shared.
    """
    tune = job.config.encoder.tune
    assert tune is not None
    config, node = _complete(tune)
    mount = Path(config.mount_path)
    if not mount.is_dir():
        raise SetupError(
            f"{mount} does not exist here: the step must mount the claim {config.claim} there "
            "(cluster.state_claim), or train.encoder.tune.trainjob.mount_path is another."
        )
    cluster = cluster or trainjob_api.in_cluster(config.namespace)
    name = f"counterpoint-encoder-{target.name}"
    shared = mount / config.folder / target.name
    waiting = Waiting(cluster, name, config, target)
    if not (shared / RESULT / REPORT).is_file():
        if waiting.needs_a_job():
            _save(job, tune, shared)
            given = manifest(name, config, node, job=shared, target=shared / RESULT)
            if cluster.create(given):
                logger.info("TrainJob %s was created in namespace %s", name, cluster.namespace)
        if not waiting.until_complete(shared / RESULT):
            return
    _take(shared / RESULT, target)
    cluster.delete(name)
    shutil.rmtree(shared, ignore_errors=True)


def _complete(tune: TuneConfig) -> tuple[TrainJobConfig, NodeConfig]:
    config = tune.trainjob
    assert config is not None
    missing = [name for name in ("image", "claim", "node") if getattr(config, name) is None]
    if config.node is None or missing:
        raise ConfigError(
            f"train.encoder.tune.trainjob.{name} is null. A compiled pipeline takes it from "
            "'cluster' (counterpoint compile, counterpoint submit); give it where none is compiled."
            for name in missing
        )
    return config, config.node


def _save(job: Job, tune: TuneConfig, folder: Path) -> None:
    """Write all that the nodes need, so that none of them downloads anything."""
    encoder = job.config.encoder
    folder.mkdir(parents=True, exist_ok=True)
    saved.save(*load_backbone(encoder.model_copy(update={"tune": None})), folder / WEIGHTS)
    update = {
        "model": str(folder / WEIGHTS),
        "weights_sha256": None,
        "cache": str(folder),
        "tune": tune.model_copy(update={"trainjob": None, "processes": 1}),
    }
    config = job.config.model_copy(update={"encoder": encoder.model_copy(update=update)})
    replace(job, config=config).save(folder)


def _take(result: Path, target: Path) -> None:
    """Copy a result into place, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".making-"))
    try:
        try:
            shutil.copytree(result, made, dirs_exist_ok=True)
        except (shutil.Error, FileNotFoundError):
            # Another step that waited for the same job may have taken and removed it.
            if (target / REPORT).is_file():
                return
            raise
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
