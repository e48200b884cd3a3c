"""Where the text encoder is trained: in this process, or in several started by torchrun."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from counterpoint.encoder import ranks
from counterpoint.encoder.job import Job
from counterpoint.errors import SetupError

logger = logging.getLogger(__name__)

WORKER = "counterpoint.encoder.launch"


def run(job: Job, target: Path, workdir: Path) -> None:
    """Train the encoder of a job.

    Args:
        job: What and how; ``train.encoder.tune.processes`` says in how many processes.
        target: Folder to make.
        workdir: Folder of the checkpoint.

    Raises:
        SetupError: The processes ended without a result.
    """
    assert job.config.encoder.tune is not None
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
        level = logging.INFO if ranks.current().rank == 0 else logging.ERROR
        logging.basicConfig(level=level, format="%(message)s")
        Job.read(job).train(target, job)
        dist.barrier()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]))
