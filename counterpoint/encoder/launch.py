"""Where the text encoder is trained: here, in several processes, or on several nodes.

Several processes of this machine are started by torchrun, nodes of a cluster by trainjob.py.
"""

import logging
import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from counterpoint.encoder import ranks, trainjob
from counterpoint.encoder.job import WORKER, Job
from counterpoint.errors import SetupError

logger = logging.getLogger(__name__)


def run(job: Job, target: Path, workdir: Path) -> None:
    """Train the encoder of a job.

    Args:
        job: What and how; ``train.encoder.tune.trainjob`` and ``processes`` say where.
        target: Folder to make.
        workdir: Folder of the checkpoint.

    Raises:
        ConfigError: The settings of the TrainJob are incomplete.
        ServerError: The cluster gives no answer.
        SetupError: The processes ended without a result.
    """
    assert job.config.encoder.tune is not None
    if job.config.encoder.tune.trainjob is not None:
        trainjob.run(job, target)
        return
    processes = job.config.encoder.tune.processes or max(1, torch.cuda.device_count())
    if processes == 1:
        job.train(target, workdir)
        return
    job.save(workdir)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc-per-node={processes}", "--module", WORKER),
        *(str(workdir.absolute()), str(target.absolute())),
    ]
    logger.info("The text encoder is trained by %d processes (torchrun)", processes)
    # What torchrun asks for where several processes share the cores.
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": threads}, check=False)
    if done.returncode or not target.is_dir():
        raise SetupError(
            f"The {processes} processes that train the text encoder ended with status "
            f"{done.returncode}; what they said stands above. A run that is started again "
            f"continues from {workdir}. Fewer processes: train.encoder.tune.processes."
        )


def work(job: Path, target: Path) -> None:
    """Train as one of the processes that torchrun started."""
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        group = ranks.current()
        level = logging.INFO if group.rank == 0 else logging.ERROR
        logging.basicConfig(level=level, format="%(message)s")
        Job.read(job, group).train(target, job)
        dist.barrier()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]))
