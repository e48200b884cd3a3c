"""The child process of a local run: executes one pipeline with kfp.local.

    python -m pipelines.local_run <run folder> local|docker

It is a process of its own so that its whole output goes to the run's log and the watcher can stop
it as one group.
"""

import ctypes
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """End this process when the watcher is killed, so that no step runs on unobserved (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def find_python_by_path() -> None:
    """Let kfp start this environment's Python by name.

    It pastes ``sys.executable`` unquoted into a shell command, which a space in the path breaks.
    """
    here = Path(sys.executable).parent
    os.environ["PATH"] = f"{here}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    sys.executable = "python3"


def docker_runner() -> Any:
    """A runner whose containers see ``var/`` of this folder where the images expect it.

    They run as this user, so that what they write belongs to him. Files that the configuration
    names must lie under ``var/``: nothing else of this machine is visible in the containers.
    """
    import docker
    from kfp import local

    from pipelines.placement import STATE

    state = Path("var").resolve()
    state.mkdir(exist_ok=True)
    return local.DockerRunner(
        mounts=[docker.types.Mount(STATE, str(state), type="bind")],
        user=f"{os.getuid()}:{os.getgid()}",
        working_dir=str(Path(STATE).parent),
    )


def main() -> None:
    """Run the pipeline named in the run folder's ``run.json``."""
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder, runner = Path(sys.argv[1]).resolve(), sys.argv[2]
    find_python_by_path()
    warnings.simplefilter("ignore")  # kfp repeats for each step that a laptop has no node pools
    from kfp import local

    from counterpoint.config import Config
    from pipelines import catalogue

    record = json.loads((folder / "run.json").read_text("utf-8"))
    config = Config.model_validate(record["config"])
    # A fault here is not a lost node: a second attempt would only fail again, after a wait.
    here = config.cluster.model_copy(update={"retries": 0})
    pipeline = catalogue.build(record["pipeline"], config.model_copy(update={"cluster": here}))
    chosen = docker_runner() if runner == "docker" else local.SubprocessRunner(use_venv=False)
    local.init(runner=chosen, pipeline_root=str(folder / "artifacts"))
    pipeline(**catalogue.arguments(record["pipeline"], config))


if __name__ == "__main__":
    main()
